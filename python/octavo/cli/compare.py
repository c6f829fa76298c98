"""`octavo compare`: where a model errs beside another, layer by layer, and why."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import octavo
from octavo.cli import console
from octavo.cli.options import (
    Json,
    Limit,
    Mean,
    PixelLayout,
    PixelRange,
    Size,
    Std,
    Threads,
    kept_pixels,
    pixels_of,
)
from octavo.program import saving

if TYPE_CHECKING:
    from numpy.typing import NDArray

EPILOG = """\b
Examples:
  octavo compare model.onnx model.octavo --data held-back.npy
  octavo compare model.onnx model.octavo --data photos/ --html report.html
  octavo compare model.onnx model.octavo --data held-back.npy --labels labels.npy --json
"""


def compare(
    model_a: Annotated[
        Path, typer.Argument(help="The model to go by: usually the float one, an .onnx file.")
    ],
    model_b: Annotated[Path, typer.Argument(help="The model whose layers are looked at: an .octavo file.")],
    data: Annotated[
        list[str],
        typer.Option(
            metavar="PATH|NAME=FILE[:KEY]",
            help="Samples, better held back from calibration: .npy, .npz, a picture, or a folder; or "
            "for each input NAME a file (repeatable), :KEY an array in .npz.",
        ),
    ],
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE.npy", help="The class of each sample, whole numbers.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page with pictures, too.")
    ] = None,
    node_data: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Write node data for Model Explorer: the SQNR of each layer."),
    ] = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    layout: PixelLayout = None,
    range_: PixelRange = None,
    limit: Limit = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Compare two models over the same samples.

    Their outputs, then the layers of the second, the one that harms the answers most first, each with a cause
    and the one option that mends it. Pictures are prepared as the artifact keeps it, unless options say how.
    """
    from octavo.cli.places import kept_files, open_data, places
    from octavo.session import files_read

    pixels = pixels_of(size, mean, std, layout, range_) or kept_pixels([model_a, model_b])
    placed = places(data)
    written = [path for path in (html, node_data) if path is not None]
    read: list[str | Path] = [*files_read(model_a), *files_read(model_b), *kept_files(placed)]
    for path in written:
        saving.check(path, read if labels is None else [*read, labels])
    classes = None if labels is None else _classes(labels)
    files = open_data(placed, octavo.Session(model_a, threads=threads).get_inputs(), pixels, limit)
    found = octavo.compare(
        model_a, model_b, console.progress(files, "comparing", files.count()), classes, threads=threads
    )
    if html is not None:
        found.to_html(html)
    if node_data is not None:
        saving.write(node_data, json.dumps(found.to_node_data(), indent=2).encode())
    with console.apart_from(*written):
        if as_json:
            console.show_json({"model_a": str(model_a), "model_b": str(model_b), **found.to_dict()})
            return
        for line in str(found).splitlines():
            console.show(line)


def _classes(path: Path) -> "NDArray[Any]":
    from octavo.cli.data import read_arrays

    arrays = read_arrays(path)
    if len(arrays) != 1:
        raise octavo.DataError(f"{path} holds {len(arrays)} arrays ({', '.join(arrays)}), labels are one")
    return next(iter(arrays.values()))
