"""Sums rounded once: which Adds a product takes in, by which numbers, and which stay as they are."""

import numpy as np
import pytest
from octavo.lowering import Affine, Forms, GivenWeights, Range, lower_to_integers
from octavo.program.validate import validate

F = np.float32
IMAGE = "float[N,4,6,6]"


@pytest.fixture
def network(quantized, rng):
    """A case of convolutions by `v`, `w` (group 1) and `d` (depthwise), fed with images."""

    def make(nodes, inputs=f"{IMAGE} x", outputs="float y", shape=(2, 4, 6, 6), **more):
        feeds = {part.split()[-1]: rng.normal(size=shape).astype(F) for part in inputs.split(", ")}
        constants = {
            "v": rng.normal(size=(4, 4, 1, 1)).astype(F),
            "w": rng.normal(size=(4, 4, 1, 1)).astype(F),
        }
        return quantized(f"g ({inputs}) => ({outputs}) {{ {nodes} }}", feeds, **constants, **more)

    return make


def adds(case):
    """The nodes that add: by op and name."""
    nodes = case.lowered.program.nodes
    return [(node.op, node.name) for node in nodes if node.op in ("QAdd", "Add") or len(node.inputs) > 5]


@pytest.mark.parametrize("order", ["c, x", "x, c"])
def test_an_input_joins_a_convolution(network, order):
    case = network(f"c = Conv(x, v) s = Add({order}) y = Conv(s, w)")
    assert case.ops == ["Quantize", "QConv", "QConv"]
    first = case.lowered.program.nodes[1]
    assert first.inputs[5] == first.inputs[0] == "x_quantized"
    assert first.outputs == ("s",)
    assert "c" not in case.lowered.program.values
    assert case.lowered.nodes["conv0"] == ("conv0", "add1")
    assert case.lowered.values["s"] == "s"
    assert case.lowered.stays == []
    assert case.sqnr() > 30


@pytest.mark.parametrize("order", ["c, b", "b, c"])
def test_a_residual_is_made_before(network, order):
    """The product comes first in the graph, and stands behind the maker of what joins it."""
    case = network(f"c = Conv(x, v) a = Conv(x, w) b = Relu(a) s = Add({order}) y = Conv(s, w)")
    assert case.ops == ["Quantize", "QConv", "QConv", "QConv"]
    assert [node.name for node in case.lowered.program.nodes[1:]] == ["conv1", "conv0", "conv4"]
    assert adds(case) == [("QConv", "conv0")]


def test_what_clips_the_sum_belongs_to_it(network):
    text = "c = Conv(x, v) s = Add(c, x) r = Clip(s, low, high) y = Conv(r, w)"
    case = network(text, low=F(-0.5), high=F(1.5))
    first = case.lowered.program.nodes[1]
    assert case.ops == ["Quantize", "QConv", "QConv"]
    assert case.lowered.nodes[first.name] == ("conv0", "add1", "clip2")
    quant = case.lowered.program.values["r"].quant
    bounds = [round(bound / float(quant.scale[0])) + int(quant.zero_point[0]) for bound in (-0.5, 1.5)]
    assert [first.attributes[name] for name in ("lo", "hi")] == [max(bounds[0], 0), min(bounds[1], 255)]


def test_a_bias_stays_with_its_product(network, rng):
    bias = rng.normal(size=(4, 1, 1)).astype(F)
    case = network("c = Conv(x, v) b = Add(c, k) s = Add(b, x) y = Conv(s, w)", k=bias)
    assert case.ops == ["Quantize", "QConv", "QConv"]
    assert case.lowered.nodes["conv0"] == ("conv0", "add1", "add2")
    assert case.sqnr() > 30


def test_a_matrix_product_of_more_axes(quantized, rng):
    text = "g (float[N,3,6] x) => (float y) { m = MatMul(x, a) s = Add(x, m) y = MatMul(s, b) }"
    square = rng.normal(size=(2, 6, 6)).astype(F)
    case = quantized(text, rng.normal(size=(2, 3, 6)).astype(F), a=square[0], b=square[1])
    assert case.ops == ["Quantize", "QGemm", "QGemm"]
    assert adds(case) == [("QGemm", "matmul0")]
    assert case.sqnr() > 30


@pytest.mark.parametrize("order", ["a, b", "b, a"])
@pytest.mark.parametrize("wide", ["a", "b", "neither"])
def test_of_two_products_the_one_of_the_wider_range_takes_the_sum(lowered, rng, order, wide):
    """The left one where their ranges are one."""
    text = f"g ({IMAGE} x) => (float y) {{ a = Conv(x, v) b = Conv(x, w) s = Add({order}) y = Conv(s, v) }}"
    ranges = {name: (-1, 1) for name in "xabsy"} | ({wide: (-2, 1)} if wide in "ab" else {})
    weights = rng.normal(size=(2, 4, 4, 1, 1)).astype(F)
    made = lowered(text, ranges, v=weights[0], w=weights[1])
    taker = wide if wide in "ab" else order[0]
    (node,) = (node for node in made.program.nodes if len(node.inputs) > 5)
    assert node.name == {"a": "conv0", "b": "conv1"}[taker]
    assert node.inputs[5] == {"a": "b", "b": "a"}[taker]


def test_a_chain_of_sums(network):
    text = "a = Conv(x, v) s = Add(a, x) b = Conv(s, w) t = Add(b, s) c = Conv(t, v) u = Add(t, c)"
    case = network(f"{text} y = Conv(u, w)")
    assert case.ops == ["Quantize", *["QConv"] * 4]
    assert [name for _, name in adds(case)] == ["conv0", "conv2", "conv4"]


STAY = {
    "an activation in between": "c = Conv(x, v) r = Relu(c) s = Add(r, x) y = Conv(s, w)",
    "another reader": "c = Conv(x, v) s = Add(c, x) t = Conv(c, w) y = Conv(s, w) z = Conv(t, w)",
    "an output": "c = Conv(x, v) s = Add(c, x) y = Conv(s, w)",
    "a difference": "c = Conv(x, v) s = Sub(c, x) y = Conv(s, w)",
    "a pool": "m = MaxPool<kernel_shape=[1,6]>(x) c = Conv(x, v) s = Add(c, m) y = Conv(s, w) z = Conv(m, w)",
    "a wider tensor": "m = MaxPool<kernel_shape=[1,6]>(x) c = Conv(m, v) s = Add(c, x) y = Conv(s, w)",
}


@pytest.mark.parametrize("what", STAY)
def test_what_stays_an_addition_of_its_own(network, what):
    outputs = {
        "an output": "float c, float y",
        "another reader": "float y, float z",
        "a pool": "float y, float z",
    }.get(what, "float y")
    case = network(STAY[what], outputs=outputs)
    assert [op for op, _ in adds(case)] == ["QAdd"]
    assert case.lowered.stays == []


def test_a_depthwise_convolution_does_not_take_a_sum(quantized, rng):
    depthwise = "Conv<group=16, pads=[1,1,1,1]>(x, d)"
    text = f"g (float[N,16,6,6] x) => (float y) {{ c = {depthwise} s = Add(c, x) y = Conv(s, p) }}"
    constants = {"d": rng.normal(size=(16, 1, 3, 3)).astype(F), "p": rng.normal(size=(2, 16, 1, 1)).astype(F)}
    case = quantized(text, rng.normal(size=(2, 16, 6, 6)).astype(F), **constants)
    assert [op for op, _ in adds(case)] == ["QAdd"]


def test_shapes_that_may_differ_stay(lowered, rng):
    """One axis by two names: a run may find one of them 1."""
    text = """g (float[N,4,6,6] x, float[M,4,6,6] z) => (float y)
        { c = Conv(x, v) m = Conv(z, v) r = Relu(m) s = Add(c, r) y = Conv(s, v) }"""
    ranges = {name: (-1, 1) for name in "xzcmrsy"}
    weight = rng.normal(size=(4, 4, 1, 1)).astype(F)
    made = lowered(text, ranges, v=weight)
    assert [node.op for node in made.program.nodes].count("QAdd") == 1
    made = lowered(text.replace("M,", "N,"), ranges, v=weight)
    assert [node.op for node in made.program.nodes].count("QAdd") == 0


def test_an_addition_kept_in_float_is_not_taken_in(network):
    text = "c = Conv(x, v) s = Add(c, x) y = Conv(s, w)"
    program = network(text).floats
    forms = Forms({name: Range(-1, 1) for name in "xcsy"})
    made = lower_to_integers(program, forms, ["add1"])
    assert [node.op for node in made.program.nodes if node.op == "Add"] == ["Add"]


def test_a_channel_of_weights_too_fine_for_its_residual_gets_a_coarser_scale(network, rng):
    weight = rng.normal(size=(4, 4, 1, 1)).astype(F)
    weight[2] *= F(2.0**-20)
    case = network("c = Conv(x, u) s = Add(c, x) y = Conv(s, w)", u=weight)
    assert [op for op, _ in adds(case)] == ["QConv"]
    node = case.lowered.program.nodes[1]
    scales = case.lowered.program.values[node.inputs[1]].quant.scale
    plain = np.abs(weight).max(axis=(1, 2, 3)) / F(127)
    doubled = np.log2(scales / plain)
    assert (doubled == np.rint(doubled)).all()
    assert (doubled[[0, 1, 3]] == 0).all()
    ratio = 1 / scales[2]  # of equal scales of x as the input and as the residual
    assert 2**13 - 1 < ratio < 2**14
    assert case.sqnr() > 30


def given(program, scale):
    """Forms in which all activations have the step of a byte in -1..1, and the weights `v` that scale."""
    integers = np.full(program.values["v"].shape, 100, np.int8)
    held = {name: Range(-1, 1) for name in "xcsy"}
    return Forms(held, weights={"v": GivenWeights(integers, np.array([scale], F))})


@pytest.mark.parametrize(("steps", "op"), [(2.0**14 - 1, "QConv"), (2.0**14, "QAdd")])
def test_weights_that_are_given_keep_their_scale(network, steps, op):
    """Then a residual whose step is 2^14 times that of the sums is added behind them."""
    program = network("c = Conv(x, v) s = Add(c, x) y = Conv(s, w)").floats
    made = lower_to_integers(program, given(program, 1 / steps))
    validate(made.program)
    assert [node.op for node in made.program.nodes][1:2] == ["QConv"]
    assert ("QAdd" in [node.op for node in made.program.nodes]) == (op == "QAdd")


def test_sums_that_a_residual_could_take_out_of_int32_stay_apart(quantized, rng):
    """The weights alone reach to 2^31 less a little: enough for themselves, not for a residual too."""
    k = 2**31 // (127 * 255)
    text = f"""g (float[1,{k}] x, float[1,1] r) => (float y)
        {{ c = MatMul(x, a) q = MatMul(r, one) t = Relu(q) s = Add(c, t) y = MatMul(s, one) }}"""
    feeds = {"x": rng.random((1, k)).astype(F), "r": np.ones((1, 1), F)}
    for rows, op in ((k, "QAdd"), (k // 2, "QGemm")):
        weight = np.where(np.arange(k) < rows, 1, 0).astype(F)[:, None]
        ranges = {"x": Range(0, 1), "c": Range(0, 9), "s": Range(0, 9), "t": Range(0, 0.1)}
        case = quantized(text, feeds, a=weight, one=np.ones((1, 1), F), ranges=ranges)
        assert adds(case)[0][0] == op


@pytest.mark.parametrize("name", ["x", "s"])
def test_a_scale_a_channel_of_what_is_added_or_made_leaves_the_sum_alone(network, name):
    program = network("c = Conv(x, v) s = Add(c, x) y = Conv(s, w)").floats
    form = Affine(F(0.01), 0, channels=(F(0.01), F(0.005), F(0.01), F(0.002)))
    made = lower_to_integers(program, Forms({n: Range(-1, 1) for n in "xcsy"}, given={name: form}))
    validate(made.program)
    assert not any(len(node.inputs) > 5 for node in made.program.nodes)
