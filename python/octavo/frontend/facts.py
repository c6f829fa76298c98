"""What an ONNX file says of itself, before anything is made of it."""

import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
import onnx_ir as ir

from octavo.errors import ModelError, printable
from octavo.frontend.external import file_at, folders_of
from octavo.frontend.source import read_proto


@dataclass(frozen=True)
class Port:
    """An input or output as the file has it: its ONNX type, and its shape, None where it has none."""

    name: str
    type: str
    shape: list[int | str] | None


@dataclass(frozen=True)
class FileFacts:
    """Of an ONNX file.

    opsets: by domain, "ai.onnx" for ONNX's own. nodes: of the graph and its sub-graphs. ops: how many of
    each. weight_bytes: of all constants, wherever they lie.
    external_data: the bytes of each file that holds weights, None where the model cannot be read with it.
    """

    ir_version: int
    opsets: dict[str, int]
    producer: str
    nodes: int
    ops: dict[str, int]
    functions: int
    weight_bytes: int
    external_data: dict[str, int | None]
    inputs: list[Port]
    outputs: list[Port]


def facts(path: str | os.PathLike[str]) -> FileFacts:
    """What the file of an ONNX model says of itself, whether octavo can run it or not.

    Raises:
        ModelError: unreadable, or not an ONNX model.
    """
    proto = read_proto(path)
    graphs = list(_graphs(proto.graph))
    nodes = [node for graph in graphs for node in graph.node]
    weights = [tensor for graph in graphs for tensor in graph.initializer]
    weights += [attribute.t for node in nodes if node.op_type == "Constant" for attribute in node.attribute]
    constants = {tensor.name for tensor in proto.graph.initializer}
    return FileFacts(
        ir_version=proto.ir_version,
        opsets={printable(item.domain) or "ai.onnx": item.version for item in proto.opset_import},
        producer=printable(f"{proto.producer_name} {proto.producer_version}".strip()) or "not stated",
        nodes=len(nodes),
        ops=dict(sorted(Counter(_operator(node) for node in nodes).items())),
        functions=len(proto.functions),
        weight_bytes=sum(_bytes(tensor) for tensor in weights),
        external_data=_external(weights, folders_of(path)),
        inputs=[_port(value) for value in proto.graph.input if value.name not in constants],
        outputs=[_port(value) for value in proto.graph.output],
    )


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _operator(node: onnx.NodeProto) -> str:
    """The operator with its domain, where that is not ONNX's own."""
    own = node.domain in ("", "ai.onnx")
    return printable(node.op_type if own else f"{node.domain}::{node.op_type}")


def _bytes(tensor: onnx.TensorProto) -> int:
    """The bytes that the tensor takes, wherever they lie; 0 where its type is unknown, or texts."""
    try:
        bits = ir.DataType(tensor.data_type).bitwidth
    except (TypeError, ValueError):
        return 0
    count: int = math.prod(max(0, size) for size in tensor.dims)
    return (count * bits + 7) // 8


def _external(weights: list[onnx.TensorProto], folders: list[str]) -> dict[str, int | None]:
    names = {
        entry.value
        for tensor in weights
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return {printable(name): _size(name, folders) for name in sorted(names)}


def _size(location: str, folders: list[str]) -> int | None:
    """The size of a file of external data, where reading the model would find it and take it."""
    try:
        file = file_at(location, folders, "external data")
    except ModelError:
        return None
    return os.path.getsize(file) if os.path.isfile(file) else None


def _port(value: onnx.ValueInfoProto) -> Port:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return Port(printable(value.name), (kind or "unknown").removesuffix("_type"), None)
    tensor = value.type.tensor_type
    known = tensor.elem_type in onnx.TensorProto.DataType.values()
    element = onnx.TensorProto.DataType.Name(tensor.elem_type).lower() if known else "unknown"
    shape = [_axis(axis) for axis in tensor.shape.dim] if tensor.HasField("shape") else None
    return Port(printable(value.name), f"tensor({element})", shape)


def _axis(axis: onnx.TensorShapeProto.Dimension) -> int | str:
    return axis.dim_value if axis.HasField("dim_value") else printable(axis.dim_param) or "?"
