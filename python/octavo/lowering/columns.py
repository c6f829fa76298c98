"""Columns: the integers of a tensor that matrix products read, with a scale for each index of its last axis.

    q[j] = clamp(rne(x[indices[j]] / scales[j] + zeros[j]), low, high)         formula (2b)
    x[i] = the sum over all j with indices[j] = i of scales[j] * (q[j] - rests[j])

rests[j] = clamp(zeros[j], low, high) is what 0 becomes. An index whose values reach beyond the integers of
one column is split over several: each has the same weights, and holds the share that those before it cut off.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from octavo.lowering.grids import Grid
from octavo.program import Quant
from octavo.program.integers import UINT8


@dataclass(frozen=True)
class Columns(Grid):
    """A grid on the last axis. indices: the one that each column shows; each is there at least once.

    zero_point: what the products that read them subtract from all columns alike.
    """

    indices: tuple[int, ...] = ()

    @property
    def zero_points(self) -> tuple[int, ...]:
        """What is subtracted of each: nothing is padded."""
        return (self.zero_point,) * len(self.zeros)

    @property
    def rests(self) -> tuple[float, ...]:
        """What 0 becomes, a column."""
        return tuple(np.clip(np.array(self.zeros), self.of.low, self.of.high).tolist())

    def quant(self) -> Quant:
        """What the integers of a column add to its index."""
        return Quant(np.array(self.scales, np.float32), np.array(self.rests, np.float32), self.axis)


def columns(
    scales: npt.NDArray[np.float32],
    zeros: npt.NDArray[np.float32],
    indices: npt.NDArray[np.int64],
    zero_point: int,
    axis: int,
) -> Columns:
    """The form of uint8 with these columns. axis: the number of the last one."""
    return Columns(
        np.float32(1),
        zero_point,
        UINT8,
        scales=tuple(scales.tolist()),
        zeros=tuple(zeros.tolist()),
        axis=axis,
        indices=tuple(indices.tolist()),
    )
