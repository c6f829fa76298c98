"""`octavo run`: one run of a model over arrays or pictures in files."""

from pathlib import Path
from typing import Annotated

import typer

import octavo
from octavo.cli import console
from octavo.cli.options import (
    Isa,
    Json,
    Mean,
    Model,
    PixelLayout,
    PixelRange,
    Size,
    Std,
    Threads,
    kept_pixels,
    pixels_of,
)

EPILOG = """\b
Examples:
  octavo run model.octavo --input input=image.npy
  octavo run model.octavo --input input=image.npy --output logits=answer.npy
  octavo run model.octavo --input input=photo.jpg --range -1..1 --top 5 --names classes.txt
  octavo run model.onnx --input a=a.npy --input b=b.npy --output-dir answers/
"""


def run(
    model: Model,
    inputs: Annotated[
        list[str],
        typer.Option(
            "--input", metavar="NAME=FILE", help="What an input is: .npy, or a picture (repeatable)."
        ),
    ],
    outputs: Annotated[
        list[str] | None,
        typer.Option("--output", metavar="NAME=FILE.npy", help="Where to write an output (repeatable)."),
    ] = None,
    output_dir: Annotated[Path | None, typer.Option(help="A folder to write every output to.")] = None,
    top: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Show the N largest of each row of scores.")
    ] = None,
    names_file: Annotated[
        Path | None,
        typer.Option("--names", metavar="FILE.txt", help="The classes' names for --top, one a line."),
    ] = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    layout: PixelLayout = None,
    range_: PixelRange = None,
    threads: Threads = None,
    isa: Isa = None,
    as_json: Json = False,
) -> None:
    """Run a model once.

    Its outputs are shown, and written to files where asked. Pictures are prepared as the artifact
    keeps it, unless options say how.
    """
    from octavo.cli.feeds import check_paths, file_of, output_paths, read_feeds, write_array
    from octavo.cli.scores import read_names, top_rows
    from octavo.session import files_read

    session = octavo.Session(model, threads=threads, isa=isa)
    pixels = pixels_of(size, mean, std, layout, range_) or kept_pixels([model])
    feeds = read_feeds(inputs, session.get_inputs(), pixels)
    classes = None if names_file is None else read_names(names_file)
    names = [info.name for info in session.get_outputs()]
    paths = output_paths(names, output_dir, outputs or [])
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
    if paths:
        check_paths(paths.values(), (*files_read(model), *map(file_of, inputs), *filter(None, [names_file])))
    arrays = session.run(None, feeds)
    rows = []
    for name, array in zip(names, arrays, strict=True):
        if name in paths:
            write_array(paths[name], array)
        rows.append(
            {
                "name": name,
                "dtype": str(array.dtype),
                "shape": list(array.shape),
                "min": array.min().item() if array.size else None,
                "max": array.max().item() if array.size else None,
                "file": str(paths[name]) if name in paths else None,
            }
        )
    best = {} if top is None else top_rows(dict(zip(names, arrays, strict=True)), top, classes)
    with console.apart_from(*paths.values()):
        if as_json:
            console.show_json({"model": str(model), "outputs": rows} | ({"top": best} if best else {}))
            return
        console.show_table(list(rows[0]), ([console.cell(cell) for cell in row.values()] for row in rows))
        for name, found in best.items():
            console.show()
            console.show(f"{name}:")
            console.show_table(
                list(found[0]), ([console.cell(cell) for cell in row.values()] for row in found)
            )
