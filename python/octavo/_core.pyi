"""The runtime's sessions."""

from collections.abc import Sequence
from typing import Any, final

import numpy.typing as npt

__all__ = ["Session", "__version__", "tiers"]

__version__: str

def tiers() -> list[str]:
    """The names of the tiers that this build and this CPU can run, poorest first."""

_Description = tuple[str, list[int | str] | None, str, tuple[list[float], list[int]] | None]
_ProfileRow = tuple[str, str, str, str, int, float]
_Extremes = tuple[float, float, int, int, int]

@final
class Session:
    """A Program ready to run. Threads may share it."""

    def __new__(cls, artifact: bytes, threads: int | None = None, isa: str | None = None) -> Session:
        """A session over an artifact's bytes."""

    @property
    def threads(self) -> int:
        """The threads of one run."""

    @property
    def isa(self) -> str:
        """The tier's name."""

    @property
    def inputs(self) -> list[_Description]:
        """The inputs: name, shape (None where unknown), dtype, (scales, zero points) or None."""

    @property
    def outputs(self) -> list[_Description]:
        """The outputs, in the same form."""

    def run(self, names: Sequence[str] | None, feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Runs; gives the outputs of those names, or all in order."""

    def observe(self, feeds: dict[str, npt.NDArray[Any]], names: Sequence[str]) -> list[_Extremes | None]:
        """Runs once; (min, max, NaNs, infinities, elements) of each float value of those names."""

    def profile(self, feeds: dict[str, npt.NDArray[Any]]) -> list[_ProfileRow]:
        """Runs once; a row a step: name, op, kernel, tier, macs, seconds."""

    def arena_bytes(self, feeds: dict[str, npt.NDArray[Any]]) -> int:
        """The bytes of the arena for feeds of these shapes."""
