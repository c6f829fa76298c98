"""Functions of one tensor, element by element, however many nodes they are made of: a table.

The table is what the float nodes give for the reals that the input's integers stand for, quantized.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo import reference
from octavo.lowering.builder import ProgramBuilder
from octavo.lowering.capability import Kind
from octavo.lowering.decision import Decision
from octavo.lowering.wiring import Unit
from octavo.program import Node, Program, Value


@dataclass(frozen=True)
class Table:
    """entries: integers of the output's form, one for each integer of `root`. nodes: what it does."""

    root: str
    entries: npt.NDArray[Any]
    nodes: tuple[Node, ...]


def fit_unary(decision: Decision, unit: Unit) -> Table | None:
    """A table over the nearest tensor in integers; None where only other tables read the result."""
    output, partition = unit.outputs[0], decision.partition
    readers = decision.wiring.readers.get(output, [])
    read = any(decision.is_integer(reader) and decision.kind(reader) is not Kind.UNARY for reader in readers)
    read |= output in decision.wiring.rounded
    if unit.name in decision.fused or not (read or partition.wants_float(output)):
        return None
    root = next(name for name in decision.wiring.functions[output] if _exists(decision, name))
    x, y = decision.read(unit, root), decision.affine(output)
    nodes = _between(decision, root, output)
    return Table(root, y.integers(_evaluate(decision, nodes, root, x.reals())), nodes)


def emit_unary(builder: ProgramBuilder, unit: Unit, table: Table | None) -> None:
    """Add the Lookup."""
    if table is None:
        return
    output = unit.outputs[0]
    inputs = [builder.reads(unit, table.root), builder.constant(f"{unit.name}.table", table.entries)]
    builder.emit("Lookup", unit, inputs, [builder.gives_integers(output)], {}, of=table.nodes)
    builder.dequantize_if_wanted(output)


def _exists(decision: Decision, name: str) -> bool:
    """Whether a tensor exists in integers by itself, or can: all but the results of other tables."""
    producer = decision.wiring.producer.get(name)
    if producer is None or not decision.is_integer(producer) or name in decision.wiring.rounded:
        return True
    return decision.kind(producer) is not Kind.UNARY or producer.name in decision.fused


def _evaluate(
    decision: Decision, nodes: tuple[Node, ...], root: str, reals: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """The nodes, run on the numbers `reals` by the reference: what the last one gives, float32, as many."""
    names = {name for node in nodes for name in (*node.inputs, *node.outputs) if name}
    constants = {}
    for name in sorted(names):
        array = decision.wiring.constant(name)
        if array is not None:
            constants[name] = array.reshape(())
    values = {
        name: Value(name, decision.wiring.value(name).dtype, () if name in constants else (len(reals),))
        for name in sorted(names)
    }
    program = Program([root], list(nodes[-1].outputs), values, constants, list(nodes))
    (result,) = reference.run(program, {root: reals})
    return np.asarray(result, np.float32)


def _between(decision: Decision, root: str, output: str) -> tuple[Node, ...]:
    """The nodes that lead from `root` to `output`, in the graph's order, without its own rounding."""
    wanted, nodes = {output}, []
    for unit in reversed(decision.wiring.units):
        if unit.outputs[0] in wanted and unit.outputs[0] != root:
            inner = () if unit.outputs[0] == output else unit.rounding
            nodes += [*inner[::-1], unit.node]
            wanted.update(decision.wiring.activations(unit))
    return tuple(nodes[::-1])
