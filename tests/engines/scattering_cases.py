"""Single nodes of the ops that read or write elements at indices."""

import numpy as np
from single_node import NAMES, Case

NUMBERS = ["u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
ANY = [*NUMBERS, "?"]
RNG = np.random.default_rng(9)


def drawn(shape, dtype):
    return RNG.integers(-4, 5, shape).astype(dtype)


def indices(n, shape, dtype=np.int64):
    return RNG.integers(-n, n, shape).astype(dtype)


def tuples(lengths, shape):
    """Tuples of indices into axes of these lengths."""
    return np.stack([indices(n, shape) for n in lengths], axis=-1)


def name(dtype):
    return NAMES[np.dtype(dtype)]


def gather_elements_cases():
    for dtype in ANY:
        for axis in (0, 1, -1):
            x = drawn((3, 4, 5), dtype)
            picks = indices(x.shape[axis], (3, 4, 5), np.int32 if axis else np.int64)
            yield Case("GatherElements", [x, picks], {"axis": axis}, (name(dtype),))
    for axis, shape in ((0, (7, 4)), (1, (3, 9)), (1, (3, 0)), (0, (0, 4))):
        x = drawn((3, 4), "f4")
        yield Case("GatherElements", [x, indices(x.shape[axis], shape)], {"axis": axis}, ("f32",))
    yield Case("GatherElements", [drawn(6, "f4"), indices(6, 11)], {"axis": 0}, ("f32",))
    # ONNX's evaluator chooses among 32 at most.
    yield Case("GatherElements", [drawn((30, 90), "f4"), indices(30, (30, 90))], {"axis": 0}, ("f32",))
    yield Case("GatherElements", [drawn((90, 30), "f4"), indices(30, (90, 30))], {"axis": 1}, ("f32",))


def gather_nd_cases():
    for dtype in ANY:
        x = drawn((3, 4, 5, 2), dtype)
        for batches, picks in (
            (0, tuples([3], (2,))),
            (0, tuples([3, 4], (2, 6))),
            (0, tuples([3, 4, 5, 2], (7,))),
            (1, tuples([4], (3,))),
            (1, tuples([4, 5, 2], (3, 6))),
            (2, tuples([5], (3, 4, 2))),
        ):
            yield Case("GatherND", [x, picks], {"batch_dims": batches}, (name(dtype),))
    wide = drawn((50, 40, 8), "f4")
    yield Case("GatherND", [wide, tuples([50, 40], (30, 20))], {"batch_dims": 0}, ("f32",))
    yield Case("GatherND", [wide, tuples([50], (0,))], {"batch_dims": 0}, ("f32",))


def scatter_cases():
    for dtype in ANY:
        for reduction in ("none", "add", "mul", "max", "min"):
            if dtype == "?" and reduction in ("max", "min"):
                continue
            attributes = {"reduction": reduction}
            x = drawn((3, 4, 5), dtype)
            for axis in (0, 1, -1):
                picks = indices(x.shape[axis], (3, 4, 2) if axis else (2, 4, 5))
                inputs = [x, picks, drawn(picks.shape, dtype)]
                yield Case("ScatterElements", inputs, attributes | {"axis": axis}, (name(dtype),))
            for lengths, shape in (([3], (4,)), ([3, 4], (2, 3)), ([3, 4, 5], (9,))):
                updates = drawn(shape + x.shape[len(lengths) :], dtype)
                yield Case("ScatterND", [x, tuples(lengths, shape), updates], attributes, (name(dtype),))
    x, none = drawn((3, 4), "f4"), {"reduction": "none"}
    few = indices(4, (2, 3), np.int32)
    yield Case("ScatterElements", [x, few, drawn((2, 3), "f4")], none | {"axis": 1}, ("f32",))
    yield Case("ScatterElements", [x, few[:0], drawn((0, 3), "f4")], none | {"axis": 1}, ("f32",))
    yield Case("ScatterND", [x, tuples([3], (0,)), drawn((0, 4), "f4")], none, ("f32",))
    parts = RNG.standard_normal((200, 3)).astype(np.float32)
    picks = tuples([4], (200,))
    yield Case("ScatterND", [parts[:4], picks, parts], {"reduction": "add"}, ("f32",))


def cache_cases():
    for dtype in ANY:
        cache, update = drawn((2, 3, 6, 4), dtype), drawn((2, 3, 2, 4), dtype)
        for mode, starts in (("linear", [0, 4]), ("circular", [5, 4]), ("linear", None)):
            inputs = [cache, update, None if starts is None else np.array(starts)]
            yield Case("TensorScatter", inputs, {"axis": -2, "mode": mode}, (name(dtype),))
    cache, update = drawn((2, 6), "f4"), drawn((2, 6), "f4")
    yield Case("TensorScatter", [cache, update, np.array([0, 3])], {"axis": 1, "mode": "circular"}, ("f32",))
    yield Case(
        "TensorScatter", [cache, update[:, :0], np.array([0, 3])], {"axis": 1, "mode": "linear"}, ("f32",)
    )


def reverse_cases():
    for dtype in ANY:
        x = drawn((4, 3, 5), dtype)
        for batch, lengths in ((1, [4, 0, 2]), (0, [1, 2, 3, 3])):
            attributes = {"batch_axis": batch, "time_axis": 1 - batch}
            yield Case("ReverseSequence", [x, np.array(lengths)], attributes, (name(dtype),))
    wide = drawn((50, 40, 9), "f4")
    lengths = RNG.integers(0, 51, 40)
    yield Case("ReverseSequence", [wide, lengths], {"batch_axis": 1, "time_axis": 0}, ("f32",))
    yield Case("ReverseSequence", [wide[:, :0], lengths[:0]], {"batch_axis": 1, "time_axis": 0}, ("f32",))


def unpool_cases():
    square = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4}
    for dtype in ANY:
        x = drawn((2, 3, 2, 3), dtype)
        places = RNG.permutation(2 * 3 * 4 * 6)[: x.size].reshape(x.shape)
        yield Case("MaxUnpool", [x, places], square, (name(dtype),))
        yield Case("MaxUnpool", [x, places // 9, np.array([2, 3, 4, 6])], square, (name(dtype),))
    for spatial, kernel, strides, pads, makes in (
        ((5,), [3], [2], [1, 0], (10,)),
        ((3, 4), [2, 3], [1, 4], [0, 1, 1, 2], (3, 12)),
        ((2, 2, 3), [1, 2, 3], [3, 1, 2], [0, 1, 0, 0, 0, 1], (4, 2, 6)),
        ((0, 2), [3, 2], [1, 2], [0] * 4, (2, 4)),
        ((2, 2), [1, 1], [1, 1], [1, 1, 1, 1], (0, 0)),
    ):
        x = drawn((2, 2, *spatial), "f4") if 0 not in makes else drawn((0, 2, *spatial), "f4")
        places = RNG.integers(0, max(1, 4 * int(np.prod(makes))), x.shape)
        window = {"kernel_shape": kernel, "strides": strides, "pads": pads}
        yield Case("MaxUnpool", [x, places], window, ("f32",))
    x = drawn((1, 2, 2, 2), "f4")
    places = RNG.permutation(2 * 5 * 7)[:8].reshape(x.shape)
    # ONNX's evaluator counts the indices in the smaller output of the window, against the text and runtimes.
    answer = np.zeros(2 * 5 * 7, np.float32)
    np.put(answer, places, x)
    stated = [x, places, np.array([1, 2, 5, 7])]
    yield Case("MaxUnpool", stated, square, ("f32",), answer=[answer.reshape(1, 2, 5, 7)])


CASES = {
    "gather_elements": list(gather_elements_cases()),
    "gather_nd": list(gather_nd_cases()),
    "scatter": list(scatter_cases()),
    "cache": list(cache_cases()),
    "reverse": list(reverse_cases()),
    "unpool": list(unpool_cases()),
}
