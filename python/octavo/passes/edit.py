"""Reading constants out of a graph and changing single nodes: what every pass is made of."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Array = npt.NDArray[Any]
Dims = tuple[int | str | None, ...]
AttributeValue = int | float | str | list[int]
FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)


_NAMES = "octavo.names"
"""In the meta of a node: the names by which people know what it computes."""


def names_of(node: ir.Node) -> set[str]:
    """The names of the node, and of all that have become part of it, with those of their outputs."""
    if _NAMES not in node.meta:
        node.meta[_NAMES] = {name for name in (node.name, *(value.name for value in node.outputs)) if name}
    names: set[str] = node.meta[_NAMES]
    return names


def take_names(node: ir.Node, part: ir.Node) -> None:
    """The node is now known by the names of this part of it as well."""
    names_of(node).update(names_of(part))


def take_names_of_unread(node: ir.Node, value: ir.Value) -> None:
    """The node is now known by the names of what made a value that it read and that nobody reads any more."""
    gone: set[ir.Node] = set()
    pending = [value]
    while pending:
        maker = pending.pop().producer()
        if maker is None or any(output.is_graph_output() for output in maker.outputs):
            continue
        if all(use.node in gone for output in maker.outputs for use in output.uses()):
            gone.add(maker)
            take_names(node, maker)
            pending += [source for source in maker.inputs if source is not None]


def nodes(model: ir.Model, *ops: str) -> list[ir.Node]:
    """The nodes of these operators (without any: all nodes) in the graph and its subgraphs, in order."""
    return [node for node in model.graph.all_nodes() if not ops or node.op_type in ops]


def constant(value: ir.Value | None) -> Array | None:
    """The values of an initializer that no caller can feed; None for everything else."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    if value.const_value.dtype == ir.DataType.STRING:
        return None
    array: Array = value.const_value.numpy()
    return array


def scalar(value: ir.Value | None) -> float | None:
    """The number that a constant of one element holds."""
    if value is None or value.const_value is None or value.const_value.size != 1:
        return None
    array = constant(value)
    return None if array is None else float(array.reshape(-1)[0])


def keeps_rank(x: ir.Value | None, axes: int) -> bool:
    """Whether x has at least so many axes, so that no constant of so many gives a result of another rank."""
    shape = dims(x)
    return axes == 0 or (shape is not None and axes <= len(shape))


def scalar_beside(value: ir.Value | None, x: ir.Value | None) -> float | None:
    """The number that a constant of one element holds, where x keeps its shape beside it."""
    if value is None or value.const_value is None or not keeps_rank(x, len(value.const_value.shape)):
        return None
    return scalar(value)


def integers(value: ir.Value | None) -> list[int] | None:
    """The numbers of a constant list, as axes, pads and shapes are."""
    if value is None or value.const_value is None or value.const_value.size > 4096:
        return None
    array = constant(value)
    return None if array is None else [int(number) for number in array.reshape(-1)]


def held(exact: Array, dtype: npt.DTypeLike) -> Array | None:
    """The numbers in this dtype, each rounded once; None where one is infinite then, or no number."""
    with np.errstate(all="ignore"):
        array: Array = exact.astype(dtype)
    return array if np.isfinite(array).all() else None


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """The node's input, None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def producer(value: ir.Value | None, *ops: str) -> ir.Node | None:
    """The node that makes `value`, if it is one of these operators."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type in ops else None


def is_read_once(value: ir.Value) -> bool:
    """Whether one input of one node is all that reads the value."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def dims(value: ir.Value | None) -> Dims | None:
    """The shape as numbers and names (None: an axis of unknown size); None where the rank is unknown."""
    if value is None or value.shape is None:
        return None
    return tuple(axis if isinstance(axis, int) else axis.value for axis in value.shape)


def same_dims(a: Dims | None, b: Dims | None) -> bool:
    """Whether two shapes are known to be equal for every feed."""
    return a is not None and a == b and None not in a


def add_constant(node: ir.Node, array: Array, role: str) -> ir.Value:
    """A new initializer beside `node`, named after its output and the part it plays."""
    graph = node.graph
    assert graph is not None
    name = f"{node.outputs[0].name}/{role}"
    while name in graph.initializers:
        name += "_"
    tensor = ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
    value = ir.Value(
        name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def insert_before(
    node: ir.Node, op: str, inputs: list[ir.Value | None], role: str, **attributes: AttributeValue
) -> ir.Value:
    """A new node of one output before `node`; its output, named after that of `node`."""
    name = f"{node.outputs[0].name}/{role}"
    new = ir.node(op, inputs, attributes, name=name)
    new.outputs[0].name = name
    take_names(new, node)
    source = inputs[0]
    if source is not None and source.type is not None:
        new.outputs[0].type = source.type
    assert node.graph is not None
    node.graph.insert_before(node, new)
    return new.outputs[0]


def become(node: ir.Node, op: str, inputs: list[ir.Value | None], **attributes: AttributeValue) -> None:
    """Makes the node another one with the same output."""
    node.op_type = op
    set_inputs(node, inputs)
    node.attributes.clear()
    set_attributes(node, **attributes)


def set_inputs(node: ir.Node, inputs: list[ir.Value | None]) -> None:
    """Gives the node these inputs in place of its own; what nothing else reads has become part of it."""
    before = [value for value in node.inputs if value is not None]
    node.resize_inputs(len(inputs))
    for index, value in enumerate(inputs):
        node.replace_input_with(index, value)
    for value in before:
        take_names_of_unread(node, value)


def set_attributes(node: ir.Node, **attributes: AttributeValue) -> None:
    """Sets attributes of the node, those that it has not got too."""
    for name, value in attributes.items():
        node.attributes[name] = ir.convenience.convert_attribute(name, value)


def bypass(node: ir.Node, source: ir.Value | None = None) -> bool:
    """Takes the node out: what read its output reads `source` (by default its first input) instead.

    A graph output keeps its name: `source` takes it over, or, where it must keep its own, an Identity stays.
    Whether anything changed is returned. The node has become part of what makes the source, or, where no
    node does, of its readers.
    """
    source = node.inputs[0] if source is None else source
    output = node.outputs[0]
    graph = node.graph
    assert source is not None
    assert graph is not None
    heir = source.producer()
    for other in [heir] if heir is not None else [use.node for use in output.uses()]:
        take_names(other, node)
    if output.is_graph_output():
        maker = source.producer()
        if maker is None or maker.graph is not graph or source.is_graph_output() or source.is_graph_input():
            changed = node.op_type != "Identity" or len(output.uses()) > 0
            for use in list(output.uses()):
                use.node.replace_input_with(use.idx, source)
            become(node, "Identity", [source])
            return changed
        name, output.name = output.name, f"{output.name}/bypassed"
        source.name = name
    output.replace_all_uses_with(source, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return True
