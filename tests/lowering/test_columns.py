"""Columns: what the products that read them take in, by exact arithmetic, and where they are not taken."""

from fractions import Fraction

import numpy as np
import pytest
from graphs import graph
from octavo import reference
from octavo.lowering import Columns, Forms, Range, columns, lower_to_integers
from octavo.lowering.partition import COLUMNS
from octavo.program.validate import validate
from octavo.quantization.walk import part

F = np.float32
PLAIN = "n = LayerNormalization(x, g)"


def form(width=3, axis=1):
    """Feature 0 in one column, 1 in two more above it and 2 in one below it, with the zero point 100."""
    scales = np.array([0.1, 0.14, 0.12, 0.14, 0.14, 0.12], F)
    indices = np.array([0, 1, 2, 1, 1, 2])
    zeros = np.array([100, 100, 100, 100 - 255, 100 - 510, 100 + 255], F)
    assert width == 3
    return columns(scales, zeros, indices, 100, axis)


def lowered(text, given, name="n", **constants):
    floats = graph(text, **constants)
    names = [n for n, value in floats.values.items() if value.dtype == "f32"]
    found = lower_to_integers(floats, Forms({n: Range(-30.0, 30.0) for n in names}, grids={name: given}))
    validate(found.program)
    return found


def test_a_product_takes_in_the_scales_and_what_the_zeros_lack(rng):
    weight, bias, second = rng.normal(size=(3, 4)).astype(F), rng.normal(size=4).astype(F), np.ones((4, 2), F)
    text = f"g (float[N,3] x) => (float[N,2] y) {{ {PLAIN} p = Gemm(n, w, b) y = MatMul(p, v) }}"
    given = form()
    found = lowered(text, given, g=np.ones(3, F), w=weight, b=bias, v=second)
    quantized, product = found.program.nodes[1], found.program.nodes[2]
    assert (quantized.op, quantized.attributes, len(quantized.inputs)) == ("Quantize", {}, 4)
    assert found.program.values[quantized.outputs[0]].shape == ("N", 6)
    assert found.forms["n"] == given
    assert product.attributes["x_zero_point"] == 100
    integers, in_integers = (found.program.constants[name] for name in product.inputs[1:3])
    scale, reals = found.program.values[product.inputs[1]].quant.scale, found.weights[product.inputs[1]]
    scales = np.array(given.scales)
    assert np.array_equal(reals, (weight.astype(np.float64)[list(given.indices)] * scales[:, None]).astype(F))
    assert np.array_equal(scale, np.abs(reals).max(axis=0) / F(127))
    assert np.array_equal(integers, np.rint(reals / scale.astype(np.float64)))
    rests = [100, 100, 100, 0, 0, 255]
    for column in range(4):
        shift = sum((100 - rest) * int(w) for rest, w in zip(rests, integers[:, column], strict=True))
        assert in_integers[column] == round(
            Fraction(float(bias[column])) / Fraction(float(scale[column])) + shift
        )


def test_shares_add_up_to_the_value(rng):
    """Within half a step, over all that the columns hold, and at their ends beyond."""
    text = f"g (float[N,3] x) => (float[N,3] y) {{ {PLAIN} y = MatMul(n, w) }}"
    found = lowered(text, form(), g=np.ones(3, F), w=np.eye(3, dtype=F))
    product = found.program.nodes[2]
    ends = np.array([(-100, 155), (-100, 155 + 510), (-100 - 255, 155)]) * np.array([[0.1], [0.14], [0.12]])
    x = rng.uniform(-1.2, 1.2, (500, 3)) * np.abs(ends).max(1)
    feeds = {"n": x.astype(F)}
    piece = [node for node in found.program.nodes if node.op in ("Quantize", "QGemm")]
    (y,) = reference.run(part(found.program, piece, ["y"]), feeds)
    wanted = np.clip(x, *ends.T)
    steps = np.array([0.1, 0.14, 0.12])
    # Weights of 1 are 127 steps exactly, and a share's differ by its scale alone.
    assert product.attributes["x_scale"] == 1
    assert (np.abs(y - wanted) <= steps * 0.5 + np.abs(wanted) / 254 + 1e-4).all()


def test_a_function_before_columns_stays_float(rng):
    text = "g (float[N,3] x) => (float[N,2] y) { a = MatMul(x, w) n = Gelu(a) y = MatMul(n, v) }"
    w, v = rng.normal(size=(3, 3)).astype(F), rng.normal(size=(3, 2)).astype(F)
    plain = lowered(text, form(), name="other", w=w, v=v)
    assert [node.op for node in plain.program.nodes] == ["Quantize", "QGemm", "Lookup", "QGemm"]
    found = lowered(text, form(), w=w, v=v)
    assert [node.op for node in found.program.nodes] == ["Quantize", "QGemm", "Gelu", "Quantize", "QGemm"]
    assert [(stay.op, stay.reason, stay.expected) for stay in found.stays] == [("Gelu", COLUMNS, True)]
    assert COLUMNS == "its result has a scale for each index, which a table of 256 results cannot give"


@pytest.mark.parametrize(
    "readers",
    [
        "c = MatMul(n, w) y = Add(n, c) z = MatMul(y, w)",  # a sum reads it in integers
        "t = Transpose<perm=[1,0]>(n) y = MatMul(t, u) z = MatMul(n, w)",
        "i = Identity(n) y = MatMul(i, w) z = MatMul(i, w)",
        "y = MatMul(u, n) z = MatMul(n, w)",  # on the right of a product of activations
    ],
)
def test_columns_are_for_what_matrix_products_alone_read(rng, readers):
    text = f"g (float[3,3] x, float[3,3] u) => (float[3,3] y, float[3,3] z) {{ {PLAIN} {readers} }}"
    found = lowered(text, form(), g=np.ones(3, F), w=rng.normal(size=(3, 3)).astype(F))
    assert not isinstance(found.forms.get("n"), Columns)


def test_what_integers_give_takes_no_columns(rng):
    text = "g (float[N,3] x) => (float[N,2] y) { n = MatMul(x, w) y = MatMul(n, v) }"
    found = lowered(text, form(), w=np.eye(3, dtype=F), v=rng.normal(size=(3, 2)).astype(F))
    assert [node.op for node in found.program.nodes] == ["Quantize", "QGemm", "QGemm"]
    assert not isinstance(found.forms["n"], Columns)
