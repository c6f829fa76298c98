"""The runtime's sessions and statistics."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "Session",
    "Statistics",
    "__version__",
    "compress",
    "dictionary_decode",
    "dictionary_encode",
    "expand",
    "fit_weights",
    "round_in_blocks",
    "round_in_multiples",
    "round_to_halves",
    "round_to_levels",
    "round_weights",
    "shifts_behind",
    "statistics",
    "threads",
    "tiers",
    "windows",
]

__version__: str

def tiers() -> list[str]:
    """The names of the tiers that this build and this CPU can run, poorest first."""

def threads(asked: int | None = None) -> int:
    """The threads of a session that is asked for so many, or for what the environment and the machine say."""

def compress(artifact: bytes) -> bytes:
    """An artifact compressed."""

def expand(data: bytes) -> bytes:
    """The artifact that a compressed one holds; another as it is."""

def statistics() -> list[str]:
    """The names of the statistics that can be kept of values."""

_Description = tuple[str, list[int | str] | None, str, tuple[list[float], list[float]] | None]
_ProfileRow = tuple[str, str, str, str, int, float]

@final
class Session:
    """A Program ready to run. Threads may share it."""

    def __new__(cls, artifact: bytes, threads: int | None = None, isa: str | None = None) -> Session:
        """A session over an artifact's bytes, which it keeps rather than copy what constants they hold."""

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

    def run_into(
        self,
        feeds: dict[str, npt.NDArray[Any]],
        outputs: dict[str, npt.NDArray[Any]] | Sequence[npt.NDArray[Any]],
    ) -> None:
        """Runs; writes every output to the array that is given for it: a dict by name, or a list in order."""

    def observe(self, feeds: dict[str, npt.NDArray[Any]], statistics: Statistics) -> None:
        """Runs once; adds what the values held that the statistics are of, as one sample."""

    def profile(self, feeds: dict[str, npt.NDArray[Any]]) -> list[_ProfileRow]:
        """Runs once; a row a step: name, op, kernel, tier, macs, seconds."""

    def arena_bytes(self, feeds: dict[str, npt.NDArray[Any]]) -> int:
        """The bytes of the arena for feeds of these shapes."""

@final
class Statistics:
    """Statistics of values, which sessions fill. Threads may share them."""

    def __new__(cls, values: Sequence[str], statistics: Sequence[str]) -> Statistics:
        """The statistics of those names, of values of those names; of no samples yet."""

    @staticmethod
    def from_bytes(data: bytes) -> Statistics:
        """The statistics of bytes that `to_bytes` gave."""

    @property
    def values(self) -> list[str]:
        """The names of the values, in order."""

    @property
    def statistics(self) -> list[str]:
        """The names of the statistics, in order."""

    def merge(self, other: Statistics) -> None:
        """Adds the samples of statistics of the same names, which stay as they are."""

    def to_bytes(self) -> bytes:
        """The whole state: equal states have equal bytes."""

    def read(self, value: str, statistic: str) -> dict[str, Any]:
        """What a statistic tells of a value, by name; empty where no element was seen that it is about."""

def dictionary_encode(
    elements: npt.NDArray[np.uint32],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8] | npt.NDArray[np.uint16]] | None:
    """Elements of few different values: these, as they come first, and the index of each element's.

    elements: uint32 [count], in one piece. Indices are uint8 where there are at most 256 values, else uint16.
    None where there are more than 1024, or where that would take no less memory.
    """

def dictionary_decode(
    values: npt.NDArray[np.uint32], indices: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
) -> npt.NDArray[np.uint32]:
    """The elements that values and indices stand for, uint32 [count]. Raises `RunError` for others."""

def round_weights(
    weights: npt.NDArray[np.float64],
    scales: npt.NDArray[np.float64],
    covariances: npt.NDArray[np.float64],
    bounds: tuple[int, int],
    threads: int,
) -> npt.NDArray[np.int8]:
    """The integers of weights that meet columns of these covariances."""

def round_in_blocks(
    weights: npt.NDArray[np.float64],
    scales: npt.NDArray[np.float64],
    zeros: npt.NDArray[np.float64],
    covariances: npt.NDArray[np.float64],
    block: int,
    bounds: tuple[int, int],
    in_half: bool,
    threads: int,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64]]:
    """The same where rows have a scale and a zero point for each block of columns, and the scales fitted.

    weights: [groups, rows, K]. scales, zeros: [groups, rows, blocks], each of so many columns. bounds: of the
    integers, within int8; zeros are among them. in_half: whether scales are float16, else float32.
    """

def round_in_multiples(
    weights: npt.NDArray[np.float64],
    steps: npt.NDArray[np.float64],
    scales: npt.NDArray[np.float64],
    covariances: npt.NDArray[np.float64],
    block: int,
    bounds: tuple[int, int],
    most: float,
    threads: int,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64]]:
    """The same without zero points, where scales are whole multiples of their row's step, `most` at most.

    steps: [groups, rows].
    """

def round_to_levels(
    weights: npt.NDArray[np.float64],
    scales: npt.NDArray[np.float64],
    covariances: npt.NDArray[np.float64],
    levels: npt.NDArray[np.float64],
    kept: npt.NDArray[np.bool_],
    in_half: bool,
    threads: int,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64]]:
    """The same where a weight becomes its row's scale times a level, or 0 where it is not kept.

    weights, kept: [groups, rows, K]. scales: [groups, rows, 1]. levels: at most 256, rising, 0 among them
    where some are not kept. What comes are places of levels, as bytes.
    """

def round_to_halves(
    weights: npt.NDArray[np.float64], covariances: npt.NDArray[np.float64], threads: int
) -> npt.NDArray[np.float32]:
    """What float16 holds, as float32 [groups, rows, K], of weights that meet columns of these covariances."""

_Float64 = npt.NDArray[np.float64]
_Half = tuple[int, _Float64, _Float64, _Float64, _Float64, _Float64]

def fit_weights(halves: tuple[_Half, _Half], threads: int) -> _Float64:
    """What rows of weights are to be changed by, so that their products come nearer to what is wanted.

    halves: of each half of the columns, their number, means [groups, K] and covariances [groups, K, K]; of
    what is wanted beyond the products that there are, the means and variances [groups, rows]; and its
    covariances with the columns, [groups, rows, K].
    """

def shifts_behind(
    bounds: tuple[float, float], missing: _Float64, results: npt.NDArray[np.float32]
) -> _Float64:
    """The shift of each channel's results that adds what is missing to its mean behind an activation.

    bounds: of the activation. missing: float64 [channels]. results: some of those before it, float32
    [results, channels], 4095 at most.
    """

def windows(
    x: npt.NDArray[np.uint8],
    space: tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int], Sequence[int]],
    padding: npt.NDArray[np.uint8],
    groups: int,
    places: Sequence[int],
) -> npt.NDArray[np.uint8]:
    """The windows at these places that a convolution's weights meet, [groups, places, channels * taps].

    x: uint8 [images, channels, *sizes]. space: kernel, strides, dilations, begins of the padding, numbers of
    windows. padding: what it holds, a channel. places: image by image.
    """
