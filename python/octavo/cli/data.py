"""What `--data` names, read sample by sample: arrays in .npy and .npz files, pictures, folders of either."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octavo.calibration import Feeds, samples
from octavo.cli.pixels import SUFFIXES as PICTURES
from octavo.cli.pixels import Pixels, frame_of, read_picture
from octavo.errors import DataError

if TYPE_CHECKING:
    from octavo.session import ValueInfo

ARRAYS = (".npy", ".npz")


@dataclass(frozen=True)
class Files(Iterable[Feeds]):
    """The samples of some files, in the order of their names; each pass over them reads the files again."""

    paths: "Sequence[Path]"
    inputs: "Sequence[ValueInfo]"
    pixels: Pixels
    limit: int | None = None

    def __iter__(self) -> Iterator[Feeds]:
        left = self.limit
        for path in self.paths:
            for feeds in self._read(path):
                if left is not None:
                    if left == 0:
                        return
                    left -= 1
                yield feeds

    @property
    def are_pictures(self) -> bool:
        """Whether these are pictures, not arrays."""
        return self.paths[0].suffix.lower() in PICTURES

    def count(self) -> int | None:
        """How many samples there are, where that is known without reading them."""
        if not self.are_pictures:
            return self.limit
        return len(self.paths) if self.limit is None else min(self.limit, len(self.paths))

    def _read(self, path: Path) -> Iterator[Feeds]:
        try:
            yield from feeds_of(self._arrays(path), self.inputs)
        except DataError as error:
            message = str(error)
            raise (error if message.startswith(str(path)) else DataError(f"{path}: {message}")) from error

    def _arrays(self, path: Path) -> Feeds:
        if path.suffix.lower() in PICTURES:
            info = self._only_input(path)
            frame = frame_of(info.name, tuple(info.shape), self.pixels)
            return {info.name: in_integers(read_picture(path, frame, self.pixels), info)}
        arrays = read_arrays(path)
        if path.suffix.lower() == ".npy" or (len(self.inputs) == 1 and len(arrays) == 1):
            arrays = {self._only_input(path).name: next(iter(arrays.values()))}
        for info in self.inputs:
            if info.name not in arrays:
                wanted = ", ".join(info.name for info in self.inputs)
                raise DataError(
                    f"{path} holds {', '.join(arrays) or 'nothing'}, but the model's inputs are {wanted}: "
                    "name the arrays so, or save one alone"
                )
        return {info.name: numbers(arrays[info.name], info, self.pixels) for info in self.inputs}

    def _only_input(self, path: Path) -> "ValueInfo":
        if len(self.inputs) != 1:
            names = ", ".join(info.name for info in self.inputs)
            raise DataError(
                f"{path} feeds one input, the model has {len(self.inputs)}: give .npz with {names}"
            )
        return self.inputs[0]


def feeds_of(arrays: Feeds, inputs: "Sequence[ValueInfo]") -> Iterator[Feeds]:
    """The samples in arrays for all inputs: one where each lacks the axis of the samples, else many."""
    ranks = {info.name: len(info.shape) for info in inputs}
    single = all(array.ndim < ranks[name] for name, array in arrays.items())
    yield from samples([arrays] if single else arrays, list(inputs), run=None)


def numbers(array: NDArray[Any], info: "ValueInfo", pixels: Pixels) -> NDArray[Any]:
    """The array, where it holds pixels for a float input as the numbers that they stand for."""
    if array.dtype != np.uint8 or info.type != "tensor(float)":
        return array
    # Where the channels stand matters only to a mean and std by channel.
    has_channels = len(pixels.mean) > 1 or len(pixels.std) > 1
    axis = frame_of(info.name, tuple(info.shape), pixels).channel_axis if has_channels else -1
    return pixels.normalize(array, axis)


def in_integers(array: NDArray[np.float32], info: "ValueInfo") -> NDArray[Any]:
    """A picture's numbers as the integers that the input takes for them: formula (2). Else as they are."""
    if info.scale is None or info.zero_point is None:
        return array
    dtype = np.dtype(info.type.removeprefix("tensor(").removesuffix(")"))
    ends = np.iinfo(dtype)
    places = np.rint(array / np.float32(info.scale)) + np.float32(info.zero_point)
    return np.asarray(np.clip(places, ends.min, ends.max).astype(dtype))


def open_files(path: Path, inputs: "Sequence[ValueInfo]", pixels: Pixels, limit: int | None = None) -> Files:
    """The samples of a file, or of a folder with all below it, for a model's inputs; at most `limit` of them.

    Raises `DataError` where there is nothing to read or a folder mixes pictures and arrays; reading raises it
    where a file is damaged or does not fit the inputs.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if not path.is_dir():
        if path.suffix.lower() not in ARRAYS + PICTURES:
            raise DataError(f"{path} is neither an array (.npy, .npz) nor a picture ({', '.join(PICTURES)})")
        return Files([path], inputs, pixels, limit)
    files = files_below(path)
    arrays = [file for file in files if file.suffix.lower() in ARRAYS]
    pictures = [file for file in files if file.suffix.lower() in PICTURES]
    if arrays and pictures:
        raise DataError(
            f"{path} mixes arrays ({arrays[0].name}) and pictures ({pictures[0].name}): keep one kind"
        )
    if not arrays and not pictures:
        raise DataError(f"{path} holds no arrays (.npy, .npz) and no pictures ({', '.join(PICTURES)})")
    return Files(arrays or pictures, inputs, pixels, limit)


def files_below(folder: Path) -> list[Path]:
    """The files of a folder and of all folders below it, in the order of their paths; links are followed.

    What is hidden, by a name that begins with a dot, is left out. Raises `DataError` where a link leads
    nowhere, as those of a data set that was not fetched whole.
    """
    files = sorted(_files(folder, ()))
    for file in files:
        if not file.exists() and file.suffix.lower() in ARRAYS + PICTURES:
            raise DataError(f"{file} is a link to {os.readlink(file)}, which does not exist: fetch that file")
    return [file for file in files if file.is_file()]


def _files(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    """All that is below a folder and no folder; `above` identifies the folders on the way to it."""
    found = folder.stat()
    here = (found.st_dev, found.st_ino)
    if here in above:
        return  # a link to a folder that it is in
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files(path, (*above, here))
        else:
            yield path


def read_arrays(path: Path) -> Feeds:
    """The arrays of a .npy file (its one array under the name "") or an .npz file.

    A .npy file is mapped, not read. Raises `DataError` where the file is damaged, or holds pickled objects.
    """
    try:
        loaded = np.load(path, mmap_mode="r" if path.suffix.lower() == ".npy" else None, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except OSError as error:
        if error.filename is not None:
            raise
        raise DataError(f"{path} is not a file of numpy arrays") from error
    except Exception as error:  # numpy's readers raise a dozen kinds on damaged files
        raise DataError(f"{path} cannot be read as numpy arrays ({error})") from error
