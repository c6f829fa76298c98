//! The one table of the ops: inputs, outputs, attributes and their types.
//!
//! A line is one form of an op, `Op(inputs) -> outputs | attributes`. An input is `name:dtype`, then `!` where it must
//! be a constant, `?` where it may be left out (an output too), `*` where any number of them (at least one) may stand,
//! always last. A capital letter is a set of dtypes ([`dtype_set`]), and the same letter is the same dtype all over a
//! node. An attribute is `name:kind`, then `?` where it may be left out. An op with several forms takes the one that
//! has as many inputs as the node and, where those are several, an output of its dtype. The Python package holds the
//! same table; a test compares the two.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::tensor::Packed;
use super::{DType, Op};

const TABLE: &str = "
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
";

/// An input or output of an op. `dtype` names a dtype or a set of them.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: &'static str,
    pub(super) dtype: &'static str,
    pub(super) constant: bool,
    pub(super) optional: bool,
    pub(super) variadic: bool,
}

/// One form of an op.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) inputs: Vec<Slot>,
    pub(super) outputs: Vec<Slot>,
    pub(super) attributes: Vec<AttributeSlot>,
}

/// An attribute of an op.
#[derive(Debug)]
pub(super) struct AttributeSlot {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) optional: bool,
}

impl Signature {
    /// Whether a node with this many inputs, left-out ones counted, can be of this form.
    pub(super) fn accepts(&self, inputs: usize) -> bool {
        let least = self.inputs.iter().filter(|slot| !slot.optional).count();
        let variadic = self.inputs.iter().any(|slot| slot.variadic);
        least <= inputs && (variadic || inputs <= self.inputs.len())
    }

    /// Whether the first output can be of that dtype.
    pub(super) fn makes(&self, dtype: DType) -> bool {
        let slot = self.outputs.first().map_or("", |slot| slot.dtype);
        dtype_set(slot).map_or(slot == dtype.name(), |set| set.contains(&dtype))
    }
}

const NUMBERS: [DType; 7] =
    [DType::F32, DType::F64, DType::U8, DType::I8, DType::I16, DType::I32, DType::I64];
const COMPARED: [DType; 8] =
    [DType::F32, DType::F64, DType::U8, DType::I8, DType::I16, DType::I32, DType::I64, DType::Bool];
const WEIGHTS: [DType; 10] = [
    DType::U8,
    DType::I8,
    DType::I16,
    DType::I32,
    DType::Packed(Packed::U4),
    DType::Packed(Packed::I4),
    DType::Packed(Packed::U3),
    DType::Packed(Packed::I3),
    DType::Packed(Packed::U2),
    DType::Packed(Packed::I2),
];

/// The dtypes that a letter of the table stands for.
pub(super) fn dtype_set(letter: &str) -> Option<&'static [DType]> {
    match letter {
        "T" | "U" => Some(&DType::WHOLE),
        "N" => Some(&[DType::F32, DType::I32, DType::I64]),
        "A" => Some(&NUMBERS),
        "E" => Some(&COMPARED),
        "F" => Some(&[DType::F32, DType::F64]),
        "J" => Some(&[DType::U8, DType::I8, DType::I16, DType::I32, DType::I64]),
        "K" => Some(&[DType::F32, DType::F64]),
        "P" => Some(&[DType::F32, DType::F64, DType::U8, DType::I8]),
        "I" => Some(&[DType::I32, DType::I64]),
        "R" => Some(&[
            DType::U8,
            DType::I8,
            DType::I16,
            DType::I32,
            DType::I64,
            DType::F16,
            DType::F32,
            DType::F64,
        ]),
        "Q" => Some(&[DType::U8, DType::I16]),
        "S" => Some(&[DType::I32, DType::I64]),
        "W" => Some(&WEIGHTS),
        _ => None,
    }
}

/// The forms of an op.
pub(super) fn signatures(op: Op) -> &'static [Signature] {
    static FORMS: OnceLock<HashMap<Op, Vec<Signature>>> = OnceLock::new();
    FORMS.get_or_init(parse).get(&op).map_or(&[], Vec::as_slice)
}

fn parse() -> HashMap<Op, Vec<Signature>> {
    let mut forms: HashMap<Op, Vec<Signature>> = HashMap::new();
    for (op, form) in TABLE.lines().filter_map(parse_line) {
        forms.entry(op).or_default().push(form);
    }
    forms
}

fn parse_line(line: &'static str) -> Option<(Op, Signature)> {
    let (op, rest) = line.split_once('(')?;
    let (inputs, rest) = rest.split_once(") -> ")?;
    let (outputs, attributes) = rest.split_once(" |")?;
    let signature = Signature {
        inputs: inputs.split(' ').filter_map(parse_slot).collect(),
        outputs: outputs.split(' ').filter_map(parse_slot).collect(),
        attributes: attributes.split(' ').filter_map(parse_attribute).collect(),
    };
    Some((Op::from_name(op)?, signature))
}

fn parse_slot(text: &'static str) -> Option<Slot> {
    let (name, rest) = text.split_once(':')?;
    let dtype = rest.trim_end_matches(['!', '?', '*']);
    let marks = &rest[dtype.len()..];
    let (constant, optional, variadic) = (marks.contains('!'), marks.contains('?'), marks.contains('*'));
    Some(Slot { name, dtype, constant, optional, variadic })
}

fn parse_attribute(text: &'static str) -> Option<AttributeSlot> {
    let (name, kind) = text.split_once(':')?;
    Some(AttributeSlot { name, kind: kind.trim_end_matches('?'), optional: kind.ends_with('?') })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_has_a_signature_and_every_line_is_read() {
        for &op in Op::ALL {
            assert!(!signatures(op).is_empty(), "{}", op.name());
            assert_eq!(Op::from_name(op.name()), Some(op));
        }
        let forms: usize = Op::ALL.iter().map(|&op| signatures(op).len()).sum();
        assert_eq!(forms, TABLE.trim().lines().count());
    }

    #[test]
    fn every_type_of_the_table_is_known() {
        let known = |dtype| DType::from_name(dtype).is_some() || dtype_set(dtype).is_some();
        for &op in Op::ALL {
            for form in signatures(op) {
                assert!(
                    form.inputs.iter().chain(&form.outputs).all(|slot| known(slot.dtype)),
                    "{}",
                    op.name()
                );
                let kinds = ["int", "ints", "f32", "f32s", "f64", "str"];
                assert!(form.attributes.iter().all(|slot| kinds.contains(&slot.kind)), "{}", op.name());
            }
        }
    }
}
