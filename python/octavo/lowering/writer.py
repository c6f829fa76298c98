"""What all that write a Program do alike: names, values, constants, nodes, and where each came from."""

from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.wiring import Wiring
from octavo.program import DTYPES, Attribute, Node, Program, Quant, Value


class ProgramWriter:
    """A Program being written from a float one.

    value_origins: the graph's value that each value of the Program holds, in whatever form. node_origins: the
    graph's nodes that each node of the Program does; none where it only converts. weights: the reals that
    constants of integer weights stand for, in their shapes.
    """

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.value_origins: dict[str, str] = {}
        self.node_origins: dict[str, tuple[str, ...]] = {}
        self.weights: dict[str, npt.NDArray[np.float32]] = {}
        self._source = wiring.program
        self._values: dict[str, Value] = {}
        self._constants: dict[str, npt.NDArray[Any]] = {}
        self._nodes: list[Node] = []
        self._taken = set(self._source.values)
        self._node_names = {node.name for node in self._source.nodes}
        for name in self._source.inputs:
            self._define(self._source.values[name], name)

    def constant(
        self, name: str, array: npt.NDArray[Any], quant: Quant | None = None, of: str | None = None
    ) -> str:
        """Add a constant, or find it again where name and bytes are the same; return its name.

        of: the graph's value that it holds, where there is one.
        """
        dtype = next(dtype for dtype, stored in DTYPES.items() if stored == array.dtype)
        known = self._constants.get(name)
        if known is not None and _same(known, array) and same_quant(self._values[name].quant, quant):
            return name
        own = self._fresh(name)
        self._define(Value(own, dtype, array.shape, quant), of)
        self._constants[own] = np.asarray(array, order="C")
        return own

    def gives_floats(self, name: str) -> str:
        """Declare that the next node gives the graph's value `name` as the graph has it."""
        if name:
            self._define(self.wiring.value(name), name)
        return name

    def keep_constant(self, name: str) -> None:
        """Take over a value of the graph that is known in advance, if it is."""
        constant = self.wiring.constant(name)
        if constant is not None:
            self._define(self.wiring.value(name), name)
            self._constants[name] = constant

    def written(self) -> Program:
        """The Program written so far."""
        return Program(
            inputs=list(self._source.inputs),
            outputs=list(self._source.outputs),
            values=self._values,
            constants=self._constants,
            nodes=self._nodes,
        )

    def _add(
        self,
        op: str,
        name: str,
        inputs: list[str],
        outputs: list[str],
        attributes: dict[str, Attribute],
        origin: tuple[str, ...],
    ) -> None:
        self._nodes.append(Node(op, name, tuple(inputs), tuple(outputs), dict(sorted(attributes.items()))))
        self.node_origins[name] = origin

    def _define(self, value: Value, of: str | None) -> None:
        self._values[value.name] = value
        if of is not None:
            self.value_origins[value.name] = of

    def _fresh(self, name: str) -> str:
        own, number = name, 1
        while own in self._taken:
            number += 1
            own = f"{name}_{number}"
        self._taken.add(own)
        return own


def _same(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def same_quant(one: Quant | None, other: Quant | None) -> bool:
    """Whether two values' integers stand for the same reals."""
    if one is None or other is None:
        return one is other
    return (
        one.axis == other.axis and _same(one.scale, other.scale) and _same(one.zero_point, other.zero_point)
    )
