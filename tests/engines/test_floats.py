"""Float operators on every engine, in both layouts, over finite inputs: the bits of a NaN are free."""

import numpy as np
import octavo.reference
import pytest

UNIT = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1]}


def normal(rng, *shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def channels_last(build, x, channels):
    """A pointwise convolution after which the runtime has the channels last."""
    w = build.constant("identity", np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1))
    return build.node("Conv", [x, w], "f32", group=1, **UNIT)


def random_conv(rng):
    """Shapes of x and w, and attributes, of a convolution of 1 or 2 axes whose output is not empty."""
    axes = int(rng.integers(1, 3))
    group = int(rng.choice([1, 1, 2, 3]))
    channels, outputs = group * int(rng.integers(1, 20)), group * int(rng.integers(1, 20))
    if rng.random() < 0.3:
        group = outputs = channels
    kernel = [int(k) for k in rng.integers(1, 4, axes)]
    dilations = [int(d) for d in rng.integers(1, 3, axes)]
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    size = [e + int(rng.integers(0, 9)) for e in extent]
    attributes = {
        "strides": [int(s) for s in rng.integers(1, 4, axes)],
        "pads": [int(p) for p in rng.integers(0, 3, 2 * axes)],
        "dilations": dilations,
        "group": group,
    }
    return (2, channels, *size), (outputs, channels // group, *kernel), attributes


@pytest.mark.parametrize("seed", range(20))
def test_conv(build, same, seed):
    rng = np.random.default_rng(seed)
    x_shape, w_shape, attributes = random_conv(rng)
    x = build.input("x", "f32", ("N", *x_shape[1:]))
    inputs = [x, build.constant("w", normal(rng, *w_shape))]
    if rng.random() < 0.7:
        inputs.append(build.constant("b", normal(rng, w_shape[0])))
    y = build.node("Conv", inputs, "f32", **attributes)
    if rng.random() < 0.5:
        y = build.node("Relu", [y], "f32")
    same(build.program(y), {"x": normal(rng, *x_shape)})


def test_padding_meets_infinite_weights(build):
    # 0 * infinity is NaN in the padding too: only the window that has the whole kernel inside is a number.
    w = build.constant("w", np.array([[[[1, np.inf, 1]]]], np.float32))
    attributes = {**UNIT, "pads": [0, 1, 0, 1], "group": 1}
    program = build.program(
        build.node("Conv", [build.input("x", "f32", (1, 1, 1, 3)), w], "f32", **attributes)
    )
    x = np.array([[[[1, 0, 2]]]], np.float32)
    expected = [np.inf, np.nan, np.inf]
    np.testing.assert_array_equal(octavo.reference.run(program, {"x": x})[0].ravel(), expected)
    for isa in octavo.tiers():
        y = octavo.Session(program, isa=isa).run(None, {"x": x})[0]
        np.testing.assert_array_equal(y.ravel(), expected)


FACTORS = [(1, 1), (0.3, 1), (1, 1.7), (-0.3, 0), (0, 1)]


@pytest.mark.parametrize(("transA", "transB"), [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("c", [None, (), (1,), (21,), (1, 1), (1, 21), (5, 1), (5, 21)])
@pytest.mark.parametrize("fed", ["a", "ab", "ac", "abc"])
def test_gemm(build, same, transA, transB, c, fed):
    """Each operand the run's or a constant, with every shape of C and with factors of 1 and others."""
    rng = np.random.default_rng(1)
    shapes = {"a": (37, 5) if transA else (5, 37), "b": (21, 37) if transB else (37, 21), "c": c}
    arrays = {name: np.asarray(normal(rng, *shape)) for name, shape in shapes.items() if shape is not None}
    inputs = [
        build.input(name, "f32", array.shape) if name in fed else build.constant(name, array)
        for name, array in arrays.items()
    ]
    outputs = [
        build.node(
            "Gemm", inputs, "f32", alpha=np.float32(a), beta=np.float32(b), transA=transA, transB=transB
        )
        for a, b in FACTORS
    ]
    same(build.program(*outputs), {name: arrays[name] for name in fed if name in arrays}, batched=False)


@pytest.mark.parametrize("c", [None, (), (100,), (1, 1), (1, 100)])
@pytest.mark.parametrize("fed", ["a", "ab", "ac", "abc"])
def test_gemm_of_one_row(build, same, c, fed):
    """Its columns may be cut between threads; factors and a C that is fed are of no epilogue there either."""
    rng = np.random.default_rng(8)
    shapes = {"a": (1, 300), "b": (300, 100)} | ({} if c is None else {"c": c})
    arrays = {name: np.asarray(normal(rng, *shape)) for name, shape in shapes.items()}
    inputs = [
        build.input(name, "f32", array.shape) if name in fed else build.constant(name, array)
        for name, array in arrays.items()
    ]
    given = [{"alpha": np.float32(a), "beta": np.float32(b)} for a, b in FACTORS]
    outputs = [build.node("Gemm", inputs, "f32", transA=0, transB=0, **factors) for factors in given]
    outputs.append(build.node("Relu", outputs[1:2], "f32"))
    same(build.program(*outputs), {name: arrays[name] for name in fed if name in arrays}, batched=False)


def test_one_weight_of_gemms_that_turn_it_and_do_not(build, same):
    rng = np.random.default_rng(2)
    x, w = build.input("x", "f32", ("N", 19)), build.constant("w", normal(rng, 19, 19))
    given = {"alpha": np.float32(1), "beta": np.float32(1), "transA": 0}
    outputs = [build.node("Gemm", [x, w], "f32", transB=turned, **given) for turned in (0, 1, 0)]
    outputs.append(build.node("MatMul", [x, w], "f32"))
    same(build.program(*outputs), {"x": normal(rng, 3, 19)})


@pytest.mark.parametrize("n", [1, 100, 700])
def test_one_row_whose_columns_are_cut_between_threads(build, same, n):
    rng = np.random.default_rng(9)
    x, r = build.input("x", "f32", (1, 300)), build.input("r", "f32", (1, n))
    w, c = build.constant("w", normal(rng, 300, n)), build.constant("c", normal(rng, n))
    y = build.node("Gemm", [x, w, c], "f32", alpha=np.float32(1), beta=np.float32(0.3), transA=0, transB=0)
    y = build.node("Relu", [build.node("Add", [y, r], "f32")], "f32")
    same(build.program(y), {"x": normal(rng, 1, 300), "r": normal(rng, 1, n)}, batched=False)


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 3, 5, 7), (7, 9)), ((2, 3, 5, 7), (2, 3, 7, 9)), ((2, 1, 5, 7), (3, 7, 9)), ((2, 7), (7,))],
)
def test_matmul_of_two_activations(build, same, a, b):
    rng = np.random.default_rng(2)
    program = build.program(
        build.node("MatMul", [build.input("a", "f32", a), build.input("b", "f32", b)], "f32")
    )
    same(program, {"a": normal(rng, *a), "b": normal(rng, *b)}, batched=False)


ALPHA = {"alpha": np.float32(0.3)}
PLAIN = (
    "Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "Softsign", "Mish", "Exp", "Abs", "Neg", "Sign",
    "Round", "Floor", "Ceil", "Erf", "Sin", "Cos", "Reciprocal",
    "Tan", "Atan", "Sinh", "Cosh", "Asinh",
)  # fmt: skip
UNARY = {
    **{op: {} for op in PLAIN},
    **{op: ALPHA for op in ("LeakyRelu", "Elu", "Celu", "ThresholdedRelu", "Swish")},
    "Selu": {"alpha": np.float32(1.67), "gamma": np.float32(1.05)},
    "Shrink": {"lambd": np.float32(1.5), "bias": np.float32(0.25)},
    "HardSigmoid": {"alpha": np.float32(0.2), "beta": np.float32(0.5)},
    "Gelu": {"approximate": "tanh"},
}


@pytest.mark.parametrize("op", UNARY)
def test_unary(build, same, op):
    rng = np.random.default_rng(3)
    x = build.input("x", "f32", ("N", 5, 6, 7))
    program = build.program(
        build.node(op, [x], "f32", **UNARY[op]),
        build.node(op, [channels_last(build, x, 5)], "f32", **UNARY[op]),
    )
    same(program, {"x": normal(rng, 2, 5, 6, 7, scale=4.0)})


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "PRelu"])
@pytest.mark.parametrize("shape", [(2, 5, 6, 7), (5, 1, 1), (1, 6, 7), (), (7,), (6, 1)])
def test_binary(build, same, op, shape):
    rng = np.random.default_rng(4)
    x = build.input("x", "f32", (2, 5, 6, 7))
    b = build.constant("b", np.asarray(normal(rng, *shape), np.float32))
    y = build.node("Abs", [channels_last(build, x, 5)], "f32")
    program = build.program(
        build.node(op, [y, b], "f32"), build.node(op, [build.node("Abs", [x], "f32"), b], "f32")
    )
    same(program, {"x": normal(rng, 2, 5, 6, 7)}, batched=False)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_softmax(build, same, op, axis):
    rng = np.random.default_rng(5)
    x = build.input("x", "f32", (2, 37, 6, 19))
    y = channels_last(build, x, 37)
    program = build.program(build.node(op, [x], "f32", axis=axis), build.node(op, [y], "f32", axis=axis))
    same(program, {"x": normal(rng, 2, 37, 6, 19, scale=5.0)}, batched=False)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("n", range(1, 18))
def test_softmax_of_short_rows(build, same, op, n):
    # 35 rows: two blocks of 16 that go side by side, and a rest. With channels last, axis 1 sums in a chain.
    rng = np.random.default_rng(n)
    x = build.input("x", "f32", (35, n))
    y = channels_last(build, build.input("y", "f32", (5, n, 7, 1)), n)
    program = build.program(build.node(op, [x], "f32", axis=1), build.node(op, [y], "f32", axis=1))
    feeds = {"x": normal(rng, 35, n, scale=5.0), "y": normal(rng, 5, n, 7, 1, scale=5.0)}
    feeds["x"][20] = [1e30, -1e30][n % 2]
    same(program, feeds, batched=False)


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("axes", [[3], [1], [2, 3], [1, 3], [0], [0, 1, 2, 3]])
def test_reductions(build, same, op, axes):
    rng = np.random.default_rng(6)
    x = build.input("x", "f32", (2, 37, 6, 19))
    axes = build.constant("axes", np.array(axes, np.int64))
    reduce = {"keepdims": 0, "noop_with_empty_axes": 0}
    y = build.node(op, [channels_last(build, x, 37), axes], "f32", **reduce)
    same(
        build.program(build.node(op, [x, axes], "f32", **reduce), y),
        {"x": normal(rng, 2, 37, 6, 19)},
        batched=False,
    )


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_global_pools_and_a_mean_over_space(build, same, rank):
    rng = np.random.default_rng(7)
    shape = (2, 21, *[5] * (rank - 2))
    x = build.input("x", "f32", shape)
    axes = build.constant("axes", np.arange(2, rank))
    mean = build.node("ReduceMean", [x, axes], "f32", keepdims=1, noop_with_empty_axes=0)
    pools = [build.node(op, [x], "f32") for op in ("GlobalAveragePool", "GlobalMaxPool")]
    same(build.program(mean, *pools), {"x": normal(rng, *shape)}, batched=False)


@pytest.mark.parametrize("seed", range(12))
def test_pools(build, same, seed):
    rng = np.random.default_rng(seed)
    kernel = [int(k) for k in rng.integers(1, 4, 2)]
    dilations = [int(d) for d in rng.integers(1, 3, 2)]
    attributes = {
        "kernel_shape": kernel,
        "strides": [int(s) for s in rng.integers(1, 4, 2)],
        "dilations": dilations,
        "pads": [int(p) for p in rng.integers(0, min(kernel), 4)],
        "ceil_mode": int(rng.integers(2)),
    }
    shape = (2, int(rng.integers(1, 40)), *[int(s) for s in rng.integers(6, 12, 2)])
    x = build.input("x", "f32", ("N", *shape[1:]))
    largest = build.node("MaxPool", [x], "f32", **attributes)
    means = [build.node("AveragePool", [x], "f32", count_include_pad=c, **attributes) for c in (0, 1)]
    same(build.program(largest, *means), {"x": normal(rng, *shape)})


def test_batch_normalization(build, same):
    rng = np.random.default_rng(8)
    x = build.input("x", "f32", ("N", 21, 6, 7))
    parameters = [build.constant(name, normal(rng, 21)) for name in ("scale", "b", "mean")]
    parameters.append(build.constant("variance", np.abs(normal(rng, 21))))
    nodes = [
        build.node("BatchNormalization", [y, *parameters], "f32", epsilon=np.float32(1e-5))
        for y in (x, channels_last(build, x, 21))
    ]
    same(build.program(*nodes), {"x": normal(rng, 2, 21, 6, 7)})


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("layout", ["given", "channels last"])
@pytest.mark.parametrize("seed", range(3))
def test_conv_of_few_channels(build, same, channels, layout, seed):
    rng = np.random.default_rng(seed)
    kernel, strides, size = (rng.integers(lo, hi, 2) for lo, hi in ((2, 6), (1, 4), (6, 14)))
    attributes = {
        "strides": [int(s) for s in strides],
        "pads": [int(p) for p in rng.integers(0, 7, 4)],
        "dilations": [int(rng.integers(1, 3)), 1],
        "group": 1,
    }
    shape = (2, channels, *(int(s) for s in size))
    x = build.input("x", "f32", ("N", *shape[1:]))
    if layout == "channels last":
        x = channels_last(build, x, channels)
    inputs = [x, build.constant("w", normal(rng, 7, channels, *(int(k) for k in kernel)))]
    same(build.program(build.node("Conv", inputs, "f32", **attributes)), {"x": normal(rng, *shape)})
