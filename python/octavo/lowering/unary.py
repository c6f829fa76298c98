"""Functions of one tensor, element by element, however many nodes they are made of: a table of 256 entries.

The table is what the float nodes give for the 256 reals that the input's integers stand for, quantized.
"""

import numpy as np
import numpy.typing as npt

from octavo import reference
from octavo.lowering.builder import Builder
from octavo.lowering.capability import Kind
from octavo.lowering.wiring import Unit
from octavo.program import Node, Program, Value


def lower_unary(builder: Builder, unit: Unit) -> None:
    """One Lookup from the nearest tensor in uint8; none where only other tables read the result."""
    output = unit.outputs[0]
    plan = builder.plan
    readers = builder.wiring.readers.get(output, [])
    read = any(plan.is_integer(reader) and plan.kind(reader) is not Kind.UNARY for reader in readers)
    if unit.name in builder.fused or not (read or plan.wants_float(output)):
        return
    root = next(name for name in builder.wiring.functions[output] if _exists(builder, name))
    x, y = builder.affine(root, unit), builder.affine(output, unit)
    table = y.integers(_evaluate(builder, root, output, x.reals()))
    inputs = [builder.integers(root, unit), builder.constant(f"{unit.name}.table", table)]
    builder.emit("Lookup", unit.name, inputs, [builder.gives_integers(output, unit)], {})
    builder.dequantize_if_wanted(output, unit)


def _exists(builder: Builder, name: str) -> bool:
    """Whether a tensor exists in uint8 by itself, or can: all but the results of other tables."""
    producer = builder.wiring.producer.get(name)
    if producer is None or not builder.plan.is_integer(producer):
        return True
    return builder.plan.kind(producer) is not Kind.UNARY or producer.name in builder.fused


def _evaluate(
    builder: Builder, root: str, output: str, reals: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """The nodes between `root` and `output`, run on the numbers `reals` by the reference; float32 [256]."""
    nodes = _between(builder, root, output)
    names = {name for node in nodes for name in (*node.inputs, *node.outputs) if name}
    constants = {}
    for name in sorted(names):
        array = builder.wiring.constant(name)
        if array is not None:
            constants[name] = array.reshape(())
    values = {name: Value(name, "f32", () if name in constants else (len(reals),)) for name in sorted(names)}
    program = Program([root], [output], values, constants, nodes)
    (result,) = reference.run(program, {root: reals})
    return np.asarray(result, np.float32)


def _between(builder: Builder, root: str, output: str) -> list[Node]:
    """The nodes that lead from `root` to `output`, in the graph's order."""
    wanted, nodes = {output}, []
    for unit in reversed(builder.wiring.units):
        if unit.outputs[0] in wanted and unit.outputs[0] != root:
            nodes.append(unit.node)
            wanted.update(builder.wiring.activations(unit))
    return nodes[::-1]


__all__ = ["lower_unary"]
