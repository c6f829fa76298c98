"""Small graphs from text, and what their int8 Programs give beside the float ones."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from graphs import graph
from octavo import reference
from octavo.lowering import Forms, Lowered, Range, capability, lower_to_integers
from octavo.program import Program
from octavo.program.validate import validate


@dataclass
class Case:
    """A float Program, the int8 one, and the outputs of both for the same feeds."""

    floats: Program
    lowered: Lowered
    want: list[np.ndarray]
    got: list[np.ndarray]

    @property
    def ops(self):
        return [node.op for node in self.lowered.program.nodes]

    @property
    def reasons(self):
        return {stay.name: stay.reason for stay in self.lowered.stays}

    def node(self, op):
        (node,) = [node for node in self.lowered.program.nodes if node.op == op]
        return node

    def constant(self, op, index):
        return self.lowered.program.constants[self.node(op).inputs[index]]

    def sqnr(self):
        """Signal over error, in dB; the least of the outputs."""
        ratios = []
        for want, got in zip(self.want, self.got, strict=True):
            error = np.square(want.astype(np.float64) - got).sum()
            ratios.append(10 * np.log10(np.square(want.astype(np.float64)).sum() / max(error, 1e-30)))
        return min(ratios)


@pytest.fixture
def floats():
    return graph


def observed(program, feeds):
    """The range of every float32 value in one run of the reference."""
    names = [n for n, v in program.values.items() if v.dtype == "f32" and n not in program.constants]
    ranges = {}
    for name, array in zip(names, reference.run(program, feeds, names), strict=True):
        finite = array[np.isfinite(array)]
        if finite.size:
            ranges[name] = Range(float(finite.min()), float(finite.max()))
    return ranges


def factor(m):
    """The rule of requantization, in fractions: M = 2^7 times the nearest odd integer of 24 bits."""
    if Fraction(m) < Fraction(1, 2**32):
        return 2**30 + 2**7, 62
    shift = next(s for s in range(62, 0, -1) if Fraction(m) * 2**s < 2**31)
    return 2**7 * (2 * math.floor(Fraction(m) * 2**shift / 2**8) + 1), shift


def factors_of_a_sum(a, b):
    """The largest shift in 1..30 with both multipliers below 2^15."""
    return next(
        (*pair, shift)
        for shift in range(30, 0, -1)
        if max(map(abs, pair := [round(Fraction(m) * 2**shift) for m in (a, b)])) < 2**15
    )


def factor_of_a_residual(ratio):
    """The largest shift in 1..23 with a multiplier below 2^15, rounded half up."""
    return next(
        (multiplier, shift)
        for shift in range(23, 0, -1)
        if (multiplier := math.floor(Fraction(ratio) * 2**shift + Fraction(1, 2))) < 2**15
    )


MOVES = {row.op for row in capability.TABLE if row.kind is capability.Kind.MOVEMENT and row.becomes == row.op}


def clamp(floats, node, scale, zero):
    """The bounds of the Relu or Clip that the node took in, as integers; else none."""
    makers = {name: maker for maker in floats.nodes for name in maker.outputs}
    output = node.outputs[0]
    end = makers[output] if output in makers else makers[output.rpartition("_quantized")[0]]
    if end.name == node.name or end.op not in ("Relu", "Clip"):
        return 0, 255
    low, high = 0.0, np.inf
    if end.op == "Clip":
        bounds = [floats.constants[name].item() if name else None for name in (*end.inputs[1:], "", "")[:2]]
        low, high = (
            default if b is None else b for b, default in zip(bounds, (-np.inf, np.inf), strict=True)
        )
    integers = (
        (0 if real < 0 else 255)
        if np.isinf(real)
        else round(Fraction(float(np.float32(real) / np.float32(scale)))) + zero
        for real in (low, high)
    )
    return tuple(min(max(q, 0), 255) for q in integers)


def check_integers(program, floats):
    """Every integer of every node is the one that the scales and zero points of its values give."""

    def quant(name):
        found = program.values[name].quant
        return np.float64(found.scale[0]), int(found.zero_point[0])

    for node in program.nodes:
        attributes, made = dict(node.attributes), program.values[node.outputs[0]]
        if node.op in ("Quantize", "Dequantize"):
            scale, zero = quant((node.outputs if node.op == "Quantize" else node.inputs)[0])
            assert (attributes["scale"], attributes["zero_point"]) == (scale, zero), node
        if node.op in MOVES | {"Concat", "Max", "Min"} and made.dtype == "u8":
            read = node.inputs if node.op in ("Concat", "Max", "Min") else node.inputs[:1]
            assert len({quant(name) for name in (*read, *node.outputs)}) == 1, node
        if node.op != "Requantize" and (node.op[0] != "Q" or node.op in ("Quantize", "QSoftmax")):
            continue
        if node.op == "QExponentials":
            assert [program.values[name].quant for name in node.outputs] == [None, None], node
            continue
        if node.op == "QMatMul" and len(node.inputs) == 3:
            # The left side has a scale a row.
            assert attributes["b_zero_point"] == quant(node.inputs[1])[1], node
            continue
        pair = node.op in ("QAdd", "QMul", "QMatMul")
        read = [quant(name) for name in node.inputs[: 1 + pair]]
        for letter, (_, zero) in zip("ab" if pair else "x", read, strict=True):
            assert attributes[f"{letter}_zero_point"] == zero, node
        if made.dtype != "u8":
            if not pair:
                assert attributes["x_scale"] == read[0][0], node
            if node.op in ("QConv", "QGemm"):
                assert (program.constants[node.inputs[3]] == program.values[node.inputs[1]].quant.scale).all()
            continue
        scale, zero = quant(node.outputs[0])
        assert attributes["y_zero_point"] == zero, node
        if node.op != "Requantize":
            assert (attributes["lo"], attributes["hi"]) == clamp(floats, node, scale, zero), node
        if node.op == "QAdd":
            found = tuple(attributes[name] for name in ("a_multiplier", "b_multiplier", "shift"))
            want = factors_of_a_sum(read[0][0] / scale, read[1][0] / scale)
            assert found in (want, (want[0], -want[1], want[2])), node
        elif node.op in ("QAveragePool", "QReduceMean"):
            assert attributes["ratio"] == read[0][0] / scale, node
        elif node.op in ("QConv", "QGemm"):
            weights = program.values[node.inputs[1]].quant
            assert weights.axis == (0 if node.op == "QConv" else 1)
            assert not weights.zero_point.any()
            want = [factor(read[0][0] * np.float64(step) / scale) for step in weights.scale]
            found = [program.constants[name].tolist() for name in node.inputs[3:5]]
            assert list(zip(*found, strict=True)) == want, node
            if node.inputs[5:]:
                step, zero = quant(node.inputs[5])
                assert attributes["r_zero_point"] == zero, node
                want = [factor_of_a_residual(step / (read[0][0] * np.float64(w))) for w in weights.scale]
                found = [program.constants[name].tolist() for name in node.inputs[6:]]
                assert list(zip(*found, strict=True)) == want, node
        else:
            product = read[0][0] * read[1][0] if pair else read[0][0]
            assert (attributes["multiplier"], attributes["shift"]) == factor(product / scale), node
            if node.op == "Requantize":
                assert (attributes["lo"], attributes["hi"]) == (0, 255)


@pytest.fixture
def lowered():
    """The int8 Program by ranges as (min, max), without a run."""

    def make(text, ranges, **constants):
        held = {name: Range(*ends) for name, ends in ranges.items()}
        program = graph(text, **constants)
        made = lower_to_integers(program, Forms(held))
        validate(made.program)
        check_integers(made.program, program)
        return made

    return make


@pytest.fixture
def quantized():
    def make(text, feeds, *, exclude=(), per_channel=True, ranges=None, **constants):
        program = graph(text, **constants)
        validate(program)
        feeds = feeds if isinstance(feeds, dict) else {program.inputs[0]: feeds}
        known = observed(program, feeds) | (ranges or {})
        lowered = lower_to_integers(program, Forms(known, per_channel=per_channel), exclude)
        validate(lowered.program)
        check_integers(lowered.program, program)
        return Case(program, lowered, reference.run(program, feeds), reference.run(lowered.program, feeds))

    return make


@pytest.fixture
def rng():
    return np.random.default_rng(20)
