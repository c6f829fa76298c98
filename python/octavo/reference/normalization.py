"""Normalizations of vectors by what they hold; every operation is one rounding.

A vector's sums are those of the last axis: 16 lanes from +0, element i to lane i mod 16, folded by 8, 4, 2,
1, also where it is made of several axes. Only LpNormalization over another axis than the last sums in a
chain.
"""

from math import prod

import numpy as np

from octavo.errors import RunError
from octavo.program import Node
from octavo.program.attributes import integer, number
from octavo.reference.fma import Float32
from octavo.reference.operands import Array, Inputs, axis_of, optional, required
from octavo.reference.reductions import sum_chain, sum_lanes


def _mean(x: Float32) -> Float32:
    return sum_lanes(x)[..., None] / np.float32(x.shape[-1])


def _deviation(x: Float32, mean: Float32 | np.float32, epsilon: np.float32) -> Float32:
    """`sqrt(v + epsilon)`, v the mean of `(x - mean)^2` over the last axis."""
    centred = x - mean
    deviation: Float32 = np.sqrt(_mean(centred * centred) + epsilon)
    return deviation


def _parameter(array: Array, shape: tuple[int, ...]) -> Array:
    """A scale or a bias, flat."""
    if array.ndim > len(shape) or (1,) * (len(shape) - array.ndim) + array.shape != shape:
        raise RunError(f"a scale or bias of {list(array.shape)} for {list(shape)}")
    return array.reshape(-1)


def layer_normalization(node: Node, inputs: Inputs) -> list[Array]:
    """`(x - m) / sqrt(v + epsilon) * scale + b` over the axes from `axis` on.

    Then m, the mean, and `1 / sqrt(v + epsilon)`.
    """
    x = required(inputs, 0)
    axis = axis_of(integer(node, "axis"), x.ndim)
    outer, shape = x.shape[:axis], x.shape[axis:]
    scale, b = _parameter(required(inputs, 1), shape), optional(inputs, 2)
    flat = x.reshape(prod(outer), prod(shape))
    mean = _mean(flat)
    deviation = _deviation(flat, mean, number(node, "epsilon"))
    y = (flat - mean) / deviation * scale
    y = y if b is None else y + _parameter(b, shape)
    statistics = [s.reshape(outer + (1,) * len(shape)) for s in (mean, np.float32(1) / deviation)]
    return [y.reshape(x.shape), *statistics][: len(node.outputs)]


def rms_normalization(node: Node, inputs: Inputs) -> list[Array]:
    """`x / sqrt(v + epsilon) * scale` over the axes from `axis` on, v the mean of `x^2`."""
    x = required(inputs, 0)
    axis = axis_of(integer(node, "axis"), x.ndim)
    outer, shape = x.shape[:axis], x.shape[axis:]
    flat = x.reshape(prod(outer), prod(shape))
    y = (
        flat
        / _deviation(flat, np.float32(0), number(node, "epsilon"))
        * _parameter(required(inputs, 1), shape)
    )
    return [y.reshape(x.shape)]


def _grouped(node: Node, inputs: Inputs, groups: int) -> list[Array]:
    x = required(inputs, 0)
    channels = x.shape[1]
    if groups < 1 or channels % groups:
        raise RunError(f"{channels} channels in {groups} groups")
    scale, b = (_parameter(required(inputs, place), (channels,)) for place in (1, 2))
    flat = x.reshape(x.shape[0], groups, prod(x.shape[1:]) // groups)
    mean = _mean(flat)
    y = ((flat - mean) / _deviation(flat, mean, number(node, "epsilon"))).reshape(x.shape)
    by_channel = (channels,) + (1,) * (x.ndim - 2)
    return [y * scale.reshape(by_channel) + b.reshape(by_channel)]


def group_normalization(node: Node, inputs: Inputs) -> list[Array]:
    """x [N, C, *spatial]: the channels of each group, with their spatial axes, are a vector."""
    return _grouped(node, inputs, integer(node, "num_groups"))


def instance_normalization(node: Node, inputs: Inputs) -> list[Array]:
    """x [N, C, *spatial]: the spatial axes of each channel are a vector."""
    return _grouped(node, inputs, max(required(inputs, 0).shape[1], 1))


def lp_normalization(node: Node, inputs: Inputs) -> list[Array]:
    """x divided by the L1 or L2 norm of its vectors along the axis; a vector of norm 0 is 0."""
    x = required(inputs, 0)
    axis = axis_of(integer(node, "axis"), x.ndim)
    moved = np.moveaxis(x, axis, -1)
    total = sum_lanes if axis == x.ndim - 1 else sum_chain
    norm = total(np.abs(moved)) if integer(node, "p") == 1 else np.sqrt(total(moved * moved))
    y = np.where(norm[..., None] == 0, np.float32(0), moved / norm[..., None])
    return [np.ascontiguousarray(np.moveaxis(y, -1, axis))]


NORMALIZATION_OPS = {
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
    "InstanceNormalization": instance_normalization,
    "GroupNormalization": group_normalization,
    "LpNormalization": lp_normalization,
}
