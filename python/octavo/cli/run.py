"""`octavo run`: one run of a model over arrays in files."""

from pathlib import Path
from typing import Annotated

import typer

import octavo
from octavo.cli import console
from octavo.cli.options import Isa, Json, Model, Threads

EPILOG = """\b
Examples:
  octavo run model.octavo --input input=image.npy
  octavo run model.octavo --input input=image.npy --output logits=answer.npy
  octavo run model.onnx --input a=a.npy --input b=b.npy --output-dir answers/
"""


def run(
    model: Model,
    inputs: Annotated[
        list[str],
        typer.Option("--input", metavar="NAME=FILE.npy", help="The array of an input (repeatable)."),
    ],
    outputs: Annotated[
        list[str] | None,
        typer.Option("--output", metavar="NAME=FILE.npy", help="Where to write an output (repeatable)."),
    ] = None,
    output_dir: Annotated[Path | None, typer.Option(help="A folder to write every output to.")] = None,
    threads: Threads = None,
    isa: Isa = None,
    as_json: Json = False,
) -> None:
    """Run a model once.

    Its outputs are shown, and written to files where asked.
    """
    from octavo.cli.feeds import check_paths, file_of, output_paths, read_feeds, write_array
    from octavo.session import files_read

    session = octavo.Session(model, threads=threads, isa=isa)
    feeds = read_feeds(inputs, session.get_inputs())
    names = [info.name for info in session.get_outputs()]
    paths = output_paths(names, output_dir, outputs or [])
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
    if paths:
        check_paths(paths.values(), (*files_read(model), *map(file_of, inputs)))
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
    with console.apart_from(*paths.values()):
        if as_json:
            console.show_json({"model": str(model), "outputs": rows})
        else:
            console.show_table(list(rows[0]), ([console.cell(cell) for cell in row.values()] for row in rows))
