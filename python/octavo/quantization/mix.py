"""Which nodes of a model do not compute as its recipe says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from octavo.program.integers import Integers
from octavo.quantization.recipes import KINDS, MIXED

FLOAT = "float"
LEVELS = (*MIXED, FLOAT)
"""What the nodes of one model can compute by, the nearest to the model's own answers last."""


@dataclass(frozen=True)
class Mix:
    """floats: names of nodes that stay so. integers: of others, the activations that they compute on."""

    floats: frozenset[str] = frozenset()
    integers: Mapping[str, Integers] = field(default_factory=dict)

    def with_nodes(self, names: Iterable[str], level: str) -> "Mix":
        """The same with these nodes computing by one of `LEVELS`; one that is in float stays so."""
        if level == FLOAT:
            return Mix(self.floats.union(names), self.integers)
        of = KINDS[level].activations
        assert of is not None, "recipes that can be mixed have activations in integers"
        return Mix(self.floats, {**self.integers, **dict.fromkeys(names, of)})
