"""Dequantize by tensors of scales: weights of every width, against plain Python."""

from itertools import product
from math import prod

import numpy as np
import octavo
import pytest
from octavo.errors import RunError
from octavo.program import DTYPES, PACKED, Node, Program, Value
from octavo.program.integers import limits, pack
from octavo.program.ops import DTYPE_SETS

WIDTHS = DTYPE_SETS["W"]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


SHAPES = {
    "one element": (1,),
    "odd count": (3, 5, 7),
    "long rows": (2, 3, 700),
    "one long axis": (2001,),
    "last axis alone": (4, 3, 1),
    "nothing": (2, 0, 3),
    "no axes": (),
}


def integers(rng, dtype, shape):
    """Of the whole range, its ends often."""
    least, greatest = limits(dtype)
    drawn = rng.integers(least, greatest, shape, endpoint=True)
    return np.where(rng.random(shape) < 0.3, rng.choice([least, greatest], shape), drawn)


def stored(array, dtype):
    return pack(array, dtype) if dtype in PACKED else array.astype(DTYPES[dtype])


def expected(q, scale, zero_point, axis, block):
    """By the definition, element by element."""
    y = np.zeros(q.shape, np.float32)
    for place in np.ndindex(*q.shape):
        if axis is None:
            at = (0,)
        elif block is None:
            at = (place[axis],)
        else:
            at = (*place[:axis], place[axis] // block, *place[axis + 1 :])
        difference = np.float32(int(q[place]) - int(zero_point[at]))
        y[place] = scale[at] * difference
    return y


def scales_shape(shape, axis, block):
    if axis is None:
        return (1,)
    if block is None:
        return (shape[axis],)
    return (*shape[:axis], -(-shape[axis] // block), *shape[axis + 1 :])


def program(q, dtype, scale, zero_point, attributes, of_zeros="i32"):
    values = {
        "q": Value("q", dtype, q.shape),
        "scale": Value("scale", "f32", scale.shape),
        "y": Value("y", "f32", None),
        "x": Value("x", "f32", ()),
        "sum": Value("sum", "f32", None),
    }
    constants = {"q": stored(q, dtype), "scale": scale}
    inputs = ["q", "scale"]
    if zero_point is not None:
        values["zero"] = Value("zero", of_zeros, zero_point.shape)
        constants["zero"] = stored(zero_point, of_zeros)
        inputs.append("zero")
    nodes = [
        Node("Dequantize", "dequantize", tuple(inputs), ("y",), attributes),
        Node("Add", "add", ("y", "x"), ("sum",)),
    ]
    return Program(["x"], ["sum"], values, constants, nodes)


@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("dtype", WIDTHS)
def test_dequantize(same, rng, dtype, case):
    shape = SHAPES[case]
    for axis, block in product([None, *range(len(shape))], [None, 1, 2, 3, 1000]):
        if axis is None and block is not None:
            continue
        q = integers(rng, dtype, shape)
        of_scales = scales_shape(shape, axis, block)
        scale = rng.uniform(0.001, 2, of_scales).astype(np.float32)
        zero_point = integers(rng, dtype, of_scales).astype(np.int32)
        for zeros in (zero_point, None):
            given = {"axis": axis, "block": block}
            attributes = {name: value for name, value in given.items() if value is not None}
            made = program(q, dtype, scale, zeros, attributes)
            (y,) = same(made, {"x": np.zeros((), np.float32)}, batched=False)
            wanted = expected(q, scale, np.zeros_like(zero_point) if zeros is None else zeros, axis, block)
            np.testing.assert_array_equal(y, wanted + np.float32(0), strict=True)


@pytest.mark.parametrize("dtype", WIDTHS)
def test_zero_points_of_the_weights_own_type(same, rng, dtype):
    shape = (5, 7, 3)
    q = integers(rng, dtype, shape)
    for axis, block in ((None, None), (0, None), (1, 3), (2, 2)):
        of_scales = scales_shape(shape, axis, block)
        scale = rng.uniform(0.001, 2, of_scales).astype(np.float32)
        zeros = integers(rng, dtype, of_scales)
        given = {"axis": axis, "block": block}
        attributes = {name: value for name, value in given.items() if value is not None}
        made = program(q, dtype, scale, zeros, attributes, dtype)
        (y,) = same(made, {"x": np.zeros((), np.float32)}, batched=False)
        wanted = expected(q, scale, zeros, axis, block)
        np.testing.assert_array_equal(y, wanted + np.float32(0), strict=True)


@pytest.mark.parametrize("dtype", [dtype for dtype in WIDTHS if dtype not in PACKED])
def test_dequantize_what_is_fed(same, rng, dtype):
    shape = (3, 4, 6)
    for axis, block in ((None, None), (1, None), (2, 4)):
        of_scales = scales_shape(shape, axis, block)
        scale = rng.uniform(0.001, 2, of_scales).astype(np.float32)
        given = {"axis": axis, "block": block}
        values = {
            "q": Value("q", dtype, ("N", "C", "W")),
            "s": Value("s", "f32", of_scales),
            "y": Value("y", "f32", None),
        }
        attributes = {name: value for name, value in given.items() if value is not None}
        node = Node("Dequantize", "dequantize", ("q", "s"), ("y",), attributes)
        q = integers(rng, dtype, shape).astype(DTYPES[dtype])
        (y,) = same(Program(["q"], ["y"], values, {"s": scale}, [node]), {"q": q}, batched=False)
        wanted = expected(q, scale, np.zeros(of_scales, np.int32), axis, block)
        np.testing.assert_array_equal(y, wanted, strict=True)


def test_scales_that_do_not_fit_what_is_fed():
    values = {
        "q": Value("q", "i8", None),
        "s": Value("s", "f32", (3,)),
        "y": Value("y", "f32", None),
    }
    node = Node("Dequantize", "dequantize", ("q", "s"), ("y",), {"axis": 1})
    made = Program(["q"], ["y"], values, {"s": np.ones(3, np.float32)}, [node])
    for shape in ((3, 4), (3,)):
        feeds = {"q": np.ones(shape, np.int8)}
        with pytest.raises(RunError, match="Dequantize node 'dequantize'"):
            octavo.reference.run(made, feeds)
        with pytest.raises(RunError, match='Dequantize node "dequantize"'):
            octavo.Session(made).run(None, feeds)


def test_packed_bits_lie_as_stated():
    assert pack(np.array([1, 2, 3]), "u4").tolist() == [0x21, 0x03]
    assert pack(np.array([-1, 0, 1, -2]), "i2").tolist() == [0b10_01_00_11]
    assert pack(np.array([7, 0, 5]), "u3").tolist() == [0b01_000_111, 0b1]
    assert pack(np.zeros((0, 3), np.int64), "i3").tolist() == []
    for dtype in PACKED:
        least, greatest = limits(dtype)
        for outside in (least - 1, greatest + 1):
            with pytest.raises(ValueError, match=f"{dtype} holds {least} to {greatest}"):
                pack(np.array([0, outside]), dtype)
        assert prod(limits(dtype)) <= 0


def test_large_weights_are_dequantized_before_the_run(rng):
    """However large, as no other value is that a plan knows: a run only multiplies."""
    k, n = 2100, 2000
    q, scale = rng.integers(-8, 8, (k, n), np.int8), rng.uniform(0.5, 1, n).astype(np.float32)
    values = {
        "x": Value("x", "f32", (1, k)),
        "q": Value("q", "i4", (k, n)),
        "s": Value("s", "f32", (n,)),
        "w": Value("w", "f32", (k, n)),
        "y": Value("y", "f32", (1, n)),
    }
    nodes = [
        Node("Dequantize", "dequantize", ("q", "s"), ("w",), {"axis": 1}),
        Node("MatMul", "multiply", ("x", "w"), ("y",)),
    ]
    session = octavo.Session(Program(["x"], ["y"], values, {"q": pack(q, "i4"), "s": scale}, nodes))
    x = np.eye(1, k, 7, dtype=np.float32)
    assert np.array_equal(session.run(None, {"x": x})[0][0], q[7] * scale)
    assert {row.op for row in session.profile({"x": x})} == {"MatMul"}
