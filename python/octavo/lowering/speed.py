"""Which convolutions have fast integer kernels, and which are better off in float.

A depthwise convolution goes 8 channels at a time, and keeps the columns that neighbouring outputs share.
Fewer channels, or a window whose columns lie too far apart for that, are left to code that finds the places
of its taps anew for every pixel. A grouped convolution is a product a group, which pays off where a group's
sums are long. Elsewhere int8 takes 1.2 to 40 times as long as float.

The rule asks for shapes and attributes alone: a model becomes the same artifact on every machine.
"""

from math import ceil

from octavo.lowering.wiring import Unit, Wiring
from octavo.program import Node
from octavo.program.attributes import integer, integers

HALF_GROUP = 8
"""Channels that depthwise kernels take at a time: as many alone..."""
GROUP = 16
"""... or this many and more, whose last ones may overlap."""
STRIP = 512
"""Pairs of taps, for all the columns that a few outputs see, that the kernels keep together."""
STRIP_ROWS = 32
"""Rows of a window that they keep."""
FEW_OUTPUTS = 4
"""Outputs that go through together."""
GROUP_CHANNELS = 16
"""Input channels of a group from which on a product of windows gains."""
POINTWISE_CHANNELS = 4
"""The same where the product reads pixels in place: as many as it multiplies at a time."""


def no_fast_kernel(wiring: Wiring, unit: Unit) -> str | None:
    """Why a Conv by constant weights is better off in float, or None where it is not."""
    weight = wiring.constant(unit.node.inputs[1])
    assert weight is not None
    groups, window = integer(unit.node, "group"), weight.shape[2:]
    if groups == 1:
        return None
    if is_depthwise(unit.node, weight.shape):
        return _slow_depthwise(unit, window, groups)
    return _slow_groups(unit, window, weight.shape[1])


def is_depthwise(node: Node, weight: tuple[int | str, ...] | None) -> bool:
    """Whether a convolution by weights of this shape makes each channel of a channel of its own."""
    groups = integer(node, "group")
    return groups > 1 and weight is not None and weight[:2] == (groups, 1)


def _slow_depthwise(unit: Unit, window: tuple[int, ...], channels: int) -> str | None:
    if channels < GROUP and channels != HALF_GROUP:
        return (
            f"a depthwise convolution of {channels} channels has no fast integer kernel; "
            f"{HALF_GROUP}, or {GROUP} and more, have"
        )
    height, width = window if len(window) == 2 else (1, window[0])
    stride, dilation = integers(unit.node, "strides")[-1], integers(unit.node, "dilations")[-1]
    if height == 1:
        pairs, reach = 1, (ceil(width / 2) - 1) * 2 * dilation
    else:
        pairs, reach = ceil(height / 2), (width - 1) * dilation
    columns = reach + 1 + (FEW_OUTPUTS - 1) * stride
    if height <= STRIP_ROWS and pairs * columns <= STRIP:
        return None
    return (
        f"a depthwise convolution by a window of {list(window)} that reaches over {reach + 1} columns has no "
        "fast integer kernel"
    )


def _slow_groups(unit: Unit, window: tuple[int, ...], channels: int) -> str | None:
    in_place = {*window, *integers(unit.node, "strides")} == {1} and not any(integers(unit.node, "pads"))
    least = POINTWISE_CHANNELS if in_place else GROUP_CHANNELS
    if channels >= least:
        return None
    return f"a convolution by groups of fewer than {least} input channels has no fast integer kernel"
