//! Arithmetic on shapes: small integer tensors that are known once the input shapes are, computed while planning.
//!
//! Cast and the movement ops compute known tensors as well, each in its own file.

use crate::error::Error;
use crate::ops::integers::Integer;
use crate::ops::{broadcast, error, left_padded, made, needed, whole_numbers};
use crate::plan::builder::Builder;
use crate::program::{DType, Node, Op, Tensor};

/// Most elements of a tensor that is computed while planning.
pub const MOST_ELEMENTS: usize = 1 << 22;

/// Whether the node's answer follows from shapes and tensors that are known.
pub fn is_known(b: &Builder<'_>, node: &Node) -> bool {
    let mut inputs = node.inputs.iter().flatten();
    match node.op {
        Op::Shape => true,
        Op::ConstantOfShape | Op::Range => inputs.all(|&value| b.known(value).is_some()),
        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Max | Op::Min => inputs.all(|&value| {
            b.known(value).is_some_and(|known| matches!(known.dtype(), DType::I64 | DType::I32))
        }),
        _ => false,
    }
}

/// Computes the node.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let output = made(node, 0)?;
    let answer = match node.op {
        Op::Shape => shape_of(b, node)?,
        Op::ConstantOfShape => constant_of_shape(b, node)?,
        Op::Range => range(b, node)?,
        _ => arithmetic(b, node)?,
    };
    b.know(output, answer)
}

fn shape_of(b: &Builder<'_>, node: &Node) -> Result<Tensor, Error> {
    let shape = b.tensor(needed(node, 0)?)?.shape;
    let rank = shape.len() as i64;
    let place = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize;
    let start = place(node.attributes.int_or("start", 0)?);
    let end = place(node.attributes.int_or("end", rank)?);
    let dims: Vec<i64> = shape.get(start..end).unwrap_or(&[]).iter().map(|&d| d as i64).collect();
    Tensor::from_i64s(&[dims.len()], &dims)
}

/// A tensor of int64, or of int32 modulo 2^32.
fn like(of: DType, shape: &[usize], values: &[i64]) -> Result<Tensor, Error> {
    if of == DType::I64 {
        return Tensor::from_i64s(shape, values);
    }
    Tensor::from_i32s(shape, &values.iter().map(|&v| i32::wrapped(v)).collect::<Vec<_>>())
}

fn constant_of_shape(b: &Builder<'_>, node: &Node) -> Result<Tensor, Error> {
    let shape = b.known_shape(node, 0)?;
    let value = b.known_input(node, 1)?;
    let elements = shape.iter().try_fold(1usize, |all, &d| all.checked_mul(d));
    let elements = elements.filter(|&n| n <= MOST_ELEMENTS);
    let elements =
        elements.ok_or_else(|| error(node, &format!("shape {shape:?} is too large to plan with")))?;
    Tensor::new(value.dtype(), shape, &value.bytes().repeat(elements))
}

fn range(b: &Builder<'_>, node: &Node) -> Result<Tensor, Error> {
    let of = b.known_input(node, 0)?.dtype();
    let one = |place| -> Result<i64, Error> {
        match b.known_ints(node, place)?[..] {
            [value] => Ok(value),
            _ => Err(error(node, "start, limit and delta must be single numbers")),
        }
    };
    let (start, limit, delta) = (one(0)?, one(1)?, one(2)?);
    if delta == 0 {
        return Err(error(node, "delta is 0"));
    }
    // In 128 bits, where no difference of two of them overflows.
    let (span, step) = (i128::from(limit) - i128::from(start), i128::from(delta));
    let is_forward = span.signum() == step.signum();
    let count = if is_forward { (span.abs() - 1) / step.abs() + 1 } else { 0 };
    if count > MOST_ELEMENTS as i128 {
        return Err(error(node, &format!("{count} elements are too many to plan with")));
    }
    let values: Vec<i64> = (0..count as i64).map(|i| start.wrapping_add(i.wrapping_mul(delta))).collect();
    like(of, &[values.len()], &values)
}

fn arithmetic(b: &Builder<'_>, node: &Node) -> Result<Tensor, Error> {
    let mut so_far = b.known_input(node, 0)?;
    for place in 1..node.inputs.len() {
        let next = b.known_input(node, place)?;
        so_far = pair(node, &so_far, &next)?;
    }
    Ok(so_far)
}

fn pair(node: &Node, p: &Tensor, q: &Tensor) -> Result<Tensor, Error> {
    let rank = p.shape().len().max(q.shape().len());
    let (sp, sq) = (left_padded(p.shape(), rank), left_padded(q.shape(), rank));
    let shape = broadcast(node, &sp, &sq)?;
    let elements = shape.iter().try_fold(1usize, |all, &d| all.checked_mul(d));
    let elements = elements.filter(|&n| n <= MOST_ELEMENTS);
    let elements = elements.ok_or_else(|| error(node, "too many elements to plan with"))?;
    let (p_values, q_values) = (whole_numbers(node, p)?, whole_numbers(node, q)?);
    let at = |mut index: usize, own: &[usize]| {
        let (mut place, mut step) = (0, 1);
        for (&n, &m) in shape.iter().zip(own).rev() {
            place += if m == 1 { 0 } else { index % n * step };
            index /= n;
            step *= m;
        }
        place
    };
    let mut values = Vec::with_capacity(elements);
    for index in 0..elements {
        let (x, y) = (p_values[at(index, &sp)], q_values[at(index, &sq)]);
        if node.op == Op::Div && y == 0 {
            return Err(error(node, "an integer division by zero"));
        }
        values.push(i64::apply(node.op, x, y));
    }
    like(p.dtype(), &shape, &values)
}
