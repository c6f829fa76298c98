"""What the commands show: aligned tables for people, JSON for machines, progress on a terminal."""

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TypeVar

import typer

from octavo.errors import printable, shortened
from octavo.program.saving import descriptor_of

T = TypeVar("T")


@contextmanager
def apart_from(*paths: Path) -> Iterator[None]:
    """Within, what is shown goes to standard error where one of the paths is standard output."""
    if any(descriptor_of(path) == _STANDARD_OUTPUT for path in paths):
        with redirect_stdout(sys.stderr):
            yield
    else:
        yield


_STANDARD_OUTPUT = 1


def show(line: str = "") -> None:
    """Writes a line to standard output. Names in it may hold anything: what does not print is escaped."""
    typer.echo(printable(line))


def show_json(value: object) -> None:
    """Writes a value as JSON to standard output. What is not a number in JSON (NaN, infinity) is null."""
    typer.echo(json.dumps(_finite(value), indent=2, allow_nan=False))


def show_warnings() -> None:
    """From here on, what octavo warns of is written to standard error, a line each."""
    logger = logging.getLogger("octavo")
    if not any(isinstance(handler, _Warnings) for handler in logger.handlers):
        logger.addHandler(_Warnings())


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(f"octavo: warning: {record.getMessage()}", err=True)


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


def show_ops(title: str, ops: dict[str, int]) -> None:
    """How many nodes of which ops, in a line."""
    counted = ", ".join(f"{number} {op}" for op, number in ops.items())
    show(f"{count(sum(ops.values()), 'node')} {title}{counted and f': {counted}'}")


def show_stays(title: str, stays: Sequence[Mapping[str, str]]) -> None:
    """The nodes that are float, with their reasons, as a table."""
    if stays:
        show()
        show(f"{title}:")
        show_table(
            ["op", "name", "why"],
            [[stay["op"], shorten(stay["name"]), stay["reason"]] for stay in stays],
        )


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


def count(number: int, what: str) -> str:
    """A number of things, such as "1 node" or "2 nodes"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def format_size(count: int) -> str:
    """A number of bytes, in kB of 1000 or in MB of a thousand of those."""
    return f"{count / 1e3:.1f} kB" if count < 999_950 else f"{count / 1e6:,.1f} MB"


def format_time(seconds: float) -> str:
    """A time in microseconds, in three digits or all before the point."""
    microseconds = seconds * 1e6
    digits = 2 if microseconds < 10 else 1 if microseconds < 100 else 0
    return f"{microseconds:,.{digits}f} µs"


def format_machine(isa: str, threads: int) -> str:
    """What ran: an instruction set and a number of threads."""
    return f"{isa}, {count(threads, 'thread')}"


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
