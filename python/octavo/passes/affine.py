"""Per-channel scales and offsets (BatchNormalization, Mul, Add, ...) go into the weights beside them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from octavo.frontend.steps import GREATEST_SCALE, LEAST_SCALE
from octavo.passes.edit import (
    FLOATS,
    Array,
    add_constant,
    bypass,
    constant,
    dims,
    held,
    input_of,
    insert_before,
    is_read_once,
    keeps_rank,
    nodes,
    producer,
    set_attributes,
    set_inputs,
)

Vector = npt.NDArray[np.float64]
_AFFINE = ("BatchNormalization", "Mul", "Div", "Add", "Sub")
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class Affine:
    """`scale * x + offset`, both float64 constants that broadcast to x as they stand in the graph."""

    x: ir.Value
    scale: Vector
    offset: Vector


def fold_affine(model: ir.Model) -> bool:
    """Folds scales and offsets into the Conv, ConvTranspose, Gemm or MatMul that they follow or precede."""
    changed = False
    with np.errstate(all="ignore"):
        for node in nodes(model, *_AFFINE):
            changed |= _into_producer(node)
        for node in nodes(model, "Conv"):
            changed |= _from_input(node)
    return changed


def affine_of(node: ir.Node) -> Affine | None:
    """What an affine node with constant coefficients computes, in float64; None for any other node."""
    if node.outputs[0].dtype not in FLOATS:
        return None
    if node.op_type == "BatchNormalization":
        return _batch_normalization(node)
    if node.op_type not in _AFFINE:
        return None
    x, c, swapped = node.inputs[0], constant(input_of(node, 1)), False
    if c is None:
        x, c, swapped = node.inputs[1], constant(node.inputs[0]), True
    if x is None or c is None or constant(x) is not None or (node.op_type == "Div" and swapped):
        return None
    one, zero, coefficient = np.float64(1), np.float64(0), c.astype(np.float64)
    with np.errstate(all="ignore"):
        if node.op_type == "Mul":
            found = Affine(x, coefficient, np.asarray(zero))
        elif node.op_type == "Div":
            found = Affine(x, one / coefficient, np.asarray(zero))
        elif node.op_type == "Add":
            found = Affine(x, np.asarray(one), coefficient)
        else:
            found = Affine(x, np.asarray(-one if swapped else one), coefficient if swapped else -coefficient)
    return found if np.isfinite(found.scale).all() and np.isfinite(found.offset).all() else None


def _batch_normalization(node: ir.Node) -> Affine | None:
    parts = [constant(value) for value in node.inputs[1:5]]
    if node.attributes.get_int("training_mode", 0) or len(node.outputs) > 1 or node.inputs[0] is None:
        return None
    if any(part is None or part.ndim != 1 for part in parts):
        return None
    gamma, beta, mean, variance = (part.astype(np.float64) for part in parts if part is not None)
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
        offset = beta - mean * scale
    if not (np.isfinite(scale).all() and np.isfinite(offset).all()) or node.inputs[0].shape is None:
        return None
    column = (-1,) + (1,) * (len(node.inputs[0].shape) - 2)
    return Affine(node.inputs[0], scale.reshape(column), offset.reshape(column))


def _into_producer(node: ir.Node) -> bool:
    affine = affine_of(node)
    maker = None if affine is None else producer(affine.x, *_WEIGHTED)
    if affine is None or maker is None or not is_read_once(affine.x):
        return False
    given = producer(input_of(maker, 1), "DequantizeLinear")
    weight = constant(input_of(maker, 1) if given is None else given.inputs[0])
    bias = constant(input_of(maker, 2))
    if weight is None or (bias is None and input_of(maker, 2) is not None):
        return False
    rank = weight.ndim
    last = maker.op_type in ("Gemm", "MatMul")
    channels = _output_channels(maker, weight)
    if rank < 2 or channels is None or (last and rank != 2):
        return False
    scale = per_channel(affine.scale, rank, rank - 1 if last else 1, channels)
    offset = per_channel(affine.offset, rank, rank - 1 if last else 1, channels)
    if scale is None or offset is None or (maker.op_type == "MatMul" and offset.any()):
        return False
    if maker.op_type == "MatMul" and not keeps_rank(affine.x, affine.scale.ndim):
        return False  # a vector times a matrix has one axis
    if bias is None:
        old = np.zeros(channels)
    else:
        beta = maker.attributes.get_float("beta", 1.0) if maker.op_type == "Gemm" else 1.0
        row = per_channel(bias.astype(np.float64), rank if last else 1, 1 if last else 0, channels)
        if row is None:
            return False
        old = row * beta
    new = held(old * scale + offset, np.float32 if given is not None else weight.dtype)
    if new is None:
        return False
    if given is None:
        exact = held(_scaled(maker, weight, scale), weight.dtype)
        scaled = None if exact is None else add_constant(maker, exact, "weight")
    else:
        scaled = _rescaled(maker, given, weight, scale)
    if scaled is None:
        return False
    inputs = [maker.inputs[0], scaled]
    if maker.op_type != "MatMul" and (bias is not None or new.any()):
        inputs.append(add_constant(maker, new, "bias"))
    set_inputs(maker, inputs)
    if maker.op_type == "Gemm":
        set_attributes(maker, beta=1.0)
    return bypass(node, affine.x)


def _rescaled(maker: ir.Node, given: ir.Node, weight: Array, scale: Vector) -> ir.Value | None:
    """Weights that a model gives in integers with each output channel scaled, by their scales alone.

    A channel that turns its sign has its integers turned; None where one is -128, or a scale is none then.
    """
    own = constant(given.inputs[1])
    axis = 0 if maker.op_type == "Conv" or maker.attributes.get_int("transB", 0) == 1 else weight.ndim - 1
    is_plain = weight.dtype == np.int8 and len(given.inputs) == 2 and "block_size" not in given.attributes
    if own is None or own.dtype != np.float32 or own.size not in (1, len(scale)) or not is_plain:
        return None
    scales = held(own.reshape(-1).astype(np.float64) * np.abs(scale), np.float32)
    if scales is None or not np.all((scales >= LEAST_SCALE) & (scales <= GREATEST_SCALE)):
        return None
    integers = given.inputs[0]
    if np.any(scale < 0):
        column = [1] * weight.ndim
        column[axis] = -1
        turned = weight.astype(np.int16) * np.where(scale < 0, -1, 1).astype(np.int16).reshape(column)
        if turned.max(initial=0) > np.iinfo(np.int8).max:
            return None
        integers = add_constant(maker, turned.astype(np.int8), "integers")
    inputs = [integers, add_constant(maker, scales, "scale")]
    made = insert_before(maker, "DequantizeLinear", inputs, "weight", axis=axis)
    made.type = ir.TensorType(ir.DataType.FLOAT)
    return made


def per_channel(coefficient: Vector, rank: int, axis: int, channels: int) -> Vector | None:
    """A coefficient as [channels]; None where it varies along another one of `rank` axes than `axis`."""
    if coefficient.ndim > rank:
        return None
    shape = (1,) * (rank - coefficient.ndim) + coefficient.shape
    if any(extent != 1 for index, extent in enumerate(shape) if index != axis) or shape[axis] not in (
        1,
        channels,
    ):
        return None
    return np.broadcast_to(coefficient.reshape(-1), (channels,)).astype(np.float64)


def _output_channels(node: ir.Node, weight: Array) -> int | None:
    if node.op_type == "Conv":
        return int(weight.shape[0])
    if node.op_type == "ConvTranspose":
        return int(weight.shape[1]) * node.attributes.get_int("group", 1)
    transposed = node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1
    return int(weight.shape[0 if transposed else -1])


def _scaled(node: ir.Node, weight: Array, scale: Vector) -> Array:
    """The weight with each output channel scaled, in float64."""
    exact = weight.astype(np.float64)
    if node.op_type == "ConvTranspose":  # [inputs, outputs of a group, ...]: the groups lie along the inputs
        group = node.attributes.get_int("group", 1)
        grouped = exact.reshape(group, -1, *exact.shape[1:])
        factor = scale.reshape(group, 1, -1, *(1,) * (exact.ndim - 2))
        return (grouped * factor).reshape(exact.shape)
    axis = 0 if node.op_type == "Conv" or node.attributes.get_int("transB", 0) == 1 else exact.ndim - 1
    column = [1] * exact.ndim
    column[axis] = -1
    return exact * scale.reshape(column)


def _from_input(node: ir.Node) -> bool:
    """Folds the scale (and without padding the offset) of a Conv's input into the Conv."""
    x = node.inputs[0]
    maker = None if x is None else x.producer()
    affine = None if maker is None or not maker.outputs else affine_of(maker)
    weight, bias = constant(input_of(node, 1)), constant(input_of(node, 2))
    if x is None or affine is None or weight is None or not is_read_once(x):
        return False
    if bias is None and input_of(node, 2) is not None:
        return False
    group = node.attributes.get_int("group", 1)
    channels, shape = int(weight.shape[1]) * group, dims(affine.x)
    if shape is None or len(shape) != weight.ndim or shape[1] != channels:
        return False  # one channel that the coefficients spread to several, say
    scale = per_channel(affine.scale, weight.ndim, 1, channels)
    offset = per_channel(affine.offset, weight.ndim, 1, channels)
    padded = any(node.attributes.get_ints("pads", [])) or node.attributes.get_string(
        "auto_pad", "NOTSET"
    ) not in (
        "NOTSET",
        "VALID",
    )
    if scale is None or offset is None or (padded and offset.any()):
        return False
    exact = weight.astype(np.float64).reshape(group, -1, *weight.shape[1:])
    column = (group, 1, -1) + (1,) * (weight.ndim - 2)
    moved = (exact * offset.reshape(column)).reshape(weight.shape[0], -1)
    scaled = held((exact * scale.reshape(column)).reshape(weight.shape), weight.dtype)
    sums = np.cumsum(moved, axis=1)[:, -1]  # one order everywhere
    new = held((0 if bias is None else bias.astype(np.float64)) + sums, weight.dtype)
    if scaled is None or new is None:
        return False
    inputs = [affine.x, add_constant(node, scaled, "weight")]
    if bias is not None or new.any():
        inputs.append(add_constant(node, new, "bias"))
    set_inputs(node, list(inputs))
    return True
