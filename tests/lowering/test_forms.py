"""Forms that are given, what is decided before a node is written, and what the Program remembers."""

import numpy as np
import pytest
from octavo import reference
from octavo.lowering import Affine, Forms, GivenWeights, Range, decision, lower_to_integers
from octavo.program.validate import validate

CONV = """g (float[N,3,8,8] x) => (float[N,4,8,8] y)
    { a = Conv<pads=[1,1,1,1]>(x, w) r = Relu(a) y = Conv(r, v) }"""


def form(scale, zero_point):
    return Affine(np.float32(scale), zero_point)


@pytest.fixture
def rng():
    return np.random.default_rng(8)


@pytest.fixture
def weight(rng):
    return rng.normal(size=(4, 3, 3, 3)).astype("f4")


@pytest.fixture
def square(rng):
    return rng.normal(size=(4, 4, 1, 1)).astype("f4")


def ranges(program, width=4.0):
    return {name: Range(-width, width) for name, value in program.values.items() if value.dtype == "f32"}


def quant(lowered, name):
    found = lowered.program.values[name].quant
    return float(found.scale[0]), int(found.zero_point[0])


def test_given_forms_are_taken_and_the_others_derived(floats, weight, square):
    program = floats(CONV, w=weight, v=square)
    given = {"x": form(0.125, 7), "r": form(0.0625, 0)}
    lowered = lower_to_integers(program, Forms(ranges(program), given))
    validate(lowered.program)
    assert quant(lowered, "x_quantized") == (0.125, 7)
    assert quant(lowered, "r") == (0.0625, 0)
    first = next(node for node in lowered.program.nodes if node.op == "QConv")
    assert (first.attributes["x_zero_point"], first.attributes["y_zero_point"]) == (7, 0)
    assert lowered.forms == {"x": given["x"], "r": given["r"]}


@pytest.mark.parametrize("per_tensor", [False, True])
def test_given_weights_of_a_convolution(floats, rng, per_tensor):
    weight = rng.normal(size=(5, 3, 3, 3)).astype("f4")
    integers = rng.integers(-128, 128, weight.shape).astype(np.int8)
    scale = rng.uniform(0.01, 0.02, 1 if per_tensor else 5).astype("f4")
    text = "g (float[N,3,8,8] x) => (float y) { a = Conv(x, w) r = Relu(a) y = Conv(r, v) }"
    program = floats(text, w=weight, v=np.ones((2, 5, 1, 1), "f4"))
    forms = Forms(ranges(program), weights={"w": GivenWeights(integers, scale.reshape(-1, 1, 1, 1))})
    lowered = lower_to_integers(program, forms)
    validate(lowered.program)
    assert np.array_equal(lowered.program.constants["w_quantized"], integers)
    found = lowered.program.values["w_quantized"].quant.scale
    assert np.array_equal(found, np.broadcast_to(scale, 5))
    assert lowered.values["w_quantized"] == "w"


@pytest.mark.parametrize(("transposed", "alpha"), [(0, 1.0), (1, 1.0), (1, 0.5), (0, 3.0)])
def test_given_weights_of_a_gemm(floats, rng, transposed, alpha):
    integers = rng.integers(-127, 128, (4, 6)).astype(np.int8)
    scale = rng.uniform(0.01, 0.02, 4 if transposed else 6).astype("f4")
    text = f"""g (float[N,{6 if transposed else 4}] x) => (float y)
        {{ y = Gemm<transB={transposed}, alpha={alpha}>(x, w, b) }}"""
    bias = np.ones(4 if transposed else 6, "f4")
    program = floats(text, w=integers.astype("f4"), b=bias)
    along = scale[:, None] if transposed else scale
    lowered = lower_to_integers(program, Forms(ranges(program), weights={"w": GivenWeights(integers, along)}))
    found = lowered.program.constants["w_quantized"]
    assert np.array_equal(found, integers.T if transposed else integers)
    assert np.array_equal(lowered.program.values["w_quantized"].quant.scale, scale * np.float32(alpha))


def test_given_weights_that_cannot_be_taken_stay_float(floats, weight, square):
    program = floats(CONV, w=weight, v=square)

    def reason(integers, scale, x=None):
        given = {} if x is None else {"x": x}
        forms = Forms(ranges(program), given, {"w": GivenWeights(integers, np.array([scale], "f4"))})
        return {stay.name: stay.reason for stay in lower_to_integers(program, forms).stays}.get("conv0")

    ones = np.ones(weight.shape, np.int8)
    assert reason(ones, 0.5) is None
    assert reason(ones, 0.0) == reason(ones, np.inf) == reason(ones, -1.0)
    assert "not a positive number" in reason(ones, 0.0)


@pytest.mark.parametrize(("axis", "fits"), [(0, True), (1, False), (2, False)])
def test_given_scales_are_of_output_channels(floats, weight, square, axis, fits):
    shape = [size if place == axis else 1 for place, size in enumerate(weight.shape)]
    scale = np.linspace(0.01, 0.02, weight.shape[axis]).astype("f4").reshape(shape)
    program = floats(CONV, w=weight, v=square)
    forms = Forms(ranges(program), weights={"w": GivenWeights(np.ones(weight.shape, np.int8), scale)})
    reasons = [stay.reason for stay in lower_to_integers(program, forms).stays if stay.name == "conv0"]
    assert reasons == ([] if fits else ["its weights have other scales than one an output channel"])


def test_a_bias_that_does_not_fit_at_given_scales(floats, weight):
    text = "g (float[N,3,8,8] x) => (float y) { a = Conv(x, w, b) r = Relu(a) y = Conv(r, v) }"
    program = floats(text, w=weight, v=np.ones((2, 4, 1, 1), "f4"), b=np.full(4, 1e6, "f4"))
    ones = np.ones(weight.shape, np.int8)
    for scale, fits in ((1e-3, True), (1e-5, False)):
        forms = Forms(
            ranges(program), {"x": form(1, 128)}, {"w": GivenWeights(ones, np.array([scale], "f4"))}
        )
        reasons = [stay.reason for stay in lower_to_integers(program, forms).stays if stay.name == "conv0"]
        assert reasons == ([] if fits else ["its bias is too large for int32 at the scales that are given"])


def test_sums_of_given_weights_that_are_too_long(floats):
    k = 66312
    program = floats(f"g (float[N,{k}] x) => (float y) {{ y = MatMul(x, w) }}", w=np.ones((k, 1), "f4"))
    most = np.full((k, 1), 127, np.int8)
    for integers, fits in ((most, False), (most - np.int8(1), True)):
        forms = Forms(ranges(program), {"x": form(1, 0)}, {"w": GivenWeights(integers, np.ones(1, "f4"))})
        reasons = [stay.reason for stay in lower_to_integers(program, forms).stays]
        assert reasons == ([] if fits else [f"its sums over {k} products could leave int32"])


def test_a_move_between_two_given_forms_is_requantized(floats, weight, square, rng):
    text = """g (float[N,3,8,8] x) => (float[N,4,4,4] y)
        { a = Conv<pads=[1,1,1,1]>(x, w) m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a) y = Conv(m, v) }"""
    program = floats(text, w=weight, v=square)
    given = {"a": form(0.05, 100), "m": form(0.13, 90)}
    lowered = lower_to_integers(program, Forms(ranges(program), given))
    validate(lowered.program)
    ops = [node.op for node in lowered.program.nodes]
    assert ops == ["Quantize", "QConv", "Requantize", "MaxPool", "QConv"]
    assert quant(lowered, "a") == (float(np.float32(0.05)), 100)
    assert quant(lowered, "a_requantized") == quant(lowered, "m") == (float(np.float32(0.13)), 90)
    x = {"x": rng.normal(size=(2, 3, 8, 8)).astype("f4")}
    a, m = reference.run(lowered.program, x, ["a", "m"])
    factor = np.float64(np.float32(0.05)) / np.float64(np.float32(0.13))
    moved = np.clip(np.floor((a.astype(np.int64) - 100) * factor + 0.5) + 90, 0, 255)
    assert np.array_equal(moved.reshape(2, 4, 4, 2, 4, 2).max((3, 5)), m)


def test_what_joins_takes_the_form_that_is_given_for_it(floats, weight, square):
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w) b = Conv<pads=[1,1,1,1]>(x, u) c = Concat<axis=1>(a, b, k)
        y = Conv(c, v) z = Conv(a, s) }"""
    wide = np.ones((4, 9, 1, 1), "f4")
    extra = np.ones((1, 1, 8, 8), "f4")
    program = floats(text.replace("[N,", "[1,"), w=weight, u=weight, v=wide, k=extra, s=square)
    lowered = lower_to_integers(program, Forms(ranges(program), {"c": form(0.5, 11)}))
    validate(lowered.program)
    assert quant(lowered, "c") == quant(lowered, "b") == quant(lowered, "k_quantized") == (0.5, 11)
    assert quant(lowered, "a") != (0.5, 11)
    assert quant(lowered, "a_requantized") == (0.5, 11)


def test_the_program_remembers_what_it_was_made_of(floats, weight, square, rng):
    text = """g (float[N,3,8,8] x) => (float[N,4] y, float[N,4,8,8] z) {
        p = Conv<pads=[1,1,1,1]>(x, w) a = Add(p, b) r = Relu(a) s = Sigmoid(r) t = Tanh(s)
        c = Conv(t, v) d = Add(c, r) g = GlobalAveragePool(d) f = Flatten(g) y = Softmax(f) z = Floor(c) }"""
    program = floats(text, w=weight, v=square, b=np.ones((4, 1, 1), "f4"))
    lowered = lower_to_integers(program, Forms(ranges(program)))
    made = {node.name for node in lowered.program.nodes}
    assert lowered.nodes.keys() == made
    by_op = {node.op: lowered.nodes[node.name] for node in lowered.program.nodes}
    assert {lowered.nodes[node.name] for node in lowered.program.nodes if node.op == "QConv"} == {
        ("conv0", "add1", "relu2"),
        ("conv5",),
    }
    assert {lowered.nodes[node.name] for node in lowered.program.nodes if node.op == "Lookup"} == {
        ("sigmoid3", "tanh4"),
        ("floor10",),
    }
    assert by_op["Quantize"] == by_op["Dequantize"] == ()
    done = [name for names in lowered.nodes.values() for name in names]
    assert sorted(done) == sorted(node.name for node in program.nodes)
    assert [stay.name for stay in lowered.stays if stay.op == "Softmax"] == [*by_op["Softmax"]]
    assert lowered.values.items() >= {"x": "x", "x_quantized": "x", "r": "r", "t": "t"}.items()
    assert lowered.values["w_quantized"] == "w"
    assert not any("multiplier" in name or "table" in name for name in lowered.values)
    for name, value in lowered.program.values.items():
        if value.quant is not None and name in lowered.values and name not in lowered.program.constants:
            of = lowered.forms[lowered.values[name]]
            assert (value.quant.scale[0], value.quant.zero_point[0]) == (of.scale, of.zero_point)


def test_a_float_program_remembers_itself(floats, weight, square):
    from octavo import lowering

    program = floats(CONV, w=weight, v=square)
    lowered = lowering._as_it_stands(program)
    assert lowered.nodes == {node.name: (node.name,) for node in program.nodes}
    assert lowered.values == {name: name for name in program.values}
    assert (lowered.stays, lowered.forms) == ([], {})


def test_weights_are_made_once_however_often_something_else_does_not_fit(floats, weight, square, monkeypatch):
    """A number that is too small to divide by turns up behind both convolutions, twice."""
    text = """g (float[N,3,8,8] x) => (float[N,4,8,8] y, float[N,4,8,8] z) {
        a = Conv<pads=[1,1,1,1]>(x, w) p = Div(a, tiny) b = Conv(a, v) q = Div(b, tiny) y = Conv(p, u)
        z = Conv(q, t) }"""
    tiny = np.full((1, 4, 1, 1), 1e-40, "f4")
    program = floats(text, w=weight, v=square, u=square, t=square, tiny=tiny)
    calls = []

    def counted(*arguments, **options):
        calls.append(arguments[0].shape)
        return decision_weights(*arguments, **options)

    decision_weights = decision.nearest_weights
    monkeypatch.setattr(decision, "nearest_weights", counted)
    lowered = lower_to_integers(program, Forms(ranges(program)))
    unfit = [stay for stay in lowered.stays if "too small to take the reciprocal" in stay.reason]
    assert len(unfit) == 2
    assert len(calls) == 4


def test_weights_are_made_anew_where_their_input_takes_another_form(floats, weight, square):
    """The pad does not fit; then floats alone read what joins a and e, and a has its own range again."""
    text = """g (float[N,3,8,8] x) => (float[N,4,10,10] y, float[N,4,8,8] z) {
        a = Conv<pads=[1,1,1,1]>(x, w) e = Conv<pads=[1,1,1,1]>(x, w) b = Conv(a, v, bias)
        c = Concat<axis=1>(a, e) d = Pad(c, pads, far) y = Conv(d, u) z = Conv(b, t) }"""
    bias, wide = np.array([3, -5, 0.25, 8], "f4"), np.ones((4, 8, 1, 1), "f4")
    pads, far = np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(1000)
    program = floats(text, w=weight, v=square, u=wide, t=square, bias=bias, pads=pads, far=far)
    seen = ranges(program) | {"a": Range(0, 10), "e": Range(-2, 0), "c": Range(-2, 10)}
    lowered = lower_to_integers(program, Forms(seen))
    validate(lowered.program)
    assert {"Concat", "Pad"} <= {stay.op for stay in lowered.stays}
    assert quant(lowered, "a") == (np.float32(10 / 255), 0)
    node = next(node for node in lowered.program.nodes if node.outputs == ("b",))
    scales = np.float64(np.float32(10 / 255)) * lowered.program.values[node.inputs[1]].quant.scale
    assert (lowered.program.constants[node.inputs[2]] == np.rint(bias / scales)).all()


def test_what_was_merged_into_a_product_that_does_not_fit_is_there_by_itself(floats, weight, square):
    program = floats(CONV, w=weight, v=square)
    lowered = lower_to_integers(program, Forms(ranges(program), {"r": form(1e-36, 0)}))
    validate(lowered.program)
    assert [node.op for node in lowered.program.nodes] == ["Conv", "Relu", "Quantize", "QConv"]
    reasons = {stay.name: stay.reason for stay in lowered.stays}
    assert "times too fine for its sums" in reasons["conv0"]
