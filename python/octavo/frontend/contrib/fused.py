"""Operators that ONNX Runtime's optimizer makes of several: activations, products, normalizations.

What computes in several steps does so in float32, whatever its inputs are, and rounds its outputs once.
"""

from octavo.frontend.contrib.call import Call, Operator, Setting, attributes_text

_ACTIVATIONS = {
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
    "Softplus": (),
    "Softsign": (),
    "HardSwish": (),
    "LeakyRelu": ("alpha",),
    "Elu": ("alpha",),
    "ThresholdedRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "Clip": ("min", "max"),
}
"""The activations that a product can end with, and their parameters in order."""


def _gelu(call: Call) -> str:
    return "Y = Gelu (X)"


def _bias_gelu(call: Call) -> str:
    return "x = Add (A, B) C = Gelu (x)"


def _fast_gelu(call: Call) -> str:
    source = "x = Add (X, bias)" if call.has("bias") else "x = Identity (X)"
    return f'{source} Y = Gelu <approximate = "tanh"> (x)'


def _quick_gelu(call: Call) -> str:
    return f"Y = Swish {call.attributes('alpha')} (X)"


def _activated(call: Call, source: str, parameters: list[float]) -> str:
    """Y, the node's activation of `source`."""
    name = call.settings["activation"]
    if name in (None, ""):
        return f"Y = Identity ({source})"
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        call.fail(f"activation = {name!r}")
    names = _ACTIVATIONS[str(name)]
    if len(parameters) > len(names):
        call.fail(f"{len(parameters)} parameters of its activation {name}")
    if name == "Clip":
        if len(parameters) < 2:
            call.fail("a Clip without bounds")
        low, high = (
            f"{which} = Constant <value_float = {number!r}> () {which}_like = CastLike ({which}, {source})"
            for which, number in zip(("low", "high"), parameters, strict=True)
        )
        return f"{low} {high} Y = Clip ({source}, low_like, high_like)"
    given: dict[str, Setting] = dict(zip(names, parameters, strict=False))
    return f"Y = {name} {attributes_text(given)} ({source})"


def _fused_conv(call: Call) -> str:
    window = call.attributes("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    inputs = "X, W, B" if call.has("B") else "X, W"
    added = "sum = Add (product, Z)" if call.has("Z") else "sum = Identity (product)"
    given = call.settings["activation_params"]
    parameters = [float(value) for value in given] if isinstance(given, list) else []
    return f"product = Conv {window} ({inputs}) {added} {_activated(call, 'sum', parameters)}"


def _fused_gemm(call: Call) -> str:
    inputs = "A, B, C" if call.has("C") else "A, B"
    given = (call.settings[f"activation_{name}"] for name in ("alpha", "beta", "gamma"))
    parameters = [value for value in given if isinstance(value, float)]
    product = f"product = Gemm {call.attributes('alpha', 'beta', 'transA', 'transB')} ({inputs})"
    return f"{product} {_activated(call, 'product', parameters)}"


def _fused_matmul(call: Call) -> str:
    """A side's first axis goes behind its batch, then its last two change places, where it says so; not of
    a vector."""
    lines, sides = "", []
    for side in "AB":
        source = side
        for flag, equation in (("transBatch", "i...j->...ij"), ("trans", "...ij->...ji")):
            if call.integer(f"{flag}{side}") and call.rank(side) != 1:
                lines += f'{flag}_{side} = Einsum <equation = "{equation}"> ({source}) '
                source = f"{flag}_{side}"
        sides.append(source)
    alpha = call.number("alpha")
    if alpha == 1.0:
        return f"{lines}Y = MatMul ({', '.join(sides)})"
    return (
        f"{lines}product = MatMul ({', '.join(sides)}) factor = Constant <value_float = {alpha!r}> () "
        "alpha = CastLike (factor, A) Y = Mul (product, alpha)"
    )


def _layer_norm(call: Call) -> str:
    inputs = "X, Scale, B" if call.has("B") else "X, Scale"
    made = ["Y", *(name for name in ("Mean", "InvStdDev") if call.has("Mean") or call.has("InvStdDev"))]
    attributes = call.attributes("axis", "epsilon", "stash_type")
    return f"{', '.join(made)} = LayerNormalization {attributes} ({inputs})"


def _simplified_layer_norm(call: Call) -> str:
    call.refuse("inv_std_var")
    attributes = call.attributes("axis", "epsilon", "stash_type")
    return (
        f"x = Cast <to = 1> (X) s = Cast <to = 1> (scale) y = RMSNormalization {attributes} (x, s) "
        "Y = CastLike (y, scale)"
    )


def _skip_sum(call: Call) -> str:
    """sum, of the input, what skips a layer, and the bias, in float32."""
    lines = "x = Cast <to = 1> (input) s = Cast <to = 1> (skip) "
    if call.has("bias"):
        lines += "b = Cast <to = 1> (bias) biased = Add (x, b) sum = Add (biased, s) "
    else:
        lines += "sum = Add (x, s) "
    if call.has("input_skip_bias_sum"):
        lines += "input_skip_bias_sum = CastLike (sum, input) "
    return lines + "g = Cast <to = 1> (gamma) "


def _skip_layer_norm(call: Call) -> str:
    lines, inputs = _skip_sum(call), "sum, g"
    if call.has("beta"):
        lines, inputs = f"{lines}offset = Cast <to = 1> (beta) ", "sum, g, offset"
    outputs = "y, mean, inv_std_var" if call.has("mean") or call.has("inv_std_var") else "y"
    return (
        f"{lines}{outputs} = LayerNormalization <axis = -1, epsilon = {call.number('epsilon')!r}> ({inputs}) "
        "output = CastLike (y, input)"
    )


def _skip_simplified_layer_norm(call: Call) -> str:
    call.refuse("mean", "inv_std_var")
    return (
        f"{_skip_sum(call)} y = RMSNormalization <axis = -1, epsilon = {call.number('epsilon')!r}> (sum, g) "
        "output = CastLike (y, input)"
    )


def _embed_layer_norm(call: Call) -> str:
    """The rows of a word, its place and its segment, summed and normalized; the tokens that a mask has."""
    call.refuse("mask_index_type")
    lines = "word = Gather (word_embedding, input_ids) w = Cast <to = 1> (word) "
    if call.has("position_ids"):
        lines += "place = Gather (position_embedding, position_ids) "
    else:
        lines += (
            "zero = Constant <value_ints = [0]> () length = Shape <start = 1, end = 2> (input_ids) "
            "place = Slice (position_embedding, zero, length, zero) "
        )
    lines += "p = Cast <to = 1> (place) "
    if call.has("segment_ids") and call.has("segment_embedding"):
        lines += (
            "placed = Add (w, p) segment = Gather (segment_embedding, segment_ids) "
            "k = Cast <to = 1> (segment) sum = Add (placed, k) "
        )
    else:
        lines += "sum = Add (w, p) "
    if call.has("embedding_sum"):
        lines += "embedding_sum = CastLike (sum, word_embedding) "
    if call.has("mask_index") and call.has("mask"):
        lines += (
            "one = Constant <value_int = 1> () like = CastLike (one, mask) is = Equal (mask, like) "
            "has = Cast <to = 6> (is) axis = Constant <value_ints = [1]> () "
            "mask_index = ReduceSum <keepdims = 0> (has, axis) "
        )
    elif call.has("mask_index"):
        lines += (
            "none = Constant <value_int = 0> () as = Cast <to = 6> (none) "
            "batch = Shape <start = 0, end = 1> (input_ids) mask_index = Expand (as, batch) "
        )
    return (
        f"{lines}g = Cast <to = 1> (gamma) b = Cast <to = 1> (beta) "
        f"y = LayerNormalization <axis = -1, epsilon = {call.number('epsilon')!r}> (sum, g, b) "
        "output = CastLike (y, word_embedding)"
    )


_WINDOW = "auto_pad:str? dilations:ints? group:int? kernel_shape:ints? pads:ints? strides:ints?"
_SKIPPED = "output mean? inv_std_var? input_skip_bias_sum? | epsilon:float=1e-12"

FUSED = (
    Operator("Gelu(X) -> Y |", _gelu),
    Operator("BiasGelu(A B) -> C |", _bias_gelu),
    Operator("FastGelu(X bias?) -> Y |", _fast_gelu),
    Operator("QuickGelu(X) -> Y | alpha:float=1.702", _quick_gelu),
    Operator(f"FusedConv(X W B? Z?) -> Y | activation:str? activation_params:floats? {_WINDOW}", _fused_conv),
    Operator(
        "FusedGemm(A B C?) -> Y | alpha:float=1 beta:float=1 transA:int=0 transB:int=0 activation:str? "
        "activation_alpha:float? activation_beta:float? activation_gamma:float?",
        _fused_gemm,
    ),
    Operator(
        "FusedMatMul(A B) -> Y | alpha:float=1 transA:int=0 transB:int=0 transBatchA:int=0 transBatchB:int=0",
        _fused_matmul,
    ),
    Operator(
        "LayerNormalization(X Scale B?) -> Y Mean? InvStdDev? | axis:int=-1 epsilon:float=1e-5 "
        "stash_type:int=1",
        _layer_norm,
    ),
    Operator(
        "SimplifiedLayerNormalization(X scale) -> Y inv_std_var? | axis:int=-1 epsilon:float=1e-5 "
        "stash_type:int=1",
        _simplified_layer_norm,
    ),
    Operator(f"SkipLayerNormalization(input skip gamma beta? bias?) -> {_SKIPPED}", _skip_layer_norm),
    Operator(
        f"SkipSimplifiedLayerNormalization(input skip gamma bias?) -> {_SKIPPED}", _skip_simplified_layer_norm
    ),
    Operator(
        "EmbedLayerNormalization(input_ids segment_ids? word_embedding position_embedding segment_embedding? "
        "gamma beta mask? position_ids?) -> output mask_index? embedding_sum? | epsilon:float=1e-12 "
        "mask_index_type:int?",
        _embed_layer_norm,
    ),
)
