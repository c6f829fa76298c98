"""`octavo export`: an artifact as an ONNX file for other runtimes."""

from pathlib import Path
from typing import Annotated

import typer

from octavo.cli import console
from octavo.cli.options import Json
from octavo.errors import ModelError

EPILOG = """\b
Example:
  octavo export model.octavo -o model-qdq.onnx
"""


def export(
    model: Annotated[Path, typer.Argument(help="An .octavo file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.")],
    as_json: Json = False,
) -> None:
    """Write a quantized model as an ONNX file in QDQ form.

    Integers, scales and zero points stay as they are, between QuantizeLinear and DequantizeLinear.
    """
    from octavo import exporting
    from octavo.session import is_artifact_file, load_program

    if not is_artifact_file(model):
        raise ModelError(f"{model} is no .octavo file: quantize the model first (octavo quantize)")
    exported = exporting.save(load_program(model), output, (model,))
    facts = {
        "file": str(output),
        "bytes": exported.ByteSize(),
        "opset": exported.opset_import[0].version,
        "nodes": len(exported.graph.node),
    }
    with console.apart_from(output):
        if as_json:
            console.show_json(facts)
        else:
            console.show(
                f"{output}: {console.format_size(exported.ByteSize())}, {facts['nodes']} nodes, "
                f"opset {facts['opset']}"
            )
