//! Reductions.

use std::array::from_fn;

use super::math::{exp, log, maximum, minimum};
use crate::isa::Kernels;

/// What becomes of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// The sum divided by the count.
    Mean,
    /// The sum, from +0.
    Sum,
    /// The largest, from -infinity; NaN if one is.
    Max,
    /// The smallest, from infinity; NaN if one is.
    Min,
    /// The product, from 1.
    Prod,
    /// The sum of the magnitudes.
    L1,
    /// The sum of the squares, each rounded.
    SumSquare,
    /// The root of the sum of the squares.
    L2,
    /// The logarithm of the sum.
    LogSum,
    /// `log(sum(exp(x - m))) + m`, m the largest element, or 0 where that is not finite.
    LogSumExp,
}

impl Reduce {
    /// What no elements give, and where a fold begins.
    #[inline(always)]
    fn start(self) -> f32 {
        match self {
            Reduce::Max => f32::NEG_INFINITY,
            Reduce::Min => f32::INFINITY,
            Reduce::Prod => 1.0,
            _ => 0.0,
        }
    }

    /// What becomes of a fold over `n` elements.
    #[inline(always)]
    fn finished(self, y: f32, n: usize) -> f32 {
        match self {
            Reduce::Mean => y / n as f32,
            Reduce::L2 => y.sqrt(),
            Reduce::LogSum => log(y),
            _ => y,
        }
    }
}

/// The lanes of a sum of contiguous elements: element i goes to lane i mod 16.
pub(super) const LANES: usize = 16;

/// Reduces the last axis of x alone, `[outer, n]`, to `out`, `[outer]`. Sums use 16 lanes from +0, folded by 8, 4, 2, 1.
pub fn last_axis(k: Kernels, op: Reduce, x: &[f32], n: usize, out: &mut [f32]) {
    assert_eq!(Some(x.len()), out.len().checked_mul(n), "input");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.reduce_last.run)(op, x, n, out) }
}

/// Reduces the middle axis of x, `[outer, n, inner]`, to `out`, `[outer, inner]`: one chain an output, in index order.
pub fn strided(k: Kernels, op: Reduce, x: &[f32], n: usize, inner: usize, out: &mut [f32]) {
    assert!(inner > 0 && out.len().is_multiple_of(inner), "output");
    assert_eq!(Some(x.len()), out.len().checked_mul(n), "input");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.reduce_strided.run)(op, x, n, inner, out) }
}

/// 16 lanes become one by halves.
#[inline(always)]
pub(super) fn fold(lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    // A loop over the halves would keep the lanes in memory.
    let eight: [f32; 8] = from_fn(|i| f(lanes[i], lanes[i + 8]));
    let four: [f32; 4] = from_fn(|i| f(eight[i], eight[i + 4]));
    let two: [f32; 2] = from_fn(|i| f(four[i], four[i + 2]));
    f(two[0], two[1])
}

/// `f` over contiguous elements in 16 lanes.
#[inline(always)]
pub(super) fn over_lanes(x: &[f32], start: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    mapped_over_lanes(x, start, |x| x, f)
}

/// `f` over what `map` makes of contiguous elements, in 16 lanes.
#[inline(always)]
fn mapped_over_lanes(x: &[f32], start: f32, map: impl Fn(f32) -> f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for i in 0..LANES {
            lanes[i] = f(lanes[i], map(block[i]));
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = f(*lane, map(value));
    }
    fold(lanes, f)
}

#[inline(always)]
fn over_rows(x: &[f32], inner: usize, start: f32, out: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    out.fill(start);
    for row in x.chunks_exact(inner) {
        for (y, &value) in out.iter_mut().zip(row) {
            *y = f(*y, value);
        }
    }
}

/// What LogSumExp subtracts, given the largest element.
#[inline(always)]
fn shift(largest: f32) -> f32 {
    if largest.is_finite() { largest } else { 0.0 }
}

#[inline(always)]
pub(super) fn last_axis_kernel(op: Reduce, x: &[f32], n: usize, out: &mut [f32]) {
    let sum = |a, b| a + b;
    for (i, y) in out.iter_mut().enumerate() {
        let row = &x[i * n..(i + 1) * n];
        let start = op.start();
        let folded = match op {
            Reduce::Mean | Reduce::Sum | Reduce::LogSum => over_lanes(row, start, sum),
            Reduce::Max => over_lanes(row, start, maximum),
            Reduce::Min => over_lanes(row, start, minimum),
            Reduce::Prod => over_lanes(row, start, |a, b| a * b),
            Reduce::L1 => mapped_over_lanes(row, start, f32::abs, sum),
            Reduce::SumSquare | Reduce::L2 => mapped_over_lanes(row, start, |x| x * x, sum),
            Reduce::LogSumExp => {
                let shift = shift(over_lanes(row, f32::NEG_INFINITY, maximum));
                log(mapped_over_lanes(row, 0.0, |x| exp(x - shift), sum)) + shift
            }
        };
        *y = op.finished(folded, n);
    }
}

#[inline(always)]
pub(super) fn strided_kernel(op: Reduce, x: &[f32], n: usize, inner: usize, out: &mut [f32]) {
    for (i, out) in out.chunks_exact_mut(inner).enumerate() {
        let x = &x[i * n * inner..(i + 1) * n * inner];
        let start = op.start();
        match op {
            Reduce::Mean | Reduce::Sum | Reduce::LogSum => over_rows(x, inner, start, out, |a, b| a + b),
            Reduce::Max => over_rows(x, inner, start, out, maximum),
            Reduce::Min => over_rows(x, inner, start, out, minimum),
            Reduce::Prod => over_rows(x, inner, start, out, |a, b| a * b),
            Reduce::L1 => over_rows(x, inner, start, out, |a, b| a + b.abs()),
            Reduce::SumSquare | Reduce::L2 => over_rows(x, inner, start, out, |a, b| a + b * b),
            Reduce::LogSumExp => {
                for first in (0..inner).step_by(LANES) {
                    let width = LANES.min(inner - first);
                    log_sum_exp(&x[first..], n, inner, width, &mut out[first..first + width]);
                }
            }
        }
        out.iter_mut().for_each(|y| *y = op.finished(*y, n));
    }
}

/// LogSumExp of up to 16 neighbouring vectors, whose elements lie `inner` apart.
#[inline(always)]
fn log_sum_exp(x: &[f32], n: usize, inner: usize, width: usize, out: &mut [f32]) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    for i in 0..n {
        for (largest, &x) in largest.iter_mut().zip(&x[i * inner..][..width]) {
            *largest = maximum(*largest, x);
        }
    }
    let shifts = largest.map(shift);
    let mut sums = [0.0; LANES];
    for i in 0..n {
        for (j, &x) in x[i * inner..][..width].iter().enumerate() {
            sums[j] += exp(x - shifts[j]);
        }
    }
    for (j, y) in out.iter_mut().enumerate() {
        *y = log(sums[j]) + shifts[j];
    }
}
