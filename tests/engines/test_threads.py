"""Work so large that threads share it: each piece must find its own part of what it reads."""

import numpy as np
import octavo
import pytest
from single_node import NAMES, Case, multipliers

RNG = np.random.default_rng(12)
F = np.float32


def normal(*shape):
    return RNG.standard_normal(shape).astype(F)


def whole(low, high, shape, dtype=np.int64):
    return RNG.integers(low, high, shape).astype(dtype)


def dtypes_of(*arrays):
    return tuple(NAMES[array.dtype] for array in arrays)


X = normal(60, 50, 40)
BYTES = whole(0, 256, (3, 24, 40, 41), np.uint8)
WINDOW = {
    "kernel_shape": [2, 3],
    "strides": [1, 2],
    "pads": [1, 0, 0, 1],
    "dilations": [1, 1],
    "ceil_mode": 0,
}
ARG = {"keepdims": 0, "select_last_index": 0}
TOP = {"largest": 1, "sorted": 1}
EPSILON = {"epsilon": F(1e-3)}
STASH = EPSILON | {"stash_type": 1}
NONE = {"noop_with_empty_axes": 0, "keepdims": 0}
RESIZE = {
    "mode": "linear",
    "coordinate_transformation_mode": "half_pixel",
    "nearest_mode": "floor",
    "keep_aspect_ratio_policy": "stretch",
    "extrapolation_value": F(0),
    "cubic_coeff_a": F(-0.75),
    "antialias": 0,
    "exclude_outside": 0,
}
REGIONS = np.sort(RNG.uniform(0, 12, (90, 2, 2)), axis=2).transpose(0, 2, 1).reshape(90, 4).astype(F)
ALIGN = {"coordinate_transformation_mode": "half_pixel", "mode": "avg", "sampling_ratio": 2}
ALIGN |= {"output_height": 3, "output_width": 2, "spatial_scale": F(1)}
GRID = {"mode": "linear", "padding_mode": "zeros", "align_corners": 0}
PARAMETERS = [normal(60), normal(60), normal(60), np.abs(normal(60))]
LENGTHS = whole(0, 61, 50)

CASES = {
    "ArgMax of lines": Case("ArgMax", [X], ARG | {"axis": 2}, ("i64",)),
    "ArgMin of columns": Case("ArgMin", [X], ARG | {"axis": 1}, ("i64",)),
    "TopK of lines": Case("TopK", [X, np.array([5])], TOP | {"axis": 2}, ("f32", "i64")),
    "TopK of columns": Case("TopK", [X, np.array([5])], TOP | {"axis": 1}, ("f32", "i64")),
    "CumSum": Case("CumSum", [X, np.array(1)], {"exclusive": 0, "reverse": 1}, ("f32",)),
    "OneHot": Case("OneHot", [whole(-9, 9, (50, 60)), np.array(9), normal(2)], {"axis": 1}, ("f32",)),
    "Trilu": Case("Trilu", [X], {"upper": 1}, ("f32",)),
    "Col2Im": Case("Col2Im", [normal(3, 84, 25), np.array([6, 7]), np.array([2, 3])], {}, ("f32",)),
    "Gather": Case("Gather", [X, whole(-60, 60, (70,))], {"axis": 0}, ("f32",)),
    "Gather behind": Case("Gather", [X, whole(-50, 50, (70,))], {"axis": 1}, ("f32",)),
    "GatherElements": Case("GatherElements", [X, whole(-50, 50, (60, 45, 40))], {"axis": 1}, ("f32",)),
    "GatherND": Case(
        "GatherND", [X, np.stack([whole(0, n, (40, 50)) for n in (60, 50)], -1)], {"batch_dims": 0}, ("f32",)
    ),
    "GatherND of batches": Case("GatherND", [X, whole(0, 50, (60, 30, 1))], {"batch_dims": 1}, ("f32",)),
    "ReverseSequence, time first": Case(
        "ReverseSequence", [X, LENGTHS], {"batch_axis": 1, "time_axis": 0}, ("f32",)
    ),
    "ReverseSequence": Case(
        "ReverseSequence", [X, whole(0, 51, 60)], {"batch_axis": 0, "time_axis": 1}, ("f32",)
    ),
    "GridSample": Case(
        "GridSample", [normal(3, 5, 9, 8), RNG.uniform(-1, 1, (3, 12, 11, 2)).astype(F)], GRID, ("f32",)
    ),
    "RoiAlign": Case("RoiAlign", [normal(4, 5, 12, 13), REGIONS, whole(0, 4, 90)], ALIGN, ("f32",)),
    "Cast to more bytes": Case("Cast", [whole(-9, 99, (300, 200), np.int16)], {"to": 7}, ("i64",)),
    "Cast to fewer bytes": Case("Cast", [whole(-9, 99, (300, 200), np.int64)], {"to": 5}, ("i16",)),
    "Cast to halves": Case("Cast", [X], {"to": 10}, ("f16",)),
    "Resize": Case("Resize", [X, None, F([1.5, 0.7, 2])], RESIZE, ("f32",)),
    "InstanceNormalization": Case(
        "InstanceNormalization", [normal(20, 60, 70), *PARAMETERS[:2]], EPSILON, ("f32",)
    ),
    "GroupNormalization": Case(
        "GroupNormalization", [normal(20, 60, 70), *PARAMETERS[:2]], STASH | {"num_groups": 6}, ("f32",)
    ),
    "LayerNormalization": Case(
        "LayerNormalization", [normal(200, 50, 60), *PARAMETERS[:2]], STASH | {"axis": -1}, ("f32",) * 3
    ),
    "RMSNormalization": Case("RMSNormalization", [X, normal(50, 40)], STASH | {"axis": 1}, ("f32",)),
    "LpNormalization of lines": Case("LpNormalization", [X], {"axis": -1, "p": 1}, ("f32",)),
    "LpNormalization of columns": Case("LpNormalization", [X], {"axis": 1, "p": 2}, ("f32",)),
    "Reduce of lines": Case("ReduceSum", [X, np.array([2])], NONE, ("f32",)),
    "Reduce of columns": Case("ReduceL2", [X, np.array([1])], NONE, ("f32",)),
    "Reduce of integers": Case("ReduceMax", [whole(-99, 99, (60, 50, 40)), np.array([1])], NONE, ("i64",)),
    "LpPool": Case("LpPool", [normal(3, 24, 12, 13)], WINDOW | {"p": 2}, ("f32",)),
    "AveragePool over three axes": Case(
        "AveragePool",
        [normal(3, 8, 7, 6, 9)],
        {"kernel_shape": [2, 3, 2], "strides": [1, 2, 1], "pads": [1, 0, 0, 0, 1, 1], "dilations": [1, 1, 2]}
        | {"ceil_mode": 0, "count_include_pad": 1},
        ("f32",),
    ),
    "MaxPool of bytes": Case("MaxPool", [BYTES], WINDOW, ("u8",)),
    "AveragePool": Case("AveragePool", [normal(3, 24, 40, 41)], WINDOW | {"count_include_pad": 0}, ("f32",)),
    "Softmax of lines": Case("Softmax", [X], {"axis": -1}, ("f32",)),
    "Softmax of columns": Case("LogSoftmax", [X], {"axis": 1}, ("f32",)),
    "Transpose": Case("Transpose", [X], {"perm": [2, 0, 1]}, ("f32",)),
    "Transpose of bytes": Case("Transpose", [BYTES], {"perm": [1, 3, 0, 2]}, ("u8",)),
    "Concat": Case("Concat", [X, normal(60, 30, 40), X], {"axis": 1}, ("f32",)),
    "Expand": Case("Expand", [normal(60, 1, 40), np.array([3, 1, 50, 1])], {}, ("f32",)),
    "DepthToSpace": Case("DepthToSpace", [BYTES], {"blocksize": 2, "mode": "CRD"}, ("u8",)),
    "Where": Case("Where", [whole(0, 2, (60, 1, 40), bool), X, normal(50, 1)], {}, ("f32",)),
    "ConstantOfShape": Case("ConstantOfShape", [np.array([70, 900]), np.array([7], np.int16)], {}, ("i16",)),
}
"""Constants: the shapes and values that an op asks for as such."""
FIXED = {"ConstantOfShape": (1,)}
SIDES = [((200, 300), (200, 300)), ((60, 50, 40), (50, 1)), ((60, 1, 40), (50, 40)), ((70000,), ())]


@pytest.mark.parametrize("name", CASES)
def test_one_node(same, name):
    case = CASES[name]
    program, feeds = case.program(FIXED.get(case.op, ()))
    same(program, feeds, batched=False)


@pytest.mark.parametrize("shapes", SIDES)
@pytest.mark.parametrize("dtype", ["f32", "f64", "i16", "u8"])
def test_pairs(build, same, shapes, dtype):
    """As a run of elements, and as runs that begin anew along some axes."""
    numpy = {"f32": F, "f64": np.float64, "i16": np.int16, "u8": np.uint8}[dtype]
    names = [build.input(f"x{place}", dtype, shape) for place, shape in enumerate(shapes)]
    feeds = {name: whole(0, 99, shape).astype(numpy) for name, shape in zip(names, shapes, strict=True)}
    outputs = [build.node("Sub" if dtype != "u8" else "Max", names[::way], dtype) for way in (1, -1)]
    outputs.append(build.node("Less", names, "bool") if dtype != "u8" else build.node("Min", names, dtype))
    same(build.program(*outputs), feeds, batched=False)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("group", [1, 3])
def test_convolutions(build, same, dtype, group):
    numpy = {"f32": F, "f64": np.float64}[dtype]
    given = {"strides": [1, 2], "pads": [1, 0, 2, 1], "dilations": [1, 1], "group": group}
    x, w = build.input("x", dtype, (3, 6, 15, 14)), build.input("w", dtype, (9, 6 // group, 3, 2))
    feeds = {"x": normal(3, 6, 15, 14).astype(numpy), "w": normal(9, 6 // group, 3, 2).astype(numpy)}
    outputs = [build.node("Conv", [x, w], dtype, **given)]
    if dtype == "f32":
        weights = build.constant("t", normal(6, 9 // group, 3, 2))
        outputs.append(build.node("ConvTranspose", [x, weights], dtype, output_padding=[0, 1], **given))
    same(build.program(*outputs), feeds, batched=False)


@pytest.mark.parametrize("size", [(3, 40, 41), (2, 9, 7), (1, 3000)], ids=str)
@pytest.mark.parametrize("kernel", [2, 4])
def test_transposed_convolutions(build, same, size, kernel):
    """Whole lines to a thread, rows of all phases, and parts of one line."""
    rng, (images, *spatial) = np.random.default_rng(kernel), size
    axes = len(spatial)
    x = build.input("x", "u8", ("N", 24, *spatial))
    w = build.constant("w", rng.integers(-127, 128, (20, 24, *[kernel] * axes)).astype(np.int8))
    bias, scale = build.constant("b", np.ones(20, F)), build.constant("s", np.full(20, 0.25, F))
    window = {"strides": [2] * axes, "dilations": [1] * axes, "pads": [0] * (2 * axes), "group": 1}
    window |= {"output_padding": [1] * axes, "x_zero_point": 100, "x_scale": F(0.5)}
    y = build.node("QConvTranspose", [x, w, bias, scale], "f32", **window)
    same(build.program(y), {"x": rng.integers(0, 256, (images, 24, *spatial)).astype(np.uint8)})


@pytest.mark.parametrize("layout", ["planes", "pixels"])
def test_batch_normalization(build, same, layout):
    x = build.input("x", "f32", ("N", 60, 11, 13))
    if layout == "pixels":
        window = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1]}
        x = build.node("MaxPool", [x], "f32", ceil_mode=0, **window)
    names = [build.constant(f"p{place}", array) for place, array in enumerate(PARAMETERS)]
    y = build.node("BatchNormalization", [x, *names], "f32", **EPSILON)
    same(build.program(y), {"x": normal(5, 60, 11, 13)})


@pytest.mark.parametrize("channels", [1, 3, 4, 7, 20])
def test_planes_become_pixels(build, same, channels):
    x = build.input("x", "f32", ("N", channels, 80, 81))
    q = build.node("Quantize", [x], scale=F(0.03), zero_point=77)
    window = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0}
    same(build.program(build.node("MaxPool", [q], **window)), {"x": normal(2, channels, 80, 81)})


@pytest.mark.parametrize("shapes", [((30, 5, 31, 9), (30, 5, 9, 33)), ((130, 1, 31, 9), (5, 9, 33))])
@pytest.mark.parametrize("dtype", ["f32", "u8", "i32"])
def test_many_products(build, same, shapes, dtype):
    """The right sides are packed, and the rows of the left ones added up, matrix by matrix."""
    numpy = {"f32": F, "u8": np.uint8, "i32": np.int32}[dtype]
    names = [build.input(name, dtype, shape) for name, shape in zip("ab", shapes, strict=True)]
    feeds = {name: whole(0, 99, shape).astype(numpy) for name, shape in zip(names, shapes, strict=True)}
    given = {"a_zero_point": 3, "b_zero_point": 200, "y_zero_point": 128, "lo": 0, "hi": 255}
    given |= {"multiplier": 2**30 + 97 * 2**7, "shift": 40}
    y = build.node("QMatMul", names, **given) if dtype == "u8" else build.node("MatMul", names, dtype)
    same(build.program(y), feeds, batched=False)


@pytest.mark.parametrize("residual", [False, True])
def test_columns_of_one_row(build, same, residual):
    """A product of one row is cut by its columns, and so is what is added to it."""
    x, w = build.input("x", "u8", (1, 300)), build.constant("w", whole(-127, 128, (300, 500), np.int8))
    feeds = {"x": whole(0, 256, (1, 300), np.uint8)}
    parameters = [whole(-9999, 9999, 500), multipliers(RNG, 500), np.full(500, 44)]
    names = [build.constant(f"p{at}", array.astype(np.int32)) for at, array in enumerate(parameters)]
    y = build.node("QGemm", [x, w, *names], x_zero_point=3, y_zero_point=90, lo=0, hi=255)
    if residual:
        feeds["r"] = whole(0, 256, (1, 500), np.uint8)
        given = {"a_zero_point": 90, "b_zero_point": 7, "y_zero_point": 100, "shift": 14, "lo": 3, "hi": 250}
        y = build.node(
            "QAdd", [y, build.input("r", "u8", (1, 500))], a_multiplier=9000, b_multiplier=-7000, **given
        )
    same(build.program(y), feeds, batched=False)


def test_columns_of_one_row_of_floats(build, same):
    x, w = build.input("x", "f32", (1, 300)), build.constant("w", normal(300, 500))
    given = {"alpha": F(1), "beta": F(1), "transA": 0, "transB": 0}
    r = build.input("r", "f32", (1, 500))
    y = build.node("Add", [build.node("Gemm", [x, w], "f32", **given), r], "f32")
    same(build.program(y), {"x": normal(1, 300), "r": normal(1, 500)}, batched=False)


@pytest.mark.parametrize("c", [(300, 1), (300, 130), (130,), (1, 1)])
@pytest.mark.parametrize("turned", [0, 1])
def test_rows_of_a_gemm_find_their_c(build, same, c, turned):
    feeds = {"x": normal(*((90, 300) if turned else (300, 90))), "c": normal(*c)}
    names = [build.input("x", "f32", feeds["x"].shape), build.constant("w", normal(90, 130))]
    given = {"alpha": F(0.7), "beta": F(1.3), "transA": turned, "transB": 0}
    y = build.node("Gemm", [*names, build.input("c", "f32", c)], "f32", **given)
    same(build.program(y), feeds, batched=False)


@pytest.mark.parametrize("mask", [(5, 1, 90, 130), (3, 1, 130), (90, 130), (130,)])
@pytest.mark.parametrize("dtype", ["f32", "u8"])
def test_rows_of_scores_find_their_mask(build, same, dtype, mask):
    """Rows go through their softmax in blocks, which begin in the middle of a matrix."""
    shapes = {"a": (5, 3, 90, 20), "b": (5, 3, 20, 130)}
    names = [build.input(name, dtype, shape) for name, shape in shapes.items()]
    feeds = {"mask": normal(*mask)}
    if dtype == "f32":
        feeds |= {name: normal(*shape) for name, shape in shapes.items()}
        y = build.node("MatMul", names, dtype)
    else:
        feeds |= {name: whole(0, 256, shape, np.uint8) for name, shape in shapes.items()}
        scales = {"a_scale": F(0.01), "b_scale": F(0.02)}
        y = build.node("QMatMul", names, "f32", a_zero_point=120, b_zero_point=90, **scales)
    y = build.node("Add", [y, build.input("mask", "f32", mask)], "f32")
    y = build.node("Softmax", [y], "f32", axis=-1)
    if dtype == "u8":
        y = build.node("Quantize", [y], scale=F(1 / 1024), zero_point=0)
    same(build.program(y), feeds, batched=False)


def test_threads_share_what_is_large():
    """The pieces depend on the threads, the answers do not: also of more threads than there are pieces."""
    for name in ("TopK of columns", "Resize", "GatherElements", "Reduce of columns"):
        program, feeds = CASES[name].program()
        expected = octavo.reference.run(program, feeds)
        for threads in (3, 7, 64):
            found = octavo.Session(program, threads=threads).run(None, feeds)
            assert [y.tobytes() for y in found] == [y.tobytes() for y in expected], f"{name}, {threads}"
