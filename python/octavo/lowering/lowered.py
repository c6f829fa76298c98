"""What lowering gives: a Program, and where all of it came from."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import Affine
from octavo.lowering.partition import Stay
from octavo.program import Program


@dataclass(frozen=True)
class Lowered:
    """A Program, and what it remembers of the float Program that it was made of.

    stays: the float ops of the model that it still runs in float, in the graph's order, each with the reason.
    nodes: by the name of a node, the float nodes that it does; none of one that only converts. values: by the
    name of a value, the float value that it holds, in whatever form; none of tables and multipliers.
    forms: by the name of a float value, the form of its integers, where it has any. weights: by the name of
    a constant of integer weights, the reals that it was rounded from, in its shape.
    """

    program: Program
    stays: list[Stay] = field(default_factory=list)
    nodes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    forms: dict[str, Affine] = field(default_factory=dict)
    weights: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
