"""What `auto_pad` means in numbers."""

from octavo.program import Attribute


def resolve_auto_pad(
    attributes: dict[str, Attribute], kernel: list[int], shape: tuple[int | str, ...] | None
) -> None:
    """Replace `auto_pad` by `pads` (all beginnings, then all ends) in `attributes`.

    kernel: the window's size on each spatial axis; `strides` and `dilations` are present already. shape: of
    the input [N, C, *spatial]; where the pads that SAME asks for follow from a size that is not a number,
    `auto_pad` stays, and the plan resolves it.
    """
    mode = attributes.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        attributes.setdefault("pads", [0] * (2 * len(kernel)))
    elif mode == "VALID":
        attributes["pads"] = [0] * (2 * len(kernel))
    else:
        spatial = shape[2:] if shape is not None else ("?",) * len(kernel)
        pads = _same(attributes, kernel, spatial, lower=mode == "SAME_LOWER")
        if pads is None:
            attributes.pop("pads", None)
            return
        attributes["pads"] = pads
    attributes.pop("auto_pad", None)


def _same(
    attributes: dict[str, Attribute], kernel: list[int], sizes: tuple[int | str, ...], *, lower: bool
) -> list[int] | None:
    """Pads that make the output `ceil(size / stride)` long; an odd one goes to the end, or the beginning.

    None where one depends on a size that is not a number.
    """
    strides: list[int] = attributes["strides"]  # type: ignore[assignment]  # lists by ONNX's schema
    dilations: list[int] = attributes["dilations"]  # type: ignore[assignment]
    begins, ends = [], []
    for size, extent, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        window = (extent - 1) * dilation + 1
        if stride == 1 or window == 1:
            total = window - 1  # whatever the size
        elif isinstance(size, int):
            total = max(0, (-(-size // stride) - 1) * stride + window - size)
        else:
            return None
        begins.append(total - total // 2 if lower else total // 2)
        ends.append(total // 2 if lower else total - total // 2)
    return begins + ends
