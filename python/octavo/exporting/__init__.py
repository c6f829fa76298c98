"""A Program as an ONNX model in QDQ form, for other runtimes.

Every integer operator becomes the float operator that it stands for, between DequantizeLinear and
QuantizeLinear; every integer tensor keeps its integers, scale and zero point. What QDQ cannot say is said in
plain operators: fractional zero points by Div, Add, Round and Clip, tables by Gather.
"""

from collections.abc import Iterable

import onnx

from octavo.errors import ModelError
from octavo.exporting.bodies import add_with_bodies
from octavo.exporting.floats import add_float
from octavo.exporting.graph import Graph
from octavo.exporting.integers import RULES
from octavo.program import Node, Program, saving

_LARGEST = (1 << 31) - 1
"""Bytes of a protobuf message, at most."""


def to_onnx(program: Program) -> onnx.ModelProto:
    """The QDQ model of a Program, checked; inputs and outputs keep their names, shapes and dtypes.

    Raises `ModelError` where a node has no form in ONNX, or the model is too large for one file.
    """
    graph = Graph(program)
    for node in program.nodes:
        _add(graph, node)
    model = graph.model()
    if model.ByteSize() > _LARGEST:
        raise ModelError(f"an ONNX file of {model.ByteSize():,} bytes cannot be: the format ends at 2 GiB")
    onnx.checker.check_model(model, full_check=True)
    return model


def _add(graph: Graph, node: Node) -> None:
    if node.bodies:
        add_with_bodies(graph, node, _add)
    else:
        RULES.get(node.op, add_float)(graph, node)


def save(program: Program, path: saving.PathLike, sources: Iterable[saving.PathLike] = ()) -> onnx.ModelProto:
    """Write the QDQ model of a Program, all of it or, where that fails, nothing; and return it.

    sources: the files that the Program was made from, which are not overwritten. Raises `ModelError` as
    `to_onnx` does, `ArtifactError` where `path` is one of the sources, OSError where it cannot be written.
    """
    saving.check(path, sources)
    model = to_onnx(program)
    saving.write(path, model.SerializeToString(deterministic=True))
    return model
