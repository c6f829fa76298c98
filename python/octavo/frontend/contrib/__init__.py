"""The operators of ONNX Runtime's own, written out with those of ONNX.

ONNX Runtime's optimizer and its tools for quantization write models with operators of the domain
com.microsoft, and some in ONNX's own domain that ONNX has later or not at all. Each node of them becomes a
call of a function of its own, whose body does what ONNX Runtime defines the operator to do: in its
docs/ContribOperators.md, and by its kernels for the CPU. The functions are written out once the model is in
the opset of their bodies.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import onnx.parser
import onnx_ir as ir

from octavo.errors import ModelError
from octavo.frontend.contrib.attention import ATTENTION
from octavo.frontend.contrib.call import Call, Operator
from octavo.frontend.contrib.fused import FUSED
from octavo.frontend.contrib.packed import PACKED
from octavo.frontend.contrib.quantized import QUANTIZED
from octavo.frontend.functions import inline_functions
from octavo.frontend.inference import infer_shapes
from octavo.frontend.kept import KEPT, have_function
from octavo.frontend.source import one_line
from octavo.program import OPSET

CALLED = "octavo.called"
"""The domain of the functions that the nodes call."""

_OPERATORS = {operator.name: operator for operator in (*FUSED, *ATTENTION, *QUANTIZED, *PACKED)}
_OF_ONNX = {
    "LayerNormalization": 17,
    "QLinearConv": OPSET + 1,
    "QLinearMatMul": OPSET + 1,
    "SimplifiedLayerNormalization": OPSET + 1,
}
"""Those of ONNX's own domain, and the opset from which on they are not written out here: ONNX Runtime has
normalizations there that ONNX has later or not at all."""


def is_contributed(node: ir.Node, version: int) -> bool:
    """Whether a node of a model in that opset is of an operator of ONNX Runtime's own that octavo knows."""
    return _operator_of(node, version) is not None


def _operator_of(node: ir.Node, version: int) -> Operator | None:
    if node.domain == "com.microsoft":
        return None if node.op_type in _OF_ONNX else _OPERATORS.get(node.op_type)
    is_own = node.domain == "" and version < _OF_ONNX.get(node.op_type, 0)
    return _OPERATORS[node.op_type] if is_own else None


def call_functions(model: ir.Model) -> list[Call]:
    """Replaces each node of ONNX Runtime's own operators by a call of a function of its own.

    Returns the calls, whose functions `add_functions` makes.

    Raises:
        ModelError: a node that does not fit its operator.
    """
    version = model.graph.opset_imports[""]
    calls: list[Call] = []
    for node in list(model.graph.all_nodes()):
        if operator := _operator_of(node, version):
            calls.append(_replace(Call(node, operator), len(calls)))
    if calls:
        model.graph.opset_imports[CALLED] = 1
    return calls


def add_functions(model: ir.Model, calls: list[Call]) -> None:
    """Gives a model that ONNX's checker has seen the functions that these nodes call.

    Raises:
        ModelError: a node that octavo has no body for.
    """
    waiting = calls
    while waiting:
        infer_shapes(model)
        left = []
        for call in waiting:
            body = _body(call)
            if body is None:
                left.append(call)
                continue
            _store(model, call)
            for name in call.kept:
                have_function(model, name)
            function = _function(call, body)
            model.functions[function.identifier()] = function
        if len(left) == len(waiting):
            raise ModelError(
                f"{left[0].where} is written out by the ranks and types of its inputs, which are not known"
            )
        waiting = left


@contextmanager
def without_functions(model: ir.Model) -> Iterator[None]:
    """The model without the functions that its nodes call, which it has again afterwards."""
    functions = list(model.functions.items())
    model.functions.clear()
    try:
        yield
    finally:
        model.functions.update(functions)


def write_out_calls(model: ir.Model) -> None:
    """Replaces the calls by the functions' nodes, in place; the model is in opset `OPSET`."""
    inline_functions(model, CALLED)
    model.graph.opset_imports.pop(CALLED, None)


def _replace(call: Call, number: int) -> Call:
    """Puts a call of function `number` in the place of a node; what the node leaves out is no part of it."""
    node, values = call.node, list(call.outputs.values())
    assert node.graph is not None
    made = ir.Node(
        CALLED,
        f"{call.operator.name}_{number}",
        list(call.inputs.values()),
        num_outputs=len(values),
        name=node.name,
    )
    ir.convenience.replace_nodes_and_values(node.graph, node, [node], [made], values, made.outputs)
    call.node, call.outputs = made, dict(zip(call.outputs, made.outputs, strict=True))
    return call


def _body(call: Call) -> str | None:
    try:
        return call.operator.body(call)
    except ModelError:
        raise
    except Exception as error:  # what shapes of constants that do not go together, for one, end in
        raise ModelError(f"{call.where} breaks the rules of its operator: {one_line(error)}") from error


def _store(model: ir.Model, call: Call) -> None:
    """Has the call read the constants that its body asked for, which the model then holds."""
    for name, tensor in call.stored.items():
        own = f"{call.node.op_type}/{name}"
        value = ir.Value(
            name=own,
            type=ir.TensorType(tensor.dtype),
            shape=ir.Shape(tensor.shape.numpy()),
            const_value=tensor,
        )
        model.graph.register_initializer(value)
        call.node.resize_inputs(len(call.node.inputs) + 1)
        call.node.replace_input_with(len(call.node.inputs) - 1, value)
        call.inputs[name] = value


def _function(call: Call, body: str) -> ir.Function:
    imports = f'"": {OPSET}, "{KEPT}": 1' if call.kept else f'"": {OPSET}'
    head = f'<domain: "{CALLED}", opset_import: [{imports}]> {call.node.op_type}'
    text = f"{head} ({', '.join(call.inputs)}) => ({', '.join(call.outputs)}) {{ {body} }}"
    function = ir.serde.deserialize_function(onnx.parser.parse_function(text))
    for node in function:
        node.name = f"{call.node.name or call.operator.name}/{node.op_type}"
        for value in node.outputs:
            value.name = f"{call.node.name or call.operator.name}/{value.name}"
    return function
