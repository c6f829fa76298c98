"""What is written once and what is not: constants, conversions, names."""

import numpy as np
import pytest
from octavo.lowering import Forms, Range
from octavo.lowering.affine import affine
from octavo.lowering.builder import ProgramBuilder
from octavo.lowering.decision import Decision
from octavo.lowering.wiring import Wiring
from octavo.program import Quant

BYTES = np.array([[1, 2], [3, 4]], np.uint8)


def quant(scale=(0.5, 0.5), zero_point=(3, 3), axis=1):
    return Quant(np.array(scale, np.float32), np.array(zero_point, np.int64), axis)


def _no_bodies(program):
    raise AssertionError("the program has no bodies")


@pytest.fixture
def builder(floats):
    program = floats("g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }")
    return ProgramBuilder(Decision(Wiring(program), Forms()), _no_bodies)


def test_a_constant_is_found_again(builder):
    assert builder.constant("k", BYTES, quant()) == "k"
    assert builder.constant("k", BYTES.copy(), quant()) == "k"
    assert builder.constant("plain", BYTES) == builder.constant("plain", BYTES.copy()) == "plain"


@pytest.mark.parametrize(
    ("array", "form"),
    [
        (BYTES, quant(scale=(0.5, 0.25))),
        (BYTES, quant(scale=(0.25, 0.5))),
        (BYTES, quant(zero_point=(3, 4))),
        (BYTES, quant(zero_point=(4, 3))),
        (BYTES, quant(axis=0)),
        (BYTES, quant(scale=(0.5,), zero_point=(3,), axis=None)),
        (BYTES, None),
        (BYTES.reshape(4), quant()),
        (BYTES.view(np.int8), quant()),
        (BYTES + np.uint8(1), quant()),
    ],
)
def test_constants_that_differ_are_two(builder, array, form):
    first = builder.constant("k", BYTES, quant())
    second = builder.constant("k", array, form)
    assert (first, second) == ("k", "k_2")
    assert builder.constant("plain", BYTES) == "plain"
    assert builder.constant("plain", BYTES, quant()) == "plain_2"
    program = builder.program()
    assert np.array_equal(program.constants["k"], BYTES)
    assert program.values["k"].quant.scale.tolist() == [0.5, 0.5]
    assert np.array_equal(program.constants["k_2"], array)
    assert program.constants["k_2"].dtype == array.dtype
    assert program.values["k_2"].shape == array.shape
    assert program.values["k_2"].quant is form


def test_one_constant_at_two_scales(quantized, rng):
    """Zeros have the same bytes at every scale that begins at 0."""
    text = """g (float[N,2,4,4] x) => (float[N,2,4,4] y, float[N,2,4,4] z)
        { a = Conv(x, w) b = Conv(x, w) p = Relu(a) q = Relu(b) m = Concat<axis=1>(p, k)
          n = Concat<axis=1>(q, k) y = Conv(m, v) z = Conv(n, v) }"""
    ranges = {"p": Range(0.0, 1.0), "q": Range(0.0, 8.0), "m": Range(0.0, 1.0), "n": Range(0.0, 8.0)}
    case = quantized(
        text,
        rng.random((1, 2, 4, 4)).astype("f4"),
        ranges=ranges,
        w=np.eye(2, dtype="f4").reshape(2, 2, 1, 1),
        v=rng.normal(size=(2, 4, 1, 1)).astype("f4"),
        k=np.zeros((1, 2, 4, 4), "f4"),
    )
    first, second = [node for node in case.lowered.program.nodes if node.op == "Concat"]
    assert first.inputs[1] != second.inputs[1]
    for node, high in ((first, 1.0), (second, 8.0)):
        for name in (*node.inputs, *node.outputs):
            assert case.lowered.program.values[name].quant.scale[0] == affine(Range(0.0, high)).scale


def test_names_that_are_taken_are_numbered(quantized, rng):
    text = """g (float[N,3] x) => (float[N,3] y, float[N,3] x_quantized, float[N,3] y_dequantized)
        { y = MatMul(x, w) x_quantized = Neg(x) y_dequantized = Abs(x) }"""
    case = quantized(text, rng.random((2, 3)).astype("f4"), w=rng.normal(size=(3, 3)).astype("f4"))
    assert case.node("Quantize").outputs == ("x_quantized_2",)
    assert case.lowered.program.outputs == ["y", "x_quantized", "y_dequantized"]
    assert len({node.name for node in case.lowered.program.nodes}) == len(case.ops)
    assert case.sqnr() > 35


def test_names_of_nodes_that_are_taken_are_numbered(quantized, rng):
    """Values are called as the nodes relu1 and neg2 are, and converted under these names."""
    text = """g (float[N,3] x) => (float[N,3] relu1, float[N,3] neg2, float[N,3] y)
        { relu1 = MatMul(x, w) r = Relu(relu1) neg2 = Neg(r) y = MatMul(neg2, w) }"""
    case = quantized(text, rng.normal(size=(4, 3)).astype("f4"), w=rng.normal(size=(3, 3)).astype("f4"))
    made = {name: node for node in case.lowered.program.nodes for name in node.outputs}
    assert made["relu1"].op == made["neg2"].op == "Dequantize"
    assert len({node.name for node in case.lowered.program.nodes}) == len(case.ops)
    assert case.sqnr() > 25


def test_constants_are_named_after_what_they_are_made_of(quantized, rng):
    text = "g (float[N,3] x) => (float[N,3] y) { a = MatMul(x, w) y = MatMul(a, v) }"
    square = rng.normal(size=(3, 3)).astype("f4")
    case = quantized(text, rng.random((2, 3)).astype("f4"), w=square, v=square)
    assert sorted(case.lowered.program.constants) == [
        *("matmul0.bias", "matmul0.multiplier", "matmul0.shift", "matmul1.bias", "matmul1.scale"),
        *("v_quantized", "w_quantized"),
    ]
