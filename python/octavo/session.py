"""Run a model: float as it stands, or quantized."""

import gc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from octavo.errors import ArtifactError, ModelError, RunError, needed_for, printable
from octavo.program import DTYPES, Program
from octavo.program.formats import COMPRESSED, begins_as_onnx, foreign_file, foreign_object, is_artifact

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir
    from typing_extensions import TypeIs

    from octavo._core import Statistics


class HasProgram(Protocol):
    """What carries a Program, as a `QuantizedModel` does."""

    @property
    def program(self) -> Program:
        """The Program."""


Source: TypeAlias = "str | PathLike[str] | bytes | onnx.ModelProto | ir.Model | Program | HasProgram"


@dataclass(frozen=True)
class ValueInfo:
    """An input or output. shape: numbers, or the symbols of free axes; type: as ONNX Runtime names it.

    scale, zero_point: `real = scale * (q - zero_point)` where the type is an integer that stands for reals.
    """

    name: str
    shape: list[int | str]
    type: str
    scale: float | None = None
    zero_point: int | float | None = None


@dataclass(frozen=True)
class ProfileRow:
    """What one step of a run was, and the seconds that it took; `macs` is 0 where nothing is multiplied."""

    name: str
    op: str
    kernel: str
    tier: str
    macs: int
    seconds: float


class Session:
    """A model made ready for this machine. Threads may share it.

    source: the path or the bytes of an artifact (.octavo); the path, bytes or proto of an ONNX model, which
    then runs in float, but for what it holds in integers itself; a `QuantizedModel`; or a Program.
    threads: how many, or None for OCTAVO_THREADS, else the cores that this process may use.
    isa: a name from `octavo.tiers()`, or None for OCTAVO_ISA, else the best.
    providers: as ONNX Runtime's sessions take them; there is one, "CPUExecutionProvider".
    Raises `ModelError`, `ArtifactError` or `RunError` where that cannot be, OSError where an artifact's file
    cannot be read.
    """

    def __init__(
        self,
        source: Source,
        threads: int | None = None,
        isa: str | None = None,
        *,
        providers: Sequence[object] | None = None,
    ) -> None:
        from octavo import _core

        _check_providers(providers)
        data = _artifact(source)
        try:
            self._core = _core.Session(data, threads, isa)
        except ArtifactError as error:
            raise _named(error, source, data) from None

    def __repr__(self) -> str:
        ends = (", ".join(named[0] for named in side) for side in (self._core.inputs, self._core.outputs))
        return f"Session({' -> '.join(ends)}; {self.isa}, {self.threads} thread{'s' * (self.threads > 1)})"

    @property
    def threads(self) -> int:
        """The threads of one run."""
        return self._core.threads

    @property
    def isa(self) -> str:
        """The instruction set that runs, one of `octavo.tiers()`."""
        return self._core.isa

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, npt.ArrayLike]
    ) -> list[npt.NDArray[Any]]:
        """The outputs of these names, or all of them where there are none, as fresh arrays.

        input_feed: an array for each input, by name, of numpy or of another library that can give numpy's;
        lists of numbers become the input's dtype. Axes of one name must be of one size; a name that says no
        more than "free" in the ONNX file ('?', 'None', 'dynamic', ...) ties nothing.
        Raises `RunError` where a feed is missing, unknown, or of another shape or dtype than the input.
        """
        names = None if output_names is None else _names(output_names) or None
        feeds: dict[str, Any] = input_feed if type(input_feed) is dict else _dict_of(input_feed)
        try:
            return self._core.run(names, feeds)
        except RunError:
            # Here, so that a run over arrays does not look at each.
            if all(isinstance(feed, np.ndarray) for feed in feeds.values()):
                raise
            return self._core.run(names, self._arrays(feeds))

    def run_into(
        self,
        input_feed: Mapping[str, npt.ArrayLike],
        outputs: Mapping[str, npt.NDArray[Any]] | Sequence[npt.NDArray[Any]],
    ) -> None:
        """Run, and write every output to an array of the caller's: what `run` gives, without new arrays.

        input_feed: as `run` takes it. outputs: an array for each output, by name or in the model's order, of
        the output's dtype and shape, C-contiguous, writeable, and sharing no memory with a feed or another
        output.
        Raises `RunError` where a feed or an array does not fit; it names which, and what is wrong with it.
        Nothing has been written then, to any of them.
        """
        feeds: dict[str, Any] = input_feed if type(input_feed) is dict else _dict_of(input_feed)
        given = dict(outputs) if isinstance(outputs, Mapping) else outputs
        try:
            self._core.run_into(feeds, given)
        except RunError:
            if all(isinstance(feed, np.ndarray) for feed in feeds.values()):
                raise
            self._core.run_into(self._arrays(feeds), given)

    def _arrays(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """The feeds, those that are no arrays made into some where that loses nothing."""
        dtypes = {info[0]: DTYPES[info[2]] for info in self._core.inputs}
        return {name: _array(feed, dtypes.get(name)) for name, feed in feeds.items()}

    def get_providers(self) -> list[str]:
        """What runs the model, by the name that ONNX Runtime has for it."""
        return [CPU]

    def get_inputs(self) -> list[ValueInfo]:
        """The inputs, in the model's order."""
        return [_info(*described) for described in self._core.inputs]

    def get_outputs(self) -> list[ValueInfo]:
        """The outputs, in the model's order."""
        return [_info(*described) for described in self._core.outputs]

    def profile(self, feeds: Mapping[str, npt.NDArray[Any]]) -> list[ProfileRow]:
        """Run once, and say what each step did and how long it took."""
        return [ProfileRow(*row) for row in self._core.profile(_dict_of(feeds))]

    def observe(self, feeds: Mapping[str, npt.NDArray[Any]], statistics: "Statistics") -> None:
        """Run once, and add what the values held that the statistics are of, as one sample.

        statistics: an `octavo.calibration.Statistics`, made of names of values and of statistics. Any value
        of the model can be seen, not only its outputs: float16 and float64 rounded to float32, integers with
        a scale as the reals that they stand for. One that no run makes, such as a constant, has no samples.
        Raises `RunError` for the feeds, for a name that the model does not have, and for a value that
        stands for no reals; the statistics are as before then.
        """
        from octavo import _core

        if not isinstance(statistics, _core.Statistics):
            raise TypeError(
                f"statistics is of type {type(statistics).__name__}: give an octavo.calibration.Statistics"
            )
        self._core.observe(_dict_of(feeds), statistics)


def tiers() -> list[str]:
    """The instruction sets that this build and this CPU can run, the poorest first."""
    from octavo import _core

    return _core.tiers()


def is_artifact_file(path: str | PathLike[str]) -> bool:
    """Whether a file is read as an artifact: by its first bytes or, unless they are ONNX's, by its name."""
    path = Path(fspath(path))
    if path.is_dir():  # which the frontend refuses, saying what it holds
        return False
    try:
        with path.open("rb") as file:
            head = file.read(len(COMPRESSED))
    except ValueError as error:  # a null byte, or what is not UTF-8
        raise ModelError(f"{str(path)!r} cannot be the path of a file: {error}") from None
    return is_artifact(head) or (path.suffix == ".octavo" and not begins_as_onnx(head))


def load_program(source: Source) -> Program:
    """The Program of a model: read from an artifact, or lowered from ONNX in float and the forms it gives."""
    source = _read_once(source)
    if isinstance(source, Program):
        return source
    if isinstance(source, str | PathLike | bytes):
        if isinstance(source, bytes):
            data = source if is_artifact(source) else None
        else:
            data = _bytes_of_artifact(Path(fspath(source)))
        if data is not None:
            from octavo.program import artifact

            try:
                return artifact.from_bytes(data)
            except ArtifactError as error:
                raise _named(error, source, data) from error
    elif not _is_graph(source):
        return _program_of(source)
    with needed_for("running an ONNX model"):
        from octavo import frontend
        from octavo.lowering import evaluate, lower, lower_as_given
        from octavo.passes import simplify

        program = lower_as_given(lower(simplify(frontend.load(source), evaluate)).program)
        # Graphs refer to themselves: their weights would stay beside the Program's for long.
        if sum(array.nbytes for array in program.constants.values()) > _LARGE:
            gc.collect()
        return program


def files_read(path: str | PathLike[str]) -> tuple[str, ...]:
    """The files that a session of the model at this path reads: the model, and its external data."""
    if not Path(path).is_file():  # a pipe
        return ()
    if is_artifact_file(path):
        return (fspath(path),)
    from octavo import frontend

    return frontend.source_files(path)


def _artifact(source: Source) -> bytes:
    """The artifact that the runtime loads; one that is there already is not read twice."""
    source = _read_once(source)
    if isinstance(source, str | PathLike):
        data = _bytes_of_artifact(Path(fspath(source)))
        if data is not None:
            return data
    elif isinstance(source, bytes) and is_artifact(source):
        return source
    from octavo.program import artifact

    program = load_program(source)
    with needed_for("writing an artifact"):
        return artifact.to_bytes(program)


def _read_once(source: Source) -> Source:
    """The bytes of what cannot be read twice, such as a pipe; every other source as it is."""
    if isinstance(source, str | PathLike):
        path = Path(fspath(source))
        if path.exists() and not path.is_file() and not path.is_dir():
            return path.read_bytes()
    return source


def _named(error: ArtifactError, source: Source, data: bytes) -> ArtifactError:
    """The error with the file's name, where there is one; of what was no artifact at all, what it is."""
    what = foreign_file(data, source if isinstance(source, str | PathLike) else "")
    where = fspath(source) if isinstance(source, str | PathLike) else "the model"
    if what is not None:
        return ArtifactError(f"{where} is not an artifact: it {what}")
    return ArtifactError(f"{where}: {error}") if isinstance(source, str | PathLike) else error


def _array(feed: Any, dtype: np.dtype[Any] | None) -> Any:  # noqa: ANN401
    """An array of what holds one, in its own dtype, or of a list of numbers, in this one; else the feed."""
    if isinstance(feed, np.ndarray) or dtype is None:
        return feed
    try:
        array = np.asarray(feed)
    except (TypeError, ValueError, RuntimeError):
        return feed
    if not isinstance(feed, list | tuple):
        return array if hasattr(feed, "dtype") else feed
    # Numbers in lists have no dtype to lose. But 1.5 is no integer, 1 is no truth, and 300 is no byte.
    if array.dtype != dtype and (array.dtype.kind, dtype.kind) not in _LOSSLESS:
        return feed
    made = array.astype(dtype)
    return made if dtype.kind == "f" or np.array_equal(made, array) else feed


_LOSSLESS = [("f", "f"), *((of, to) for of in "iu" for to in "iuf")]
"""Kinds of numbers, and those that they can become."""

CPU = "CPUExecutionProvider"
"""The one provider that there is, in ONNX Runtime's words."""


def _check_providers(providers: Sequence[object] | None) -> None:
    """Accept ONNX Runtime's `providers`, names or pairs of a name and options, if the CPU is among them."""
    if providers is None:
        return
    if isinstance(providers, str) or not isinstance(providers, Iterable):
        raise TypeError(f"providers is of type {type(providers).__name__}: give a list, such as [{CPU!r}]")
    names = [entry[0] if isinstance(entry, tuple) and entry else entry for entry in providers]
    if CPU not in names:
        given = ", ".join(printable(str(name)) for name in names) or "none"
        raise RunError(
            f"providers are {given}: octavo runs on the CPU alone, as {CPU!r}; leave providers out"
        )


def _names(names: Iterable[str]) -> list[str]:
    if isinstance(names, str):
        raise RunError(f"names is the text {names!r}: give a list of output names, or None for all")
    if not isinstance(names, Iterable):
        raise TypeError(
            f"names is of type {type(names).__name__}: give a list of names, or None for all outputs"
        )
    listed = list(names)
    for name in listed:
        if not isinstance(name, str):
            raise TypeError(f"names holds {printable(repr(name))}, of type {type(name).__name__}: give texts")
    return listed


def _dict_of(feeds: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(feeds, Mapping):
        raise RunError(f"the feeds are of type {type(feeds).__name__}: give a dict of arrays by input name")
    return dict(feeds)


def _bytes_of_artifact(path: Path) -> bytes | None:
    return path.read_bytes() if is_artifact_file(path) else None


def _is_graph(source: object) -> "TypeIs[onnx.ModelProto | ir.Model]":
    """Whether this is a model in memory. Whoever has one has imported its library; nobody else needs it."""
    kind = type(source)
    return (kind.__module__.partition(".")[0], kind.__name__) in (
        ("onnx", "ModelProto"),
        ("onnx_ir", "Model"),
    )


def _program_of(source: HasProgram) -> Program:
    program = getattr(source, "program", None)
    if not isinstance(program, Program):
        raise ModelError(
            f"a session cannot be made from {foreign_object(source)}; it takes the path or bytes of an "
            ".octavo or ONNX file, an onnx.ModelProto, a QuantizedModel or a Program"
        )
    return program


def _info(
    name: str,
    shape: "list[int | str] | None",
    dtype: str,
    quant: "tuple[list[float], list[float]] | None",
) -> ValueInfo:
    kind = f"tensor({_ONNX_TYPES[dtype]})"
    if quant is None or len(quant[0]) != 1:
        return ValueInfo(name, list(shape or []), kind)
    zero_point = quant[1][0]
    whole = int(zero_point) if zero_point.is_integer() else zero_point
    return ValueInfo(name, list(shape or []), kind, quant[0][0], whole)


_LARGE = 1 << 24
"""Bytes of weights that are worth a collection of garbage, which takes some 0.1 s."""

_ONNX_TYPES = {
    "u8": "uint8",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "bool": "bool",
    "f16": "float16",
    "f32": "float",
    "f64": "double",
}

__all__ = [
    "ProfileRow",
    "Session",
    "Source",
    "ValueInfo",
    "files_read",
    "is_artifact_file",
    "load_program",
    "tiers",
]
