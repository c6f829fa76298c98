//! What attention makes of its scores between its two products: masked, then exponentials in 16 bits as two digits each,
//! and the division of what these multiply by their sums.
//!
//! Formulas (14a) to (14c) of docs/arithmetic.md.

use std::f32::consts::LOG2_E;

use super::math::{ROUNDER, horner, power_of_two};
use super::reduce::over_lanes;
use crate::isa::{Entry, Has};

type RunMask = unsafe fn(&mut [f32], usize, &Mask<'_>);
type RunExponentials = unsafe fn(&[f32], usize, &mut [u8]);
type RunWeigh = unsafe fn(&[f32], usize, f32, &[[i32; 2]], &mut [f32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// A mask added to rows.
    pub mask: Entry<RunMask>,
    /// Rows of scores to rows of digits.
    pub exponentials: Entry<RunExponentials>,
    /// Two rows of products, of digits, to one by a scale over a sum.
    pub weigh: Entry<RunWeigh>,
}

crate::plain::plain_tiers!(Entries {
    mask(x: &mut [f32], n: usize, by: &Mask<'_>) = mask_kernel as "f32-mask";
    exponentials(x: &[f32], n: usize, out: &mut [u8]) = exponentials_kernel as "f32u8-exponentials";
    weigh(x: &[f32], n: usize, scale: f32, sums: &[[i32; 2]], out: &mut [f32]) = weigh_kernel as "f32-weigh";
});

/// What is added to rows: as many numbers as a row has elements, or one for all of it.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    /// Those of row i begin at `i * stride`.
    pub data: &'a [f32],
    /// Elements from one row's to the next's; 0 where all have the same.
    pub stride: usize,
    /// How many a row has: 1, or all its elements.
    pub row: usize,
}

/// Adds a mask to rows of n elements.
pub fn mask(k: impl Has<Entries>, x: &mut [f32], n: usize, by: &Mask<'_>) {
    let &Mask { data, stride, row } = by;
    assert!(n > 0 && x.len().is_multiple_of(n), "rows");
    let last = (x.len() / n).saturating_sub(1).checked_mul(stride);
    let end = last.and_then(|last| last.checked_add(row));
    assert!((row == 1 || row == n) && end.is_some_and(|end| end <= data.len()), "mask");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().mask.code())(x, n, by) }
}

/// `e[i] = rne(65535 * exp_of_score(x[i] - m))` of rows of n elements, m the row's maximum; 0 all along a row in which some
/// `x[i] - m` is NaN. A row of `out` has the upper bytes of its n numbers, then the lower ones.
pub fn exponentials(k: impl Has<Entries>, x: &[f32], n: usize, out: &mut [u8]) {
    assert_eq!(x.len().checked_mul(2), Some(out.len()), "output");
    assert!(n > 0 && x.len().is_multiple_of(n), "rows");
    // SAFETY: as above.
    unsafe { (k.entries().exponentials.code())(x, n, out) }
}

/// Row i of `out`, of n elements, is rows 2i and 2i + 1 of x, of the upper and of the lower digits, as one number each,
/// by [`weight`] of `sums[i]`.
pub fn weigh(k: impl Has<Entries>, x: &[f32], n: usize, scale: f32, sums: &[[i32; 2]], out: &mut [f32]) {
    assert!(Some(out.len()) == sums.len().checked_mul(n), "rows");
    assert_eq!(out.len().checked_mul(2), Some(x.len()), "digits");
    // SAFETY: as above.
    unsafe { (k.entries().weigh.code())(x, n, scale, sums, out) }
}

/// The scale over the sum of a row, which is that of its upper digits and that of its lower ones.
#[inline(always)]
pub fn weight(scale: f32, sums: [i32; 2]) -> f32 {
    scale / whole(sums.map(|sum| sum as f32))
}

/// What two digits stand for, rounded once: the product is exact.
#[inline(always)]
fn whole([upper, lower]: [f32; 2]) -> f32 {
    256.0 * upper + lower
}

/// The exponential of a row's maximum.
const ONE: f32 = 65535.0;
/// There and beyond all exponentials are 0.
const FARTHEST: f32 = -12.0;
/// Adding this to a real in 0..=65535 rounds it to an integer, ties to even, which is then the lowest two bytes.
const ROUND: f32 = 8_388_608.0;

/// `2^f = 1 + f P(f)` on `|f| <= 1/2`; fit error 2^-18 of 2^f (`tests/reference/fit_functions.py`).
pub(super) const EXP_OF_SCORE: [f32; 4] = [0.693_124_2, 0.240_241_02, 0.055_906_53, 0.009_582_736];

/// The exponential, to more than 16 bits, for -12 <= x <= 0; NaN stays.
#[inline(always)]
fn exp_of_score(x: f32) -> f32 {
    let powers = x * LOG2_E;
    let shifted = powers + ROUNDER;
    let f = powers - (shifted - ROUNDER);
    let k = (shifted.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    f.mul_add(horner(f, &EXP_OF_SCORE), 1.0) * power_of_two(k)
}

/// A NaN comes into the differences by itself.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
fn mask_kernel(x: &mut [f32], n: usize, by: &Mask<'_>) {
    let &Mask { data, stride, row } = by;
    for (r, x) in x.chunks_exact_mut(n).enumerate() {
        let addends = &data[r * stride..][..row];
        if row == n {
            x.iter_mut().zip(addends).for_each(|(x, &addend)| *x += addend);
        } else {
            let addend = addends[0];
            x.iter_mut().for_each(|x| *x += addend);
        }
    }
}

#[inline(always)]
fn exponentials_kernel(x: &[f32], n: usize, out: &mut [u8]) {
    for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(2 * n)) {
        let max = over_lanes(x, f32::NEG_INFINITY, larger);
        let mut seen = 0;
        let (upper, lower) = out.split_at_mut(n);
        for ((&x, upper), lower) in x.iter().zip(upper).zip(lower) {
            let above = x - max;
            let above = if above < FARTHEST { FARTHEST } else { above };
            let bits = exp_of_score(above).mul_add(ONE, ROUND).to_bits();
            seen |= bits;
            (*upper, *lower) = ((bits >> 8) as u8, bits as u8);
        }
        // A NaN has other bits above the lowest two bytes.
        if seen >> 16 != ROUND.to_bits() >> 16 {
            out.fill(0);
        }
    }
}

#[inline(always)]
fn weigh_kernel(x: &[f32], n: usize, scale: f32, sums: &[[i32; 2]], out: &mut [f32]) {
    for (row, &sums) in sums.iter().enumerate() {
        let factor = weight(scale, sums);
        let (upper, lower) = x[2 * row * n..][..2 * n].split_at(n);
        for ((&upper, &lower), y) in upper.iter().zip(lower).zip(&mut out[row * n..][..n]) {
            *y = whole([upper, lower]) * factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::table::Kernels;

    /// One row, the product in float64, where it is exact; what is farther than that is 0 without it.
    fn plain(x: &[f32]) -> Vec<u8> {
        let max = x.iter().copied().fold(f32::NEG_INFINITY, |a, b| if a.is_nan() || a > b { a } else { b });
        if x.iter().any(|x| (x - max).is_nan()) {
            return vec![0; 2 * x.len()];
        }
        let e = x.iter().map(|x| match x - max {
            far if far < -12.0 => 0,
            above => (65535.0 * f64::from(exp_of_score(above))).round_ties_even() as u16,
        });
        let (upper, lower): (Vec<u8>, Vec<u8>) = e.map(|e| ((e >> 8) as u8, e as u8)).unzip();
        [upper, lower].concat()
    }

    #[test]
    fn exponentials_of_scores_are_true_to_sixteen_bits() {
        for i in 0..=120_000 {
            let x = -1e-4 * i as f32;
            let error = f64::from(exp_of_score(x)) / f64::from(x).exp() - 1.0;
            assert!(error.abs() < 4e-6, "{x}: {error}");
        }
        assert_eq!(exp_of_score(0.0), 1.0);
    }

    #[test]
    fn exponentials_of_rows_of_every_length() {
        for n in (1..70).chain([128, 200, 1000]) {
            for reach in [0.01, 1.0, 12.0, 200.0] {
                let x: Vec<f32> =
                    (0..5 * n).map(|i| (i * 7919 % 1009) as f32 / 1008.0 * reach - 5.0).collect();
                let expected: Vec<u8> = x.chunks(n).flat_map(plain).collect();
                for k in available().into_iter().filter_map(Kernels::new) {
                    let mut y = vec![9; 2 * x.len()];
                    exponentials(k, &x, n, &mut y);
                    assert_eq!(y, expected, "{}: {n}, {reach}", k.isa());
                }
            }
        }
    }

    /// From the row's maximum to where half of 1 is left: the one before the last is 1, the last one 0.
    #[test]
    fn digits_reach_as_far_as_sixteen_bits_do() {
        let x = [0.0, -1e-5, -2.0, -5.55, -11.782, -11.784];
        for k in available().into_iter().filter_map(Kernels::new) {
            let mut y = [9; 12];
            exponentials(k, &x, x.len(), &mut y);
            assert_eq!(y, [255, 255, 34, 0, 0, 0, 255, 254, 165, 255, 1, 0], "{}", k.isa());
        }
    }

    #[test]
    fn a_mask_is_added_to_its_rows() {
        for n in [1, 2, 15, 64, 100] {
            let x: Vec<f32> = (0..4 * n).map(|i| (i * 37 % 41) as f32 / 7.0 - 2.5).collect();
            let data: Vec<f32> = (0..4 * (n + 3)).map(|i| (i * 11 % 13) as f32 / 3.0).collect();
            for (stride, row) in [(0, n), (n, n), (n + 3, n), (0, 1), (1, 1), (5, 1)] {
                let addend =
                    |i: usize| data[(i / n * stride + if row == 1 { 0 } else { i % n }) % data.len()];
                let data: Vec<f32> = (0..3 * stride + row).map(|i| data[i % data.len()]).collect();
                let expected: Vec<f32> = x.iter().enumerate().map(|(i, x)| x + addend(i)).collect();
                for k in available().into_iter().filter_map(Kernels::new) {
                    let mut y = x.clone();
                    mask(k, &mut y, n, &Mask { data: &data, stride, row });
                    assert_eq!(y, expected, "{}: {n}, {stride}, {row}", k.isa());
                }
            }
        }
    }

    #[test]
    fn what_is_masked_is_0_and_rows_without_a_maximum_are_0_throughout() {
        let special =
            [0.0, -0.0, f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -1e9, f32::MIN, f32::MAX, 1e-40];
        for n in [1, 2, 3, 16, 17, 40] {
            for (a, b) in special.iter().flat_map(|&a| special.iter().map(move |&b| (a, b))) {
                // 17 rows of a, among which b comes once at another place each.
                let x: Vec<f32> = (0..17 * n).map(|i| if i % n == i / n % n { b } else { a }).collect();
                let expected: Vec<u8> = x.chunks(n).flat_map(plain).collect();
                for k in available().into_iter().filter_map(Kernels::new) {
                    let mut y = vec![9; 2 * x.len()];
                    exponentials(k, &x, n, &mut y);
                    assert_eq!(y, expected, "{}: {a}, {b}, {n}", k.isa());
                }
            }
        }
    }

    #[test]
    fn rows_of_digits_become_one_each_by_their_sums() {
        let sums = [[255, 255], [0, 1], [0, 0], [i32::MAX, i32::MAX], [12_345, 678], [16_777_217, -5]];
        for n in (0..40).chain([64, 100]) {
            let number = |i: usize| (i * 7919 % 65_521) as f32 * 1001.0 - 3e7;
            let x: Vec<f32> = (0..2 * sums.len() * n).map(number).collect();
            let at = |row: usize, j: usize| f64::from(x[row * n + j]);
            let weighed = |(row, j): (usize, usize)| {
                // Each of these sums is exact in float64.
                let [upper, lower] = sums[row].map(|sum| f64::from(sum as f32));
                let factor = 0.037 / (256.0 * upper + lower) as f32;
                (256.0 * at(2 * row, j) + at(2 * row + 1, j)) as f32 * factor
            };
            let places = (0..sums.len()).flat_map(|row| (0..n).map(move |j| (row, j)));
            let expected: Vec<f32> = places.map(weighed).collect();
            for k in available().into_iter().filter_map(Kernels::new) {
                let mut y = vec![9.0; sums.len() * n];
                weigh(k, &x, n, 0.037, &sums, &mut y);
                let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(y.iter().zip(&expected).all(same), "{}: {n}", k.isa());
            }
        }
    }

    #[test]
    fn rows_that_leave_the_data_are_refused() {
        let is_refused = |f: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
        let k = Kernels::best();
        assert!(!is_refused(&|| exponentials(k, &[0.0; 6], 3, &mut [0; 12])));
        assert!(is_refused(&|| exponentials(k, &[0.0; 6], 4, &mut [0; 12])));
        assert!(is_refused(&|| exponentials(k, &[0.0; 6], 3, &mut [0; 11])));
        let masked = |stride, row| mask(k, &mut [0.0; 6], 3, &Mask { data: &[0.0; 6], stride, row });
        assert!(!is_refused(&|| masked(3, 3)));
        assert!(is_refused(&|| masked(4, 3)));
        assert!(is_refused(&|| masked(0, 2)));
        assert!(!is_refused(&|| weigh(k, &[0.0; 12], 3, 1.0, &[[1; 2]; 2], &mut [0.0; 6])));
        assert!(is_refused(&|| weigh(k, &[0.0; 11], 3, 1.0, &[[1; 2]; 2], &mut [0.0; 6])));
        assert!(is_refused(&|| weigh(k, &[0.0; 12], 4, 1.0, &[[1; 2]; 2], &mut [0.0; 6])));
    }
}
