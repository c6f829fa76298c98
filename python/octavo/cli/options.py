"""Options that several commands share, and what those of pictures say together."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, get_args

import typer

from octavo.cli.pixels import Layout, Pixels
from octavo.errors import DataError

Model = Annotated[Path, typer.Argument(help="An .octavo file, or an .onnx file, which runs in float.")]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Threads; by default OCTAVO_THREADS, else the cores this process may use."
    ),
]
Isa = Annotated[str | None, typer.Option(help="Instruction set; by default OCTAVO_ISA, else the best here.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

Size = Annotated[
    str | None, typer.Option(metavar="HxW", help="Pictures: their size, where the model leaves it open.")
]
Mean = Annotated[
    str | None, typer.Option(metavar="M[,M,M]", help="Pictures: what is subtracted, after --range. [0]")
]
Std = Annotated[
    str | None, typer.Option(metavar="S[,S,S]", help="Pictures: what is divided by, after --mean. [1]")
]
PixelLayout = Annotated[
    Layout | None, typer.Option("--layout", help="Pictures: where the model has its channels.")
]
PixelRange = Annotated[
    str | None, typer.Option("--range", metavar="LOW..HIGH", help="Pictures: what 0 and 255 become. [0..1]")
]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Take this many samples at most.")]


def pixels_of(
    size: str | None, mean: str | None, std: str | None, layout: Layout | None, range_: str | None
) -> Pixels | None:
    """How pictures become what the model takes; None where no option says it.

    Raises `typer.BadParameter` for an option that cannot be read.
    """
    if (size, mean, std, layout, range_) == (None,) * 5:
        return None
    low, high = _numbers(range_ or "0..1", "..", "--range")
    extent = None
    if size is not None:
        numbers = _numbers(size if "x" in size else f"{size}x{size}", "x", "--size")
        if not all(1 <= number < 1 << 31 for number in numbers):
            raise typer.BadParameter("give HEIGHTxWIDTH in pixels", param_hint="--size")
        extent = (int(numbers[0]), int(numbers[1]))
    means = _channels("0" if mean is None else mean, "--mean")
    stds = _channels("1" if std is None else std, "--std")
    if 0.0 in stds:
        raise typer.BadParameter("a division by zero", param_hint="--std")
    return Pixels(extent, means, stds, layout, low, high)


def text_of(pixels: Pixels) -> str:
    """The options that say it, as an artifact keeps them."""
    options = {"range": f"{_text(pixels.low)}..{_text(pixels.high)}"}
    if pixels.mean != (0.0,):
        options["mean"] = ",".join(map(_text, pixels.mean))
    if pixels.std != (1.0,):
        options["std"] = ",".join(map(_text, pixels.std))
    if pixels.size is not None:
        options["size"] = f"{pixels.size[0]}x{pixels.size[1]}"
    if pixels.layout is not None:
        options["layout"] = pixels.layout
    return " ".join(f"--{name} {value}" for name, value in options.items())


def kept_pixels(models: Iterable[Path]) -> Pixels:
    """What the artifacts among some models keep of how pictures become their inputs; else the usual 0..1.

    Raises `DataError` where they keep different things, or what no options say.
    """
    from octavo.session import is_artifact_file, load_program

    files = [model for model in models if model.is_file()]  # a pipe has been read, or will be
    kept = {model: load_program(model).preprocessing for model in files if is_artifact_file(model)}
    said = {text: model for model, text in kept.items() if text}
    if len(said) > 1:
        found = "; ".join(f"{model} keeps {text}" for text, model in said.items())
        raise DataError(f"the models take pictures in different ways, so say which: {found}")
    return next((_read(text, model) for text, model in said.items()), Pixels())


def _read(text: str, model: Path) -> Pixels:
    words = text.split()
    options = dict(zip(words[::2], words[1::2], strict=False))
    pixels = None
    with suppress(typer.BadParameter):
        pixels = pixels_of(*(options.pop(f"--{name}", None) for name in _NAMES))  # type: ignore[arg-type]
    if (
        pixels is None
        or text_of(pixels) != text
        or pixels.layout not in (None, *get_args(Layout))
        or max(pixels.size or (1,)) > LARGEST
    ):
        raise DataError(
            f"{model} keeps the preprocessing {text!r}, which is none of ours: say --range and so on"
        )
    return pixels


LARGEST = 1 << 13
"""Pixels a side that a file may ask for: more must be said."""

_NAMES = ("size", "mean", "std", "layout", "range")
"""Of the options, as `pixels_of` takes them."""


def _text(number: float) -> str:
    return repr(number).removesuffix(".0")


def _numbers(text: str, separator: str, option: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(separator))
    except ValueError:
        raise typer.BadParameter(
            f"give two numbers with {separator!r} between them", param_hint=option
        ) from None
    return first, second


def _channels(text: str, option: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter("give a number, or one a channel", param_hint=option) from None
    if len(numbers) not in (1, 3):
        raise typer.BadParameter("give 1 number or 3", param_hint=option)
    return numbers
