"""Resize: coordinates and weights in float64 and the order of ONNX's formulas.

By the nearest element, elements move. By linear and cubic interpolation, one axis is resized after the
other, the first one first: each output is one chain of fused multiply-adds over its taps, from +0, by weights
that are rounded to float32. A tap whose weight is 0 takes no part; axes that stay as they are are left out.
"""

import math

import numpy as np
import numpy.typing as npt

from octavo.errors import RunError
from octavo.program import Node
from octavo.program.attributes import integer, integers, number, text
from octavo.reference.fma import fma
from octavo.reference.operands import Array, Inputs, axes_of, optional, required

Float64 = npt.NDArray[np.float64]

ELEMENTS_MAX = 2**31 - 1


def resize(node: Node, inputs: Inputs) -> list[Array]:
    """x [*shape] with the axes resized by scales or to sizes.

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
    nearest = text(node, "mode", "nearest") == "nearest"
    for place, axis in sorted(enumerate(axes), key=lambda pair: pair[1]):
        at = _coordinates(node, x.shape[axis], outputs[place], scales[place], regions[place])
        if text(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize":
            beyond = (at < 0) | (at > x.shape[axis] - 1)
            outside.append(beyond.reshape([-1 if other == axis else 1 for other in range(x.ndim)]))
        if at.size and not x.shape[axis]:
            raise RunError(f"there is nothing to repeat on axis {axis} of {list(x.shape)}")
        if not nearest:
            x = _interpolated(x, axis, [_taps(node, x.shape[axis], scales[place], float(c)) for c in at])
            continue
        x = np.take(x, np.clip(_nearest(node, at), 0, x.shape[axis] - 1).astype(np.int64), axis=axis)
    for beyond in outside:
        x = np.where(beyond, number(node, "extrapolation_value").astype(x.dtype), x)
    return [x]


def _interpolated(x: Array, axis: int, taps: list[list[tuple[int, np.float32]]]) -> Array:
    """Each element of the axis a chain over its taps: pairs of an index and a weight."""
    if taps == [[(i, np.float32(1))] for i in range(x.shape[axis])]:
        return x
    x = np.moveaxis(x, axis, -1)
    y = np.zeros((*x.shape[:-1], len(taps)), np.float32)
    for step in range(max(map(len, taps), default=0)):
        at = [i for i, of in enumerate(taps) if step < len(of)]
        indices = [taps[i][step][0] for i in at]
        weights = np.array([taps[i][step][1] for i in at], np.float32)
        y[..., at] = fma(x[..., indices], weights, y[..., at])
    return np.moveaxis(y, -1, axis)


def _taps(node: Node, length: int, scale: float, x: float) -> list[tuple[int, np.float32]]:
    """The elements that make the one at x, clipped to the axis, and their weights."""
    a, below = float(number(node, "cubic_coeff_a")), math.floor(x)
    is_cubic, r = text(node, "mode", "") == "cubic", x - below
    if integer(node, "antialias"):
        scale = min(scale, 1.0)
        reach = (2.0 if is_cubic else 1.0) / scale
        places = list(range(math.floor(x - reach) + 1, math.ceil(x + reach)))
        distances = [abs((i - x) * scale) for i in places]
        weights = [_cubic(a, d) if is_cubic else max(1.0 - d, 0.0) for d in distances]
        weights = _shared(weights)
    elif is_cubic:
        places = [below - 1, below, below + 1, below + 2]
        weights = [_cubic(a, d) for d in (r + 1.0, r, 1.0 - r, 1.0 - r + 1.0)]
    else:
        places, weights = [below, below + 1], [1.0 - r, r]
    if integer(node, "exclude_outside"):
        weights = _shared([w if 0 <= i < length else 0.0 for i, w in zip(places, weights, strict=True)])
    taps = [(min(max(i, 0), length - 1), np.float32(w)) for i, w in zip(places, weights, strict=True)]
    return [(i, w) for i, w in taps if w != 0]


def _cubic(a: float, d: float) -> float:
    """Keys' cubic convolution at a distance of 0 or more."""
    if d <= 1.0:
        return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    return ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a if d < 2.0 else 0.0


def _shared(weights: list[float]) -> list[float]:
    """Divided by their sum, from the first to the last, unless that is 0."""
    total = 0.0
    for weight in weights:
        total += weight
    return [weight / total for weight in weights] if total else weights


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
