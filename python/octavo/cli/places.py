"""What `--data` says: a path, or for each input by name a file and the key of an array in it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from octavo.calibration import Feeds
from octavo.cli.data import ARRAYS, Files, feeds_of, files_below, numbers, open_files, read_arrays
from octavo.cli.pixels import Pixels
from octavo.errors import DataError

if TYPE_CHECKING:
    from octavo.session import ValueInfo


@dataclass(frozen=True)
class Place:
    """Where data are. name: of the input, None for the only one; key: of the array in an .npz file."""

    name: str | None
    path: Path
    key: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is a path alone, whose content says what feeds which input."""
        return self.name is None and self.key is None

    def read(self, name: str) -> NDArray[Any]:
        """The array for the input `name`: the one of the key, else of that name, else the only one."""
        if self.path.suffix.lower() not in ARRAYS:
            raise DataError(f"{self.path} feeds the input '{name}', which takes a .npy or .npz file")
        arrays = read_arrays(self.path)
        if self.key is None and len(arrays) == 1:
            return next(iter(arrays.values()))
        key = name if self.key is None else self.key
        if key not in arrays:
            said = (
                f"has no array '{key}'" if self.key is not None else f"holds several, none of them '{name}'"
            )
            raise DataError(f"{self.path} {said}: name one with :KEY, of {', '.join(arrays) or 'none'}")
        return arrays[key]


@dataclass(frozen=True)
class Placed(Iterable[Feeds]):
    """The samples of arrays that are named for each input; each pass over them reads the files again."""

    places: dict[str, Place]
    inputs: "Sequence[ValueInfo]"
    pixels: Pixels
    limit: int | None = None

    def __iter__(self) -> Iterator[Feeds]:
        arrays = {
            info.name: numbers(self.places[info.name].read(info.name), info, self.pixels)
            for info in self.inputs
        }
        yield from islice(feeds_of(arrays, self.inputs), self.limit)

    def count(self) -> int | None:
        """How many samples there are at most, where that is known without reading them."""
        return self.limit


def places(texts: Iterable[str]) -> list[Place]:
    """What each `--data` says: `PATH`, `NAME=FILE`, `FILE.npz:KEY` or `NAME=FILE.npz:KEY`."""
    return [_place(text) for text in texts]


def _place(text: str) -> Place:
    if Path(text).exists():  # whatever its name has in it
        return Place(None, Path(text))
    name, equals, file = text.rpartition("=")
    keyed = re.fullmatch(r"(.*\.npz):(.+)", file, re.IGNORECASE | re.DOTALL)
    path, key = keyed.groups() if keyed else (file, None)
    return Place(name if equals else None, Path(path), key)


def kept_files(places: Iterable[Place]) -> list[Path]:
    """The files that an artifact is not to be written over: the data, but no artifact in their folder."""
    kept: list[Path] = []
    for place in places:
        is_folder = place.path.is_dir()
        kept += (
            [file for file in files_below(place.path) if file.suffix != ".octavo"]
            if is_folder
            else [place.path]
        )
    return kept


def open_data(
    places: Sequence[Place], inputs: "Sequence[ValueInfo]", pixels: Pixels, limit: int | None = None
) -> Files | Placed:
    """The samples at these places for a model's inputs; at most `limit` of them.

    Raises `DataError` where not each input is named once, and where `open_files` does.
    """
    if len(places) == 1 and places[0].is_plain:
        return open_files(places[0].path, inputs, pixels, limit)
    wanted = ", ".join(info.name for info in inputs)
    named: dict[str, Place] = {}
    for place in places:
        if place.name is None and len(inputs) > 1:
            raise DataError(f"--data {place.path} must say which input it feeds: NAME=FILE, of {wanted}")
        name = inputs[0].name if place.name is None else place.name
        if name not in (info.name for info in inputs):
            raise DataError(f"--data names '{name}', which is no input of the model: its inputs are {wanted}")
        if name in named:
            raise DataError(f"--data feeds the input '{name}' twice: give one file for it")
        if not place.path.exists():
            raise DataError(f"{place.path} does not exist")
        named[name] = place
    missing = [info.name for info in inputs if info.name not in named]
    if missing:
        raise DataError(f"--data says nothing of the input '{missing[0]}': add --data {missing[0]}=FILE")
    (first, *others) = named.values()
    if not others and first.key is None:  # of the only input, which may be pictures
        return open_files(first.path, inputs, pixels, limit)
    return Placed(named, inputs, pixels, limit)
