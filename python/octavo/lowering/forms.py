"""Forms: what lowering goes by. Of a tensor, its scale, zero point and integers; of weights, the integers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import Affine, Range
from octavo.program.integers import INT8, UINT8, Integers

NOT_GIVEN = "the model gives none, and there were no data"
"""Why a value has no form where none is derived."""


@dataclass(frozen=True)
class GivenWeights:
    """Weights that are integers already, in the shape that the float model has them.

    integers: of `Forms.weights_of`. scale: float32, of as many axes, or fewer, that broadcast to theirs; the
    zero point is 0.
    """

    integers: npt.NDArray[Any]
    scale: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Forms:
    """Forms that are given, by a model or by a person, and ranges to derive the others from.

    ranges: of float32 values, by name, as they were observed. given: of values, by name: they are taken as
    they are. weights: by the name of the float constant. activations, weights_of: the integers that derived
    forms have. per_channel: whether derived weights have one scale an output channel, or one a tensor. grids:
    of inputs and of what comes in float, by name, taken where all that reads them in integers can take in
    what is not plain about them. A function of one tensor that gives one of them stays float. derives:
    whether what has no given form is derived one; it stays float else, weights and constants too.
    integers_only: whether all runs in integers that can, outputs among it, though float were faster or more
    precise.

    Of a model that mixes integers: nodes: by the name of a node, the activations that it computes on in place
    of `activations`. ranges_in: by the dtype of integers, the ranges of what is held in such, in place of
    `ranges`. narrow: by the name of a value that is held in int16, its form for readers on uint8, which is
    derived else.
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    given: Mapping[str, Affine] = field(default_factory=dict)
    weights: Mapping[str, GivenWeights] = field(default_factory=dict)
    activations: Integers = UINT8
    weights_of: Integers = INT8
    per_channel: bool = True
    grids: Mapping[str, Affine] = field(default_factory=dict)
    derives: bool = True
    integers_only: bool = False
    nodes: Mapping[str, Integers] = field(default_factory=dict)
    ranges_in: Mapping[str, Mapping[str, Range]] = field(default_factory=dict)
    narrow: Mapping[str, Affine] = field(default_factory=dict)

    def integers_of(self, names: Iterable[str]) -> Integers:
        """What the nodes of these names, which one op does, are to compute on."""
        return next((self.nodes[name] for name in names if name in self.nodes), self.activations)
