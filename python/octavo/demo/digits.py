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
ROUNDS, RUNS = 100, 20


@dataclass(frozen=True)
class Measured:
    """What one form of the network does. latency: of a run with one image, the median, in seconds."""

    accuracy: float
    bytes: int
    latency: float


@dataclass(frozen=True)
class Comparison:
    """Both forms, and how often their answers agree, over `images` images.

    macs: multiplications and additions an image. isa, threads: what ran.
    """

    images: int
    agreement: float
    macs: int
    isa: str
    threads: int
    float32: Measured
    int8: Measured

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def compare(threads: int = 1) -> Comparison:
    """Quantizes the network with 100 training images, and runs both forms over 1000 test images."""
    with np.load(FOLDER / "calibration.npz") as file:
        calibration = _reals(file["images"])
    with np.load(FOLDER / "images.npz") as file:
        images, labels = _reals(file["images"]), file["labels"]
    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(folder) / "digits.octavo"
        model = octavo.quantize(MODEL, calibration)
        model.save(artifact)
        sessions = [octavo.Session(path, threads=threads) for path in (MODEL, artifact)]
        sizes = [path.stat().st_size for path in (MODEL, artifact)]
    digits = [_digits(session, images) for session in sessions]
    latencies = _latencies(sessions, images[:1])
    float32, int8 = (
        Measured(float(np.mean(found == labels)), size, latency)
        for found, size, latency in zip(digits, sizes, latencies, strict=True)
    )
    agreement = float(np.mean(digits[0] == digits[1]))
    isa, used = sessions[0].isa, sessions[0].threads
    return Comparison(len(images), agreement, model.report.macs, isa, used, float32, int8)


def _reals(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.astype(np.float32) / np.float32(255)


def _digits(session: "octavo.Session", images: NDArray[np.float32]) -> NDArray[np.int64]:
    batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    return np.concatenate([session.run(None, {"input": batch})[0].argmax(1) for batch in batches])


def _latencies(sessions: "list[octavo.Session]", image: NDArray[np.float32]) -> list[float]:
    """The median time of a run of each, in turns, so that what else the machine does falls on all alike."""
    times: list[list[float]] = [[] for _ in sessions]
    for _ in range(ROUNDS):
        for session, taken in zip(sessions, times, strict=True):
            session.run(None, {"input": image})
            for _ in range(RUNS):
                start = time.perf_counter()
                session.run(None, {"input": image})
                taken.append(time.perf_counter() - start)
    return [sorted(taken)[len(taken) // 2] for taken in times]
