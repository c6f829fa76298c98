"""What each op asks of its attributes and constants beyond the table of ops, without the shapes of feeds.

The plan and the kernels rely on it: parameters within the bounds of the arithmetic, sums within their
accumulators.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, cast

import numpy as np
import numpy.typing as npt

from octavo.errors import ArtifactError
from octavo.program import Node, Program
from octavo.program.arithmetic import (
    RESIDUAL_MULTIPLIER_END,
    RESIDUAL_SHIFT_MAX,
    SHIFT_MAX,
    is_multiplier,
    multiplier_shift,
    residual_reach,
)
from octavo.program.attributes import integer, integers, number
from octavo.program.bodies import check_if, check_loop
from octavo.program.integers import ACTIVATIONS, Integers, elements, limits

INT32_MAX = 2**31 - 1

SOFTMAX_ONE = 1 << 22
"""The first entry of a QSoftmax table: exp(0), in units of 2^-22."""

RESIDUAL = 5
"""The place of a product's residual among its inputs; behind it are its multipliers and shifts."""

ROW_SCALES = 4
"""The place of the scales that a run finds among a product's inputs; behind it are the zero points."""

COLUMNS = 3
"""The place, among the inputs of a Quantize, of where its columns are taken from."""

COLUMN_ZERO_END = 2.0**21
"""What the zero point of a column is at most, and its negative at least: float32 holds eighths of it."""

ONNX_DTYPES = {
    "f32": 1,
    "u8": 2,
    "i8": 3,
    "i16": 5,
    "i32": 6,
    "i64": 7,
    "bool": 9,
    "f16": 10,
    "f64": 11,
}
"""The number that ONNX's TensorProto gives each dtype; Cast names its target so."""


def check(program: Program, node: Node) -> None:
    """Check the attributes and constants of one node, whose types are known to be right."""
    if node.op in _CHECKS:
        _CHECKS[node.op](program, node)


def _fail(node: Node, what: str) -> NoReturn:
    raise ArtifactError(f"the program is not valid: the {node.op} node {node.name!r}: {what}")


def _within(node: Node, name: str, least: int, greatest: int) -> None:
    value = integer(node, name)
    if not least <= value <= greatest:
        _fail(node, f"{name} is {value}, outside {least}..{greatest}")


def _positive(node: Node, name: str) -> None:
    value = number(node, name)
    if not 0 < value < math.inf:
        _fail(node, f"{name} is {value}, not a positive number")


def _integers(program: Program, name: str) -> Integers:
    """What a value of activations is held in."""
    return ACTIVATIONS[program.values[name].dtype]


def _clamp(program: Program, node: Node) -> None:
    of = _integers(program, node.outputs[0])
    _within(node, "lo", of.low, of.high)
    _within(node, "hi", of.low, of.high)
    if integer(node, "lo") > integer(node, "hi"):
        _fail(node, f"lo is {integer(node, 'lo')}, above hi, {integer(node, 'hi')}")


def _zero_points(program: Program, node: Node) -> None:
    inputs, outputs = node.inputs, node.outputs
    right, residual = "".join(inputs[1:2]), "".join(inputs[RESIDUAL : RESIDUAL + 1])
    for name, of in zip("xabry", (inputs[0], inputs[0], right, residual, outputs[0]), strict=True):
        if f"{name}_zero_point" in node.attributes:
            _within(node, f"{name}_zero_point", *_integers(program, of).zero_points)


def _check_quantize(program: Program, node: Node) -> None:
    if len(node.inputs) > COLUMNS:
        _check_columns(program, node)
        return
    if len(node.inputs) > 1:
        least, greatest = _integers(program, node.outputs[0]).zero_points
        zero_point = _shaped(program, node, 2, _positive_scales(program, node).shape)
        if not ((zero_point >= least) & (zero_point <= greatest)).all():
            _fail(node, f"a zero point is outside {least}..{greatest}")
        _scales_fit(program, node)
        return
    _positive(node, "scale")
    _within(node, "zero_point", *_integers(program, node.outputs[0]).zero_points)


def _check_columns(program: Program, node: Node) -> None:
    """A scale, a zero point and a place on the input's last axis for each column."""
    count = _positive_scales(program, node).size
    _shaped(program, node, 1, (count,))
    zero_point = _shaped(program, node, 2, (count,))
    columns = _shaped(program, node, COLUMNS, (count,))
    if not count:
        _fail(node, "it has no columns")
    if not (np.abs(zero_point) <= COLUMN_ZERO_END).all():
        _fail(node, f"a zero point is outside {-COLUMN_ZERO_END:.0f}..{COLUMN_ZERO_END:.0f}")
    if (columns < 0).any():
        _fail(node, "a column is taken from a place below 0")
    shape = program.values[node.inputs[0]].shape
    if shape == ():
        _fail(node, "its input has no axis to take columns from")
    length = shape[-1] if shape else "unknown"
    if isinstance(length, int) and (columns >= length).any():
        _fail(node, f"a column is taken from a place beyond the {length} of its input")


def _check_dequantize(program: Program, node: Node) -> None:
    if len(node.inputs) > 1:
        _check_scales(program, node)
        return
    _positive(node, "scale")
    _within(node, "zero_point", *_integers(program, node.inputs[0]).zero_points)


def _check_scales(program: Program, node: Node) -> None:
    """Scales and zero points of their own tensors: one, one along an axis, or one a block along it."""
    scale = _positive_scales(program, node)
    if node.inputs[2:] and node.inputs[2]:
        zero_point = elements(program, node.inputs[2])
        if zero_point.shape != scale.shape:
            _fail(node, f"its constant 2 has the shape {zero_point.shape}, not {scale.shape}")
        least, greatest = limits(program.values[node.inputs[0]].dtype)
        if ((zero_point < least) | (zero_point > greatest)).any():
            _fail(node, f"a zero point is outside {least}..{greatest}")
    if "block" in node.attributes and "axis" not in node.attributes:
        _fail(node, "it has a block without an axis")
    _scales_fit(program, node)


def _positive_scales(program: Program, node: Node) -> npt.NDArray[np.float32]:
    """The scales of a node that has tensors of them."""
    scale = program.constants[node.inputs[1]]
    if not (np.isfinite(scale) & (scale > 0)).all():
        _fail(node, "a scale is not a positive number")
    return scale


def _scales_fit(program: Program, node: Node) -> None:
    """The scales have the shape that the input asks for, where that is known."""
    value = program.values[node.inputs[0]]
    if value.shape is not None and not any(isinstance(size, str) for size in value.shape):
        _shaped(program, node, 1, scales_shape(node, cast("tuple[int, ...]", value.shape)))


def scales_shape(node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the scales of a node that has tensors of them, for an input of this shape."""
    if "axis" not in node.attributes:
        return (1,)
    axis = integer(node, "axis")
    if axis >= len(shape):
        _fail(node, f"axis is {axis}, its input has {len(shape)} axes")
    if "block" not in node.attributes:
        return (shape[axis],)
    blocks = -(-shape[axis] // integer(node, "block"))
    return (*shape[:axis], blocks, *shape[axis + 1 :])


def _check_requantize(program: Program, node: Node) -> None:
    _zero_points(program, node)
    multiplier = integer(node, "multiplier")
    if not (0 < multiplier <= INT32_MAX and is_multiplier(multiplier)):
        _fail(node, f"multiplier is {multiplier}, not an odd integer of 24 bits times 2^7")
    _clamp(program, node)


def _check_add(program: Program, node: Node) -> None:
    _zero_points(program, node)
    _clamp(program, node)


def _shaped(program: Program, node: Node, place: int, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    array = program.constants[node.inputs[place]]
    if array.shape != shape:
        _fail(node, f"its constant {place} has the shape {array.shape}, not {shape}")
    return array


def _channels(program: Program, node: Node, taps: npt.NDArray[np.int64]) -> None:
    """Biases and scales of the integer products: a vector each, of the channels of the output.

    taps: the sum of the magnitudes of each channel's weights.
    """
    by_row = has_row_scales(node)
    places = range(2, ROW_SCALES if by_row else len(node.inputs))
    vectors = [_shaped(program, node, place, taps.shape) for place in places if place != RESIDUAL]
    _zero_points(program, node)
    of = _integers(program, node.inputs[0])
    most = max(of.reach(zero) for zero in ([of.low] if by_row else x_zero_points(program, node)))
    reach = taps * most
    if "lo" in node.attributes:
        _clamp(program, node)
        bias, multiplier, shift = vectors[:3]
        if program.values[node.inputs[2]].dtype != of.accumulator:
            _fail(node, f"its sums and its bias are of {of.accumulator} for its input")
        if not is_multiplier(multiplier).all():
            _fail(node, "a multiplier is not an odd integer of 24 bits times 2^7")
        least = max(of.shift_min, _integers(program, node.outputs[0]).shift_min)
        if ((shift < least) | (shift > SHIFT_MAX)).any():
            _fail(node, f"a shift is outside {least}..{SHIFT_MAX}")
        reach = reach + np.abs(bias.astype(np.float64))  # exact where it decides
        if vectors[3:]:
            reach = reach + _residual_reach(node, *vectors[3:])
    else:
        if not by_row:
            _positive(node, "x_scale")
        scale = vectors[1]
        if not (np.isfinite(scale) & (scale > 0)).all():
            _fail(node, "a scale is not a positive number")
    beyond = np.flatnonzero(reach >= of.sum_end)
    if len(beyond):
        _fail(node, f"the sum of channel {beyond[0]} can reach 2^{of.sum_end.bit_length() - 1}")


def has_row_scales(node: Node) -> bool:
    """Whether a product's rows have scales that a run finds."""
    return len(node.inputs) == ROW_SCALES + 2


def _residual_reach(
    node: Node, multiplier: npt.NDArray[np.int32], shift: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    if ((multiplier < 0) | (multiplier >= RESIDUAL_MULTIPLIER_END)).any():
        _fail(node, f"a multiplier of its residual is outside 0..{RESIDUAL_MULTIPLIER_END - 1}")
    if ((shift < 1) | (shift > RESIDUAL_SHIFT_MAX)).any():
        _fail(node, f"a shift of its residual is outside 1..{RESIDUAL_SHIFT_MAX}")
    return residual_reach(integer(node, "r_zero_point"), multiplier, shift)


def x_zero_points(program: Program, node: Node) -> list[int]:
    """The zero points of a product's input: one, or one an input channel of a QConv without groups."""
    if ("x_zero_point" in node.attributes) == ("x_zero_points" in node.attributes):
        _fail(node, "it must have either x_zero_point or x_zero_points")
    if "x_zero_point" in node.attributes:
        return [integer(node, "x_zero_point")]
    found, channels = integers(node, "x_zero_points"), program.constants[node.inputs[1]].shape[1]
    if integer(node, "group") != 1 or len(found) != channels:
        _fail(
            node,
            f"x_zero_points is {found} for {channels} channels; it must be one each, without groups",
        )
    least, greatest = _integers(program, node.inputs[0]).zero_points
    if not all(least <= zero <= greatest for zero in found):
        _fail(node, f"x_zero_points is {found}, outside {least}..{greatest}")
    return found


def _magnitudes(weights: npt.NDArray[np.int8], axes: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return np.asarray(np.abs(weights.astype(np.int16)).sum(axis=axes, dtype=np.int64))


def _check_quantized_conv(program: Program, node: Node) -> None:
    weights = program.constants[node.inputs[1]]
    if weights.ndim < 3 or weights.size == 0:
        _fail(node, f"its weights have the shape {weights.shape}")
    if node.op == "QConvTranspose":
        _transposed_window(node, weights.shape[2:])
    else:
        _window(node, weights.shape[2:])
    _group(node, weights.shape[0])
    _channels(program, node, _magnitudes(weights, tuple(range(1, weights.ndim))))


def _check_quantized_gemm(program: Program, node: Node) -> None:
    weights = program.constants[node.inputs[1]]
    if weights.ndim != 2 or weights.size == 0:
        _fail(node, f"its weights have the shape {weights.shape}")
    _channels(program, node, _magnitudes(weights, (0,)))


def _check_quantized_matmul(program: Program, node: Node) -> None:
    """K is left to the run, which knows every shape."""
    if "multiplier" in node.attributes:
        _check_requantize(program, node)
        return
    _zero_points(program, node)
    if "a_scale" in node.attributes:
        _positive(node, "a_scale")
    _positive(node, "b_scale")


def _group(node: Node, outputs: int) -> None:
    if outputs % integer(node, "group"):
        _fail(node, f"its {outputs} channels are not a multiple of its {integer(node, 'group')} groups")


def _check_conv(program: Program, node: Node) -> None:
    weights = program.constants.get(node.inputs[1])
    if weights is None:
        _window(node, [1] * len(integers(node, "strides")))
        return
    if weights.ndim < 3 or weights.size == 0:
        _fail(node, f"its weights have the shape {weights.shape}")
    if node.attributes.get("kernel_shape", list(weights.shape[2:])) != list(weights.shape[2:]):
        _fail(node, f"kernel_shape is not that of its weights, {weights.shape[2:]}")
    _window(node, weights.shape[2:])
    _group(node, weights.shape[0])


def _check_conv_transpose(program: Program, node: Node) -> None:
    weights = program.constants.get(node.inputs[1])
    axes = len(integers(node, "strides"))
    kernel = [1] * axes if weights is None else list(weights.shape[2:])
    if weights is not None and (weights.ndim != axes + 2 or weights.size == 0):
        _fail(node, f"its weights have the shape {weights.shape}")
    if weights is not None and node.attributes.get("kernel_shape", kernel) != kernel:
        _fail(node, f"kernel_shape is not that of its weights, {kernel}")
    _transposed_window(node, kernel)
    if weights is not None:
        _group(node, weights.shape[0])


def _transposed_window(node: Node, kernel: Sequence[int]) -> None:
    """The window of a transposed convolution, and what says how large its output is."""
    _window(node, kernel)
    for name in ("output_padding", "output_shape"):
        values = integers(node, name) if name in node.attributes else [0] * len(kernel)
        if len(values) != len(kernel) or not all(0 <= n <= INT32_MAX for n in values):
            _fail(node, f"{name} is {values} for a kernel of {len(kernel)} axes")
    if "output_shape" in node.attributes and "auto_pad" not in node.attributes:
        _fail(node, "output_shape leaves the pads to auto_pad")


def _window(node: Node, kernel: Sequence[int]) -> None:
    """Strides, dilations and pads of a window: as many as its kernel's axes, and not out of proportion."""
    automatic = "auto_pad" in node.attributes
    if automatic == ("pads" in node.attributes):
        _fail(node, "it must have either pads or auto_pad")
    lists = [("strides", 1, 1), ("dilations", 1, 1), *([] if automatic else [("pads", 2, 0)])]
    for name, each, least in lists:
        values = integers(node, name)
        if len(values) != each * len(kernel) or not all(least <= n <= INT32_MAX for n in values):
            _fail(node, f"{name} is {values} for a kernel of {len(kernel)} axes")
    dilations = integers(node, "dilations")
    fits = (1 <= k <= INT32_MAX and (k - 1) * d < INT32_MAX for k, d in zip(kernel, dilations, strict=True))
    if not kernel or not all(fits):
        _fail(node, f"its kernel is {list(kernel)} with the dilations {dilations}")


def _check_pool(program: Program, node: Node) -> None:
    _window(node, integers(node, "kernel_shape"))


def _check_unpool(program: Program, node: Node) -> None:
    axes = len(integers(node, "kernel_shape"))
    for name, each in (("strides", 1), ("pads", 2)):
        values = integers(node, name)
        if not axes or len(values) != each * axes:
            _fail(node, f"{name} is {values} for a kernel of {axes} axes")


def _ratio(program: Program, node: Node) -> None:
    ratio = cast(np.float64, node.attributes["ratio"])
    factor = multiplier_shift(float(ratio))
    if factor is None or factor[1] < _integers(program, node.inputs[0]).shift_min:
        _fail(node, f"ratio is {ratio}, which has no multiplier and shift")


def _check_quantized_pool(program: Program, node: Node) -> None:
    _check_pool(program, node)
    of = _integers(program, node.inputs[0])
    if of.steps * math.prod(integers(node, "kernel_shape")) >= of.sum_end:
        _fail(node, "the sum of its window can leave 32 bits")
    _zero_points(program, node)
    _ratio(program, node)
    _clamp(program, node)


def _check_reduce_mean(program: Program, node: Node) -> None:
    axes = integers(node, "axes")
    if not axes or axes[0] < 0 or axes != sorted(set(axes)):
        _fail(node, f"axes is {axes}, not rising from 0 or more")
    _zero_points(program, node)
    if "x_scale" in node.attributes:
        _positive(node, "x_scale")
        return
    _ratio(program, node)
    _clamp(program, node)


def _check_lookup(program: Program, node: Node) -> None:
    _shaped(program, node, 1, (_integers(program, node.inputs[0]).count,))


def _check_softmax(program: Program, node: Node) -> None:
    table = _shaped(program, node, 1, (_integers(program, node.inputs[0]).count,))
    if table[0] != SOFTMAX_ONE or ((table < 0) | (table > SOFTMAX_ONE)).any():
        _fail(node, "its table must begin with 2^22 and stay within 0..2^22")


def _check_transpose(program: Program, node: Node) -> None:
    perm = integers(node, "perm")
    if sorted(perm) != list(range(len(perm))):
        _fail(node, f"perm is {perm}, which is not a permutation")


def _check_resize(program: Program, node: Node) -> None:
    if node.attributes["mode"] != "nearest":
        if program.values[node.inputs[0]].dtype != "f32":
            _fail(node, "it interpolates f32 alone")
        if not {"antialias", "cubic_coeff_a", "exclude_outside"} <= node.attributes.keys():
            _fail(node, "it lacks the attributes of an interpolation")
        if not np.isfinite(number(node, "cubic_coeff_a")):
            _fail(node, "cubic_coeff_a is no number")
    roi, scales, sizes = (*node.inputs[1:], "", "", "")[:3]
    if node.attributes["coordinate_transformation_mode"] == "tf_crop_and_resize" and (
        not roi or program.values[node.inputs[0]].dtype != "f32"
    ):
        _fail(node, "tf_crop_and_resize needs a roi and reads f32 alone")
    if bool(scales) == bool(sizes):
        _fail(node, "it must have either scales or sizes")


def _check_cast(program: Program, node: Node) -> None:
    if ONNX_DTYPES[program.values[node.outputs[0]].dtype] != integer(node, "to"):
        _fail(node, "the dtype of its output is not the one that it casts to")


def _check_split(program: Program, node: Node) -> None:
    split = any(node.inputs[1:])
    if split == ("num_outputs" in node.attributes):
        _fail(node, "it must have either split or num_outputs")
    if not split and integer(node, "num_outputs") != len(node.outputs):
        _fail(node, f"num_outputs is {integer(node, 'num_outputs')}, it has {len(node.outputs)}")


def _check_constant_of_shape(program: Program, node: Node) -> None:
    _shaped(program, node, 1, (1,))


def _check_reverse_sequence(program: Program, node: Node) -> None:
    if integer(node, "batch_axis") == integer(node, "time_axis"):
        _fail(node, "its batch and its time are one axis")


def _check_eye_like(program: Program, node: Node) -> None:
    number = node.attributes.get("dtype", ONNX_DTYPES[program.values[node.inputs[0]].dtype])
    if ONNX_DTYPES[program.values[node.outputs[0]].dtype] != number:
        _fail(node, "the dtype of its output is not the one that it says")


_CHECKS: dict[str, Callable[[Program, Node], None]] = {
    "AveragePool": _check_pool,
    "Cast": _check_cast,
    "ConstantOfShape": _check_constant_of_shape,
    "Conv": _check_conv,
    "ConvTranspose": _check_conv_transpose,
    "Dequantize": _check_dequantize,
    "EyeLike": _check_eye_like,
    "If": check_if,
    "Loop": check_loop,
    "Lookup": _check_lookup,
    "LpPool": _check_pool,
    "MaxPool": _check_pool,
    "MaxUnpool": _check_unpool,
    "QAdd": _check_add,
    "QAveragePool": _check_quantized_pool,
    "QConv": _check_quantized_conv,
    "QConvTranspose": _check_quantized_conv,
    "QGemm": _check_quantized_gemm,
    "QMatMul": _check_quantized_matmul,
    "QMul": _check_requantize,
    "QReduceMean": _check_reduce_mean,
    "QSoftmax": _check_softmax,
    "Quantize": _check_quantize,
    "Requantize": _check_requantize,
    "Resize": _check_resize,
    "ReverseSequence": _check_reverse_sequence,
    "Split": _check_split,
    "Transpose": _check_transpose,
}
