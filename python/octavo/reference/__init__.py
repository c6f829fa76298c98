"""The reference: a numpy interpreter of the Program, which defines the bits of every answer."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.errors import RunError
from octavo.program import DTYPES, Node, Program
from octavo.program.bodies import MAX_TRIPS, outermost
from octavo.program.integers import elements
from octavo.program.validate import label, validate
from octavo.reference.arithmetic import ARITHMETIC_OPS
from octavo.reference.comparison import COMPARISON_OPS
from octavo.reference.control import CONTROL_OPS
from octavo.reference.detection import DETECTION_OPS
from octavo.reference.floats import FLOAT_OPS
from octavo.reference.indexing import INDEXING_OPS
from octavo.reference.integer import INTEGER_OPS
from octavo.reference.movement import MOVEMENT_OPS
from octavo.reference.normalization import NORMALIZATION_OPS
from octavo.reference.operands import Array
from octavo.reference.ordering import ORDERING_OPS
from octavo.reference.scattering import SCATTERING_OPS

OPERATIONS = {
    **FLOAT_OPS,
    **ARITHMETIC_OPS,
    **COMPARISON_OPS,
    **MOVEMENT_OPS,
    **NORMALIZATION_OPS,
    **INDEXING_OPS,
    **ORDERING_OPS,
    **SCATTERING_OPS,
    **DETECTION_OPS,
}
"""The ops that know all that they need from their inputs; of the others the Program says what they make."""


def run(
    program: Program, feeds: Mapping[str, npt.ArrayLike], outputs: Sequence[str] | None = None
) -> list[npt.NDArray[Any]]:
    """Run a Program.

    feeds: an array for each input of the Program, of its dtype and shape. outputs: names of the values
    wanted, any in the Program; by default its outputs, in their order. Raises ArtifactError where the
    Program is not valid, RunError where the feeds or the wanted names do not fit it or an op cannot run on
    its inputs.
    """
    validate(program)
    if not isinstance(feeds, Mapping):
        raise RunError(f"the feeds are of type {type(feeds).__name__}: give a dict of arrays by input name")
    if isinstance(outputs, str) or not isinstance(outputs, Iterable | None):
        raise TypeError(f"outputs is of type {type(outputs).__name__}: give a list of names, or None for all")
    wanted = list(program.outputs if outputs is None else outputs)
    for name in wanted:
        if not isinstance(name, str) or name not in program.values:
            raise RunError(f"the program has no value {name!r}; its outputs are {program.outputs}")
    inside = [name for name in wanted if name not in outermost(program)]
    if inside:
        raise RunError(
            f"the value {inside[0]!r} is made in the sub-program of a node, where it has many or none"
        )
    constants = {name: elements(program, name) for name in program.constants}
    execution = _Execution(program, constants, MAX_TRIPS)
    arrays = execution.run(program.nodes, _checked_feeds(program, feeds), wanted)
    return [np.array(array, order="C") for array in arrays]


class _Execution:
    """One run of a Program. trips: how many its Loops may still make."""

    def __init__(self, program: Program, constants: dict[str, Array], trips: int) -> None:
        self._program = program
        self._constants = constants
        self.trips = trips

    def run(self, nodes: Sequence[Node], given: Mapping[str, Array], wanted: Sequence[str]) -> list[Array]:
        """Run nodes that read what is given, and constants; give the values that are wanted."""
        arrays, constants = dict(given), self._constants
        readers = Counter(name for node in nodes for name in node.inputs) + Counter(wanted)
        for node in nodes:
            inputs = [
                None if not name else constants[name] if name in constants else arrays[name]
                for name in node.inputs
            ]
            if node.op in CONTROL_OPS:
                results = CONTROL_OPS[node.op](self._program, node, inputs, self)
            else:
                results = _run_node(self._program, node, inputs)
            for name, result in zip(node.outputs, results, strict=True):
                if name:
                    arrays[name] = _checked_result(self._program, node, name, result)
            readers.subtract(node.inputs)
            for name in node.inputs:
                if name and not readers[name]:
                    arrays.pop(name, None)
        return [constants[name] if name in constants else arrays[name] for name in wanted]


def _run_node(program: Program, node: Node, inputs: list[Array | None]) -> list[Array]:
    try:
        with np.errstate(all="ignore"):
            if node.op in INTEGER_OPS:
                return INTEGER_OPS[node.op](node, inputs, program.values[node.outputs[0]].dtype)
            return OPERATIONS[node.op](node, inputs)
    except (RunError, ArithmeticError, IndexError, MemoryError, TypeError, ValueError) as error:
        shapes = [None if array is None else f"{array.dtype}{list(array.shape)}" for array in inputs]
        operands = [
            ("", "", ()) if array is None else (name, program.values[name].dtype, array.shape)
            for name, array in zip(node.inputs, inputs, strict=True)
        ]
        message = f"the {label(node)} cannot run on {shapes}: {error}"
        raise RunError(message, node.name, operands) from error


def _checked_result(program: Program, node: Node, name: str, result: Array) -> Array:
    result = np.asarray(result)
    wanted = DTYPES[program.values[name].dtype]
    if result.dtype != wanted:
        raise RunError(f"the {label(node)} makes {name!r} of {result.dtype}, the program says {wanted}")
    return result


def _as_array(name: str, fed: npt.ArrayLike) -> Array:
    try:
        return np.asarray(fed)
    except (TypeError, ValueError) as error:
        raise RunError(f"the input {name!r} cannot be made an array: {error}") from error


def _checked_feeds(program: Program, feeds: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
    for name in feeds:
        if name not in program.inputs:
            raise RunError(f"the program has no input {name!r}; its inputs are {program.inputs}")
    arrays = {}
    lengths: dict[str, tuple[int, str]] = {}
    for name in program.inputs:
        if name not in feeds:
            raise RunError(f"the input {name!r} is missing; the program's inputs are {program.inputs}")
        value, array = program.values[name], _as_array(name, feeds[name])
        if array.dtype != DTYPES[value.dtype]:
            raise RunError(
                f"the input {name!r} must be of {DTYPES[value.dtype]}, not of {array.dtype}: convert it"
            )
        shape = array.shape if value.shape is None else value.shape
        fixed = zip(shape, array.shape, strict=False)
        if len(shape) != array.ndim or any(isinstance(want, int) and want != n for want, n in fixed):
            raise RunError(f"the input {name!r} must be of shape {list(shape)}, not {list(array.shape)}")
        for symbol, n in zip(shape, array.shape, strict=True):
            if isinstance(symbol, str) and lengths.setdefault(symbol, (n, name))[0] != n:
                other, where = lengths[symbol]
                raise RunError(f"{symbol!r} is {n} in the input {name!r} but {other} in {where!r}")
        arrays[name] = array
    return arrays
