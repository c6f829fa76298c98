"""Scans as the Loops that they are: a trip for each slice of what is scanned.

    Scan(states, xs)    becomes    Loop(length, , states) whose body begins with Gather(x, trip) of each x

Up to opset 8, a Scan goes through a batch, whose samples may differ in length: a Loop around that Loop.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from octavo.errors import ModelError
from octavo.frontend.check import called
from octavo.frontend.steps import initializer

SCANS_OF_BATCHES = 8
"""The newest opset in which a Scan goes through a batch."""

_INT64_MIN = int(np.iinfo(np.int64).min)


def expand_scans(model: ir.Model) -> None:
    """Replaces every Scan by a Loop, in place; `model` is checked, and in whatever opset.

    Raises:
        ModelError: a Scan that puts its slices on another axis than the first of an output of unknown rank.
    """
    version = model.graph.opset_imports[""]
    scans = [node for node in model.graph.all_nodes() if (node.domain, node.op_type) == ("", "Scan")]
    for node in reversed(scans):  # inner ones first
        (_expand if version > SCANS_OF_BATCHES else _expand_batch)(node)


class _Adding:
    """Adds nodes before another, or at the end of a graph; their outputs' names begin with that node's."""

    def __init__(self, graph: ir.Graph, before: ir.Node | None, prefix: str) -> None:
        self.graph, self._before, self._prefix = graph, before, prefix
        self._count = 0

    def node(
        self,
        op: str,
        inputs: Sequence[ir.Value | None],
        dtype: ir.DataType | None = None,
        attributes: dict[str, int | list[int] | ir.Graph] | None = None,
        outputs: int = 1,
    ) -> ir.Node:
        made = ir.node(op, inputs, attributes or {}, num_outputs=outputs)
        self._count += 1
        made.name = f"{self._prefix}.{op}{self._count}"
        for place, value in enumerate(made.outputs):
            value.name = made.name if outputs == 1 else f"{made.name}_{place}"
            value.type = None if dtype is None else ir.TensorType(dtype)
        if self._before is None:
            self.graph.append(made)
        else:
            self.graph.insert_before(self._before, made)
        return made

    def __call__(
        self,
        op: str,
        *inputs: ir.Value | None,
        dtype: ir.DataType | None = ir.DataType.INT64,
        **attributes: int | list[int],
    ) -> ir.Value:
        return self.node(op, inputs, dtype, dict(attributes)).outputs[0]

    def constant(self, number: int | list[int]) -> ir.Value:
        self._count += 1
        return initializer(self.graph, f"{self._prefix}.constant{self._count}", np.array(number, np.int64))

    def length(self, value: ir.Value, axis: int) -> ir.Value:
        """A scalar: the length of an axis."""
        shape = self("Shape", value)
        if axis < 0:  # Gather takes such since opset 11
            rank = self("Gather", self("Shape", shape), self.constant(0), axis=0)
            return self("Gather", shape, self("Add", rank, self.constant(axis)), axis=0)
        return self("Gather", shape, self.constant(axis), axis=0)


def _expand(node: ir.Node) -> None:
    graph = node.graph
    assert graph is not None
    count, attributes = node.attributes.get_int("num_scan_inputs", 0), node.attributes
    states, scanned = node.inputs[:-count], [value for value in node.inputs[-count:] if value is not None]
    axes = list(attributes.get_ints("scan_input_axes", [0] * count))
    is_reverse = list(attributes.get_ints("scan_input_directions", [0] * count))
    rows = len(node.outputs) - len(states)
    output_axes = list(attributes.get_ints("scan_output_axes", [0] * rows))
    output_reverse = list(attributes.get_ints("scan_output_directions", [0] * rows))
    add = _Adding(graph, node, f"{_prefix(node)}.scan")
    length = add.length(scanned[0], axes[0])
    body = _body_of(node)
    _count_trips(body, _prefix(node), scanned, axes, is_reverse, length)
    made = _loop(add, length, states, body)
    for place, (axis, reverse) in enumerate(zip(output_axes, output_reverse, strict=True)):
        value = made[len(states) + place]
        if reverse:
            ends = [add.constant([number]) for number in (-1, _INT64_MIN, 0, -1)]
            value = add("Slice", value, *ends, dtype=None)
        if axis:
            value = add(
                "Transpose", value, dtype=None, perm=_order(node, body.outputs[1 + len(states) + place], axis)
            )
        made[len(states) + place] = value
    _replace(node, made)


def _order(node: ir.Node, row: ir.Value, axis: int) -> list[int]:
    """The axes of an output as they are to stand, the stacked first one at `axis`."""
    if row.shape is None:
        raise ModelError(
            f"{called(node)} (Scan) puts its slices on axis {axis} of an output of unknown rank: state the "
            f"shape of {row.name!r}"
        )
    rank = len(row.shape) + 1
    order = list(range(1, rank))
    order.insert(axis if axis >= 0 else axis + rank, 0)
    return order


def _body_of(node: ir.Node) -> ir.Graph:
    body = node.attributes["body"].as_graph()
    del node.attributes["body"]
    return body


def _count_trips(
    body: ir.Graph,
    prefix: str,
    scanned: Sequence[ir.Value],
    axes: Sequence[int],
    is_reverse: Sequence[int],
    length: ir.Value,
) -> None:
    """Makes the body of a Scan that of a Loop, in which each slice is taken by the count of the trip."""
    trip, goes_on = _counted(prefix)
    slices = body.inputs[len(body.inputs) - len(scanned) :]
    first = next(iter(body), None)
    add = _Adding(body, first, f"{prefix}.body")
    back = None
    for value, x, axis, reverse in zip(slices, scanned, axes, is_reverse, strict=True):
        value.type = value.type or x.type
        if reverse and back is None:
            back = add("Sub", add("Sub", length, add.constant(1)), trip)
        made = add("Gather", x, back if reverse else trip, dtype=value.dtype, axis=axis)
        value.replace_all_uses_with(made, replace_graph_outputs=True)
    del body.inputs[len(body.inputs) - len(scanned) :]
    body.inputs[:0] = [trip, goes_on]
    body.outputs.insert(0, add("Identity", goes_on, dtype=ir.DataType.BOOL))


def _counted(prefix: str) -> tuple[ir.Value, ir.Value]:
    """What the body of a Loop is given before its states."""
    trip, goes_on = (
        ir.Value(name=f"{prefix}.{what}", type=ir.TensorType(dtype), shape=ir.Shape(()))
        for what, dtype in (("trip", ir.DataType.INT64), ("goes_on", ir.DataType.BOOL))
    )
    return trip, goes_on


def _prefix(node: ir.Node) -> str:
    """What the names of new nodes and values begin with: nothing else has the name of an output."""
    return next(value.name for value in node.outputs if value.name)


def _replace(node: ir.Node, values: Sequence[ir.Value]) -> None:
    graph = node.graph
    assert graph is not None
    for old, new in zip(node.outputs, values, strict=True):
        new.type = new.type or old.type
        if old.name:
            name, old.name = old.name, f"{old.name}.scan"
            new.name = name
        old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _expand_batch(node: ir.Node) -> None:
    """Of opset 8: what is scanned is [batch, length, ...], states are [batch, ...]."""
    graph = node.graph
    assert graph is not None
    count = node.attributes.get_int("num_scan_inputs", 0)
    lengths, *rest = node.inputs
    states, scanned = (
        rest[: len(rest) - count],
        [value for value in rest[len(rest) - count :] if value is not None],
    )
    is_reverse = list(node.attributes.get_ints("directions", [0] * count))
    inner = _body_of(node)
    prefix = _prefix(node)
    add = _Adding(graph, node, f"{prefix}.scan")
    samples = add.length(scanned[0], 0)
    outer = ir.Graph([], [], nodes=[], name=f"{prefix}.batch")
    sample, goes_on = _counted(f"{prefix}.batch")
    of_sample = _Adding(outer, None, f"{prefix}.sample")
    firsts = [
        of_sample("Gather", value, sample, dtype=value.dtype, axis=0) for value in states if value is not None
    ]
    xs = [of_sample("Gather", value, sample, dtype=value.dtype, axis=0) for value in scanned]
    whole = of_sample.length(xs[0], 0)
    length = whole
    if lengths is not None:
        length = of_sample("Cast", of_sample("Gather", lengths, sample, axis=0), to=ir.DataType.INT64.value)
    _count_trips(inner, prefix, xs, [0] * count, is_reverse, length)
    made = _loop(of_sample, length, firsts, inner)
    if lengths is not None:
        for place in range(len(states), len(made)):
            made[place] = _padded(of_sample, made[place], whole, length)
    outer.inputs.extend([sample, goes_on])
    outer.outputs.extend([of_sample("Identity", goes_on, dtype=ir.DataType.BOOL), *made])
    _replace(node, _loop(add, samples, [], outer))


def _padded(add: _Adding, value: ir.Value, whole: ir.Value, length: ir.Value) -> ir.Value:
    """The rows of a sample that is shorter than others, with rows of zeros behind them."""
    row = add("Gather", value, add.constant(0), dtype=value.dtype, axis=0)
    some = add("Cast", row, dtype=ir.DataType.BOOL, to=ir.DataType.BOOL.value)
    none = add("And", some, add("Not", some, dtype=ir.DataType.BOOL), dtype=ir.DataType.BOOL)
    assert value.dtype is not None
    zeros = add("Cast", none, dtype=value.dtype, to=value.dtype.value)
    body = ir.Graph([], [], nodes=[], name=f"{value.name}.zeros")
    trip, goes_on = _counted(f"{value.name}.zeros")
    inside = _Adding(body, None, f"{value.name}.zero")
    body.inputs.extend([trip, goes_on])
    rows = [inside("Identity", goes_on, dtype=ir.DataType.BOOL), inside("Identity", zeros, dtype=value.dtype)]
    body.outputs.extend(rows)
    (behind,) = _loop(add, add("Sub", whole, length), [], body)
    return add("Concat", value, behind, dtype=value.dtype, axis=0)


def _loop(add: _Adding, trips: ir.Value, states: Sequence[ir.Value | None], body: ir.Graph) -> list[ir.Value]:
    """Adds a Loop of so many trips, and gives its outputs. Up to opset 12, a Loop carries something."""
    carried = list(states) or [trips]
    if not states:
        own = ir.Value(
            name=f"{body.inputs[0].name}s", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(())
        )
        body.inputs.append(own)
        body.outputs.insert(1, _Adding(body, None, f"{own.name}.given")("Identity", own))
    loop = add.node("Loop", [trips, None, *carried], None, {"body": body}, len(body.outputs) - 1)
    for value, within in zip(loop.outputs, body.outputs[1:], strict=True):
        value.type = within.type
    return list(loop.outputs)[len(carried) - len(states) :]
