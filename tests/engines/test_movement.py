"""Ops that move elements, behind tensors of both layouts, on every engine."""

import numpy as np
import pytest

SHAPE = (2, 6, 4, 8)


def i64(build, name, values):
    return build.constant(name, np.array(values, np.int64))


def transpose(build, x):
    return [
        build.node("Transpose", [x], perm=p) for p in ([0, 2, 3, 1], [0, 3, 1, 2], [0, 1, 3, 2], [0, 3, 2, 1])
    ]


def reshape(build, x):
    return [
        build.node("Reshape", [x, i64(build, "s1", [0, -1])], allowzero=0),
        build.node("Reshape", [x, i64(build, "s2", [0, 3, 2, -1])], allowzero=0),
        build.node("Flatten", [x], axis=1),
        build.node("Flatten", [x], axis=-1),
    ]


def slices(build, x):
    ends = 2**63 - 1
    return [
        build.node(
            "Slice", [x, *(i64(build, f"a{i}", v) for i, v in enumerate([[1, 0], [5, ends], [1, 3], [1, 3]]))]
        ),
        build.node("Slice", [x, *(i64(build, f"b{i}", v) for i, v in enumerate([[-1], [-ends], [1], [-2]]))]),
        build.node("Slice", [x, *(i64(build, f"c{i}", v) for i, v in enumerate([[3], [100], [-1]]))]),
    ]


def split(build, x):
    build.node("Split", [x, i64(build, "parts", [1, 3, 2])], count=3, axis=1)
    build.node("Split", [x], count=3, axis=3, num_outputs=3)
    return [name for node in build.nodes[-2:] for name in node.outputs]


def pad(build, x):
    dtype = {"u8": np.uint8, "f32": np.float32}[build.values[x].dtype]
    value = build.constant("value", np.array(77, dtype))
    return [
        build.node("Pad", [x, i64(build, "p1", [0, 1, 2, 0, 0, 0, 1, 3]), value], mode="constant"),
        build.node("Pad", [x, i64(build, "p2", [0, 0, 2, 1, 0, 0, 1, 3])], mode="edge"),
        build.node(
            "Pad", [x, i64(build, "p3", [2, 1, 1, 2]), "", i64(build, "axes", [2, 3])], mode="reflect"
        ),
        build.node("Pad", [x, i64(build, "p4", [0, 0, 3, -1, 0, 0, -1, 9])], mode="wrap"),
        build.node("Pad", [x, i64(build, "p5", [0, -2, -3, 2, 0, 9, 4, -7])], mode="reflect"),
        build.node("Pad", [x, i64(build, "p6", [0, 7, -1, 0, 0, -4, 5, -6])], mode="edge"),
    ]


def resize(build, x):
    scales = build.constant("scales", np.array([1, 1, 2.5, 0.7], np.float32))
    common = {
        "mode": "nearest",
        "keep_aspect_ratio_policy": "stretch",
        "extrapolation_value": np.float32(0),
    }
    modes = [
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
        ("align_corners", "round_prefer_ceil"),
    ]
    made = [
        build.node("Resize", [x, "", scales], coordinate_transformation_mode=t, nearest_mode=n, **common)
        for t, n in modes
    ]
    sizes = i64(build, "sizes", [7, 3])
    made.append(
        build.node(
            "Resize", [x, "", "", sizes],
            coordinate_transformation_mode="half_pixel", nearest_mode="ceil", axes=[2, 3], **common,
        )
    )  # fmt: skip
    return made


def gather(build, x):
    return [
        build.node("Gather", [x, i64(build, "g1", [[0, -1], [3, 3]])], axis=1),
        build.node("Gather", [x, i64(build, "g2", 2)], axis=-1),
    ]


def depth(build, x):
    narrow = build.node("SpaceToDepth", [x], blocksize=2)
    return [
        narrow,
        build.node("DepthToSpace", [narrow], blocksize=2, mode="DCR"),
        build.node("DepthToSpace", [narrow], blocksize=2, mode="CRD"),
    ]


def rest(build, x):
    one = build.node("Slice", [x, *(i64(build, f"o{i}", v) for i, v in enumerate([[0], [1], [1]]))])
    squeezed = build.node("Squeeze", [one, i64(build, "q1", [1])])
    return [
        build.node("Expand", [one, i64(build, "e1", [3, 1, 1])]),
        squeezed,
        build.node("Unsqueeze", [squeezed, i64(build, "u1", [1, -1])]),
        build.node("Tile", [x, i64(build, "t1", [1, 2, 1, 3])]),
        build.node("Concat", [x, one, x], axis=1),
        build.node("Concat", [x, x], axis=-1),
        build.node("Identity", [x]),
    ]


@pytest.mark.parametrize("make", [transpose, reshape, slices, split, pad, resize, gather, depth, rest])
@pytest.mark.parametrize("behind_a_pool", [False, True])
@pytest.mark.parametrize("dtype", ["u8", "f32"])
def test_moves(build, same, make, behind_a_pool, dtype):
    """A pool leaves its channels last in memory; what follows must read them where they are."""
    x = build.input("x", dtype, ("N", *SHAPE[1:]))
    if behind_a_pool:
        window = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1]}
        x = build.node("MaxPool", [x], dtype, **window, ceil_mode=0)
    before = len(build.nodes)
    outputs = make(build, x)
    for node in build.nodes[before:]:
        for output in node.outputs:
            build.values[output] = type(build.values[output])(output, dtype, None)
    rng = np.random.default_rng(8)
    data = rng.integers(0, 256, SHAPE).astype({"u8": np.uint8, "f32": np.float32}[dtype])
    same(build.program(*outputs), {"x": data})
