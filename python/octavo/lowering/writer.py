"""What all that write a Program do alike: names, values, constants, nodes, and where each came from."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import Affine
from octavo.lowering.lowered import Lowered
from octavo.lowering.partition import Stay
from octavo.lowering.wiring import Wiring
from octavo.program import DTYPES, Attribute, Body, Node, Program, Quant, Value, all_nodes
from octavo.program.bodies import body_program, captured, renamed, with_bodies


class ProgramWriter:
    """A Program being written from a float one.

    value_origins: the graph's value that each value of the Program holds, in whatever form. node_origins: the
    graph's nodes that each node of the Program does; none where it only converts. weights: the reals that
    constants of integer weights stand for, in their shapes. lower_body: lowers a sub-program. stays, held:
    the ops of sub-programs that stay float, and the forms of their values in integers.
    """

    def __init__(self, wiring: Wiring, lower_body: Callable[[Program], Lowered]) -> None:
        self.wiring = wiring
        self.lower_body = lower_body
        self.stays: list[Stay] = []
        self.held: dict[str, Affine] = {}
        self.value_origins: dict[str, str] = {}
        self.node_origins: dict[str, tuple[str, ...]] = {}
        self.weights: dict[str, npt.NDArray[np.float32]] = {}
        self._source = wiring.program
        self._values: dict[str, Value] = {}
        self._constants: dict[str, npt.NDArray[Any]] = {}
        self._nodes: list[Node] = []
        self._taken = set(self._source.values)
        self._node_names = {node.name for node in all_nodes(self._source.nodes)}
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

    def _add_with_bodies(self, node: Node, inputs: list[str], outputs: list[str]) -> None:
        """Add a node of the graph that runs sub-programs, each of which is lowered by itself.

        inputs: what the node reads, as it is called here.
        """
        here = dict(zip(node.inputs, inputs, strict=True))
        bodies = {key: self._body(node, key, here) for key in sorted(node.bodies)}
        own = replace(node, inputs=tuple(inputs), outputs=tuple(outputs))
        self._nodes.append(with_bodies(own, bodies, self._constants))
        self.node_origins[node.name] = (node.name,)

    def _body(self, node: Node, key: str, here: dict[str, str]) -> Body:
        """A body, lowered; here: what is called otherwise than in the graph of what it reads from outside."""
        source = body_program(self._source, node, key)
        lowered = self.lower_body(source)
        program, own = lowered.program, node.bodies[key]
        names = {name: here.get(name, name) for name in captured(node)}
        for name, array in program.constants.items():
            value = program.values[name]
            names[name] = self._constant_of(value, array, name in source.values, lowered.values.get(name))
        for name, value in program.values.items():
            if name not in names:
                names[name] = name if name in source.values else self._fresh(name)
                self._define(replace(value, name=names[name]), lowered.values.get(name))
        self.stays += lowered.stays
        self.held |= lowered.forms
        self.weights |= {names[name]: reals for name, reals in lowered.weights.items()}
        kept = {inner.name for inner in all_nodes(source.nodes)}
        names_of_nodes = {
            inner.name: inner.name
            if inner.name in kept
            else self._fresh_for_node(names.get(inner.name, inner.name))
            for inner in all_nodes(program.nodes)
        }
        for inner, name in names_of_nodes.items():
            self.node_origins[name] = lowered.nodes[inner]
        nodes = tuple(
            renamed(inner, names.__getitem__, names_of_nodes.__getitem__) for inner in program.nodes
        )
        return Body(own.inputs, tuple(names[name] for name in program.outputs), nodes)

    def _constant_of(self, value: Value, array: npt.NDArray[Any], is_own: bool, of: str | None) -> str:
        """The name of a constant of a body's; is_own: whether the graph has it by that name."""
        known = self._constants.get(value.name)
        if known is not None and _same(known, array) and self._values[value.name].dtype == value.dtype:
            return value.name
        name = value.name if known is None and is_own else self._fresh(value.name)
        self._define(replace(value, name=name), of)
        self._constants[name] = array
        return name

    def _fresh_for_node(self, name: str) -> str:
        taken = name in self._node_names or name in self.node_origins
        return self._fresh(f"{name}_node") if taken else name

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
