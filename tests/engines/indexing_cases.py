"""Single nodes of the ops that order, pick and place elements."""

import numpy as np
from single_node import NAMES, Case

NUMBERS = ["u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
ANY = [*NUMBERS, "?"]
RNG = np.random.default_rng(5)


def i64(*items):
    return np.array(items, np.int64)


def few(shape, dtype):
    """Elements of few different values, so that many are equal."""
    return RNG.integers(0, 5, shape).astype(dtype)


def name(dtype):
    return NAMES[np.dtype(dtype)]


def arg_cases():
    shapes = [(4, 5, 6), (3,), (2, 1, 7), (0, 3), (3, 4, 0)]
    for op in ("ArgMax", "ArgMin"):
        for shape in shapes:
            for axis in {0, -1, len(shape) // 2}:
                if shape[axis] == 0:
                    continue
                for keepdims, last in ((1, 0), (0, 1)):
                    attributes = {"axis": axis, "keepdims": keepdims, "select_last_index": last}
                    for dtype in NUMBERS if shape == (4, 5, 6) else ["f4"]:
                        yield Case(op, [few(shape, dtype)], attributes, ("i64",))
        holes = np.array([[1, np.nan, 3, np.nan], [np.inf, 2, -np.inf, 0]], np.float32)
        for dtype in ("f2", "f4", "f8"):
            for last in (0, 1):
                attributes = {"axis": 1, "keepdims": 1, "select_last_index": last}
                yield Case(op, [holes.astype(dtype)], attributes, ("i64",))
    # Enough for threads to share.
    wide = RNG.standard_normal((64, 21, 50)).astype(np.float32)
    for axis in (0, 1, 2):
        yield Case("ArgMax", [wide], {"axis": axis, "keepdims": 0, "select_last_index": 0}, ("i64",))


def topk_cases():
    for largest in (0, 1):
        for dtype in NUMBERS:
            for axis, k in ((0, 2), (1, 5), (-1, 3), (2, 0)):
                attributes = {"axis": axis, "largest": largest, "sorted": 1}
                yield Case("TopK", [few((3, 5, 6), dtype), i64(k)], attributes, (name(dtype), "i64"))
        attributes = {"axis": -1, "largest": largest, "sorted": 1}
        holes = np.array([[1, np.nan, 3, np.nan, -0.0, 0.0]], np.float32)
        yield Case("TopK", [holes, i64(4)], attributes, ("f32", "i64"))
        yield Case("TopK", [few((0, 4), "f4"), i64(2)], attributes, ("f32", "i64"))
        wide = RNG.standard_normal((40, 300)).astype(np.float32)
        yield Case("TopK", [wide, i64(7)], attributes, ("f32", "i64"))
        yield Case("TopK", [wide, i64(7)], attributes, ("f32", ""))
        yield Case("TopK", [wide.T.copy(), i64(7)], attributes | {"axis": 0}, ("", "i64"))


def cumsum_cases():
    for dtype in NUMBERS:
        x = RNG.integers(0, 120, (3, 4, 5)).astype(dtype)
        close = {"rtol": 2e-3} if dtype == "f2" else {}
        for axis in (0, 1, -1):
            for exclusive, reverse in ((0, 0), (0, 1), (1, 0), (1, 1)):
                attributes = {"exclusive": exclusive, "reverse": reverse}
                yield Case("CumSum", [x, np.array(axis)], attributes, (name(dtype),), close)
    parts = RNG.standard_normal((50, 100)).astype(np.float32)
    parts[:, 0] = -0.0
    for axis in (0, 1):
        for dtype in (np.int32, np.int64):
            attributes = {"exclusive": 0, "reverse": 0}
            yield Case("CumSum", [parts, np.array(axis, dtype)], attributes, ("f32",))
    yield Case("CumSum", [parts[:0], np.array(0)], {"exclusive": 1, "reverse": 0}, ("f32",))


def one_hot_cases():
    picks = np.array([[1, 9, 3], [-1, -10, 0]])
    for axis in (0, 1, -1):
        for dtype in ["i1", "i4", "i8", "f2", "f4", "f8"]:
            for values in ("u1", "i1", "i4", "i8", "f2", "f4", "f8"):
                inputs = [picks.astype(dtype), np.array(10, np.int64), np.array([2, 5], values)]
                yield Case("OneHot", inputs, {"axis": axis}, (name(values),))
    for depth in ("u1", "i4", "f4"):
        inputs = [picks, np.array(10, depth), np.array([0, 1], np.float32)]
        yield Case("OneHot", inputs, {"axis": 1}, ("f32",))
    far = np.array([2**62, -(2**63), 10, -11, 4])
    yield Case("OneHot", [far, np.array(10), np.array([1, 0], np.float32)], {"axis": -1}, ("f32",))
    wide = RNG.integers(-40, 40, (30, 50))
    yield Case("OneHot", [wide, np.array(32), np.array([0, 1], np.float32)], {"axis": 1}, ("f32",))
    yield Case("OneHot", [wide[:0], np.array(32), np.array([0, 1], np.float32)], {"axis": 1}, ("f32",))
    yield Case("OneHot", [np.array(3), np.array(5), np.array([0, 1], np.float32)], {"axis": 0}, ("f32",))


def trilu_cases():
    for upper in (0, 1):
        for dtype in ANY:
            yield Case("Trilu", [few((2, 4, 5), dtype), np.array(1)], {"upper": upper}, (name(dtype),))
        for k in (None, *map(np.array, (-3, 0, 2, 5, -5, 9, -9))):
            for shape in ((4, 5), (2, 5, 4), (0, 3), (3, 0)):
                yield Case("Trilu", [few(shape, "f4"), k], {"upper": upper}, ("f32",))
        yield Case("Trilu", [few((3, 40, 60), "f4"), np.array(7)], {"upper": upper}, ("f32",))


def pattern_cases():
    for k in (-9, -1, 0, 2, 9):
        yield Case("EyeLike", [few((3, 5), "i4")], {"k": k, "dtype": 1}, ("f32",))
    for dtype in ANY:
        number = {"?": 9, "u1": 2, "i1": 3, "i2": 5, "i4": 6, "i8": 7, "f2": 10, "f4": 1, "f8": 11}[dtype]
        yield Case("EyeLike", [few((4, 3), dtype)], {"k": 1}, (name(dtype),))
        yield Case("EyeLike", [few((4, 3), "f4")], {"k": -1, "dtype": number}, (name(dtype),))
        yield Case("Size", [few((4, 3, 2), dtype)], {}, ("i64",))
    yield Case("Size", [few((4, 0), "f4")], {}, ("i64",))
    yield Case("Size", [few((), "f4")], {}, ("i64",))


def range_cases():
    for dtype in ("i2", "i4", "i8", "f4", "f8"):
        for start, limit, delta in ((0, 5, 1), (3, -4, -2), (0, 7, 3), (5, 5, 1), (5, 0, 1), (0, 300, 7)):
            numbers = [np.array(number, dtype) for number in (start, limit, delta)]
            yield Case("Range", numbers, {}, (name(dtype),))
    for dtype in ("f4", "f8"):
        for start, limit, delta in ((0.5, 3.1, 0.1), (1e3, -7.7, -0.3)):
            numbers = [np.array(number, dtype) for number in (start, limit, delta)]
            yield Case("Range", numbers, {}, (name(dtype),), {"rtol": 1e-6, "atol": 1e-6})


def column_cases():
    for dtype in NUMBERS:
        x = few((2, 12, 12), dtype)
        close = {"rtol": 2e-3} if dtype == "f2" else {}
        yield Case("Col2Im", [x, i64(5, 4), i64(2, 2)], {}, (name(dtype),), close)
    for image, block, attributes in (
        ((5, 6), (3, 2), {"strides": [2, 3]}),
        ((5, 6), (3, 2), {"pads": [1, 0, 1, 2], "strides": [1, 2]}),
        ((9, 7), (2, 3), {"dilations": [3, 2], "strides": [1, 1]}),
        ((3, 4, 5), (1, 2, 3), {}),
        ((7,), (3,), {"strides": [2]}),
    ):
        rank = len(image)
        wanted = {"strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * (2 * rank)} | attributes
        pads = np.add(wanted["pads"][:rank], wanted["pads"][rank:])
        reach = np.multiply(wanted["dilations"], np.array(block) - 1)
        blocks = (np.array(image) + pads - reach - 1) // wanted["strides"] + 1
        x = RNG.standard_normal((2, 3 * np.prod(block), np.prod(blocks))).astype(np.float32)
        inputs = [x, i64(*image), i64(*block)]
        yield Case("Col2Im", inputs, attributes, ("f32",), {"rtol": 1e-6, "atol": 1e-6})


def selection_cases():
    for dtype in ANY:
        x = few((3, 4, 5), dtype) * few((3, 4, 5), dtype)
        yield Case("NonZero", [x], {}, ("i64",))
        for axis in (None, 0, 1, -1):
            attributes = {} if axis is None else {"axis": axis}
            yield Case("Compress", [x, np.array([False, True, True])], attributes, (name(dtype),))
            for is_sorted in (0, 1):
                if is_sorted or axis is None:
                    outputs = (name(dtype), "i64", "i64", "i64")
                    flat = x.reshape(-1) if axis is None else x[:, :2, :1] % 2 if dtype != "?" else x
                    yield Case("Unique", [flat], attributes | {"sorted": is_sorted}, outputs)
    empty, long = np.zeros((2, 0), "f4"), [few(shape, "f4") for shape in ((1, 7), (7, 1), (3, 1, 4, 1))]
    for x in (few((), "f4"), empty, *long, np.array([np.nan, -0.0, 1], np.float32)):
        yield Case("NonZero", [x], {}, ("i64",))
    yield Case("Compress", [few((2, 3), "f4"), np.zeros(0, bool)], {"axis": 1}, ("f32",))
    yield Case("Unique", [np.zeros(0, "f4")], {"sorted": 1}, ("f32", "i64", "i64", "i64"))
    holes = np.array([3, np.nan, 1, np.nan, 3, -np.inf], np.float32)
    yield Case("Unique", [holes], {"sorted": 1}, ("f32", "i64", "i64", "i64"))


CASES = {
    "arg": list(arg_cases()),
    "topk": list(topk_cases()),
    "cumsum": list(cumsum_cases()),
    "one_hot": list(one_hot_cases()),
    "trilu": list(trilu_cases()),
    "pattern": list(pattern_cases()),
    "range": list(range_cases()),
    "columns": list(column_cases()),
    "selection": list(selection_cases()),
}
