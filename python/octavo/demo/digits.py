"""Quantizes the demo's network and measures it in float and in int8 on the same images."""

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import octavo

FOLDER = Path(__file__).resolve().parent
MODEL = FOLDER / "mnist-cnn.onnx"
BATCH = 100


@dataclass(frozen=True)
class Measured:
    """What one form of the network does. `latency` is the median of single images, in seconds."""

    accuracy: float
    bytes: int
    latency: float


@dataclass(frozen=True)
class Comparison:
    """Both forms, and how often their answers agree, over `images` images."""

    images: int
    agreement: float
    float32: Measured
    int8: Measured

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def compare(threads: int | None = None) -> Comparison:
    """Quantizes the network with 100 training images, and runs both forms over 1000 test images."""
    with np.load(FOLDER / "calibration.npz") as file:
        calibration = _reals(file["images"])
    with np.load(FOLDER / "images.npz") as file:
        images, labels = _reals(file["images"]), file["labels"]
    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(folder) / "digits.octavo"
        octavo.quantize(MODEL, calibration).save(artifact)
        digits = {}
        measured = {}
        for path in (MODEL, artifact):
            session = octavo.Session(path, threads=threads)
            digits[path] = _digits(session, images)
            accuracy = float(np.mean(digits[path] == labels))
            measured[path] = Measured(accuracy, path.stat().st_size, _latency(session, images[:1]))
        agreement = float(np.mean(digits[MODEL] == digits[artifact]))
        return Comparison(len(images), agreement, measured[MODEL], measured[artifact])


def _reals(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.astype(np.float32) / np.float32(255)


def _digits(session: "octavo.Session", images: NDArray[np.float32]) -> NDArray[np.int64]:
    batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    return np.concatenate([session.run(None, {"input": batch})[0].argmax(1) for batch in batches])


def _latency(session: "octavo.Session", image: NDArray[np.float32]) -> float:
    times = []
    for _ in range(300):
        start = time.perf_counter()
        session.run(None, {"input": image})
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]
