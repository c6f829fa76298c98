"""Ops of detectors."""

import numpy as np
import numpy.typing as npt

from octavo.errors import RunError
from octavo.program import Node
from octavo.program.attributes import integer, number, text
from octavo.reference.floats import Op
from octavo.reference.functions import maximum
from octavo.reference.movement import sized
from octavo.reference.operands import Array, Inputs, optional, required

Float32s = npt.NDArray[np.float32]

_SAMPLES_MAX = 4096
"""Most samples along an axis of one output of a RoiAlign."""


def _corners(boxes: Float32s, centred: bool) -> tuple[Float32s, Float32s, Float32s, Float32s]:
    """x1, y1, x2, y2 of boxes [n, 4], rising."""
    if centred:
        x, y, width, height = boxes.T
        w, h = width / np.float32(2), height / np.float32(2)
        return x - w, y - h, x + w, y + h
    y1, x1, y2, x2 = boxes.T
    rising_x, rising_y = x1 >= x2, y1 >= y2
    return (
        np.where(rising_x, x2, x1),
        np.where(rising_y, y2, y1),
        np.where(rising_x, x1, x2),
        np.where(rising_y, y1, y2),
    )


def _overlaps(corners: tuple[Float32s, ...], one: int, threshold: np.float32) -> npt.NDArray[np.bool_]:
    """Whether each box's intersection over union with box `one` is above the threshold, in float32."""
    x1, y1, x2, y2 = corners
    left, top = np.where(x1 > x1[one], x1, x1[one]), np.where(y1 > y1[one], y1, y1[one])
    right, bottom = np.where(x2 < x2[one], x2, x2[one]), np.where(y2 < y2[one], y2, y2[one])
    area = (x2 - x1) * (y2 - y1)
    intersection = (right - left) * (bottom - top)
    union = area + area[one] - intersection
    proper = (right > left) & (bottom > top) & (intersection > 0) & (area > 0) & (area[one] > 0) & (union > 0)
    return np.asarray(proper & (intersection / union > threshold))


def _scalar(array: Array | None, default: np.float32 | int | None) -> Array | np.float32 | int | None:
    if array is not None and array.size != 1:
        raise RunError(f"an operand of shape {list(array.shape)} is not one number")
    return default if array is None else array.reshape(())[()]


def non_max_suppression(node: Node, inputs: Inputs) -> list[Array]:
    """Rows [batch, class, box]: class by class, the best score first, of equal ones the lower index.

    A box is left out where it overlaps one already taken, or its score is not above the threshold or NaN.
    """
    boxes, scores = required(inputs, 0), required(inputs, 1)
    most = max(0, int(_scalar(optional(inputs, 2), 0)))  # type: ignore[arg-type]  # a number
    iou = np.float32(_scalar(optional(inputs, 3), 0))
    least = _scalar(optional(inputs, 4), None)
    if boxes.ndim != 3 or scores.ndim != 3 or boxes.shape[2] != 4 or scores.shape[::2] != boxes.shape[:2]:
        raise RunError("boxes [batches, n, 4] and scores [batches, classes, n] do not fit together")
    rows = []
    for batch, (own, by_class) in enumerate(zip(boxes, scores, strict=True)):
        corners = _corners(own, bool(integer(node, "center_point_box")))
        for index, score in enumerate(by_class):
            left = np.flatnonzero(~np.isnan(score) if least is None else score > least)
            left = left[np.argsort(-score[left], kind="stable")]
            for _ in range(min(most, len(score))):
                if not left.size:
                    break
                rows.append([batch, index, left[0]])
                left = left[1:][~_overlaps(corners, left[0], iou)[left[1:]]]
    return [np.array(rows, np.int64).reshape(-1, 3)]


def _span(node: Node, size: int, start: np.float32, end: np.float32) -> tuple[np.float32, np.float32, int]:
    """Where a region starts along an axis of `size` outputs, the length of an output, and its samples."""
    scale = number(node, "spatial_scale")
    is_shifted = text(node, "coordinate_transformation_mode", "") == "half_pixel"
    offset = np.float32(0.5 if is_shifted else 0)
    begin = start * scale - offset
    length = (end * scale - offset) - begin
    length = np.float32(1) if not is_shifted and length < 1 else length
    output = length / np.float32(size)
    samples = integer(node, "sampling_ratio") or np.ceil(output)
    if samples > _SAMPLES_MAX:
        raise RunError(f"a region from {start} to {end} is too large to sample")
    return begin, output, 0 if np.isnan(samples) else max(0, int(samples))


def _neighbours(size: int, span: tuple[np.float32, np.float32, int], n: int) -> tuple[Array, Array, Array]:
    """For each sample of each output [size, samples]: its two neighbours, the second's weight, -1 outside."""
    begin, output, samples = span
    across = (np.arange(samples, dtype=np.float32) + np.float32(0.5)) * output / np.float32(samples)
    at = (begin + np.arange(size, dtype=np.float32)[:, None] * output) + across
    outside = ~((at >= -1) & (at <= n))
    at = np.where(outside | ~(at > 0), np.float32(0), at)
    low = at.astype(np.int64)
    last = low + 1 >= n
    low, weight = np.where(last, n - 1, low), np.where(last, np.float32(0), at - low.astype(np.float32))
    return low, np.where(last, n - 1, low + 1), np.where(outside, np.float32(-1), weight)


def roi_align(node: Node, inputs: Inputs) -> list[Array]:
    """[regions, C, output_height, output_width]: the mean or maximum of bilinear samples of each region."""
    x, regions, images = (required(inputs, place) for place in range(3))
    if x.ndim != 4 or regions.shape != (images.size, 4) or images.ndim != 1:
        raise RunError("an input [N, C, H, W], regions [n, 4] and image indices [n] do not fit together")
    if ((images < 0) | (images >= len(x))).any():
        raise RunError(f"a region is of an image that is none of {len(x)}")
    size = integer(node, "output_height"), integer(node, "output_width")
    y = np.zeros(sized([len(regions), x.shape[1], *size]), np.float32)
    if y.size and 0 in x.shape:
        raise RunError(f"an input of shape {list(x.shape)} has nothing to sample")
    for region, image, pooled in zip(regions, x[images], y, strict=True):
        rows, columns = (_span(node, size[axis], region[1 - axis], region[3 - axis]) for axis in (0, 1))
        top, bottom, v = _neighbours(size[0], rows, x.shape[2])
        left, right, u = _neighbours(size[1], columns, x.shape[3])
        one, most = np.float32(1), text(node, "mode", "avg") == "max"
        for count, (i, j) in enumerate(np.ndindex(rows[2], columns[2])):
            t, s, a, b = top[:, i, None], bottom[:, i, None], v[:, i, None], u[:, j]
            corners = [
                ((one - a) * (one - b)) * image[:, t, left[:, j]],
                ((one - a) * b) * image[:, t, right[:, j]],
                (a * (one - b)) * image[:, s, left[:, j]],
                (a * b) * image[:, s, right[:, j]],
            ]
            value = corners[0]
            for corner in corners[1:]:
                value = maximum(value, corner) if most else value + corner
            value = np.where((a < 0) | (b < 0), np.float32(0), value)
            pooled[:] = value if most and not count else maximum(pooled, value) if most else pooled + value
        if not most:
            pooled /= np.float32(max(rows[2] * columns[2], 1))
    return [y]


DETECTION_OPS: dict[str, Op] = {"NonMaxSuppression": non_max_suppression, "RoiAlign": roi_align}
