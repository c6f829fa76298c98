"""ArgMax, ArgMin and TopK along lines of many lengths, whatever comes first in them, by numpy's own order."""

import numpy as np
import pytest

LENGTHS = [1, 2, 3, 31, 32, 33, 63, 64, 65, 66, 97, 130, 300, 1025]
NUMPY = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "i64": np.int64, "u8": np.uint8}


def lines(n, dtype):
    """Eight lines of n numbers, some of which begin or end with what wins or loses."""
    rng = np.random.default_rng(n)
    rising = np.arange(n) % 200 + (0.5 if dtype[0] == "f" else 0)
    few = rng.integers(0, 3, n).astype(float)
    x = np.stack([rising, rising[::-1], few, np.full(n, 7), rising, rising[::-1], few, few])
    x[2, rng.integers(n)] = 9
    if dtype[0] == "f":
        x[4, : n - n // 4] = np.nan  # numbers follow when the best so far are all NaN
        x[5, n // 3 :] = np.nan
        x[6, rng.random(n) < 0.5] = np.nan
        x[7] = rng.choice([-0.0, 0.0, np.inf, -np.inf], n)
    return x.astype(NUMPY[dtype])


def order(x, largest):
    """The places of a last axis's elements, NaN the greatest, of equals the first one first."""
    if not largest:
        return np.argsort(x, axis=-1, kind="stable")
    n = x.shape[-1]
    return (n - 1 - np.argsort(x[..., ::-1], axis=-1, kind="stable"))[..., ::-1]


def extreme(x, op, last):
    """The place of each last axis's extreme element; NaN is the extreme of both."""
    pick = np.argmax if op == "ArgMax" else np.argmin
    return x.shape[-1] - 1 - pick(x[..., ::-1], axis=-1) if last else pick(x, axis=-1)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", NUMPY)
def test_extremes(build, same, n, dtype):
    x = lines(n, dtype)
    beside, down = build.input("beside", dtype, x.shape), build.input("down", dtype, x.T.shape)
    outputs, expected = [], []
    for op in ("ArgMax", "ArgMin"):
        for last in (0, 1):
            for value, axis in ((beside, 1), (down, 0)):
                given = {"axis": axis, "keepdims": 0, "select_last_index": last}
                outputs.append(build.node(op, [value], "i64", **given))
                expected.append(extreme(x, op, last))
    feeds = {"beside": x, "down": np.ascontiguousarray(x.T)}
    for found, wanted in zip(same(build.program(*outputs), feeds, batched=False), expected, strict=True):
        assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("columns", [1, 2, 511, 512, 513, 1030])
def test_extremes_of_columns(build, same, columns):
    x = np.random.default_rng(columns).integers(0, 4, (3, 9, columns)).astype(np.float32)
    x[0, 4, ::3] = np.nan
    x[1, ::2, 1::3] = np.nan
    value = build.input("x", "f32", x.shape)
    flags = [(op, last) for op in ("ArgMax", "ArgMin") for last in (0, 1)]
    outputs = [
        build.node(op, [value], "i64", axis=1, keepdims=0, select_last_index=last) for op, last in flags
    ]
    found = same(build.program(*outputs), {"x": x}, batched=False)
    for places, (op, last) in zip(found, flags, strict=True):
        assert places.tolist() == extreme(x.transpose(0, 2, 1), op, last).tolist()


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", NUMPY)
def test_the_first_of_a_line(build, same, n, dtype):
    x = lines(n, dtype)
    beside, down = build.input("beside", dtype, x.shape), build.input("down", dtype, x.T.shape)
    outputs, wanted = [], []
    for k in sorted({0, 1, 2, 5, n // 3, n - 1, n} & set(range(n + 1))):
        count = build.constant(f"k{k}", np.array([k]))
        for largest in (0, 1):
            for value, axis in ((beside, 1), (down, 0)):
                given = {"axis": axis, "largest": largest, "sorted": 1}
                outputs.append(build.node("TopK", [value, count], dtype, count=2, **given))
                places = outputs[-1].replace("_0", "_1")
                build.values[places] = type(build.values[places])(places, "i64", None)
                outputs.append(places)
                first = order(x, largest)[:, :k]
                picked = np.take_along_axis(x, first, 1)
                wanted += [picked, first] if axis else [picked.T, first.T]
    feeds = {"beside": x, "down": np.ascontiguousarray(x.T)}
    for found, expected in zip(same(build.program(*outputs), feeds, batched=False), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)
