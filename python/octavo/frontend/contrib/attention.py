"""Attention by heads, with masks and what was kept of earlier steps, computed in float32.

    output = softmax(scale * Q K' + bias) V                       (A. Vaswani et al., 2017)

What a mask leaves out has `mask_filter_value` added to its score; what comes later, where attention goes back
alone, the least float32.
"""

import onnx_ir as ir

from octavo.frontend.contrib.call import Call, Operator

_LEAST = -3.4028234663852886e38


def _attention(call: Call) -> str | None:
    projected = "x = Cast <to = 1> (input) w = Cast <to = 1> (weights) projected = MatMul (x, w) "
    return _projected_attention(call, projected, "input")


def _quantized_attention(call: Call) -> str | None:
    """The projection's operands are integers, of activations that a run quantizes or that are pairs'."""
    left, right = (
        f"{side}_zero_point" if call.has(f"{side}_zero_point") else "" for side in ("input", "weight")
    )
    source = call.inputs["input"].producer()
    if source is not None and source.op_type == "DynamicQuantizeLinear":
        points = f", {left}, {right}".rstrip(", ")
        projected = (
            f"sums = MatMulInteger (input, weight{points}) reals = Cast <to = 1> (sums) "
            "scales = Mul (input_scale, weight_scale) projected = Mul (reals, scales) "
        )
    else:
        x, w = (f", {point}" if point else "" for point in (left, right))
        projected = (
            f"x = DequantizeLinear (input, input_scale{x}) "
            f"w = DequantizeLinear <axis = 1> (weight, weight_scale{w}) projected = MatMul (x, w) "
        )
    return _projected_attention(call, projected, "bias")


def _projected_attention(call: Call, projected: str, like: str) -> str | None:
    """Of what `projected` makes, queries, keys and values; the outputs are of the dtype of `like`."""
    call.refuse("do_rotary", "past_present_share_buffer", "past_sequence_length")
    lines, joined = projected, "projected"
    if call.has("bias"):
        is_plain = call.dtype("bias") == ir.DataType.FLOAT
        lines += "" if is_plain else "offset = Cast <to = 1> (bias) "
        lines += f"joined = Add (projected, {'bias' if is_plain else 'offset'}) "
        joined = "joined"
    sizes = call.settings.get("qkv_hidden_sizes")
    if sizes is None:
        lines += f"query, key, value = Split <axis = -1, num_outputs = 3> ({joined}) "
    else:
        lines += f"sizes = Constant <value_ints = {sizes}> () "
        lines += f"query, key, value = Split <axis = -1> ({joined}, sizes) "
    lines += _by_heads(call, "query", "q") + _by_heads(call, "key", "k") + _by_heads(call, "value", "v")
    keys, values = "k", "v"
    if call.has("past"):
        lines += "before = Cast <to = 1> (past) "
        for index, name in enumerate("kv"):
            lines += (
                f"at_{name} = Constant <value_int = {index}> () past_{name} = Gather (before, at_{name}) "
                f"all_{name} = Concat <axis = 2> (past_{name}, {name}) "
            )
        keys, values = "all_k", "all_v"
    if call.has("present"):
        lines += (
            f"first = Constant <value_ints = [0]> () one_k = Unsqueeze ({keys}, first) "
            f"one_v = Unsqueeze ({values}, first) kept = Concat <axis = 0> (one_k, one_v) "
            f"present = CastLike (kept, {like}) "
        )
    mask = _mask(call, "mask_index", keys)
    return (
        None if mask is None else f"{lines}{mask}{_attended(call, keys, values)}output = CastLike (y, {like})"
    )


def _multi_head_attention(call: Call) -> str | None:
    call.refuse("past_sequence_length", "cache_indirection", "qk")
    lines = _operands(call)
    if lines is None:
        return None
    keys, values = "k", "v"
    if call.has("past_key") and call.has("past_value"):
        for name, past in (("k", "past_key"), ("v", "past_value")):
            lines += (
                f"past_{name} = Cast <to = 1> ({past}) all_{name} = Concat <axis = 2> (past_{name}, {name}) "
            )
        keys, values = "all_k", "all_v"
    for name, source in (("present_key", keys), ("present_value", values)):
        if call.has(name):
            lines += f"{name} = CastLike ({source}, query) "
    mask = _mask(call, "key_padding_mask", keys)
    return (
        None if mask is None else f"{lines}{mask}{_attended(call, keys, values)}output = CastLike (y, query)"
    )


def _operands(call: Call) -> str | None:
    """q, k and v by heads, of the ways in which a MultiHeadAttention can have them; None where not known."""
    ranks = {name: call.rank(name) for name in ("query", "key", "value") if call.has(name)}
    if None in ranks.values():
        return None
    form = tuple(ranks.values())
    if form not in ((3, 3, 3), (3, 4, 4)):
        shapes = ", ".join(f"{name} of {rank} axes" for name, rank in ranks.items())
        call.fail(f"{shapes}{' and a bias' if call.has('bias') else ''}")
    lines = "".join(f"{name}_f = Cast <to = 1> ({name}) " for name in ranks)
    sources = {name: f"{name}_f" for name in ranks}
    if call.has("bias"):
        sizes = [call.size(name, -1) for name in ranks]
        if form == (3, 4, 4):
            heads = call.integer("num_heads")
            sizes = [sizes[0], *(None if size is None else size * heads for size in sizes[1:])]
        if None in sizes:
            return None
        lines += (
            f"sizes = Constant <value_ints = {sizes}> () b = Cast <to = 1> (bias) "
            "query_b, key_b, value_b = Split <axis = 0> (b, sizes) "
        )
        for name in ranks if form == (3, 3, 3) else ("query",):
            lines += f"{name}_biased = Add ({name}_f, {name}_b) "
            sources[name] = f"{name}_biased"
    lines += _by_heads(call, sources["query"], "q")
    for name, made in (("key", "k"), ("value", "v")):
        is_whole = ranks[name] == 3
        lines += _by_heads(call, sources[name], made) if is_whole else f"{made} = Identity ({sources[name]}) "
    return lines


def _by_heads(call: Call, source: str, made: str) -> str:
    """[batch, length, hidden] as [batch, heads, length, hidden / heads]."""
    return (
        f"{made}_shape = Constant <value_ints = [0, 0, {call.integer('num_heads')}, -1]> () "
        f"{made}_rows = Reshape ({source}, {made}_shape) "
        f"{made} = Transpose <perm = [0, 2, 1, 3]> ({made}_rows) "
    )


def _attended(call: Call, keys: str, values: str) -> str:
    """y [batch, length, hidden], of q, these keys and values, and `mask`, if there is one."""
    scale = call.settings["scale"]
    lines = f"turned = Transpose <perm = [0, 1, 3, 2]> ({keys}) products = MatMul (q, turned) "
    if scale:
        lines += f"scale = Constant <value_float = {scale!r}> () scores = Mul (products, scale) "
    else:
        lines += (
            "width = Shape <start = 3, end = 4> (q) as = Cast <to = 1> (width) root = Sqrt (as) "
            "scale = Squeeze (root) scores = Div (products, scale) "
        )
    source = "scores"
    if call.has("attention_bias"):
        lines += "more = Cast <to = 1> (attention_bias) with_bias = Add (scores, more) "
        source = "with_bias"
    if _has_mask(call):
        lines += f"masked = Add ({source}, mask) "
        source = "masked"
    return (
        f"{lines}shares = Softmax <axis = -1> ({source}) rows = MatMul (shares, {values}) "
        "back = Transpose <perm = [0, 2, 1, 3]> (rows) flat = Constant <value_ints = [0, 0, -1]> () "
        "y = Reshape (back, flat) "
    )


def _has_mask(call: Call) -> bool:
    return any(map(call.has, ("mask_index", "key_padding_mask"))) or call.integer("unidirectional") == 1


def _mask(call: Call, name: str, keys: str) -> str | None:
    """mask, what is added to the scores [batch, heads, length, length of the keys]; None where not known."""
    lines = f"nothing = Constant <value_float = 0.0> () total = Shape <start = 2, end = 3> ({keys}) "
    lines += "places = Constant <value_int = 0> () step = Constant <value_int = 1> () "
    mask = "nothing"
    if call.has(name):
        rank = call.rank(name)
        if rank is None:
            return None
        if rank not in (1, 2, 3):
            call.fail(f"a mask of {rank} axes")
        axes = {1: [1, 2], 2: [1, 2], 3: [1]}[rank]
        lines += _seen_of_lengths(name) if rank == 1 else _seen_of_flags(name)
        lines += (
            f"hidden = Constant <value_float = {call.settings['mask_filter_value']!r}> () "
            "flags = Where (seen, nothing, hidden) "
            f"axes = Constant <value_ints = {axes}> () padding = Unsqueeze (flags, axes) "
        )
        mask = "padding"
    if call.integer("unidirectional") == 0:
        return f"{lines}mask = Identity ({mask}) " if call.has(name) else ""
    return lines + (
        "length = Shape <start = 2, end = 3> (q) rows_of = Squeeze (length) columns_of = Squeeze (total) "
        "to = Range (places, rows_of, step) from = Range (places, columns_of, step) "
        "earlier = Sub (columns_of, rows_of) at = Add (to, earlier) "
        "last = Constant <value_ints = [1]> () row = Unsqueeze (at, last) is_back = LessOrEqual (from, row) "
        f"least = Constant <value_float = {_LEAST!r}> () mask = Where (is_back, {mask}, least) "
    )


def _seen_of_flags(name: str) -> str:
    return f"as_flag = CastLike (places, {name}) seen = Greater ({name}, as_flag) "


def _seen_of_lengths(name: str) -> str:
    """[batch, length] of one number a sample, where its tokens end, and where they begin if given."""
    return (
        "batch = Shape <start = 0, end = 1> (q) twice = Add (batch, batch) "
        f"zero = Constant <value_ints = [0]> () wide = Cast <to = 7> ({name}) "
        "absent = Expand (zero, batch) both = Concat <axis = 0> (wide, absent) "
        "ends = Slice (both, zero, batch, zero) begins = Slice (both, batch, twice, zero) "
        "second = Constant <value_ints = [1]> () end = Unsqueeze (ends, second) "
        "begin = Unsqueeze (begins, second) columns = Squeeze (total) "
        "token = Range (places, columns, step) is_before = Less (token, end) "
        "is_behind = GreaterOrEqual (token, begin) seen = And (is_before, is_behind) "
    )


_SETTINGS = "num_heads:int unidirectional:int=0 mask_filter_value:float=-10000 scale:float?"

ATTENTION = (
    Operator(
        "Attention(input weights bias? mask_index? past? attention_bias? past_sequence_length?) -> "
        f"output present? | {_SETTINGS} do_rotary:int=0 past_present_share_buffer:int=0 "
        "qkv_hidden_sizes:ints? rotary_embedding_dim:int?",
        _attention,
    ),
    Operator(
        "QAttention(input weight bias input_scale weight_scale mask_index? input_zero_point? "
        f"weight_zero_point? past?) -> output present? | {_SETTINGS} do_rotary:int=0 "
        "past_present_share_buffer:int=0",
        _quantized_attention,
    ),
    Operator(
        "MultiHeadAttention(query key? value? bias? key_padding_mask? attention_bias? past_key? past_value? "
        f"past_sequence_length? cache_indirection?) -> output present_key? present_value? qk? | {_SETTINGS}",
        _multi_head_attention,
    ),
)
