"""QuantizeLinear and DequantizeLinear, written out as what ONNX defines them to be.

    quantized = clamp(rne(x / scale) + zero_point, low, high)
    dequantized = (x - zero_point) * scale

The quotient is of the scale's dtype, or of `precision`; the product is of float32 and rounded once to the
dtype of the result. A scale and a zero point are one number, a list along `axis`, or one for each block of
`block_size` along it.
"""

import numpy as np
import onnx_ir as ir

from octavo.errors import ModelError
from octavo.frontend.check import called

ENDS = {
    ir.DataType.UINT8: (0, 255),
    ir.DataType.INT8: (-128, 127),
    ir.DataType.UINT16: (0, 65535),
    ir.DataType.INT16: (-32768, 32767),
    ir.DataType.UINT4: (0, 15),
    ir.DataType.INT4: (-8, 7),
    ir.DataType.UINT2: (0, 3),
    ir.DataType.INT2: (-2, 1),
}
"""The integers of each dtype that a QuantizeLinear gives."""

_HELD = (ir.DataType.UINT8, ir.DataType.INT8, ir.DataType.INT16)
"""Those of them that a Program holds; the others are int32 between a QuantizeLinear and DequantizeLinears."""

_INTEGERS_ALONE = "octavo has integers of up to 16 bits there"

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def quantize_body(node: ir.Node) -> str | None:
    """The body of a QuantizeLinear; None where the dtypes or the ranks that it depends on are not known."""
    x, scale = node.inputs[:2]
    if not _known(node):
        return None
    check_parameters(node)
    assert x is not None
    assert scale is not None
    precision = _dtype_of(node, "precision") or scale.dtype
    to = quantized_dtype(node)
    if precision not in _FLOATS:
        raise ModelError(f"{_where(node)} divides in {_named(precision)}: octavo does so in floats alone")
    low, high = ENDS[to]
    (result,) = node.outputs
    is_inner = not result.is_graph_output() and all(
        use.node.op_type == "DequantizeLinear" and use.idx == 0 for use in result.uses()
    )
    made = to if to in _HELD or not is_inner else ir.DataType.INT32
    lines = f"x = Cast <to = {precision.value}> (x0) " + _spread(node, 1, precision)
    lines += "quotient = Div (x, v1) whole = Round (quotient) steps = Cast <to = 1> (whole) "
    shifted = "steps"
    if point(node) is not None:
        lines += _spread(node, 2, ir.DataType.FLOAT) + "shifted = Add (steps, v2) "
        shifted = "shifted"
    return lines + (
        f"low = Constant <value_float = {float(low)}> () high = Constant <value_float = {float(high)}> () "
        f"held = Clip ({shifted}, low, high) y = Cast <to = {made.value}> (held)"
    )


def dequantize_body(node: ir.Node) -> str | None:
    """The body of a DequantizeLinear; None where the dtypes or the ranks that it depends on are not known."""
    x, scale = node.inputs[:2]
    if not _known(node):
        return None
    check_parameters(node)
    assert x is not None
    assert scale is not None
    to = _dtype_of(node, "output_dtype") or scale.dtype
    assert to is not None
    lines = f"x = Cast <to = {ir.DataType.INT32.value}> (x0) "
    steps = "x"
    if point(node) is not None:
        lines += _spread(node, 2, ir.DataType.INT32) + "steps = Sub (x, v2) "
        steps = "steps"
    lines += _spread(node, 1, ir.DataType.FLOAT)
    return lines + f"f = Cast <to = 1> ({steps}) product = Mul (f, v1) y = Cast <to = {to.value}> (product)"


def check_parameters(node: ir.Node) -> None:
    """Raises where dtypes, shapes, the axis or constant scales are none that the operator can have.

    Raises:
        ModelError: naming the node.
    """
    x, scale, zero = node.inputs[0], node.inputs[1], point(node)
    assert x is not None
    assert scale is not None
    held = quantized_dtype(node) if node.op_type == "QuantizeLinear" else x.dtype
    if held not in ENDS and held != ir.DataType.INT32:
        raise ModelError(f"{_where(node)} is of {_named(held)}: {_INTEGERS_ALONE}")
    if zero is not None and node.op_type == "DequantizeLinear" and zero.dtype not in (held, None):
        raise ModelError(f"{_where(node)} has a zero point of {_named(zero.dtype)} for {_named(held)}")
    rank = None if x.shape is None else len(x.shape)
    axis = axis_of(node)
    if rank is not None and not is_single(node) and not 0 <= axis < rank:
        given = node.attributes.get_int("axis", 1)
        raise ModelError(f"{_where(node)} has axis {given}, but its input has {rank} axes")
    _check_sizes(node)
    number = ir.convenience.get_const_tensor(scale)
    if number is None:
        return
    scales = number.numpy().astype(np.float64)
    is_wrong = ~np.isfinite(scales)
    if node.op_type == "QuantizeLinear":
        is_wrong |= scales <= 0
    if np.any(is_wrong):
        wrong = scales[is_wrong].reshape(-1)[0]
        raise ModelError(f"{_where(node)} has the scale {wrong:g}: scales are positive numbers")


def _check_sizes(node: ir.Node) -> None:
    """Raises where scales do not go with the input, or zero points with the scales."""
    x, scale, zero = node.inputs[0], node.inputs[1], point(node)
    assert x is not None
    assert scale is not None
    scales, zeros = _sizes(scale), _sizes(zero)
    if scales is None:
        return
    if zeros is not None and _less_ones(scales) != _less_ones(zeros):
        raise ModelError(f"{_where(node)} has scales {scales} and zero points {zeros}")
    if x.shape is None or is_single(node):
        return
    axis, block = axis_of(node), node.attributes.get_int("block_size", 0)
    extent = x.shape[axis]
    if block < 0 or len(scales) != (len(x.shape) if block else 1):
        raise ModelError(f"{_where(node)} has scales {scales} and blocks of {block} for {len(x.shape)} axes")
    if not isinstance(extent, int):
        return
    wanted = extent if block == 0 else -(-extent // block)
    if scales[axis if block else 0] != wanted:
        by_block = f" in blocks of {block}" if block else ""
        raise ModelError(
            f"{_where(node)} has scales {scales}, but {extent} elements along axis {axis}{by_block}"
        )


def quantized_dtype(node: ir.Node) -> ir.DataType:
    """What a QuantizeLinear gives.

    Raises:
        ModelError: a dtype that octavo has no integers of, or two that differ.
    """
    zero, stated = point(node), _dtype_of(node, "output_dtype")
    found = (zero.dtype if zero is not None else None) or stated or ir.DataType.UINT8
    if stated not in (None, found):
        raise ModelError(f"{_where(node)} gives {_named(stated)}, but has a zero point of {_named(found)}")
    if found not in ENDS:
        raise ModelError(f"{_where(node)} is of {_named(found)}: {_INTEGERS_ALONE}")
    return found


def axis_of(node: ir.Node) -> int:
    """The axis of scales, counted from the front where the rank is known."""
    axis, x = node.attributes.get_int("axis", 1), node.inputs[0]
    return axis + len(x.shape) if axis < 0 and x is not None and x.shape is not None else axis


def is_single(node: ir.Node) -> bool:
    """Whether a node has one scale for all: a number, or a list of one outside of blocks."""
    scale = node.inputs[1]
    shape = None if scale is None else scale.shape
    return shape is not None and (len(shape) == 0 or (len(shape) == 1 and shape[0] == 1))


def point(node: ir.Node) -> ir.Value | None:
    """The zero point, where the node has one."""
    return node.inputs[2] if len(node.inputs) > 2 else None


def _known(node: ir.Node) -> bool:
    x, scale = node.inputs[:2]
    if x is None or scale is None or x.dtype is None or scale.dtype is None or scale.shape is None:
        return False
    return is_single(node) or x.shape is not None


def _spread(node: ir.Node, place: int, to: ir.DataType) -> str:
    """`v<place>`: the scale or zero point as `to`, in a shape that goes with the input's."""
    value, x = node.inputs[place], node.inputs[0]
    assert value is not None
    assert x is not None
    if is_single(node):
        cast = f"c{place} = Cast <to = {to.value}> (x{place}) "
        if value.shape is not None and len(value.shape):
            return cast + f"v{place} = Squeeze (c{place}) "
        return cast + f"v{place} = Identity (c{place}) "
    assert x.shape is not None
    rank, axis, block = len(x.shape), axis_of(node), node.attributes.get_int("block_size", 0)
    cast = f"c{place} = Cast <to = {to.value}> (x{place}) "
    if block == 0:
        axes = list(range(1, rank - axis))
        if not axes:
            return cast + f"v{place} = Identity (c{place}) "
        return (
            cast + f"a{place} = Constant <value_ints = {axes}> () v{place} = Unsqueeze (c{place}, a{place}) "
        )
    tiles = [1] * (rank + 1)
    tiles[axis + 1] = block
    return cast + (
        f"a{place} = Constant <value_ints = [{axis + 1}]> () u{place} = Unsqueeze (c{place}, a{place}) "
        f"t{place} = Constant <value_ints = {tiles}> () r{place} = Tile (u{place}, t{place}) "
        + _joined(place, rank, axis)
        + f"from{place} = Constant <value_ints = [0]> () at{place} = Constant <value_ints = [{axis}]> () "
        f"to{place} = Shape <start = {axis}, end = {axis + 1}> (x0) "
        f"v{place} = Slice (j{place}, from{place}, to{place}, at{place}) "
    )


def _joined(place: int, rank: int, axis: int) -> str:
    """`j<place>`: r<place> with its axes `axis` and the next one made one."""
    parts = [f"h{place} = Shape <start = 0, end = {axis}> (r{place}) "] if axis else []
    names = [f"h{place}"] if axis else []
    parts.append(f"rest{place} = Constant <value_ints = [-1]> () ")
    names.append(f"rest{place}")
    if axis + 1 < rank:
        parts.append(f"l{place} = Shape <start = {axis + 2}> (r{place}) ")
        names.append(f"l{place}")
    return (
        "".join(parts)
        + f"s{place} = Concat <axis = 0> ({', '.join(names)}) j{place} = Reshape (r{place}, s{place}) "
    )


def _sizes(value: ir.Value | None) -> list[int] | None:
    """The shape of a value, where all of it is known."""
    if value is None or value.shape is None or not value.shape.is_static():
        return None
    return list(value.shape.numpy())


def _less_ones(shape: list[int]) -> list[int]:
    """A shape, that of a list of one being that of a number."""
    return [] if shape == [1] else shape


def _dtype_of(node: ir.Node, name: str) -> ir.DataType | None:
    """The dtype that an attribute names; 0 is none."""
    given = node.attributes.get_int(name, 0)
    return ir.DataType(given) if given else None


def _named(dtype: ir.DataType | None) -> str:
    return "an unknown type" if dtype is None else dtype.name.lower()


def _where(node: ir.Node) -> str:
    return f"{called(node)} ({node.op_type})"
