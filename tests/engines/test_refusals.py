"""Operands and attributes that do not fit an operator's rule: each beside one that does, on every engine."""

from dataclasses import replace

import numpy as np
import octavo
import pytest
from single_node import NAMES, Case

F = np.float32


def i64(*items):
    return np.array(items, np.int64)


def ones(*shape, dtype=F):
    return np.ones(shape, dtype)


X = np.arange(120, dtype=F).reshape(2, 3, 4, 5)
LETTERS = np.arange(256, dtype=np.uint8).reshape(2, 8, 4, 4)
WINDOW = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1]}
POOL = WINDOW | {"kernel_shape": [2, 2], "ceil_mode": 0}
TRANSPOSED = WINDOW | {"group": 1, "output_padding": [0, 0]}
GEMM = {"alpha": F(1), "beta": F(1), "transA": 0, "transB": 0}
EPSILON = {"epsilon": F(1e-3)}
STASH = EPSILON | {"stash_type": 1}
FLAGS = {"keepdims": 0, "noop_with_empty_axes": 0}
GRID = {"mode": "linear", "padding_mode": "zeros", "align_corners": 0}
RESIZE = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
    "keep_aspect_ratio_policy": "stretch",
    "extrapolation_value": F(0),
}
SUM = {"a_zero_point": 0, "b_zero_point": 0, "y_zero_point": 0, "lo": 0, "hi": 255, "shift": 1}

BYTES = {"x_zero_point": 0, "y_zero_point": 0, "lo": 0, "hi": 255}
GEMM_WEIGHTS = [ones(4, 3, dtype=np.int8), *(np.full(3, n, np.int32) for n in (0, 2**30 + 128, 31))]
JOINS = [np.full(3, n, np.int32) for n in (2**14, 14)]


def case(op, *inputs, outputs=None, **attributes):
    made = (NAMES[inputs[0].dtype],) if outputs is None else outputs
    return Case(op, list(inputs), attributes, made)


def put(place, array):
    """Another array at this place."""

    def change(fine):
        return replace(fine, inputs=[*fine.inputs[:place], array, *fine.inputs[place + 1 :]])

    return change


def given(**attributes):
    return lambda fine: replace(fine, attributes=fine.attributes | attributes)


REFUSED = [
    (
        case("Reshape", X, i64(0, -1, 10), allowzero=0),
        [
            put(1, i64(0, -1, -1)),
            put(1, i64(0, -1, 7)),
            put(1, i64(6, 10)),
            put(1, i64(6, 21)),
            put(1, i64(2, 3, 4, 5, 0)),
            put(1, i64(-2, 60)),
            put(1, i64(-1, 0, 4, 5, 0)),
            given(allowzero=1),
        ],
    ),
    (
        case("Reshape", X[:, :0], i64(-1, 2, 5), allowzero=0),
        [put(1, i64(0, 0, -1)), put(1, i64(-1, 0)), put(1, i64(7, 2, 5))],
    ),
    (case("Reshape", X[:, :0], i64(0, 7), allowzero=1), [put(1, i64(0, -1)), put(1, i64(7, 1))]),
    (case("Flatten", X, axis=4), [given(axis=5), given(axis=-5)]),
    (case("Flatten", X, axis=-4), []),
    (case("Transpose", X, perm=[0, 3, 1, 2]), [given(perm=[0, 1, 2]), given(perm=[0, 1, 2, 3, 4])]),
    (
        case("Slice", X, i64(0), i64(9), i64(-4), i64(2)),
        [
            put(4, i64(0)),
            put(3, i64(4)),
            put(3, i64(-5)),
            put(2, i64(9, 9)),
            put(4, i64(1, 1)),
            put(1, i64(0, 0)),
            put(3, i64(1, 2)),
        ],
    ),
    (case("Slice", X, i64(0, 0), i64(9, 1), i64(0, 1)), [put(3, i64(1, 1)), put(3, i64(0, -4))]),
    (
        case("Split", X, i64(1, 3), axis=2, outputs=("f32", "f32")),
        [
            put(1, i64(1, 2)),
            put(1, i64(1, 4)),
            put(1, i64(4)),
            put(1, i64(5, -1)),
            put(1, i64(1, 1, 2)),
            given(axis=4),
            given(axis=-5),
        ],
    ),
    (case("Split", X, axis=3, num_outputs=3, outputs=("f32",) * 3), [given(axis=4)]),
    (case("Split", X, axis=-1, num_outputs=5, outputs=("f32",) * 5), [given(axis=1)]),
    (
        case("Pad", X, i64(1, 0, 0, 1), ones(), i64(2, -1), mode="constant"),
        [
            put(1, i64(1, 0, 0)),
            put(1, i64(1, 0, 0, 1, 1, 1)),
            put(3, i64(2, 4)),
            put(3, i64(2, 2)),
            put(3, i64(2, -2)),
            put(1, i64(-5, 0, 0, 0)),
            put(1, i64(-2, 0, -3, 0)),
            put(2, ones(2)),
        ],
    ),
    (
        case("Pad", X[:, :0], i64(0, 0, 2, 0, 0, 0, 0, 0), mode="edge"),
        [
            put(1, i64(0, 1, 0, 0, 0, 0, 0, 0)),
        ],
    ),
    (
        case("Squeeze", ones(1, 3, 1), i64(0, -1)),
        [
            put(1, i64(1)),
            put(1, i64(0, 0)),
            put(1, i64(0, -3)),
            put(1, i64(3)),
            put(1, i64(-4)),
        ],
    ),
    (
        case("Unsqueeze", ones(2, 3), i64(0, -1)),
        [
            put(1, i64(0, 0)),
            put(1, i64(3, -1)),
            put(1, i64(4, 0)),
            put(1, i64(-5, 0)),
        ],
    ),
    (
        case("Concat", X, X[:, :1], axis=1),
        [
            given(axis=0),
            given(axis=4),
            given(axis=-5),
            put(1, X[0]),
            put(1, X[:, :, :3]),
        ],
    ),
    (
        case("Expand", X[:, :1], i64(7, 1, 3, 1, 5)),
        [put(1, i64(2, 4, 5, 4)), put(1, i64(3, 1, 1, 1)), put(1, i64(-1))],
    ),
    (
        case("Tile", X, i64(1, 2, 1, 1)),
        [put(1, i64(1, 2, 1)), put(1, i64(1, 2, 1, 1, 1)), put(1, i64(1, -1, 1, 1))],
    ),
    (
        case("Gather", X, i64(0, -3), axis=1),
        [
            put(1, i64(3)),
            put(1, i64(-4)),
            given(axis=4),
            given(axis=-5),
        ],
    ),
    (
        case("DepthToSpace", LETTERS, blocksize=2, mode="DCR"),
        [given(blocksize=3), given(blocksize=4), put(0, LETTERS[0])],
    ),
    (
        case("SpaceToDepth", LETTERS, blocksize=2),
        [given(blocksize=3), put(0, LETTERS[0]), put(0, LETTERS[:, :, :3])],
    ),
    (
        case("Resize", X, None, F([1, 1, 2, 0.5]), **RESIZE),
        [
            put(2, F([1, 2, 0.5])),
            put(2, F([1, 1, 2, 0])),
            put(2, F([1, 1, 2, -1])),
            put(2, F([1, 1, 2, np.inf])),
            put(2, F([1, 1, 2, np.nan])),
            given(axes=[2, 3]),
            given(axes=[0, 1, 2, 2]),
            given(axes=[0, 1, 2, 4]),
        ],
    ),
    (
        case("Resize", X, None, None, i64(3, 4), axes=[2, 3], **RESIZE),
        [
            put(3, i64(3)),
            put(3, i64(3, -1)),
            given(axes=[2, 2]),
            given(axes=[2, -2]),
            given(axes=[1]),
            put(0, X[:, :, :0]),
        ],
    ),
    (
        case("GridSample", X, ones(2, 6, 7, 2), **GRID),
        [
            put(1, ones(1, 6, 7, 2)),
            put(1, ones(2, 6, 7, 3)),
            put(1, ones(2, 6, 2)),
            put(0, X[:, :, :0]),
            put(0, X[0]),
        ],
    ),
    (
        case("Conv", X, ones(4, 3, 2, 2), ones(4), group=1, **WINDOW),
        [
            put(1, ones(4, 2, 2, 2)),
            put(2, ones(3)),
            put(2, ones(4, 1)),
            put(0, X[0]),
            put(0, X[:, :2]),
        ],
    ),
    (
        case("ConvTranspose", X, ones(3, 4, 2, 2), ones(4), **TRANSPOSED),
        [
            put(1, ones(2, 4, 2, 2)),
            put(2, ones(3)),
            put(0, X[:, :2]),
            put(0, X[0]),
            given(pads=[3, 3, 3, 3]),
        ],
    ),
    (
        case("MatMul", ones(2, 3, 4), ones(2, 4, 5)),
        [put(1, ones(2, 3, 5)), put(1, ones(3, 4, 5)), put(1, ones())],
    ),
    (case("MatMul", ones(4), ones(4)), [put(0, ones(3)), put(0, ones())]),
    (
        case("Gemm", ones(2, 3), ones(3, 4), ones(2, 1), **GEMM),
        [
            put(1, ones(2, 4)),
            put(2, ones(3, 1)),
            put(2, ones(3)),
            put(2, ones(1, 2, 4)),
            put(0, ones(2, 3, 1)),
            given(transA=1),
            given(transB=1),
        ],
    ),
    (
        case("BatchNormalization", X, *[ones(3)] * 4, **EPSILON),
        [
            *(put(place, ones(4)) for place in range(1, 5)),
            *(put(place, ones(1)) for place in range(1, 5)),
            put(3, ones(3, 1)),
            put(0, X[0, 0, 0]),
        ],
    ),
    (
        case("LayerNormalization", X, ones(4, 5), ones(4, 5), axis=2, **STASH),
        [
            put(1, ones(5, 4)),
            put(2, ones(4, 4)),
            put(1, ones(3, 4, 5)),
            given(axis=4),
            given(axis=-5),
            given(axis=3),
        ],
    ),
    (
        case("RMSNormalization", X, ones(5), axis=-1, **STASH),
        [put(1, ones(4)), put(1, ones(4, 5)), given(axis=4)],
    ),
    (case("InstanceNormalization", X, ones(3), ones(3), **EPSILON), [put(1, ones(2)), put(2, ones(4))]),
    (
        case("GroupNormalization", X, ones(3), ones(3), num_groups=3, **STASH),
        [
            given(num_groups=2),
            put(1, ones(2)),
            put(2, ones(4)),
        ],
    ),
    (case("LpNormalization", X, axis=-4, p=1), [given(axis=4), given(axis=-5)]),
    (case("ReduceSum", X, i64(-4, 3), **FLAGS), [put(1, i64(4)), put(1, i64(-5)), put(1, i64(0, 9))]),
    (case("Softmax", X, axis=-4), [given(axis=4), given(axis=-5)]),
    (case("LogSoftmax", X, axis=3), [given(axis=4), given(axis=-5)]),
    (case("MaxPool", X, **POOL), [put(0, X[0]), put(0, X[..., None])]),
    (case("AveragePool", X, count_include_pad=0, **POOL), [put(0, X[0]), put(0, X[..., None])]),
    (case("GlobalAveragePool", X), [put(0, ones(3))]),
    (case("LpPool", X, p=2, **POOL), [put(0, X[0])]),
    (case("Add", X, ones(4, 1)), [put(1, ones(3, 1)), put(1, ones(2))]),
    (case("Less", X, ones(4, 1), outputs=("bool",)), [put(1, ones(3, 1))]),
    (case("Max", X, ones(4, 1), ones(1)), [put(2, ones(2)), put(1, ones(6))]),
    (
        case("Where", ones(4, 1, dtype=bool), X, ones(5), outputs=("f32",)),
        [
            put(0, ones(3, 1, dtype=bool)),
            put(2, ones(4)),
            put(1, X[..., :2]),
        ],
    ),
    (case("Clip", X, ones(), ones()), [put(1, ones(2)), put(2, ones(2))]),
    (
        case("QAdd", LETTERS, ones(4, 1, dtype=np.uint8), a_multiplier=1, b_multiplier=1, **SUM),
        [
            put(1, ones(3, dtype=np.uint8)),
        ],
    ),
    (
        case(
            "QGemm", LETTERS, *GEMM_WEIGHTS, ones(2, 8, 4, 3, dtype=np.uint8), *JOINS, r_zero_point=0, **BYTES
        ),
        [
            put(5, ones(2, 8, 1, 3, dtype=np.uint8)),
            put(5, ones(8, 4, 3, dtype=np.uint8)),
            put(5, ones(2, 8, 4, 1, dtype=np.uint8)),
        ],
    ),
    (
        case("OneHot", i64(1), i64(3), ones(2), axis=-2, outputs=("f32",)),
        [
            put(1, i64(-1)),
            put(1, i64(3, 3)),
            put(2, ones(3)),
            put(2, ones(1)),
            given(axis=2),
            given(axis=-3),
        ],
    ),
    (case("ConstantOfShape", i64(2, 3), ones(1), outputs=("f32",)), [put(0, i64(2, -1))]),
    (case("Gather", X, i64(1), axis=-4), [given(axis=4), given(axis=-5), put(1, i64(2)), put(1, i64(-3))]),
    (
        case("GatherElements", X, np.zeros((2, 9, 4, 5), int), axis=1),
        [given(axis=2), put(1, np.zeros((2, 9, 5, 5), int)), put(1, np.zeros((2, 9, 4), int))],
    ),
    (
        case("GatherND", X, np.zeros((2, 3, 1), int), batch_dims=2),
        [
            put(1, np.zeros((2, 4, 1), int)),
            put(1, np.zeros((1, 3, 1), int)),
            put(1, np.zeros((3, 2, 1), int)),
            put(1, np.zeros((2, 3, 3), int)),
            put(1, np.zeros((2, 3, 0), int)),
            put(1, np.zeros((2, 3), int)),
            given(batch_dims=3),
            given(batch_dims=4),
        ],
    ),
    (
        case("ScatterElements", X, np.zeros((2, 1, 4, 5), int), X[:, :1], axis=1, reduction="add"),
        [
            given(axis=4),
            put(2, X),
            put(2, X[:1, :1]),
            put(1, np.zeros((2, 1, 4), int)),
            put(1, np.zeros((3, 1, 4, 5), int)),
        ],
    ),
    (
        case("ScatterND", X, np.zeros((2, 2), int), X[:, 0], reduction="none"),
        [
            put(2, X[:1, 0]),
            put(2, X[0, 0]),
            put(1, np.zeros((2, 5), int)),
            put(1, np.zeros((2, 3), int)),
            put(1, np.zeros(2, int)),
        ],
    ),
    (
        case("TensorScatter", X, X[:, :, :2], i64(1, 2), axis=-2, mode="linear"),
        [
            put(1, X[:, :2, :2]),
            put(1, X[:1, :, :2]),
            put(1, X[:, :, :2, 0]),
            put(1, np.tile(X, (1, 1, 2, 1))),
            put(2, i64(1)),
            put(2, i64(1, 2, 0)),
            put(2, i64(1, 3)),
            put(2, i64(-1, 2)),
            given(axis=0),
            given(axis=-4),
            given(axis=4),
        ],
    ),
    (
        case("ReverseSequence", X, i64(3, 0), batch_axis=0, time_axis=1),
        [put(1, i64(3, 0, 1)), put(1, i64(4, 0)), put(1, i64(-1, 0)), given(batch_axis=1, time_axis=0)],
    ),
    (case("CumSum", X, np.array(-4), exclusive=0, reverse=0), [put(1, np.array(4)), put(1, i64(0, 1))]),
    (
        case("TopK", X, i64(4), axis=-2, largest=1, sorted=1, outputs=("f32", "i64")),
        [put(1, i64(5)), put(1, i64(-1)), put(1, i64(1, 1)), given(axis=4)],
    ),
    (
        case("ArgMax", X, axis=-4, keepdims=0, select_last_index=0, outputs=("i64",)),
        [given(axis=4), given(axis=-5), put(0, X[:0])],
    ),
    (case("Trilu", X, np.array(1), upper=1), [put(0, ones(3)), put(1, i64(0, 1))]),
    (case("EyeLike", ones(2, 3), k=0), [put(0, ones(3)), put(0, ones(1, 2, 3))]),
    (
        case("Compress", X, ones(3, dtype=bool), axis=-3),
        [put(1, ones(4, dtype=bool)), put(1, ones(1, 3, dtype=bool)), given(axis=0), given(axis=4)],
    ),
    (case("Unique", X, axis=-4, sorted=1), [given(axis=4), given(axis=-5)]),
]

KNOWN = {"ConstantOfShape": (1,), "QGemm": (1, 2, 3, 4, 6, 7)}
"""The places of constants, by op."""


def op_of(pair):
    return pair[0].op


@pytest.mark.parametrize("pair", REFUSED, ids=op_of)
def test_beside_what_fits(same, pair):
    fine, changes = pair
    known = KNOWN.get(fine.op, ())
    same(*fine.program(known), batched=False)
    for number, change in enumerate(changes):
        program, feeds = change(fine).program(known)
        where = f"{fine.op}, change {number}"
        with pytest.raises(octavo.RunError, match=f"{fine.op} node"):
            pytest.fail(f"the reference takes {where}: {octavo.reference.run(program, feeds)}")
        with pytest.raises(octavo.RunError, match=f"{fine.op} node"):
            pytest.fail(f"the runtime takes {where}: {octavo.Session(program).run(None, feeds)}")
