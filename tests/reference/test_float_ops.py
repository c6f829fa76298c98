"""The float ops against onnx.reference, and the orders of summation that the rules name."""

import itertools

import numpy as np
import onnx
import onnx.reference
import pytest
from octavo.program import OPSET, Node
from octavo.reference import OPERATIONS


def peer(op: str, inputs: list, attributes: dict) -> np.ndarray:
    """The first output of a model of that one node in onnx.reference."""
    plain = {
        key: value.item() if isinstance(value, np.float32) else value for key, value in attributes.items()
    }
    names = ["" if array is None else f"x{i}" for i, array in enumerate(inputs)]
    feeds = {name: array for name, array in zip(names, inputs, strict=True) if array is not None}
    info = onnx.helper.make_tensor_value_info
    types = [onnx.helper.np_dtype_to_tensor_dtype(array.dtype) for array in feeds.values()]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, names, ["y"], **plain)],
        "one node",
        [info(name, dtype, feeds[name].shape) for name, dtype in zip(feeds, types, strict=True)],
        [info("y", types[0], None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    with np.errstate(all="ignore"):
        return onnx.reference.ReferenceEvaluator(model).run(None, feeds)[0]


def ours(op: str, inputs: list, attributes: dict) -> np.ndarray:
    names = tuple("" if array is None else f"x{i}" for i, array in enumerate(inputs))
    return OPERATIONS[op](Node(op, "node", names, ("y",), attributes), inputs)[0]


def assert_agrees(op: str, inputs: list, rtol: float = 2e-6, atol: float = 2e-6, **attributes) -> None:
    y, expected = ours(op, inputs, attributes), peer(op, inputs, attributes)
    assert y.dtype == expected.dtype
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=rtol, atol=atol)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("x", "w", "attributes"),
    [
        ((2, 3, 9, 8), (4, 3, 3, 3), {}),
        ((1, 3, 9, 8), (4, 3, 3, 2), {"strides": [2, 1], "pads": [1, 0, 2, 1]}),
        ((1, 4, 9, 9), (6, 2, 3, 3), {"group": 2, "dilations": [2, 1], "pads": [2, 1, 2, 1]}),
        ((2, 5, 7, 7), (5, 1, 3, 3), {"group": 5, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ((2, 3, 11), (4, 3, 4), {"strides": [2], "pads": [2, 1], "dilations": [1]}),
        ((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), {"pads": [1, 0, 0, 0, 1, 0]}),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_conv(x, w, attributes, bias):
    rank = len(x) - 2
    given = {"strides": [1] * rank, "pads": [0] * 2 * rank, "dilations": [1] * rank, "group": 1, **attributes}
    inputs = [normal(*x), normal(*w, seed=1), *([normal(w[0], seed=2)] if bias else [])]
    assert_agrees("Conv", inputs, atol=1e-5, **given)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad(auto_pad):
    for size, stride, kernel in itertools.product((7, 8), (1, 2, 3), (2, 3)):
        common = {"strides": [stride, stride], "dilations": [1, 1], "auto_pad": auto_pad}
        x, w = normal(1, 2, size, size), normal(3, 2, kernel, kernel, seed=1)
        y = ours("Conv", [x, w], {**common, "group": 1})
        out = -(-size // stride) if auto_pad != "VALID" else (size - kernel) // stride + 1
        assert y.shape == (1, 3, out, out)
        total = max((out - 1) * stride + kernel - size, 0) if auto_pad != "VALID" else 0
        begin = (total + (auto_pad == "SAME_LOWER")) // 2
        pads = [begin, begin, total - begin, total - begin]
        explicit = {"strides": [stride, stride], "dilations": [1, 1], "group": 1, "pads": pads}
        np.testing.assert_array_equal(y, ours("Conv", [x, w], explicit))


@pytest.mark.parametrize(
    "attributes", [{}, {"transA": 1}, {"transB": 1}, {"alpha": np.float32(0.7), "beta": np.float32(1.3)}]
)
@pytest.mark.parametrize("c", [None, (), (5,), (4, 1), (4, 5)])
def test_gemm(attributes, c):
    given = {"alpha": np.float32(1), "beta": np.float32(1), "transA": 0, "transB": 0, **attributes}
    a, b = normal(4, 7), normal(7, 5, seed=1)
    inputs = [a.T if given["transA"] else a, b.T if given["transB"] else b]
    assert_agrees(
        "Gemm",
        inputs if c is None else [*inputs, normal(*c, seed=2) if c else np.float32(2.5).reshape(())],
        **given,
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((2, 3, 4), (4,)),
    ],
)
def test_matmul(a, b):
    assert_agrees("MatMul", [normal(*a), normal(*b, seed=1)])


ALPHA = {"alpha": np.float32(0.3)}
PLAIN = (
    "Relu Sigmoid Tanh HardSwish Softplus Softsign Mish Exp Abs Neg Sign Floor Ceil Round Erf "
    "Sin Cos Tan Atan Sinh Cosh Asinh"
)
UNARY = {
    **{op: {} for op in (*PLAIN.split(), "Reciprocal")},
    **{op: ALPHA for op in ("LeakyRelu", "Elu", "Celu", "ThresholdedRelu", "Swish")},
    "Selu": {"alpha": np.float32(1.67), "gamma": np.float32(1.05)},
    "Shrink": {"lambd": np.float32(1.5), "bias": np.float32(0.25)},
    "HardSigmoid": {"alpha": np.float32(0.2), "beta": np.float32(0.5)},
}


@pytest.mark.parametrize("op", UNARY)
def test_unary(op):
    x = np.concatenate(
        [normal(1000) * np.float32(4), np.float32([0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 30, -30])]
    )
    x = x[x != 0] if op == "Reciprocal" else x
    assert_agrees(op, [x], **UNARY[op])


@pytest.mark.parametrize("op", ["Sqrt", "Log"])
def test_unary_of_positives(op):
    assert_agrees(op, [np.exp(normal(1000) * np.float32(8))])


@pytest.mark.parametrize("op", ["Asin", "Acos", "Atanh"])
def test_unary_of_the_unit_interval(op):
    assert_agrees(op, [np.linspace(-0.99, 0.99, 500, dtype=np.float32)])


def test_acosh():
    assert_agrees("Acosh", [np.linspace(1, 50, 500, dtype=np.float32)])


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate):
    assert_agrees("Gelu", [normal(1000) * np.float32(3)], approximate=approximate)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu"])
@pytest.mark.parametrize(
    ("a", "b"), [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (3, 1)), ((2, 3, 4), ()), ((4, 3, 1), (1,))]
)
def test_binary(op, a, b):
    assert_agrees(op, [normal(*a), np.asarray(normal(*b, seed=1), np.float32)])


def test_power():
    assert_agrees("Pow", [np.abs(normal(2, 50)), normal(50, seed=1)])
    assert_agrees("Pow", [normal(100), np.float32([2])])


def test_max_of_many():
    assert_agrees("Max", [normal(3, 4), normal(4, seed=1), normal(3, 1, seed=2)])
    np.testing.assert_array_equal(ours("Min", [np.uint8([3, 200]), np.uint8([4])], {}), np.uint8([3, 4]))


def test_clip_takes_any_bounds_and_passes_nan():
    x = np.float32([-2, -0.0, 0.5, 3, np.nan])
    assert_agrees("Clip", [x, np.float32(0), np.float32(1)])
    assert_agrees("Clip", [x, None, np.float32(1)])
    np.testing.assert_array_equal(ours("Clip", [x], {}), x)
    assert not np.signbit(ours("Clip", [x, np.float32(0), np.float32(6)], {})[1])


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(op, axis):
    assert_agrees(op, [normal(3, 5, 37) * np.float32(5)], axis=axis)


POOLS = [
    {"kernel_shape": kernel, "strides": strides, "pads": pads, "dilations": dilations}
    for kernel, strides, pads, dilations in [
        ([3, 3], [2, 2], [1, 1, 1, 1], [1, 1]),
        ([2, 3], [1, 2], [0, 0, 1, 1], [1, 1]),
        ([3, 2], [2, 3], [1, 0, 0, 1], [2, 1]),
        ([2, 2], [2, 2], [0, 0, 0, 0], [1, 1]),
    ]
]


@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("attributes", POOLS)
def test_pools(attributes, ceil_mode):
    x = normal(2, 3, 10, 11)
    assert_agrees("MaxPool", [x], ceil_mode=ceil_mode, **attributes)
    for count in (0, 1):
        assert_agrees("AveragePool", [x], ceil_mode=ceil_mode, count_include_pad=count, **attributes)


def test_pools_of_one_and_three_axes():
    for rank in (1, 3):
        x = normal(1, 2, *[7] * rank)
        common = {
            "kernel_shape": [3] * rank,
            "strides": [2] * rank,
            "pads": [1] * 2 * rank,
            "dilations": [1] * rank,
        }
        assert_agrees("MaxPool", [x], ceil_mode=0, **common)
        assert_agrees("AveragePool", [x], ceil_mode=0, count_include_pad=0, **common)


def test_pools_of_bytes():
    x = np.random.default_rng(0).integers(0, 256, (1, 2, 6, 6)).astype(np.uint8)
    attributes = {
        "kernel_shape": [3, 3],
        "strides": [2, 2],
        "pads": [1] * 4,
        "dilations": [1, 1],
        "ceil_mode": 0,
    }
    expected = ours("MaxPool", [x.astype(np.float32)], attributes)
    np.testing.assert_array_equal(ours("MaxPool", [x], attributes), expected.astype(np.uint8))
    np.testing.assert_array_equal(ours("GlobalMaxPool", [x], {}), x.max(axis=(2, 3), keepdims=True))


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 5, 7), (1, 3, 2, 3, 4)])
def test_global_pools(shape):
    assert_agrees("GlobalAveragePool", [normal(*shape)])
    x = normal(*shape)
    expected = x.max(axis=tuple(range(2, x.ndim)), keepdims=True)
    np.testing.assert_array_equal(ours("GlobalMaxPool", [x], {}), expected)


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions(op, keepdims):
    x = normal(2, 3, 4, 5)
    for axes in ([3], [-1], [1], [2, 3], [0, 2], [3, 1], [0, 1, 2, 3]):
        assert_agrees(op, [x, np.int64(axes)], keepdims=keepdims, noop_with_empty_axes=0)
    assert_agrees(op, [x], keepdims=keepdims, noop_with_empty_axes=0)
    assert_agrees(op, [x, np.int64([])], keepdims=keepdims, noop_with_empty_axes=1)


def test_batch_normalization():
    x, scale, b, mean = normal(2, 3, 4, 5), normal(3, seed=1), normal(3, seed=2), normal(3, seed=3)
    inputs = [x, scale, b, mean, np.abs(normal(3, seed=4))]
    assert_agrees("BatchNormalization", inputs, epsilon=np.float32(1e-5))


def test_a_sum_over_the_last_axis_uses_lanes_and_any_other_is_a_chain():
    # 2^24 swallows a 1 that is added to it; which ones it meets depends on the order.
    x = np.ones((2, 64), np.float32)
    x[0, 0] = 2**24
    reduce = {"keepdims": 0, "noop_with_empty_axes": 0}
    lanes = ours("ReduceSum", [x, np.int64([1])], reduce)
    assert lanes.tolist() == [2**24 + 60, 64]
    chain = ours("ReduceSum", [np.ascontiguousarray(x.T), np.int64([0])], reduce)
    assert chain.tolist() == [2**24, 64]
    both_axes = ours("ReduceSum", [x.reshape(2, 8, 8), np.int64([1, 2])], reduce)
    assert both_axes.tolist() == [2**24, 64]
    ones_after = ours("ReduceSum", [x.reshape(2, 64, 1), np.int64([1])], reduce)
    assert ones_after.ravel().tolist() == [2**24, 64]


def test_a_dot_product_is_one_chain():
    a = np.ones((1, 40), np.float32)
    a[0, 0] = 2**24
    assert ours("MatMul", [a, np.ones((40, 1), np.float32)], {}).item() == 2**24
    # Fused: the product's low half survives the cancellation.
    x = np.float32(1 + 2**-12)
    exact = ours("MatMul", [np.float32([[1, x]]), np.float32([[-(x * x)], [x]])], {}).item()
    assert exact == 2.0**-24
