"""Names of values, and shapes of what Loops carry: what sub-graphs ask for beside the graph around them."""

import onnx_ir as ir

from octavo.program.bodies import COUNTED

Axes = tuple[int | str | None, ...]


def name_apart(model: ir.Model) -> None:
    """Gives values of sub-graphs names that no other value has, in place; branches may have the same."""
    taken = {value.name for value in _values(model.graph)}
    for graph in model.graph.subgraphs():
        for value in _values(graph):
            name, number = value.name, 1
            while value.name in taken:
                number += 1
                value.name = f"{name}_{number}"
            if value.name:
                taken.add(value.name)


def _values(graph: ir.Graph) -> list[ir.Value]:
    """What a graph is given, stores and makes, each once."""
    made = [output for node in graph for output in node.outputs if output.name]
    return list(dict.fromkeys([*graph.inputs, *graph.initializers.values(), *made]))


class Carried:
    """The shapes that Loops' states keep from trip to trip: of the first state, as far as each trip keeps it.

    A file may state them wrongly, as exporters do that have seen one trip alone.
    """

    def __init__(self, model: ir.Model) -> None:
        self._loops = [node for node in model.graph.all_nodes() if _is_loop(node)]
        self._known: dict[ir.Value, Axes | None] = {}
        for loop in self._loops:
            for state in _body(loop).inputs[COUNTED:]:
                state.shape = None

    def __bool__(self) -> bool:
        return bool(self._loops)

    def learn(self) -> bool:
        """Take over what the last inference found; whether that differs from what it was made with."""
        changed = False
        for loop in self._loops:
            body = _body(loop)
            for place, state in enumerate(body.inputs[COUNTED:]):
                first, after = loop.inputs[COUNTED + place], body.outputs[1 + place]
                shape = _axes(first)
                if state in self._known:
                    shape = _joined(self._known[state], shape, state)
                    shape = _joined(shape, _axes(after), state)
                elif shape is None:
                    continue  # what is before may be known the next time
                changed |= state not in self._known or shape != self._known[state]
                self._known[state] = shape
        return changed

    def forget(self) -> None:
        """Know nothing of any state."""
        self._known = dict.fromkeys(self._known, None)

    def state(self) -> None:
        """Write what is known into the values."""
        for loop in self._loops:
            for place, state in enumerate(_body(loop).inputs[COUNTED:]):
                first = loop.inputs[COUNTED + place]
                state.type = state.type or (
                    None if first is None else first.type
                )  # as bodies of ONNX's leave it
                shape = self._known.get(state)
                if shape is not None:
                    state.shape = ir.Shape(shape)
                    if place < len(loop.outputs):
                        loop.outputs[place].shape = ir.Shape(shape)
                else:
                    state.shape = None


def _is_loop(node: ir.Node) -> bool:
    return node.op_type == "Loop" and node.domain == ""


def _body(loop: ir.Node) -> ir.Graph:
    return loop.attributes["body"].as_graph()


def _axes(value: ir.Value | None) -> Axes | None:
    if value is None or value.shape is None:
        return None
    return tuple(axis if isinstance(axis, int) else axis.value for axis in value.shape)


def _joined(known: Axes | None, other: Axes | None, state: ir.Value) -> Axes | None:
    """What two shapes have in common; an axis that a trip takes over from the state is no other."""
    if known is None or other is None or len(known) != len(other):
        return None
    own = _axes(state)
    return tuple(
        axis if axis == there or (own is not None and there is not None and there == own[place]) else None
        for place, (axis, there) in enumerate(zip(known, other, strict=True))
    )
