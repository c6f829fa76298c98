//! Reductions.

use super::math::{maximum, minimum};
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
pub(super) fn fold(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}

/// `f` over contiguous elements in 16 lanes.
#[inline(always)]
pub(super) fn over_lanes(x: &[f32], start: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for i in 0..LANES {
            lanes[i] = f(lanes[i], block[i]);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = f(*lane, value);
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

#[inline(always)]
pub(super) fn last_axis_kernel(op: Reduce, x: &[f32], n: usize, out: &mut [f32]) {
    for (i, y) in out.iter_mut().enumerate() {
        let row = &x[i * n..(i + 1) * n];
        *y = match op {
            Reduce::Mean => over_lanes(row, 0.0, |a, b| a + b) / n as f32,
            Reduce::Sum => over_lanes(row, 0.0, |a, b| a + b),
            Reduce::Max => over_lanes(row, f32::NEG_INFINITY, maximum),
            Reduce::Min => over_lanes(row, f32::INFINITY, minimum),
        };
    }
}

#[inline(always)]
pub(super) fn strided_kernel(op: Reduce, x: &[f32], n: usize, inner: usize, out: &mut [f32]) {
    for (i, out) in out.chunks_exact_mut(inner).enumerate() {
        let x = &x[i * n * inner..(i + 1) * n * inner];
        match op {
            Reduce::Mean => {
                over_rows(x, inner, 0.0, out, |a, b| a + b);
                out.iter_mut().for_each(|y| *y /= n as f32);
            }
            Reduce::Sum => over_rows(x, inner, 0.0, out, |a, b| a + b),
            Reduce::Max => over_rows(x, inner, f32::NEG_INFINITY, out, maximum),
            Reduce::Min => over_rows(x, inner, f32::INFINITY, out, minimum),
        }
    }
}
