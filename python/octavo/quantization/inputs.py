"""What is doubtful about calibration data, as far as the model itself tells without labels."""

from octavo.calibration import Calibration, Kept
from octavo.errors import Error
from octavo.program import Program
from octavo.quantization.preprocessing import unlike_training

FEWEST = 32
"""Samples below which values that occur in use are likely to be missed."""

DOUBT_NEEDS = ("counts", "extremes")
"""The statistics of the calibration that doubts are drawn from."""


def doubts(floats: Program, calibration: Calibration, threads: int | None) -> list[str]:
    """What is doubtful about the data that a float Program was calibrated with, one sentence each."""
    few, constant = _few(floats, calibration.samples), _constant(floats, calibration)
    if constant:
        return few + constant
    try:
        return few + unlike_training(floats, calibration.kept.feeds, threads)
    except (Error, MemoryError):  # what only looks at the model must not keep it from being quantized
        return few


def _few(floats: Program, samples: int) -> list[str]:
    shapes = [floats.values[name].shape for name in floats.inputs]
    batch = max((shape[0] for shape in shapes if shape and isinstance(shape[0], int)), default=1)
    if samples * max(1, batch) >= FEWEST:
        return []
    counted = "one sample" if samples == 1 else f"{samples} samples"
    return [f"{counted} only: ranges miss what they do not show; give a hundred or so that differ"]


def _constant(floats: Program, calibration: Calibration) -> list[str]:
    """Inputs of several elements that hold one value throughout, or samples that are all the same."""
    found, statistics = [], calibration.statistics
    for name in floats.inputs:
        if name not in calibration.names:
            continue
        counts, extremes = (statistics.read(name, need) for need in DOUBT_NEEDS)
        least, greatest = extremes.get("minimum"), extremes.get("maximum")
        if least is None or least != greatest or counts["elements"] <= calibration.samples:
            continue
        found.append(f"input '{name}' is {least:g} throughout: give typical values")
    if not found and _same(calibration.kept):
        found.append("the samples are all the same: give a hundred or so that differ")
    return found


def _same(kept: Kept) -> bool:
    first = kept.feeds[0]
    return len(kept.feeds) > 1 and all(
        array.tobytes() == first[name].tobytes() for feeds in kept.feeds[1:] for name, array in feeds.items()
    )
