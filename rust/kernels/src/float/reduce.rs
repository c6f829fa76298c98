//! Reductions.

use std::array::from_fn;

use super::math::{exp, log, maximum, minimum};
use crate::isa::{Entry, Has};

type RunLast = unsafe fn(Reduce, &[f32], usize, &mut [f32]);
type RunStrided = unsafe fn(Reduce, &[f32], usize, usize, &mut [f32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// Reductions of contiguous elements.
    pub last: Entry<RunLast>,
    /// Reductions of strided elements.
    pub strided: Entry<RunStrided>,
}

crate::plain::plain_tiers!(Entries {
    last(op: Reduce, x: &[f32], n: usize, out: &mut [f32]) = last_axis_kernel as "f32-reduce-last";
    strided(op: Reduce, x: &[f32], n: usize, inner: usize, out: &mut [f32]) = strided_kernel as "f32-reduce-strided";
});

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
pub fn last_axis(k: impl Has<Entries>, op: Reduce, x: &[f32], n: usize, out: &mut [f32]) {
    assert_eq!(Some(x.len()), out.len().checked_mul(n), "input");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().last.code())(op, x, n, out) }
}

/// Reduces the middle axis of x, `[outer, n, inner]`, to `out`, `[outer, inner]`: one chain an output, in index order.
pub fn strided(k: impl Has<Entries>, op: Reduce, x: &[f32], n: usize, inner: usize, out: &mut [f32]) {
    assert!(inner > 0 && out.len().is_multiple_of(inner), "output");
    assert_eq!(Some(x.len()), out.len().checked_mul(n), "input");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().strided.code())(op, x, n, inner, out) }
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
                for (block, out) in out.chunks_mut(LANES).enumerate() {
                    log_sum_exp(x, n, inner, block * LANES, out);
                }
            }
        }
        out.iter_mut().for_each(|y| *y = op.finished(*y, n));
    }
}

/// LogSumExp of up to 16 neighbouring vectors from number `first` on, whose elements lie `inner` apart.
#[inline(always)]
fn log_sum_exp(x: &[f32], n: usize, inner: usize, first: usize, out: &mut [f32]) {
    let row = |i: usize| &x[i * inner + first..][..out.len()];
    let mut largest = [f32::NEG_INFINITY; LANES];
    for i in 0..n {
        for (largest, &x) in largest.iter_mut().zip(row(i)) {
            *largest = maximum(*largest, x);
        }
    }
    let shifts = largest.map(shift);
    let mut sums = [0.0; LANES];
    for i in 0..n {
        for (j, &x) in row(i).iter().enumerate() {
            sums[j] += exp(x - shifts[j]);
        }
    }
    for (j, y) in out.iter_mut().enumerate() {
        *y = log(sums[j]) + shifts[j];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::table::Kernels;

    const ALL: [Reduce; 10] = [
        Reduce::Mean,
        Reduce::Sum,
        Reduce::Max,
        Reduce::Min,
        Reduce::Prod,
        Reduce::L1,
        Reduce::SumSquare,
        Reduce::L2,
        Reduce::LogSum,
        Reduce::LogSumExp,
    ];

    /// A chain in index order, or 16 of them, element i in the one of number i mod 16, folded by halves.
    fn chain(x: &[f32], lanes: bool, start: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
        let width = if lanes { 16 } else { 1 };
        let mut sums = vec![start; width];
        x.iter().enumerate().for_each(|(i, &x)| sums[i % width] = f(sums[i % width], x));
        while sums.len() > 1 {
            let upper = sums.split_off(sums.len() / 2);
            sums.iter_mut().zip(upper).for_each(|(a, b)| *a = f(*a, b));
        }
        sums[0]
    }

    /// The rule of each reduction as its text says it.
    fn plain(op: Reduce, x: &[f32], lanes: bool) -> f32 {
        let mapped = |map: fn(f32) -> f32| {
            let x: Vec<f32> = x.iter().map(|&x| map(x)).collect();
            chain(&x, lanes, 0.0, |a, b| a + b)
        };
        match op {
            Reduce::Mean => mapped(|x| x) / x.len() as f32,
            Reduce::Sum => mapped(|x| x),
            Reduce::Max => chain(x, false, f32::NEG_INFINITY, maximum),
            Reduce::Min => chain(x, false, f32::INFINITY, minimum),
            Reduce::Prod => chain(x, lanes, 1.0, |a, b| a * b),
            Reduce::L1 => mapped(f32::abs),
            Reduce::SumSquare => mapped(|x| x * x),
            Reduce::L2 => mapped(|x| x * x).sqrt(),
            Reduce::LogSum => log(mapped(|x| x)),
            Reduce::LogSumExp => {
                let largest = chain(x, false, f32::NEG_INFINITY, maximum);
                let shift = if largest.is_finite() { largest } else { 0.0 };
                let e: Vec<f32> = x.iter().map(|x| exp(x - shift)).collect();
                log(chain(&e, lanes, 0.0, |a, b| a + b)) + shift
            }
        }
    }

    /// Numbers of either sign, sums of which round; every 5th vector holds one that is special.
    fn numbers(len: usize, n: usize) -> Vec<f32> {
        let special = [-0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40, 3e38];
        (0..len)
            .map(|i| match i {
                i if i / n.max(1) % 5 == 4 && i % 11 == 3 => special[i / 11 % 6],
                i => ((i * 7919 + 13) % 1009) as f32 / 373.0 - 1.25,
            })
            .collect()
    }

    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
    }

    #[test]
    fn every_reduction_gives_the_plain_bits_at_every_length() {
        for k in available().into_iter().filter_map(Kernels::new) {
            for (op, n) in ALL.into_iter().flat_map(|op| (0..70).map(move |n| (op, n))) {
                let x = numbers(11 * n, n);
                let mut y = vec![9.0; 11];
                last_axis(k, op, &x, n, &mut y);
                for (i, &y) in y.iter().enumerate() {
                    let expected = plain(op, &x[i * n..][..n], true);
                    assert!(same(y, expected), "{} {op:?} of {n}: {y}, not {expected}", k.isa());
                }
                for inner in [1, 3, 16, 17, 35] {
                    let x = numbers(2 * n * inner, inner);
                    let mut y = vec![9.0; 2 * inner];
                    strided(k, op, &x, n, inner, &mut y);
                    for (at, &y) in y.iter().enumerate() {
                        let from = at / inner * n * inner + at % inner;
                        let column: Vec<f32> = (0..n).map(|i| x[from + i * inner]).collect();
                        let expected = plain(op, &column, false);
                        assert!(
                            same(y, expected),
                            "{} {op:?} of {n}, inner {inner}: {y}, {expected}",
                            k.isa()
                        );
                    }
                }
            }
        }
    }
}
