"""Pictures and bytes of pixels as the arrays that a model reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from octavo.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
Layout = Literal["nchw", "nhwc"]


@dataclass(frozen=True)
class Pixels:
    """How a pixel becomes a number: (low + (high - low) * pixel / 255 - mean) / std, in float32.

    `mean` and `std` hold one number, or one a channel. `size` is (height, width); `None` takes the model's.
    `layout` is where the channels stand; `None` takes the side on which the model has 1 or 3.
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Layout | None = None
    low: float = 0.0
    high: float = 1.0

    def normalize(self, pixels: NDArray[np.uint8], channel_axis: int) -> NDArray[np.float32]:
        """Pixels of any shape as float32; `channel_axis` counts from the end and is negative."""
        low, high = np.float32(self.low), np.float32(self.high)
        values = pixels.astype(np.float32) / np.float32(255) * (high - low) + low
        tail = (1,) * (-1 - channel_axis)
        mean = np.array(self.mean, np.float32).reshape(-1, *tail)
        std = np.array(self.std, np.float32).reshape(-1, *tail)
        return (values - mean) / std


@dataclass(frozen=True)
class Frame:
    """The picture that a model's input takes: its channels, their side, its size."""

    channels: int
    layout: Layout
    size: tuple[int, int]

    @property
    def channel_axis(self) -> int:
        """The channels' axis, counted from the end."""
        return -3 if self.layout == "nchw" else -1


def frame_of(name: str, shape: tuple[int | str, ...], pixels: Pixels) -> Frame:
    """The frame of the input `name`, whose `shape` has a batch axis, channels, height and width.

    Raises `DataError` where the input is no picture, or the options must say what the shape leaves open.
    """
    if len(shape) != 4:
        raise DataError(
            f"input '{name}' has shape {list(shape)}, which is not a batch of pictures: give arrays instead"
        )
    layout = pixels.layout or _guess_layout(name, shape)
    channels, height, width = shape[1:] if layout == "nchw" else (shape[3], shape[1], shape[2])
    if channels not in (1, 3):
        raise DataError(
            f"input '{name}' has {channels} channels in shape {list(shape)} ({layout}), "
            "pictures have 1 or 3: give arrays, or say --layout nchw or --layout nhwc"
        )
    if pixels.size is not None:
        size = pixels.size
    elif isinstance(height, int) and isinstance(width, int):
        size = (height, width)
    else:
        raise DataError(
            f"input '{name}' leaves the picture's size open in shape {list(shape)}: say it with --size HxW"
        )
    for wanted, given, axis in zip(size, (height, width), ("height", "width"), strict=True):
        if isinstance(given, int) and given != wanted:
            raise DataError(f"--size asks for a {axis} of {wanted}, input '{name}' has {given}")
    return Frame(int(channels), layout, size)


def _guess_layout(name: str, shape: tuple[int | str, ...]) -> Layout:
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first == last:
        raise DataError(
            f"input '{name}' has shape {list(shape)}: say where its channels stand with --layout nchw or nhwc"
        )
    return "nchw" if first else "nhwc"


def read_picture(path: Path, frame: Frame, pixels: Pixels) -> NDArray[np.float32]:
    """A picture file as float32 [1, ...]: grey or RGB, scaled to cover the frame and cut to it, normalized.

    It is turned as its EXIF orientation says, and grey of 16 bits is rounded to 8. Raises `DataError` where
    pillow is not installed or cannot read the file, and for pixels of more bits, which have no stated range.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ModuleNotFoundError as error:
        raise DataError("reading pictures needs pillow: pip install 'octavo[images]'") from error
    height, width = frame.size
    try:
        with Image.open(path) as file:
            upright = _of_bytes(path, ImageOps.exif_transpose(file), is_png=file.format == "PNG")
            picture = upright.convert("L" if frame.channels == 1 else "RGB")
    except DataError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a picture that pillow can read ({type(error).__name__})") from error
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
    array = np.asarray(picture, np.uint8).reshape(height, width, frame.channels)
    if frame.layout == "nchw":
        array = array.transpose(2, 0, 1)
    return np.ascontiguousarray(pixels.normalize(array, frame.channel_axis)[np.newaxis])


def _of_bytes(path: Path, picture: "Image.Image", *, is_png: bool) -> "Image.Image":
    """The picture with 8 bits a channel. pillow's own conversion would clip wider ones at 255."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    from PIL import Image

    # A PNG has 16 bits at most, though pillow may hold them in 32.
    if not picture.mode.startswith("I;16") and not is_png:
        raise DataError(
            f"{path} has pixels of 32 bits, whose range is not known: give arrays, or 8 or 16 bits a pixel"
        )
    # 65535 is 257 * 255.
    return Image.fromarray(((np.asarray(picture).astype(np.uint32) + 128) // 257).astype(np.uint8))
