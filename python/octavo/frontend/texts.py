"""Texts of a model that are not UTF-8: protobuf hands them on as bytes, and every library trips over them."""

from collections.abc import Iterator
from typing import Any

import onnx
import onnx_ir as ir

from octavo.errors import ModelError

_OF_TENSORS = ("name", "doc_string", "external_data")
"""The fields of a tensor that hold texts; the others may be large."""


def check_proto(model: onnx.ModelProto) -> None:
    """Raises where a text attribute, a name, doc string or piece of metadata is not UTF-8.

    Raises:
        ModelError: names the node and the attribute, or says where in the file the text stands.
    """
    for where, value in _texts(model, "model"):
        if not _is_text(value):
            raise ModelError(f"{where} is not UTF-8: {value!r}; {_ADVICE}")


def check_graph(model: ir.Model) -> None:
    """Raises where a text attribute, or the name of a node or value, is not UTF-8.

    Raises:
        ModelError: naming the node and the attribute.
    """
    for node in model.graph.all_nodes():
        where = f"node '{node.name or ''}' ({node.op_type})"
        for name in (node.name, node.op_type, *(v.name for v in (*node.inputs, *node.outputs) if v)):
            if name is not None and not _is_text(name):
                raise ModelError(f"the name {name!r} at {where} is not UTF-8; {_ADVICE}")
        for attribute in node.attributes.values():
            texts = {ir.AttributeType.STRING: (attribute.value,), ir.AttributeType.STRINGS: attribute.value}
            for text in () if attribute.is_ref() else texts.get(attribute.type, ()):
                if not _is_text(text):
                    raise ModelError(
                        f"attribute '{attribute.name}' of {where} is not UTF-8: {text!r}; {_ADVICE}"
                    )


_ADVICE = "export the model again"


def _is_text(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decoded(text: bytes) -> str | bytes:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text


def _texts(message: Any, where: str) -> Iterator[tuple[str, object]]:  # noqa: ANN401  # of any type
    """Every text in a message and those within it, and where it stands: `graph.node[3].name`."""
    if isinstance(message, onnx.TensorProto):
        by_name = message.DESCRIPTOR.fields_by_name
        fields = [(by_name[name], getattr(message, name)) for name in _OF_TENSORS]
    else:
        fields = message.ListFields()
    if isinstance(message, onnx.NodeProto):
        for attribute in message.attribute:
            for text in (attribute.s, *attribute.strings):
                yield (
                    f"attribute '{attribute.name}' of node '{message.name}' ({message.op_type})",
                    _decoded(text),
                )
    for field, value in fields:
        is_text, is_message = field.type == field.TYPE_STRING, field.type == field.TYPE_MESSAGE
        if not (is_text or is_message):
            continue
        is_one = isinstance(value, str | bytes) or hasattr(value, "ListFields")
        for index, item in enumerate((value,) if is_one else value):
            place = f"{where}.{field.name}" + ("" if is_one else f"[{index}]")
            if is_text:
                yield place, item
            else:
                yield from _texts(item, place)
