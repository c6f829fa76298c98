"""The largest scores of an answer, with the names of their classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octavo.errors import DataError

Row = dict[str, Any]


def read_names(path: Path) -> list[str]:
    """The names of classes that a text file has, one a line; `DataError` where it is no text."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8: {error.reason}") from error


def top_rows(
    answers: Mapping[str, NDArray[Any]], top: int, names: Sequence[str] | None
) -> dict[str, list[Row]]:
    """The largest scores of each row of the outputs of rank 2, and the classes that they are of.

    Of equal scores the lower class comes first; NaN comes last. names: of the classes; outputs of another
    number of classes are left out. Raises `DataError` where no output is left.
    """
    matrices = {
        name: array for name, array in answers.items() if array.ndim == 2 and array.dtype.kind in "iuf"
    }
    if not matrices:
        raise DataError("--top: no output is a matrix of scores, a row for each sample")
    if names is not None:
        widths = sorted({array.shape[1] for array in matrices.values()})
        matrices = {name: array for name, array in matrices.items() if array.shape[1] == len(names)}
        if not matrices:
            raise DataError(f"--names has {len(names)} names, and there are {widths[0]} classes")
    return {name: _rows(array.astype(np.float64), top, names) for name, array in matrices.items()}


def _rows(scores: NDArray[np.float64], top: int, names: Sequence[str] | None) -> list[Row]:
    order = np.lexsort((-scores, np.isnan(scores)), axis=1)[:, :top]
    found = []
    for row, classes in enumerate(order.tolist()):
        for at in classes:
            name = None if names is None else names[at]
            found.append({"row": row, "class": at, "name": name, "score": scores[row, at].item()})
    return found
