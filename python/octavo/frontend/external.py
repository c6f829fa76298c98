"""Finds the files of a model's external data, and keeps what is read inside the model's folder."""

import os
from collections.abc import Sequence

import onnx_ir as ir

from octavo.errors import ModelError

_FILES = "octavo.files"
"""The key of a model's metadata under which stand the files that it was read from."""


class LocatedTensor(ir.ExternalTensor):
    """External data whose file is known, and known to be one that the model may read."""

    def __init__(self, tensor: ir.ExternalTensor, file: str) -> None:
        super().__init__(
            tensor.location,
            tensor.offset,
            tensor.length,
            tensor.dtype,
            shape=tensor.shape,
            name=tensor.name,
            doc_string=tensor.doc_string,
        )
        self._file = file

    @property
    def path(self) -> str:
        """The file, no part of it a link."""
        return self._file


def locate(model: ir.Model, path: str | os.PathLike[str] | None = None) -> None:
    """Finds the file of each tensor with external data, in place, and has the model remember the files.

    path: the model's file; without one, a tensor knows its folder.

    Raises:
        ModelError: a location that leads elsewhere, or that is relative to no known folder.
    """
    files = list(files_of(model))
    folders: Sequence[str] = ()
    if path is not None:
        files.append(os.path.realpath(path))
        folders = folders_of(path)

    def located(tensor: ir.TensorProtocol, where: str) -> ir.TensorProtocol:
        if isinstance(tensor, ir.ExternalTensor) and not isinstance(tensor, LocatedTensor):
            own = [os.path.abspath(tensor.base_dir)] if tensor.base_dir else []
            where = f"{where}, external data '{tensor.location}',"
            tensor = LocatedTensor(tensor, file_at(os.fspath(tensor.location), folders or own, where))
        if isinstance(tensor, LocatedTensor):
            files.append(tensor.path)
        return tensor

    for graph in model.graphs():
        for name, value in graph.initializers.items():
            if value.const_value is not None:
                value.const_value = located(value.const_value, f"initializer '{name}'")
    for node in model.graph.all_nodes():
        for key, attribute in node.attributes.items():
            where = f"attribute '{key}' of node '{node.name}' ({node.op_type})"
            if attribute.is_ref():
                continue
            if attribute.type == ir.AttributeType.TENSOR:
                node.attributes[key] = ir.AttrTensor(key, located(attribute.as_tensor(), where))
            elif attribute.type == ir.AttributeType.TENSORS:
                tensors = [located(tensor, where) for tensor in attribute.as_tensors()]
                node.attributes[key] = ir.AttrTensors(key, tensors)
    model.meta[_FILES] = tuple(dict.fromkeys(files))


def files_of(model: ir.Model) -> tuple[str, ...]:
    """The files that a loaded model was read from: its own, where there is one, and its external data."""
    return tuple(model.meta.get(_FILES, ()))


def folders_of(path: str | os.PathLike[str]) -> list[str]:
    """The folders that external data may lie in: of the path as given, then of the file that it leads to."""
    return [os.path.dirname(os.path.abspath(path)), os.path.dirname(os.path.realpath(path))]


def file_at(location: str, folders: Sequence[str], where: str) -> str:
    """The file, all links followed, that a location leads to from the first of the folders that has it.

    It must lie in one of them: so the links of a cache into its store are read, and nothing else is.

    Raises:
        ModelError: a location that leads elsewhere, or no folder; `where` says what has it.
    """
    if not folders:
        raise ModelError(f"{where} has no known folder: load the model by its path")
    if os.path.isabs(location) or os.path.normpath(location).split(os.sep)[0] == os.pardir:
        raise ModelError(
            f"{where} is outside of the model's folder: put the file there, and save the model with its name"
        )
    places = [os.path.join(folder, location) for folder in folders]
    try:
        file = os.path.realpath(next(filter(os.path.lexists, places), places[0]))
    except ValueError as error:
        raise ModelError(f"{where} is no name of a file: {error}") from error
    if not any(_holds(os.path.realpath(folder), file) for folder in folders):
        raise ModelError(
            f"{where} leads to '{file}', outside of the model's folder: put a copy of the file there"
        )
    return file


def _holds(folder: str, file: str) -> bool:
    return os.path.commonpath([folder, file]) == folder
