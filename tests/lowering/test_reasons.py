"""Every reason for which an op stays float can be reached, and the op then runs in float."""

from dataclasses import replace

import numpy as np
import pytest
from octavo.lowering.capability import judge
from octavo.lowering.wiring import Wiring
from octavo.program import Node, Value

IMAGE = "float[N,4,8,8] x"
END = "y = Conv(r, v)"
SQUARE = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)

CASES = {
    "no integer form": ("r = LogSoftmax(x)", {}, "LogSoftmax has no integer form"),
    "divisor": ("c = Conv(x, v) r = Div(c, x)", {}, "it divides by a tensor"),
    "zero": ("c = Conv(x, v) r = Div(c, k)", {"k": np.zeros((4, 1, 1), "f4")}, "by a constant that holds 0"),
    "tiny": (
        "c = Conv(x, v) r = Div(c, k)",
        {"k": np.full((4, 1, 1), 1e-45, "f4")},
        "too small to take the reci",
    ),
    "slope": (
        "c = Conv(x, v) r = PRelu(c, k)",
        {"k": np.ones((4, 1, 1), "f4")},
        "operand 'k' is not one number",
    ),
    "several": ("c = Conv(x, v) r = Pow(c, x)", {}, "it reads several tensors"),
    "mean": ("c = Conv(x, v) m = ReduceMean(c, a) r = Mul(c, m)", {"a": [1]}, "a mean over the axes [1]"),
    "pads": (
        "c = Conv(x, v) r = Pad(c, a, k)",
        {"a": [0, 0, 1, 1, 0, 0, 1, 1], "k": np.float32(np.inf)},
        "it pads with an infinite value or NaN",
    ),
    "large weights": (
        "r = Conv(x, w)",
        {"w": np.full((4, 4, 1, 1), np.nan, "f4")},
        "hold NaN or an infinite",
    ),
    "mask": (
        "c = Conv(x, v) r = Add(c, k)",
        {"k": np.full((4, 8, 8), -np.inf, "f4")},
        "it holds NaN or infini",
    ),
}
"""Nodes from x to r, constants, and a part of the reason."""


@pytest.mark.parametrize("name", CASES)
def test_reason(quantized, rng, name):
    nodes, constants, reason = CASES[name]
    arrays = {key: np.asarray(array) for key, array in constants.items()}
    x = rng.uniform(0.5, 1.5, size=(4, 4, 8, 8)).astype(np.float32)
    case = quantized(f"g ({IMAGE}) => (float[N,4,h,w] y) {{ {nodes} {END} }}", x, v=SQUARE, **arrays)
    assert any(reason in found for found in case.reasons.values()), case.reasons
    assert not all(stay.expected for stay in case.lowered.stays)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("axes", "table"), [(0, True), (2, True), (3, False)])
def test_a_number_of_more_axes_than_its_input_is_in_no_table(quantized, rng, axes, table, known):
    """The answer has its axes; of a tensor whose rank is not known, only one without axes has no more."""
    text = """g (float[N,4] x, int64[r] t) => (float y) {
        c = MatMul(x, v) d = """ + ("Identity(c)" if known else "Reshape(c, t)")
    feeds = {"x": rng.uniform(0.5, 1.5, size=(3, 4)).astype("f4"), "t": np.array([3, 4])}
    number = np.full((1,) * axes, 2, "f4")
    case = quantized(f"{text} r = Pow(d, k) y = MatMul(r, v) }}", feeds, v=np.eye(4, dtype="f4"), k=number)
    assert ("Lookup" in case.ops) == (table and (known or axes == 0))
    assert case.got[0].shape == case.want[0].shape == (1,) * (axes - 2) + (3, 4)
    refused = "its operand 'k' has more axes than its input"
    assert ("Lookup" in case.ops) != any(refused in reason for reason in case.reasons.values())


@pytest.mark.parametrize(
    ("node", "constants", "reason"),
    [
        ("y = Gemm<transA=1>(x, w)", {}, "its activations are transposed (transA)"),
        ("y = Gemm(x, w, c)", {"c": np.ones((6, 5), "f4")}, "its bias has the shape [6, 5]"),
        ("c = ReduceSum(x, a) y = Gemm(x, w, c)", {"a": [1]}, "its bias 'c' is not a constant"),
    ],
)
def test_products(quantized, rng, node, constants, reason):
    text = f"g (float[6,6] x) => (float y) {{ {node} }}"
    used = {"w": rng.normal(size=(6, 5)).astype("f4")}
    case = quantized(text, rng.normal(size=(6, 6)).astype("f4"), **used, **constants)
    assert reason in "".join(case.reasons.values())
    assert "QGemm" not in case.ops


def test_long_sums(lowered):
    for k in (66311, 66312):
        text = f"g (float[1,{k}] x) => (float[1,1] y) {{ y = MatMul(x, w) }}"
        stays = lowered(text, {"x": (0, 1), "y": (0, 1)}, w=np.ones((k, 1), "f4")).stays
        assert [stay.reason for stay in stays] == [f"its sums over {k} products could leave int32"] * (
            k == 66312
        )


@pytest.mark.parametrize(
    ("node", "ranges", "reason"),
    [
        ("r = Sub(a, b)", {"a": (0, 1), "b": (0, 1), "r": (0, 2.0**-14)}, "2^14 or more"),
        ("r = Sub(a, b)", {"a": (0, 0.5), "b": (0, 1), "r": (0, 2.0**-14)}, "2^14 or more"),
        (
            "r = Mul(a, b)",
            {"a": (0, 255), "b": (0, 255), "r": (0, 255 * 2.0**-30)},
            "too fine for its sums",
        ),
        ("r = AveragePool<kernel_shape=[1,1]>(a)", {"a": (0, 1), "r": (0, 2.0**-30)}, "2^30 or more"),
        ("r = GlobalAveragePool(a)", {"a": (0, 1), "r": (0, 2.0**-30)}, "2^30 or more"),
        ("r = Conv(a, v)", {"a": (0, 255), "r": (0, 255 * 2.0**-30 / 127)}, "too fine for its sums"),
    ],
)
def test_scales_that_do_not_fit(lowered, node, ranges, reason):
    text = f"g ({IMAGE}) => (float[N,4,h,w] y) {{ a = Conv(x, v) b = Conv(x, v) {node} y = Conv(r, v) }}"
    others = {"x": (0, 1), "a": (0, 1), "b": (0, 1), "y": (0, 1)}
    found = lowered(text, others | ranges, v=SQUARE).stays
    assert [reason in stay.reason for stay in found] == [True]
    wider = ranges | {"r": (0, ranges["r"][1] * 1.01)}
    assert lowered(text, others | wider, v=SQUARE).stays == []


def test_a_tensor_without_a_range(quantized):
    text = "g (float[N,4] x) => (float[N,4] y) { s = Log(x) y = MatMul(s, w) }"
    case = quantized(text, np.zeros((1, 4), "f4"), w=np.eye(4, dtype="f4"))
    assert case.reasons["matmul1"] == "'s' has no range: no finite value of it was seen"
    assert case.ops == ["Log", "MatMul"]


def test_a_light_op_between_float_ops(quantized, rng):
    text = "g (float[N,4] x) => (float[N,4] y) { s = Abs(x) y = Sqrt(s) }"
    case = quantized(text, rng.normal(size=(2, 4)).astype("f4"))
    assert case.ops == ["Abs", "Sqrt"]
    assert set(case.reasons.values()) == {
        "its inputs are float, and quantizing them for this op alone gains nothing"
    }


def test_resize_that_interpolates(floats):
    """No float form of it exists either, so the graph alone is asked."""
    program = floats("g (float[1,4] x) => (float[1,4] y) { y = MatMul(x, w) }", w=np.eye(4, dtype="f4"))
    attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    resize = Node("Resize", "resize", ("x", "", "s"), ("r",), attributes)
    values = program.values | {"r": Value("r", "f32", (1, 8)), "s": Value("s", "f32", (2,))}
    changed = replace(program, nodes=[resize], values=values, constants={"s": np.ones(2, "f4")})
    wiring = Wiring(changed)
    assert judge(wiring, wiring.units[0]).reason.startswith(
        "Resize with mode linear, half_pixel computes new"
    )


def test_products_of_float16_run_in_integers(quantized, rng):
    x, w = rng.normal(size=(2, 4)).astype("f2"), rng.normal(size=(4, 3)).astype("f2")
    case = quantized("g (float16[2,4] x) => (float16[2,3] y) { y = MatMul(x, w) }", x, w=w)
    assert case.ops == ["Cast", "Quantize", "QGemm", "Cast"]
    assert case.sqnr() > 30


def test_excluded_nodes(quantized, rng):
    text = f"g ({IMAGE}) => (float[N,4,8,8] y) {{ a = Conv(x, v) b = Relu(a) c = Conv(b, v) y = Conv(c, v) }}"
    x = rng.normal(size=(1, 4, 8, 8)).astype("f4")
    case = quantized(text, x, v=SQUARE, exclude=["conv2"])
    assert case.ops == ["Quantize", "QConv", "Relu", "Conv", "Quantize", "QConv"]
    assert case.reasons["conv2"] == "excluded by choice"
    assert all(stay.expected for stay in case.lowered.stays)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 5, -1])
def test_one_number_of_a_constant_is_enough_for_no_range(quantized, rng, number, place):
    constant = np.ones((4, 8, 8), "f4")
    constant.flat[place] = number
    text = f"g ({IMAGE}) => (float[N,4,8,8] y) {{ c = Conv(x, v) r = Add(c, k) {END} }}"
    case = quantized(text, rng.uniform(0.5, 1.5, size=(1, 4, 8, 8)).astype("f4"), v=SQUARE, k=constant)
    assert case.reasons["add1"] == "'k' has no range: it holds NaN or infinities"


def test_a_log_softmax_is_missed_where_integers_read_it_alone(quantized, rng):
    """At the end of a model it would stay float in any case, as a Softmax does."""
    text = f"g ({IMAGE}) => (float[N,4,8,8] y) {{ c = Conv(x, v) r = LogSoftmax(c) "
    x = rng.normal(size=(1, 4, 8, 8)).astype("f4")
    for end, stay in (
        ("y = Conv(r, v)", ("LogSoftmax has no integer form", False)),
        (
            "y = Identity(r)",
            ("it follows a float32 result of exact sums, which no op reads as integers", True),
        ),
    ):
        stays = quantized(f"{text} {end} }}", x, v=SQUARE).lowered.stays
        assert [(s.reason, s.expected) for s in stays if s.op == "LogSoftmax"] == [stay]


def test_a_bias_that_is_left_out_by_an_empty_name(floats):
    for node, shape in (("Conv(x, v)", (4, 4, 1, 1)), ("Gemm(x, v)", (4, 4))):
        size = "N,4,8,8" if len(shape) > 2 else "N,4"
        program = floats(f"g (float[{size}] x) => (float y) {{ y = {node} }}", v=np.ones(shape, "f4"))
        product = replace(program.nodes[0], inputs=("x", "v", ""))
        wiring = Wiring(replace(program, nodes=[product]))
        assert judge(wiring, wiring.units[0]).reason == ""


def test_by_how_much_ranges_differ_is_said(lowered):
    """Of 2 and of 10: the quotient, not the product."""
    text = f"""g ({IMAGE}) => (float[N,8,4,4] y) {{ c = Conv(x, v) d = Conv(x, v)
        p = AveragePool<kernel_shape=[5,5]>(c) q = AveragePool<kernel_shape=[5,5]>(d)
        y = Concat<axis=1>(p, q) }}"""
    ranges = {"x": (0, 1), "c": (0, 1), "d": (0, 1), "p": (0, 2), "q": (-4, 6), "y": (-4, 6)}
    (stay,) = lowered(text, ranges, v=SQUARE).stays
    assert stay.reason == "its inputs' ranges differ by a factor of 5.0, and only float ops read it"


def test_what_computes_no_floats_of_floats_is_not_spoken_of(quantized, rng):
    """A table's rows picked by numbers, numbers made floats, and comparisons neither stay nor leave."""
    text = """g (int64[N] i, float[N,4] x) => (float[N,3] y, bool[N,4] b)
        { e = Gather(k, i) n = Cast<to=1>(i) u = Unsqueeze(n, last) p = MatMul(u, r) b = Less(x, e)
          s = MatMul(e, w) y = Add(s, p) }"""
    feeds = {"i": np.array([0, 4, 2]), "x": rng.normal(size=(3, 4)).astype("f4")}
    arrays = {"k": (5, 4), "w": (4, 3), "r": (1, 3)}
    constants = {name: rng.normal(size=shape).astype("f4") for name, shape in arrays.items()}
    case = quantized(text, feeds, last=np.array([1]), **constants)
    assert {stay.op for stay in case.lowered.stays} == {"Add"}


def test_a_node_that_gives_places_too_is_not_spoken_of(quantized, rng):
    """Only what gives floats throughout could run in integers."""
    text = "g (float[N,4] x) => (float v, int64 i) { c = MatMul(x, w) v, i = TopK(c, k) }"
    case = quantized(text, rng.normal(size=(3, 4)).astype("f4"), w=np.eye(4, dtype="f4"), k=np.array([2]))
    assert case.lowered.stays == []
