"""Float ops without an integer form of their own, spelled out in ops that have one.

PRelu(x, slope) = Max(x, 0) + slope * Min(x, 0)
BatchNormalization(x) = x * a + (b - mean * a), a = scale / sqrt(var + epsilon), by constants alone
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.program import Node, Program, Value
from octavo.program.attributes import number
from octavo.rewrites.names import fresh


def spelled_out(program: Program) -> Program:
    """The Program without PRelu by more than one slope, and without BatchNormalization by constants.

    The last of the nodes that one becomes keeps its name.
    """
    values, constants, nodes = dict(program.values), dict(program.constants), []
    for node in program.nodes:
        spell = _SPELLED.get(node.op)
        written = None if spell is None else spell(_Writer(node, values, constants))
        nodes.extend([node] if written is None else written)
    return replace(program, values=values, constants=constants, nodes=nodes)


class _Writer:
    """Writes the nodes that one node becomes."""

    def __init__(self, node: Node, values: dict[str, Value], constants: dict[str, npt.NDArray[Any]]) -> None:
        self.node = node
        self.constants = constants
        self._values = values
        self._nodes: list[Node] = []

    def constant(self, what: str, array: npt.NDArray[np.float32]) -> str:
        """The name of a new constant."""
        name = fresh(f"{self.node.name}.{what}", self._values)
        self._values[name], self.constants[name] = Value(name, "f32", array.shape), array
        return name

    def op(self, op: str, what: str, *inputs: str) -> str:
        """The name of what a new node gives, of the shape of what the old one does."""
        name = fresh(f"{self.node.outputs[0]}_{what}", self._values)
        self._values[name] = replace(self._values[self.node.outputs[0]], name=name)
        self._nodes.append(Node(op, name, inputs, (name,), {}))
        return name

    def last(self, op: str, *inputs: str) -> list[Node]:
        """All nodes, with one that gives what the old one does."""
        return [*self._nodes, Node(op, self.node.name, inputs, self.node.outputs, {})]

    def rank(self) -> int | None:
        """The number of axes of the result."""
        shape = self._values[self.node.outputs[0]].shape
        return None if shape is None else len(shape)


def _prelu(writer: _Writer) -> list[Node] | None:
    x, slope = writer.node.inputs
    known = writer.constants.get(slope)
    if known is None or known.size == 1 or known.dtype != np.float32:
        return None
    zero = writer.constant("zero", np.zeros((), np.float32))
    above = writer.op("Max", "above", x, zero)
    below = writer.op("Mul", "sloped", writer.op("Min", "below", x, zero), slope)
    return writer.last("Add", above, below)


def _batch_normalization(writer: _Writer) -> list[Node] | None:
    x, *names = writer.node.inputs
    known = [writer.constants.get(name) for name in names]
    rank = writer.rank()
    if rank is None or any(array is None for array in known):
        return None
    scale, bias, mean, var = (array.astype(np.float64) for array in known if array is not None)
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(var + np.float64(number(writer.node, "epsilon")))
        addend = bias - mean * factor
    shape = (-1, *[1] * (rank - 2))
    multiplied = writer.op("Mul", "scaled", x, writer.constant("factor", _single(factor, shape)))
    return writer.last("Add", multiplied, writer.constant("addend", _single(addend, shape)))


def _single(array: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return array.astype(np.float32).reshape(shape)


_SPELLED = {"PRelu": _prelu, "BatchNormalization": _batch_normalization}
