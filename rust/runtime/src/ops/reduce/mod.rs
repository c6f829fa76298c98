//! Reductions over any axes, and the global pools, which are reductions over space.

mod plain;

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::reduce;
use octavo_kernels::float::reduce::Reduce::{
    self, L1, L2, LogSum, LogSumExp, Max, Mean as Average, Min, Prod, Sum, SumSquare,
};
use octavo_kernels::int16::pool as int16;
use octavo_kernels::pool::{self, FloatMean, Mean, Window};
use octavo_kernels::requantize::multiplier_shift;
use octavo_kernels::table::Kernels;

use crate::ops::node::{axis, error, made, needed};
use crate::ops::numbers::{Bool, Element};
use crate::ops::spatial;
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::conversion::relocate;
use crate::plan::layout::Layout;
use crate::plan::relocation::{Relocation, strides};
use crate::program::{DType, Integers, Node, Op};

/// Plans QReduceMean or a Reduce of ONNX.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
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
        let is_kept = node.attributes.int_or("noop_with_empty_axes", 0)? != 0;
        if is_kept && matches!(reduction(node.op), Average | Sum | Max | Min | Prod) {
            return Ok(b.alias(made(node, 0)?, &x, x.shape().to_vec(), x.layout)?);
        }
        if !is_kept {
            axes = (0..rank).collect();
        }
    }
    let keeps = node.attributes.int_or("keepdims", 1)? != 0;
    plan_axes(b, node, &x, &axes, keeps)
}

/// Plans GlobalAveragePool or GlobalMaxPool.
pub fn plan_global(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input(needed(node, 0)?)?;
    let count = spatial::lengths(node, x.shape())?.len();
    let axes: Vec<usize> = (2..2 + count).collect();
    plan_axes(b, node, &x, &axes, true)
}

fn plan_axes(b: &mut Builder<'_>, node: &Node, x: &Placed, axes: &[usize], keeps: bool) -> Result<(), Stop> {
    let rank = x.shape().len();
    let shape: Vec<usize> = (0..rank)
        .filter(|d| keeps || !axes.contains(d))
        .map(|d| if axes.contains(&d) { 1 } else { x.shape()[d] })
        .collect();
    let n: usize = axes.iter().map(|&d| x.shape()[d]).product();
    let of = |inner| Reduction { n, inner, is_last: is_last_alone(node, axes, rank) };
    let is_spatial = axes.iter().copied().eq(2..rank);
    if is_spatial && x.layout == Layout::ChannelsLast && !of(1).is_last {
        // [images, pixels, channels]: the channels stay beside each other.
        let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
        return push(b, node, x, x.buffer, &y, &of(x.shape()[1]));
    }
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    let first = axes.first().copied().unwrap_or(rank);
    let is_run = axes.iter().copied().eq(first..first + axes.len());
    if is_run {
        let inner = x.shape()[first + axes.len()..].iter().product();
        return push(b, node, &x, x.buffer, &y, &of(inner));
    }
    if x.elements() == 0 {
        return push(b, node, &x, x.buffer, &y, &of(1));
    }
    // Axes apart from each other: the kept ones to the front, the reduced ones behind them.
    let order: Vec<usize> = (0..rank).filter(|d| !axes.contains(d)).chain(axes.iter().copied()).collect();
    let element = x.dtype().size();
    let steps = strides(x.shape(), &Layout::RowMajor.order(rank), element);
    let dims: Vec<usize> = order.iter().map(|&d| x.shape()[d]).collect();
    let source: Vec<usize> = order.iter().map(|&d| steps[d]).collect();
    let moved = b.steps.temporary(x.tensor.bytes());
    let relocation = Relocation::strided(element, &dims, &source);
    relocate(&mut b.steps, node.name.clone(), "Transpose", x.buffer, moved, relocation, vec![0; element]);
    push(b, node, &x, moved, &y, &of(1))
}

/// Whether a node is a float reduction over the last logical axis and no other, whose sum uses lanes; pools are chains.
fn is_last_alone(node: &Node, axes: &[usize], rank: usize) -> bool {
    let is_chain = matches!(node.op, Op::GlobalAveragePool | Op::GlobalMaxPool | Op::QReduceMean);
    !is_chain && matches!(*axes, [only] if only + 1 == rank)
}

/// The middle of `[outer, n, inner]` is reduced.
struct Reduction {
    n: usize,
    inner: usize,
    /// It is the last logical axis alone.
    is_last: bool,
}

/// Pushes the reduction of `from`, which holds the elements of `x` in the order that `r` says.
fn push(
    b: &mut Builder<'_>,
    node: &Node,
    x: &Placed,
    from: BufferId,
    y: &Placed,
    r: &Reduction,
) -> Result<(), Stop> {
    let Reduction { n, inner, is_last } = *r;
    if node.op == Op::QReduceMean {
        sum_fits(node, n, x.dtype())?;
    }
    if y.elements() == 0 {
        return Ok(());
    }
    let row = b.steps.kernels.row();
    match (node.op, x.dtype()) {
        (Op::QReduceMean, DType::U8) if node.attributes.has("x_scale") => {
            let mean = float_mean(node, n)?;
            let kernel = row.pool.mean_to_floats.name;
            push_parts::<u8, f32>(b, node, kernel, from, y, r, move |kernels, x, y| {
                for (y, x) in y.chunks_exact_mut(inner).zip(x.chunks_exact(n * inner)) {
                    pool::mean_rows_to_floats(kernels, x, inner, &mean, y);
                }
            });
        }
        (Op::QReduceMean, DType::U8) => {
            let mean = mean(node, n)?;
            push_parts::<u8, u8>(b, node, row.pool.mean.name, from, y, r, move |kernels, x, y| {
                for (y, x) in y.chunks_exact_mut(inner).zip(x.chunks_exact(n * inner)) {
                    pool::mean_rows(kernels, x, inner, &mean, y);
                }
            });
        }
        (Op::QReduceMean, DType::I16) if node.attributes.has("x_scale") => {
            let scale = float_mean(node, n)?.scale;
            let kernel = row.int16.pool.mean_to_floats.name;
            push_parts::<i16, f32>(b, node, kernel, from, y, r, move |kernels, x, y| {
                for (y, x) in y.chunks_exact_mut(inner).zip(x.chunks_exact(n * inner)) {
                    int16::mean_rows_to_floats(kernels, x, inner, scale, y);
                }
            });
        }
        (Op::QReduceMean, DType::I16) => {
            let Mean { multiplier, shift, lo, hi, .. } = mean(node, n)?;
            let mean = int16::Mean { multiplier, shift, lo, hi };
            push_parts::<i16, i16>(b, node, row.int16.pool.mean.name, from, y, r, move |kernels, x, y| {
                for (y, x) in y.chunks_exact_mut(inner).zip(x.chunks_exact(n * inner)) {
                    int16::mean_rows(kernels, x, inner, &mean, y);
                }
            });
        }
        (Op::GlobalMaxPool, DType::U8) => {
            let window = Window {
                input: [n, 1],
                channels: inner,
                output: [1, 1],
                kernel: [n.max(1), 1],
                stride: [1, 1],
                dilation: [1, 1],
                pad: [0, 0],
            };
            push_parts::<u8, u8>(b, node, row.pool.max.name, from, y, r, move |kernels, x, y| {
                for (index, y) in y.chunks_exact_mut(inner).enumerate() {
                    let x = &x[index * n * inner..][..n * inner];
                    pool::max_pool_u8(kernels, x, &window, 0..1, y);
                }
            });
        }
        (op, DType::F32) => {
            let reduction = reduction(op);
            let kernel = if is_last { row.float.reduce.last.name } else { row.float.reduce.strided.name };
            push_parts::<f32, f32>(b, node, kernel, from, y, r, move |kernels, x, y| {
                if n == 0 {
                    y.fill(of_nothing(reduction));
                } else if is_last {
                    reduce::last_axis(kernels, reduction, x, n, y);
                } else {
                    reduce::strided(kernels, reduction, x, n, inner, y);
                }
            });
        }
        (op, DType::F64) => push_plain::<f64>(b, node, "f64-reduce", reduction(op), from, y, r),
        (op, DType::I64) => push_plain::<i64>(b, node, "i64-reduce", reduction(op), from, y, r),
        (op, DType::I32) => push_plain::<i32>(b, node, "i32-reduce", reduction(op), from, y, r),
        (op, DType::I16) => push_plain::<i16>(b, node, "i16-reduce", reduction(op), from, y, r),
        (op, DType::I8) => push_plain::<i8>(b, node, "i8-reduce", reduction(op), from, y, r),
        (op, DType::U8) => push_plain::<u8>(b, node, "u8-reduce", reduction(op), from, y, r),
        (op, DType::Bool) => push_plain::<Bool>(b, node, "bool-reduce", reduction(op), from, y, r),
        (_, dtype) => return Err(error(node, &format!("a tensor of {} does not run", dtype.name()))),
    }
    Ok(())
}

/// What a node does with the elements.
fn reduction(op: Op) -> Reduce {
    match op {
        Op::ReduceSum => Sum,
        Op::ReduceMin => Min,
        Op::ReduceMax | Op::GlobalMaxPool => Max,
        Op::ReduceProd => Prod,
        Op::ReduceL1 => L1,
        Op::ReduceL2 => L2,
        Op::ReduceSumSquare => SumSquare,
        Op::ReduceLogSum => LogSum,
        Op::ReduceLogSumExp => LogSumExp,
        _ => Average,
    }
}

fn push_plain<E: Element>(
    b: &mut Builder<'_>,
    node: &Node,
    kernel: &'static str,
    reduction: Reduce,
    from: BufferId,
    y: &Placed,
    r: &Reduction,
) {
    let Reduction { n, inner, .. } = *r;
    push_parts::<E::Bits, E::Bits>(b, node, kernel, from, y, r, move |_, x, y| {
        plain::reduce::<E>(reduction, x, n, inner, y);
    });
}

/// What a float reduction of no elements gives.
fn of_nothing(reduction: Reduce) -> f32 {
    match reduction {
        Sum | L1 | L2 | SumSquare => 0.0,
        Average => f32::NAN,
        Prod => 1.0,
        Max | LogSum | LogSumExp => f32::NEG_INFINITY,
        Min => f32::INFINITY,
    }
}

/// Pushes a step that computes parts of `[outer, inner]` from those of `[outer, n, inner]`.
fn push_parts<X: octavo_exec::Pod, Y: octavo_exec::Pod>(
    b: &mut Builder<'_>,
    node: &Node,
    kernel: &'static str,
    from: BufferId,
    y: &Placed,
    &Reduction { n, inner, .. }: &Reduction,
    reduce: impl Fn(Kernels, &[X], &mut [Y]) + Send + Sync + 'static,
) {
    let target = y.buffer;
    let chunk = b.steps.chunk(y.elements() / inner, (n * inner) as f64 * 0.1, 1);
    b.steps.of_node(node, kernel).run([from], [target], move |run, [x], [y]| {
        let (kernels, pool) = (run.kernels, run.pool);
        let x = cast::<X>(x);
        pool.slices(cast_mut::<Y>(y), chunk * inner, |i, y| {
            reduce(kernels, &x[i * chunk * n * inner..][..y.len() * n], y);
        });
    });
}

/// The arithmetic of an integer mean of `n` elements, whose sum fits.
fn mean(node: &Node, n: usize) -> Result<Mean, Stop> {
    let a = &node.attributes;
    let ratio = a.f64("ratio")?;
    let (multiplier, shift) = multiplier_shift(ratio / n as f64).ok_or_else(|| {
        error(node, &format!("the ratio {ratio} over {n} elements is outside what integers can do"))
    })?;
    Ok(Mean {
        x_zero_point: a.int32("x_zero_point")?,
        multiplier,
        shift,
        y_zero_point: a.int32("y_zero_point")?,
        lo: a.int32("lo")?,
        hi: a.int32("hi")?,
    })
}

/// The arithmetic of a mean of `n` integers, whose sum fits and whose result is a float.
fn float_mean(node: &Node, n: usize) -> Result<FloatMean, Stop> {
    let a = &node.attributes;
    let scale = (f64::from(a.f32("x_scale")?) / n as f64) as f32;
    Ok(FloatMean { x_zero_point: a.int32("x_zero_point")?, scale })
}

fn sum_fits(node: &Node, n: usize, dtype: DType) -> Result<(), Stop> {
    let of = Integers::of(dtype).unwrap_or(Integers::UINT8);
    let sum = i64::try_from(n).ok().and_then(|n| n.checked_mul(of.steps()));
    if n == 0 || sum.is_none_or(|sum| sum >= of.sum_end) {
        return Err(error(node, &format!("it cannot average {n} elements: their sum must fit in 32 bits")));
    }
    Ok(())
}
