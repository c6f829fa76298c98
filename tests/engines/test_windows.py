"""Pools without kernels of their own, GridSample, and products of other dtypes, on every engine."""

import numpy as np
import pytest
from octavo.program import Value

DTYPES = {
    "f32": np.float32,
    "f64": np.float64,
    "i8": np.int8,
    "u8": np.uint8,
    "i32": np.int32,
    "i64": np.int64,
}


def values(rng, dtype, shape):
    x = rng.standard_normal(shape) * 20
    return np.asarray(np.abs(x) if dtype == "u8" else x).astype(DTYPES[dtype])


def window(rng, axes):
    kernel = [int(k) for k in rng.integers(1, 4, axes)]
    return {
        "kernel_shape": kernel,
        "strides": [int(s) for s in rng.integers(1, 4, axes)],
        "dilations": [int(d) for d in rng.integers(1, 3, axes)],
        "pads": [int(rng.integers(0, k)) for k in kernel * 2],
        "ceil_mode": int(rng.integers(2)),
    }


@pytest.mark.parametrize("dtype", ["f32", "f64", "i8", "u8"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_max_pools(build, same, dtype, axes):
    rng = np.random.default_rng(axes)
    shape = (2, 5, *(int(n) for n in rng.integers(6, 9, axes)))
    x = build.input("x", dtype, shape)
    outputs = []
    for order in (0, 1):
        attributes = window(rng, axes)
        outputs.append(build.node("MaxPool", [x], dtype, **attributes))
        y = build.node("MaxPool", [x], dtype, count=2, storage_order=order, **attributes)
        places = y.replace("_0", "_1")
        build.values[places] = type(build.values[y])(places, "i64", None)
        outputs += [y, places]
    same(build.program(*outputs), {"x": values(rng, dtype, shape)}, batched=False)


@pytest.mark.parametrize("dtype", ["f32", "f64", "i8", "u8"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_the_first_of_equal_elements_and_the_first_nan(build, same, dtype, kernel):
    """NaN is the largest; of equal ones, and of NaN, the place of the first is told."""
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 1.0] if dtype[0] == "f" else [0, 1, 1, 2, 2]
    rng = np.random.default_rng(kernel)
    data = rng.choice(np.array(special, DTYPES[dtype]), (2, 3, 60))
    x = build.input("x", dtype, data.shape)
    given = {"strides": [1], "pads": [1, 0] if kernel > 1 else [0, 0], "dilations": [1], "ceil_mode": 0}
    y = build.node("MaxPool", [x], dtype, count=2, storage_order=0, kernel_shape=[kernel], **given)
    places = y.replace("_0", "_1")
    build.values[places] = Value(places, "i64", None)
    found = same(build.program(y, places), {"x": data}, batched=False)
    for plane, (row, at) in enumerate(zip(data.reshape(6, 60), found[1].reshape(6, -1), strict=True)):
        for window, place in enumerate(at.tolist()):
            start = window - given["pads"][0]
            seen = {i: row[i].item() for i in range(max(start, 0), start + kernel)}
            nan = [i for i, v in seen.items() if v != v]
            first = nan[0] if nan else max(seen, key=lambda i: (seen[i], -i))
            assert place == plane * 60 + first


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_means_and_norms(build, same, axes, seed):
    rng = np.random.default_rng([axes, seed])
    shape = (2, 5, *(int(n) for n in rng.integers(6, 9, axes)))
    x = build.input("x", "f32", ("N", *shape[1:]))
    attributes = window(rng, axes)
    outputs = [build.node("AveragePool", [x], "f32", count_include_pad=c, **attributes) for c in (0, 1)]
    for p in (1, 2, 3, 4, 7):
        outputs.append(build.node("LpPool", [x], "f32", p=p, **attributes))
        outputs.append(build.node("GlobalLpPool", [x], "f32", p=p))
    same(build.program(*outputs), {"x": values(rng, "f32", shape)})


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_grid_sample(build, same, axes):
    rng = np.random.default_rng(axes)
    shape, places = (2, 3, 4, 5, 3)[: axes + 2], (2, 3, 4, 2)[: axes + 1]
    x = build.input("x", "f32", ("N", *shape[1:]))
    grid = build.input("grid", "f32", ("N", *places[1:], axes))
    outputs = [
        build.node("GridSample", [x, grid], "f32", mode=mode, padding_mode=padding, align_corners=align)
        for mode in ("nearest", "linear", "cubic")
        for padding in ("zeros", "border", "reflection")
        for align in (0, 1)
    ]
    feeds = {"x": values(rng, "f32", shape)}
    feeds["grid"] = rng.uniform(-2, 2, (*places, axes)).astype(np.float32)
    same(build.program(*outputs), feeds)


@pytest.mark.parametrize("sizes", [(4, 8), (1, 2), (2, 5), (8, 1)])
def test_grids_that_fall_on_halves_and_borders(build, same, sizes):
    """On elements, half way between two, on an image's borders, and beyond until they mirror four times."""
    rng = np.random.default_rng(7)
    x, grid = build.input("x", "f32", (1, 2, *sizes)), build.input("grid", "f32", (1, 61, 61, 2))
    outputs = [
        build.node("GridSample", [x, grid], "f32", mode=mode, padding_mode=padding, align_corners=align)
        for mode in ("nearest", "linear", "cubic")
        for padding in ("zeros", "border", "reflection")
        for align in (0, 1)
        if align == 0 or 1 not in sizes
    ]
    eighths = [*range(-60, -20, 4), *range(-20, 21), *range(24, 61, 4)]
    steps = np.array(eighths, np.float32) / 8
    feeds = {"x": values(rng, "f32", (1, 2, *sizes))}
    feeds["grid"] = np.stack(np.meshgrid(steps, steps), -1)[np.newaxis]
    same(build.program(*outputs), feeds, batched=False)


@pytest.mark.parametrize("dtype", ["f64", "i32", "i64", "i8", "u8"])
@pytest.mark.parametrize(
    ("a", "b"),
    [((5, 7), (7, 3)), ((2, 3, 5, 7), (7, 9)), ((2, 1, 5, 7), (3, 7, 9)), ((2, 7), (7,)), ((7,), (7,))],
)
def test_products_of_other_dtypes(build, same, dtype, a, b):
    rng = np.random.default_rng(2)
    y = build.node("MatMul", [build.input("a", dtype, a), build.input("b", dtype, b)], dtype)
    same(build.program(y), {"a": values(rng, dtype, a), "b": values(rng, dtype, b)}, batched=False)


@pytest.mark.parametrize("seed", range(6))
def test_convolutions_of_float64(build, same, seed):
    rng = np.random.default_rng(seed)
    axes, group = 1 + seed % 3, 1 + seed % 2
    attributes = window(rng, axes)
    kernel = attributes.pop("kernel_shape")
    del attributes["ceil_mode"]
    shape = (2, 4, *(int(n) for n in rng.integers(6, 9, axes)))
    inputs = [build.input("x", "f64", ("N", *shape[1:])), build.input("w", "f64", (6, 4 // group, *kernel))]
    feeds = {"x": values(rng, "f64", shape), "w": values(rng, "f64", (6, 4 // group, *kernel))}
    if seed % 2:
        inputs.append(build.input("b", "f64", (6,)))
        feeds["b"] = values(rng, "f64", (6,))
    same(build.program(build.node("Conv", inputs, "f64", group=group, **attributes)), feeds, batched=False)


def test_places_in_windows_of_padding_alone(build, same):
    x = build.input("x", "f32", ("N", 3, 2, 0))
    attributes = {"kernel_shape": [2, 2], "pads": [0, 2, 0, 2], "strides": [1, 1], "dilations": [1, 1]}
    largest = build.node("MaxPool", [x], "f32", 2, ceil_mode=0, storage_order=0, **attributes)
    program = build.program(largest, build.nodes[-1].outputs[1])
    build.values[program.outputs[1]] = Value(program.outputs[1], "i64", None)
    _, places = same(program, {"x": np.zeros((2, 3, 2, 0), np.float32)}, batched=False)
    assert (places == -1).all()
