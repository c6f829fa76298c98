"""How random Programs grow by ops that order, pick and place elements."""

from typing import Any

import numpy as np
from growth import ANY, Draw, Growth
from octavo.program.checks import ONNX_DTYPES

NUMBERS = tuple(dtype for dtype in ANY if dtype != "bool")
OPS = (
    "ArgMax", "ArgMin", "TopK", "CumSum", "OneHot", "Trilu", "EyeLike", "Size", "NonZero", "Compress",
    "Unique", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "TensorScatter",
    "ReverseSequence", "NonMaxSuppression", "RoiAlign", "Col2Im", "MaxUnpool",
)  # fmt: skip


def indexing(g: Growth, op: str) -> bool:
    """Add a node of one of `OPS`; whether one was added."""
    if op in ("NonMaxSuppression", "RoiAlign", "Col2Im", "MaxUnpool"):
        return _of_images(g, op)
    x = g.pick(NUMBERS if op in ("ArgMax", "ArgMin", "TopK", "CumSum") else ANY)
    if not x:
        return False
    if op in ("EyeLike", "Size", "NonZero", "Trilu"):
        return _of_shape(g, op, x)
    if not g.arrays[x].ndim or not g.arrays[x].size:
        return False
    if op in ("ArgMax", "ArgMin", "TopK", "CumSum", "Unique", "Compress", "OneHot"):
        return _along(g, op, x)
    return _by_indices(g, op, x)


def _flag(draw: Draw) -> int:
    return draw.number(0, 1)


def _of_shape(g: Growth, op: str, x: str) -> bool:
    draw = g.draw
    if op == "EyeLike":
        return g.node(op, [x], k=draw.number(-3, 3), dtype=ONNX_DTYPES[draw.one(ANY)])
    if op == "Trilu":
        return g.node(op, [x, g.i64(draw.number(-4, 4))], upper=_flag(draw))
    return g.node(op, [x])


def _along(g: Growth, op: str, x: str) -> bool:
    draw, shape = g.draw, g.arrays[x].shape
    axis = draw.number(0, len(shape) - 1)
    signed = axis - _flag(draw) * len(shape)
    some: dict[str, Any] = {"axis": signed} if draw.chance(0.7) else {}
    match op:
        case "TopK":
            k = g.i64([draw.number(0, shape[axis])])
            return g.node(op, [x, k], 2, axis=signed, largest=_flag(draw), sorted=1)
        case "CumSum":
            return g.node(op, [x, g.i64(signed)], exclusive=_flag(draw), reverse=_flag(draw))
        case "Unique":
            return g.node(op, [x], 4, sorted=_flag(draw), **some)
        case "Compress":
            length = shape[axis] if some else g.arrays[x].size
            return g.node(op, [x, g.constant(draw.rng.random(length) < 0.5)], **some)
        case "OneHot":
            values = g.constant(draw.array(draw.one(ANY), (2,)))
            return g.node(op, [x, g.i64(draw.number(1, 6)), values], axis=signed)
        case _:
            return g.node(op, [x], axis=signed, keepdims=_flag(draw), select_last_index=_flag(draw))


def _by_indices(g: Growth, op: str, x: str) -> bool:
    draw, shape, dtype = g.draw, g.arrays[x].shape, g.values[x].dtype
    axis = draw.number(0, len(shape) - 1)
    reduction = draw.one(("none", "add", "mul", "max", "min"))
    if op in ("GatherElements", "ScatterElements"):
        counts = [draw.number(1, n) for n in shape]
        indices = g.i64(draw.rng.integers(-shape[axis], shape[axis], counts))
        if op == "GatherElements":
            return g.node(op, [x, indices], axis=axis)
        updates = g.constant(draw.array(dtype, tuple(counts)))
        return g.node(op, [x, indices, updates], axis=axis, reduction=reduction)
    if op in ("GatherND", "ScatterND"):
        width = draw.number(1, len(shape))
        outer = tuple(draw.numbers(1, 4, draw.number(0, 2)))
        tuples = g.i64(np.stack([draw.rng.integers(-n, n, outer) for n in shape[:width]], axis=-1))
        if op == "GatherND":
            return g.node(op, [x, tuples], batch_dims=0)
        updates = g.constant(draw.array(dtype, outer + shape[width:]))
        return g.node(op, [x, tuples, updates], reduction=reduction)
    if len(shape) < 2:
        return False
    if op == "ReverseSequence":
        time = _flag(draw)
        lengths = g.i64(draw.rng.integers(0, shape[time] + 1, shape[1 - time]))
        return g.node(op, [x, lengths], batch_axis=1 - time, time_axis=time)
    axis = max(axis, 1)
    update = g.constant(draw.array(dtype, (*shape[:axis], 1, *shape[axis + 1 :])))
    starts = g.i64(draw.rng.integers(0, shape[axis], shape[0]))
    return g.node(op, [x, update, starts], axis=axis, mode=draw.one(("linear", "circular")))


def _unpool(g: Growth, op: str) -> bool:
    x, draw = g.pick(ANY, (3, 4, 5)), g.draw
    if not x:
        return False
    shape = g.arrays[x].shape
    axes = len(shape) - 2
    kernel, strides, pads = (draw.numbers(*span) for span in ((1, 3, axes), (1, 3, axes), (0, 1, 2 * axes)))
    makes = [(n - 1) * s + k for n, s, k in zip(shape[2:], strides, kernel, strict=True)]
    is_stated = draw.chance(0.4)
    if not is_stated:
        makes = [n - before - after for n, before, after in zip(makes, pads[:axes], pads[axes:], strict=True)]
    places = draw.rng.integers(0, max(1, int(np.prod([*shape[:2], *makes]))), shape)
    stated = [g.i64([*shape[:2], *makes])] if is_stated else []
    return g.node(op, [x, g.i64(places), *stated], kernel_shape=kernel, strides=strides, pads=pads)


def _of_images(g: Growth, op: str) -> bool:
    draw = g.draw
    if op == "NonMaxSuppression":
        scores = g.pick(("f32",), (3,))
        if not scores:
            return False
        batch, _, count = g.arrays[scores].shape
        boxes = g.constant(draw.rng.integers(0, 9, (batch, count, 4)).astype(np.float32))
        limits = [g.i64(draw.number(0, 5)), *(g.constant(draw.f32(0, 1)) for _ in range(2))]
        return g.node(op, [boxes, scores, *limits], center_point_box=_flag(draw))
    if op == "MaxUnpool":
        return _unpool(g, op)
    if op == "RoiAlign":
        x = g.pick(("f32",), (4,))
        if not x or not g.arrays[x].size:
            return False
        count = draw.number(0, 3)
        regions = g.constant(draw.rng.uniform(-2, 9, (count, 4)).astype(np.float32))
        images = g.i64(draw.rng.integers(0, len(g.arrays[x]), count))
        modes = {"mode": draw.one(("avg", "max")), "sampling_ratio": draw.number(0, 2)}
        modes["coordinate_transformation_mode"] = draw.one(("half_pixel", "output_half_pixel"))
        sizes = {"output_height": draw.number(1, 3), "output_width": draw.number(1, 3)}
        return g.node(op, [x, regions, images], **modes, **sizes, spatial_scale=draw.f32(0.5, 1))
    x = g.pick(NUMBERS, (3,))
    if not x:
        return False
    columns = g.arrays[x].shape[2]
    return g.node(op, [x, g.i64([1, columns + 1]), g.i64([1, 2])])
