"""Recipes: what a model is quantized to, as data that the stages of `quantize` follow."""

from dataclasses import dataclass

from octavo.errors import ModelError
from octavo.program.integers import INT8, INT16, UINT8, Integers
from octavo.rewrites import Storage


@dataclass(frozen=True)
class Kind:
    """What all recipes of a name have in common.

    weights, activations: the integers that they are held in; None where they stay float. range_rules: ways
    from what calibration saw to ranges, keys of `octavo.calibration.RULES`, to choose among; none where no
    ranges are taken, and nothing needs data. stages: what is done, in this order, keys of
    `octavo.quantization.stages.STAGES`. options: fields of `Recipe` that can be given. integers_only: whether
    all that computes is integers, and inputs and outputs may be.
    """

    weights: Integers | None
    activations: Integers | None
    range_rules: tuple[str, ...]
    stages: tuple[str, ...]
    options: tuple[str, ...] = ()
    integers_only: bool = False


KINDS = {
    "int8": Kind(
        weights=INT8,
        activations=UINT8,
        range_rules=("minmax", "p99.999", "p99.99"),
        stages=(
            "load",
            "measure shapes",
            "calibrate",
            "see grids",
            "lower",
            "leave slower",
            "scale features",
            "choose forms",
            "round weights",
            "fit weights",
            "search ranges",
            "raise ops",
            "store tables",
            "check",
            "doubt",
            "report",
        ),
        options=("bits", "group_size", "symmetric"),
    ),
    "int8-strict": Kind(
        weights=INT8,
        activations=UINT8,
        range_rules=("minmax", "p99.999", "p99.99"),
        stages=(
            "load",
            "measure shapes",
            "calibrate",
            "see grids",
            "lower",
            "choose forms",
            "round weights",
            "fit weights",
            "search ranges",
            "check",
            "make ends integers",
            "doubt",
            "report",
        ),
        options=("bits", "group_size", "symmetric"),
        integers_only=True,
    ),
    "int16x8": Kind(
        weights=INT8,
        activations=INT16,
        range_rules=("twice",),
        stages=(
            "load",
            "measure shapes",
            "calibrate",
            "lower",
            "leave slower",
            "round weights",
            "raise ops",
            "store tables",
            "check",
            "doubt",
            "report",
        ),
    ),
    "dynamic": Kind(
        weights=INT8,
        activations=UINT8,
        range_rules=(),
        stages=(
            "load",
            "measure shapes",
            "calibrate",
            "lower dynamically",
            "store tables",
            "check",
            "doubt",
            "report",
        ),
    ),
    "weight-only": Kind(
        weights=INT8,
        activations=None,
        range_rules=(),
        stages=(
            "load",
            "measure shapes",
            "calibrate",
            "store weights",
            "store tables",
            "doubt",
            "report",
        ),
        options=("bits", "group_size", "symmetric", "shared", "pruned"),
    ),
    "float16": Kind(
        weights=None,
        activations=None,
        range_rules=(),
        stages=("load", "measure shapes", "calibrate", "round to float16", "doubt", "report"),
    ),
}
"""What there is, by name."""

MIXED = ("int8", "int16x8")
"""Those of which one model can have both, each for some of its nodes."""

BITS = (8, 4, 3, 2)
"""Bits that weights can be stored in."""

GROUP_SIZES = (32, 64, 128)
"""Weights of a row that can share a scale."""


@dataclass(frozen=True)
class Recipe:
    """One way to quantize: a name, a key of `KINDS`, and what that one leaves open.

    symmetric: whether there are no zero points: of "int8" and "int8-strict" in activations (which are uint8,
    and have 128 for one), of "weight-only" in weights; None for what is usual, False of activations and True
    of weights. Of the same three: bits: of a weight, 8, 4, 3 or 2; rows of fewer than 32 have 8 whatever is
    asked for. group_size: weights of a row that share a scale, 32, 64 or 128, of "int8" and "int8-strict" a
    whole multiple of the row's, and below 8 bits alone; None where a row has one.
    Of "weight-only": shared: whether the weights of a layer are clustered by k-means, and each is its row's
    scale times a level of the layer's codebook, of 2^bits. pruned: the share of a row's weights that become
    0, from 0 up to below 1, with shared.
    Raises `ModelError` that lists what there is, for a name or an option that is not there.
    """

    name: str
    bits: int = 8
    group_size: int | None = None
    symmetric: bool | None = None
    shared: bool = False
    pruned: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in KINDS:
            raise ModelError(f"no recipe is called {self.name!r}; there are {', '.join(KINDS)}")
        plain = {"bits": 8, "group_size": None, "symmetric": None, "shared": False, "pruned": 0.0}
        for option, default in plain.items():
            if option not in self.kind.options and getattr(self, option) != default:
                having = [name for name, kind in KINDS.items() if option in kind.options]
                raise ModelError(
                    f"the recipe {self.name!r} does not have the option {option}, which is there for "
                    f"{', '.join(having)}"
                )
        if type(self.bits) is not int or self.bits not in BITS:
            raise ModelError(f"bits is {self.bits!r}; there are {', '.join(map(str, BITS))}")
        if self.group_size is not None and (
            type(self.group_size) is not int or self.group_size not in GROUP_SIZES
        ):
            listed = ", ".join(map(str, GROUP_SIZES))
            raise ModelError(
                f"group_size is {self.group_size!r}; there are {listed}, and None for a whole row"
            )
        if self.group_size is not None and self.bits == 8 and self.kind.activations is not None:
            raise ModelError(
                f"group_size is {self.group_size}, but weights of 8 bits that meet integers have one scale a "
                "row: give 4, 3 or 2 bits, or the recipe 'weight-only'"
            )
        if self.symmetric is not None and not isinstance(self.symmetric, bool):
            raise TypeError(f"symmetric is of type {type(self.symmetric).__name__}: it must be True or False")
        self._check_shared()

    def _check_shared(self) -> None:
        if not isinstance(self.shared, bool):
            raise TypeError(f"shared is of type {type(self.shared).__name__}: it must be True or False")
        if isinstance(self.pruned, bool) or not isinstance(self.pruned, int | float):
            raise TypeError(f"pruned is of type {type(self.pruned).__name__}: it must be a number")
        if not 0 <= self.pruned < 1:  # NaN is not
            raise ModelError(f"pruned is {self.pruned}: it is the share of weights that become 0, below 1")
        if self.pruned and not self.shared:
            raise ModelError(
                f"pruned is {self.pruned}, and pruned weights need a codebook: give shared=True as well"
            )
        if self.shared and (self.group_size is not None or self.symmetric is not None):
            raise ModelError(
                "weights that are shared have one scale a row and no zero points: leave out group_size and "
                "symmetric"
            )

    @property
    def kind(self) -> Kind:
        """What all recipes of the name have in common."""
        return KINDS[self.name]

    @property
    def weights(self) -> Integers | None:
        """What weights become where activations are integers as well, and tables."""
        return self.kind.weights

    @property
    def storage(self) -> Storage:
        """How weights are stored; those that meet integers have no zero points."""
        is_symmetric = self.activations is not None or self.symmetric is not False
        return Storage(self.bits, self.group_size, is_symmetric, self.shared, float(self.pruned))

    @property
    def activations(self) -> Integers | None:
        """What activations become; None where they stay float."""
        return self.kind.activations

    @property
    def range_rules(self) -> tuple[str, ...]:
        """The range rules to choose among."""
        return self.kind.range_rules

    @property
    def stages(self) -> tuple[str, ...]:
        """What is done, in this order."""
        return self.kind.stages

    @property
    def takes_forms(self) -> bool:
        """Whether forms that a model gives are kept: where others are derived beside them."""
        return "lower" in self.stages and self.activations is UINT8

    @property
    def needs_data(self) -> bool:
        """Whether there is nothing to be made without data."""
        return bool(self.range_rules)

    def __str__(self) -> str:
        default = Recipe(self.name)
        options = {
            name: getattr(self, name)
            for name in self.kind.options
            if getattr(self, name) != getattr(default, name)
        }
        return " ".join([self.name, *(f"{name}={value}" for name, value in options.items())])


RECIPES = {name: Recipe(name) for name in KINDS}
"""The recipes by name, as they are without options."""


def recipe(asked: "str | Recipe") -> Recipe:
    """The recipe of that name, or that recipe; raises `ModelError` that lists them where there is none."""
    return asked if isinstance(asked, Recipe) else Recipe(asked)
