"""What a node of constant inputs would cost, known before it is computed: bytes of its outputs, and steps.

Shapes are inferred anew from the constants themselves: what the file claims of a value is not believed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx
import onnx_ir as ir

from octavo.passes.edit import scalar
from octavo.program import OPSET

Shape = tuple[int, ...]

_MAX_VECTOR = 4096
"""Elements of an input that inference may look at: shapes, axes, sizes."""

_MOST_SAMPLES = 4096
"""Of RoiAlign, along an axis, where their number depends on the regions."""

_STEPS = 4
"""Float32 products in the time of an element read or written, or of a product of other types."""


@dataclass(frozen=True)
class Cost:
    """bytes: of all outputs, at most. steps: the work, as that of so many float32 products in a MatMul."""

    bytes: int
    steps: int


def cost(node: ir.Node) -> Cost | None:
    """The cost of a node of constant inputs; None where it cannot be told, or an input is not a constant."""
    tensors = [None if value is None else value.const_value for value in node.inputs]
    if node.domain != "" or any(
        value is not None and (tensor is None or tensor.dtype == ir.DataType.STRING)
        for value, tensor in zip(node.inputs, tensors, strict=True)
    ):
        return None
    outputs = _outputs(node, tensors)
    inputs = [() if tensor is None else tuple(tensor.shape.numpy()) for tensor in tensors]
    total = made = 0
    for dtype, shape in outputs:
        size = _size(node, inputs, shape)
        if size is None:
            return None
        total += math.ceil(dtype.itemsize * size)
        made += size
    if not outputs:
        return None
    steps = _STEPS * (made + sum(tensor.size for tensor in tensors if tensor is not None))
    if node.op_type in _PRODUCTS:
        is_fast = tensors[0] is not None and tensors[0].dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16)
        steps += (1 if is_fast else _STEPS) * _PRODUCTS[node.op_type](node, inputs, made)
    elif node.op_type in _READS:
        steps += _STEPS * _READS[node.op_type](node, inputs, outputs[0][1] or (made,))
    return Cost(total, steps)


def _outputs(
    node: ir.Node, tensors: Sequence[ir.TensorProtocol | None]
) -> list[tuple[ir.DataType, Shape | None]]:
    """The dtype and shape of each output that is wanted, or nothing; no shape where ONNX cannot tell it."""
    if tensors and tensors[0] is not None and node.op_type in ("GroupNormalization", "Range"):
        # ONNX infers nothing of the one, and of the other refuses bounds of one element that runtimes take.
        shape = tuple(tensors[0].shape.numpy()) if node.op_type == "GroupNormalization" else None
        return [(tensors[0].dtype, shape)]
    proto = onnx.NodeProto(op_type=node.op_type)
    proto.input.extend("" if tensor is None else f"x{index}" for index, tensor in enumerate(tensors))
    proto.output.extend(f"y{index}" if value.name else "" for index, value in enumerate(node.outputs))
    types, data = {}, {}
    for name, tensor in zip(proto.input, tensors, strict=True):
        if tensor is not None:
            types[name] = onnx.helper.make_tensor_type_proto(int(tensor.dtype), tensor.shape.numpy())
            if tensor.size <= _MAX_VECTOR:
                data[name] = ir.serde.serialize_tensor(tensor)
    try:
        proto.attribute.extend(
            ir.serde.serialize_attribute(attribute) for attribute in node.attributes.values()
        )
        schema = onnx.defs.get_schema(node.op_type, OPSET, "")
        found = onnx.shape_inference.infer_node_outputs(schema, proto, types, data)
        return [_type(found[name].tensor_type) for name in proto.output if name]
    except (
        Exception
    ):  # an unknown operator, or inputs that do not fit: what is wrong is found where it is run
        return []


def _type(proto: onnx.TypeProto.Tensor) -> tuple[ir.DataType, Shape | None]:
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else -1 for axis in proto.shape.dim)
    is_known = proto.HasField("shape") and min(shape, default=0) >= 0
    return ir.DataType(proto.elem_type), shape if is_known else None


def _size(node: ir.Node, inputs: list[Shape], shape: Shape | None) -> int | None:
    """Elements of an output, at most."""
    if node.op_type in _AT_MOST:
        return _AT_MOST[node.op_type](node, inputs)
    return None if shape is None else math.prod(shape)


def _range(node: ir.Node, inputs: list[Shape]) -> int | None:
    start, limit, step = (scalar(value) for value in node.inputs[:3])
    if start is None or limit is None or not step or not all(map(math.isfinite, (start, limit, step))):
        return None
    count = (limit - start) / step
    return None if not math.isfinite(count) else max(0, math.ceil(count))


_AT_MOST: dict[str, Callable[[ir.Node, list[Shape]], int | None]] = {
    "Compress": lambda node, inputs: math.prod(inputs[0]),
    "NonMaxSuppression": lambda node, inputs: 3 * math.prod(inputs[1]),
    "NonZero": lambda node, inputs: math.prod(inputs[0]) * len(inputs[0]),
    "Range": _range,
    "Unique": lambda node, inputs: math.prod(inputs[0]),
}
"""Where the shape depends on what the inputs hold."""


_PRODUCTS: dict[str, Callable[[ir.Node, list[Shape], int], int]] = {
    "Conv": lambda node, inputs, made: made * math.prod(inputs[1][1:]),
    "ConvTranspose": lambda node, inputs, made: math.prod(inputs[0]) * math.prod(inputs[1][1:]),
    "Gemm": lambda node, inputs, made: made * inputs[0][0 if node.attributes.get_int("transA", 0) else 1],
    "MatMul": lambda node, inputs, made: made * inputs[0][-1],
}
"""How many products are summed."""


def _pool(node: ir.Node, inputs: list[Shape], output: Shape) -> int:
    return math.prod(output) * math.prod(node.attributes.get_ints("kernel_shape", ()))


def _sort(node: ir.Node, inputs: list[Shape], output: Shape) -> int:
    size = math.prod(inputs[0])
    return size * size.bit_length()


def _resize(node: ir.Node, inputs: list[Shape], output: Shape) -> int:
    """Along an axis that grows it reads 4 elements, along one that shrinks the more the smaller it gets."""
    axes = [(before, after) for before, after in zip(inputs[0], output, strict=True) if before != after]
    return math.prod(output) * math.prod(4 * max(1, -(-before // max(1, after))) for before, after in axes)


def _regions(node: ir.Node, inputs: list[Shape], output: Shape) -> int:
    samples = node.attributes.get_int("sampling_ratio", 0) or _MOST_SAMPLES
    return math.prod(output) * samples**2


_READS: dict[str, Callable[[ir.Node, list[Shape], Shape], int]] = {
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), _pool),
    **dict.fromkeys(("TopK", "Unique"), _sort),
    "GridSample": lambda node, inputs, output: math.prod(output) * 4 ** max(0, len(output) - 2),
    "NonMaxSuppression": lambda node, inputs, output: math.prod(inputs[1]) * math.prod(inputs[1][-1:]),
    "Resize": _resize,
    "RoiAlign": _regions,
}
"""How many elements are read, where inputs are read more than once."""
