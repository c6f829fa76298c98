"""Conversion of a graph to the one opset that octavo works in."""

import onnx
import onnx_ir as ir
from onnxscript import version_converter

from octavo.errors import ModelError
from octavo.frontend.check import check_rules
from octavo.frontend.skeleton import skeleton
from octavo.frontend.source import one_line

NEWEST_OPSET = 28
"""The newest opset that is read. After 25, opsets up to it changed the meaning of no operator: they added
operators, dtypes, and attributes whose defaults stand for what was."""

_GRAPH_CONVERTER_FROM = 18
"""onnxscript converts graphs from here up; ONNX's own converter, which works on protos, knows older ones."""


def convert(model: ir.Model, opset: int) -> None:
    """Converts a checked model with inferred shapes to `opset`, in place; names of values are kept.

    Raises:
        ModelError: a node that has no equivalent in `opset`.
    """
    version = model.graph.opset_imports[""]
    for node in model.graph.all_nodes():
        _prepare(node, version)
    try:
        if version < _GRAPH_CONVERTER_FROM:
            _convert_proto(model, _GRAPH_CONVERTER_FROM)
        version_converter.ConvertVersionPass(opset)(model)
    except Exception as error:  # either library raises its own
        raise ModelError(
            f"the model cannot be converted from ONNX opset {version}: {one_line(error)}"
        ) from error
    for node in model.graph.all_nodes():
        _restore_defaults(node, version)
    model.ir_version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    check_rules(model)


def restate(model: ir.Model, opset: int) -> None:
    """Puts a checked model with inferred types of an opset up to NEWEST_OPSET into an older one, in place.

    Raises:
        ModelError: a node that uses what came after `opset`.
    """
    version = model.graph.opset_imports[""]
    for node in model.graph.all_nodes():
        if node.domain != "":
            continue
        newer = onnx.defs.get_schema(node.op_type, version, "")
        if newer.since_version > opset:
            _restate_node(node, newer, opset)
    model.graph.opset_imports[""] = opset
    model.ir_version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])


def _restate_node(node: ir.Node, newer: onnx.defs.OpSchema, opset: int) -> None:
    beyond = f"which came after ONNX opset {opset}, where octavo works: export with opset {opset}"
    if not onnx.defs.has(node.op_type, opset, ""):
        raise ModelError(f"node '{node.name}' is operator '{node.op_type}', {beyond}")
    older = onnx.defs.get_schema(node.op_type, opset, "")
    for name in newer.attributes.keys() - older.attributes.keys():
        given = node.attributes.pop(name, None)
        default = ir.serde.deserialize_attribute(newer.attributes[name].default_value)
        if given is not None and given.value != default.value:
            raise ModelError(f"node '{node.name}' ({node.op_type}) has {name} = {given.value}, {beyond}")
    for values, slots in ((node.inputs, older.inputs), (node.outputs, older.outputs)):
        for value, slot in zip(values, slots, strict=False):
            if value is not None and value.dtype is not None and _type_name(value.dtype) not in slot.types:
                kind = value.dtype.name.lower()
                raise ModelError(f"node '{node.name}' is operator '{node.op_type}' of {kind}, {beyond}")


def _type_name(dtype: ir.DataType) -> str:
    return f"tensor({'float' if dtype == ir.DataType.FLOAT else dtype.name.lower()})"


def _convert_proto(model: ir.Model, opset: int) -> None:
    """ONNX's own converter, on the model without its weights, which then take their places again."""
    converted = ir.from_proto(onnx.version_converter.convert_version(skeleton(model), opset)).graph
    own_inputs = {value.name for value in model.graph.inputs}
    for value in list(converted.inputs):
        weight = model.graph.initializers.get(value.name or "")
        if weight is None or value.is_initializer():
            continue
        if value.name not in own_inputs:
            converted.inputs.remove(value)
        value.const_value = weight.const_value
        converted.register_initializer(value)
    converted.meta.update(model.graph.meta)
    model.graph = converted


def _prepare(node: ir.Node, version: int) -> None:
    """Raises for what the converters would pass on with another meaning; drops what they stumble over."""
    if node.op_type == "BatchNormalization" and version < 9 and not node.attributes.get_int("spatial", 1):
        raise ModelError(
            f"node '{node.name}' (BatchNormalization) has spatial=0, which ONNX dropped in opset 9: "
            "export it with per-channel statistics"
        )
    if (
        node.op_type == "Dropout"
        and version < 10
        and any(mask.uses() or mask.is_graph_output() for mask in node.outputs[1:])
    ):
        raise ModelError(
            f"node '{node.name}' (Dropout) has a mask that is read, whose type ONNX changed in opset 10: "
            "export the model without it"
        )
    if node.op_type == "Pad" and node.attributes.get_string("mode", "constant") != "constant":
        node.attributes.pop("value", None)  # of no effect, but the converter trips over it


def _restore_defaults(node: ir.Node, version: int) -> None:
    """Writes out what older opsets had as the only way, where the newer ones have another default."""
    if node.op_type == "Resize" and version < 11:
        node.attributes["coordinate_transformation_mode"] = ir.AttrString(
            "coordinate_transformation_mode", "asymmetric"
        )
        node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", "floor")
    if node.op_type == "RoiAlign" and version < 16:
        node.attributes["coordinate_transformation_mode"] = ir.AttrString(
            "coordinate_transformation_mode", "output_half_pixel"
        )
