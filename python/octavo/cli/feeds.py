"""Feeds and answers in files, and inputs made up for timing."""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octavo.calibration import Feeds
from octavo.cli.data import in_integers, read_arrays
from octavo.cli.pixels import SUFFIXES as PICTURES
from octavo.cli.pixels import Pixels, frame_of, read_picture
from octavo.errors import DataError
from octavo.program import saving

if TYPE_CHECKING:
    from octavo.session import ValueInfo


def read_feeds(assignments: Sequence[str], inputs: "Sequence[ValueInfo]", pixels: Pixels) -> Feeds:
    """What `NAME=FILE` texts name, arrays or pictures; a bare `FILE` feeds a model's only input.

    Raises `DataError` where a name is not an input, stands twice, or a file holds no single array and is no
    picture that fits the input.
    """
    feeds: Feeds = {}
    infos = {info.name: info for info in inputs}
    names = list(infos)
    for assignment in assignments:
        name, equals, file = assignment.rpartition("=")
        if not equals:
            if len(names) != 1:
                raise DataError(f"--input {assignment} must name its input: one of {', '.join(names)}")
            name = names[0]
        if name not in names:
            raise DataError(f"the model has no input '{name}', its inputs are {', '.join(names)}")
        if name in feeds:
            raise DataError(f"input '{name}' is given twice")
        if Path(file).suffix.lower() in PICTURES:
            frame = frame_of(name, tuple(infos[name].shape), pixels)
            feeds[name] = in_integers(read_picture(Path(file), frame, pixels), infos[name])
            continue
        arrays = read_arrays(Path(file))
        if len(arrays) != 1:
            raise DataError(f"{file} holds {len(arrays)} arrays ({', '.join(arrays)}), an input takes one")
        feeds[name] = np.ascontiguousarray(next(iter(arrays.values())))
    return feeds


def file_of(assignment: str) -> Path:
    """The file of a `NAME=FILE` text, or of a bare `FILE`."""
    return Path(assignment.rpartition("=")[2])


def output_paths(names: Sequence[str], folder: Path | None, assignments: Sequence[str]) -> dict[str, Path]:
    """Where each output is to be written: `NAME=FILE` texts first, else `folder/NAME.npy`.

    Names become file names by turning all but letters, digits, `.`, `_` and `-` into `_`. Raises `DataError`
    where a name is not an output, or two outputs would share a file.
    """
    paths: dict[str, Path] = {}
    for assignment in assignments:
        name, equals, file = assignment.rpartition("=")
        if not equals and len(names) == 1:
            name = names[0]
        if name not in names:
            raise DataError(f"--output {assignment}: give NAME=FILE, where NAME is one of {', '.join(names)}")
        paths[name] = Path(file)
    if folder is not None:
        for name in names:
            paths.setdefault(name, folder / (re.sub(r"[^\w.-]", "_", name).lstrip(".") + ".npy"))
    targets = [path.resolve() for path in paths.values()]
    if len(set(targets)) < len(targets):
        raise DataError("two outputs would be written to one file: name their files with --output NAME=FILE")
    return paths


def check_paths(paths: Iterable[Path], sources: Iterable[Path | str]) -> None:
    """Finds out before the run where an output cannot be written.

    Raises `DataError` where it would overwrite one of `sources`, which the run reads, OSError otherwise.
    """
    sources = list(sources)
    for path in paths:
        source = saving.source_at(path, sources)
        if source is not None:
            raise DataError(
                f"'{path}' is not overwritten: it is the file '{source}', which the run reads; name another "
                "with --output or --output-dir"
            )
        saving.check(path)


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Writes a .npy file, whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    saving.write(path, buffer.getbuffer())


def made_up_feeds(inputs: "Sequence[ValueInfo]", shapes: Mapping[str, Sequence[int]], batch: int) -> Feeds:
    """Feeds for timing: seeded normal floats and small integers; free axes are `batch` first and 1 after it.

    `shapes` overrides the shape of an input by name.
    """
    generator = np.random.default_rng(0)
    feeds: Feeds = {}
    for info in inputs:
        free = (batch, 1)
        shape = shapes.get(
            info.name, [n if isinstance(n, int) else free[axis > 0] for axis, n in enumerate(info.shape)]
        )
        name = info.type.removeprefix("tensor(").removesuffix(")")
        dtype = np.dtype({"float": "float32", "double": "float64"}.get(name, name))
        values = generator.standard_normal(shape) if dtype.kind == "f" else generator.integers(0, 2, shape)
        feeds[info.name] = values.astype(dtype)
    return feeds
