"""What no single layer is to blame for: the samples, how they were prepared, how an output tells of
errors."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.calibration import Feeds
from octavo.errors import Error
from octavo.program import Program
from octavo.quantization import QuantizedModel
from octavo.quantization.inputs import FEWEST
from octavo.quantization.preprocessing import unlike_training
from octavo.report.comparison import Cause, OutputRow
from octavo.report.outputs import Labelled
from octavo.session import Session

Array = npt.NDArray[Any]
TURNED = 1.3
"""How many times rougher than with its channels last a picture is that was fed in another layout."""

BETTER, ENOUGH = 0.05, 32
"""By how much more labels must be hit with the channels reversed, and over how many at least."""

APART = 3.0
"""Decibels between an output and what goes into its softmax from which on that is told."""


def doubts(
    first: Program,
    held: Sequence[Labelled],
    outputs: Sequence[OutputRow],
    model: object,
    recalibrated: Callable[[], float | None],
    threads: int | None,
) -> list[Cause]:
    """The causes that are found in the samples, the calibration and the outputs.

    recalibrated: what the answers gain in dB by ranges from the samples that are compared.
    """
    feeds = [feeds for feeds, _ in held]
    return [
        *_few(model, recalibrated),
        *_constant(feeds, model, recalibrated),
        *_layout(first, feeds),
        *_channel_order(first, held, threads),
        *_preprocessing(first, feeds, threads),
        *_softmax(outputs),
    ]


def _few(model: object, recalibrated: Callable[[], float | None]) -> list[Cause]:
    if not isinstance(model, QuantizedModel) or not 0 < model.report.samples < FEWEST:
        return []
    text = f"the model was calibrated with {model.report.samples} samples"
    return [Cause("too few samples", text, "calibrate with a hundred or so that differ", recalibrated())]


def _constant(feeds: Sequence[Feeds], model: object, recalibrated: Callable[[], float | None]) -> list[Cause]:
    found = []
    seen = model.report.inputs if isinstance(model, QuantizedModel) else []
    for item in seen:
        if item.minimum == item.maximum:
            text = f"in calibration, input {item.name!r} was {item.minimum:g} throughout"
            found.append(
                Cause("constant samples", text, "calibrate with samples that differ", recalibrated())
            )
    if not found and len(feeds) > 1 and all(_same(feeds[0], other) for other in feeds[1:]):
        text = "the samples that are compared are all the same"
        found.append(Cause("constant samples", text, "give samples that differ"))
    return found


def _same(one: Feeds, other: Feeds) -> bool:
    return all(np.array_equal(array, other[name]) for name, array in one.items())


def _layout(first: Program, feeds: Sequence[Feeds]) -> list[Cause]:
    """Pictures that would be smoother if their channels lay elsewhere: they were reshaped, not transposed."""
    found = []
    for name in first.inputs:
        axis = _channel_axis(first, name)
        if axis is None:
            continue
        pairs = [_roughness(sample[name], axis) for sample in feeds]
        given, turned = (sum(side) for side in zip(*pairs, strict=True))
        if given > TURNED * turned > 0:
            other = "first" if axis == 3 else "last"
            axes = "0, 3, 1, 2" if axis == 1 else "0, 2, 3, 1"
            text = (
                f"neighbours in the pictures of input {name!r} differ {given / turned:.1f} times as much as "
                f"they would with the channels {other}"
            )
            found.append(Cause("layout", text, f"feed x.transpose({axes}), not a reshape"))
    return found


def _roughness(array: Array, axis: int) -> tuple[float, float]:
    """How much neighbours differ, as the picture is and with its elements read in the other layout."""
    n, *sizes = array.shape
    channels = sizes.pop(axis - 1)
    as_given = np.moveaxis(array, axis, 1)
    if axis == 1:
        turned = np.moveaxis(array.reshape(n, *sizes, channels), 3, 1)
    else:
        turned = array.reshape(n, channels, *sizes)
    return _differences(as_given), _differences(turned)


def _differences(array: Array) -> float:
    wide = array.astype(np.float64)
    across, down = (np.abs(np.diff(wide, axis=axis)).mean() for axis in (3, 2))
    return float(across + down)


def _channel_axis(first: Program, name: str) -> int | None:
    """The axis of the three channels of an input that is a picture."""
    shape = first.values[name].shape
    if shape is None or len(shape) != 4 or first.values[name].dtype != "f32":
        return None
    axes = [axis for axis in (1, 3) if shape[axis] == 3]
    return axes[0] if len(axes) == 1 else None


def _channel_order(first: Program, held: Sequence[Labelled], threads: int | None) -> list[Cause]:
    """Colours in the other order, which labels alone can tell."""
    pictures = [name for name in first.inputs if _channel_axis(first, name) is not None]
    rows = sum(len(labels) for _, labels in held if labels is not None)
    if len(pictures) != 1 or rows < ENOUGH:
        return []
    [name] = pictures
    axis = _channel_axis(first, name)
    assert axis is not None
    session = Session(replace(first, outputs=first.outputs[:1]), threads)
    hits = [0, 0]
    for feeds, labels in held:
        if labels is None:
            continue
        turned = {**feeds, name: np.ascontiguousarray(np.flip(feeds[name], axis))}
        for place, sample in enumerate((feeds, turned)):
            scores = session.run(None, sample)[0]
            if scores.shape[:-1] == labels.shape:
                hits[place] += int((scores.argmax(-1) == labels).sum())
    if hits[1] - hits[0] <= BETTER * rows:
        return []
    text = (
        f"with the channels of input {name!r} reversed the first model is right in "
        f"{100 * hits[1] / rows:.1f} % of the samples, as they are in {100 * hits[0] / rows:.1f} %"
    )
    return [Cause("channel order", text, f"feed np.flip(x, {axis})")]


def _preprocessing(first: Program, feeds: Sequence[Feeds], threads: int | None) -> list[Cause]:
    """Values in another scale than the model was trained on, as far as the model itself tells."""
    try:
        found = unlike_training(first, feeds, threads)
    except (Error, MemoryError):  # what only looks at the model must not end the comparison
        return []
    return [Cause("training range", text, "prepare samples as in training") for text in found]


def _softmax(outputs: Sequence[OutputRow]) -> list[Cause]:
    """Outputs whose SQNR says more of the softmax than of the network."""
    found = []
    for row in outputs:
        if row.before is None or row.sqnr is None or abs(row.sqnr - row.before[1]) <= APART:
            continue
        op, before = row.before
        text = f"output {row.name!r} has {row.sqnr:.1f} dB, what goes into its {op} {before:.1f} dB"
        found.append(Cause("softmax-limited SQNR", text, f"go by the dB before the {op}, or by agreement"))
    return found
