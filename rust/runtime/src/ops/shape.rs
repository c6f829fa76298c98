//! Arithmetic on shapes: small integer tensors that are known once the input shapes are, computed while planning.

use crate::error::Error;
use crate::ops::movement::slice_indices;
use crate::ops::{axis, broadcast, error, integers, left_padded, made, needed};
use crate::plan::builder::Builder;
use crate::program::{DType, Node, Op, Tensor};

/// Most elements of a tensor that is computed while planning.
const MOST_ELEMENTS: usize = 1 << 16;

/// Whether the node's answer follows from shapes and tensors that are known.
pub fn is_known(b: &Builder<'_>, node: &Node) -> bool {
    let all_known = || node.inputs.iter().flatten().all(|&value| b.known(value).is_some());
    match node.op {
        Op::Shape => true,
        Op::Reshape | Op::Squeeze | Op::Unsqueeze | Op::Flatten | Op::Identity => false,
        Op::Cast | Op::ConstantOfShape | Op::Range => all_known(),
        Op::Gather | Op::Concat | Op::Slice | Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Max | Op::Min => {
            all_known()
                && node.inputs.iter().flatten().all(|&value| {
                    b.known(value).is_some_and(|t| matches!(t.dtype(), DType::I64 | DType::I32))
                })
        }
        _ => false,
    }
}

/// Computes the node.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let output = made(node, 0)?;
    let answer = match node.op {
        Op::Shape => shape_of(b, node)?,
        Op::Cast => cast(b, node)?,
        Op::ConstantOfShape => constant_of_shape(b, node)?,
        Op::Range => range(b, node)?,
        Op::Gather => gather(b, node)?,
        Op::Concat => concat(b, node)?,
        Op::Slice => slice(b, node)?,
        _ => arithmetic(b, node)?,
    };
    b.know(output, answer);
    Ok(())
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

/// A tensor of the input's integer type, or of int64.
fn like(of: DType, shape: &[usize], values: &[i64], node: &Node) -> Result<Tensor, Error> {
    if of == DType::I64 {
        return Tensor::from_i64s(shape, values);
    }
    let narrow: Result<Vec<i32>, _> = values.iter().map(|&v| i32::try_from(v)).collect();
    Tensor::from_i32s(shape, &narrow.map_err(|_| error(node, "a result leaves 32 bits"))?)
}

fn cast(b: &Builder<'_>, node: &Node) -> Result<Tensor, Error> {
    let x = b.known_input(node, 0)?;
    let to = node.attributes.int("to")?;
    if to == x.dtype().onnx() {
        return Ok(x);
    }
    let floats: Vec<f64> = match x.dtype() {
        DType::F32 => x.f32s()?.into_iter().map(f64::from).collect(),
        DType::F64 => x.f64s()?,
        _ => integers(node, &x)?.into_iter().map(|v| v as f64).collect(),
    };
    if to == DType::F32.onnx() {
        return Tensor::from_f32s(x.shape(), &floats.iter().map(|&v| v as f32).collect::<Vec<_>>());
    }
    let whole: Vec<i64> = floats.iter().map(|&v| v as i64).collect();
    match to {
        7 => Tensor::from_i64s(x.shape(), &whole),
        6 => like(DType::I32, x.shape(), &whole, node),
        _ => Err(error(node, &format!("a cast of {} to ONNX type {to} does not run", x.dtype().name()))),
    }
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
    let span = if delta > 0 { limit.saturating_sub(start) } else { start.saturating_sub(limit) };
    let count = if span <= 0 { 0 } else { (span - 1) / delta.saturating_abs() + 1 };
    if count > MOST_ELEMENTS as i64 {
        return Err(error(node, &format!("{count} elements are too many to plan with")));
    }
    let values: Vec<i64> = (0..count).map(|i| start + i * delta).collect();
    like(of, &[values.len()], &values, node)
}

fn gather(b: &Builder<'_>, node: &Node) -> Result<Tensor, Error> {
    let x = b.known_input(node, 0)?;
    let along = axis(node, node.attributes.int_or("axis", 0)?, x.shape().len())?;
    let n = x.shape()[along];
    let inner: usize = x.shape()[along + 1..].iter().product::<usize>() * x.dtype().size();
    let outer: usize = x.shape()[..along].iter().product();
    let indices = b.known_ints(node, 1)?;
    if outer.saturating_mul(indices.len()).saturating_mul(inner) > MOST_ELEMENTS * 8 {
        return Err(error(node, "too many elements to plan with"));
    }
    let mut bytes = Vec::new();
    for o in 0..outer {
        for &i in &indices {
            let at = axis(node, i, n)?;
            bytes.extend_from_slice(&x.bytes()[(o * n + at) * inner..][..inner]);
        }
    }
    let mut shape = x.shape().to_vec();
    shape.splice(along..=along, b.tensor(needed(node, 1)?)?.shape);
    Tensor::new(x.dtype(), shape, &bytes)
}

fn concat(b: &Builder<'_>, node: &Node) -> Result<Tensor, Error> {
    let mut all = Vec::new();
    let of = b.known_input(node, 0)?.dtype();
    for place in 0..node.inputs.len() {
        let part = b.known_input(node, place)?;
        if part.shape().len() != 1 {
            return Err(error(node, "shape arithmetic joins vectors only"));
        }
        all.extend(integers(node, &part)?);
    }
    if all.len() > MOST_ELEMENTS {
        return Err(error(node, "too many elements to plan with"));
    }
    like(of, &[all.len()], &all, node)
}

fn slice(b: &Builder<'_>, node: &Node) -> Result<Tensor, Error> {
    let x = b.known_input(node, 0)?;
    let &[n] = x.shape() else {
        return Err(error(node, "shape arithmetic slices vectors only"));
    };
    let values = integers(node, &x)?;
    let step = b.known_ints_opt(node, 4)?.map_or(Some(1), |steps| steps.first().copied());
    let (Some(&start), Some(&end), Some(step)) =
        (b.known_ints(node, 1)?.first(), b.known_ints(node, 2)?.first(), step)
    else {
        return Ok(x);
    };
    let taken: Vec<i64> = slice_indices(node, n, start, end, step)?.into_iter().map(|i| values[i]).collect();
    like(x.dtype(), &[taken.len()], &taken, node)
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
    let elements: usize = shape.iter().product();
    if elements > MOST_ELEMENTS {
        return Err(error(node, "too many elements to plan with"));
    }
    let (p_values, q_values) = (integers(node, p)?, integers(node, q)?);
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
        let answer = match node.op {
            Op::Add => x.checked_add(y),
            Op::Sub => x.checked_sub(y),
            Op::Mul => x.checked_mul(y),
            Op::Max => Some(x.max(y)),
            Op::Min => Some(x.min(y)),
            _ => x.checked_div(y),
        };
        values.push(answer.ok_or_else(|| error(node, &format!("{x} and {y} have no 64-bit answer")))?);
    }
    like(p.dtype(), &shape, &values, node)
}
