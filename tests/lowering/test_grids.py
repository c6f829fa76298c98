"""Inputs on grids: what their products take in, by exact arithmetic, and where a grid is not taken."""

from fractions import Fraction

import numpy as np
import pytest
from graphs import graph
from octavo import reference
from octavo.lowering import Affine, Forms, Grid, Range, grid, lower_to_integers
from octavo.program.artifact import to_bytes
from octavo.program.validate import validate

F = np.float32
SCALES, ZEROS = np.array([0.0171, 0.0175, 0.5], F), np.array([123.675, 116.28, 0.4], F)
CONV = "Conv<pads=[1,1,1,1]>"


def pixels(rng, shape, axis):
    """Pixels of 0 to 255, and the reals of the grids that they are on."""
    places = rng.integers(0, 256, shape, np.uint8)
    along = [1] * len(shape)
    along[axis] = 3
    reals = SCALES.astype(np.float64).reshape(along) * (places - ZEROS.astype(np.float64).reshape(along))
    return places, reals.astype(F)


def lowered(text, form, name="x", ranges=None, **constants):
    floats = graph(text, **constants)
    names = [n for n, value in floats.values.items() if value.dtype == "f32"]
    held = {n: Range(-300.0, 300.0) for n in names} | (ranges or {})
    found = lower_to_integers(floats, Forms(held, grids={name: form}))
    validate(found.program)
    return floats, found


def parts(found, place=0):
    """Weights, their scales and reals, the bias, and the node of a QConv or QGemm."""
    products = [node for node in found.program.nodes if node.op in ("QConv", "QGemm")]
    node = products[place]
    weight, bias = (found.program.constants[name] for name in node.inputs[1:3])
    return weight, found.program.values[node.inputs[1]].quant.scale, found.weights[node.inputs[1]], bias, node


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_convolution_takes_in_scales_and_zeros_of_its_channels(rng, layout):
    weight, bias = rng.normal(size=(4, 3, 3, 3)).astype(F), rng.normal(size=4).astype(F) * F(5)
    second = rng.normal(size=(2, 4, 1, 1)).astype(F)
    if layout == "nchw":
        text = f"g (float[N,3,7,8] x) => (float[N,2,7,8] y) {{ c = {CONV}(x, w, b) y = Conv(c, v) }}"
        axis, shape = 1, (2, 3, 7, 8)
    else:
        text = f"""g (float[N,7,8,3] x) => (float[N,2,7,8] y) {{
            t = Transpose<perm=[0,3,1,2]>(x) c = {CONV}(t, w, b) y = Conv(c, v) }}"""
        axis, shape = 3, (2, 7, 8, 3)
    form = grid(SCALES, ZEROS, axis)
    assert isinstance(form, Grid)
    _, found = lowered(text, form, w=weight, b=bias, v=second)
    integers, scale, reals, in_integers, node = parts(found)
    assert node.attributes["x_zero_points"] == [124, 116, 0]
    assert np.array_equal(reals, (weight.astype(np.float64) * SCALES.reshape(1, 3, 1, 1)).astype(F))
    assert np.array_equal(scale, np.abs(reals).max(axis=(1, 2, 3)) / F(127))
    assert np.array_equal(integers, np.rint(reals / scale.astype(np.float64).reshape(4, 1, 1, 1)))
    for channel in range(4):
        taps = integers[channel].astype(int).sum(axis=(1, 2)).tolist()
        shift = sum(
            (z - Fraction(float(zero))) * tap for z, zero, tap in zip([124, 116, 0], ZEROS, taps, strict=True)
        )
        whole = Fraction(float(bias[channel])) / Fraction(float(scale[channel])) + shift
        assert in_integers[channel] == round(whole)
    out = found.program.values[node.outputs[0]].quant
    m, s = (found.program.constants[name].astype(np.float64) for name in node.inputs[3:])
    np.testing.assert_allclose(m / 2.0**s, scale.astype(np.float64) / out.scale[0], rtol=2**-23)
    places, x = pixels(rng, shape, axis)
    quantized = found.program.nodes[0]
    assert (quantized.op, quantized.attributes) == ("Quantize", {"axis": axis})
    assert found.program.values[node.inputs[0]].quant.axis == 1
    assert found.forms["x"] == form
    (q,) = reference.run(found.program, {"x": x}, [quantized.outputs[0]])
    assert np.array_equal(q, places)


def test_floats_from_sums_over_a_grid_are_exact_but_for_the_weights(rng):
    """Away from the border, where padding is half a step off at most, nothing else is rounded."""
    weight, bias = rng.normal(size=(4, 3, 3, 3)).astype(F), rng.normal(size=4).astype(F)
    text = f"g (float[N,3,9,9] x) => (float[N,4,9,9] y) {{ y = {CONV}(x, w, b) }}"
    _, found = lowered(text, grid(SCALES, ZEROS, 1), w=weight, b=bias)
    integers, scale, _, _, node = parts(found)
    assert node.attributes["x_scale"] == 1
    places, x = pixels(rng, (1, 3, 9, 9), 1)
    (y,) = reference.run(found.program, {"x": x})
    exact = integers.astype(np.float64) * scale.astype(np.float64).reshape(4, 1, 1, 1)
    centred = places[0] - ZEROS.astype(np.float64).reshape(3, 1, 1)
    for row, column in ((1, 1), (4, 5), (7, 7)):
        window = centred[:, row - 1 : row + 2, column - 1 : column + 2]
        want = (exact * window).sum(axis=(1, 2, 3)) + bias
        np.testing.assert_allclose(y[0, :, row, column], want, rtol=1e-5, atol=1e-4)


def test_one_zero_for_all_needs_a_fractional_quantize_alone(rng):
    """A Flatten, a Pad and products of both kinds read it."""
    form = grid(F([1 / 127.5]), F([127.5]), None)
    text = """g (float[N,2,3,3] x) => (float[N,5] y, float[N,4,3,3] z) {
        f = Flatten(x) y = Gemm(f, v, c) p = Pad(x, pads) z = Conv(p, w) }"""
    v, c = rng.normal(size=(18, 5)).astype(F), rng.normal(size=5).astype(F)
    w, pads = rng.normal(size=(4, 2, 3, 3)).astype(F), np.array([0, 0, 1, 1, 0, 0, 1, 1])
    _, found = lowered(text, form, v=v, c=c, w=w, pads=pads)
    for place, node in enumerate(
        node for node in found.program.nodes if node.op[0] == "Q" and node.op != "Quantize"
    ):
        weight, scale, _, bias, _ = parts(found, place)
        assert node.attributes["x_zero_point"] == 128
        assert node.attributes["x_scale"] == F(1 / 127.5)
        taps = weight.astype(np.float64).sum(axis=0 if node.op == "QGemm" else (1, 2, 3))
        own = c if node.op == "QGemm" else np.zeros(4)
        want = own + np.float64(F(1 / 127.5)) * scale.astype(np.float64) * 0.5 * taps
        assert np.array_equal(bias, want.astype(F))
    places = rng.integers(0, 256, (3, 2, 3, 3), np.uint8)
    (q,) = reference.run(found.program, {"x": (places / 127.5 - 1).astype(F)}, ["x_quantized"])
    assert np.array_equal(q, places)


def test_a_whole_zero_for_all_is_a_plain_form(rng):
    form = grid(F([0.25]), F([17]), None)
    assert form == Affine(F(0.25), 17)
    text = "g (float[N,3,3,3] x) => (float[N,4,3,3] y) { y = Conv(x, w) }"
    _, found = lowered(text, form, w=rng.normal(size=(4, 3, 1, 1)).astype(F))
    assert found.program.nodes[0].attributes == {"scale": F(0.25), "zero_point": 17}


@pytest.mark.parametrize(
    ("body", "axis", "weights", "is_taken"),
    [
        ("y = Conv(x, w) z = Exp(x)", 1, (4, 3, 1, 1), True),  # a reader in float
        ("m = Identity(x) y = Conv(m, w) z = Conv(x, w)", 1, (4, 3, 1, 1), True),
        ("m = MaxPool<kernel_shape=[1,1]>(x) y = Conv(m, w) z = Identity(y)", None, (4, 3, 1, 1), True),
        ("m = MaxPool<kernel_shape=[1,1]>(x) y = Conv(m, w) z = Identity(y)", 1, (4, 3, 1, 1), False),
        ("m = Concat<axis=2>(x, x) y = Conv(m, w) z = Identity(y)", None, (4, 3, 1, 1), False),
        ("m = Identity(x) y = Conv(m, w) z = Exp(m)", None, (4, 3, 1, 1), False),
        ("y = Conv(x, w) z = Identity(y)", 2, (4, 3, 1, 1), False),
        ("m = MatMul(x, w) y = Conv(x, k) z = Identity(m)", None, (8, 8), True),
        ("m = MatMul(x, w) y = Conv(x, k) z = Identity(m)", 1, (8, 8), False),
        ("s = Conv(x, w) r = Relu(s) y = Add(r, x) z = Conv(r, w)", None, (3, 3, 1, 1), False),
    ],
)  # fmt: skip
def test_where_a_grid_is_taken(rng, body, axis, weights, is_taken):
    count = 1 if axis is None else 3 if axis == 1 else 8
    form = grid(np.full(count, 0.1, F), np.linspace(100.2, 101.9, count, dtype=F), axis)
    text = f"g (float[N,3,8,8] x) => (float[N,a,b,c] y, float[N,d,e,f] z) {{ {body} }}"
    more = {"k": rng.normal(size=(4, 3, 1, 1)).astype(F)} if "k)" in body else {}
    _, found = lowered(text, form, w=rng.normal(size=weights).astype(F), **more)
    to_grids = [node for node in found.program.nodes if node.op == "Quantize" and len(node.inputs) > 1]
    assert len(to_grids) == is_taken
    assert any(node.op in ("QConv", "QGemm") for node in found.program.nodes)


def test_weights_at_hand_are_made_anew_for_other_scales_and_for_none_else(rng):
    """Once for each of two grids in turn, and no more where the range of what comes behind is another."""
    constants = {"w": rng.normal(size=(4, 3, 3, 3)).astype(F), "v": rng.normal(size=(2, 4, 1, 1)).astype(F)}
    text = f"g (float[N,3,7,8] x) => (float[N,2,7,8] y) {{ c = {CONV}(x, w) y = Conv(c, v) }}"
    made, seen = {}, []
    for scales, reach in ((SCALES, 300.0), (SCALES[::-1].copy(), 300.0), (SCALES[::-1].copy(), 9.0)):
        floats, alone = lowered(text, grid(scales, ZEROS, 1), ranges={"c": Range(-reach, reach)}, **constants)
        held = {n: Range(-300.0, 300.0) for n in ("x", "y")} | {"c": Range(-reach, reach)}
        beside = lower_to_integers(floats, Forms(held, grids={"x": grid(scales, ZEROS, 1)}), made=made)
        assert to_bytes(beside.program) == to_bytes(alone.program)
        seen.append(dict(made))
    first, second = sorted(made)
    assert seen[0][first] is not seen[1][first]
    assert seen[1][first] is seen[2][first]
    assert seen[0][second] is seen[2][second]
