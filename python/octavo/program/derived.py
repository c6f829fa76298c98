"""The multipliers and shifts of products that scales give: an artifact does not hold what follows from them.

Formulas (7), (8) and, for a residual, (9b) of docs/arithmetic.md.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from octavo.program import Node, Program, Quant, Value, all_nodes
from octavo.program.arithmetic import multipliers_shifts, residual_multipliers_shifts
from octavo.program.ops import marked

Int32s = npt.NDArray[np.int32]
Float64 = npt.NDArray[np.float64]

PLAIN, WITH_RESIDUAL = 5, 8
"""Inputs of a product by weights that requantizes: x, w, bias, multiplier, shift; then r with its own two."""


def left_out(program: Program) -> frozenset[str]:
    """The constants of a Program that an artifact leaves out: what is read once, and given by scales."""
    nodes = list(all_nodes(program.nodes))
    given_on = Counter(name for node in nodes for body in node.bodies.values() for name in body.outputs)
    reads = Counter(name for node in nodes for name in node.inputs) + Counter(program.outputs) + given_on
    return frozenset(
        name
        for name, given in _given(program.values, nodes)
        if reads[name] == 1
        and name in program.constants
        and (program.values[name].dtype, program.values[name].quant) == ("i32", None)
        and np.array_equal(program.constants[name], given)
    )


def derived(values: Mapping[str, Value], nodes: Iterable[Node]) -> dict[str, Int32s]:
    """What an artifact of these nodes with these values left out, by name.

    A name that no scales give stays as it is: not described.
    """
    found: dict[str, Int32s] = {}
    for name, given in _given(values, all_nodes(nodes)):
        if name not in values:
            found.setdefault(name, given)
    return found


def _given(values: Mapping[str, Value], nodes: Iterable[Node]) -> Iterator[tuple[str, Int32s]]:
    """What scales give for the multipliers and shifts of nodes.

    Only the first that reads some weights has its own, so that there are no more of them than scales.
    """
    seen = set()
    for node in nodes:
        if node.op not in marked("weighs") or len(node.inputs) not in (PLAIN, WITH_RESIDUAL):
            continue
        weights = node.inputs[1]
        if weights not in seen:
            seen.add(weights)
            with np.errstate(all="ignore"):
                yield from zip(_places(node), _of_node(values, node), strict=False)


def _places(node: Node) -> list[str]:
    return [*node.inputs[3:5], *node.inputs[6:]]


def _of_node(values: Mapping[str, Value], node: Node) -> list[Int32s]:
    """The multipliers and shifts of a product and of its residual, [C] each; none where scales give none."""
    names = (node.inputs[0], node.inputs[1], node.outputs[0] if node.outputs else "", *node.inputs[5:6])
    forms = [values[name].quant if name in values else None for name in names]
    if forms[1] is None:
        return []
    count = len(forms[1].scale)
    scales = [_scales(form, count) for form in forms]
    if any(scale is None for scale in scales):
        return []
    x, w, y, *residual = (scale for scale in scales if scale is not None)
    found = list(multipliers_shifts(x * w / y))
    if not found[0].all():
        return []
    for r in residual:
        joined = residual_multipliers_shifts(r / (x * w))
        if joined is None:
            return []
        found += joined
    return found


def _scales(form: Quant | None, count: int) -> Float64 | None:
    """The scales of so many channels, float64 [1] or [count]; None where there are none, or not so many.

    Those of a grid are 1: the weights have taken its scales in.
    """
    if form is None or len(form.scale) not in (1, count):
        return None
    if not np.all((form.scale > 0) & np.isfinite(form.scale)):
        return None
    is_grid = form.axis is not None and form.zero_point.dtype == np.float32
    return np.ones(1) if is_grid else form.scale.astype(np.float64)
