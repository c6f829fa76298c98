"""One quantization under way, and how its model is lowered."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from octavo import frontend
from octavo.calibration import (
    ENOUGH,
    MOST,
    Calibration,
    Data,
    Feeds,
    RangeRule,
    Statistics,
    ranges,
    rule_named,
)
from octavo.lowering import Affine, Forms, Lowered, Made, Range, lower_to_integers
from octavo.program import Program
from octavo.quantization.channels import channel_forms
from octavo.quantization.choice import Candidate, Choice
from octavo.quantization.features import feature_forms
from octavo.quantization.judge import Judge
from octavo.quantization.mix import Mix
from octavo.quantization.overrides import Overridden, Override
from octavo.quantization.progress import Shown, Told
from octavo.quantization.raising import Raised
from octavo.quantization.recipes import KINDS, MIXED, Recipe
from octavo.quantization.report import Report
from octavo.quantization.rounding import nearest_weights, round_weights
from octavo.session import Session

KEPT = {"fast": ENOUGH, "default": ENOUGH, "best": MOST}
"""Samples that are kept at most, by the effort."""

RULES_OF = {KINDS[name].activations: KINDS[name].range_rules[0] for name in MIXED}
"""The range rule of what is held in other integers than those of the recipe."""

FLOAT_ENDS = "float32"
"""What inputs and outputs are in, where they are none of `INTEGERS`."""


@dataclass
class Work:
    """One quantization under way: what was asked for, and what the stages have made of it so far.

    rules: the range rules to choose among; the first stands where nothing speaks for another. floats: the
    model in float. session: of it, of one thread. feeds: the samples that calibration has not run over yet.
    grids: on which inputs lie. made: weights that were rounded to nearest. judges: of answers, once they are
    asked for. choice: among the rules. is_fitted: whether weights make up for the layers before them.
    own_ranges: of values whose range is not that of the rule. overridden: what overrides come to. raised: the
    steps in which ops were raised. mix: which nodes compute otherwise than the recipe says. reasons: why
    nodes stay float, where nobody named them.
    ran: the stages.
    """

    model: frontend.Source | None
    data: "Data | None"
    recipe: Recipe
    rules: Sequence[RangeRule] = ()
    effort: str = "default"
    per_channel: bool = True
    exclude: Iterable[str] = ()
    strict: bool = False
    io: str = FLOAT_ENDS
    optimize_for: str | None = None
    overrides: Sequence[Override] = ()
    min_sqnr: float | None = None
    max_drop: float | None = None
    evaluate: Callable[[Session], float] | None = None
    watcher: "Shown | Told" = field(default_factory=partial(Told, None))
    threads: int | None = None

    floats: Program = field(init=False)
    files: tuple[str, ...] = ()
    mix: Mix = field(default_factory=Mix)
    overridden: Overridden = field(default_factory=Overridden)
    session: Session = field(init=False)
    feeds: Iterator[Feeds] = field(init=False)
    calibration: Calibration | None = None
    grids: dict[str, Affine] = field(default_factory=dict)
    made: Made = field(default_factory=dict)
    judges: list[Judge] = field(default_factory=list)
    choice: Choice | None = None
    is_fitted: bool = False
    own_ranges: Mapping[str, Range] = field(default_factory=dict)
    raised: Sequence[Raised] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    lowered: Lowered = field(init=False)
    warnings: list[str] = field(default_factory=list)
    report: Report = field(init=False)
    ran: list[str] = field(default_factory=list)

    @property
    def keeps(self) -> int:
        """How many samples are kept at most: more where some are left to judge by in the end."""
        return MOST if self.aims else KEPT[self.effort]

    @property
    def aims(self) -> bool:
        """Whether answers have to be as near to the model's as was asked."""
        return self.min_sqnr is not None or self.max_drop is not None


def lowered_for(work: Work, statistics: Statistics, candidate: Candidate, mix: Mix | None = None) -> Lowered:
    """The network in integers, in forms by these statistics; mix: in place of the work's."""
    mix = work.mix if mix is None else mix
    return lowered_by(work, forms_for(work, statistics, candidate, mix), statistics, candidate, mix)


def forms_for(work: Work, statistics: Statistics, candidate: Candidate, mix: Mix | None = None) -> Forms:
    """The forms that are derived from these statistics, and those that are given."""
    mix = work.mix if mix is None else mix
    assert work.recipe.activations is not None
    assert work.recipe.weights is not None
    return Forms(
        ranges_for(work, statistics, candidate.rule) | dict(work.own_ranges),
        given=work.overridden.forms,
        grids=work.grids,
        ranges_in={
            of.dtype: ranges_for(work, statistics, rule_named(rule))
            for of, rule in RULES_OF.items()
            if of is not None and of is not work.recipe.activations and of in mix.integers.values()
        },
        activations=work.recipe.activations,
        nodes=mix.integers,
        weights_of=work.recipe.weights,
        per_channel=work.per_channel,
        integers_only=work.recipe.kind.integers_only,
    )


def ranges_for(work: Work, statistics: Statistics, rule: RangeRule) -> dict[str, Range]:
    """The ranges by a rule, but for those that overrides give."""
    return work.overridden.applied(ranges(statistics, rule), work.recipe.symmetric is True)


def lowered_by(
    work: Work, forms: Forms, statistics: Statistics, candidate: Candidate, mix: Mix | None = None
) -> Lowered:
    """The network in these forms, with scales a feature or a channel where the candidate has them."""
    mix = work.mix if mix is None else mix
    lowered = _in_integers(work, forms, mix)
    if candidate.features:
        features = feature_forms(lowered, statistics).items()
        free = {name: form for name, form in features if name not in work.overridden.tensors}
        forms = replace(forms, grids=work.grids | free)
        lowered = _in_integers(work, forms, mix)
    if candidate.alpha is None:
        return lowered
    channels = channel_forms(lowered, statistics, candidate.alpha).items()
    scaled = {name: form for name, form in channels if name not in work.overridden.tensors}
    forms = replace(forms, given=scaled | work.overridden.forms)
    return _in_integers(work, forms, mix)


def _in_integers(work: Work, forms: Forms, mix: Mix) -> Lowered:
    lowered = told(work, lower_to_integers(work.floats, forms, mix.floats, work.made))
    storage = work.recipe.storage
    return nearest_weights(work.floats, lowered, storage) if storage.bits < 8 else lowered


def rounded_for(work: Work, lowered: Lowered, feeds: Sequence[Feeds], *, fit: bool = False) -> Lowered:
    """The network with weights, of the recipe's bits, and biases made for these samples."""
    storage = work.recipe.storage
    return round_weights(work.floats, lowered, feeds, work.threads, storage=storage, fit=fit)


def warn_of_nearest(work: Work) -> None:
    """Say what weights of few bits lose that were made for no data."""
    work.warnings.append(
        f"weights of {work.recipe.bits} bits are rounded to nearest, which loses much more than weights that "
        "are made for data: give data, and an effort above fast"
    )


def told(work: Work, lowered: Lowered) -> Lowered:
    """The same with the reasons that the work knows for what stays float."""
    stays = [replace(stay, reason=work.reasons.get(stay.name, stay.reason)) for stay in lowered.stays]
    return replace(lowered, stays=stays)
