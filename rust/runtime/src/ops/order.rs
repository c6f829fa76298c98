//! Ops that put elements in order along an axis: ArgMax, ArgMin, TopK.
//!
//! NaN is greater than every number here; of equal elements the one of the lowest index comes first.

use std::cmp::Ordering;

use octavo_exec::{cast, cast_mut};

use crate::ops::lines::Lines;
use crate::ops::node::{axis, error, made, needed};
use crate::ops::numbers::{Element, Number, with_element, with_size};
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{Node, Op};

/// Plans ArgMax or ArgMin. NaN counts as the extreme of both, as in numpy.
pub fn plan_arg(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
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
    if u32::try_from(lines.n).is_err() {
        return Err(error(node, &format!("an axis of {} elements is too long", lines.n)));
    }
    let is_largest = node.op == Op::ArgMax;
    let takes_last = node.attributes.int("select_last_index")? != 0;
    let rows = b.steps.chunk(lines.outer, (lines.n * lines.inner) as f64, 1);
    let (xb, yb, dtype) = (x.buffer, y.buffer, x.dtype());
    b.steps.of_node(node, "scalar-arg").run([xb], [yb], move |run, [x], [y]| {
        let pool = run.pool;
        with_element!(dtype, E => {
            let x = cast::<<E as Element>::Bits>(x);
            pool.slices(cast_mut::<i64>(y), rows * lines.inner, |i, y| {
                let x = &x[i * rows * lines.n * lines.inner..];
                arg::<E>(x, lines, is_largest, takes_last, y);
            });
        });
    });
    Ok(())
}

/// Columns that are gone through together: as long runs of each row as stay in the first cache.
const COLUMNS: usize = 512;
/// Lanes in which one line is gone through.
const LANES: usize = 32;

/// For each line of some outer rows, the index of its extreme element.
fn arg<E: Element>(x: &[E::Bits], lines: Lines, is_largest: bool, takes_last: bool, y: &mut [i64]) {
    match (is_largest, takes_last) {
        (true, false) => arg_of::<E>(x, lines, |a, best| first_nan(a > best, a, best), y),
        (true, true) => arg_of::<E>(x, lines, |a, best| last_nan(a >= best, a, best), y),
        (false, false) => arg_of::<E>(x, lines, |a, best| first_nan(a < best, a, best), y),
        (false, true) => arg_of::<E>(x, lines, |a, best| last_nan(a <= best, a, best), y),
    }
}

/// Whether a number is taken that `wins`, or is the first NaN.
#[inline]
fn first_nan<N: Number>(wins: bool, a: N, best: N) -> bool {
    wins | (a.is_nan() & !best.is_nan())
}

/// Whether a number is taken that `wins`, or is a NaN.
#[inline]
fn last_nan<N: Number>(wins: bool, a: N, _: N) -> bool {
    wins | a.is_nan()
}

fn arg_of<E: Element>(
    x: &[E::Bits],
    lines: Lines,
    beats: impl Fn(E::Number, E::Number) -> bool,
    y: &mut [i64],
) {
    let Lines { n, inner, .. } = lines;
    for (x, y) in x.chunks_exact(n * inner).zip(y.chunks_exact_mut(inner)) {
        if inner == 1 {
            y[0] = arg_of_line::<E>(x, &beats);
            continue;
        }
        for (block, y) in y.chunks_mut(COLUMNS).enumerate() {
            let mut best = [E::Number::ZERO; COLUMNS];
            let mut at = [0u32; COLUMNS];
            let row = |index: usize| &x[index * inner + block * COLUMNS..][..y.len()];
            best.iter_mut().zip(row(0)).for_each(|(best, &bits)| *best = E::load(bits));
            for index in 1..n {
                for ((at, best), &bits) in at.iter_mut().zip(&mut best).zip(row(index)) {
                    let candidate = E::load(bits);
                    let wins = beats(candidate, *best);
                    *best = if wins { candidate } else { *best };
                    *at = if wins { index as u32 } else { *at };
                }
            }
            y.iter_mut().zip(at).for_each(|(y, at)| *y = at.into());
        }
    }
}

/// The index of a line's extreme element: in lanes, of which the best that comes first, or last, is taken.
fn arg_of_line<E: Element>(x: &[E::Bits], beats: &impl Fn(E::Number, E::Number) -> bool) -> i64 {
    let mut best = [E::load(x[0]); LANES];
    let mut at = [0u32; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    let mut take = |lane: usize, bits: E::Bits, index: usize| {
        let candidate = E::load(bits);
        let wins = beats(candidate, best[lane]);
        best[lane] = if wins { candidate } else { best[lane] };
        at[lane] = if wins { index as u32 + 1 } else { at[lane] };
    };
    for (index, x) in whole.iter().enumerate() {
        for lane in 0..LANES {
            take(lane, x[lane], index);
        }
    }
    rest.iter().enumerate().for_each(|(lane, &bits)| take(lane, bits, whole.len()));
    // In which lane a tie lies says nothing of its place, so the few lanes are gone through in the order of places; a
    // lane that has found nothing better than the first element stands for that.
    let mut lanes: Vec<(usize, E::Number)> = best
        .into_iter()
        .zip(at)
        .enumerate()
        .map(|(lane, (best, at))| (if at == 0 { 0 } else { (at as usize - 1) * LANES + lane }, best))
        .collect();
    lanes.sort_unstable_by_key(|&(at, _)| at);
    let (mut at, mut extreme) = lanes[0];
    for &(place, candidate) in &lanes[1..] {
        if beats(candidate, extreme) {
            (at, extreme) = (place, candidate);
        }
    }
    at as i64
}

/// Plans TopK: the indices in their order, then the values at them.
pub fn plan_topk(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
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
        None => b.steps.temporary(elements * size_of::<i64>()),
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

/// Elements that are collected, beyond twice as many as are wanted, before those that are not wanted are dropped.
const CANDIDATES: usize = 64;

fn push_topk(
    b: &mut Builder<'_>,
    node: &Node,
    x: &Placed,
    lines: Lines,
    k: usize,
    indices: BufferId,
) -> Result<(), Stop> {
    let is_largest = node.attributes.int("largest")? != 0;
    let rows = b.steps.chunk(lines.outer, (lines.n * lines.inner) as f64 * 4.0, 1);
    let (xb, dtype) = (x.buffer, x.dtype());
    b.steps.of_node(node, "scalar-topk").run([xb], [indices], move |run, [x], [y]| {
        let pool = run.pool;
        with_element!(dtype, E => {
            let x = cast::<<E as Element>::Bits>(x);
            pool.slices(cast_mut::<i64>(y), rows * k * lines.inner, |i, y| {
                topk::<E>(&x[i * rows * lines.n * lines.inner..], lines, k, is_largest, y);
            });
        });
    });
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
    let comes_before = |a: E::Number, b: E::Number| {
        if is_largest { a > b || (a.is_nan() && !b.is_nan()) } else { a < b || (b.is_nan() && !a.is_nan()) }
    };
    let most = (2 * k + CANDIDATES).min(n);
    let mut line = Vec::with_capacity(most);
    for (x, y) in x.chunks_exact(n * inner).zip(y.chunks_exact_mut(k * inner)) {
        for column in 0..inner {
            line.clear();
            let mut last = None; // the last of the k first so far
            for (&bits, index) in x[column..].iter().step_by(inner).zip(0..) {
                let candidate = E::load(bits);
                // Where it is equal, the one that came before stays.
                if last.is_some_and(|last| !comes_before(candidate, last)) {
                    continue;
                }
                line.push((candidate, index));
                if line.len() == most && k < most {
                    line.select_nth_unstable_by(k - 1, order);
                    line.truncate(k);
                    last = Some(line[k - 1].0);
                }
            }
            line.sort_unstable_by(order);
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
    let rows = b.steps.chunk(lines.outer, (k * lines.inner) as f64, 1);
    let (xb, yb, size) = (x.buffer, y.buffer, x.dtype().size());
    let Lines { n, inner, .. } = lines;
    b.steps.of_node(node, "copy").run([xb, indices], [yb], move |run, [x, indices], [y]| {
        let pool = run.pool;
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
    });
}
