"""What is decided about a float Program before a node of the integer one is written.

Each unit that can run in integers is fitted: every integer that its node will carry is computed. One that
does not fit stays float, and the rest is decided anew around it, on the weights that are made already.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import Affine
from octavo.lowering.capability import Kind
from octavo.lowering.forms import NOT_GIVEN, Forms
from octavo.lowering.grids import TakenIn, taken_in, weights_taken_in
from octavo.lowering.partition import Partition, Stay
from octavo.lowering.sharing import Sharing
from octavo.lowering.speed import is_depthwise
from octavo.lowering.weights import Nearest, Weights, given_weights, nearest_weights, quantize_weights
from octavo.lowering.widths import Widths
from octavo.lowering.wiring import Unit, Wiring
from octavo.program.arithmetic import multipliers_shifts
from octavo.program.integers import INT16, Integers

Kept = dict[str, tuple[str, bool]]
"""Names of nodes that stay float, each with the reason and whether that was asked for."""

ONE = np.float32(1)

Made = dict[str, tuple[tuple[TakenIn, Integers, bool], Nearest | str]]
"""By the unit, what its weights have last taken in, what they are held in, and whether each channel has a
scale; and the integers that they became, or why they cannot."""

Arrange = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""From the shape that the float model has its weights in to [K, C]."""


class UnfitError(Exception):
    """A unit that looked fit for integers is not, now that its numbers are known. The text says why.

    value: the one that has no form, where that is why.
    """

    def __init__(self, text: str, value: str | None = None) -> None:
        super().__init__(text)
        self.value = value


class Decision:
    """Which units run in integers, in what forms, and with what integers.

    partition: which units those are. fits: by the name of a unit, what its family fitted it with, None where
    its node is not needed. fused: names of units that another does. sums: by the names of those of them that
    are Adds, the products that do them. scaled: values that a product gives with a scale a channel.
    """

    def __init__(self, wiring: Wiring, forms: Forms, made: Made | None = None) -> None:
        self.wiring = wiring
        given = wiring.given
        self.forms = replace(
            forms, given={**forms.given, **given.forms}, weights={**forms.weights, **given.weights}
        )
        self.partition: Partition
        self._widths: Widths
        self._sharing: Sharing
        self.fits: dict[str, Any] = {}
        self.fused: set[str] = set()
        self.sums: dict[str, Unit] = {}
        self.scaled: set[str] = set()
        self._nearest: Made = {} if made is None else made

    def decide(self, kept: Kept, fit: Callable[["Decision", Unit], Any]) -> None:
        """Fit every unit by `fit`. One for which it raises `UnfitError` is kept in float."""
        kept = dict(kept)
        while True:
            self.partition = Partition(self.wiring, kept, self.forms)
            self._widths = Widths(self.partition, self.forms)
            self._sharing = Sharing(self.partition, self.forms, self._widths)
            unfit = self._sharing.unfit or self._first_unfit(fit)
            if unfit is None:
                return
            units, reason = unfit
            kept |= {unit.name: (reason, False) for unit in units}

    @property
    def stays(self) -> list[Stay]:
        """The ops of the model that stay float, in the graph's order."""
        return [stay for stay in self.partition.stays if stay.name not in self.fused]

    def written(self) -> Iterator[Unit]:
        """The units in the order of their nodes: a product that does an Add stands in that one's place."""
        adding = {product.name for product in self.sums.values()}
        for unit in self.wiring.units:
            if unit.name not in adding:
                yield self.sums.get(unit.name, unit)

    def is_integer(self, unit: Unit) -> bool:
        """Whether the unit runs in integers."""
        return self.partition.is_integer(unit)

    def kind(self, unit: Unit) -> Kind:
        """The kind of a unit that has an integer form."""
        return self.partition.kind(unit)

    def affine(self, name: str) -> Affine:
        """The form of a value in integers, one scale a tensor; raises `UnfitError` where it has none."""
        found = self.affine_of_channels(name)
        if found.channels is not None:
            raise UnfitError(f"{name!r} has a scale a channel, which depthwise convolutions alone can read")
        return found

    def affine_of_channels(self, name: str) -> Affine:
        """The same where a scale a channel will do as well."""
        found = self._sharing.affine(name)
        if isinstance(found, str):
            raise UnfitError(found, name)
        return found

    def computes_on(self, unit: Unit) -> Integers:
        """What a unit that runs in integers computes on."""
        return self._widths.of_unit(unit)

    def read(self, unit: Unit, name: str) -> Affine:
        """The form in which a unit reads a value, one scale a tensor: that of the unit's integers."""
        return self._in_integers(name, self.affine(name), self.computes_on(unit))

    def comes_in_float(self, name: str) -> bool:
        """Whether a value is made of floats by each reader on its own: no integer unit gives it."""
        producer = self.wiring.producer.get(name)
        is_held = producer is not None and self.is_integer(producer)
        return not is_held and name not in self.wiring.rounded

    def _in_integers(self, name: str, held: Affine, of: Integers) -> Affine:
        """The form of a value that is held in another, in these integers."""
        if held.of is of:
            return held
        if of is INT16 and not self.comes_in_float(name):
            return held.widened()
        form = self._sharing.in_integers(name, of)
        if isinstance(form, str):
            raise UnfitError(form, name)
        return form

    def input_of_product(self, unit: Unit) -> Affine:
        """The form of what a product multiplies by its weights."""
        name, weight = unit.node.inputs[0], self.wiring.value(unit.node.inputs[1]).shape
        takes_channels = unit.node.op == "Conv" and is_depthwise(unit.node, weight)
        if takes_channels and name in self.scaled:
            return self._in_integers(name, self.affine_of_channels(name), self.computes_on(unit))
        return self.read(unit, name)

    def requantizer(self, factor: float, of: Integers) -> tuple[int, int]:
        """(M, S) of a real factor of what comes in these integers.

        Raises `UnfitError` where the factor is too large for the rule.
        """
        multiplier, shift = self.requantizers(np.array([factor]), of)
        return int(multiplier[0]), int(shift[0])

    def requantizers(
        self, factors: npt.NDArray[np.float64], *of: Integers
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """The same of several; of: what comes, and what is made of it."""
        multiplier, shift = multipliers_shifts(factors)
        beyond = (multiplier == 0) | (shift < max(each.shift_min for each in of))
        if beyond.any():
            factor = factors[beyond][0]
            raise UnfitError(f"its output's scale is {factor:.3g} times too fine for its sums")
        return multiplier, shift

    def weights(
        self,
        unit: Unit,
        arrange: Arrange,
        bias: npt.NDArray[np.float64] | None,
        alpha: np.float32 = ONE,
        least_scale: float = 0.0,
    ) -> Weights:
        """The weights, times alpha, and the bias of a product in integers; `UnfitError` where they cannot be.

        bias: float64 [C] to become integers, None where it stays float. least_scale: of derived weights.
        """
        x, given = self.input_of_product(unit), self.forms.weights.get(unit.node.inputs[1])
        if given is not None:
            integers = arrange(given.integers)
            scales = arrange(np.broadcast_to(given.scale, given.integers.shape)) * alpha
            made = given_weights(integers, scales, bias, x)
        elif not self.forms.derives:
            raise UnfitError(f"its weights have no scale: {NOT_GIVEN}")
        else:
            nearest = self._nearest_weights(unit, arrange, alpha, x)
            made = (
                nearest
                if isinstance(nearest, str)
                else quantize_weights(nearest, bias, x, least_scale=least_scale)
            )
        if isinstance(made, str):
            raise UnfitError(made)
        return made

    def _nearest_weights(self, unit: Unit, arrange: Arrange, alpha: np.float32, x: Affine) -> Nearest | str:
        """The weights of a product without its bias: made once, whatever the ranges of what they multiply."""
        of, per_channel, made = self.forms.weights_of, self.forms.per_channel, self._nearest.get(unit.name)
        how = taken_in(x), of, per_channel
        if made is None or made[0] != how:
            weight = self.wiring.constant(unit.node.inputs[1])
            assert weight is not None
            reals = weights_taken_in(x, np.float64(alpha) * arrange(weight).astype(np.float64))
            made = how, nearest_weights(reals.astype(np.float32), of, per_channel=per_channel)
            self._nearest[unit.name] = made
        return made[1]

    def _first_unfit(self, fit: Callable[["Decision", Unit], Any]) -> tuple[list[Unit], str] | None:
        self.fits, self.fused, self.sums, self.scaled = {}, set(), {}, set()
        for unit in self.wiring.units:
            if self.is_integer(unit):
                try:
                    self.fits[unit.name] = fit(self, unit)
                except UnfitError as unfit:
                    return self._unfit(unit, unfit.value), str(unfit)
        return None

    def _unfit(self, unit: Unit, value: str | None) -> list[Unit]:
        """The units that stay float for want of a value's form: the readers of what a product can give so."""
        if value is None or value in unit.node.inputs or self.kind(unit) is not Kind.PRODUCT:
            return [unit]
        readers = self.wiring.readers.get(value, [])
        return [reader for reader in readers if self.partition.takes_integers(reader)] or [unit]
