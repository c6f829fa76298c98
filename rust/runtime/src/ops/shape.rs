//! Shapes as tensors: Shape itself, and what is filled or counted up to a size.

use crate::error::Error;
use crate::ops::movement::checked_elements;
use crate::ops::{error, made, needed};
use crate::plan::builder::Builder;
use crate::plan::layout::Layout;
use crate::program::{DType, Node, Tensor};

/// Most elements of a tensor that is computed while planning.
pub const MOST_ELEMENTS: usize = 1 << 22;

/// Shape: known once the input's is.
pub fn plan_shape(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let shape = b.tensor(needed(node, 0)?)?.shape;
    let rank = shape.len() as i64;
    let place = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize;
    let start = place(node.attributes.int_or("start", 0)?);
    let end = place(node.attributes.int_or("end", rank)?);
    let dims: Vec<i64> = shape.get(start..end).unwrap_or(&[]).iter().map(|&d| d as i64).collect();
    b.know(made(node, 0)?, Tensor::from_i64s(&[dims.len()], &dims)?)
}

/// ConstantOfShape: a step, for the output may be large.
pub fn plan_constant(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let shape = b.known_shape(node, 0)?;
    let value = b.known_input(node, 1)?.bytes().to_vec();
    if value.len() != b.tensor(needed(node, 1)?)?.dtype.size() {
        return Err(error(node, "its value is not a single element"));
    }
    checked_elements(node, &[], &shape)?;
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    let chunk = b.chunk_elements(y.elements());
    let target = y.buffer;
    b.push(
        node.name.clone(),
        node.op.name(),
        "fill",
        0,
        &[],
        &[target],
        Box::new(move |run| {
            let pool = run.pool;
            let ([], [y]) = run.get([], [target]);
            pool.slices(y, chunk * value.len(), |_, y| {
                y.chunks_exact_mut(value.len()).for_each(|y| y.copy_from_slice(&value));
            });
        }),
    );
    Ok(())
}

/// Range of integers: its length follows from what its inputs hold.
pub fn plan_range(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
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
    b.know(made(node, 0)?, like(of, &[values.len()], &values)?)
}

/// A tensor of int64, or of int32 modulo 2^32.
fn like(of: DType, shape: &[usize], values: &[i64]) -> Result<Tensor, Error> {
    if of == DType::I64 {
        return Tensor::from_i64s(shape, values);
    }
    Tensor::from_i32s(shape, &values.iter().map(|&v| v as i32).collect::<Vec<_>>())
}
