"""Constants in float16: what each element becomes, and which constants stay float32."""

from fractions import Fraction

import numpy as np
import octavo
import pytest
from octavo import reference
from octavo.program import artifact
from octavo.rewrites import rounded_halves
from octavo.rewrites.halves import halves_of

F = np.float32


def nearest_half(number):
    """The float16 number nearest to a fraction, ties to the even one, by its definition."""
    sign, magnitude = (-1, -number) if number < 0 else (1, number)
    exponent = -14
    while magnitude >= Fraction(2) ** (exponent + 1):
        exponent += 1
    unit = Fraction(2) ** (exponent - 10)
    return sign * round(magnitude / unit) * unit


@pytest.mark.parametrize("shape", [(1, 7), (5, 3, 2, 2), (2, 100)])
def test_each_element_takes_the_errors_of_larger_ones_off(rng, shape):
    array = (rng.normal(size=shape) * np.exp(rng.normal(size=shape))).astype("f4")
    found = halves_of(array)
    assert found.dtype == F
    for row, halves in zip(array.reshape(len(array), -1), found.reshape(len(array), -1), strict=True):
        carried = Fraction(0)
        for place in sorted(range(len(row)), key=lambda place: -abs(row[place])):
            wanted = Fraction(float(row[place])) - carried
            half = Fraction(float(halves[place]))
            assert half == nearest_half(Fraction(float(np.float64(float(wanted)))))
            carried = half - wanted


def test_vectors_are_rounded_to_nearest(rng):
    array = rng.normal(size=70).astype("f4")
    assert np.array_equal(halves_of(array), array.astype("f2").astype("f4"))
    assert halves_of(np.zeros((3, 0), F)).shape == (3, 0)


def test_what_stays(floats, rng):
    """What is small, what a named node reads, and what float16 cannot hold: too large, or too small."""
    text = "g (float[N,8] x) => (float[N,8] y) { a = MatMul(x, w) b = MatMul(a, v) y = MatMul(b, u) }"
    given = {name: rng.normal(size=(8, 8)).astype("f4") for name in "wvu"}
    program = floats(text, **given)
    made, stays = rounded_halves(program, frozenset({program.nodes[1].name}))
    assert stays == []
    assert np.array_equal(made.constants["v"], given["v"])
    for name in "wu":
        assert np.array_equal(made.constants[name], halves_of(given[name]))
    assert made.nodes == program.nodes
    given["w"][3, 4] = 65520
    given["u"][:] *= F(1e-9)
    given["v"] = given["v"][:, :7].copy()
    text = """g (float[N,8] x) => (float[N,8] y, float[N,7] z) {
        a = MatMul(x, w) y = MatMul(a, u) z = MatMul(a, v) }"""
    program = floats(text, **given)
    made, stays = rounded_halves(program)
    assert sorted(stays) == ["u", "w"]
    assert all(np.array_equal(made.constants[name], given[name]) for name in "wuv")


def test_infinities_and_nan_stay_what_they_are(floats, rng):
    weight = rng.normal(size=(8, 8)).astype("f4")
    weight[0, :2] = np.inf, np.nan
    program = floats("g (float[N,8] x) => (float[N,8] y) { y = MatMul(x, w) }", w=weight)
    made, stays = rounded_halves(program)
    held = made.constants["w"]
    if not stays:
        assert np.array_equal(np.isfinite(held), np.isfinite(weight))
    else:
        assert np.array_equal(held, weight, equal_nan=True)


def test_a_file_of_half_the_bytes_and_the_same_answers_everywhere(floats, rng):
    text = "g (float[N,64] x) => (float[N,32] y) { a = MatMul(x, w) y = Add(a, b) }"
    given = {"w": rng.normal(size=(64, 32)), "b": rng.normal(size=(1, 32))}
    program = floats(text, **{name: array.astype("f4") for name, array in given.items()})
    made, _ = rounded_halves(program)
    whole, half = artifact.to_bytes(program), artifact.to_bytes(made)
    assert len(whole) - len(half) == 2 * 64 * 32
    again = artifact.from_bytes(half)
    assert all(np.array_equal(again.constants[name], made.constants[name]) for name in ("w", "b"))
    assert {array.dtype for array in again.constants.values()} == {np.dtype("f4")}
    x = {"x": rng.normal(size=(3, 64)).astype("f4")}
    (expected,) = reference.run(made, x)
    for isa in octavo.tiers():
        assert np.array_equal(octavo.Session(half, isa=isa).run(None, x)[0], expected)
