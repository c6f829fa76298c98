//! Softmax and its logarithm.

use super::math::{exp, log as ln, maximum};
use super::reduce::{LANES, over_lanes};
use crate::isa::Kernels;

/// How the exponentials of a vector are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// 16 lanes from +0, folded by 8, 4, 2, 1: where the axis is the last of the logical layout. Elements must be
    /// contiguous.
    Lanes,
    /// One chain from +0 in index order: every other axis, even where its elements are contiguous in memory.
    Chain,
}

/// Softmax over the middle axis of x, `[outer, n, inner]`; `out` has the same shape.
///
/// With m the maximum, `e = exp(x - m)` and s the sum of e: `e / s`, or with `log` `(x - m) - log(s)`. A NaN makes its
/// whole vector NaN.
pub fn softmax(k: Kernels, x: &[f32], n: usize, inner: usize, sum: Sum, log: bool, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "output");
    assert!(sum == Sum::Chain || inner == 1, "lanes are for contiguous elements");
    assert!(n > 0 && inner > 0 && x.len().is_multiple_of(n * inner), "input");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.softmax.run)(x, n, inner, sum, log, out) }
}

#[inline(always)]
fn contiguous(x: &[f32], sum: Sum, log: bool, out: &mut [f32]) {
    let max = over_lanes(x, f32::NEG_INFINITY, maximum);
    for (y, &x) in out.iter_mut().zip(x) {
        *y = exp(x - max);
    }
    let sum = match sum {
        Sum::Lanes => over_lanes(out, 0.0, |a, b| a + b),
        Sum::Chain => out.iter().fold(0.0, |a, b| a + b),
    };
    if log {
        let log_sum = ln(sum);
        for (y, &x) in out.iter_mut().zip(x) {
            *y = (x - max) - log_sum;
        }
    } else {
        out.iter_mut().for_each(|y| *y /= sum);
    }
}

/// Up to 16 neighbouring vectors, whose elements lie `inner` apart: `x` and `out` begin at the first one's first.
#[inline(always)]
fn columns(x: &[f32], n: usize, inner: usize, width: usize, log: bool, out: &mut [f32]) {
    let mut max = [f32::NEG_INFINITY; LANES];
    for i in 0..n {
        for (max, &x) in max.iter_mut().zip(&x[i * inner..][..width]) {
            *max = maximum(*max, x);
        }
    }
    let mut sum = [0.0; LANES];
    for i in 0..n {
        let out = &mut out[i * inner..][..width];
        for (j, (y, &x)) in out.iter_mut().zip(&x[i * inner..][..width]).enumerate() {
            *y = exp(x - max[j]);
            sum[j] += *y;
        }
    }
    let log_sum = sum.map(ln);
    for i in 0..n {
        let out = &mut out[i * inner..][..width];
        for (j, (y, &x)) in out.iter_mut().zip(&x[i * inner..][..width]).enumerate() {
            *y = if log { (x - max[j]) - log_sum[j] } else { *y / sum[j] };
        }
    }
}

#[inline(always)]
pub(super) fn kernel(x: &[f32], n: usize, inner: usize, sum: Sum, log: bool, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(n * inner).zip(out.chunks_exact_mut(n * inner)) {
        if inner == 1 {
            contiguous(x, sum, log, out);
            continue;
        }
        let whole = inner / LANES * LANES;
        for first in (0..whole).step_by(LANES) {
            columns(&x[first..], n, inner, LANES, log, &mut out[first..]);
        }
        if whole < inner {
            columns(&x[whole..], n, inner, inner - whole, log, &mut out[whole..]);
        }
    }
}
