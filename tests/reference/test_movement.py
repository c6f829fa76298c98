"""The movement ops and the arithmetic of shapes against ONNX's reference, and by hand where it is silent."""

import numpy as np
import onnx
import onnxruntime
import pytest
from octavo.errors import RunError
from octavo.program import OPSET
from onnx.reference import ReferenceEvaluator


def i64(*items):
    return np.array(items, np.int64)


def peer(op, inputs, attributes, outputs=1):
    """What ONNX's reference evaluator gives."""
    names = ["" if array is None else f"in{place}" for place, array in enumerate(inputs)]
    feeds = {name: array for name, array in zip(names, inputs, strict=True) if name}
    made = [f"out{place}" for place in range(outputs)]
    attributes = {k: float(v) if isinstance(v, np.float32) else v for k, v in attributes.items()}
    node = onnx.helper.make_node(op, names, made, **attributes)
    described = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), None)
        for name, array in feeds.items()
    ]
    results = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in made]
    graph = onnx.helper.make_graph([node], "graph", described, results)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    return ReferenceEvaluator(model).run(None, feeds)


X = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)

CASES = {
    "Identity": ("Identity", [X], {}),
    "Reshape": ("Reshape", [X, i64(6, -1)], {"allowzero": 0}),
    "Reshape with 0": ("Reshape", [X, i64(0, -1, 0)], {"allowzero": 0}),
    "Reshape to none": ("Reshape", [X[:0], i64(0, 7)], {"allowzero": 1}),
    "Flatten": ("Flatten", [X], {"axis": 2}),
    "Flatten 0": ("Flatten", [X], {"axis": 0}),
    "Flatten all": ("Flatten", [X], {"axis": 4}),
    "Flatten from the end": ("Flatten", [X], {"axis": -1}),
    "Transpose": ("Transpose", [X], {"perm": [3, 0, 2, 1]}),
    "Slice": ("Slice", [X, i64(1, 1), i64(3, 4)], {}),
    "Slice along axes": ("Slice", [X, i64(0, -3), i64(2, 100), i64(3, -2)], {}),
    "Slice by steps": ("Slice", [X, i64(0, 1), i64(4, 5), i64(2, 3), i64(2, 3)], {}),
    "Slice backwards": ("Slice", [X, i64(-1, 4), i64(-100, 0), i64(2, 3), i64(-1, -2)], {}),
    "Slice beyond": ("Slice", [X, i64(100), i64(-(2**63)), i64(3), i64(-1)], {}),
    "Slice to the last integer": ("Slice", [X, i64(1), i64(2**63 - 1), i64(3), i64(2)], {}),
    "Slice of nothing": ("Slice", [X, i64(3), i64(1), i64(2)], {}),
    "Split": ("Split", [X, i64(1, 0, 3)], {"axis": 2}, 3),
    "Split evenly": ("Split", [X], {"axis": -2, "num_outputs": 2}, 2),
    "Split with a shorter last": ("Split", [X], {"axis": 3, "num_outputs": 3}, 3),
    "Pad": ("Pad", [X, i64(0, 1, 0, 2, 0, 0, 3, 1)], {"mode": "constant"}),
    "Pad along axes": ("Pad", [X, i64(1, 2, 0, 1), None, i64(-1, 1)], {"mode": "constant"}),
    "Pad edge": ("Pad", [X, i64(0, 1, 0, 2, 0, 0, 3, 1)], {"mode": "edge"}),
    "Pad reflect": ("Pad", [X, i64(0, 1, 2, 2, 0, 0, 3, 4)], {"mode": "reflect"}),
    "Pad wrap": ("Pad", [X, i64(0, 1, 2, 2, 0, 0, 3, 7)], {"mode": "wrap"}),
    "Squeeze": ("Squeeze", [X[:1, :, :1], i64(-2, 0)], {}),
    "Squeeze all": ("Squeeze", [X[:1, :, :1]], {}),
    "Unsqueeze": ("Unsqueeze", [X, i64(0, -1, 2)], {}),
    "Concat": ("Concat", [X, X[:, :1], X[:, :0]], {"axis": -3}),
    "Expand": ("Expand", [X[:, :1, :, :1], i64(3, 1, 5)], {}),
    "Expand by axes": ("Expand", [X[0, 0], i64(2, 1, 1, 1)], {}),
    "Tile": ("Tile", [X, i64(1, 2, 0, 3)], {}),
    "Tile twice": ("Tile", [X, i64(2, 1, 2, 1)], {}),
    "Gather": ("Gather", [X, i64(2, -1, 0, -3)], {"axis": 1}),
    "Gather a matrix": ("Gather", [X, i64(0, -2, 3, 1).reshape(2, 2)], {"axis": -2}),
    "Gather one": ("Gather", [X, np.array(1)], {"axis": 0}),
    "DepthToSpace DCR": (
        "DepthToSpace",
        [np.arange(2 * 8 * 2 * 3).reshape(2, 8, 2, 3)],
        {"blocksize": 2, "mode": "DCR"},
    ),
    "DepthToSpace CRD": (
        "DepthToSpace",
        [np.arange(2 * 8 * 2 * 3).reshape(2, 8, 2, 3)],
        {"blocksize": 2, "mode": "CRD"},
    ),
    "SpaceToDepth": ("SpaceToDepth", [np.arange(2 * 2 * 4 * 6).reshape(2, 2, 4, 6)], {"blocksize": 2}),
}
FIXED_DTYPE = {1, 2, 3, 4}
VARIADIC = {"Concat"}


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?"])
@pytest.mark.parametrize("case", CASES)
def test_movement(run_node, case, dtype):
    op, inputs, attributes, *count = CASES[case]
    moved = len(inputs) if op in VARIADIC else 1
    inputs = [array.astype(dtype) if place < moved else array for place, array in enumerate(inputs)]
    outputs = count[0] if count else 1
    found = run_node(op, inputs, attributes, outputs=outputs)
    for ours, theirs in zip(found, peer(op, inputs, attributes, outputs), strict=True):
        assert ours.dtype == inputs[0].dtype
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_pad_with_a_value(run_node):
    (y,) = run_node(
        "Pad", [np.zeros((2, 2), np.uint8), i64(0, 1, 1, 0), np.array(7, np.uint8)], {"mode": "constant"}
    )
    assert y.tolist() == [[7, 0, 0], [7, 0, 0], [7, 7, 7]]


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_a_negative_pad_takes_off_first(run_node, mode):
    x = np.arange(1, 6, dtype=np.uint8)
    (y,) = run_node("Pad", [x, i64(-2, 2)], {"mode": mode})
    ends = {"constant": [0, 0], "edge": [5, 5], "reflect": [4, 3], "wrap": [3, 4]}
    assert y.tolist() == [3, 4, 5, *ends[mode]]


@pytest.mark.parametrize(
    ("start", "end"), [(0, None), (1, None), (-2, None), (0, 2), (1, -1), (-9, 9), (3, 1)]
)
def test_shape(run_node, start, end):
    attributes = {"start": start} | ({} if end is None else {"end": end})
    x = np.zeros((2, 0, 4, 5), np.uint8)
    (y,) = run_node("Shape", [x], attributes, dtypes="i64")
    np.testing.assert_array_equal(y, peer("Shape", [x], attributes)[0], strict=True)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("dtype", ["i4", "i8"])
def test_integer_arithmetic_wraps_and_division_truncates(run_node, op, dtype):
    info = np.iinfo(dtype)
    a = np.array([7, -7, 7, -7, 0, info.max, info.min, info.min], dtype)
    b = np.array([2, 2, -2, -2, 5, info.max, info.max, -1], dtype)
    (y,) = run_node(op, [a, b], {})
    exact = {
        "Add": lambda p, q: p + q,
        "Sub": lambda p, q: p - q,
        "Mul": lambda p, q: p * q,
        "Div": lambda p, q: abs(p) // abs(q) * (1 if (p < 0) == (q < 0) else -1),
    }[op]
    span = 2**info.bits
    assert y.tolist() == [
        (exact(int(p), int(q)) - info.min) % span + info.min for p, q in zip(a, b, strict=True)
    ]


def test_max_and_min_of_bytes(run_node):
    a, b = np.array([[1], [200]], np.uint8), np.array([3, 255], np.uint8)
    assert run_node("Max", [a, b], {})[0].tolist() == [[3, 255], [200, 255]]
    assert run_node("Min", [a, b, b], {})[0].tolist() == [[1, 1], [3, 200]]


def test_max_pool_of_bytes_ignores_the_padding(run_node):
    x = np.array([[[[5, 9, 1], [0, 2, 3], [8, 7, 6]]]], np.uint8)
    window = {
        "kernel_shape": [2, 2],
        "strides": [2, 2],
        "pads": [1, 1, 0, 0],
        "dilations": [1, 1],
        "ceil_mode": 0,
    }
    assert run_node("MaxPool", [x], window)[0].tolist() == [[[[5, 9], [8, 7]]]]
    assert run_node("GlobalMaxPool", [x], {})[0].tolist() == [[[[9]]]]


CASTS = [
    (
        np.array([1.9, -1.9, 3e9, -3e9, 1e30, np.nan, np.inf, -np.inf], np.float32),
        7,
        [1, -1, 3 * 10**9, -3 * 10**9, 2**63 - 1, 0, 2**63 - 1, -(2**63)],
    ),
    (
        np.array([1.9, -1.9, 3e9, -3e9, np.nan, -np.inf], np.float64),
        6,
        [1, -1, 2**31 - 1, -(2**31), 0, -(2**31)],
    ),
    (np.array([255.9, 256.0, -0.9, -1.0, np.nan], np.float32), 2, [255, 255, 0, 0, 0]),
    (np.array([300, -1, 255, 2**40], np.int64), 2, [44, 255, 255, 0]),
    (np.array([2**31, -1], np.int64), 6, [-(2**31), -1]),
    (np.array([0.0, -0.0, 0.1, np.nan], np.float32), 9, [False, False, True, True]),
    (np.array([True, False]), 1, [1.0, 0.0]),
    (np.array([2**24 + 1, 2**24 + 3, -(2**63)], np.int64), 1, [2.0**24, 2.0**24 + 4, -(2.0**63)]),
    (np.array([2049, 2051, 65519, 65520, 2**40], np.int64), 10, [2048.0, 2052.0, 65504.0, np.inf, np.inf]),
]


@pytest.mark.parametrize(("x", "to", "expected"), CASTS)
def test_cast(run_node, x, to, expected):
    dtype = {1: "f32", 2: "u8", 6: "i32", 7: "i64", 9: "bool", 10: "f16"}[to]
    (y,) = run_node("Cast", [x], {"to": to}, dtypes=dtype)
    assert y.tolist() == expected


def test_constant_of_shape_and_range(run_node):
    value = np.array([7], np.int32)
    (y,) = run_node("ConstantOfShape", [i64(2, 3), value], {}, dtypes="i32", constants=[1])
    assert y.dtype == np.int32
    assert y.tolist() == [[7] * 3] * 2
    for start, limit, delta in (
        (0, 5, 1),
        (3, -4, -2),
        (0, 7, 3),
        (5, 5, 1),
        (5, 0, 1),
        (2**62, 2**62 + 3, 2),
    ):
        (y,) = run_node("Range", [np.array(n) for n in (start, limit, delta)], {})
        assert y.tolist() == list(range(start, limit, delta))


ERRORS = {
    "Reshape": ("Reshape", [X, i64(7, -1)], {"allowzero": 0}),
    "Reshape twice -1": ("Reshape", [X, i64(-1, -1)], {"allowzero": 0}),
    "Reshape 0 beyond": ("Reshape", [X, i64(120, 1, 1, 1, 0)], {"allowzero": 0}),
    "Flatten": ("Flatten", [X], {"axis": 5}),
    "Transpose": ("Transpose", [X], {"perm": [1, 0]}),
    "Slice by 0": ("Slice", [X, i64(0), i64(1), i64(0), i64(0)], {}),
    "Slice of an axis twice": ("Slice", [X, i64(0, 0), i64(1, 1), i64(1, -3)], {}),
    "Slice with too few ends": ("Slice", [X, i64(0, 0), i64(1)], {}),
    "Split": ("Split", [X, i64(2, 1)], {"axis": 2}, 2),
    "Split below 0": ("Split", [X, i64(5, -1)], {"axis": 2}, 2),
    "Split into too many": ("Split", [X], {"axis": 3, "num_outputs": 4}, 4),
    "Pad": ("Pad", [X, i64(1, 2, 3)], {"mode": "edge"}),
    "Pad takes off all": ("Pad", [X, i64(-3, 0, 0, 0, 0, 0, 0, 0)], {"mode": "constant"}),
    "Pad of nothing": ("Pad", [X[:0], i64(1, 0, 0, 0, 0, 0, 0, 0)], {"mode": "edge"}),
    "Pad without end": ("Pad", [X, i64(2**40, 0, 0, 0, 0, 0, 0, 0)], {"mode": "constant"}),
    "Squeeze": ("Squeeze", [X, i64(0)], {}),
    "Concat": ("Concat", [X, X[:1]], {"axis": 1}),
    "Concat along no axis": ("Concat", [X], {"axis": 4}),
    "Expand": ("Expand", [X, i64(3, 3, 4, 5)], {}),
    "Expand without end": ("Expand", [X[:1, :1, :1, :1], i64(2**40)], {}),
    "Tile without end": ("Tile", [X, i64(1, 1, 1, 2**60)], {}),
    "Tile below 0": ("Tile", [X, i64(1, 1, 1, -1)], {}),
    "Gather": ("Gather", [X, i64(2)], {"axis": 0}),
    "Gather below": ("Gather", [X, i64(-3)], {"axis": 0}),
    "DepthToSpace": ("DepthToSpace", [X], {"blocksize": 2, "mode": "DCR"}),
    "SpaceToDepth": ("SpaceToDepth", [X], {"blocksize": 3}),
    "Range by 0": ("Range", [np.array(0), np.array(1), np.array(0)], {}),
    "Range without end": ("Range", [np.array(0), np.array(2**62), np.array(1)], {}),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_done_is_an_error_that_names_the_node(run_node, case):
    op, inputs, attributes, *count = ERRORS[case]
    with pytest.raises(RunError, match=f"{op} node 'node' cannot run on"):
        run_node(op, inputs, attributes, outputs=count[0] if count else 1)


def test_constant_of_a_shape_without_end_is_an_error(run_node):
    with pytest.raises(RunError, match="cannot make an array"):
        run_node(
            "ConstantOfShape",
            [i64(2**20, 2**20), np.array([1.0], np.float32)],
            {},
            dtypes="f32",
            constants=[1],
        )


@pytest.mark.parametrize(
    ("start", "end", "step", "want"),
    [
        (-99, -99, -1, [1]),  # a start before the first element is that element
        (-4, -99, -1, [1]),
        (99, -99, -1, [4, 3, 2, 1]),
        (3, 0, -2, [4, 2]),
        (-99, 99, 1, [1, 2, 3, 4]),
        (-99, 99, 3, [1, 4]),
        (4, 99, 1, []),
        (2, 2, 1, []),
        (2, 2, -1, []),
    ],
)
def test_slices_clamp_as_onnx_runtime_does(run_node, start, end, step, want):
    x = np.array([1, 2, 3, 4], np.int64)
    cuts = [i64(number) for number in (start, end, 0, step)]
    (y,) = run_node("Slice", [x, *cuts], {})
    assert y.tolist() == want
    info, names = onnx.helper.make_tensor_value_info, ["x", "start", "end", "axis", "step"]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Slice", names, ["y"])],
        "g",
        [
            info(name, onnx.TensorProto.INT64, [len(array)])
            for name, array in zip(names, [x, *cuts], strict=True)
        ],
        [info("y", onnx.TensorProto.INT64, None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert session.run(None, dict(zip(names, [x, *cuts], strict=True)))[0].tolist() == want


@pytest.mark.parametrize(("index", "inside"), [(-4, False), (-3, True), (2, True), (3, False)])
def test_an_index_is_within_its_axis(run_node, index, inside):
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    if inside:
        (y,) = run_node("Gather", [x, np.array(index)], {"axis": 0})
        assert y.tolist() == x[index].tolist()
        return
    with pytest.raises(RunError, match="an index is outside the 3 elements of axis 0"):
        run_node("Gather", [x, np.array(index)], {"axis": 0})
