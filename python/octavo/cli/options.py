"""Options that several commands share, and what those of pictures say together."""

from pathlib import Path
from typing import Annotated

import typer

from octavo.cli.pixels import Layout, Pixels

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
Mean = Annotated[str, typer.Option(metavar="M[,M,M]", help="Pictures: what is subtracted, after --range.")]
Std = Annotated[str, typer.Option(metavar="S[,S,S]", help="Pictures: what is divided by, after --mean.")]
PixelLayout = Annotated[
    Layout | None, typer.Option("--layout", help="Pictures: where the model has its channels.")
]
PixelRange = Annotated[
    str | None, typer.Option("--range", metavar="LOW..HIGH", help="Pictures: what 0 and 255 become. [0..1]")
]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Take this many samples at most.")]


def pixels_of(size: str | None, mean: str, std: str, layout: Layout | None, range_: str | None) -> Pixels:
    """How pictures become what the model takes; `typer.BadParameter` for an option that cannot be read."""
    low, high = _numbers(range_ or "0..1", "..", "--range")
    extent = None
    if size is not None:
        numbers = _numbers(size if "x" in size else f"{size}x{size}", "x", "--size")
        extent = (int(numbers[0]), int(numbers[1]))
        if min(extent) < 1:
            raise typer.BadParameter("give HEIGHTxWIDTH in pixels", param_hint="--size")
    means, stds = _channels(mean, "--mean"), _channels(std, "--std")
    if 0.0 in stds:
        raise typer.BadParameter("a division by zero", param_hint="--std")
    return Pixels(extent, means, stds, layout, low, high)


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
