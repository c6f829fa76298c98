"""Where a transposed convolution writes: the geometry of each of its axes."""

from dataclasses import dataclass

from octavo.errors import RunError
from octavo.program import Node
from octavo.program.attributes import integers, text


@dataclass(frozen=True)
class TransposedAxis:
    """Tap t of element i of the input reaches position `i * stride + t * dilation - begin` of the output.

    size: of the input. kernel: taps. length: of the output.
    """

    size: int
    kernel: int
    length: int
    begin: int
    stride: int
    dilation: int

    def first(self, tap: int) -> int:
        """The first position of a tap's phase, which lies a whole number of strides from what it reaches."""
        return (tap * self.dilation - self.begin) % self.stride


def transposed_axes(node: Node, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> list[TransposedAxis]:
    """The axes of a ConvTranspose or QConvTranspose, auto_pad and output_shape resolved.

    Raises `RunError` where the pads are more than the output.
    """
    return [_axis(node, axis, *sizes) for axis, sizes in enumerate(zip(spatial, kernel, strict=True))]


def _axis(node: Node, axis: int, size: int, kernel: int) -> TransposedAxis:
    stride, dilation = integers(node, "strides")[axis], integers(node, "dilations")[axis]
    reach = (kernel - 1) * dilation + 1 + integers(node, "output_padding")[axis]
    whole = max(size - 1, 0) * stride + reach
    auto_pad = text(node, "auto_pad", "NOTSET")
    if auto_pad != "NOTSET":
        given = "output_shape" in node.attributes
        length = integers(node, "output_shape")[axis] if given else size * stride
        begin = (max(whole - length, 0) + (auto_pad == "SAME_LOWER")) // 2
        return TransposedAxis(size, kernel, length, begin, stride, dilation)
    pads = integers(node, "pads")
    begin, end = pads[axis], pads[axis + len(pads) // 2]
    if whole < begin + end:
        raise RunError(f"its pads take more than the {whole} elements of axis {axis}")
    return TransposedAxis(size, kernel, whole - begin - end, begin, stride, dilation)
