"""The Program: what is saved, what the numpy reference interprets, and what the runtime plans.

Nodes are in ONNX's logical layout and terms. Float nodes keep their ONNX names; integer nodes are explicit
and carry every integer that they need. Nothing here knows of layouts, tiles or machines.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

OPSET = 25
"""The ONNX operator set that every Program is in; a model on load is converted to it."""

MAX_RANK = 32
"""The most axes that a value can have."""

FORMAT_VERSION = 3
"""The newest artifact format that this code writes and reads."""

Attribute: TypeAlias = int | str | list[int] | np.float32 | np.float64 | list[np.float32]
"""An attribute of a node. Booleans are 0 and 1; floats are float32 unless the op states float64."""

DTYPES: dict[str, np.dtype[Any]] = {
    "u8": np.dtype("u1"),
    "i8": np.dtype("i1"),
    "i16": np.dtype("<i2"),
    "i32": np.dtype("<i4"),
    "i64": np.dtype("<i8"),
    "bool": np.dtype("?"),
    "f16": np.dtype("<f2"),
    "f32": np.dtype("<f4"),
    "f64": np.dtype("<f8"),
}
"""The dtypes that a value can have, beside the packed ones, and how each is stored."""

PACKED = {dtype: int(dtype[1:]) for dtype in ("u4", "i4", "u3", "i3", "u2", "i2")}
"""The dtypes of which several integers share a byte, and how many bits each has. Constants alone have them:
an array of bytes, the lowest bits first, while the value says the shape (`octavo.program.integers.pack`)."""


@dataclass(frozen=True, eq=False)
class Quant:
    """How the integers of a value stand for reals: `real = scale * (q - zero_point)`, formula (1).

    scale: float32, shape [1] (per tensor) or [C] (per channel along `axis`), finite and positive.
    zero_point: int64, the shape of `scale`; or float32, where integers stand for reals between those that
    an integer zero point gives.
    axis: the channel axis where per channel, else None.
    block: elements of `axis` that share one scale, or None where each channel has its own.
    """

    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int64] | npt.NDArray[np.float32]
    axis: int | None = None
    block: int | None = None

    def __repr__(self) -> str:
        if self.axis is None and len(self.scale) == 1:
            return f"Quant(scale {self.scale[0]:.6g}, zero point {self.zero_point[0]:.6g})"
        blocks = "" if self.block is None else f", blocks of {self.block}"
        return f"Quant({len(self.scale)} scales on axis {self.axis}{blocks})"


@dataclass(frozen=True)
class Value:
    """A tensor by name.

    dtype: a key of `DTYPES` or `PACKED`.
    shape: a number, or a symbol, an axis; None where even the rank is unknown.
    quant: for integers that stand for reals, else None.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None
    quant: Quant | None = None

    def __repr__(self) -> str:
        quant = "" if self.quant is None else f", {self.quant}"
        return f"Value({self.name!r}, {_typed(self)}{quant})"


@dataclass(frozen=True)
class Body:
    """A sub-program that a node runs, as a branch of an If.

    inputs, outputs: names of what the node gives it and takes from it. nodes: in topological order. Its
    values stand among the Program's, each under a name that no other value has; beside its own, its nodes
    read constants of the Program, and what the node reads that the body belongs to.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple["Node", ...]


@dataclass(frozen=True)
class Node:
    """One operation. Inputs and outputs name values; an empty name is one left out.

    bodies: its sub-programs, by ONNX's names for them (`octavo.program.bodies`). All that their nodes read
    from outside, constants apart, is among the inputs, behind those that the operator itself has.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    bodies: dict[str, Body] = field(default_factory=dict)

    def __repr__(self) -> str:
        ends = f"{_listed(self.inputs)} -> {_listed(self.outputs)}"
        inside = "".join(f"; {name}: {len(body.nodes)} nodes" for name, body in self.bodies.items())
        return f"Node({self.op} {self.name!r}: {ends}; {len(self.attributes)} attributes{inside})"


@dataclass(frozen=True, eq=False)
class Program:
    """A whole model: nodes in topological order over named values.

    inputs, outputs: names, in the model's order.
    values: every name that a node, `inputs`, `outputs` or `constants` uses.
    constants: the values known in advance; dtype and shape as their Value says, packed ones as bytes.
    preprocessing: how pictures become the inputs, in options of the command line; "" where that is not known.
    """

    inputs: list[str]
    outputs: list[str]
    values: dict[str, Value]
    constants: dict[str, npt.NDArray[Any]]
    nodes: list[Node]
    opset: int = OPSET
    format_version: int = FORMAT_VERSION
    producer: str = "octavo"
    preprocessing: str = ""

    def __repr__(self) -> str:
        ends = (
            _listed(f"{name} {_typed(self.values[name])}" if name in self.values else name for name in names)
            for names in (self.inputs, self.outputs)
        )
        size = sum(array.nbytes for array in self.constants.values())
        return f"Program({' -> '.join(ends)}; {len(self.nodes)} nodes, {size:,} bytes of constants)"


def all_nodes(nodes: Iterable[Node]) -> Iterator[Node]:
    """These nodes and those of their bodies, each node before what it holds, bodies by their names."""
    for node in nodes:
        yield node
        for name in sorted(node.bodies):
            yield from all_nodes(node.bodies[name].nodes)


def _typed(value: Value) -> str:
    shape = "?" if value.shape is None else ", ".join(str(size) for size in value.shape)
    return f"{value.dtype}[{shape}]"


def _listed(names: Iterable[str]) -> str:
    """Names on one line: some of them, where there are many."""
    listed = [(name if name.isprintable() else repr(name)) or "-" for name in names]
    return ", ".join(listed) if len(listed) <= 4 else f"{', '.join(listed[:3])} and {len(listed) - 3} more"
