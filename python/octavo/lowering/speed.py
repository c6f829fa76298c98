"""Which convolutions have fast integer kernels, and which are better off in float.

Depthwise convolutions of few channels go through in rows. Those of more interleave the taps of a column for
all channels, which pays off where neighbouring outputs share the columns, or a column has many taps; windows
whose columns lie too far apart are left to code that finds the places of its taps anew for every pixel. A
grouped convolution is a product a group, which pays off where a group's sums are long. Elsewhere int8 takes
1.1 to 40 times as long as float.

Products of short sums stay in integers, for their neighbours would have to convert, and the report names
them: AVX2 takes up to 2.3 times as long for one as by float, and VNNI gains little.

The rules ask for shapes and attributes alone: a model becomes the same artifact on every machine.
tests/engines/beside_float.py measures what they keep in integers without naming it, and
benches/depthwise_beside_float.rs of the crate octavo-kernels more of the depthwise shapes.
"""

from dataclasses import dataclass
from math import ceil, prod

from octavo.lowering.wiring import Unit, Wiring
from octavo.program import Node, Program
from octavo.program.attributes import integer, integers

ROW_CHANNELS = 8
"""Channels below which depthwise kernels go through in rows."""
STRIP = 4096
"""Lanes of words of taps that the kernels keep together, for all the columns that a few outputs see."""
STRIP_ROWS = 32
"""Rows of a window that they keep..."""
STRIP_COLUMNS = 64
"""... and columns."""
TIERS = ((2, 8), (4, 8), (4, 16))
"""Taps that the tiers interleave, and lanes of their registers of sums."""
FEW_OUTPUTS = 4
"""Registers of outputs that go through together."""
FEW_TAPS = 16
"""Taps below which what is done once an output counts."""
HALF_GROUP, GROUP = 8, 16
"""Channels of the depthwise kernels that transposed convolutions have: so many, or from so many on."""
GROUP_CHANNELS = 16
"""Input channels of a group from which on a product of windows gains."""
POINTWISE_CHANNELS = 4
"""The same where the product reads pixels in place: as many as it multiplies at a time."""
FEW_PRODUCTS = 18
"""Products of a sum up to which integers can be slower than float..."""
FEW_TRANSPOSED = 16
"""... and channels of a transposed convolution, whose sums are a part of its window's."""


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


def no_fast_transposed_kernel(wiring: Wiring, unit: Unit) -> str | None:
    """The same of a ConvTranspose, whose phases are convolutions."""
    weight = wiring.constant(unit.node.inputs[1])
    assert weight is not None
    groups = integer(unit.node, "group")
    if is_depthwise(unit.node, weight.shape):
        return _few_channels(groups)
    if groups == 1 or weight.shape[0] >= groups * GROUP_CHANNELS:
        return None
    return _NARROW_GROUPS.format("transposed convolution", GROUP_CHANNELS)


def is_depthwise(node: Node, weight: tuple[int | str, ...] | None) -> bool:
    """Whether a convolution by weights of this shape makes each channel of a channel of its own."""
    groups = integer(node, "group")
    return groups > 1 and weight is not None and weight[:2] == (groups, 1)


def slower_products(program: Program) -> list[Node]:
    """The integer products, but depthwise ones, of such short sums that float could be the faster."""
    weights = {
        node.name: program.values[node.inputs[1]].shape or ()
        for node in program.nodes
        if node.op in ("QConv", "QConvTranspose", "QGemm")
    }
    return [node for node in program.nodes if node.name in weights and _is_narrow(node, weights[node.name])]


def _is_narrow(node: Node, weight: tuple[int | str, ...]) -> bool:
    if node.op == "QGemm":
        return _number(weight[0]) <= FEW_PRODUCTS
    if is_depthwise(node, weight):
        return False
    if node.op == "QConvTranspose":
        return _number(weight[1]) <= FEW_TRANSPOSED
    return prod(map(_number, weight[1:])) <= FEW_PRODUCTS


def _number(size: int | str) -> int:
    assert isinstance(size, int)  # of a constant
    return size


def _slow_depthwise(unit: Unit, window: tuple[int, ...], channels: int) -> str | None:
    height, width = window if len(window) == 2 else (1, window[0])
    strides, dilations = (
        tuple(integers(unit.node, name)) if len(window) == 2 else (1, integers(unit.node, name)[0])
        for name in ("strides", "dilations")
    )
    tiers = [_Columns.of((height, width), strides, dilations, taps) for taps, _ in TIERS]
    fits = (
        columns.fit(height, strides[1], channels, lanes)
        for columns, (_, lanes) in zip(tiers, TIERS, strict=True)
    )
    if not all(fits):
        return (
            f"a depthwise convolution by a window of {list(window)} that reaches over {tiers[0].reach + 1} "
            "columns has no fast integer kernel"
        )
    is_usual = (height, width) in ((3, 3), (5, 5)) and strides in ((1, 1), (2, 2)) and dilations == (1, 1)
    if channels < ROW_CHANNELS or is_usual or tiers[0].pay_off(height, width, strides[1]):
        return None
    axes = slice(2 - min(len(window), 2), 2)
    return (
        f"a depthwise convolution by a window of {list(window)}, strides {list(strides[axes])} and dilations "
        f"{list(dilations[axes])} has no fast integer kernel: its outputs share too little"
    )


@dataclass(frozen=True)
class _Columns:
    """The interleaved columns of a window.

    words: so many, each of taps side by side, make a column. count: columns that an output meets. lines: so
    many of them are made for one output; the others are its neighbours'. reach: from the first to the last.
    shared: output rows that a column is made for.
    """

    words: int
    count: int
    lines: int
    reach: int
    shared: int

    @staticmethod
    def of(
        window: tuple[int, int], strides: tuple[int, ...], dilations: tuple[int, ...], taps: int
    ) -> "_Columns":
        height, width = window
        if height == 1:  # words of neighbouring taps
            words, count, distance = 1, ceil(width / taps), taps * dilations[1]
        else:
            words, count, distance = ceil(height / taps), width, dilations[1]
        has_room = height > 1 and height % taps > 0 and strides[0] == dilations[0] == 1
        lines = len({column * distance % strides[1] for column in range(min(count, STRIP_COLUMNS))})
        return _Columns(words, count, lines, (count - 1) * distance, 2 if has_room else 1)

    def fit(self, height: int, stride: int, channels: int, lanes: int) -> bool:
        """Whether a strip has room for a few registers of outputs."""
        pixel = min(channels, lanes)
        room = (STRIP // self.words // self.lines - lanes) // pixel - self.reach // stride
        return height <= STRIP_ROWS and self.count <= STRIP_COLUMNS and room * pixel >= FEW_OUTPUTS * lanes

    def pay_off(self, height: int, width: int, stride: int) -> bool:
        """Whether an output meets enough taps for the words that are made for it."""
        made, taps = self.words * self.lines, height * width
        if height == 1:
            return 9 * made <= taps
        met = taps * self.shared
        if taps < FEW_TAPS and ((stride > 1 and 6 * made > met) or (height == 2 and width > 2)):
            return False
        return 8 * made <= 3 * met


def _few_channels(channels: int) -> str | None:
    if channels == HALF_GROUP or channels >= GROUP:
        return None
    return (
        f"a depthwise transposed convolution of {channels} channels has no fast integer kernel; "
        f"{HALF_GROUP}, or {GROUP} and more, have"
    )


def _slow_groups(unit: Unit, window: tuple[int, ...], channels: int) -> str | None:
    in_place = {*window, *integers(unit.node, "strides")} == {1} and not any(integers(unit.node, "pads"))
    least = POINTWISE_CHANNELS if in_place else GROUP_CHANNELS
    if channels >= least:
        return None
    return _NARROW_GROUPS.format("convolution", least)


_NARROW_GROUPS = "a {} by groups of fewer than {} input channels has no fast integer kernel"
