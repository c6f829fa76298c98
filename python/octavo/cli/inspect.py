"""`octavo inspect`: what a model holds, and what of it runs, or would run, in integers."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from octavo.cli import console
from octavo.cli.inspect_onnx import inspect_onnx
from octavo.cli.options import Json
from octavo.program import Node, Program, Value, artifact
from octavo.session import is_artifact_file, load_program

EPILOG = """\b
Examples:
  octavo inspect model.onnx
  octavo inspect model.octavo --json
"""


def inspect(
    model: Annotated[Path, typer.Argument(help="An .onnx file, or an .octavo file.")],
    as_json: Json = False,
) -> None:
    """Show what a model holds.

    Of an .onnx file: what the file says of itself, and which of its operators would run in integers. Of an
    .octavo file: its nodes and sizes, and what runs in integers.
    """
    if is_artifact_file(model):
        _inspect_artifact(model, as_json)
    else:
        inspect_onnx(model, as_json)


def _inspect_artifact(model: Path, as_json: bool) -> None:
    program = load_program(model)
    facts = {"model": str(model), "file_bytes": model.stat().st_size, **describe(program)}
    facts["stays_float"] = _stays_float(program)
    if as_json:
        console.show_json(facts)
    else:
        _show(facts)


def _stays_float(program: Program) -> list[dict[str, Any]]:
    """The nodes that stay float, with reasons as far as the artifact tells them."""
    from octavo.quantization.outlook import outlook

    stays = [asdict(stay) for stay in outlook(program).stays]
    if any(node.op.startswith("Q") for node in program.nodes):
        for stay in stays:
            if stay["expected"]:
                stay["reason"] = "left in float when the model was quantized; that report says why"
    return stays


def describe(program: Program) -> dict[str, Any]:
    """A Program as plain data: what `--json` prints."""
    from octavo.quantization.report import counted_ops

    nodes = [_node(program, node) for node in program.nodes]
    sizes: Counter[str] = Counter()
    for dtype, size in artifact.stored(program).values():
        sizes[dtype] += size
    return {
        "format": "octavo",
        "producer": program.producer,
        "format_version": program.format_version,
        "opset": program.opset,
        "preprocessing": program.preprocessing or None,
        "inputs": [_value(program.values[name]) for name in program.inputs],
        "outputs": [_value(program.values[name]) for name in program.outputs],
        "constant_bytes": dict(sorted(sizes.items())),
        "ops": dict(sorted(Counter(node.op for node in program.nodes).items())),
        "integer_ops": counted_ops(program, in_integers=True),
        "float_ops": counted_ops(program, in_integers=False),
        "conversions": sum(node.op in ("Quantize", "Dequantize") for node in program.nodes),
        "float_nodes": [node["name"] for node in nodes if node["float"]],
        "nodes": nodes,
    }


def _node(program: Program, node: Node) -> dict[str, Any]:
    outputs = [_value(program.values[name]) for name in node.outputs if name]
    constants = [name for name in node.inputs if name in program.constants]
    return {
        "op": node.op,
        "name": node.name,
        "inputs": list(node.inputs),
        "outputs": outputs,
        "constant_bytes": sum(program.constants[name].nbytes for name in constants),
        "float": not node.op.startswith("Q") and _computes_in_float(program, node),
    }


def _computes_in_float(program: Program, node: Node) -> bool:
    """Whether the node reads and writes floats; what converts to or from integers does only one."""
    read = {program.values[name].dtype for name in node.inputs if name and name not in program.constants}
    written = {program.values[name].dtype for name in node.outputs if name}
    return bool(read & _FLOATS) and bool(written & _FLOATS)


_FLOATS = {"f16", "f32", "f64"}


def _value(value: Value) -> dict[str, Any]:
    shape = None if value.shape is None else list(value.shape)
    facts: dict[str, Any] = {"name": value.name, "dtype": value.dtype, "shape": shape, "quant": None}
    if value.quant is not None:
        facts["quant"] = {
            "scale": [float(scale) for scale in value.quant.scale],
            "zero_point": value.quant.zero_point.tolist(),
            "axis": value.quant.axis,
        }
    return facts


def _show(facts: dict[str, Any]) -> None:
    console.show(
        f"{facts['model']}: an .octavo artifact of {console.format_size(facts['file_bytes'])}, format "
        f"{facts['format_version']}, by {facts['producer']}"
    )
    console.show(f"{console.count(len(facts['nodes']), 'node')} in the terms of ONNX opset {facts['opset']}")
    for side in ("inputs", "outputs"):
        for value in facts[side]:
            console.show(
                f"{side[:-1]} {value['name']}: {value['dtype']} {_shape(value)} {_quant(value)}".rstrip()
            )
    if facts["preprocessing"] is not None:
        console.show(f"pictures are prepared by {facts['preprocessing']}")
    sizes = (f"{dtype} {console.format_size(size)}" for dtype, size in facts["constant_bytes"].items())
    console.show(f"constants: {', '.join(sizes) or 'none'}")
    console.show()
    console.show_table(
        ["op", "name", "dtype", "shape", "scale, zero point", "constants"],
        [
            [
                node["op"],
                console.shorten(node["name"]),
                value["dtype"],
                _shape(value),
                _quant(value),
                console.format_size(node["constant_bytes"]) if node["constant_bytes"] else "",
            ]
            for node in facts["nodes"]
            for value in node["outputs"]
        ],
    )
    console.show()
    console.show_ops("run in integers", facts["integer_ops"])
    console.show_ops("run in float", facts["float_ops"])
    console.show(f"conversions between the two: {facts['conversions']}")
    console.show_stays("stay float", facts["stays_float"])


def _shape(value: dict[str, Any]) -> str:
    return "?" if value["shape"] is None else "x".join(str(axis) for axis in value["shape"]) or "scalar"


def _quant(value: dict[str, Any]) -> str:
    quant = value["quant"]
    if quant is None:
        return ""
    if len(quant["scale"]) > 1:
        return f"{len(quant['scale'])} scales along axis {quant['axis']}"
    return f"{quant['scale'][0]:.6g}, {quant['zero_point'][0]}"
