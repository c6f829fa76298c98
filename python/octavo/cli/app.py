"""The command line's frame: its commands, and how an error ends it."""

import sys
from typing import Annotated, NoReturn

import typer

import octavo
from octavo.cli import bench, compare, console, export, illustrate, inspect, quantize
from octavo.cli import run as run_model
from octavo.errors import printable

app = typer.Typer(
    name="octavo",
    help="Turns a float ONNX model into an int8 model and runs it on CPUs, the same bits on each.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=quantize.EPILOG)(quantize.quantize)
app.command(epilog=run_model.EPILOG)(run_model.run)
app.command(epilog=inspect.EPILOG)(inspect.inspect)
app.command(epilog=compare.EPILOG)(compare.compare)
app.command(epilog=export.EPILOG)(export.export)
app.command(epilog=illustrate.EPILOG)(illustrate.illustrate)
app.command(epilog=bench.EPILOG)(bench.bench)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"octavo {octavo.__version__} ({', '.join(octavo.tiers())})")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and the instruction sets.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Options that stand before the command's name."""


def run() -> None:
    """Runs the command that `sys.argv` names; an error to act on is one line and exit status 1."""
    console.show_warnings()
    try:
        app()
    except octavo.Error as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except MemoryError:
        _fail("out of memory")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("octavo"):
            raise
        _fail(f"this command needs {error.name}: pip install octavo")


def _fail(message: str) -> NoReturn:
    typer.echo(f"octavo: error: {printable(message)}", err=True)
    sys.exit(1)
