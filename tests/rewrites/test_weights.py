"""Weights stored in integers: what they become, and which stay."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import octavo
import pytest
from octavo import reference
from octavo.program import artifact
from octavo.program.integers import WEIGHTS
from octavo.program.tensors import tensor
from octavo.program.validate import validate
from octavo.rewrites import Storage, nearest_rows, rows_of, storage_of, stored_weights, weight_of

F = np.float32
NETWORK = """g (float[N,4,6,6] x) => (float y) {
    c = Conv<group=2, pads=[1,1,1,1]>(x, k, bias) t = ConvTranspose(c, u) f = Flatten(t)
    a = Gemm<transB=1>(f, v, d) b = Gemm(a, w) y = MatMul(b, m) }"""


def constants(rng):
    shapes = {
        "k": (6, 2, 3, 3),
        "bias": (6,),
        "u": (6, 3, 3, 3),
        "v": (5, 192),
        "d": (5,),
        "w": (5, 7),
        "m": (7, 4),
    }
    return {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}


AXES = {"k": 0, "u": 1, "v": 0, "w": 1, "m": 1}


def test_every_weight_is_the_nearest_integer_of_its_channel(floats, rng):
    given, of = constants(rng), WEIGHTS["i8"]
    given["k"][2] = 0
    stored = stored_weights(floats(NETWORK, **given), Storage())
    validate(stored)
    for name, axis in AXES.items():
        value = stored.values[f"{name}_stored"]
        integers = stored.constants[value.name]
        assert (value.dtype, value.shape) == (of.dtype, given[name].shape)
        scales = stored.constants[f"{name}_scales"]
        assert name not in stored.constants
        for channel, scale in enumerate(scales):
            weights = given[name].take(channel, axis)
            largest = np.float32(np.abs(weights).max()) / np.float32(of.high)
            assert scale == max(largest, np.float32(2.0**-126))
            for q, w in zip(integers.take(channel, axis).flat, weights.flat, strict=True):
                assert abs(int(q)) <= of.high
                assert q == min(max(round(Fraction(float(w)) / Fraction(float(scale))), of.low), of.high)
    assert set(stored.constants) >= {"bias", "d"}


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("size", [None, 32, 64])
@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_the_products_are_those_of_the_stored_weights(floats, rng, bits, size, symmetric):
    """Of the rows of each weight, as `nearest_rows` has them; in as many bytes as the bits are."""
    given = constants(rng)
    program, storage = floats(NETWORK, **given), Storage(bits, size, symmetric)
    stored = stored_weights(program, storage)
    validate(stored)
    replaced = {}
    for name, axis in AXES.items():
        flat = np.moveaxis(given[name], axis, 0).reshape(given[name].shape[axis], -1)
        form = storage_of(given[name], axis, storage)
        rows = nearest_rows(flat, form)
        moved = np.moveaxis(given[name], axis, 0).shape
        replaced[name] = np.ascontiguousarray(np.moveaxis(rows.dequantize().reshape(moved), 0, axis))
        count, value = given[name].size, stored.values[f"{name}_stored"]
        assert value.dtype == rows.of.dtype
        assert stored.constants[value.name].nbytes == -(-count * form.of(flat.shape[1]).bits // 8)
        assert stored.constants[f"{name}_scales"].size == rows.scales.size
        held = tensor(stored, name)
        assert np.array_equal(held.dequantize().reshape(given[name].shape), replaced[name])
    x = {"x": rng.normal(size=(2, 4, 6, 6)).astype("f4")}
    plain = replace(program, constants=program.constants | replaced)
    (expected,) = reference.run(plain, x)
    assert np.array_equal(reference.run(stored, x)[0], expected)
    again = artifact.from_bytes(artifact.to_bytes(stored))
    assert np.array_equal(reference.run(again, x)[0], expected)
    for isa in octavo.tiers():
        assert np.array_equal(octavo.Session(artifact.to_bytes(stored), isa=isa).run(None, x)[0], expected)


def test_rows_that_were_made_are_taken(floats, rng):
    program = floats(NETWORK, **constants(rng))
    reals = rows_of(program.constants["v"], 0)
    rows = nearest_rows(-reals, Storage(4, 32))
    stored = stored_weights(program, Storage(4, 32), made={("v", 0): rows})
    assert np.array_equal(tensor(stored, "v").dequantize(), rows.dequantize())
    assert not np.array_equal(rows.dequantize(), nearest_rows(reals, Storage(4, 32)).dequantize())


def test_a_weight_is_its_rows_in_another_order(rng):
    for shape in [(3, 4), (2, 3, 4), (2, 3, 4, 5)]:
        weight = rng.normal(size=shape).astype("f4")
        for axis in range(len(shape)):
            rows = rows_of(weight, axis)
            assert np.array_equal(rows[1], weight.take(1, axis).reshape(-1))
            assert np.array_equal(weight_of(rows, shape, axis), weight)


def test_what_stays(floats, rng):
    text = """g (float[N,4,6,6] x, float[4,4] fed) => (float y) {
        c = Conv(x, k) d = Conv(c, broken) g = ConvTranspose<group=2>(d, u) s = Mul(g, factor)
        m = MatMul(fed, v) n = MatMul(fed, m) f = Flatten(s) y = MatMul(f, w) }"""
    given = {name: rng.normal(size=(4, 4, 1, 1)).astype("f4") for name in ("k", "broken")}
    given["broken"][1, 2] = np.nan
    given |= {"u": np.ones((4, 2, 1, 1), "f4"), "factor": np.ones((4, 1, 1), "f4")}
    given |= {"v": np.ones(4, "f4"), "w": rng.normal(size=(144, 3)).astype("f4")}
    program = floats(text, **given)
    kept = stored_weights(program, Storage(), frozenset({program.nodes[-1].name}))
    assert [name for name in kept.values if name.endswith("_stored")] == ["k_stored"]
    assert {"broken", "u", "factor", "v", "w"} <= kept.constants.keys()
    assert [node.op for node in kept.nodes].count("Dequantize") == 1


def test_a_weight_that_two_read(floats, rng):
    text = """g (float[N,4] x) => (float y, float z) {
        a = MatMul(x, w) b = MatMul(a, w) y = Gemm<transB=1>(b, w) z = Add(w, k) }"""
    program = floats(text, w=rng.normal(size=(4, 4)).astype("f4"), k=np.ones((4, 4), "f4"))
    stored = stored_weights(program, Storage())
    validate(stored)
    columns, rows = ([node.inputs[1] for node in stored.nodes if node.op == op] for op in ("MatMul", "Gemm"))
    assert columns[0] == columns[1] != rows[0]
    assert "w" in stored.constants  # an Add reads it
    assert sum(node.op == "Dequantize" for node in stored.nodes) == 2


def test_a_weight_that_is_an_output_too(floats):
    text = "g (float[N,3] x) => (float y, float[3,2] w) { y = MatMul(x, w) }"
    weight = np.arange(6, dtype="f4").reshape(3, 2)
    stored = stored_weights(floats(text, w=weight), Storage())
    validate(stored)
    assert "w_stored" in stored.constants
    assert np.array_equal(reference.run(stored, {"x": np.ones((1, 3), "f4")})[1], weight)


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3), (5, 1, 4, 3)])
def test_the_channels_of_a_product_are_its_last_axis(floats, rng, shape):
    """Whatever stands before it; squares, too, so that no other axis would do."""
    square = (*shape[:-2], 4, 4)
    for size in (shape, square):
        program = floats(
            "g (float[4,4] x) => (float y) { y = MatMul(x, w) }", w=rng.normal(size=size).astype("f4")
        )
        stored = stored_weights(program, Storage())
        validate(stored)
        largest = np.abs(program.constants["w"]).reshape(-1, size[-1]).max(0)
        assert np.array_equal(stored.constants["w_scales"], largest / F(127))
        (dequantize,) = [node for node in stored.nodes if node.op == "Dequantize"]
        assert dequantize.attributes == {"axis": len(size) - 1}


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_keeps_a_weight_in_float(floats, number):
    weight = np.ones((4, 3), F)
    text = "g (float[N,4] x) => (float[N,3] y) { y = MatMul(x, w) }"
    assert "w_stored" in stored_weights(floats(text, w=weight), Storage()).values
    weight[2, 1] = number
    program = floats(text, w=weight)
    assert stored_weights(program, Storage()).nodes == program.nodes


def test_weights_of_float64_stay(floats):
    program = floats("g (double[N,4] x) => (double[N,3] y) { y = MatMul(x, w) }", w=np.ones((4, 3)))
    assert stored_weights(program, Storage()).nodes == program.nodes


def test_what_is_made_gets_names_of_its_own(floats, rng):
    """Where values are called as it would be, and reads what it was made for."""
    text = """g (float[N,4] x, float[4,4] w_scales) => (float[N,4] y, float[N,4] w_dequantized) {
        w_dequantized = Relu(x) w_stored = MatMul(x, w_scales) w_stored_ = Relu(w_stored)
        p = MatMul(w_dequantized, w) y = Add(p, w_stored_) }"""
    program = floats(text, w=rng.normal(size=(4, 4)).astype("f4"))
    stored = stored_weights(program, Storage())
    validate(stored)
    (dequantize,) = [node for node in stored.nodes if node.op == "Dequantize"]
    assert dequantize.inputs == ("w_stored__", "w_scales_")
    assert dequantize.outputs == ("w_dequantized_",)
    assert {name: stored.values[name] for name in program.values if name != "w"} == {
        name: value for name, value in program.values.items() if name != "w"
    }
    feeds = {"x": rng.normal(size=(2, 4)).astype("f4"), "w_scales": rng.normal(size=(4, 4)).astype("f4")}
    for found, expected in zip(reference.run(stored, feeds), reference.run(program, feeds), strict=True):
        assert np.allclose(found, expected, atol=0.1)


def test_weights_of_no_elements(floats):
    for shape in ((0, 3), (4, 0)):
        program = floats(
            f"g (float[2,{shape[0]}] x) => (float y) {{ y = MatMul(x, w) }}", w=np.ones(shape, F)
        )
        stored = stored_weights(program, Storage())
        validate(stored)
        assert stored.constants["w_scales"].tolist() == [2.0**-126] * shape[1]
        (y,) = reference.run(stored, {"x": np.ones((2, shape[0]), F)})
        assert y.tolist() == [[0.0] * shape[1]] * 2
