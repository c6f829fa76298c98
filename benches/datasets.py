"""The models and data that accuracy and latency are measured on: files, preprocessing, samples.

They lie in the folder that OCTAVO_TEST_DATA names, by default `../shared/data` beside the repository. All
that is special to one model is here.
"""

import gzip
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
CALIBRATION = 100  # samples at most


def root() -> Path:
    """The folder with the models and the data."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("OCTAVO_TEST_DATA", beside))


@dataclass(frozen=True)
class Samples:
    """Raw samples (pixels as uint8, or features) along the first axis, and any labels."""

    raw: Array
    labels: Array | None = None

    def __len__(self) -> int:
        return len(self.raw)


@dataclass(frozen=True)
class Case:
    """A model, its data, and what is compared."""

    name: str
    input: str
    load: Callable[[], tuple[Samples, Samples]]  # calibration, score
    prepare: Callable[[Array], Array]  # raw samples -> the model's float32 input
    output: str | None = None  # the output that is compared, by default the first
    classes: bool = True  # the last axis of that output is argmaxed
    batch: int = 20  # samples a run

    @property
    def model(self) -> Path:
        return root() / "models" / f"{self.name}.onnx"

    @property
    def tflite(self) -> Path:
        """The model as int8 for LiteRT; not all models have one."""
        return root() / "models" / f"{self.name}-int8.tflite"

    def calibration(self) -> Array:
        """The samples that ranges are taken from, prepared."""
        return self.prepare(self.load()[0].raw[:CALIBRATION])

    def batches(self, limit: int | None = None) -> Iterator[tuple[Array, Array | None]]:
        """The samples that are scored, prepared, and their labels, `batch` at a time."""
        samples = self.load()[1]
        for start in range(0, len(samples) if limit is None else min(limit, len(samples)), self.batch):
            part = slice(start, start + self.batch)
            labels = None if samples.labels is None else samples.labels[part]
            yield self.prepare(samples.raw[part]), labels


def _photos(folder: str, size: tuple[int, int] | None = None) -> Samples:
    """ImageNet photos, labelled by the first four digits of their names; `size` is width, height."""
    from PIL import Image

    paths = sorted((root() / "images" / "imagenet" / folder).glob("*.jpg"))
    photos = []
    for path in paths:
        with Image.open(path) as image:
            photo = image.convert("RGB")
            photos.append(np.asarray(photo.resize(size, Image.Resampling.BILINEAR) if size else photo))
    return Samples(np.stack(photos), np.array([int(path.name[:4]) for path in paths]))


def _imagenet() -> tuple[Samples, Samples]:
    return _photos("calib"), _photos("score")


def _unlabelled_photos(width: int, height: int) -> tuple[Samples, Samples]:
    """The same photos for models that know other classes."""
    calibration, score = (_photos(folder, (width, height)) for folder in ("calib", "score"))
    return Samples(calibration.raw), Samples(score.raw)


def _mnist() -> tuple[Samples, Samples]:
    folder = root() / "images" / "mnist"
    with np.load(folder / "calib.npz") as calibration:
        first = Samples(calibration["images"], calibration["labels"])
    [images] = folder.glob("*images*.gz")
    [labels] = folder.glob("*labels*.gz")
    pixels = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)
    return first, Samples(pixels, np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8))


def _npz(folder: str, key: str) -> tuple[Samples, Samples]:
    def read(name: str) -> Samples:
        with np.load(root() / folder / name) as arrays:
            return Samples(arrays[key], arrays["labels"])

    return read("calib.npz"), read("test.npz")


def _toycar() -> tuple[Samples, Samples]:
    with np.load(root() / "ad" / "normal.npz") as arrays:
        windows = arrays["features"]
    return Samples(windows[:98]), Samples(windows[98:])


def _nchw(x: Array) -> Array:
    return np.ascontiguousarray(x.astype(np.float32, copy=False).transpose(0, 3, 1, 2))


def _standard(raw: Array) -> Array:
    """ImageNet's mean and standard deviation."""
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)
    return _nchw((raw / np.float32(255) - mean) / std)


def _as_floats(raw: Array) -> Array:
    return raw.astype(np.float32)


CASES = (
    Case("mnist-cnn", "input", _mnist, lambda raw: (raw / np.float32(255))[:, None], batch=500),
    Case("resnet8", "input_1", lambda: _npz("images/cifar10", "images"), _as_floats, batch=100),
    Case("dscnn", "input_1", lambda: _npz("kws", "features"), _as_floats, batch=100),
    Case("vww", "input_1", lambda: _unlabelled_photos(96, 96), lambda raw: raw / np.float32(255)),
    Case("autoencoder", "input_1", _toycar, _as_floats, classes=False, batch=98),
    Case("resnet20-cifar", "input", lambda: _npz("images/cifar10", "images"), _standard, batch=100),
    Case("squeezenet", "data", _imagenet, _standard),
    Case("mobilenetv2", "input", _imagenet, lambda raw: _nchw(raw / np.float32(127.5) - np.float32(1))),
    Case(
        "ultraface",
        "input",
        lambda: _unlabelled_photos(320, 240),
        lambda raw: _nchw((raw.astype(np.float32) - 127) / np.float32(128)),
        output="scores",
        batch=1,
    ),
)


def cases(names: str | None = None) -> list[Case]:
    """All cases, or those named, separated by commas."""
    if names is None:
        return list(CASES)
    known = {case.name: case for case in CASES}
    return [known[name] for name in names.split(",")]
