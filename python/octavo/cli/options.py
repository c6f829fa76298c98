"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[Path, typer.Argument(help="An .octavo file, or an .onnx file, which runs in float.")]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Threads; by default OCTAVO_THREADS, else the cores this process may use."
    ),
]
Isa = Annotated[str | None, typer.Option(help="Instruction set; by default OCTAVO_ISA, else the best here.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
