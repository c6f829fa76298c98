"""The products of an integer Program that were rounded from floats, and where their float results are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from octavo.lowering import Affine, Lowered
from octavo.lowering.epilogue import clip_bounds
from octavo.lowering.weights import reach_of
from octavo.program import Node, Program
from octavo.program.arithmetic import residual_reach
from octavo.program.attributes import integer
from octavo.program.checks import RESIDUAL, x_zero_points
from octavo.program.integers import ACTIVATIONS
from octavo.program.ops import marked
from octavo.program.scales import scale_of_sums

Integers = npt.NDArray[np.signedinteger]


@dataclass(frozen=True)
class Product:
    """A product by weights, at `place` among the nodes, with weights and a bias of its own.

    before: the float value that its own sums stand for; behind: that value behind the activation which the
    node does as well, or the same value. low, high: the bounds of that activation. One behind the sum with a
    residual is left out: what the product adds to that is right on the average where its own result is.
    """

    place: int
    node: Node
    before: str
    behind: str
    low: float
    high: float

    @property
    def weight(self) -> str:
        """The constant of its weights."""
        return self.node.inputs[1]

    @property
    def bias(self) -> str:
        """The constant of its bias."""
        return self.node.inputs[2]

    @property
    def has_activation(self) -> bool:
        """Whether it does an activation as well."""
        return self.before != self.behind


def products_of(floats: Program, lowered: Lowered) -> list[Product]:
    """The products of weights that `lowered` rounded, in order; those that share a constant are left out."""
    floats_by_name = {node.name: node for node in floats.nodes}
    readers, found = readers_of(lowered.program), []
    for place, node in enumerate(lowered.program.nodes):
        if node.op not in marked("weighs") or node.inputs[1] not in lowered.weights:
            continue
        if len(readers[node.inputs[1]]) > 1 or len(readers[node.inputs[2]]) > 1:
            continue
        *_, last = done = [floats_by_name[name] for name in lowered.nodes[node.name]]
        behind = lowered.values[node.outputs[0]]
        is_clipped = last.op in ("Relu", "Clip")
        if node.inputs[RESIDUAL:]:
            behind = done[-3 if is_clipped else -2].outputs[0]  # before the Add
            is_clipped = False
        low, high = clip_bounds(last, floats.constants.get) if is_clipped else (-np.inf, np.inf)
        found.append(Product(place, node, last.inputs[0] if is_clipped else behind, behind, low, high))
    return found


def readers_of(program: Program) -> dict[str, list[Node]]:
    """The nodes that read each value, once for each time that they do."""
    readers: dict[str, list[Node]] = {}
    for node in program.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    return readers


def fits(program: Program, node: Node, weight: Integers, bias: npt.NDArray[np.generic]) -> bool:
    """Whether no sum of a product with these weights and this bias leaves its accumulator: the bound (5)."""
    of = ACTIVATIONS[program.values[node.inputs[0]].dtype]
    zero_point = max(x_zero_points(program, node), key=of.reach)
    columns = weight if node.op == "QGemm" else weight.reshape(len(weight), -1).T
    reach = reach_of(columns, Affine(np.float32(1), zero_point, of))
    if bias.dtype != np.float32:
        reach = reach + np.abs(bias.astype(np.float64))
    if node.inputs[RESIDUAL:]:
        factors = [program.constants[name] for name in node.inputs[RESIDUAL + 1 :]]
        reach = reach + residual_reach(integer(node, "r_zero_point"), *factors)
    return bool(np.all(reach < of.sum_end))


def bias_in_reals(program: Program, node: Node) -> npt.NDArray[np.float64]:
    """The bias of a product, float64 [channels]."""
    bias = program.constants[node.inputs[2]]
    unit = 1.0 if bias.dtype == np.float32 else scale_of_sums(program, node)
    return np.asarray(bias.astype(np.float64) * unit)


def bias_of_reals(
    program: Program, node: Node, reals: npt.NDArray[np.float64]
) -> "npt.NDArray[np.float32] | Integers":
    """The bias of a product as its node takes it."""
    dtype = program.constants[node.inputs[2]].dtype
    if dtype == np.float32:
        return reals.astype(np.float32)
    end = ACTIVATIONS[program.values[node.inputs[0]].dtype].sum_end - 1
    return np.clip(np.rint(reals / scale_of_sums(program, node)), -end, end).astype(dtype)
