"""What `--data` names, read sample by sample: arrays in .npy and .npz files, pictures, folders of either."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octavo.cli.pixels import SUFFIXES as PICTURES
from octavo.cli.pixels import Pixels, frame_of, read_picture
from octavo.errors import DataError

if TYPE_CHECKING:
    from octavo.session import ValueInfo

ARRAYS = (".npy", ".npz")
Feeds = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Spec:
    """An input of a model; a text in `shape` is a free axis."""

    name: str
    shape: tuple[int | str, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Samples(Iterable[Feeds]):
    """The samples of some files, in the order of their names; each pass over them reads the files again."""

    paths: Sequence[Path]
    inputs: Sequence[Spec]
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

    def _read(self, path: Path) -> Iterator[Feeds]:
        if path.suffix.lower() in PICTURES:
            spec = self._only_input(path)
            picture = read_picture(path, frame_of(spec.name, spec.shape, self.pixels), self.pixels)
            yield {spec.name: _checked(picture, spec, path)}
            return
        arrays = read_arrays(path)
        if path.suffix.lower() == ".npy" or (len(self.inputs) == 1 and len(arrays) == 1):
            arrays = {self._only_input(path).name: next(iter(arrays.values()))}
        yield from self._split(path, arrays)

    def _only_input(self, path: Path) -> Spec:
        if len(self.inputs) != 1:
            names = ", ".join(spec.name for spec in self.inputs)
            raise DataError(
                f"{path} feeds one input, the model has {len(self.inputs)}: give .npz files with {names}"
            )
        return self.inputs[0]

    def _split(self, path: Path, arrays: Mapping[str, NDArray[Any]]) -> Iterator[Feeds]:
        missing = [spec.name for spec in self.inputs if spec.name not in arrays]
        if missing:
            held = ", ".join(arrays) or "nothing"
            raise DataError(
                f"{path} holds {held}, but the model's inputs are {', '.join(s.name for s in self.inputs)}"
            )
        parts = {spec.name: _parts(arrays[spec.name], spec, path) for spec in self.inputs}
        counts = {name: len(part) for name, part in parts.items()}
        if len(set(counts.values())) > 1:
            raise DataError(f"{path} holds different numbers of samples: {counts}")
        for index in range(next(iter(counts.values()))):
            yield {
                spec.name: _checked(self._values(parts[spec.name][index], spec), spec, path)
                for spec in self.inputs
            }

    def _values(self, array: NDArray[Any], spec: Spec) -> NDArray[Any]:
        if array.dtype != np.uint8 or spec.dtype != np.float32:
            return array
        return self.pixels.normalize(array, _channel_axis(spec, self.pixels))


def specs_of(infos: "Iterable[ValueInfo]") -> list[Spec]:
    """What a session says of its inputs, with numpy's dtype for "tensor(float)" and its like."""
    return [Spec(info.name, tuple(info.shape), _dtype(info.type)) for info in infos]


def _dtype(onnx_type: str) -> np.dtype[Any]:
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32", "double": "float64"}.get(name, name))


def open_samples(path: Path, inputs: Sequence[Spec], pixels: Pixels, limit: int | None = None) -> Samples:
    """The samples of a file, or of a folder with all below it, for a model's inputs; at most `limit` of them.

    Raises `DataError` where there is nothing to read or a folder mixes pictures and arrays; reading raises it
    where a file is damaged or does not fit the inputs.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if not path.is_dir():
        if path.suffix.lower() not in ARRAYS + PICTURES:
            raise DataError(f"{path} is neither an array (.npy, .npz) nor a picture ({', '.join(PICTURES)})")
        return Samples([path], inputs, pixels, limit)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    arrays = [file for file in files if file.suffix.lower() in ARRAYS]
    pictures = [file for file in files if file.suffix.lower() in PICTURES]
    if arrays and pictures:
        raise DataError(
            f"{path} mixes arrays ({arrays[0].name}) and pictures ({pictures[0].name}): keep one kind"
        )
    if not arrays and not pictures:
        raise DataError(f"{path} holds no arrays (.npy, .npz) and no pictures ({', '.join(PICTURES)})")
    return Samples(arrays or pictures, inputs, pixels, limit)


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


def _parts(array: NDArray[Any], spec: Spec, path: Path) -> Sequence[NDArray[Any]]:
    """An array as feeds of a sample each: one sample without batch axis, or many along the first axis."""
    rank = len(spec.shape)
    if array.ndim == rank - 1:
        return [array[np.newaxis]]
    if array.ndim == rank + 1 or rank == 0:
        return list(array)
    if array.ndim != rank:
        raise DataError(
            f"{path} holds shape {list(array.shape)}, input '{spec.name}' wants {list(spec.shape)}"
        )
    step = spec.shape[0] if isinstance(spec.shape[0], int) and spec.shape[0] > 0 else 1
    if array.shape[0] % step:
        raise DataError(
            f"{path} holds {array.shape[0]} samples, "
            f"input '{spec.name}' of shape {list(spec.shape)} takes {step} at a time"
        )
    return [array[start : start + step] for start in range(0, array.shape[0], step)]


def _channel_axis(spec: Spec, pixels: Pixels) -> int:
    """Where the channels of an array of pixels stand; it matters only to a mean and std given by channel."""
    if len(pixels.mean) == len(pixels.std) == 1:
        return -1
    return frame_of(spec.name, spec.shape, pixels).channel_axis


def _checked(array: NDArray[Any], spec: Spec, path: Path) -> NDArray[Any]:
    if array.dtype != spec.dtype:
        raise DataError(f"{path} holds {array.dtype}, input '{spec.name}' wants {spec.dtype}")
    fits = array.ndim == len(spec.shape) and all(
        isinstance(want, str) or want == have for want, have in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        raise DataError(
            f"{path} gives shape {list(array.shape)}, input '{spec.name}' wants {list(spec.shape)}"
        )
    return array
