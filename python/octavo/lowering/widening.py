"""Ops on dtypes that the Program's ops do not have, written out with those that they have.

float16 and float64 go through float32 where an op has no form of its own for them: a Cast before, one after.
A float16 is exactly a float32, so that such an op computes in float32 and rounds its result once.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.program import DTYPES, Body, Node, Program, Value, all_nodes
from octavo.program.bodies import with_bodies
from octavo.program.checks import ONNX_DTYPES
from octavo.program.ops import DTYPE_SETS, Slot, signatures

_WIDENED = ("f16", "f64")
_FLOATS = ("f16", "f32", "f64")
# Ops of which ONNX has forms of integers, but float32 alone computes.
_OF_FLOAT32 = ("ReduceLogSum", "ReduceLogSumExp")


def widened(program: Program) -> Program:
    """The Program whose ops all have the dtypes that their signatures ask for, as far as casts can do that.

    Pow's operands get one dtype. Clip of integers and float64, or by computed bounds, is Max and Min.
    """
    written = _Widening(dict(program.values), dict(program.constants), {}, {})
    nodes = written.write(program.nodes)
    every = list(all_nodes(nodes))
    read = {name for node in every for name in node.inputs} | set(program.outputs)
    read |= {name for node in every for body in node.bodies.values() for name in body.outputs}
    left = {source for source, _ in written.constants_cast} - read
    constants = {name: array for name, array in written.constants.items() if name not in left}
    values = {name: value for name, value in written.values.items() if name not in left}
    return replace(program, values=values, constants=constants, nodes=nodes)


class _Widening:
    """Nodes being written out, of a Program or of a body of one, whose values and constants these are.

    constants_cast, casts: what there is of constants in other dtypes, and of values that can be read here.
    """

    def __init__(
        self,
        values: dict[str, Value],
        constants: dict[str, npt.NDArray[Any]],
        constants_cast: dict[tuple[str, str], str],
        casts: dict[tuple[str, str], str],
    ) -> None:
        self.values = values
        self.constants = constants
        self.nodes: list[Node] = []
        self.constants_cast = constants_cast
        self.casts = casts

    def write(self, nodes: Iterable[Node]) -> list[Node]:
        """The nodes that these become."""
        for node in nodes:
            for plain in self._plain(node):
                self._widen(plain)
        return self.nodes

    def _in_body(self, body: Body) -> Body:
        inner = _Widening(self.values, self.constants, self.constants_cast, dict(self.casts))
        return replace(body, nodes=tuple(inner.write(body.nodes)))

    def _plain(self, node: Node) -> list[Node]:
        if node.bodies:
            bodies = {name: self._in_body(body) for name, body in node.bodies.items()}
            return [with_bodies(node, bodies, self.constants)]
        if node.op == "Pow":
            return self._power(node)
        if node.op == "Clip":
            return self._clip(node)
        if node.op in _OF_FLOAT32 and self.values[node.inputs[0]].dtype not in _FLOATS:
            return self._of_float32(node)
        if node.op == "Resize" and self.values[node.inputs[0]].dtype != "f32":
            return self._resize(node)
        return [node]

    def _resize(self, node: Node) -> list[Node]:
        """New values are of float32; integers are rounded, half to even, and clipped to their range."""
        crops = node.attributes["coordinate_transformation_mode"] == "tf_crop_and_resize"
        if node.attributes["mode"] == "nearest" and not crops:
            return [node]
        (output,) = node.outputs
        dtype = self.values[output].dtype
        made = self._new(f"{output}.f32", "f32", output)
        inputs = (self._cast(node.inputs[0], "f32"), *node.inputs[1:])
        nodes = [replace(node, inputs=inputs, outputs=(made,))]
        if dtype not in _FLOATS:
            made, source = self._new(f"{output}.rounded", "f32", output), made
            nodes.append(Node("Round", f"{node.name}.Round", (source,), (made,)))
        if dtype in ("u8", "i8", "i16"):
            info = np.iinfo(DTYPES[dtype])
            low, high = (self._scalar(f"{dtype} {n}", n) for n in (info.min, info.max))
            made, source = self._new(f"{output}.clipped", "f32", output), made
            nodes.append(Node("Clip", f"{node.name}.Clip", (source, low, high), (made,)))
        return [*nodes, self._cast_node(made, output)]

    def _scalar(self, name: str, number: int) -> str:
        """A float32 constant."""
        while name in self.values:
            name += "_"
        self.constants[name] = np.array(number, np.float32)
        self.values[name] = Value(name, "f32", ())
        return name

    def _of_float32(self, node: Node) -> list[Node]:
        """Of integers: those of float32, truncated."""
        (output,) = node.outputs
        made = self._new(f"{output}.f32", "f32", output)
        inputs = (self._cast(node.inputs[0], "f32"), *node.inputs[1:])
        return [replace(node, inputs=inputs, outputs=(made,)), self._cast_node(made, output)]

    def _power(self, node: Node) -> list[Node]:
        """Of integers: in the wider type of int32 and int64, whose low bits are those of the answer."""
        dtypes = {self.values[name].dtype for name in node.inputs}
        common = "f32" if dtypes & {*_FLOATS} else "i64" if "i64" in dtypes else "i32"
        inputs = tuple(self._cast(name, common) for name in node.inputs)
        (output,) = node.outputs
        if self.values[output].dtype == common:
            return [replace(node, inputs=inputs)]
        made = self._new(f"{output}.{common}", common, output)
        return [replace(node, inputs=inputs, outputs=(made,)), self._cast_node(made, output)]

    def _clip(self, node: Node) -> list[Node]:
        x, low, high = (*node.inputs, "", "")[:3]
        dtype = self.values[x].dtype
        known = all(name in self.constants for name in (low, high) if name)
        if known and dtype in ("f16", "f32"):
            return [node]
        bounds = [(op, bound) for op, bound in (("Max", low), ("Min", high)) if bound]
        if not bounds:
            return [Node("Identity", node.name, (x,), node.outputs)]
        (output,) = node.outputs
        between = [self._new(f"{output}.above", dtype, output)] if len(bounds) == 2 else []
        sources, made = [x, *between], [*between, output]
        return [
            Node(op, f"{node.name}.{op}", (source, bound), (y,))
            for (op, bound), source, y in zip(bounds, sources, made, strict=True)
        ]

    def _widen(self, node: Node) -> None:
        form = next((form for form in signatures()[node.op] if form.accepts(len(node.inputs))), None)
        if form is None:
            self.nodes.append(node)
            return
        inputs = tuple(
            self._cast(name, "f32") if name and self._goes_wide(node, slot, name) else name
            for slot, name in _slots(form.inputs, node.inputs)
        )
        wide = {
            name: self._new(f"{name}.f32", "f32", name)
            for slot, name in _slots(form.outputs, node.outputs)
            if name and self._goes_wide(node, slot, name)
        }
        outputs = tuple(wide.get(name, name) for name in node.outputs)
        after = [self._cast_node(made, name) for name, made in wide.items()]
        self.nodes += [replace(node, inputs=inputs, outputs=outputs), *after]

    def _goes_wide(self, node: Node, slot: Slot, name: str) -> bool:
        allowed = DTYPE_SETS.get(slot.dtype, (slot.dtype,))
        dtype = self.values[name].dtype
        is_wide = dtype in _WIDENED or node.op == "Shrink"  # whose attributes are floats whatever x is
        return is_wide and dtype not in allowed and "f32" in allowed

    def _cast(self, name: str, dtype: str) -> str:
        """The value as that dtype: itself, a constant, or what a Cast makes."""
        if self.values[name].dtype == dtype:
            return name
        casts = self.constants_cast if name in self.constants else self.casts
        made = casts.get((name, dtype))
        if made is None:
            made = casts[name, dtype] = self._new(f"{name}.{dtype}", dtype, name)
            if name in self.constants:
                with np.errstate(over="ignore"):
                    self.constants[made] = self.constants[name].astype(DTYPES[dtype])
            else:
                self.nodes.append(self._cast_node(name, made))
        return made

    def _cast_node(self, source: str, made: str) -> Node:
        to = ONNX_DTYPES[self.values[made].dtype]
        return Node("Cast", f"{source} to {made}", (source,), (made,), {"to": to})

    def _new(self, name: str, dtype: str, like: str) -> str:
        while name in self.values:
            name += "_"
        self.values[name] = Value(name, dtype, self.values[like].shape)
        return name


def _slots(slots: tuple[Slot, ...], names: tuple[str, ...]) -> list[tuple[Slot, str]]:
    """Each name with its slot: the last slot, if variadic, as often as needed."""
    return [(slots[min(place, len(slots) - 1)], name) for place, name in enumerate(names)]
