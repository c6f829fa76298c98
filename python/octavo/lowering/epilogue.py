"""What an integer op ends with: its output's form, and the clamp of a Relu or Clip that follows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import Affine
from octavo.lowering.capability import Kind
from octavo.lowering.decision import Decision, UnfitError
from octavo.lowering.wiring import Unit
from octavo.program import Attribute, Node


@dataclass(frozen=True)
class Epilogue:
    """output: the graph's value that the op gives, after the clamp lo..hi; affine: that value's form."""

    output: str
    affine: Affine
    lo: int
    hi: int

    def attributes(self) -> dict[str, Attribute]:
        """As the Program's nodes carry it."""
        return {"y_zero_point": self.affine.zero_point, "lo": self.lo, "hi": self.hi}


def epilogue(decision: Decision, unit: Unit) -> Epilogue:
    """The end of `unit`, with the Relu or Clip merged that alone reads it; that one is then done.

    Behind a rounding that the model gives, one is merged that leaves the form as it is.
    """
    output = unit.outputs[0]
    clip = decision.wiring.sole_reader(output)
    if unit.rounding and clip is not None and not _keeps_form(decision, output, clip.outputs[0]):
        clip = None
    bounds = None if clip is None else _bounds(decision, clip)
    if clip is not None and bounds is not None:
        decision.fused.add(clip.name)
        output = clip.outputs[0]
    form = decision.affine_of_channels(output) if unit.node.op == "Conv" else decision.affine(output)
    if bounds is None:
        return Epilogue(output, form, form.of.low, form.of.high)
    lo, hi = form.integers(np.array(bounds, np.float32))
    if form.channels is not None and (lo, hi) != (form.zero_point, form.of.high):
        raise UnfitError(f"{output!r} has a scale a channel, and its bounds would differ by channel")
    return Epilogue(output, form, int(lo), int(hi))


def _keeps_form(decision: Decision, before: str, behind: str) -> bool:
    try:
        return decision.affine(before) == decision.affine(behind)
    except UnfitError:
        return False


def _bounds(decision: Decision, clip: Unit) -> tuple[float, float] | None:
    """The bounds of a Relu or a Clip by constants that runs in integers, else None."""
    if not decision.is_integer(clip) or decision.kind(clip) is not Kind.UNARY:
        return None
    if clip.node.op not in ("Relu", "Clip"):
        return None
    low, high = clip_bounds(clip.node, decision.wiring.constant)
    return (low, high) if low <= high else None


def clip_bounds(node: Node, constant: Callable[[str], "npt.NDArray[Any] | None"]) -> tuple[float, float]:
    """The bounds of a Relu or a Clip, infinite where it has none; constant: what a name holds, if known."""
    if node.op == "Relu":
        return 0.0, np.inf
    bounds = [-np.inf, np.inf]
    for index, name in enumerate(node.inputs[1:]):
        array = constant(name) if name else None
        if array is not None:
            bounds[index] = float(array.reshape(-1)[0])
    return bounds[0], bounds[1]
