"""Small graphs from text, and what their int8 Programs give beside the float ones."""

from dataclasses import dataclass

import numpy as np
import onnx
import onnx.parser
import pytest
from octavo import frontend, reference
from octavo.lowering import Choices, Lowered, Range, lower, lower_to_integers
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


def graph(text, **constants):
    """The float Program of `agraph {nodes}` in ONNX's textual form; constants become initializers."""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 25]> {text}')
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type.lower()}{index}"
    return lower(frontend.load(proto)).program


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


@pytest.fixture
def quantized():
    def make(text, feeds, *, exclude=(), per_channel=True, ranges=None, **constants):
        program = graph(text, **constants)
        validate(program)
        feeds = feeds if isinstance(feeds, dict) else {program.inputs[0]: feeds}
        known = observed(program, feeds) | (ranges or {})
        lowered = lower_to_integers(program, known, Choices(frozenset(exclude), per_channel))
        validate(lowered.program)
        return Case(program, lowered, reference.run(program, feeds), reference.run(lowered.program, feeds))

    return make


@pytest.fixture
def rng():
    return np.random.default_rng(20)
