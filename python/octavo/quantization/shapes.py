"""Shapes that inference does not find, and sizes of all values, from running a sample of the data."""

from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.calibration.forms import Feeds
from octavo.errors import RunError
from octavo.program import Program, Value
from octavo.rewrites import shapes_of, with_shapes
from octavo.session import Session

Shape = tuple[int | str, ...]

Sizes = dict[str, list[int]]
"""The shapes of values, by name, as far as they are known."""


def unknown(program: Program) -> list[str]:
    """The values of nodes whose shape is missing, or has an axis that is no number and no input's symbol."""
    symbols = _free(program)
    return [name for name in _made(program) if not _is_known(program.values[name].shape, symbols)]


def measured_sizes(program: Program, feeds: Feeds, threads: int | None) -> Sizes:
    """The shapes of all values in a run over these feeds."""
    made = _made(program)
    shapes = Session(shapes_of(program, made), threads).run(None, feeds)
    return {name: list(array.shape) for name, array in (*program.constants.items(), *feeds.items())} | {
        name: shape.tolist() for name, shape in zip(made, shapes, strict=True)
    }


def with_measured_shapes(program: Program, feeds: Feeds, threads: int | None) -> Program:
    """The float Program with the shapes of its `unknown` values, as they are in runs of these feeds.

    One more run for each symbol of the inputs has its axes twice as long: an axis of a value that never
    changes is a number, the others are symbols. Where the model cannot run so, only the ranks are believed.
    """
    names = unknown(program)
    session = Session(shapes_of(program, names), threads)
    first = session.run(None, feeds)
    fixed = [np.ones(len(shape), np.bool_) for shape in first]
    symbols = _free(program)
    for symbol in sorted(symbols):
        longer = {name: _doubled(array, program.values[name], symbol) for name, array in feeds.items()}
        try:
            shapes = session.run(None, longer)
        except RunError:
            shapes = [-shape - 1 for shape in first]
        fixed = [before & (one == other) for before, one, other in zip(fixed, first, shapes, strict=True)]
    found = zip(names, first, fixed, strict=True)
    return with_shapes(
        program,
        {name: _merged(program.values[name], shape, same, symbols) for name, shape, same in found},
    )


def _made(program: Program) -> list[str]:
    """The values that nodes make."""
    return [name for node in program.nodes for name in node.outputs if name]


def _free(program: Program) -> set[str]:
    """The symbols of the inputs' axes."""
    return {
        axis for name in program.inputs for axis in program.values[name].shape or () if isinstance(axis, str)
    }


def _is_known(shape: Shape | None, symbols: set[str]) -> bool:
    return shape is not None and all(isinstance(axis, int) or axis in symbols for axis in shape)


def _doubled(array: npt.NDArray[Any], of: Value, symbol: str) -> npt.NDArray[Any]:
    """The array, twice as long on the axes of that symbol."""
    for index, axis in enumerate(of.shape or ()):
        if axis == symbol:
            array = np.concatenate([array, array], index)
    return array


def _merged(
    value: Value, shape: npt.NDArray[np.int64], fixed: npt.NDArray[np.bool_], symbols: set[str]
) -> Shape:
    """What is known already stays; of the rest, what is fixed is a number."""
    before: Shape = value.shape or tuple(f"{value.name}.{index}" for index in range(len(shape)))
    return tuple(
        int(size) if is_fixed and axis not in symbols else axis
        for axis, size, is_fixed in zip(before, shape, fixed, strict=True)
    )
