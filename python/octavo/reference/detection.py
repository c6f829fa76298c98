"""Ops of detectors."""

import numpy as np
import numpy.typing as npt

from octavo.errors import RunError
from octavo.program import Node
from octavo.reference.attributes import Array, Inputs, integer, optional, required
from octavo.reference.floats import Op

Float32s = npt.NDArray[np.float32]


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


DETECTION_OPS: dict[str, Op] = {"NonMaxSuppression": non_max_suppression}
