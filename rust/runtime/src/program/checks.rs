//! What each op asks of its attributes and constants beyond the table of ops, without the shapes of feeds.
//!
//! The plan and the kernels rely on it: parameters within the bounds of the arithmetic, sums within their accumulators.

use octavo_kernels::requantize::{
    RESIDUAL_MULTIPLIER_END, RESIDUAL_SHIFT_MAX, SHIFT_MAX, is_multiplier, multiplier_shift, residual_term,
};

use super::bodies::{check_if, check_loop};
use super::faults::{Checked, bad, constant, shaped};
use super::magnitudes::{magnitudes, magnitudes_by_output};
use super::windows::{conv, conv_transpose, extents, group, pool, transposed_window, unpool, window};
use super::{DType, Dim, Integers, Node, Op, Program, Tensor, ValueId};
use crate::error::Error;

const SOFTMAX_ONE: i32 = 1 << 22;

/// The place of a product's residual among its inputs; behind it are its multipliers and shifts.
const RESIDUAL: usize = 5;

/// The place of the scales that a run finds among a product's inputs; behind it are the zero points, and nothing else.
const ROW_SCALES: usize = 4;

/// The place, among the inputs of a Quantize, of where its columns are taken from.
const COLUMNS: usize = 3;

/// What the zero point of a column is at most, and its negative at least: float32 holds eighths of it.
const COLUMN_ZERO_END: f32 = (1 << 21) as f32;

pub(super) fn check(program: &Program, node: &Node) -> Checked {
    match node.op {
        Op::Quantize => quantize(program, node),
        Op::Dequantize => dequantize(program, node),
        Op::Requantize | Op::QMul => requantize(program, node),
        Op::QMatMul => quantized_matmul(program, node),
        Op::QAdd => add(program, node),
        Op::QConv | Op::QConvTranspose => quantized_conv(program, node),
        Op::QGemm => quantized_gemm(program, node),
        Op::QAveragePool => pool(node).and_then(|()| average(program, node)),
        Op::QReduceMean => reduce_mean(program, node),
        Op::Lookup => lookup(program, node),
        Op::QSoftmax => softmax(program, node),
        Op::Conv => conv(program, node),
        Op::ConvTranspose => conv_transpose(program, node),
        Op::MaxPool | Op::AveragePool | Op::LpPool => pool(node),
        Op::MaxUnpool => unpool(node),
        Op::Transpose => transpose(node),
        Op::Resize => resize(program, node),
        Op::Cast => cast(program, node),
        Op::Split => split(node),
        Op::ConstantOfShape => shaped(program, node, 1, &[1]),
        Op::ReverseSequence => reverse_sequence(node),
        Op::EyeLike => eye_like(program, node),
        Op::If => check_if(program, node),
        Op::Loop => check_loop(program, node),
        _ => Ok(()),
    }
}

fn within(node: &Node, name: &str, least: i64, greatest: i64) -> Checked {
    let value = node.attributes.int(name)?;
    if (least..=greatest).contains(&value) {
        return Ok(());
    }
    Err(bad(node, format_args!("{name} is {value}, outside {least}..{greatest}")))
}

/// What a value of activations is held in.
fn integers(program: &Program, node: &Node, value: Option<ValueId>) -> Result<Integers, Error> {
    let of = value.and_then(|id| Integers::of(program.value(id).dtype));
    of.ok_or_else(|| bad(node, "it lacks its activations"))
}

fn zero_point(program: &Program, node: &Node, name: &str, value: Option<ValueId>) -> Checked {
    let (least, greatest) = integers(program, node, value)?.zero_points();
    within(node, name, least, greatest)
}

fn positive(node: &Node, name: &str) -> Checked {
    let value = node.attributes.f32(name)?;
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(bad(node, format_args!("{name} is {value}, not a positive number")))
}

fn clamp(program: &Program, node: &Node) -> Checked {
    let of = integers(program, node, node.outputs[0])?;
    within(node, "lo", of.low, of.high)?;
    within(node, "hi", of.low, of.high)?;
    let (lo, hi) = (node.attributes.int("lo")?, node.attributes.int("hi")?);
    if lo <= hi { Ok(()) } else { Err(bad(node, format_args!("lo is {lo}, above hi, {hi}"))) }
}

/// The zero points that the node has.
fn zero_points(program: &Program, node: &Node) -> Checked {
    let of = [
        ("x_zero_point", node.input(0)),
        ("a_zero_point", node.input(0)),
        ("b_zero_point", node.input(1)),
        ("r_zero_point", node.input(RESIDUAL)),
        ("y_zero_point", node.outputs[0]),
    ];
    let mut there = of.into_iter().filter(|(name, _)| node.attributes.has(name));
    there.try_for_each(|(name, value)| zero_point(program, node, name, value))
}

fn quantize(program: &Program, node: &Node) -> Checked {
    match node.inputs.len() {
        1 => {}
        2..=COLUMNS => return quantize_by_tensors(program, node),
        _ => return quantize_to_columns(program, node),
    }
    positive(node, "scale")?;
    zero_point(program, node, "zero_point", node.outputs[0])
}

/// Scales and fractional zero points of their own tensors: one, or one along an axis.
fn quantize_by_tensors(program: &Program, node: &Node) -> Checked {
    let (least, greatest) = integers(program, node, node.outputs[0])?.zero_points();
    let scale = positive_scales(program, node)?;
    shaped(program, node, 2, scale.shape())?;
    let range = least as f32..=greatest as f32;
    if constant(program, node, 2)?.f32s()?.iter().any(|zero| !range.contains(zero)) {
        return Err(bad(node, format_args!("a zero point is outside {least}..{greatest}")));
    }
    scales_fit(program, node)
}

/// A scale, a zero point and a place on the input's last axis for each column.
fn quantize_to_columns(program: &Program, node: &Node) -> Checked {
    let count = positive_scales(program, node)?.len();
    shaped(program, node, 1, &[count])?;
    shaped(program, node, 2, &[count])?;
    shaped(program, node, COLUMNS, &[count])?;
    if count == 0 {
        return Err(bad(node, "it has no columns"));
    }
    let (zeros, end) = (constant(program, node, 2)?.f32s()?, COLUMN_ZERO_END);
    if zeros.iter().any(|zero| !(-end..=end).contains(zero)) {
        return Err(bad(node, format_args!("a zero point is outside {}..{end}", -end)));
    }
    let columns = constant(program, node, COLUMNS)?.i64s()?;
    if columns.iter().any(|&column| column < 0) {
        return Err(bad(node, "a column is taken from a place below 0"));
    }
    let shape = node.input(0).and_then(|id| program.value(id).shape.as_ref());
    match shape.map(|dims| dims.last()) {
        Some(None) => Err(bad(node, "its input has no axis to take columns from")),
        Some(Some(&Dim::Fixed(length))) if columns.iter().any(|&column| column >= length as i64) => {
            Err(bad(node, format_args!("a column is taken from a place beyond the {length} of its input")))
        }
        _ => Ok(()),
    }
}

/// The scales of a node that has tensors of them.
fn positive_scales<'a>(program: &'a Program, node: &Node) -> Result<&'a Tensor, Error> {
    let scale = constant(program, node, 1)?;
    if scale.f32s()?.iter().any(|scale| !(scale.is_finite() && *scale > 0.0)) {
        return Err(bad(node, "a scale is not a positive number"));
    }
    Ok(scale)
}

/// Whether the scales have the shape that the input asks for, where that is known.
fn scales_fit(program: &Program, node: &Node) -> Checked {
    let value = node.input(0).map(|id| program.value(id)).ok_or_else(|| bad(node, "it lacks its input"))?;
    let fixed = |dim: &Dim| if let Dim::Fixed(n) = dim { Some(*n) } else { None };
    match value.shape.as_ref().and_then(|dims| dims.iter().map(fixed).collect::<Option<Vec<_>>>()) {
        None => Ok(()),
        Some(shape) => match node.scales_shape(&shape)? {
            Some(wanted) => shaped(program, node, 1, &wanted),
            None => {
                let axis = node.attributes.int("axis")?;
                Err(bad(node, format_args!("axis is {axis}, its input has {} axes", shape.len())))
            }
        },
    }
}

fn dequantize(program: &Program, node: &Node) -> Checked {
    if node.inputs.len() > 1 {
        return dequantize_by_tensors(program, node);
    }
    positive(node, "scale")?;
    zero_point(program, node, "zero_point", node.input(0))
}

/// Scales and zero points of their own tensors: one, one along an axis, or one a block along it.
fn dequantize_by_tensors(program: &Program, node: &Node) -> Checked {
    let scale = positive_scales(program, node)?;
    let value = node.input(0).map(|id| program.value(id)).ok_or_else(|| bad(node, "it lacks its input"))?;
    if node.input(2).is_some() {
        shaped(program, node, 2, scale.shape())?;
        let (least, greatest) =
            value.dtype.integer_range().ok_or_else(|| bad(node, "its input is of no integers"))?;
        let zeros = constant(program, node, 2)?.integers()?;
        if zeros.iter().any(|&z| !(least..=greatest).contains(&i64::from(z))) {
            return Err(bad(node, format_args!("a zero point is outside {least}..{greatest}")));
        }
    }
    if node.attributes.has("block") && !node.attributes.has("axis") {
        return Err(bad(node, "it has a block without an axis"));
    }
    scales_fit(program, node)
}

fn requantize(program: &Program, node: &Node) -> Checked {
    zero_points(program, node)?;
    let multiplier = node.attributes.int("multiplier")?;
    if !i32::try_from(multiplier).is_ok_and(is_multiplier) {
        return Err(bad(
            node,
            format_args!("multiplier is {multiplier}, not an odd integer of 24 bits times 2^7"),
        ));
    }
    clamp(program, node)
}

fn add(program: &Program, node: &Node) -> Checked {
    zero_points(program, node)?;
    clamp(program, node)
}

/// The zero points of a product's input: one, or one an input channel of a QConv without groups.
fn x_zero_points(program: &Program, node: &Node) -> Result<Vec<i64>, Error> {
    if node.attributes.has("x_zero_point") == node.attributes.has("x_zero_points") {
        return Err(bad(node, "it must have either x_zero_point or x_zero_points"));
    }
    if node.attributes.has("x_zero_point") {
        return Ok(vec![node.attributes.int("x_zero_point")?]);
    }
    let found = node.attributes.ints("x_zero_points")?;
    let channels = constant(program, node, 1)?.shape()[1];
    if node.attributes.int("group")? != 1 || found.len() != channels {
        let what = format_args!(
            "x_zero_points is {found:?} for {channels} channels; it must be one each, without groups"
        );
        return Err(bad(node, what));
    }
    let (least, greatest) = integers(program, node, node.input(0))?.zero_points();
    if found.iter().all(|zero| (least..=greatest).contains(zero)) {
        return Ok(found.to_vec());
    }
    Err(bad(node, format_args!("x_zero_points is {found:?}, outside {least}..{greatest}")))
}

/// Biases and scales of the integer products: a vector each, of the channels of the output.
///
/// `taps(c)` is the sum of the magnitudes of channel c's weights.
fn channels(program: &Program, node: &Node, count: usize, taps: &[i64]) -> Checked {
    let is_by_row = node.inputs.len() == ROW_SCALES + 2;
    let ends = if is_by_row { ROW_SCALES } else { node.inputs.len() };
    for place in (2..ends).filter(|&place| place != RESIDUAL) {
        shaped(program, node, place, &[count])?;
    }
    zero_points(program, node)?;
    let of = integers(program, node, node.input(0))?;
    let zeros = if is_by_row { vec![of.low] } else { x_zero_points(program, node)? };
    let reach = zeros.iter().map(|&zero| of.reach(zero)).max().unwrap_or(0);
    let bias = if node.attributes.has("lo") {
        clamp(program, node)?;
        let found = constant(program, node, 2)?;
        if found.dtype() != of.accumulator {
            let wanted = of.accumulator.name();
            return Err(bad(node, format_args!("its sums and its bias are of {wanted} for its input")));
        }
        let multipliers = constant(program, node, 3)?.i32s()?;
        let shifts = constant(program, node, 4)?.i32s()?;
        if !multipliers.iter().all(|&m| is_multiplier(m)) {
            return Err(bad(node, "a multiplier is not an odd integer of 24 bits times 2^7"));
        }
        let least = of.shift_min.max(integers(program, node, node.outputs[0])?.shift_min);
        if shifts.iter().any(|&s| !(least..=i64::from(SHIFT_MAX)).contains(&i64::from(s))) {
            return Err(bad(node, format_args!("a shift is outside {least}..{SHIFT_MAX}")));
        }
        match found.dtype() {
            DType::I64 => found.i64s()?,
            _ => found.i32s()?.into_iter().map(i64::from).collect(),
        }
    } else {
        if !is_by_row {
            positive(node, "x_scale")?;
        }
        if constant(program, node, 3)?.f32s()?.iter().any(|scale| !(scale.is_finite() && *scale > 0.0)) {
            return Err(bad(node, "a scale is not a positive number"));
        }
        vec![0; count]
    };
    let residual = if is_by_row { vec![0; count] } else { residual_reach(program, node, count)? };
    let fits = |((bias, taps), residual): ((&i64, &i64), &i64)| {
        bias.saturating_abs().saturating_add(taps * reach).saturating_add(*residual) < of.sum_end
    };
    match bias.iter().zip(taps).zip(&residual).position(|channel| !fits(channel)) {
        None => Ok(()),
        Some(at) => {
            Err(bad(node, format_args!("the sum of channel {at} can reach 2^{}", of.sum_end.ilog2())))
        }
    }
}

/// The greatest magnitude of what a residual adds to the sums of each channel: it is at one of its ends.
fn residual_reach(program: &Program, node: &Node, count: usize) -> Result<Vec<i64>, Error> {
    if node.input(RESIDUAL).is_none() {
        return Ok(vec![0; count]);
    }
    let multipliers = constant(program, node, RESIDUAL + 1)?.i32s()?;
    let shifts = constant(program, node, RESIDUAL + 2)?.i32s()?;
    if multipliers.iter().any(|m| !(0..RESIDUAL_MULTIPLIER_END).contains(m)) {
        return Err(bad(node, "a multiplier of its residual is outside 0..32767"));
    }
    let range = 1..=RESIDUAL_SHIFT_MAX as i32;
    if shifts.iter().any(|shift| !range.contains(shift)) {
        return Err(bad(node, format_args!("a shift of its residual is outside 1..{RESIDUAL_SHIFT_MAX}")));
    }
    let zero_point = node.attributes.int32("r_zero_point")?;
    let term = |r, (&m, &s): (&i32, &i32)| i64::from(residual_term(r, zero_point, m, s.unsigned_abs()).abs());
    let channels = multipliers.iter().zip(&shifts);
    Ok(channels.map(|channel| term(0, channel).max(term(255, channel))).collect())
}

fn quantized_conv(program: &Program, node: &Node) -> Checked {
    let weights = constant(program, node, 1)?;
    let shape = weights.shape();
    if shape.len() < 3 || shape.contains(&0) {
        return Err(bad(node, format_args!("its weights have the shape {shape:?}")));
    }
    let kernel = extents(node, &shape[2..])?;
    if node.op == Op::QConvTranspose { transposed_window(node, &kernel) } else { window(node, &kernel) }?;
    group(node, shape[0])?;
    let taps = magnitudes_by_output(weights.i8s()?, shape[0]);
    channels(program, node, shape[0], &taps)
}

fn quantized_gemm(program: &Program, node: &Node) -> Checked {
    let weights = constant(program, node, 1)?;
    let &[k, n] = weights.shape() else {
        return Err(bad(node, format_args!("its weights have the shape {:?}", weights.shape())));
    };
    if k == 0 || n == 0 {
        return Err(bad(node, "it has no weights"));
    }
    channels(program, node, n, &magnitudes(weights.i8s()?, n))
}

/// K is left to the plan, which knows every shape.
fn quantized_matmul(program: &Program, node: &Node) -> Checked {
    if node.attributes.has("multiplier") {
        return requantize(program, node);
    }
    zero_points(program, node)?;
    if node.attributes.has("a_scale") {
        positive(node, "a_scale")?;
    }
    positive(node, "b_scale")
}

fn ratio(program: &Program, node: &Node) -> Checked {
    let (ratio, of) = (node.attributes.f64("ratio")?, integers(program, node, node.input(0))?);
    if multiplier_shift(ratio).is_some_and(|(_, shift)| i64::from(shift) >= of.shift_min) {
        return Ok(());
    }
    Err(bad(node, format_args!("ratio is {ratio}, which has no multiplier and shift")))
}

fn average(program: &Program, node: &Node) -> Checked {
    let of = integers(program, node, node.input(0))?;
    let sum = node.attributes.ints("kernel_shape")?.iter().try_fold(of.steps(), |n, &k| n.checked_mul(k));
    if sum.is_none_or(|sum| sum >= of.sum_end) {
        return Err(bad(node, "the sum of its window can leave 32 bits"));
    }
    zero_points(program, node)?;
    ratio(program, node)?;
    clamp(program, node)
}

fn reduce_mean(program: &Program, node: &Node) -> Checked {
    let axes = node.attributes.ints("axes")?;
    if axes.is_empty() || axes[0] < 0 || !axes.is_sorted_by(|a, b| a < b) {
        return Err(bad(node, format_args!("axes is {axes:?}, not rising from 0 or more")));
    }
    zero_points(program, node)?;
    if node.attributes.has("x_scale") {
        return positive(node, "x_scale");
    }
    ratio(program, node)?;
    clamp(program, node)
}

fn lookup(program: &Program, node: &Node) -> Checked {
    shaped(program, node, 1, &[integers(program, node, node.input(0))?.count()])
}

fn softmax(program: &Program, node: &Node) -> Checked {
    shaped(program, node, 1, &[integers(program, node, node.input(0))?.count()])?;
    let table = constant(program, node, 1)?.i32s()?;
    if table.first() == Some(&SOFTMAX_ONE) && table.iter().all(|e| (0..=SOFTMAX_ONE).contains(e)) {
        return Ok(());
    }
    Err(bad(node, "its table must begin with 2^22 and stay within 0..2^22"))
}

fn transpose(node: &Node) -> Checked {
    let perm = node.attributes.sizes("perm")?;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if sorted.into_iter().eq(0..perm.len()) {
        return Ok(());
    }
    Err(bad(node, format_args!("perm is {perm:?}, which is not a permutation")))
}

fn resize(program: &Program, node: &Node) -> Checked {
    let interpolates = node.attributes.str("mode")? != "nearest";
    if interpolates {
        node.attributes.int("antialias")?;
        node.attributes.int("exclude_outside")?;
        if !node.attributes.f32("cubic_coeff_a")?.is_finite() {
            return Err(bad(node, "cubic_coeff_a is no number"));
        }
    }
    let crops = node.attributes.str("coordinate_transformation_mode")? == "tf_crop_and_resize";
    let float = node.input(0).is_some_and(|id| program.value(id).dtype == DType::F32);
    if crops && (!float || node.input(1).is_none()) {
        return Err(bad(node, "tf_crop_and_resize needs a roi and reads f32 alone"));
    }
    if interpolates && !float {
        return Err(bad(node, "it interpolates f32 alone"));
    }
    if node.input(2).is_some() == node.input(3).is_some() {
        return Err(bad(node, "it must have either scales or sizes"));
    }
    Ok(())
}

fn cast(program: &Program, node: &Node) -> Checked {
    let target = node.outputs.first().copied().flatten().map(|id| program.value(id).dtype.onnx());
    if target == Some(node.attributes.int("to")?) {
        return Ok(());
    }
    Err(bad(node, "the dtype of its output is not the one that it casts to"))
}

fn reverse_sequence(node: &Node) -> Checked {
    if node.attributes.int("batch_axis")? != node.attributes.int("time_axis")? {
        return Ok(());
    }
    Err(bad(node, "its batch and its time are one axis"))
}

fn eye_like(program: &Program, node: &Node) -> Checked {
    let dtype = |id: Option<ValueId>| id.map(|id| program.value(id).dtype.onnx());
    let input = dtype(node.input(0)).unwrap_or_default();
    if dtype(node.outputs.first().copied().flatten()) == Some(node.attributes.int_or("dtype", input)?) {
        return Ok(());
    }
    Err(bad(node, "the dtype of its output is not the one that it says"))
}

fn split(node: &Node) -> Checked {
    let outputs = i64::try_from(node.outputs.len()).map_err(|_| bad(node, "it has too many outputs"))?;
    let pieces = node.attributes.int_or("num_outputs", outputs)?;
    if node.input(1).is_some() == node.attributes.has("num_outputs") || pieces != outputs {
        return Err(bad(node, "it must have either split or a num_outputs of as many as its outputs"));
    }
    Ok(())
}
