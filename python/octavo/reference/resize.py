"""Resize by the nearest element, in float64 and the order of ONNX's formulas."""

import numpy as np
import numpy.typing as npt

from octavo.errors import RunError
from octavo.program import Node
from octavo.reference.attributes import Array, Inputs, axes_of, integers, number, optional, required, text

Float64 = npt.NDArray[np.float64]

ELEMENTS_MAX = 2**31 - 1


def resize(node: Node, inputs: Inputs) -> list[Array]:
    """x [*shape] with the axes resized by scales or to sizes; each element of the output is one of x's.

    tf_crop_and_resize gives extrapolation_value where its region leaves x.
    """
    x, roi = required(inputs, 0), optional(inputs, 1)
    axes = axes_of(integers(node, "axes") if "axes" in node.attributes else range(x.ndim), x.ndim)
    outputs, scales = _sizes(node, inputs, [x.shape[axis] for axis in axes])
    shape = list(x.shape)
    for axis, length in zip(axes, outputs, strict=True):
        shape[axis] = length
    if min(shape, default=1) < 0 or np.prod([float(n) for n in shape]) > ELEMENTS_MAX:
        raise RunError(f"it cannot make an array of shape {shape}")
    regions = _regions(node, roi, len(axes))
    outside: list[Array] = []
    for place, axis in enumerate(axes):
        at = _coordinates(node, x.shape[axis], outputs[place], scales[place], regions[place])
        if text(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize":
            beyond = (at < 0) | (at > x.shape[axis] - 1)
            outside.append(beyond.reshape([-1 if other == axis else 1 for other in range(x.ndim)]))
        if at.size and not x.shape[axis]:
            raise RunError(f"there is nothing to repeat on axis {axis} of {list(x.shape)}")
        x = np.take(x, np.clip(_nearest(node, at), 0, x.shape[axis] - 1).astype(np.int64), axis=axis)
    for beyond in outside:
        x = np.where(beyond, number(node, "extrapolation_value").astype(x.dtype), x)
    return [x]


def _regions(node: Node, roi: Array | None, axes: int) -> list[tuple[float, float]]:
    """Start and end of the region of each axis that tf_crop_and_resize takes, in parts of the axis."""
    if roi is None or text(node, "coordinate_transformation_mode", "") != "tf_crop_and_resize":
        return [(0.0, 1.0)] * axes
    if roi.size != 2 * axes or not np.isfinite(roi).all():
        raise RunError(f"the region {roi.tolist()} is not a start and an end for each of {axes} axes")
    return [(float(roi[place]), float(roi[place + axes])) for place in range(axes)]


def _sizes(node: Node, inputs: Inputs, lengths: list[int]) -> tuple[list[int], list[float]]:
    """The output's length and the scale of each axis.

    By scales, the length is floor(length * scale) in float32. By sizes, the scale is their quotient, one
    for all axes where the aspect ratio is kept.
    """
    scales, sizes = optional(inputs, 2), optional(inputs, 3)
    if scales is not None:
        if scales.size != len(lengths) or not (np.isfinite(scales) & (scales > 0)).all():
            raise RunError(
                f"scales {scales.tolist()} are not a positive number for each of {len(lengths)} axes"
            )
        floored = np.floor(np.array(lengths, np.float32) * scales)
        return [int(n) for n in floored], [float(scale) for scale in scales]
    wanted = [] if sizes is None else [int(n) for n in sizes]
    if len(wanted) != len(lengths) or min(wanted, default=0) < 0 or 0 in lengths:
        raise RunError(f"sizes {wanted} do not fit an input of {lengths}")
    ratios = [size / length for size, length in zip(wanted, lengths, strict=True)]
    policy = text(node, "keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        ratios = [ratio] * len(ratios)
        wanted = [int(np.floor(ratio * length + 0.5)) for length in lengths]
    return wanted, ratios


def _coordinates(node: Node, length: int, output: int, scale: float, region: tuple[float, float]) -> Float64:
    """Where each element of the output lies on an axis of x, before rounding."""
    x = np.arange(output, dtype=np.float64)
    start, end = region
    match text(node, "coordinate_transformation_mode", "half_pixel"):
        case "half_pixel":
            return (x + 0.5) / scale - 0.5
        case "half_pixel_symmetric":
            adjustment = output / (scale * length)
            return length / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (x + 0.5) / scale - 0.5 if output > 1 else np.zeros_like(x)
        case "align_corners":
            return x * (length - 1) / (output - 1) if output > 1 else np.zeros_like(x)
        case "asymmetric":
            return x / scale
        case _:  # tf_crop_and_resize
            if output > 1:
                return start * (length - 1) + x * (end - start) * (length - 1) / (output - 1)
            return np.full_like(x, 0.5 * (start + end) * (length - 1))


def _nearest(node: Node, at: Float64) -> Float64:
    match text(node, "nearest_mode", "round_prefer_floor"):
        case "round_prefer_floor":
            return np.ceil(at - 0.5)
        case "round_prefer_ceil":
            return np.floor(at + 0.5)
        case "floor":
            return np.floor(at)
        case _:
            return np.ceil(at)
