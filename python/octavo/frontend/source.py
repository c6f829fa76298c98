"""Reads a model from where the caller has it, without loading its external data."""

import os

import onnx
import onnx_ir as ir

from octavo.errors import ModelError
from octavo.frontend import texts
from octavo.frontend.functions import inline_functions

Source = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model
"""Where a model can come from: a file, its bytes, a proto, or a graph."""


def read(source: Source) -> ir.Model:
    """Reads `source` into a graph that is the caller's no more: changing it changes nothing of theirs.

    Model-local functions are written out where they are called. External data stays on disk: its tensors know
    their folder, where there is one.

    Raises:
        ModelError: unreadable, or not an ONNX model.
    """
    if isinstance(source, ir.Model):
        model = source.clone()
        inline_functions(model)
    elif isinstance(source, onnx.ModelProto):
        model = _from_proto(source, "the model")
    elif isinstance(source, bytes | bytearray | memoryview):
        where = "the model's bytes"
        model = _from_proto(_parse(bytes(source), where), where)
    elif isinstance(source, str | os.PathLike):
        where = f"'{os.fspath(source)}'"
        model = _from_proto(_parse(_file_bytes(source), where), where)
        ir.external_data.set_base_dir(model.graph, os.path.dirname(os.path.abspath(source)))
    else:
        raise ModelError(
            f"a model is a path, bytes, an onnx.ModelProto or an onnx_ir.Model, not {type(source).__name__}"
        )
    return model


def _file_bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ModelError(f"cannot read the model '{os.fspath(path)}': {error.strerror or error}") from error
    except ValueError as error:  # a null byte, or what is not UTF-8
        raise ModelError(f"'{os.fspath(path)}' cannot be the path of a file: {error}") from error


def _parse(data: bytes, where: str) -> onnx.ModelProto:
    if len(data) >= onnx.checker.MAXIMUM_PROTOBUF:
        raise ModelError(f"{where} is over 2 GB, more than protobuf reads: save its weights as external data")
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError, whose module is private
        raise ModelError(f"{where} is not an ONNX model, or is cut short: {one_line(error)}") from error


def _from_proto(proto: onnx.ModelProto, where: str) -> ir.Model:
    if not proto.HasField("graph") or not proto.ir_version:
        raise ModelError(f"{where} is not an ONNX model: it has no graph")
    texts.check_proto(proto)
    if proto.graph.sparse_initializer:
        name = proto.graph.sparse_initializer[0].values.name
        raise ModelError(f"initializer '{name}' of {where} is sparse: export the model with dense weights")
    try:
        model = ir.from_proto(proto)
    except Exception as error:  # the library raises whatever a damaged proto made it trip over
        raise ModelError(f"{where} is not a valid ONNX model: {one_line(error)}") from error
    inline_functions(model)
    return model


def one_line(error: BaseException) -> str:
    """The innermost message of an error, on one line."""
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return " ".join(str(error).split()) or type(error).__name__
