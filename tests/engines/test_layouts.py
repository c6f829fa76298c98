"""Values with their channels last whose readers want them otherwise, and outputs that products read on."""

import numpy as np
import pytest
from octavo.program import DTYPES
from octavo.program.checks import ONNX_DTYPES

UNIT = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1]}
SHAPE = (2, 3, 4, 5)


def pixels(build, x, dtype="f32"):
    """The value with its channels last, by a pool that changes nothing else."""
    return build.node("MaxPool", [x], dtype, kernel_shape=[1, 1], ceil_mode=0, **UNIT)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [SHAPE, (1, 3, 4, 5), (2, 33, 1, 70)])
def test_every_dtype_is_brought_to_either_layout(build, same, dtype, shape):
    rng = np.random.default_rng(1)
    numbers = rng.integers(0, 2 if dtype == "bool" else 100, shape)
    x = build.input("x", "f32", ("N", *shape[1:]))
    last = build.node("Cast", [pixels(build, x)], dtype, to=ONNX_DTYPES[dtype])
    first = build.input("r", dtype, ("N", *shape[1:]))
    rows = build.node("Flatten", [last], dtype, axis=2)
    joined = build.node("Concat", [first, last], dtype, axis=1)
    feeds = {"x": numbers.astype(np.float32), "r": np.roll(numbers, 7).astype(DTYPES[dtype])}
    flat, both = same(build.program(rows, joined), feeds, batched=shape[0] > 1)[:2]
    assert np.array_equal(flat, numbers.reshape(flat.shape).astype(DTYPES[dtype]))
    assert np.array_equal(both, np.concatenate([feeds["r"], numbers.astype(DTYPES[dtype])], 1))


def requantized(build, rng, columns):
    arrays = {"b": np.zeros(columns), "m": np.full(columns, 2**30 + 128), "s": np.full(columns, 40)}
    return [build.constant(name, array.astype(np.int32)) for name, array in arrays.items()]


@pytest.mark.parametrize("op", ["QGemm", "QGemm of one row", "QConv", "QConv of pixels", "QMatMul"])
@pytest.mark.parametrize("size", [4, 5, 7])
def test_an_output_that_a_product_reads_on(build, same, op, size):
    """Kernels read behind the end of what they multiply, where the caller's tensor has no more bytes."""
    rng = np.random.default_rng(size)
    given = {"y_zero_point": 128, "lo": 0, "hi": 255}
    shape = {"QGemm": (3, size), "QGemm of one row": (1, size), "QMatMul": (3, size)}.get(op, (1, size, 3, 3))
    x = build.input("x", "u8", shape)
    seen = build.node("Lookup", [x, build.constant("t", rng.permutation(256).astype(np.uint8))])
    if op == "QMatMul":
        right = build.input("r", "u8", (size, 6))
        numbers = given | {"a_zero_point": 3, "b_zero_point": 200, "multiplier": 2**30 + 128, "shift": 40}
        y = build.node("QMatMul", [seen, right], **numbers)
    else:
        kernel = (size, 6) if op.startswith("QGemm") else (6, size, *[1 if "pixels" in op else 2] * 2)
        w = build.constant("w", rng.integers(-127, 128, kernel).astype(np.int8))
        more = {} if op.startswith("QGemm") else UNIT | {"group": 1}
        op = op.split(" ")[0]
        y = build.node(op, [seen, w, *requantized(build, rng, 6)], x_zero_point=3, **given, **more)
    feeds = {"x": rng.integers(0, 256, shape).astype(np.uint8)}
    if "r" in build.inputs:
        feeds["r"] = rng.integers(0, 256, (size, 6)).astype(np.uint8)
    same(build.program(seen, y), feeds, batched=False)
