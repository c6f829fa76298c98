"""Which ranges: those under which the network errs least on samples that they were not taken from."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.calibration import Calibration, Feeds, RangeRule, Statistics
from octavo.lowering import Lowered
from octavo.program import Program, Value
from octavo.quantization.products import bias_in_reals, bias_of_reals, fits, products_of
from octavo.session import Session

FEWEST = 16
"""Samples of each half below which nothing can be told from it: the first rule stands then."""

GAIN = 10**0.05
"""What another candidate must divide the error by, 0.5 dB, to be taken."""

_MEMORY = 1 << 26
"""Bytes of float answers that are held."""


@dataclass(frozen=True)
class Candidate:
    """One way from statistics to forms.

    rule: how a tensor's range is taken. alpha: the exponent of scales a channel for the inputs of depthwise
    convolutions; None where these have one scale.
    """

    rule: RangeRule
    alpha: float | None = None

    @property
    def name(self) -> str:
        """What a report calls it."""
        return self.rule.name + ("" if self.alpha is None else f" with channel scales ({self.alpha:g})")


LowerBy = Callable[[Statistics, Candidate], Lowered]


@dataclass(frozen=True)
class Choice:
    """taken: the candidate. errors: of each that was tried, by its name, as shares of the signal."""

    taken: Candidate
    errors: dict[str, float] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """The ratio of signal to error of each candidate that was tried, in dB, 300 at most."""
        return {name: -10 * math.log10(max(error, 1e-30)) for name, error in self.errors.items()}


def choose(
    floats: Program,
    calibration: Calibration,
    rules: Sequence[RangeRule],
    alphas: Sequence[float],
    made: Lowered,
    lower_by: LowerBy,
    threads: int | None,
) -> Choice:
    """The candidate whose forms, taken from one half of the samples, do best on the other, and the reverse.

    First among the rules, then among the alphas with the rule that was taken. made: the network with weights
    made for it; they are used under all candidates.
    """
    candidates, kept = [Candidate(rule) for rule in rules], calibration.kept.halves
    if len(rules) + len(alphas) == 1 or min(len(half) for half in kept) < FEWEST:
        return Choice(candidates[0])
    judges, errors = [Judge(floats, half, threads) for half in kept], dict[str, float]()

    def error(candidate: Candidate) -> float:
        if candidate.name not in errors:
            pair = [with_weights(floats, made, lower_by(half, candidate)) for half in calibration.halves]
            errors[candidate.name] = sum(
                judge.error(other.program) for judge, other in zip(judges, pair[::-1], strict=True)
            )
        return errors[candidate.name]

    def best(candidates: list[Candidate]) -> Candidate:
        least = min(candidates, key=error)
        return least if error(least) * GAIN < error(candidates[0]) else candidates[0]

    taken = best(candidates)
    taken = best([taken, *(Candidate(taken.rule, alpha) for alpha in alphas)])
    return Choice(taken, errors)


class Judge:
    """Tells how far another Program's answers over some samples are from those in float."""

    def __init__(self, floats: Program, feeds: Sequence[Feeds], threads: int | None) -> None:
        self._threads = threads
        self._names = [name for name in floats.outputs if floats.values[name].dtype == "f32"]
        session, size = Session(floats, threads), 0
        self._feeds: list[Feeds] = []
        self._answers: list[list[npt.NDArray[Any]]] = []
        for sample in feeds:
            answers = session.run(self._names, sample) if self._names else []
            size += sum(answer.nbytes for answer in answers)
            if self._feeds and size > _MEMORY:
                break
            self._feeds.append(sample)
            self._answers.append(answers)
        columns = zip(*self._answers, strict=True)
        self._signals = [sum(_squares(answer) for answer in answers) for answers in columns]

    def error(self, program: Program) -> float:
        """The sum over the outputs of the squared error as a share of the squared signal."""
        session = Session(program, self._threads)
        noises = [0.0] * len(self._signals)
        for sample, answers in zip(self._feeds, self._answers, strict=True):
            made = session.run(self._names, sample) if self._names else []
            for index, (answer, other) in enumerate(zip(answers, made, strict=True)):
                noises[index] += _squares(answer - other.astype(np.float64))
        pairs = zip(noises, self._signals, strict=True)
        return sum(noise / signal for noise, signal in pairs if signal > 0)


def _squares(array: npt.NDArray[Any]) -> float:
    """The sum of squares of the finite elements, in the order of the elements on every machine."""
    wide = array.astype(np.float64).ravel()
    squares = np.where(np.isfinite(wide), wide * wide, 0.0)
    return float(np.cumsum(squares)[-1]) if len(squares) else 0.0


def with_weights(floats: Program, made: Lowered, lowered: Lowered) -> Lowered:
    """A network lowered by other ranges with the weights and biases of one whose weights were made."""
    source = {product.node.name: product for product in products_of(floats, made)}
    program = replace(lowered.program, constants=dict(lowered.program.constants))
    for product in products_of(floats, lowered):
        known = source.get(product.node.name)
        if known is None:
            continue
        node, weight = product.node, made.program.constants[known.weight]
        if not _same_scales(program.values[product.weight], made.program.values[known.weight]):
            continue
        reals = bias_in_reals(made.program, known.node)
        bias = bias_of_reals(program, node, reals)
        if fits(program, node, weight, bias):
            program.constants.update({product.weight: weight, product.bias: bias})
    return replace(lowered, program=program)


def _same_scales(one: Value, other: Value) -> bool:
    if one.quant is None or other.quant is None:
        return False
    return np.array_equal(one.quant.scale, other.quant.scale)
