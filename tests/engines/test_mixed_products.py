"""Products whose results are of other integers than what they multiply, on every engine."""

import numpy as np
import pytest
from single_node import multipliers

HIGHEST = 32767
WINDOW = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}


def drawn(rng, dtype, *shape):
    """Any integers of the dtype, the ends often."""
    ends = np.iinfo(dtype)
    x = rng.integers(ends.min, ends.max + 1, shape)
    return np.where(rng.random(shape) < 0.2, rng.choice([ends.min, ends.max], shape), x).astype(dtype)


def product(build, rng, op, w, to, shifts, axis=0, **attributes):
    """A Program of one product to int16 of bytes, or to bytes of int16."""
    channels, wide = w.shape[axis], to == "i16"
    bias = rng.integers(-(2**20), 2**20, channels).astype(np.int32 if wide else np.int64)
    shift = rng.integers(*shifts, channels).astype(np.int32)
    constants = {"w": w, "b": bias, "m": multipliers(rng, channels), "sh": shift}
    inputs = [build.input("x", "u8" if wide else "i16", None)]
    inputs += [build.constant(name, array) for name, array in constants.items()]
    ends = {"y_zero_point": 0, "lo": int(rng.choice([-HIGHEST, -300, 0])), "hi": HIGHEST}
    if not wide:
        ends = {"y_zero_point": int(rng.integers(256)), "lo": int(rng.choice([0, 9])), "hi": 250}
    if "x_zero_points" not in attributes:
        attributes |= {"x_zero_point": int(rng.integers(256)) if wide else 0}
    return build.program(build.node(op, inputs, to, **ends, **attributes))


SHIFTS = {"i16": [(22, 32), (33, 40), (8, 63)], "u8": [(36, 46), (8, 63)]}


@pytest.mark.parametrize(("to", "shifts"), [(to, shifts) for to, each in SHIFTS.items() for shifts in each])
@pytest.mark.parametrize("rows", [1, 2, 7, 30])
@pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 16), (17, 40), (64, 64), (130, 97), (700, 33)])
def test_matrix_products(build, same, k, n, rows, to, shifts):
    rng = np.random.default_rng([k, n, rows])
    w = rng.integers(-128, 128, (k, n)).astype(np.int8)
    program = product(build, rng, "QGemm", w, to, shifts, axis=1)
    same(program, {"x": drawn(rng, "u1" if to == "i16" else "i2", rows, k)})


@pytest.mark.parametrize("to", ["u8", "i16"])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "attributes"),
    [
        ((2, 3, 9, 8), (20, 3, 3, 3), {"x_zero_points": [0, 120, 255]}),
        ((2, 3, 9, 8), (20, 3, 3, 3), {"strides": [2, 1], "pads": [0, 1, 2, 1]}),
        ((1, 7, 6, 6), (33, 7, 1, 1), {"pads": [0] * 4}),
        ((2, 6, 8, 8), (8, 3, 3, 3), {"group": 2, "dilations": [2, 2]}),
        ((2, 4, 11), (9, 4, 3), {"strides": [2], "pads": [1, 1], "dilations": [1]}),
        ((1, 64, 4, 4), (70, 64, 3, 3), {}),
        ((2, 33, 7, 9), (33, 1, 3, 3), {"group": 33, "strides": [2, 2]}),
        ((2, 64, 7, 9), (64, 1, 5, 4), {"group": 64, "pads": [2, 2, 2, 1]}),
        ((1, 5, 0, 3), (5, 1, 3, 3), {"group": 5, "pads": [0, 1, 0, 1]}),
    ],
)
def test_convolutions(build, same, x_shape, w_shape, attributes, to):
    rng = np.random.default_rng([*x_shape, *w_shape])
    w = rng.integers(-128, 128, w_shape).astype(np.int8)
    if to == "u8":
        attributes = {name: value for name, value in attributes.items() if name != "x_zero_points"}
    program = product(build, rng, "QConv", w, to, SHIFTS[to][0], **(WINDOW | attributes))
    same(program, {"x": drawn(rng, "u1" if to == "i16" else "i2", *x_shape)})


@pytest.mark.parametrize("to", ["u8", "i16"])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "attributes"),
    [
        ((2, 3, 9, 20), (20, 3, 2, 2), {"strides": [2, 2], "pads": [0] * 4}),
        ((2, 5, 6, 5), (37, 5, 4, 3), {"strides": [2, 1], "pads": [1, 0, 2, 1], "output_padding": [1, 0]}),
        ((2, 6, 8, 8), (8, 3, 3, 3), {"group": 2, "dilations": [2, 2], "strides": [3, 2]}),
        ((2, 4, 40), (9, 4, 2), {"strides": [3], "pads": [1, 1], "dilations": [1], "output_padding": [0]}),
        ((2, 17, 7, 9), (17, 1, 4, 4), {"group": 17, "strides": [2, 2]}),
        ((1, 300, 3, 3), (5, 300, 4, 4), {"strides": [2, 2]}),
    ],
)
def test_transposed_convolutions(build, same, x_shape, w_shape, attributes, to):
    rng = np.random.default_rng([*x_shape, *w_shape])
    w = rng.integers(-128, 128, w_shape).astype(np.int8)
    window = WINDOW | {"output_padding": [0, 0]} | attributes
    program = product(build, rng, "QConvTranspose", w, to, SHIFTS[to][0], **window)
    same(program, {"x": drawn(rng, "u1" if to == "i16" else "i2", *x_shape)})
