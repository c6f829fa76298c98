//! Reductions over any axes, and the global pools, which are reductions over space.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::reduce::{self, Reduce};
use octavo_kernels::isa::Kernels;
use octavo_kernels::pool;
use octavo_kernels::requantize::multiplier_shift;

use crate::error::Error;
use crate::ops::movement::{Relocation, strides};
use crate::ops::{axis, error, made, needed};
use crate::plan::builder::{BufferId, Builder, Placed};
use crate::plan::fusion::int32;
use crate::plan::layout::Layout;
use crate::program::{DType, Node, Op};

/// Plans QReduceMean, ReduceMean, ReduceSum, ReduceMax or ReduceMin.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input(needed(node, 0)?)?;
    let rank = x.shape().len();
    let asked = match node.op {
        Op::QReduceMean => Some(node.attributes.ints("axes")?.to_vec()),
        _ => b.known_ints_opt(node, 1)?,
    };
    let asked = asked.unwrap_or_default();
    let mut axes = asked.iter().map(|&a| axis(node, a, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    if axes.is_empty() {
        if node.attributes.int_or("noop_with_empty_axes", 0)? != 0 {
            b.alias(made(node, 0)?, &x, x.shape().to_vec(), x.layout);
            return Ok(());
        }
        axes = (0..rank).collect();
    }
    let keeps = node.attributes.int_or("keepdims", 1)? != 0;
    plan_axes(b, node, &x, &axes, keeps)
}

/// Plans GlobalAveragePool or GlobalMaxPool.
pub fn plan_global(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input(needed(node, 0)?)?;
    let axes: Vec<usize> = (2..x.shape().len()).collect();
    plan_axes(b, node, &x, &axes, true)
}

fn plan_axes(b: &mut Builder<'_>, node: &Node, x: &Placed, axes: &[usize], keeps: bool) -> Result<(), Error> {
    let rank = x.shape().len();
    let shape: Vec<usize> = (0..rank)
        .filter(|d| keeps || !axes.contains(d))
        .map(|d| if axes.contains(&d) { 1 } else { x.shape()[d] })
        .collect();
    let n: usize = axes.iter().map(|&d| x.shape()[d]).product();
    if n == 0 {
        return Err(error(node, &format!("reduces no elements of shape {:?}", x.shape())));
    }
    let spatial: Vec<usize> = (2..rank).collect();
    if axes == spatial && rank > 2 && x.layout == Layout::ChannelsLast && !reduces_last_alone(b, node)? {
        // [images, pixels, channels]: the channels stay beside each other.
        let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
        return push(b, node, x.dtype(), x.buffer, &y, n, x.shape()[1]);
    }
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    let first = axes.first().copied().unwrap_or(rank);
    let is_run = axes.iter().copied().eq(first..first + axes.len());
    if is_run {
        let inner = x.shape()[first + axes.len()..].iter().product();
        return push(b, node, x.dtype(), x.buffer, &y, n, inner);
    }
    // Axes apart from each other: the kept ones to the front, the reduced ones behind them.
    let order: Vec<usize> = (0..rank).filter(|d| !axes.contains(d)).chain(axes.iter().copied()).collect();
    let element = x.dtype().size();
    let steps = strides(x.shape(), &Layout::RowMajor.order(rank), element);
    let dims: Vec<usize> = order.iter().map(|&d| x.shape()[d]).collect();
    let source: Vec<usize> = order.iter().map(|&d| steps[d]).collect();
    let moved = b.temporary(x.tensor.bytes());
    let relocation = Relocation::strided(element, &dims, &source);
    let from = x.buffer;
    b.push(
        node.name.clone(),
        "Transpose",
        "relocate",
        0,
        &[from],
        &[moved],
        Box::new(move |run| {
            let ([x], [y]) = run.get([from], [moved]);
            relocation.rows(x, &[0; 8][..element], 0, y);
        }),
    );
    push(b, node, x.dtype(), moved, &y, n, 1)
}

/// Pushes the reduction of the middle of `[outer, n, inner]`.
fn push(
    b: &mut Builder<'_>,
    node: &Node,
    dtype: DType,
    x: BufferId,
    y: &Placed,
    n: usize,
    inner: usize,
) -> Result<(), Error> {
    let target = y.buffer;
    if y.elements() == 0 {
        return Ok(());
    }
    let outer = y.elements() / inner;
    let chunk = b.chunk(outer, (n * inner) as f64 * 0.1, 1);
    match (node.op, dtype) {
        (Op::QReduceMean, DType::U8) => {
            let mean = mean(node, n)?;
            let kernel = "mean";
            b.push(
                node.name.clone(),
                "QReduceMean",
                kernel,
                0,
                &[x],
                &[target],
                Box::new(move |run| {
                    let (kernels, threads) = (run.kernels, run.pool);
                    let ([x], [y]) = run.get([x], [target]);
                    threads.slices(y, chunk * inner, |i, y| {
                        let x = &x[i * chunk * n * inner..];
                        for (y, x) in y.chunks_exact_mut(inner).zip(x.chunks_exact(n * inner)) {
                            mean.rows(kernels, x, inner, y);
                        }
                    });
                }),
            );
        }
        (Op::GlobalMaxPool, DType::U8) => {
            b.push(
                node.name.clone(),
                "GlobalMaxPool",
                "scalar-u8-max",
                0,
                &[x],
                &[target],
                Box::new(move |run| {
                    let ([x], [y]) = run.get([x], [target]);
                    for (y, x) in y.chunks_exact_mut(inner).zip(x.chunks_exact(n * inner)) {
                        y.fill(0);
                        for row in x.chunks_exact(inner) {
                            y.iter_mut().zip(row).for_each(|(y, &x)| *y = (*y).max(x));
                        }
                    }
                }),
            );
        }
        (op, DType::F32) => {
            let reduction = match op {
                Op::ReduceMean | Op::GlobalAveragePool => Reduce::Mean,
                Op::ReduceSum => Reduce::Sum,
                Op::ReduceMin => Reduce::Min,
                _ => Reduce::Max,
            };
            // The 16 lanes are for a reduction of the last axis alone; all others are one chain.
            let is_last = reduces_last_alone(b, node)?;
            let row = b.kernels.row();
            let kernel = if is_last { row.float.reduce_last.name } else { row.float.reduce_strided.name };
            b.push(
                node.name.clone(),
                op.name(),
                kernel,
                0,
                &[x],
                &[target],
                Box::new(move |run| {
                    let (kernels, threads) = (run.kernels, run.pool);
                    let ([x], [y]) = run.get([x], [target]);
                    let x = cast::<f32>(x);
                    threads.slices(cast_mut::<f32>(y), chunk * inner, |i, y| {
                        let x = &x[i * chunk * n * inner..][..y.len() * n];
                        if is_last {
                            reduce::last_axis(kernels, reduction, x, n, y);
                        } else {
                            reduce::strided(kernels, reduction, x, n, inner, y);
                        }
                    });
                }),
            );
        }
        (_, dtype) => return Err(error(node, &format!("a tensor of {} does not run", dtype.name()))),
    }
    Ok(())
}

/// Whether a node is a float reduction over the last logical axis and no other; pools are chains.
fn reduces_last_alone(b: &Builder<'_>, node: &Node) -> Result<bool, Error> {
    let rank = b.tensor(needed(node, 0)?)?.shape.len();
    if matches!(node.op, Op::GlobalAveragePool | Op::GlobalMaxPool | Op::QReduceMean) {
        return Ok(false);
    }
    match b.known_ints_opt(node, 1)?.as_deref() {
        Some(&[only]) => Ok(axis(node, only, rank)? + 1 == rank),
        Some(&[]) | None => Ok(rank == 1),
        Some(_) => Ok(false),
    }
}

/// The parameters of an integer mean.
struct Mean {
    x_zero_point: i32,
    multiplier: i32,
    shift: u32,
    y_zero_point: i32,
    lo: i32,
    hi: i32,
}

impl Mean {
    fn rows(&self, kernels: Kernels, x: &[u8], channels: usize, y: &mut [u8]) {
        let Mean { x_zero_point, multiplier, shift, y_zero_point, lo, hi } = *self;
        pool::mean_rows(kernels, x, channels, x_zero_point, multiplier, shift, y_zero_point, lo, hi, y);
    }
}

fn mean(node: &Node, n: usize) -> Result<Mean, Error> {
    let a = &node.attributes;
    let ratio = a.f64("ratio")?;
    if n.checked_mul(255).is_none_or(|sum| sum >= 1 << 31) {
        return Err(error(node, &format!("a mean of {n} elements leaves 32 bits")));
    }
    let (multiplier, shift) = multiplier_shift(ratio / n as f64).ok_or_else(|| {
        error(node, &format!("the ratio {ratio} over {n} elements is outside what integers can do"))
    })?;
    Ok(Mean {
        x_zero_point: int32(node, a.int("x_zero_point")?)?,
        multiplier,
        shift,
        y_zero_point: int32(node, a.int("y_zero_point")?)?,
        lo: int32(node, a.int("lo")?)?,
        hi: int32(node, a.int("hi")?)?,
    })
}
