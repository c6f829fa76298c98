"""The one table of the ops that a Program can hold: inputs, outputs, attributes and their types.

A line is one form of an op, `Op(inputs) -> outputs | attributes`. An input is `name:dtype`, then `!` where
it must be a constant, `?` where it may be left out (an output too), `*` where any number of them (at least
one) may stand, always last. A capital letter is a set of dtypes (`DTYPE_SETS`), and the same letter is the
same dtype all over a node. An attribute is `name:kind`, then `?` where it may be left out. An op with several
forms takes the one that has as many inputs as the node and, where those are several, an output of its dtype.
The runtime holds the same table; a test compares the two.
"""

import re
from dataclasses import dataclass
from functools import cache

DTYPE_SETS: dict[str, tuple[str, ...]] = {
    "T": ("u8", "i8", "i16", "i32", "i64", "bool", "f16", "f32", "f64"),
    "U": ("u8", "i8", "i16", "i32", "i64", "bool", "f16", "f32", "f64"),
    "N": ("f32", "i32", "i64"),
    "A": ("f32", "f64", "u8", "i8", "i16", "i32", "i64"),
    "E": ("f32", "f64", "u8", "i8", "i16", "i32", "i64", "bool"),
    "F": ("f32", "f64"),
    "J": ("u8", "i8", "i16", "i32", "i64"),
    "K": ("f32", "f64"),
    "P": ("f32", "f64", "u8", "i8"),
    "I": ("i32", "i64"),
    "R": ("u8", "i8", "i16", "i32", "i64", "f16", "f32", "f64"),
    "Q": ("u8", "i16"),
    "S": ("i32", "i64"),
    "W": ("u8", "i8", "i16", "i32", "u4", "i4", "u3", "i3", "u2", "i2"),
}
"""T, U: any dtype that is not packed. N: powers. A, R: numbers. E: equality. F: floats. J: bits. K: Conv.
P: pools. I: indices. Q: activations in integers. S: their sums. W: weights in integers."""

ATTRIBUTE_KINDS = ("int", "ints", "f32", "f32s", "f64", "str")

# table
TABLE = """
Quantize(x:f32) -> y:Q | scale:f32 zero_point:int
Dequantize(x:Q) -> y:f32 | scale:f32 zero_point:int
Dequantize(x:W scale:f32! zero_point:i32!?) -> y:f32 | axis:int? block:int?
Requantize(x:Q) -> y:Q | x_zero_point:int y_zero_point:int multiplier:int shift:int lo:int hi:int
QConv(x:Q w:i8! bias:S! multiplier:i32! shift:i32!) -> y:Q | strides:ints pads:ints? dilations:ints group:int auto_pad:str? x_zero_point:int y_zero_point:int lo:int hi:int
QConv(x:Q w:i8! bias:f32! scale:f32!) -> y:f32 | strides:ints pads:ints? dilations:ints group:int auto_pad:str? x_zero_point:int x_scale:f32
QGemm(x:Q w:i8! bias:S! multiplier:i32! shift:i32!) -> y:Q | x_zero_point:int y_zero_point:int lo:int hi:int
QGemm(x:Q w:i8! bias:f32! scale:f32!) -> y:f32 | x_zero_point:int x_scale:f32
QMatMul(a:u8 b:u8) -> y:u8 | a_zero_point:int b_zero_point:int y_zero_point:int multiplier:int shift:int lo:int hi:int
QMatMul(a:u8 b:u8) -> y:f32 | a_zero_point:int b_zero_point:int a_scale:f32 b_scale:f32
QAdd(a:u8 b:u8) -> y:u8 | a_zero_point:int b_zero_point:int y_zero_point:int a_multiplier:int b_multiplier:int shift:int lo:int hi:int
QMul(a:u8 b:u8) -> y:u8 | a_zero_point:int b_zero_point:int y_zero_point:int multiplier:int shift:int lo:int hi:int
QAveragePool(x:u8) -> y:u8 | kernel_shape:ints strides:ints pads:ints? dilations:ints ceil_mode:int count_include_pad:int auto_pad:str? x_zero_point:int y_zero_point:int ratio:f64 lo:int hi:int
QReduceMean(x:u8) -> y:u8 | axes:ints keepdims:int x_zero_point:int y_zero_point:int ratio:f64 lo:int hi:int
Lookup(x:u8 table:u8!) -> y:u8 |
QSoftmax(x:u8 table:i32!) -> y:u8 | axis:int
Conv(x:K w:K b:K?) -> y:K | strides:ints pads:ints? dilations:ints group:int auto_pad:str? kernel_shape:ints?
ConvTranspose(x:f32 w:f32 b:f32?) -> y:f32 | strides:ints pads:ints? dilations:ints group:int auto_pad:str? output_padding:ints output_shape:ints? kernel_shape:ints?
Gemm(a:f32 b:f32 c:f32?) -> y:f32 | alpha:f32 beta:f32 transA:int transB:int
MatMul(a:A b:A) -> y:A |
BatchNormalization(x:f32 scale:f32 b:f32 mean:f32 var:f32) -> y:f32 | epsilon:f32
LayerNormalization(x:f32 scale:f32 b:f32?) -> y:f32 mean:f32? inv_std_dev:f32? | axis:int epsilon:f32 stash_type:int
RMSNormalization(x:f32 scale:f32) -> y:f32 | axis:int epsilon:f32 stash_type:int
InstanceNormalization(x:f32 scale:f32 b:f32) -> y:f32 | epsilon:f32
GroupNormalization(x:f32 scale:f32 b:f32) -> y:f32 | epsilon:f32 num_groups:int stash_type:int
LpNormalization(x:f32) -> y:f32 | axis:int p:int
Add(a:A b:A) -> y:A |
Sub(a:A b:A) -> y:A |
Mul(a:A b:A) -> y:A |
Div(a:A b:A) -> y:A |
Pow(a:N b:N) -> y:N |
Max(inputs:A*) -> y:A |
Min(inputs:A*) -> y:A |
Mod(a:A b:A) -> y:A | fmod:int
BitShift(x:J y:J) -> z:J | direction:str
BitwiseAnd(a:J b:J) -> y:J |
BitwiseOr(a:J b:J) -> y:J |
BitwiseXor(a:J b:J) -> y:J |
PRelu(x:A slope:A) -> y:A |
Relu(x:A) -> y:A |
LeakyRelu(x:F) -> y:F | alpha:f32
Elu(x:f32) -> y:f32 | alpha:f32
Selu(x:f32) -> y:f32 | alpha:f32 gamma:f32
Celu(x:f32) -> y:f32 | alpha:f32
ThresholdedRelu(x:F) -> y:F | alpha:f32
Sigmoid(x:f32) -> y:f32 |
Tanh(x:f32) -> y:f32 |
HardSigmoid(x:f32) -> y:f32 | alpha:f32 beta:f32
HardSwish(x:f32) -> y:f32 |
Gelu(x:f32) -> y:f32 | approximate:str
Softplus(x:f32) -> y:f32 |
Softsign(x:f32) -> y:f32 |
Mish(x:f32) -> y:f32 |
Swish(x:f32) -> y:f32 | alpha:f32
Exp(x:f32) -> y:f32 |
Log(x:f32) -> y:f32 |
Sqrt(x:F) -> y:F |
Reciprocal(x:F) -> y:F |
BitwiseNot(x:J) -> y:J |
Abs(x:A) -> y:A |
Neg(x:A) -> y:A |
Sign(x:A) -> y:A |
Floor(x:F) -> y:F |
Ceil(x:F) -> y:F |
Round(x:F) -> y:F |
Erf(x:f32) -> y:f32 |
Sin(x:f32) -> y:f32 |
Cos(x:f32) -> y:f32 |
Tan(x:f32) -> y:f32 |
Asin(x:f32) -> y:f32 |
Acos(x:f32) -> y:f32 |
Atan(x:f32) -> y:f32 |
Sinh(x:f32) -> y:f32 |
Cosh(x:f32) -> y:f32 |
Asinh(x:f32) -> y:f32 |
Acosh(x:f32) -> y:f32 |
Atanh(x:f32) -> y:f32 |
Shrink(x:f32) -> y:f32 | lambd:f32 bias:f32
Clip(x:f32 min:f32? max:f32?) -> y:f32 |
Equal(a:E b:E) -> y:bool |
Less(a:A b:A) -> y:bool |
LessOrEqual(a:A b:A) -> y:bool |
Greater(a:A b:A) -> y:bool |
GreaterOrEqual(a:A b:A) -> y:bool |
And(a:bool b:bool) -> y:bool |
Or(a:bool b:bool) -> y:bool |
Xor(a:bool b:bool) -> y:bool |
Not(x:bool) -> y:bool |
IsNaN(x:F) -> y:bool |
IsInf(x:F) -> y:bool | detect_negative:int detect_positive:int
Where(condition:bool a:T b:T) -> y:T |
Softmax(x:f32) -> y:f32 | axis:int
LogSoftmax(x:f32) -> y:f32 | axis:int
MaxPool(x:P) -> y:P indices:i64? | kernel_shape:ints strides:ints pads:ints? dilations:ints ceil_mode:int auto_pad:str? storage_order:int?
AveragePool(x:f32) -> y:f32 | kernel_shape:ints strides:ints pads:ints? dilations:ints ceil_mode:int count_include_pad:int auto_pad:str?
LpPool(x:f32) -> y:f32 | kernel_shape:ints strides:ints pads:ints? dilations:ints ceil_mode:int auto_pad:str? p:int
GlobalLpPool(x:f32) -> y:f32 | p:int
GlobalAveragePool(x:f32) -> y:f32 |
GlobalMaxPool(x:P) -> y:P |
ReduceMean(x:A axes:i64?) -> y:A | keepdims:int noop_with_empty_axes:int
ReduceSum(x:A axes:i64?) -> y:A | keepdims:int noop_with_empty_axes:int
ReduceMax(x:E axes:i64?) -> y:E | keepdims:int noop_with_empty_axes:int
ReduceMin(x:E axes:i64?) -> y:E | keepdims:int noop_with_empty_axes:int
ReduceProd(x:A axes:i64?) -> y:A | keepdims:int noop_with_empty_axes:int
ReduceL1(x:A axes:i64?) -> y:A | keepdims:int noop_with_empty_axes:int
ReduceL2(x:A axes:i64?) -> y:A | keepdims:int noop_with_empty_axes:int
ReduceSumSquare(x:A axes:i64?) -> y:A | keepdims:int noop_with_empty_axes:int
ReduceLogSum(x:f32 axes:i64?) -> y:f32 | keepdims:int noop_with_empty_axes:int
ReduceLogSumExp(x:f32 axes:i64?) -> y:f32 | keepdims:int noop_with_empty_axes:int
Identity(x:T) -> y:T |
Reshape(x:T shape:i64) -> y:T | allowzero:int
Flatten(x:T) -> y:T | axis:int
Transpose(x:T) -> y:T | perm:ints
Slice(x:T starts:I ends:I axes:I? steps:I?) -> y:T |
Split(x:T split:i64?) -> outputs:T* | axis:int num_outputs:int?
Pad(x:T pads:i64 value:T? axes:I?) -> y:T | mode:str
Squeeze(x:T axes:i64?) -> y:T |
Unsqueeze(x:T axes:i64) -> y:T |
Concat(inputs:T*) -> y:T | axis:int
Resize(x:T roi:f32? scales:f32? sizes:i64?) -> y:T | mode:str coordinate_transformation_mode:str nearest_mode:str keep_aspect_ratio_policy:str extrapolation_value:f32 axes:ints? antialias:int? cubic_coeff_a:f32? exclude_outside:int?
GridSample(x:f32 grid:f32) -> y:f32 | align_corners:int mode:str padding_mode:str
Expand(x:T shape:i64) -> y:T |
Tile(x:T repeats:i64) -> y:T |
Gather(x:T indices:I) -> y:T | axis:int
DepthToSpace(x:T) -> y:T | blocksize:int mode:str
SpaceToDepth(x:T) -> y:T | blocksize:int
Shape(x:T) -> y:i64 | start:int end:int?
Cast(x:T) -> y:U | to:int
ConstantOfShape(shape:i64 value:T!) -> y:T |
Range(start:R limit:R delta:R) -> y:R |
ArgMax(x:R) -> y:i64 | axis:int keepdims:int select_last_index:int
ArgMin(x:R) -> y:i64 | axis:int keepdims:int select_last_index:int
TopK(x:R k:i64) -> values:R indices:i64? | axis:int largest:int sorted:int
CumSum(x:R axis:I) -> y:R | exclusive:int reverse:int
OneHot(indices:T depth:R values:U) -> y:U | axis:int
GatherElements(x:T indices:I) -> y:T | axis:int
GatherND(x:T indices:i64) -> y:T | batch_dims:int
ScatterElements(x:T indices:I updates:T) -> y:T | axis:int reduction:str
ScatterND(x:T indices:i64 updates:T) -> y:T | reduction:str
TensorScatter(cache:T update:T write_indices:i64?) -> y:T | axis:int mode:str
ReverseSequence(x:T lengths:i64) -> y:T | batch_axis:int time_axis:int
Trilu(x:T k:i64?) -> y:T | upper:int
EyeLike(x:T) -> y:U | dtype:int? k:int
Size(x:T) -> y:i64 |
NonZero(x:T) -> y:i64 |
Compress(x:T condition:bool) -> y:T | axis:int?
Unique(x:T) -> y:T indices:i64? inverse:i64? counts:i64? | axis:int? sorted:int
NonMaxSuppression(boxes:f32 scores:f32 most:i64? iou_threshold:f32? score_threshold:f32?) -> y:i64 | center_point_box:int
RoiAlign(x:f32 rois:f32 images:i64) -> y:f32 | coordinate_transformation_mode:str mode:str output_height:int output_width:int sampling_ratio:int spatial_scale:f32
Col2Im(x:R image:i64 block:i64) -> y:R | dilations:ints? pads:ints? strides:ints?
"""  # noqa: E501
# end of table


@dataclass(frozen=True)
class Slot:
    """An input or output of an op. `dtype` is a dtype or a key of `DTYPE_SETS`."""

    name: str
    dtype: str
    constant: bool
    optional: bool
    variadic: bool


@dataclass(frozen=True)
class Signature:
    """One form of an op. `attributes`: name -> (kind, whether it may be left out)."""

    op: str
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    attributes: dict[str, tuple[str, bool]]

    def accepts(self, inputs: int) -> bool:
        """Whether a node with this many inputs, left-out ones counted, can be of this form."""
        least = sum(not slot.optional for slot in self.inputs)
        variadic = any(slot.variadic for slot in self.inputs)
        return least <= inputs and (variadic or inputs <= len(self.inputs))

    def makes(self, dtype: str) -> bool:
        """Whether the first output can be of that dtype."""
        slot = self.outputs[0].dtype
        return dtype in DTYPE_SETS.get(slot, (slot,))


def _slot(text: str) -> Slot:
    name, rest = text.split(":")
    dtype = rest.rstrip("!?*")
    marks = rest[len(dtype) :]
    return Slot(name, dtype, "!" in marks, "?" in marks, "*" in marks)


def _attribute(text: str) -> tuple[str, tuple[str, bool]]:
    name, kind = text.split(":")
    return name, (kind.rstrip("?"), kind.endswith("?"))


@cache
def signatures() -> dict[str, tuple[Signature, ...]]:
    """The forms of every op, by the op's name."""
    forms: dict[str, tuple[Signature, ...]] = {}
    for line in TABLE.strip().splitlines():
        match = re.fullmatch(r"(\w+)\((.*)\) -> (.*?) \|(.*)", line)
        assert match, line
        op, inputs, outputs, attributes = match.groups()
        form = Signature(
            op,
            tuple(map(_slot, inputs.split())),
            tuple(map(_slot, outputs.split())),
            dict(map(_attribute, attributes.split())),
        )
        forms[op] = (*forms.get(op, ()), form)
    return forms
