"""Each op's integer form: which nodes it becomes, with which integers, and how near it comes to float."""

import math
from fractions import Fraction

import numpy as np
import pytest
from octavo import reference
from octavo.lowering.affine import Range, affine
from octavo.reference.functions import exp

AFTER_LAST = "it follows a float32 result of exact sums, which no op reads as integers"

CONV = "g (float[N,3,8,8] x) => (float[N,4,8,8] y) { c = Conv<pads=[1,1,1,1]>(x, w, b) y = Relu(c) }"


@pytest.fixture
def image(rng):
    return rng.normal(size=(2, 3, 8, 8)).astype(np.float32)


@pytest.fixture
def weight(rng):
    return rng.normal(size=(4, 3, 3, 3)).astype(np.float32)


@pytest.fixture
def square(rng):
    """Weights from 4 channels to 4."""
    return rng.normal(size=(4, 4, 1, 1)).astype(np.float32)


def test_relu_merges_into_a_conv_with_integer_readers(quantized, image, weight, square):
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        { c = Conv<pads=[1,1,1,1]>(x, w, b) r = Relu(c) y = Conv(r, v) }"""
    bias = np.array([0.5, -0.5, 0, 10], np.float32)
    case = quantized(text, image, w=weight, b=bias, v=square)
    assert case.ops == ["Quantize", "QConv", "QConv"]
    first, last = case.lowered.program.nodes[1:]
    out = affine(Range(0.0, float(reference.run(case.floats, {"x": image}, ["r"])[0].max())))
    assert (first.attributes["y_zero_point"], first.attributes["lo"], first.attributes["hi"]) == (0, 0, 255)
    assert case.lowered.program.values[first.outputs[0]].quant.scale[0] == out.scale
    assert len(last.inputs) == 4  # the last layer gives float32
    assert case.lowered.program.values["y"].dtype == "f32"
    assert case.sqnr() > 35
    assert case.lowered.stays == []


def test_conv_integers_against_exact_arithmetic(quantized, image, weight, square):
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        { c = Conv<pads=[1,1,1,1]>(x, w, b) y = Conv(c, v) }"""
    bias = np.array([0.5, -0.5, 0, 10], np.float32)
    case = quantized(text, image, w=weight, b=bias, v=square)
    node = case.lowered.program.nodes[1]
    constants = case.lowered.program.constants
    x, y = (case.lowered.program.values[name].quant for name in (node.inputs[0], node.outputs[0]))
    scale = np.abs(weight).reshape(4, -1).max(axis=1) / np.float32(127)
    multipliers, shifts = constants[node.inputs[3]], constants[node.inputs[4]]
    for c in range(4):
        m = float(x.scale[0]) * float(scale[c]) / float(y.scale[0])
        assert 2**30 < multipliers[c] < 2**31
        assert multipliers[c] == 256 * math.floor(m * 2.0 ** int(shifts[c]) / 256) + 128
        assert constants[node.inputs[2]][c] == round(float(bias[c]) / (float(x.scale[0]) * float(scale[c])))
    assert np.array_equal(
        constants[node.inputs[1]], np.rint(weight.astype(np.float64) / scale[:, None, None, None])
    )


def test_relu_that_is_not_alone_is_a_table(quantized, image, weight, square):
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y, float[N,4,8,8] z)
        { c = Conv<pads=[1,1,1,1]>(x, w) r = Relu(c) y = Conv(r, v) z = Conv(c, v) }"""
    case = quantized(text, image, w=weight, v=square)
    assert case.ops == ["Quantize", "QConv", "Lookup", "QConv", "QConv"]
    assert case.sqnr() > 35


def test_clip_bounds_in_the_output_scale(quantized, image, weight, square):
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        { c = Conv<pads=[1,1,1,1]>(x, w) r = Clip(c, low, high) y = Conv(r, v) }"""
    case = quantized(text, image, w=weight, v=square, low=np.float32(-1), high=np.float32(2))
    node = case.lowered.program.nodes[1]
    form = affine(Range(-1.0, 2.0))
    assert node.attributes["lo"] == round(-1 / float(form.scale)) + form.zero_point
    assert node.attributes["hi"] == min(255, round(2 / float(form.scale)) + form.zero_point)
    assert case.sqnr() > 35


def test_clip_with_one_bound_keeps_its_side(quantized, image, weight, square):
    for bounds, lowest, highest in (("low", -1.0, 99.0), (", high", -99.0, 2.0)):
        text = f"""g (float[N,3,8,8] x) => (float[N,4,8,8] y)
            {{ c = Conv<pads=[1,1,1,1]>(x, w) r = Clip(c, {bounds}) y = Conv(r, v) }}"""
        constants = {"low": np.float32(-1)} if bounds == "low" else {"high": np.float32(2)}
        case = quantized(text, image, w=weight, v=square, **constants)
        assert case.ops == ["Quantize", "QConv", "QConv"]
        node = case.lowered.program.nodes[1]
        quant = case.lowered.program.values[node.outputs[0]].quant
        lo, hi = (round(x / float(quant.scale[0])) + int(quant.zero_point[0]) for x in (lowest, highest))
        assert (node.attributes["lo"], node.attributes["hi"]) == (max(0, lo), min(255, hi))


def test_clip_with_crossed_bounds_is_a_table(quantized, image, weight, square):
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        { c = Conv<pads=[1,1,1,1]>(x, w) r = Clip(c, low, high) y = Conv(r, v) }"""
    case = quantized(text, image, w=weight, v=square, low=np.float32(2), high=np.float32(-1))
    assert case.ops == ["Quantize", "QConv", "Lookup", "QConv"]


@pytest.mark.parametrize("bound", [-1.0, 0.0, 1.0])
def test_clip_with_bounds_that_meet_is_merged(quantized, image, weight, square, bound):
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        { c = Conv<pads=[1,1,1,1]>(x, w) r = Clip(c, low, high) y = Conv(r, v) }"""
    case = quantized(text, image, w=weight, v=square, low=np.float32(bound), high=np.float32(bound))
    assert case.ops == ["Quantize", "QConv", "QConv"]
    node = case.lowered.program.nodes[1]
    assert node.attributes["lo"] == node.attributes["hi"] == (0 if bound < 0 else 255 if bound > 0 else 0)


@pytest.mark.parametrize("trans", [0, 1])
def test_gemm_takes_alpha_beta_and_transpose_in(quantized, rng, trans):
    text = f"g (float[N,6] x) => (float[N,5] y) {{ y = Gemm<alpha=0.5, beta=2.0, transB={trans}>(x, w, c) }}"
    weight = rng.normal(size=(5, 6) if trans else (6, 5)).astype(np.float32)
    bias = rng.normal(size=(1, 5)).astype(np.float32)
    case = quantized(text, rng.normal(size=(7, 6)).astype(np.float32), w=weight, c=bias)
    assert case.ops == ["Quantize", "QGemm"]
    assert np.array_equal(case.constant("QGemm", 2), (bias * np.float32(2)).reshape(-1))
    halved = (weight.T if trans else weight) * np.float32(0.5)
    assert np.array_equal(case.constant("QGemm", 3), np.abs(halved).max(axis=0) / np.float32(127))
    assert case.sqnr() > 35


def test_matmul_of_rank_three_takes_its_bias_in(quantized, rng):
    text = "g (float[N,4,6] x) => (float[N,4,5] y) { m = MatMul(x, w) y = Add(b, m) }"
    weight, bias = rng.normal(size=(6, 5)).astype(np.float32), rng.normal(size=(1, 1, 5)).astype(np.float32)
    case = quantized(text, rng.normal(size=(2, 4, 6)).astype(np.float32), w=weight, b=bias)
    assert case.ops == ["Quantize", "QGemm"]
    assert np.array_equal(case.constant("QGemm", 2), bias.reshape(-1))


TWO = """g (float[N,3,8,8] x) => (float[N,4,8,8] y)
    {{ a = Conv<pads=[1,1,1,1]>(x, w) b = Conv<pads=[1,1,1,1]>(x, u) {sum} y = Conv(s, v) }}"""


@pytest.mark.parametrize(("op", "becomes"), [("Add", "QAdd"), ("Sub", "QAdd"), ("Mul", "QMul")])
def test_two_activations(quantized, image, weight, square, rng, op, becomes):
    other = rng.normal(size=(4, 3, 3, 3)).astype(np.float32) * np.float32(3)
    case = quantized(
        TWO.format(sum=f"c = Relu(a) d = Relu(b) s = {op}(c, d)"), image, w=weight, u=other, v=square
    )
    assert case.ops == ["Quantize", "QConv", "QConv", becomes, "QConv"]
    node = case.node(becomes)
    assert node.inputs == ("c", "d")
    if op != "Mul":
        assert node.attributes["a_multiplier"] > 0
        assert (node.attributes["b_multiplier"] < 0) == (op == "Sub")
    assert case.sqnr() > 30


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
def test_constant_operand_a_channel(quantized, image, weight, square, op):
    text = f"""g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        {{ a = Conv<pads=[1,1,1,1]>(x, w) r = Relu(a) s = {op}(r, k) y = Conv(s, v) }}"""
    k = np.array([0.5, 2, -1, 4], np.float32).reshape(4, 1, 1)
    case = quantized(text, image, w=weight, v=square, k=k)
    assert case.ops == ["Quantize", "QConv", "QMul" if op in ("Mul", "Div") else "QAdd", "QConv"]
    assert case.sqnr() > 30


@pytest.mark.parametrize(
    "nodes",
    [
        "r = HardSwish(a)",
        "s = Sigmoid(a) r = Mul(a, s)",
        "p = Add(a, three) q = Clip(p, zero, six) t = Mul(a, q) r = Div(t, six)",
        "t = Tanh(a) q = Exp(t) r = Sqrt(q)",
        "r = PRelu(a, tenth)",
        "r = Pow(a, two)",
        "r = Max(a, tenth)",
        "r = Add(a, a)",
    ],
)
def test_functions_of_one_tensor_are_one_table(quantized, image, weight, square, nodes):
    text = f"""g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        {{ a = Conv<pads=[1,1,1,1]>(x, w) {nodes} y = Conv(r, v) }}"""
    numbers = {"zero": 0, "tenth": 0.1, "two": 2, "three": 3, "six": 6}
    constants = {name: np.float32(number) for name, number in numbers.items() if name in nodes}
    case = quantized(text, image, w=weight, v=square, **constants)
    assert case.ops == ["Quantize", "QConv", "Lookup", "QConv"]
    assert case.sqnr() > 30
    x, y = (case.lowered.program.values[n].quant for n in (case.node("Lookup").inputs[0], "r"))
    reals = x.scale[0] * (np.arange(256) - x.zero_point[0]).astype(np.float32)
    feeds = {"x": np.zeros((1, 3, 8, 8), np.float32), "a": reals}
    want = np.rint(_function(case.floats, feeds) / y.scale[0]) + np.float32(y.zero_point[0])
    assert np.array_equal(case.constant("Lookup", 1), np.clip(np.nan_to_num(want, nan=0), 0, 255))


def _function(program, feeds):
    """The nodes from a to r, on `feeds["a"]`."""
    from octavo.program import Program, Value

    nodes = [node for node in program.nodes if node.op != "Conv"]
    names = {name for node in nodes for name in (*node.inputs, *node.outputs)}
    values = {n: Value(n, "f32", () if n in program.constants else (256,)) for n in names}
    constants = {n: program.constants[n] for n in names if n in program.constants}
    return reference.run(Program(["a"], ["r"], values, constants, nodes), {"a": feeds["a"]})[0]


def test_two_readers_of_one_chain_take_a_table_each_from_its_root(quantized, image, weight, square):
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y, float[N,4,8,8] z)
        { a = Conv<pads=[1,1,1,1]>(x, w) s = Sigmoid(a) t = Exp(s) y = Conv(s, v) z = Conv(t, v) }"""
    case = quantized(text, image, w=weight, v=square)
    assert case.ops == ["Quantize", "QConv", "Lookup", "Lookup", "QConv", "QConv"]
    tables = [node for node in case.lowered.program.nodes if node.op == "Lookup"]
    assert tables[0].inputs[0] == tables[1].inputs[0]


def test_fixed_output_ranges(quantized, image, weight, square):
    for op, form in (("Sigmoid", (1 / 256, 0)), ("Tanh", (1 / 128, 128))):
        text = f"""g (float[N,3,8,8] x) => (float[N,4,8,8] y)
            {{ a = Conv<pads=[1,1,1,1]>(x, w) r = {op}(a) y = Conv(r, v) }}"""
        quant = quantized(text, image, w=weight, v=square).lowered.program.values["r"].quant
        assert (quant.scale[0], quant.zero_point[0]) == form


def test_softmax_between_integer_ops(quantized, image, weight, square):
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        { a = Conv<pads=[1,1,1,1]>(x, w) r = Softmax<axis=1>(a) y = Conv(r, v) }"""
    case = quantized(text, image, w=weight, v=square)
    assert case.ops == ["Quantize", "QConv", "QSoftmax", "QConv"]
    assert case.node("QSoftmax").attributes == {"axis": 1}
    assert case.sqnr() > 30


@pytest.mark.parametrize("step", [1 / 8, 0.1, 0.02, 0.001, 1e-9])
def test_the_table_of_a_softmax(quantized, image, weight, square, step):
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        { a = Conv<pads=[1,1,1,1]>(x, w) r = Softmax<axis=1>(a) y = Conv(r, v) }"""
    case = quantized(text, image, w=weight, v=square, ranges={"a": Range(-100 * step, 155 * step)})
    table = case.constant("QSoftmax", 1).tolist()
    scale = case.lowered.program.values[case.node("QSoftmax").inputs[0]].quant.scale[0]
    assert scale == np.float32(step)
    distances = -(scale * np.arange(256, dtype=np.float32))
    assert table == [round(2**22 * Fraction(float(e))) for e in exp(distances)]
    # An exp of another make: float32 has 24 bits, so that an ulp is at most half a unit of the table.
    assert all(
        abs(entry - 2**22 * math.exp(d)) <= 1 for entry, d in zip(table, distances.tolist(), strict=True)
    )


def test_the_widest_step_of_a_softmax(quantized, image, weight, square):
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        { a = Conv<pads=[1,1,1,1]>(x, w) r = Softmax<axis=1>(a) y = Conv(r, v) }"""
    wide = float(np.nextafter(np.float32(1 / 8), np.float32(1)))
    case = quantized(text, image, w=weight, v=square, ranges={"a": Range(0.0, 255 * wide)})
    assert case.reasons["softmax1"].startswith(
        "its input's range is so wide that a step in uint8 would be 0.125"
    )


def test_softmax_at_the_end_stays_float(quantized, rng):
    text = "g (float[N,6] x) => (float[N,5] y) { m = MatMul(x, w) y = Softmax(m) }"
    case = quantized(text, rng.normal(size=(3, 6)).astype(np.float32), w=rng.normal(size=(6, 5)).astype("f4"))
    assert case.ops == ["Quantize", "QGemm", "Softmax"]
    assert case.reasons == {"softmax1": AFTER_LAST}
    assert all(stay.expected for stay in case.lowered.stays)


@pytest.mark.parametrize("before", ["GlobalAveragePool(a)", "MaxPool<kernel_shape=[6,6]>(a)", "Sigmoid(a)"])
def test_softmax_at_the_end_stays_float_behind_whatever_it_follows(quantized, image, weight, before):
    """Its integers would be the caller's only to be dequantized."""
    text = f"g (float[N,3,8,8] x) => (float y) {{ a = Conv(x, w) p = {before} y = Softmax<axis=1>(p) }}"
    case = quantized(text, image, w=weight)
    assert case.ops[-1] == "Softmax"
    assert case.reasons["softmax2"] == AFTER_LAST


@pytest.mark.parametrize(
    ("pool", "becomes"),
    [
        ("AveragePool<kernel_shape=[2,2], strides=[2,2]>(r)", "QAveragePool"),
        ("AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(r)", "QAveragePool"),
        ("GlobalAveragePool(r)", "QReduceMean"),
        ("ReduceMean<keepdims=1>(r, axes)", "QReduceMean"),
    ],
)
def test_means_have_a_range_of_their_own(quantized, image, weight, square, pool, becomes):
    text = f"""g (float[N,3,8,8] x) => (float[N,4,h,w] y)
        {{ a = Conv<pads=[1,1,1,1]>(x, w) r = Relu(a) p = {pool} y = Conv(p, v) }}"""
    axes = {"axes": np.array([-1, 2])} if "axes" in pool else {}
    case = quantized(text, image, w=weight, v=square, **axes)
    assert case.ops == ["Quantize", "QConv", becomes, "QConv"]
    node = case.node(becomes)
    x, y = (case.lowered.program.values[name].quant for name in (node.inputs[0], node.outputs[0]))
    assert node.attributes["ratio"] == np.float64(x.scale[0]) / np.float64(y.scale[0])
    assert y.scale[0] < x.scale[0]
    assert case.sqnr() > 30


@pytest.mark.parametrize("pool", ["GlobalAveragePool(r)", "ReduceMean<keepdims=1>(r, axes)"])
@pytest.mark.parametrize(
    "end", ["y = Flatten(p)", "q = Relu(p) y = Flatten(q)", "q = Reshape(p, s) y = Softmax(q)"]
)
def test_means_at_the_end_give_floats(quantized, image, weight, pool, end):
    """Logits are not rounded to 256 steps, and what follows them stays float."""
    text = f"g (float[N,3,8,8] x) => (float y) {{ a = Conv(x, w) r = Relu(a) p = {pool} {end} }}"
    constants = {"axes": np.array([2, 3]), "s": np.array([0, 4])}
    used = {name: array for name, array in constants.items() if f", {name})" in text}
    case = quantized(text, image, w=weight, **used)
    after = [node.split("(")[0].split()[-1] for node in end.split(")")[:-1]]
    assert case.ops == ["Quantize", "QConv", "QReduceMean", *after]
    assert set(case.reasons.values()) == {AFTER_LAST}
    assert all(stay.expected for stay in case.lowered.stays)
    node, values = case.node("QReduceMean"), case.lowered.program.values
    assert node.attributes["x_scale"] == values[node.inputs[0]].quant.scale[0]
    assert (values[node.outputs[0]].dtype, values[node.outputs[0]].quant) == ("f32", None)
    assert case.sqnr() > 35


def test_a_mean_that_integers_read_too_is_requantized(quantized, image, weight, square):
    text = """g (float[N,3,8,8] x) => (float y, float p)
        { a = Conv(x, w) p = GlobalAveragePool(a) y = Conv(p, v) }"""
    case = quantized(text, image, w=weight, v=square)
    assert case.ops == ["Quantize", "QConv", "QReduceMean", "Dequantize", "QConv"]


def test_an_average_pool_at_the_end_gives_integers(quantized, image, weight):
    text = """g (float[N,3,8,8] x) => (float y)
        { a = Conv(x, w) p = AveragePool<kernel_shape=[2,2]>(a) y = Flatten(p) }"""
    assert quantized(text, image, w=weight).ops == [
        "Quantize",
        "QConv",
        "QAveragePool",
        "Flatten",
        "Dequantize",
    ]
