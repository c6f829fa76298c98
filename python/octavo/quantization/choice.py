"""Which ranges: those under which the network errs least on samples that they were not taken from."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from octavo.calibration import RangeRule, Statistics
from octavo.lowering import Lowered
from octavo.program import Program, Value
from octavo.quantization.judge import Judge
from octavo.quantization.products import bias_in_reals, bias_of_reals, fits, products_of

FEWEST = 16
"""Samples of each half below which nothing can be told from it: the first rule stands then."""

ROUGHLY = 16
"""Samples that weights are made for with which all candidates are tried: their errors have to be small beside
those of the ranges, no more."""

GAIN = 10**0.05
"""What another candidate must divide the error by, 0.5 dB, to be taken."""


@dataclass(frozen=True)
class Candidate:
    """One way from statistics to forms.

    rule: how a tensor's range is taken. alpha: the exponent of scales a channel for the inputs of depthwise
    convolutions; None where these have one scale. features: whether what matrix products read has a scale a
    feature.
    """

    rule: RangeRule
    alpha: float | None = None
    features: bool = False

    @property
    def name(self) -> str:
        """What a report calls it."""
        scales = ["feature scales"] if self.features else []
        scales += [] if self.alpha is None else [f"channel scales ({self.alpha:g})"]
        return self.rule.name + (f" with {' and '.join(scales)}" if scales else "")


LowerBy = Callable[[Statistics, Candidate], Lowered]


@dataclass(frozen=True)
class Choice:
    """taken: the candidate. errors: of each that was tried, by its name, as shares of the signal."""

    taken: Candidate
    errors: dict[str, float] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """The ratio of signal to error of each candidate that was tried, in dB, 300 at most."""
        return {name: -10 * math.log10(max(error, 1e-30)) for name, error in self.errors.items()}


Step = Callable[[Candidate], Sequence[Candidate]]
"""From the candidate that was taken so far to others."""


def choose(
    halves: Sequence[Statistics],
    judges: Sequence[Judge],
    start: Candidate,
    steps: Sequence[Step],
    lower_by: LowerBy,
) -> Choice:
    """The candidate whose forms, taken from one half of the samples, do best on the other, and the reverse.

    From `start` on, step by step among the one taken so far and others. halves: the statistics of each;
    judges: of samples of each.
    """
    errors: dict[str, float] = {}

    def error(candidate: Candidate) -> float:
        if candidate.name not in errors:
            pair = [lower_by(half, candidate) for half in halves]
            errors[candidate.name] = sum(
                judge.error(other) for judge, other in zip(judges, pair[::-1], strict=True)
            )
        return errors[candidate.name]

    taken = start
    for step in steps:
        least = min([taken, *step(taken)], key=error)
        taken = least if error(least) * GAIN < error(taken) else taken
    return Choice(taken, errors)


def with_weights(floats: Program, made: Lowered, lowered: Lowered) -> Lowered:
    """A network lowered by other ranges with the weights and biases of one whose weights were made."""
    source = {product.node.name: product for product in products_of(floats, made)}
    program = replace(lowered.program, constants=dict(lowered.program.constants))
    for product in products_of(floats, lowered):
        known = source.get(product.node.name)
        if known is None:
            continue
        node, weight = product.node, made.program.constants[known.weight]
        if not np.array_equal(lowered.weights[product.weight], made.weights[known.weight]):
            continue
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


def with_features(candidate: Candidate) -> list[Candidate]:
    """The candidate with a scale a feature."""
    return [replace(candidate, features=True)]


def with_rules(rules: Sequence[RangeRule], candidate: Candidate) -> list[Candidate]:
    """The candidate by each rule."""
    return [replace(candidate, rule=rule) for rule in rules]


def with_alphas(alphas: Sequence[float], candidate: Candidate) -> list[Candidate]:
    """The candidate with each of these scales a channel."""
    return [replace(candidate, alpha=alpha) for alpha in alphas]


def with_both(rules: Sequence[RangeRule], alphas: Sequence[float], candidate: Candidate) -> list[Candidate]:
    """The candidate by each rule with each of these scales a channel, and without."""
    return [
        replace(candidate, rule=rule, alpha=alpha)
        for rule in (candidate.rule, *rules)
        for alpha in (candidate.alpha, *alphas)
    ]
