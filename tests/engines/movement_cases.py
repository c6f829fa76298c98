"""Single movement nodes on tensors of no elements, of no axes and of eight axes, in every dtype."""

import numpy as np
from single_node import NAMES, Case

ANY = ["u1", "i1", "i2", "i4", "i8", "?", "f2", "f4", "f8"]
RNG = np.random.default_rng(3)


def i64(*items):
    return np.array(items, np.int64)


def drawn(shape, dtype):
    return RNG.integers(-4, 5, shape).astype(dtype)


def on_any_shape(x):
    rank, name = x.ndim, NAMES[x.dtype]
    yield Case("Identity", [x], {}, (name,))
    yield Case("Transpose", [x], {"perm": list(range(rank))[::-1]}, (name,))
    yield Case("Transpose", [x], {"perm": [1, 0, *range(2, rank)]}, (name,))
    yield Case("Flatten", [x], {"axis": 0}, (name,))
    for axes in ((0, -1), (-1, 0), (2, 0, 1), (-2, 1, -1)):
        yield Case("Unsqueeze", [x, i64(*axes)], {}, (name,))
    yield Case("Concat", [x, x], {"axis": -1}, (name,))
    yield Case("Concat", [x, x, x], {"axis": 1}, (name,))
    yield Case("Tile", [x, i64(*[2] * rank)], {}, (name,))
    yield Case("Tile", [x, i64(1, 0, *[1] * (rank - 2))], {}, (name,))
    yield Case("Slice", [x, i64(-1), i64(-100), i64(0), i64(-1)], {}, (name,))
    yield Case("Slice", [x, i64(5, 0), i64(-9, 9), i64(-1, 0), i64(-2, 1)], {}, (name,))
    yield Case("Pad", [x, i64(*[1, 0] * rank), np.array(3).astype(x.dtype)], {"mode": "constant"}, (name,))
    yield Case("Expand", [x, i64(2, *x.shape)], {}, (name,))
    yield Case("Expand", [x, i64(1)], {}, (name,))


def shape_case(x, start, end):
    """Shape from and to any place: ONNX clamps both to the axes there are, counted from the front."""
    places = [place + x.ndim if place < 0 else place for place in (start, x.ndim if end is None else end)]
    first, last = (min(max(place, 0), x.ndim) for place in places)
    attributes = {"start": start} if end is None else {"start": start, "end": end}
    return Case("Shape", [x], attributes, ("i64",), answer=[np.array(x.shape[first:last], np.int64)])


def on_one_number(z):
    name = NAMES[z.dtype]
    nothing = np.zeros(0, np.int64)
    yield Case("Identity", [z], {}, (name,))
    yield Case("Unsqueeze", [z, i64(0)], {}, (name,))
    yield Case("Reshape", [z, i64(1, 1)], {"allowzero": 0}, (name,))
    yield Case("Reshape", [z.reshape(1, 1), nothing], {"allowzero": 0}, (name,))
    yield Case("Squeeze", [z.reshape(1, 1)], {}, (name,))
    yield Case("Expand", [z, i64(2, 3)], {}, (name,))
    yield Case("Expand", [z, nothing], {}, (name,))
    yield Case("Tile", [z, nothing], {}, (name,))
    yield Case("Flatten", [z], {"axis": 0}, (name,))
    for start in (-1, 0, 1):
        yield shape_case(z, start, None)


def cases():
    for dtype in ANY:
        x, many = drawn((2, 3, 4, 5), dtype), drawn((2, 1, 2, 1, 2, 2, 1, 3), dtype)
        for tensor in (x, x[:, :0], many):
            yield from on_any_shape(tensor)
        yield from on_one_number(np.array(1).astype(dtype))
        name = NAMES[x.dtype]
        yield Case("Squeeze", [many, i64(-5, 1)], {}, (name,))
        for start in range(-6, 7):
            for end in (None, *(range(-6, 7) if dtype == "f4" else ())):
                yield shape_case(x, start, end)
        for mode in ("reflect", "edge", "wrap"):
            yield Case("Pad", [x, i64(1, 2, 3, 1, 1, 0, 2, 4)], {"mode": mode}, (name,))
            # Of one element all others are copies.
            yield Case("Pad", [x[:, :, :1], i64(0, 0, 3, 0, 0, 0, 2, 0)], {"mode": mode}, (name,))
        yield Case("Split", [x[:, :0]], {"axis": 1, "num_outputs": 2}, (name,) * 2)
        yield Case("Split", [x, i64(1, 0, 3)], {"axis": 2}, (name,) * 3)
        for mode in ("DCR", "CRD"):
            for images in (2, 0):
                pixels = drawn((images, 8, 2, 3), dtype)
                yield Case("DepthToSpace", [pixels], {"blocksize": 2, "mode": mode}, (name,))
        yield Case("SpaceToDepth", [drawn((2, 3, 0, 6), dtype)], {"blocksize": 3}, (name,))
        for picks in (np.array(1), i64(0, -1), np.zeros((0, 2), np.int64), i64(0, 1).reshape(1, 1, 2, 1)):
            yield Case("Gather", [x, picks], {"axis": -1}, (name,))


CASES = list(cases())
