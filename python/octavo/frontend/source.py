"""Reads a model from where the caller has it, without loading its external data."""

import os

import onnx
import onnx_ir as ir

from octavo.errors import ModelError
from octavo.frontend import texts
from octavo.frontend.external import locate
from octavo.frontend.functions import inline_functions
from octavo.program.formats import begins_as_onnx, foreign_file, foreign_folder, foreign_object, is_artifact

Source = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model
"""Where a model can come from: a file, its bytes, a proto, or a graph."""


def read(source: Source) -> ir.Model:
    """Reads `source` into a graph that is the caller's no more: changing it changes nothing of theirs.

    Model-local functions are written out where they are called. External data stays on disk: its tensors know
    their file.

    Raises:
        ModelError: unreadable, not an ONNX model, or with external data outside of the model's folder.
    """
    if isinstance(source, ir.Model):
        model = source.clone()
        model.meta.update(source.meta)
        inline_functions(model)
    elif isinstance(source, onnx.ModelProto):
        model = _from_proto(source, "the model")
    elif isinstance(source, bytes | bytearray | memoryview):
        where = "the model"
        model = _from_proto(_proto(bytes(source), where, ""), where)
    elif isinstance(source, str | os.PathLike):
        where = f"'{os.fspath(source)}'"
        model = _from_proto(read_proto(source), where)
    else:
        raise ModelError(
            "a float model is a path, bytes, an onnx.ModelProto or an onnx_ir.Model, not "
            f"{foreign_object(source)}"
        )
    locate(model, source if isinstance(source, str | os.PathLike) else None)
    return model


def _file_bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        if os.path.isdir(path):
            raise ModelError(
                f"'{os.fspath(path)}' is not an ONNX model: it {foreign_folder(path)}"
            ) from error
        raise ModelError(f"cannot read the model '{os.fspath(path)}': {error.strerror or error}") from error
    except ValueError as error:  # a null byte, or what is not UTF-8
        raise ModelError(f"'{os.fspath(path)}' cannot be the path of a file: {error}") from error


def read_proto(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """The proto of a file as it stands, without its external data.

    Raises:
        ModelError: unreadable, or not an ONNX model; then it says what else it is.
    """
    return _proto(_file_bytes(path), f"'{os.fspath(path)}'", path)


def _proto(data: bytes, where: str, name: str | os.PathLike[str]) -> onnx.ModelProto:
    if is_artifact(data) and foreign_file(data, name) is None:
        raise ModelError(
            f"{where} is an .octavo artifact, which runs as it is (octavo.Session, octavo run): to quantize, "
            "give the float .onnx model that it was made of"
        )
    try:
        proto = _parse(data, where)
        _check_graph(proto, where)
    except ModelError as error:
        found = foreign_file(data, name)
        if found is None:
            raise
        raise ModelError(f"{where} is not an ONNX model: it {found}") from error.__cause__
    return proto


def _parse(data: bytes, where: str) -> onnx.ModelProto:
    if len(data) >= onnx.checker.MAXIMUM_PROTOBUF:
        raise ModelError(f"{where} is over 2 GB, more than protobuf reads: save its weights as external data")
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError, whose module is private
        if begins_as_onnx(data):
            raise ModelError(
                f"{where} is not an ONNX model, or is one that is cut short or damaged: {len(data):,} bytes, "
                "which begin as one; download or export it again"
            ) from error
        raise ModelError(f"{where} is not an ONNX model: give an .onnx file") from error


def _check_graph(proto: onnx.ModelProto, where: str) -> None:
    if not proto.HasField("graph") or not proto.ir_version:
        raise ModelError(
            f"{where} is not an ONNX model: it has no graph or no IR version; give an .onnx file"
        )


def _from_proto(proto: onnx.ModelProto, where: str) -> ir.Model:
    _check_graph(proto, where)
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
