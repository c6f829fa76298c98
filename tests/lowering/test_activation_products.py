"""Products of two activations, and attention, in integers."""

import re

import numpy as np
import pytest
from octavo import reference
from octavo.lowering import Affine, Forms, Range, lower_to_integers

HEADS = """q = Transpose<perm=[0,2,1,3]>(a) k = Transpose<perm=[0,2,3,1]>(b) v = Transpose<perm=[0,2,1,3]>(d)
    s = MatMul(q, k)"""
SPLIT = "a = Reshape(p, four) b = Reshape(r, four) d = Reshape(t, four)"
PROJECTED = "p = MatMul(x, w) r = MatMul(x, u) t = MatMul(x, m)"


def attention(rng, between, inputs="float[N,L,8] x", scale=1.0):
    text = f"""g ({inputs}) => (float[N,L,8] y)
        {{ {PROJECTED} {SPLIT} {HEADS} {between} c = MatMul(e, v)
          h = Transpose<perm=[0,2,1,3]>(c) z = Reshape(h, three) y = MatMul(z, o) }}"""
    constants = {name: rng.normal(size=(8, 8)).astype("f4") for name in ("w", "u", "m", "o")}
    constants["w"] *= np.float32(scale)
    shapes = {"four": np.array([0, 0, 2, 4]), "three": np.array([0, 0, 8]), "half": np.float32(0.5)}
    return text, constants | shapes


@pytest.fixture
def tokens(rng):
    return rng.normal(size=(2, 6, 8)).astype("f4")


def test_attention_is_integer_from_end_to_end(quantized, rng, tokens):
    text, constants = attention(rng, "f = Mul(s, half) e = Softmax<axis=-1>(f)", scale=0.3)
    case = quantized(text, tokens, **constants)
    assert case.lowered.stays == []
    counted = {op: case.ops.count(op) for op in ("Quantize", "QGemm", "QMatMul", "QExponentials")}
    assert counted == {"Quantize": 2, "QGemm": 4, "QMatMul": 2, "QExponentials": 1}
    assert len(case.ops) == 9 + sum(op in ("Transpose", "Reshape") for op in case.ops)
    assert case.sqnr() > 30


def test_a_mask_stays_float_and_so_does_what_it_is_added_to(quantized, rng, tokens):
    """Calibration saw no masked token: that the mask works all the same is the point."""
    text, constants = attention(
        rng, "f = Mul(s, half) i = Add(f, mask) e = Softmax<axis=-1>(i)",
        "float[N,L,8] x, float[N,1,1,L] mask",
    )  # fmt: skip
    feeds = {"x": tokens, "mask": np.zeros((2, 1, 1, 6), "f4")}
    case = quantized(text, feeds, **constants)
    first, second = [node for node in case.lowered.program.nodes if node.op == "QMatMul"]
    values = case.lowered.program.values
    assert values[first.outputs[0]].dtype == "f32"
    assert second.inputs[::2] == case.node("QExponentials").outputs
    assert second.attributes["b_scale"] == values[second.inputs[1]].quant.scale
    assert {stay.op for stay in case.lowered.stays} == {"Add"}
    scores = first.attributes["a_scale"] * np.float64(first.attributes["b_scale"])
    assert scores == pytest.approx(0.5 * np.prod([values[name].quant.scale[0] for name in first.inputs]))
    assert all(stay.expected for stay in case.lowered.stays)
    masked = feeds | {
        "mask": np.where(np.arange(6) < 4, 0, -10000).astype("f4") * np.ones((2, 1, 1, 1), "f4")
    }
    (got,) = reference.run(case.lowered.program, masked)
    (short,) = reference.run(
        case.lowered.program, {"x": tokens[:, :4], "mask": np.zeros((2, 1, 1, 4), np.float32)}
    )
    assert np.array_equal(got[:, :4], short)


def test_exponentials_have_two_digits_and_two_sums_a_row(quantized, floats, rng, tokens):
    text, constants = attention(rng, "e = Softmax<axis=-1>(s)")
    case = quantized(text, tokens, **constants)
    digits, sums = (case.lowered.program.values[name] for name in case.node("QExponentials").outputs)
    *rows, n = floats(text, **constants).values["e"].shape
    assert digits.shape == (*rows, f"2*{n}")
    assert sums.shape == (*rows, 2)
    assert case.node("QExponentials").attributes == {}


BETWEEN = {
    "causal": "f = Mul(s, half) i = Where(seen, f, least) e = Softmax<axis=-1>(i)",
    "bias": "f = Div(s, half) i = Add(f, bias) e = Softmax<axis=3>(i)",
    "windows": "i = Add(s, bias) j = Reshape(i, five) n = Add(j, part) l = Reshape(n, again) e = Softmax(l)",
    "negative": "f = Mul(s, minus) e = Softmax<axis=-1>(f)",
}


@pytest.mark.parametrize("between", BETWEEN)
def test_scores_are_in_float_whatever_is_between(quantized, rng, tokens, between):
    text, constants = attention(rng, BETWEEN[between])
    more = {
        "seen": np.tri(6, dtype=bool), "least": np.float32(-np.inf), "minus": np.float32(-0.25),
        "bias": rng.normal(size=(1, 2, 6, 6)).astype("f4"),
        "part": rng.normal(size=(1, 2, 1, 6, 6)).astype("f4"),
        "five": np.array([1, 2, 2, 6, 6]), "again": np.array([2, 2, 6, 6]),
    }  # fmt: skip
    used = {name: array for name, array in more.items() if re.search(rf"\b{name}\b", BETWEEN[between])}
    case = quantized(text, tokens, **constants, **used)
    assert case.ops.count("QExponentials") == 1
    assert case.ops.count("QMatMul") == 2
    assert not {"QAdd", "QMul", "Lookup", "Dequantize", "QSoftmax"} & set(case.ops)
    assert case.sqnr() > 25


@pytest.mark.parametrize("shape", ["6,8", "L,8", "N,L,8", "1,N,L,8"])
def test_attention_of_any_rank(quantized, rng, shape):
    turn = [*range(shape.count(",") - 1), shape.count(","), shape.count(",") - 1]
    text = f"""g (float[{shape}] x) => (float[{shape}] y) {{ {PROJECTED} q = Transpose<perm={turn}>(r)
        s = MatMul(p, q) f = Div(s, two) e = Softmax(f) c = MatMul(e, t) y = MatMul(c, o) }}"""
    constants = {name: rng.normal(size=(8, 8)).astype("f4") for name in ("w", "u", "m", "o")}
    tokens = rng.normal(size=(6, 8)).astype("f4").reshape((1,) * (shape.count(",") - 1) + (6, 8))
    case = quantized(text, tokens, two=np.float32(2), **constants)
    assert case.lowered.stays == []
    assert case.node("QExponentials")
    assert case.sqnr() > 25


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        ("e = Softmax<axis=-2>(s)", "axis"),
        ("p1 = Softmax<axis=-1>(s) e = Transpose<perm=[0,1,3,2]>(p1)", "moved"),
        ("e = Softmax<axis=-1>(s) other = MatMul(v, e) seen = ReduceMean(other)", "two readers"),
    ],
)
def test_a_softmax_elsewhere_is_in_integers(quantized, rng, tokens, between, reason):
    text, constants = attention(rng, between, scale=0.1)
    if "seen" in between:
        text = text.replace("(float[N,L,8] y)", "(float[N,L,8] y, float seen)")
        text = text.replace("MatMul(v, e)", "MatMul(k, e)")
    case = quantized(text, tokens, **constants)
    assert case.ops.count("QExponentials") == 0, reason
    assert case.ops.count("QSoftmax") == 1, reason
    assert case.sqnr() > 25


@pytest.mark.parametrize("excluded", ["Softmax", "MatMul"])
def test_a_softmax_or_product_that_stays_float_divides(quantized, floats, rng, tokens, excluded):
    """The softmax of a product that stays float would have nobody to divide by its sums."""
    text, constants = attention(rng, "e = Softmax<axis=-1>(s)", scale=0.3)
    nodes = floats(text, **constants).nodes
    names = {node.op: node.name for node in nodes if "e" in node.inputs + node.outputs}
    case = quantized(text, tokens, exclude=[names[excluded]], **constants)
    assert "QExponentials" not in case.ops
    assert all(len(node.inputs) == 2 for node in case.lowered.program.nodes if node.op == "QMatMul")
    assert case.sqnr() > 25


def test_probabilities_whose_form_a_model_states_are_divided(floats, rng):
    text, constants = attention(rng, "e = Softmax<axis=-1>(s)")
    program = floats(text, **constants)
    ranges = {name: Range(-1.0, 1.0) for name in program.values}
    stated = Affine(np.float32(1 / 256), 0)
    for given, becomes in (({}, "QExponentials"), ({"e": stated}, "QSoftmax")):
        made = lower_to_integers(program, Forms(ranges, given)).program
        assert [node.op for node in made.nodes if node.op in ("QExponentials", "QSoftmax")] == [becomes]


def test_small_probabilities_have_the_step_of_their_range(quantized, rng):
    """Flat rows of 600: in steps of 1/256 nothing would be left."""
    tokens = rng.normal(size=(1, 600, 8)).astype("f4")
    text, constants = attention(rng, "e = Softmax<axis=-2>(s)", scale=0.01)
    case = quantized(text, tokens, **constants)
    (stay,) = case.lowered.stays
    assert stay.op == "Softmax"
    assert re.match(r"its results are in steps of .*e-05 from 0 on, not of 1/256 from 0", stay.reason)
    assert case.sqnr() > 25


def test_a_softmax_of_a_wide_range_stays_float(quantized, rng, tokens):
    text, constants = attention(rng, "e = Softmax<axis=-2>(s)", scale=20.0)
    case = quantized(text, tokens, **constants)
    (stay,) = case.lowered.stays
    assert stay.op == "Softmax"
    assert "so wide that a step in uint8 would be" in stay.reason
    assert [node.op for node in case.lowered.program.nodes].count("QMatMul") == 2


@pytest.mark.parametrize(
    "node",
    ["y = MatMul(w, x)", "y = MatMul(x, u)", "y = MatMul(v, x)", "y = MatMul(x, v)", "y = MatMul(x, x)"],
)
def test_any_other_matmul_takes_both_sides_as_activations(quantized, rng, node):
    text = f"g (float[6,6] x) => (float y) {{ {node} }}"
    constants = {"w": (5, 6), "u": (3, 6, 5), "v": (6,)}
    used = {
        name: rng.normal(size=constants[name]).astype("f4")
        for name in "wuv"
        if name in node.split("MatMul")[1]
    }
    case = quantized(text, rng.normal(size=(6, 6)).astype("f4"), **used)
    assert case.node("QMatMul")
    assert case.lowered.stays == []
    assert case.sqnr() > 30


@pytest.mark.parametrize("node", ["m = MatMul(x, u) y = Add(m, c)", "m = MatMul(v, x) y = Add(m, c)"])
def test_an_add_behind_is_no_bias_of_a_product_of_activations(quantized, rng, node):
    text = f"g (float[6,6] x) => (float y) {{ {node} }}"
    constants = {"u": rng.normal(size=(3, 6, 6)).astype("f4"), "v": rng.normal(size=6).astype("f4")}
    used = {name: array for name, array in constants.items() if f"{name})" in node or f"({name}" in node}
    case = quantized(text, rng.normal(size=(6, 6)).astype("f4"), c=rng.normal(size=6).astype("f4"), **used)
    assert case.ops.count("QMatMul") == 1
    assert case.sqnr() > 30


@pytest.mark.parametrize(
    ("low", "longest"), [((0, 0), 33025), ((-128, 0), 65793), ((0, -128), 65793), ((-128, -128), 131071)]
)
def test_a_long_sum_stays_float(lowered, low, longest):
    """A zero point of 128 reaches 128, one of 0 255: `K * reach` stays below 2^31."""
    ranges = {"x": (low[0], low[0] + 255), "z": (low[1], low[1] + 255), "y": (0, 1e9)}
    for k in (longest, longest + 1):
        text = f"g (float[1,{k}] x, float[{k},1] z) => (float[1,1] y) {{ y = MatMul(x, z) }}"
        reasons = [stay.reason for stay in lowered(text, ranges).stays]
        assert reasons == ([] if k == longest else [f"its sums over K = {k} products could leave int32"])
    free = text.replace(f"float[1,{k}]", "float[1,K]")
    assert lowered(free, ranges).stays != []
    assert lowered(free.replace(str(k), "K"), ranges).stays == []


@pytest.mark.parametrize(
    ("node", "taken"),
    [
        ("f = Mul(s, c)", True),
        ("f = Mul(c, s)", True),
        ("f = Div(s, c)", True),
        ("f = Div(c, s)", False),
        ("f = Mul(s, minus)", False),
        ("f = Mul(s, tiny)", False),
        ("f = Mul(s, wide)", False),
        ("f = Mul(s, row)", False),
    ],
)
def test_a_number_behind_float_sums_becomes_part_of_their_scale(quantized, rng, node, taken):
    constants = {"c": 0.3, "minus": -0.3, "tiny": 1e-38, "wide": [[[0.3]]], "row": [1.0, 2.0, 3.0]}
    used = {
        name: np.asarray(array, "f4") for name, array in constants.items() if name in re.findall(r"\w+", node)
    }
    text = f"g (float[4,5] x, float[5,3] z) => (float y) {{ s = MatMul(x, z) {node} y = LogSoftmax(f) }}"
    feeds = {"x": rng.random((4, 5)).astype("f4"), "z": rng.random((5, 3)).astype("f4")}
    case = quantized(text, feeds, **used)
    assert (case.ops[-2] == "QMatMul") == taken
    assert case.sqnr() > 30
