"""Inputs and outputs in integers."""

import numpy as np
import octavo
import pytest
from octavo import reference
from octavo.errors import ModelError
from octavo.lowering import Affine, Forms, Range, lower_to_integers
from octavo.rewrites import float_ends, integer_ends


@pytest.fixture
def quantized(floats, rng):
    def make(text, ranges, **constants):
        forms = Forms({name: Range(*ends) for name, ends in ranges.items()}, integers_only=True)
        return lower_to_integers(floats(text, **constants), forms).program

    return make


def test_int8_is_uint8_with_the_top_bit_turned(quantized):
    """All 256 integers, through nothing but a copy."""
    text = "g (float[N,2] x) => (float[2,N] y) { y = Transpose<perm = [1,0]>(x) }"
    program = quantized(text, {"x": (-3, 5)})
    bytes_ = np.arange(256, dtype=np.uint8).reshape(-1, 2)
    for dtype, fed in (("u8", bytes_), ("i8", (bytes_ ^ 128).view(np.int8))):
        made = integer_ends(program, dtype)
        for isa in octavo.tiers():
            (found,) = octavo.Session(made, isa=isa).run(None, {"x": fed})
            assert found.dtype == fed.dtype
            assert np.array_equal(found, fed.T)
        assert np.array_equal(reference.run(made, {"x": fed})[0], fed.T)
    assert (
        integer_ends(program, "i8").values["x"].quant.zero_point
        - program.values["y_quantized"].quant.zero_point
        == -128
    )


def test_there_and_back(quantized, rng):
    text = "g (float[N,8] x) => (float[N,5] y, float[N,5] z) { y = MatMul(x, w) z = Relu(y) }"
    w = rng.normal(size=(8, 5)).astype("f4")
    program = quantized(text, {"x": (-2, 2), "y": (-7, 6), "z": (0, 6)}, w=w)
    feeds = {"x": rng.normal(size=(30, 8)).astype("f4")}
    wanted = reference.run(program, feeds)
    for dtype in ("u8", "i8"):
        made = integer_ends(program, dtype)
        assert {made.values[name].dtype for name in ("x", "y", "z")} == {dtype}
        back = float_ends(made, program)
        for found, expected in zip(reference.run(back, feeds), wanted, strict=True):
            assert np.array_equal(found, expected)
        same = float_ends(made, made)
        assert same.nodes == made.nodes


def test_an_output_that_is_one_twice(quantized):
    text = "g (float[N,4] x) => (float[N,4] y, float[4] z) { y = Identity(x) z = ReduceMax(x, axes) }"
    program = quantized(
        text.replace(", float[4] z", "").replace("z = ReduceMax(x, axes)", ""), {"x": (-1, 1)}
    )
    for dtype in ("u8", "i8"):
        made = integer_ends(program, dtype)
        fed = np.arange(8, dtype=np.uint8).reshape(2, 4).view({"u8": np.uint8, "i8": np.int8}[dtype])
        assert np.array_equal(octavo.Session(made).run(None, {"x": fed})[0], fed)


def test_what_stands_for_no_integers(floats):
    program = floats("g (float[N,4] x) => (float[N,4] y) { [f] y = Exp(x) }")
    with pytest.raises(ModelError, match="input 'x' cannot be integers: Exp 'f' reads it"):
        integer_ends(program, "u8")
    forms = Forms({"x": Range(-1, 1)}, given={"y": Affine(np.float32(1), 0)})
    mixed = lower_to_integers(
        floats("g (float[N,4] x, float[4,4] w) => (float[N,4] y) { [m] y = MatMul(x, w) }"), forms
    )
    with pytest.raises(ModelError, match="cannot be integers"):
        integer_ends(mixed.program, "u8")
