"""`octavo illustrate`: what few bits do to numbers, as pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from octavo.cli import console
from octavo.cli.options import Json
from octavo.program import saving

if TYPE_CHECKING:
    from octavo.report.illustrations import Figure

EPILOG = """\b
Examples:
  octavo illustrate -o picture.svg
  octavo illustrate -o pictures/
  octavo illustrate model.onnx --tensor conv1.weight -o conv1.svg
"""


def illustrate(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The .svg file to write, or a folder, for a file each figure."),
    ],
    model: Annotated[
        Path | None, typer.Argument(help="An .onnx file, to draw weights of it.", show_default=False)
    ] = None,
    tensor: Annotated[
        str | None, typer.Option(metavar="NAME", help="The name of the weights in the model.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw what 2, 3 and 8 bits do to numbers.

    Symmetric beside asymmetric integers, one scale a tensor beside one a channel; of a sine and of made-up
    weights, or of weights of a model.
    """
    from octavo.report.illustrations import picture
    from octavo.session import files_read

    if (model is None) != (tensor is None):
        raise typer.BadParameter("a model and the name of its weights go together", param_hint="--tensor")
    in_folder = _is_folder(output)
    figures = _figures(model, tensor)
    files = (
        {output / f"{figure.name}.svg": [figure] for figure in figures} if in_folder else {output: figures}
    )
    if in_folder:
        output.mkdir(exist_ok=True)
    for path in files:
        saving.check(path, () if model is None else files_read(model))
    for path, drawn in files.items():
        saving.write(path, picture(drawn).encode())
    with console.apart_from(*files):
        if as_json:
            listed = [str(path) for path in files]
            console.show_json({"files": listed, "figures": [figure.to_dict() for figure in figures]})
            return
        for figure in figures:
            console.show(figure.title)
            for panel in figure.panels:
                console.show(f"  {panel.title}: {panel.caption}")
        console.show(f"-> {', '.join(map(str, files))}")


def _is_folder(output: Path) -> bool:
    """Whether a file for each figure is asked for; `typer.BadParameter` for another kind of file."""
    if output.is_dir() or (not output.suffix and not output.exists()):
        return True
    if output.suffix not in ("", ".svg"):
        raise typer.BadParameter(
            f"pictures are SVG files, not {output.suffix}: give a name that ends in .svg, or a folder",
            param_hint="--output",
        )
    return False


def _figures(model: Path | None, tensor: str | None) -> "list[Figure]":
    from octavo.report import illustrations
    from octavo.session import load_program

    if model is None or tensor is None:
        made_up = illustrations.weights(illustrations.synthetic_weights(), "Made-up weights")
        return illustrations.sine() + made_up
    return illustrations.weights(illustrations.weights_of(load_program(model), tensor), tensor)
