"""int8 constants that are integers of few bits times a factor a group: found, written, read back."""

import json
from math import gcd, prod

import numpy as np
import octavo
import pytest
from octavo.program import Node, Program, Quant, Value, artifact
from octavo.program.factors import Factored, factored


def multiples(rng, shape, bits, group, axis=0):
    """Integers of so many bits, their ends among them, times factors of groups of rows."""
    most = (1 << (bits - 1)) - 1
    rows, length = shape[axis], prod(shape) // shape[axis]
    integers = rng.integers(-most, most, (rows, length), endpoint=True)
    integers[:, ::group] = most
    factors = rng.integers(1, 127 // most, (rows, -(-length // group)), endpoint=True)
    products = integers * factors.repeat(group, 1)[:, :length]
    others = [size for place, size in enumerate(shape) if place != axis]
    return np.ascontiguousarray(np.moveaxis(products.reshape(rows, *others), 0, axis).astype(np.int8))


def by_hand(data, form, shape):
    """The constant of bytes, bit by bit."""
    rows, length = shape[form.axis], prod(shape) // shape[form.axis]
    stream = "".join(f"{byte:08b}"[::-1] for byte in data)
    end = -(-rows * length * form.bits // 8)
    groups = -(-length // form.group)
    elements = np.zeros((rows, length), np.int8)
    for row in range(rows):
        for at in range(length):
            first = (row * length + at) * form.bits
            q = int(stream[first : first + form.bits][::-1], 2)
            q -= (q >> (form.bits - 1)) << form.bits
            elements[row, at] = q * data[end + row * groups + at // form.group]
    others = [size for place, size in enumerate(shape) if place != form.axis]
    return np.moveaxis(elements.reshape(rows, *others), 0, form.axis)


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize(("shape", "axis"), [((6, 200), 0), ((200, 6), 1), ((5, 17, 3, 3), 0)])
def test_what_is_found_comes_back(bits, group, shape, axis):
    array = multiples(np.random.default_rng(bits + group), shape, bits, group, axis)
    form = factored(array, "i8")
    assert form is not None
    assert (form.bits, form.group, form.axis) == (bits, group, axis)
    data = form.to_bytes(array)
    assert len(data) == form.size(shape)
    assert np.array_equal(by_hand(data.tolist(), form, shape), array)
    assert np.array_equal(form.from_bytes(data, "i8", shape), array)


def test_what_has_no_factors():
    rng = np.random.default_rng(0)
    array = rng.integers(-127, 127, (64, 64), endpoint=True).astype(np.int8)
    assert factored(array, "i8") is None
    fine = multiples(rng, (40, 64), 4, 32)
    assert factored(fine, "i8") is not None
    # one element that is no multiple, in a row that is looked at late
    fine[39, 63] = 127 if fine[39, 63] != 127 else 113
    fine[39, 62] = 3
    assert factored(fine, "i8") is None
    assert factored(multiples(rng, (2, 31), 4, 31), "i8") is None  # fewer than 64 elements
    assert factored(multiples(rng, (1, 64), 4, 32).reshape(-1), "i8") is None
    assert factored(np.zeros((8, 64), np.uint8), "u8") is None
    assert factored(np.zeros((0, 64), np.int8), "i8") is None


def test_zeros_and_the_least_int8():
    zeros = np.zeros((4, 64), np.int8)
    form = factored(zeros, "i8")
    assert form == Factored(2, 64, 0)
    assert np.array_equal(form.from_bytes(form.to_bytes(zeros), "i8", (4, 64)), zeros)
    array = np.full((4, 64), -128, np.int8)
    form = factored(array, "i8")
    assert np.array_equal(form.from_bytes(form.to_bytes(array), "i8", (4, 64)), array)


@pytest.mark.parametrize(("shape", "axis"), [((64, 6), 1), ((6, 64), 0)])
def test_both_sides_read_what_is_written(shape, axis):
    rng = np.random.default_rng(4)
    array = multiples(rng, shape, 4, 32, axis)
    values = {"w": Value("w", "i8", shape, Quant(np.array([1.0], np.float32), np.zeros(1, np.int64)))}
    values |= {
        name: Value(name, "f32", of) for name, of in (("s", (1,)), ("d", shape), ("x", shape), ("y", shape))
    }
    constants = {"w": array, "s": np.array([0.5], np.float32)}
    nodes = [Node("Dequantize", "d", ("w", "s"), ("d",)), Node("Add", "add", ("d", "x"), ("y",))]
    program = Program(["x"], ["y"], values, constants, nodes)
    data = artifact.to_bytes(program)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header["w"]["dtype"] == "U8"
    assert artifact.stored_bytes(program) == 64 * 6 // 2 + 12 + 4
    assert artifact.stored_as(array, "i8") == ("i4", 204)
    assert np.array_equal(artifact.from_bytes(data).constants["w"], array)
    (y,) = octavo.Session(data).run(None, {"x": np.zeros(shape, np.float32)})
    assert np.array_equal(y, array.astype(np.float32) / 2)


def test_factors_are_the_greatest_common_divisors():
    array = np.array([[6, -12, 18, 0] * 16, [5, 10, -35, 0] * 16], np.int8)
    form = factored(array, "i8")
    divisors = [gcd(*map(int, row)) for row in array]
    assert form.to_bytes(array)[-2:].tolist() == divisors == [6, 5]
