"""Who shares a scale, where conversions stand, and what moves in which form."""

import numpy as np
import pytest
from octavo.lowering import Range
from octavo.lowering.affine import affine

AFTER_LAST = "it follows a float32 result of exact sums, which no op reads as integers"

START = "c = Conv<pads=[1,1,1,1]>(x, w)"


@pytest.fixture
def image(rng):
    return rng.normal(size=(2, 3, 8, 8)).astype(np.float32)


@pytest.fixture
def weight(rng):
    return rng.normal(size=(4, 3, 3, 3)).astype(np.float32)


def square(rng, channels=4):
    return rng.normal(size=(4, channels, 1, 1)).astype(np.float32)


def quants(case):
    return {
        name: (float(value.quant.scale[0]), int(value.quant.zero_point[0]))
        for name, value in case.lowered.program.values.items()
        if value.quant is not None and value.dtype == "u8"
    }


@pytest.mark.parametrize(
    "node",
    [
        "m = MaxPool<kernel_shape=[2,2]>(c)",
        "m = Transpose<perm=[0,1,3,2]>(c)",
        "m = Pad(c, pads)",
        "m = Identity(c)",
        "m = Slice(c, begin, end, axes)",
    ],
)
def test_movement_shares_its_inputs_scale(quantized, image, weight, rng, node):
    text = f"g (float[N,3,8,8] x) => (float[N,4,h,w] y) {{ {START} {node} y = Conv(m, v) }}"
    constants = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "begin": np.array([1]),
        "end": np.array([7]),
        "axes": np.array([2]),
    }
    used = {name: array for name, array in constants.items() if name in node}
    case = quantized(text, image, w=weight, v=square(rng), **used)
    assert case.ops == ["Quantize", "QConv", node.split()[2].split("<")[0].split("(")[0], "QConv"]
    assert quants(case)["m"] == quants(case)["c"]
    assert case.sqnr() > 33


def test_pad_value_becomes_an_integer(quantized, image, weight, rng):
    text = f"g (float[N,3,8,8] x) => (float[N,4,h,w] y) {{ {START} m = Pad(c, pads, value) y = Conv(m, v) }}"
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    case = quantized(text, image, w=weight, v=square(rng), pads=pads, value=np.float32(0.5))
    scale, zero_point = quants(case)["c"]
    assert case.constant("Pad", 2) == round(0.5 / scale) + zero_point
    far = quantized(text, image, w=weight, v=square(rng), pads=pads, value=np.float32(-1e9))
    assert far.reasons["pad1"] == "its pad value -1e+09 lies outside the range of its input"


@pytest.mark.parametrize(("value", "fits"), [(-1, True), (-1.001, False), (256, True), (256.001, False)])
def test_a_pad_value_may_lie_one_step_outside(quantized, image, rng, value, fits):
    """Of integers 0 to 255 themselves."""
    text = "g (float[N,3,8,8] x) => (float[N,4,h,w] y) { m = Pad(x, pads, value) y = Conv(m, v) }"
    constants = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "value": np.float32(value)}
    case = quantized(text, image, v=square(rng, 3), ranges={"x": Range(0.0, 255.0)}, **constants)
    assert ("pad0" in case.reasons) != fits
    assert not fits or case.constant("Pad", 2) == min(max(value, 0), 255)


def test_movement_before_the_first_conv_moves_bytes(quantized, rng, weight):
    text = "g (float[N,8,8,3] x) => (float[N,4,6,6] y) { t = Transpose<perm=[0,3,1,2]>(x) y = Conv(t, w) }"
    case = quantized(text, rng.normal(size=(1, 8, 8, 3)).astype(np.float32), w=weight)
    assert case.ops == ["Quantize", "Transpose", "QConv"]
    assert case.lowered.program.values[case.node("Transpose").outputs[0]].dtype == "u8"


def test_movement_after_the_last_product_moves_floats(quantized, image, weight):
    text = f"g (float[N,3,8,8] x) => (float[N,8,8,4] y) {{ {START} y = Transpose<perm=[0,2,3,1]>(c) }}"
    case = quantized(text, image, w=weight)
    assert case.ops == ["Quantize", "QConv", "Transpose"]
    assert case.lowered.program.values["c"].dtype == "f32"


def test_concat_sets_the_scale_of_inputs_that_it_alone_reads(quantized, image, weight, rng):
    text = f"""g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        {{ {START} d = Conv<pads=[1,1,1,1]>(x, u) r = Relu(d) m = Concat<axis=1>(c, r) y = Conv(m, v) }}"""
    case = quantized(text, image, w=weight, u=weight * np.float32(0.01), v=square(rng, 8))
    assert "Requantize" not in case.ops
    assert len({quants(case)[name] for name in ("c", "r", "m")}) == 1
    (relu,) = [n for n in case.lowered.program.nodes if n.outputs == ("r",)]
    assert relu.attributes["lo"] == quants(case)["r"][1] > 0


def test_concat_requantizes_what_others_read_at_a_finer_scale(quantized, image, weight, rng):
    text = f"""g (float[N,3,8,8] x) => (float[N,4,8,8] y, float[N,4,8,8] z)
        {{ {START} d = Conv<pads=[1,1,1,1]>(x, u) m = Concat<axis=1>(c, d)
           y = Conv(m, v) z = Conv(d, t) }}"""
    args = {"w": weight, "v": square(rng, 8), "t": square(rng)}
    fine = quantized(text, image, u=weight * np.float32(0.01), **args)
    assert fine.ops.count("Requantize") == 1
    assert quants(fine)["d"] != quants(fine)["m"] == quants(fine)["c"]
    near = quantized(text, image, u=weight * np.float32(0.9), **args)
    assert near.ops.count("Requantize") == 0
    assert quants(near)["d"] == quants(near)["m"]
    assert min(fine.sqnr(), near.sqnr()) > 30


def test_fixed_ranges_are_requantized_into_a_concat(quantized, image, weight, rng):
    text = f"""g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        {{ {START} s = Sigmoid(c) m = Concat<axis=1>(c, s) y = Conv(m, v) }}"""
    case = quantized(text, image, w=weight, v=square(rng, 8))
    assert case.ops.count("Requantize") == 1
    assert quants(case)["s"] == (1 / 256, 0)


def test_boxes_and_scores_are_not_forced_together(quantized, image, weight, rng):
    """Both heads are pooled, so integers are at hand; the caller alone reads what joins them."""
    text = f"""g (float[N,3,8,8] x) => (float[N,8,4,4] y)
        {{ {START} d = Conv<pads=[1,1,1,1]>(x, u) p = AveragePool<kernel_shape=[5,5]>(c)
           q = AveragePool<kernel_shape=[5,5]>(d) y = Concat<axis=1>(p, q) }}"""
    apart = quantized(text, image, w=weight, u=weight * np.float32(0.01))
    assert apart.reasons["concat4"].startswith("its inputs' ranges differ by a factor of ")
    assert apart.sqnr() > 30
    near = quantized(text, image, w=weight, u=weight[::-1])
    assert near.reasons == {}


def test_one_quantize_and_one_dequantize_a_tensor(quantized, image, weight, rng):
    text = f"""g (float[N,3,8,8] x)
            => (float[N,4,8,8] y, float[N,4,8,8] z, float[N,4,8,8] p, float[N,3,8,8] q)
        {{ {START} a = Relu(c) m = MaxPool<kernel_shape=[1,1]>(a)
           y = Conv(m, v) z = LogSoftmax(m) p = LogSoftmax<axis=1>(m) d = Conv<pads=[1,1,1,1]>(x, w)
           q = Neg(x) }}"""
    case = quantized(text, image, w=weight, v=square(rng))
    assert case.ops.count("Quantize") == 1
    assert case.ops.count("Dequantize") == 1


def test_outputs_that_are_also_read_keep_their_name(quantized, image, weight, rng):
    text = f"g (float[N,3,8,8] x) => (float[N,4,8,8] c, float[N,4,8,8] y) {{ {START} y = Conv(c, v) }}"
    case = quantized(text, image, w=weight, v=square(rng))
    assert case.ops == ["Quantize", "QConv", "Dequantize", "QConv"]
    assert case.lowered.program.values["c"].dtype == "f32"
    assert case.sqnr() > 35


# Scales of exact ranges: what is joined, requantized and left is known to the last bit.

JOINED = """g (float[N,4,8,8] x) => (float[N,{n},8,8] y{outputs})
    {{ a = Conv(x, w) b = Conv(x, w) c = Conv(x, w) {nodes} }}"""
EYE = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)


@pytest.fixture
def joined(quantized, rng):
    """A graph on a, b, c of given ranges; its case, and the forms by name."""

    def make(nodes, ranges, outputs="", channels=(), **constants):
        text = JOINED.format(n="n", nodes=nodes, outputs=outputs)
        weights = {f"v{n}": rng.normal(size=(4, n, 1, 1)).astype("f4") for n in channels}
        x = rng.normal(size=(1, 4, 8, 8)).astype("f4")
        held = {name: Range(*ends) for name, ends in ranges.items()}
        case = quantized(text, x, ranges=held, w=EYE, **weights, **constants)
        return case, quants(case)

    return make


def form(low, high):
    made = affine(Range(low, high))
    return float(made.scale), made.zero_point


def requantized(case):
    """What is requantized: name -> (from, to), by scale and zero point."""
    values = quants(case)
    return {
        node.inputs[0]: (values[node.inputs[0]], values[node.outputs[0]])
        for node in case.lowered.program.nodes
        if node.op == "Requantize"
    }


def test_three_take_the_range_of_their_union(joined):
    ranges = {"a": (-1, 1), "b": (-2, 0.5), "c": (0, 3)}
    case, forms = joined("m = Concat<axis=1>(a, b, c) y = Conv(m, v12)", ranges, channels=[12])
    assert {forms[name] for name in "abcm"} == {form(-2, 3)}
    assert requantized(case) == {}


@pytest.mark.parametrize("place", range(3))
def test_one_of_three_is_requantized(joined, place):
    """What is read elsewhere keeps its own scale where the union is more than twice as wide."""
    names = "abc"
    ranges = dict.fromkeys(names, (-4, 4)) | {names[place]: (-1, 2)}
    nodes = f"m = Concat<axis=1>(a, b, c) y = Conv(m, v12) z = Conv({names[place]}, v4)"
    case, forms = joined(nodes, ranges, ", float[N,4,8,8] z", [12, 4])
    assert forms["m"] == form(-4, 4)
    assert requantized(case) == {names[place]: (form(-1, 2), form(-4, 4))}
    node = case.node("Requantize")
    assert (node.attributes["x_zero_point"], node.attributes["y_zero_point"]) == (85, 127)
    concat = case.node("Concat")
    assert concat.inputs[place] == node.outputs[0]
    assert [forms[name] for name in concat.inputs] == [form(-4, 4)] * 3


@pytest.mark.parametrize(("high", "shared"), [(2.0, True), (2.001, False)])
def test_a_bit_is_the_most_that_sharing_may_cost(joined, high, shared):
    nodes = "m = Concat<axis=1>(a, b) y = Conv(m, v8) z = Conv(a, v4) t = Conv(c, v4)"
    ranges = {"a": (0, 1), "b": (0, high), "c": (0, 1)}
    case, forms = joined(nodes, ranges, ", float[N,4,8,8] z, float[N,4,8,8] t", [8, 4])
    assert forms["m"] == form(0, high)
    assert forms["a"] == (form(0, high) if shared else form(0, 1))
    assert requantized(case) == ({} if shared else {"a": (form(0, 1), form(0, high))})


@pytest.mark.parametrize(("high", "shared"), [(2.0, True), (3.0, False)])
def test_a_second_join_counts_from_the_first_width(joined, high, shared):
    """a took the range of b, twice its own; what widens it again would cost it more than a bit."""
    nodes = """m = Concat<axis=1>(a, b) y = Conv(m, v8) z = Conv(a, v4)
               n = Concat<axis=1>(m, c) t = Conv(n, v12)"""
    ranges = {"a": (0, 1), "b": (0, 2), "c": (0, high)}
    case, forms = joined(nodes, ranges, ", float[N,4,8,8] z, float[N,4,8,8] t", [8, 4, 12])
    assert forms["a"] == forms["b"] == forms["m"] == form(0, 2)
    assert forms["n"] == form(0, high)
    assert requantized(case) == ({} if shared else {"m": (form(0, 2), form(0, high))})


def test_a_join_that_alone_reads_a_join_widens_all(joined):
    nodes = "m = Concat<axis=1>(a, b) n = Concat<axis=1>(m, c) y = Conv(n, v12)"
    case, forms = joined(nodes, {"a": (0, 1), "b": (0, 2), "c": (-30, 0)}, channels=[12])
    # m is a join already, so that what it holds is widened only within a bit.
    assert forms["n"] == form(-30, 2)
    assert forms["a"] == forms["b"] == forms["m"] == form(0, 2)
    assert requantized(case) == {"m": (form(0, 2), form(-30, 2))}


def test_what_was_moved_before_a_join_is_widened_at_its_root(joined):
    nodes = """p = MaxPool<kernel_shape=[1,1]>(a) q = Identity(p) m = Concat<axis=1>(q, b)
               y = Conv(m, v8) z = Conv(c, v4)"""
    case, forms = joined(nodes, {"a": (0, 1), "b": (0, 50), "c": (0, 1)}, ", float[N,4,8,8] z", [8, 4])
    assert {forms[name] for name in "apqmb"} == {form(0, 50)}
    assert requantized(case) == {}
    nodes = nodes.replace("Conv(c, v4)", "Conv(p, v4)")
    case, forms = joined(nodes, {"a": (0, 1), "b": (0, 50)}, ", float[N,4,8,8] z", [8, 4])
    assert {forms[name] for name in "apq"} == {form(0, 1)}
    assert requantized(case) == {"q": (form(0, 1), form(0, 50))}


def test_constants_are_joined_in_the_scale_of_the_union(joined):
    nodes = "m = Concat<axis=1>(a, k) y = Conv(m, v8)"
    k = np.linspace(-3, 1, 256, dtype=np.float32).reshape(1, 4, 8, 8)
    case, forms = joined(nodes, {"a": (0, 2)}, channels=[8], k=k)
    assert forms["a"] == forms["m"] == form(-3, 2)
    scale, zero = form(-3, 2)
    want = np.clip(np.rint(k / np.float32(scale)) + zero, 0, 255)
    assert np.array_equal(case.constant("Concat", 1), want)


@pytest.mark.parametrize("order", ["a, p", "p, a", "p, q", "a, p, q"])
def test_a_tensor_is_joined_with_itself_moved(joined, order):
    """It has the join's scale already when it comes again."""
    moves = "p = Transpose<perm=[0,1,3,2]>(a) q = Identity(a)"
    channels = 4 * len(order.split())
    nodes = f"{moves} m = Concat<axis=1>({order}) y = Conv(m, v{channels})"
    case, forms = joined(nodes, {"a": (-1, 2)}, channels=[channels])
    assert forms["a"] == forms["m"] == form(-1, 2)
    assert requantized(case) == {}


@pytest.mark.parametrize("order", ["a, k", "k, a"])
def test_a_constant_that_is_joined_keeps_its_scale_elsewhere(joined, order):
    """And says nothing of how fine what is joined must stay: c has the whole join's scale."""
    nodes = f"""m = Concat<axis=1>({order}) y = Conv(m, v8) r = Mul(b, k) z = Conv(r, v4)
        n = Concat<axis=1>(m, c) t = Conv(n, v12)"""
    k = np.linspace(0, 1.5, 256, dtype=np.float32).reshape(1, 4, 8, 8)
    ranges = {"a": (0, 2), "b": (0, 1), "r": (0, 1.5), "c": (0, 3.5)}
    outputs = ", float[N,4,8,8] z, float[N,4,8,8] t"
    case, forms = joined(nodes, ranges, outputs, channels=[4, 8, 12], k=k)
    right = case.node("QMul").inputs[1]
    assert forms[right] == form(0, 1.5)
    assert np.array_equal(case.constant("QMul", 1), np.rint(k / np.float32(form(0, 1.5)[0])))
    assert forms["m"] == forms["n"] == form(0, 3.5)
    assert requantized(case) == {}


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_max_and_min_join(joined, op):
    nodes = f"m = {op}(a, b, c) y = Conv(m, v4)"
    case, forms = joined(nodes, {"a": (0, 1), "b": (-5, 1), "c": (0, 9)}, channels=[4])
    assert {forms[name] for name in "abcm"} == {form(-5, 9)}
    assert op in case.ops


def test_one_tensor_twice_is_joined_once(joined):
    nodes = "m = Concat<axis=1>(a, a) y = Conv(m, v8) z = Conv(b, v4)"
    case, forms = joined(nodes, {"a": (0, 1)}, ", float[N,4,8,8] z", [8, 4])
    assert forms["a"] == forms["m"] == form(0, 1)
    assert case.node("Concat").inputs == ("a", "a")


def test_sigmoids_keep_their_scale_where_they_are_joined(joined):
    nodes = "p = Sigmoid(a) q = Sigmoid(b) m = Concat<axis=1>(p, q) y = Conv(m, v8)"
    case, forms = joined(nodes, {}, channels=[8])
    assert {forms[name] for name in "pqm"} == {(1 / 256, 0)}
    nodes = "p = Sigmoid(a) q = Tanh(b) m = Concat<axis=1>(p, q) y = Conv(m, v8)"
    case, forms = joined(nodes, {}, channels=[8])
    assert (forms["p"], forms["q"]) == ((1 / 256, 0), (1 / 128, 128))
    assert forms["m"] == form(-1, 255 / 256)
    assert requantized(case).keys() == {"p", "q"}
    nodes = "p = Sigmoid(a) q = Sigmoid(b) m = Concat<axis=1>(p, q) n = Concat<axis=1>(m, c) y = Conv(n, v12)"
    case, forms = joined(nodes, {"c": (0, 1.5)}, channels=[12])
    assert {forms[name] for name in "pqm"} == {(1 / 256, 0)}
    assert requantized(case) == {"m": ((1 / 256, 0), form(0, 1.5))}


@pytest.mark.parametrize(("high", "apart"), [(4.0, False), (4.001, True)])
def test_two_bits_are_the_most_that_a_float_reader_may_cost(joined, high, apart):
    nodes = """p = AveragePool<kernel_shape=[5,5]>(a) q = AveragePool<kernel_shape=[5,5]>(b)
               y = Concat<axis=1>(p, q) z = Conv(c, v4)"""
    ranges = {"p": (0, 1), "q": (0, high)}
    case, _ = joined(nodes, ranges, ", float[N,4,8,8] z", [4])
    assert any("differ by a factor of 4.0" in reason for reason in case.reasons.values()) == apart


@pytest.mark.parametrize(
    ("second", "third", "apart"),
    [
        ((0, 0), (0, 0), False),
        ((0, 0), (0, 4), False),
        ((0, 0), (0, 4.001), True),
        ((-1, 0), (0, 4), False),
        ((-4.001, -2), (0, 1), True),
        ((1, 2), (-2, 2), False),
    ],
)
def test_what_is_zero_throughout_goes_with_any_scale(joined, second, third, apart):
    """Widths are those of the ranges with 0; one of no width is as fine at every scale."""
    pools = " ".join(f"{y} = AveragePool<kernel_shape=[5,5]>({x})" for x, y in zip("abc", "pqr", strict=True))
    for order in ("p, q, r", "r, q, p", "q, p, r"):
        nodes = f"{pools} y = Concat<axis=1>({order})"
        case, forms = joined(nodes, {"p": (0, 1), "q": second, "r": third})
        assert any("differ by a factor" in reason for reason in case.reasons.values()) == apart
        union = [min(0, second[0], third[0]), max(1, second[1], third[1])]
        assert apart or forms["y_quantized"] == form(*union)


def test_a_join_of_zeros_alone(joined):
    """No width is the least one: there is no ratio."""
    pools = "p = AveragePool<kernel_shape=[5,5]>(a) q = AveragePool<kernel_shape=[5,5]>(b)"
    case, forms = joined(f"{pools} y = Concat<axis=1>(p, q)", {"p": (0, 0), "q": (0, 0)})
    assert forms["y_quantized"] == (1.0, 0)
    assert case.reasons == {}


def test_a_join_of_a_last_product_stays_float(quantized, image, weight):
    """One input would be float32 from a product's sums: joining it in integers would cost its precision."""
    for order in ("c, p", "p, c"):
        text = f"""g (float[N,3,8,8] x) => (float[N,8,8,8] y)
            {{ {START} d = Conv<pads=[1,1,1,1]>(x, w) p = AveragePool<kernel_shape=[1,1]>(d)
               y = Concat<axis=1>({order}) }}"""
        case = quantized(text, image, w=weight)
        assert case.reasons == {"concat3": AFTER_LAST}
        assert case.ops == ["Quantize", "QConv", "QConv", "QAveragePool", "Dequantize", "Concat"]
