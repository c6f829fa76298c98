"""Cast between every two dtypes, on every engine, with the numbers that are written out here."""

import numpy as np
import pytest
from octavo.program import DTYPES
from octavo.program.checks import ONNX_DTYPES

WHOLE = {"u8": 8, "i8": 8, "i16": 16, "i32": 32, "i64": 64}
SPECIAL = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    0.99,
    -0.99,
    1.5,
    -1.5,
    2.5,
    -1.0,
    1.0,
    1e-40,
    -1e-40,
    np.inf,
    -np.inf,
    np.nan,
]


def numbers(dtype):
    """Some from all over a dtype, the ends of all integers among them where it has them."""
    if dtype == "bool":
        return np.array([True, False])
    ends = [n for bits in WHOLE.values() for n in (2**bits - 1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)))]
    near = sorted({n + d for n in [*ends, 0, 2**24, 2**53, 65504, 65520] for d in (-2, -1, 0, 1, 2)})
    if dtype in WHOLE:
        info = np.iinfo(DTYPES[dtype])
        return np.array([n for n in near if info.min <= n <= info.max], DTYPES[dtype])
    with np.errstate(over="ignore"):
        return np.array([*SPECIAL, *map(float, near)]).astype(DTYPES[dtype])


def to_integer(x, dtype):
    """Integers wrap; floats lose their fraction and saturate, NaN is 0."""
    if x.dtype.kind in "iub":
        return x.astype(DTYPES[dtype])
    info = np.iinfo(DTYPES[dtype])
    wide = [0 if np.isnan(v) else v for v in x.astype(np.float64).tolist()]
    exact = [info.min if v <= info.min else info.max if v >= info.max else int(v) for v in wide]
    return np.array(exact, DTYPES[dtype])


@pytest.mark.parametrize("to", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_two_dtypes(build, same, dtype, to):
    data = numbers(dtype)
    x = build.input("x", dtype, data.shape)
    program = build.program(build.node("Cast", [x], to, to=ONNX_DTYPES[to]))
    if to[0] == "f" and data.dtype.kind == "f":
        data[np.isnan(data)] = 0  # the bits of a NaN are free
    (found,) = same(program, {"x": data}, batched=False)
    if to == "bool":
        assert found.tolist() == [bool(v != 0) for v in data.tolist()]
    elif to in WHOLE:
        assert found.tolist() == to_integer(data, to).tolist()
    else:
        with np.errstate(over="ignore"):
            expected = data.astype(DTYPES[to])
        assert found.tobytes() == expected.tobytes()
