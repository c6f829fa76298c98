//! Ops that put elements in order along an axis: ArgMax, ArgMin, TopK.
//!
//! NaN is greater than every number here; of equal elements the one of the lowest index comes first.

use std::cmp::Ordering;

use octavo_exec::{cast, cast_mut};

use crate::error::Error;
use crate::ops::numbers::{Element, Number, with_element, with_size};
use crate::ops::{axis, error, made, needed};
use crate::plan::builder::{BufferId, Builder, Placed};
use crate::plan::layout::Layout;
use crate::program::{Node, Op};

/// A row-major shape around one of its axes: `[outer, n, inner]`.
#[derive(Clone, Copy)]
pub struct Lines {
    /// Elements before the axis.
    pub outer: usize,
    /// The axis.
    pub n: usize,
    /// Elements behind it.
    pub inner: usize,
}

impl Lines {
    /// A shape around one of its axes.
    pub fn of(shape: &[usize], along: usize) -> Lines {
        Lines {
            outer: shape[..along].iter().product(),
            n: shape[along],
            inner: shape[along + 1..].iter().product(),
        }
    }
}

/// Plans ArgMax or ArgMin. NaN counts as the extreme of both, as in numpy.
pub fn plan_arg(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let along = axis(node, node.attributes.int("axis")?, x.shape().len())?;
    let lines = Lines::of(x.shape(), along);
    let mut shape = x.shape().to_vec();
    if node.attributes.int("keepdims")? != 0 {
        shape[along] = 1;
    } else {
        shape.remove(along);
    }
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    if lines.n == 0 {
        return Err(error(node, &format!("there is nothing to choose from in shape {:?}", x.shape())));
    }
    let is_largest = node.op == Op::ArgMax;
    let takes_last = node.attributes.int("select_last_index")? != 0;
    let rows = b.chunk(lines.outer, (lines.n * lines.inner) as f64, 1);
    let (xb, yb, dtype) = (x.buffer, y.buffer, x.dtype());
    b.push(
        node.name.clone(),
        node.op.name(),
        "scalar-arg",
        0,
        &[xb],
        &[yb],
        Box::new(move |run| {
            let pool = run.pool;
            let ([x], [y]) = run.get([xb], [yb]);
            with_element!(dtype, E => {
                let x = cast::<<E as Element>::Bits>(x);
                pool.slices(cast_mut::<i64>(y), rows * lines.inner, |i, y| {
                    let x = &x[i * rows * lines.n * lines.inner..];
                    arg::<E>(x, lines, is_largest, takes_last, y);
                });
            });
        }),
    );
    Ok(())
}

/// For each line of some outer rows, the index of its extreme element.
fn arg<E: Element>(x: &[E::Bits], lines: Lines, is_largest: bool, takes_last: bool, y: &mut [i64]) {
    let Lines { n, inner, .. } = lines;
    let beats = |a: E::Number, best: E::Number| {
        if a.is_nan() || best.is_nan() {
            return a.is_nan() && (takes_last || !best.is_nan());
        }
        (if is_largest { a > best } else { a < best }) || (takes_last && a == best)
    };
    let mut best = Vec::with_capacity(inner);
    for (x, y) in x.chunks_exact(n * inner).zip(y.chunks_exact_mut(inner)) {
        best.clear();
        best.extend(x[..inner].iter().map(|&bits| E::load(bits)));
        y.fill(0);
        for (index, x) in x.chunks_exact(inner).enumerate().skip(1) {
            for ((y, best), &bits) in y.iter_mut().zip(&mut best).zip(x) {
                let candidate = E::load(bits);
                if beats(candidate, *best) {
                    (*y, *best) = (index as i64, candidate);
                }
            }
        }
    }
}

/// Plans TopK: the indices in their order, then the values at them.
pub fn plan_topk(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let along = axis(node, node.attributes.int("axis")?, x.shape().len())?;
    let lines = Lines::of(x.shape(), along);
    let asked = b.known_ints(node, 1)?;
    let k = match asked[..] {
        [k] => usize::try_from(k).ok().filter(|&k| k <= lines.n),
        _ => None,
    };
    let Some(k) = k else {
        return Err(error(node, &format!("k is {asked:?} for an axis of {}", lines.n)));
    };
    let mut shape = x.shape().to_vec();
    shape[along] = k;
    let elements = lines.outer * k * lines.inner;
    let indices = match node.outputs.get(1).copied().flatten() {
        Some(output) => b.output(output, shape.clone(), Layout::RowMajor)?.buffer,
        None => b.temporary(elements * size_of::<i64>()),
    };
    let values = match node.outputs.first().copied().flatten() {
        Some(output) => Some(b.output(output, shape, Layout::RowMajor)?),
        None => None,
    };
    if elements == 0 {
        return Ok(());
    }
    push_topk(b, node, &x, lines, k, indices)?;
    if let Some(values) = values {
        push_values(b, node, &x, lines, k, indices, &values);
    }
    Ok(())
}

fn push_topk(
    b: &mut Builder<'_>,
    node: &Node,
    x: &Placed,
    lines: Lines,
    k: usize,
    indices: BufferId,
) -> Result<(), Error> {
    let is_largest = node.attributes.int("largest")? != 0;
    let rows = b.chunk(lines.outer, (lines.n * lines.inner) as f64 * 4.0, 1);
    let (xb, dtype) = (x.buffer, x.dtype());
    b.push(
        node.name.clone(),
        node.op.name(),
        "scalar-topk",
        0,
        &[xb],
        &[indices],
        Box::new(move |run| {
            let pool = run.pool;
            let ([x], [y]) = run.get([xb], [indices]);
            with_element!(dtype, E => {
                let x = cast::<<E as Element>::Bits>(x);
                pool.slices(cast_mut::<i64>(y), rows * k * lines.inner, |i, y| {
                    topk::<E>(&x[i * rows * lines.n * lines.inner..], lines, k, is_largest, y);
                });
            });
        }),
    );
    Ok(())
}

/// The indices of the first `k` of each line of some outer rows.
fn topk<E: Element>(x: &[E::Bits], lines: Lines, k: usize, is_largest: bool, y: &mut [i64]) {
    let Lines { n, inner, .. } = lines;
    // Indices make the order strict, so a sort need not be stable.
    let order = |a: &(E::Number, i64), b: &(E::Number, i64)| -> Ordering {
        let order = if is_largest { b.0.order(a.0) } else { a.0.order(b.0) };
        order.then(a.1.cmp(&b.1))
    };
    let mut line = Vec::with_capacity(n);
    for (x, y) in x.chunks_exact(n * inner).zip(y.chunks_exact_mut(k * inner)) {
        for column in 0..inner {
            line.clear();
            let elements = x[column..].iter().step_by(inner);
            line.extend(elements.zip(0..).map(|(&bits, index)| (E::load(bits), index)));
            if k < n {
                line.select_nth_unstable_by(k - 1, order);
            }
            line[..k].sort_unstable_by(order);
            for (y, &(_, index)) in y[column..].iter_mut().step_by(inner).zip(&line) {
                *y = index;
            }
        }
    }
}

/// Pushes the step that reads the elements at the indices.
fn push_values(
    b: &mut Builder<'_>,
    node: &Node,
    x: &Placed,
    lines: Lines,
    k: usize,
    indices: BufferId,
    y: &Placed,
) {
    let rows = b.chunk(lines.outer, (k * lines.inner) as f64, 1);
    let (xb, yb, size) = (x.buffer, y.buffer, x.dtype().size());
    let Lines { n, inner, .. } = lines;
    b.push(
        node.name.clone(),
        node.op.name(),
        "copy",
        0,
        &[xb, indices],
        &[yb],
        Box::new(move |run| {
            let pool = run.pool;
            let ([x, indices], [y]) = run.get([xb, indices], [yb]);
            let indices = cast::<i64>(indices);
            with_size!(size, T => {
                let x = cast::<T>(x);
                pool.slices(cast_mut::<T>(y), rows * k * inner, |i, y| {
                    let indices = &indices[i * rows * k * inner..][..y.len()];
                    let x = &x[i * rows * n * inner..];
                    for (at, (y, &index)) in y.iter_mut().zip(indices).enumerate() {
                        *y = x[(at / (k * inner) * n + index as usize) * inner + at % inner];
                    }
                });
            });
        }),
    );
}
