//! Softmax and its logarithm.

use super::math::{exp, log as ln};
use super::reduce::{LANES, over_lanes};
use crate::isa::{Entry, Has};

type Run = unsafe fn(&[f32], usize, usize, Sum, bool, &mut [f32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// Softmax and its logarithm.
    pub softmax: Entry<Run>,
}

crate::plain::plain_tiers!(Entries {
    softmax(x: &[f32], n: usize, inner: usize, sum: Sum, log: bool, out: &mut [f32]) = kernel as "f32-softmax";
});

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
pub fn softmax(
    k: impl Has<Entries>,
    x: &[f32],
    n: usize,
    inner: usize,
    sum: Sum,
    log: bool,
    out: &mut [f32],
) {
    assert_eq!(x.len(), out.len(), "output");
    assert!(sum == Sum::Chain || inner == 1, "lanes are for contiguous elements");
    assert!(n > 0 && inner > 0 && x.len().is_multiple_of(n * inner), "input");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().softmax.code())(x, n, inner, sum, log, out) }
}

/// The larger of two, in one instruction. What it makes of NaN and of zeros changes no result: a NaN comes into the sum
/// by itself, and the exponential of either zero is 1.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
fn contiguous(x: &[f32], sum: Sum, log: bool, out: &mut [f32]) {
    let max = over_lanes(x, f32::NEG_INFINITY, larger);
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

/// A vector becomes its softmax, as [`contiguous`] by [`Sum::Lanes`].
#[inline(always)]
pub(super) fn in_place(x: &mut [f32]) {
    let max = over_lanes(x, f32::NEG_INFINITY, larger);
    x.iter_mut().for_each(|x| *x = exp(*x - max));
    let sum = over_lanes(x, 0.0, |a, b| a + b);
    x.iter_mut().for_each(|x| *x /= sum);
}

/// 16 vectors of up to `MOST` elements each, one after the other: side by side, they are [`columns`].
#[inline(always)]
fn narrow<const MOST: usize>(x: &[f32], n: usize, sum: Sum, log: bool, out: &mut [f32]) {
    let (mut values, mut results) = ([[0.0; LANES]; MOST], [[0.0; LANES]; MOST]);
    for j in 0..LANES {
        for (row, &x) in values.iter_mut().zip(&x[j * n..][..n]) {
            row[j] = x;
        }
    }
    columns::<MOST>(values.as_flattened(), n, LANES, LANES, sum, log, results.as_flattened_mut());
    for j in 0..LANES {
        for (y, row) in out[j * n..][..n].iter_mut().zip(&results) {
            *y = row[j];
        }
    }
}

/// The sums of the columns of up to `MOST` rows, as lanes are folded. The lanes beyond row n hold +0, which changes no sum
/// of exponentials.
#[inline(always)]
fn fold_rows<const MOST: usize>(rows: &[f32], n: usize) -> [f32; LANES] {
    let mut lanes = [[0.0; LANES]; MOST];
    for (lane, row) in lanes.iter_mut().zip(rows.as_chunks().0).take(n) {
        *lane = *row;
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half.min(n.saturating_sub(half)) {
            for j in 0..LANES {
                lanes[i][j] += lanes[i + half][j];
            }
        }
    }
    lanes[0]
}

/// Up to 16 neighbouring vectors, whose elements lie `inner` apart: `x` and `out` begin at the first one's first.
/// [`Sum::Lanes`] asks for 16 vectors of up to `MOST` elements, 16 apart.
#[inline(always)]
fn columns<const MOST: usize>(
    x: &[f32],
    n: usize,
    inner: usize,
    width: usize,
    by: Sum,
    log: bool,
    out: &mut [f32],
) {
    let mut max = [f32::NEG_INFINITY; LANES];
    for i in 0..n {
        for (max, &x) in max.iter_mut().zip(&x[i * inner..][..width]) {
            *max = larger(*max, x);
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
    if by == Sum::Lanes {
        sum = fold_rows::<MOST>(out, n);
    }
    let log_sum = if log { sum.map(ln) } else { sum };
    for i in 0..n {
        let out = &mut out[i * inner..][..width];
        for (j, (y, &x)) in out.iter_mut().zip(&x[i * inner..][..width]).enumerate() {
            *y = if log { (x - max[j]) - log_sum[j] } else { *y / sum[j] };
        }
    }
}

#[inline(always)]
pub(super) fn kernel(x: &[f32], n: usize, inner: usize, sum: Sum, log: bool, out: &mut [f32]) {
    if inner > 1 {
        for (x, out) in x.chunks_exact(n * inner).zip(out.chunks_exact_mut(n * inner)) {
            let whole = inner / LANES * LANES;
            for first in (0..whole).step_by(LANES) {
                columns::<LANES>(&x[first..], n, inner, LANES, Sum::Chain, log, &mut out[first..]);
            }
            if whole < inner {
                columns::<LANES>(&x[whole..], n, inner, inner - whole, Sum::Chain, log, &mut out[whole..]);
            }
        }
        return;
    }
    let blocks = if n <= LANES { x.len() / (n * LANES) * (n * LANES) } else { 0 };
    let ((blocks, rest), (out_blocks, out_rest)) = (x.split_at(blocks), out.split_at_mut(blocks));
    for (x, out) in blocks.chunks_exact(n * LANES).zip(out_blocks.chunks_exact_mut(n * LANES)) {
        // Where the number is known when this is compiled, the vectors change places by a few shuffles.
        match n {
            2 => narrow::<2>(x, 2, sum, log, out),
            3 => narrow::<3>(x, 3, sum, log, out),
            4 => narrow::<4>(x, 4, sum, log, out),
            _ => narrow::<LANES>(x, n, sum, log, out),
        }
    }
    for (x, out) in rest.chunks_exact(n).zip(out_rest.chunks_exact_mut(n)) {
        contiguous(x, sum, log, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float::math::maximum;
    use crate::isa::available;
    use crate::table::Kernels;

    /// One vector, the maximum found with every rule of [`maximum`].
    fn plain(x: &[f32], log: bool) -> Vec<f32> {
        let max = x.iter().copied().fold(f32::NEG_INFINITY, maximum);
        let e: Vec<f32> = x.iter().map(|x| exp(x - max)).collect();
        let sum = e.iter().fold(0.0, |a, b| a + b);
        let of = |(x, e): (&f32, &f32)| if log { (x - max) - ln(sum) } else { e / sum };
        x.iter().zip(&e).map(of).collect()
    }

    /// One vector whose exponentials are summed in 16 lanes, folded by halves.
    fn plain_lanes(x: &[f32], log: bool) -> Vec<f32> {
        let max = x.iter().copied().fold(f32::NEG_INFINITY, maximum);
        let mut lanes = vec![0.0; 16];
        x.iter().enumerate().for_each(|(i, x)| lanes[i % 16] += exp(x - max));
        while lanes.len() > 1 {
            let upper = lanes.split_off(lanes.len() / 2);
            lanes.iter_mut().zip(upper).for_each(|(a, b)| *a += b);
        }
        let of = |x: &f32| if log { (x - max) - ln(lanes[0]) } else { exp(x - max) / lanes[0] };
        x.iter().map(of).collect()
    }

    /// Vectors of every length, fewer and more than go through together.
    #[test]
    fn lanes_and_chains_of_every_length() {
        for n in 1..=40 {
            for (count, log) in [(1, false), (15, true), (16, false), (17, true), (33, false), (40, true)] {
                let x: Vec<f32> = (0..count * n).map(|i| (i * 7919 % 1009) as f32 / 100.0 - 5.0).collect();
                let lanes: Vec<f32> = x.chunks(n).flat_map(|x| plain_lanes(x, log)).collect();
                let chains: Vec<f32> = x.chunks(n).flat_map(|x| plain(x, log)).collect();
                for k in available().into_iter().filter_map(Kernels::new) {
                    let same =
                        |y: &[f32], e: &[f32]| y.iter().zip(e).all(|(y, e)| y.to_bits() == e.to_bits());
                    let mut y = vec![9.0; x.len()];
                    softmax(k, &x, n, 1, Sum::Lanes, log, &mut y);
                    assert!(same(&y, &lanes), "{}: {count} of {n}, {log}, lanes", k.isa());
                    softmax(k, &x, n, 1, Sum::Chain, log, &mut y);
                    assert!(same(&y, &chains), "{}: {count} of {n}, {log}, chains", k.isa());
                    // The same vectors side by side, twice.
                    let turned: Vec<f32> =
                        (0..2 * count * n).map(|i| x[i % count * n + i / count % n]).collect();
                    let mut y = vec![9.0; turned.len()];
                    softmax(k, &turned, n, count, Sum::Chain, log, &mut y);
                    let at = |i: usize| chains[i % count * n + i / count % n];
                    assert!(
                        (0..y.len()).all(|i| y[i].to_bits() == at(i).to_bits()),
                        "{}: {count} of {n}",
                        k.isa()
                    );
                }
            }
        }
    }

    #[test]
    fn zeros_infinities_and_nan_give_the_plain_bits() {
        let special = [0.0, -0.0, f32::NAN, f32::NEG_INFINITY, -200.0, f32::INFINITY];
        for n in [1, 2, 3, 20] {
            for (a, b) in special.iter().flat_map(|&a| special.iter().map(move |&b| (a, b))) {
                // 17 vectors of a, among which b comes once at another place each.
                let x: Vec<f32> = (0..17 * n).map(|i| if i % n == i / n % n { b } else { a }).collect();
                for (log, isa) in available().into_iter().flat_map(|isa| [(false, isa), (true, isa)]) {
                    let k = Kernels::new(isa).expect("available");
                    let expected: Vec<f32> = x.chunks_exact(n).flat_map(|x| plain(x, log)).collect();
                    let same = |y: &f32, e: &f32| y.to_bits() == e.to_bits() || y.is_nan() && e.is_nan();
                    let mut y = vec![9.0; x.len()];
                    softmax(k, &x, n, 1, Sum::Chain, log, &mut y);
                    assert!(y.iter().zip(&expected).all(|(y, e)| same(y, e)), "{isa}: {a}, {b}, {n}, {log}");
                    // The same vectors side by side.
                    let turned: Vec<f32> = (0..17 * n).map(|i| x[i % 17 * n + i / 17]).collect();
                    softmax(k, &turned, n, 17, Sum::Chain, log, &mut y);
                    let at = |i: usize| same(&y[i], &expected[i % 17 * n + i / 17]);
                    assert!((0..17 * n).all(at), "{isa}: {a}, {b}, {n}, {log}, side by side");
                }
            }
        }
    }
}
