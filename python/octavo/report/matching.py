"""Which values and nodes of two Programs stand for the same, by the names that lowering leaves them.

A value that lowering converts keeps its name in one of its forms, and Quantize, Requantize and Dequantize
lead from that form to the others: what they link has one origin, so an artifact needs to remember none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.program import DTYPES, Node, Program, Quant, Value
from octavo.program.bodies import mentioned, renamed
from octavo.program.checks import COLUMNS
from octavo.program.integers import ACTIVATIONS, limits

Array = npt.NDArray[Any]

CONVERSIONS = ("Quantize", "Requantize", "Dequantize")


@dataclass(frozen=True)
class Layer:
    """A node of the second Program, and what it does in the first.

    inputs, outputs: by the names of values of the node's own Program, those of the first that they stand for.
    nodes: the nodes of the first that lead from `inputs` to `outputs`; none where the node only converts.
    """

    node: Node
    inputs: dict[str, str]
    outputs: dict[str, str]
    nodes: tuple[Node, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def output(self) -> str:
        """The first of its outputs that is compared."""
        return next(iter(self.outputs))


@dataclass(frozen=True)
class Matching:
    """values: by the name of a value of the second Program, the one of the first that stands for the same.

    layers: the nodes of the second that compute or round reals of which both have a form. alone: the names of
    those that no float part of the first matches, with the reason.
    """

    values: dict[str, str]
    layers: list[Layer]
    unmatched: dict[str, str]


def match(first: Program, second: Program) -> Matching:
    """The values and the layers that two Programs have in common."""
    values = _same_values(first, second)
    variable = _variable(second)
    layers, unmatched = [], {}
    for node in second.nodes:
        outputs = {name: values[name] for name in node.outputs if name in values}
        reads = [name for name in dict.fromkeys(node.inputs) if name in variable]
        if node.op == "Dequantize" or not reads or not any(is_real(second.values[name]) for name in outputs):
            continue
        missing = [name for name in reads if name not in values]
        if missing:
            unmatched[node.name] = f"its input {missing[0]!r} has no counterpart"
            continue
        inputs = {name: values[name] for name in reads}
        nodes = _between(first, set(inputs.values()), list(outputs.values()))
        if nodes is None:
            unmatched[node.name] = "it computes its outputs from other values"
        else:
            layers.append(Layer(node, inputs, outputs, nodes))
    for node in second.nodes:
        real = any(name and is_real(second.values[name]) for name in node.outputs)
        if real and node.op not in CONVERSIONS and not any(name in values for name in node.outputs):
            unmatched[node.name] = "its output has no counterpart"
    return Matching(values, layers, unmatched)


@dataclass(frozen=True)
class Shares(Quant):
    """Of columns whose shares make up what one index of the last axis is.

    zeros: the zero points by which they were quantized; `zero_point` has what 0 became. indices: those of the
    columns.
    """

    zeros: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    indices: Array = field(default_factory=lambda: np.zeros(0, np.int64))

    def together(self, columns: Array) -> Array:
        """The sums of each index's columns, float32 [..., indices]."""
        made = np.zeros((*columns.shape[:-1], int(self.indices.max()) + 1), np.float32)
        for column, index in enumerate(self.indices):
            made[..., index] += columns[..., column]
        return made


def values_of(program: Program) -> dict[str, Value]:
    """The values of a Program, with what their columns stand for where they have such."""
    values = dict(program.values)
    for node in program.nodes:
        quant = values[node.outputs[0]].quant if node.outputs and node.outputs[0] else None
        if node.op == "Quantize" and node.inputs[COLUMNS:] and quant is not None:
            zeros, indices = (program.constants[name] for name in node.inputs[COLUMNS - 1 :])
            name = node.outputs[0]
            shares = Shares(quant.scale, quant.zero_point, quant.axis, quant.block, zeros, indices)
            values[name] = replace(values[name], quant=shares)
    return values


def is_real(value: Value) -> bool:
    """Whether a value stands for reals: floats, or integers with a scale."""
    return value.quant is not None or DTYPES[value.dtype].kind == "f"


def reals(value: Value, array: Array) -> Array:
    """The reals that a value's elements stand for, float32: formula (3). Floats as they are."""
    if value.quant is None:
        return array
    scale, zero_point = _along(value.quant, array.ndim)
    if isinstance(value.quant, Shares):
        return value.quant.together(scale * (array.astype(np.float32) - zero_point))
    if value.quant.zero_point.dtype == np.float32:
        return np.asarray(scale * (array.astype(np.float32) - zero_point))
    return np.asarray(scale * (array.astype(np.int64) - zero_point).astype(np.float32))


def held(value: Value, array: Array) -> Array:
    """Reals as the value holds them: formulas (2), (2a) and (2b). Floats as they are."""
    if value.quant is None:
        return array
    scale, zero_point = _along(value.quant, array.ndim)
    if isinstance(value.quant, Shares):
        array, zero_point = array[..., value.quant.indices], value.quant.zeros
    low, high = bounds(value)
    with np.errstate(all="ignore"):
        if zero_point.dtype == np.float32:
            q = np.rint(array / scale + zero_point)
        else:
            q = np.rint(array / scale) + zero_point.astype(np.float32)
    q = np.where(np.isnan(q), np.rint(zero_point), q)
    return np.asarray(np.clip(q, low, high).astype(DTYPES[value.dtype]))


def ends(value: Value) -> tuple[Array, Array]:
    """The least and the greatest real that integers hold, of each scale or of each index of columns."""
    assert value.quant is not None
    scale, zero_point = value.quant.scale.astype(np.float64), value.quant.zero_point.astype(np.float64)
    least, greatest = (scale * (end - zero_point) for end in bounds(value))
    if isinstance(value.quant, Shares):
        return value.quant.together(least), value.quant.together(greatest)
    return least, greatest


def bounds(value: Value) -> tuple[int, int]:
    """The least and the greatest integer that a value is quantized to."""
    known = ACTIVATIONS.get(value.dtype)
    return limits(value.dtype) if known is None else (known.low, known.high)


def pieces(
    program: Program, parts: "Iterable[tuple[Iterable[Node], Iterable[str], Iterable[str]]]"
) -> Program:
    """Parts of a Program side by side, each cut off from the rest.

    parts: nodes, the values that are fed to them, and the values that they are asked for. Those of the part i
    are called `i:name`, so that each part has inputs and outputs of its own.
    """
    inputs: list[str] = []
    outputs: list[str] = []
    values: dict[str, Value] = {}
    constants: dict[str, Array] = {}
    nodes: list[Node] = []
    for index, (part, fed, asked) in enumerate(parts):

        def own(name: str, index: int = index) -> str:
            if not name or name in program.constants:
                return name
            return f"{index}:{name}"

        part = list(part)
        for node in part:
            for name in mentioned([node]) - {""}:
                values[own(name)] = replace(program.values[name], name=own(name))
                if name in program.constants:
                    constants[name] = program.constants[name]
            nodes.append(renamed(node, own, own))
        for name in fed:
            values[own(name)] = replace(program.values[name], name=own(name))
            inputs.append(own(name))
        outputs += [own(name) for name in asked]
    return replace(program, inputs=inputs, outputs=outputs, values=values, constants=constants, nodes=nodes)


def own_part(program: Program, layer: Layer) -> list[Node]:
    """A layer's node, behind the nodes that make its constants, such as weights that are stored."""
    nodes = _between(program, set(layer.inputs), list(layer.outputs))
    assert nodes is not None
    return list(nodes)


def _same_values(first: Program, second: Program) -> dict[str, str]:
    """By the name of each value of the second that is no constant, its counterpart in the first."""
    linked: dict[str, list[str]] = {}
    root = _roots(second)
    for name in root:
        linked.setdefault(root[name], []).append(name)
    there = _variable(first)
    found = {}
    for name, origin in root.items():
        real = is_real(second.values[name])
        alike = (
            other
            for other in (name, *linked[origin])
            if other in there and is_real(first.values[other]) == real
        )
        other = next(alike, None)
        if other is not None:
            found[name] = other
    return found


def _roots(program: Program) -> dict[str, str]:
    """By the name of each value that is no constant, the one that conversions made it from."""
    variable = _variable(program)
    roots = {name: name for name in program.inputs}
    for node in program.nodes:
        for name in filter(None, node.outputs):
            if name in variable:
                converted = node.op in CONVERSIONS and node.inputs[0] in variable
                roots[name] = roots[node.inputs[0]] if converted else name
    return roots


def _variable(program: Program) -> set[str]:
    """The values that depend on the inputs, or are made without any."""
    found = set(program.inputs)
    for node in program.nodes:
        reads = list(filter(None, node.inputs))
        if not reads or any(name in found for name in reads):
            found.update(filter(None, node.outputs))
    return found


def _between(program: Program, begins: set[str], ends: list[str]) -> tuple[Node, ...] | None:
    """The nodes that lead from some values to others; None where these depend on still other values."""
    needed, kept = set(ends) - begins, []
    for node in reversed(program.nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(name for name in node.inputs if name and name not in begins)
    made = {name for node in kept for name in node.outputs}
    if needed - made - program.constants.keys():
        return None
    return tuple(kept[::-1])


def _along(quant: Quant, rank: int) -> tuple[Array, Array]:
    """Scales and zero points, shaped to stand along their axis."""
    shape = [1] * rank
    if quant.axis is not None and rank:
        shape[quant.axis] = -1
    return quant.scale.reshape(shape), quant.zero_point.reshape(shape)
