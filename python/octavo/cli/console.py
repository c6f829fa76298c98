"""What the commands show: aligned tables for people, JSON for machines, progress on a terminal."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import typer

from octavo.errors import printable, shortened

T = TypeVar("T")


def show(line: str = "") -> None:
    """Writes a line to standard output. Names in it may hold anything: what does not print is escaped."""
    typer.echo(printable(line))


def show_json(value: object) -> None:
    """Writes a value as JSON to standard output. What is not a number in JSON (NaN, infinity) is null."""
    typer.echo(json.dumps(_finite(value), indent=2, allow_nan=False))


def show_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes rows under a header to standard output, columns aligned, numbers to the right."""
    cells = [list(header), *(list(map(printable, row)) for row in rows)]
    columns = list(zip(*cells, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    numeric = [all(cell[:1].isdigit() or cell in ("", "-") for cell in column[1:]) for column in columns]
    for row in cells:
        line = "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        typer.echo(line.rstrip())


def progress(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """The items, with a bar on standard error while they are taken; no bar where that is not a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=label, total=total, console=Console(stderr=True), transient=True)


def cell(value: object) -> str:
    """A value in a table: floats in 6 digits, what is not there as a dash."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def shorten(name: str, width: int = 40) -> str:
    """A name of at most `width` characters: of a longer one, both ends."""
    return shortened(printable(name), width)


def format_size(count: int) -> str:
    """A number of bytes, in kB of 1000."""
    return f"{count / 1000:,.1f} kB"


def format_time(seconds: float) -> str:
    """A time in milliseconds."""
    return f"{seconds * 1e3:.3f} ms"


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
