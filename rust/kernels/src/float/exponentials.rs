//! What attention makes of its scores between its two products: masked, distances from the maximum of each row as bytes,
//! which a table takes to exponentials, and the division of what these multiply by their sum.
//!
//! Formulas (14a) to (14c) of docs/arithmetic.md.

use super::reduce::over_lanes;
use crate::isa::{Entry, Has};

type RunMask = unsafe fn(&mut [f32], usize, &Mask<'_>);
type RunDistances = unsafe fn(&[f32], usize, f32, &mut [u8]);
type RunWeigh = unsafe fn(&mut [f32], usize, usize, f32, &[i32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// A mask added to rows.
    pub mask: Entry<RunMask>,
    /// Distances from the maxima of rows.
    pub distances: Entry<RunDistances>,
    /// Rows by a scale over a sum each.
    pub weigh: Entry<RunWeigh>,
}

crate::plain::plain_tiers!(Entries {
    mask(x: &mut [f32], n: usize, by: &Mask<'_>) = mask_kernel as "f32-mask";
    distances(x: &[f32], n: usize, factor: f32, out: &mut [u8]) = distances_kernel as "f32u8-distances";
    weigh(x: &mut [f32], stride: usize, n: usize, scale: f32, sums: &[i32]) = weigh_kernel as "f32-weigh";
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

/// `out[i] = min(255, rne((m - x[i]) * factor))` of rows of n elements, m the row's maximum, each operation rounded; 255
/// all along a row in which some `m - x[i]` is NaN.
pub fn distances(k: impl Has<Entries>, x: &[f32], n: usize, factor: f32, out: &mut [u8]) {
    assert_eq!(x.len(), out.len(), "output");
    assert!(n > 0 && x.len().is_multiple_of(n), "rows");
    assert!(factor > 0.0, "a distance is positive");
    // SAFETY: as above.
    unsafe { (k.entries().distances.code())(x, n, factor, out) }
}

/// Multiplies row i, the n elements at `i * stride`, by `scale / sums[i]`, which is rounded to float32 first.
pub fn weigh(k: impl Has<Entries>, x: &mut [f32], stride: usize, n: usize, scale: f32, sums: &[i32]) {
    let last = sums.len().saturating_sub(1).checked_mul(stride);
    let end = last.and_then(|last| last.checked_add(n));
    assert!(sums.is_empty() || n <= stride && end.is_some_and(|end| end <= x.len()), "rows");
    // SAFETY: as above.
    unsafe { (k.entries().weigh.code())(x, stride, n, scale, sums) }
}

/// Adding this to a float32 in 0..=255 rounds it to an integer, ties to even, which is then the lowest byte.
const ROUND: f32 = 8_388_608.0;

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
fn distances_kernel(x: &[f32], n: usize, factor: f32, out: &mut [u8]) {
    for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        let max = over_lanes(x, f32::NEG_INFINITY, larger);
        let mut broken = 0u32;
        for (&x, out) in x.iter().zip(&mut *out) {
            let below = max - x;
            broken |= u32::from(below.is_nan());
            let distance = below * factor;
            let distance = if distance < 255.0 { distance } else { 255.0 };
            *out = (distance + ROUND).to_bits() as u8;
        }
        if broken != 0 {
            out.fill(255);
        }
    }
}

#[inline(always)]
fn weigh_kernel(x: &mut [f32], stride: usize, n: usize, scale: f32, sums: &[i32]) {
    for (row, &sum) in sums.iter().enumerate() {
        let factor = scale / sum as f32;
        x[row * stride..][..n].iter_mut().for_each(|x| *x *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::table::Kernels;

    /// One row, in float64 where it is exact.
    fn plain(x: &[f32], factor: f32) -> Vec<u8> {
        let max = x.iter().copied().fold(f32::NEG_INFINITY, |a, b| if a.is_nan() || a > b { a } else { b });
        if x.iter().any(|x| (max - x).is_nan()) {
            return vec![255; x.len()];
        }
        x.iter().map(|x| f64::from((max - x) * factor).round_ties_even().min(255.0) as u8).collect()
    }

    #[test]
    fn distances_of_rows_of_every_length() {
        for n in (1..70).chain([128, 200, 1000]) {
            for factor in [40.8, 1.0, 0.5, 1e-3, 1e30] {
                let x: Vec<f32> = (0..5 * n).map(|i| (i * 7919 % 1009) as f32 / 80.0 - 5.0).collect();
                let expected: Vec<u8> = x.chunks(n).flat_map(|x| plain(x, factor)).collect();
                for k in available().into_iter().filter_map(Kernels::new) {
                    let mut y = vec![9; x.len()];
                    distances(k, &x, n, factor, &mut y);
                    assert_eq!(y, expected, "{}: {n}, {factor}", k.isa());
                }
            }
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

    /// Halves are ties, and every distance occurs.
    #[test]
    fn ties_go_to_the_even_distance() {
        let x: Vec<f32> = (0..1100).map(|i| -0.25 * i as f32).collect();
        let expected: Vec<u8> =
            (0..1100).map(|i| (0.25 * f64::from(i)).round_ties_even().min(255.0) as u8).collect();
        for k in available().into_iter().filter_map(Kernels::new) {
            let mut y = vec![9; x.len()];
            distances(k, &x, x.len(), 1.0, &mut y);
            assert_eq!(y, expected, "{}", k.isa());
        }
    }

    #[test]
    fn what_is_masked_is_far_and_rows_without_a_maximum_are_far_throughout() {
        let special =
            [0.0, -0.0, f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -1e9, f32::MIN, f32::MAX, 1e-40];
        for n in [1, 2, 3, 16, 17, 40] {
            for (a, b) in special.iter().flat_map(|&a| special.iter().map(move |&b| (a, b))) {
                // 17 rows of a, among which b comes once at another place each.
                let x: Vec<f32> = (0..17 * n).map(|i| if i % n == i / n % n { b } else { a }).collect();
                let expected: Vec<u8> = x.chunks(n).flat_map(|x| plain(x, 40.8)).collect();
                for k in available().into_iter().filter_map(Kernels::new) {
                    let mut y = vec![9; x.len()];
                    distances(k, &x, n, 40.8, &mut y);
                    assert_eq!(y, expected, "{}: {a}, {b}, {n}", k.isa());
                }
            }
        }
    }

    #[test]
    fn rows_are_weighed_by_their_sums_and_nothing_else_is_touched() {
        let sums = [255, 1, 0, i32::MAX, 65_537, 16_777_217];
        for n in (0..40).chain([64, 100]) {
            for stride in [n, n + 3] {
                let x: Vec<f32> = (0..sums.len() * stride + 5).map(|i| (i * 37 % 41) as f32 - 20.0).collect();
                let mut expected = x.clone();
                for (row, &sum) in sums.iter().enumerate() {
                    expected[row * stride..][..n].iter_mut().for_each(|x| *x *= 0.037 / sum as f32);
                }
                for k in available().into_iter().filter_map(Kernels::new) {
                    let mut y = x.clone();
                    weigh(k, &mut y, stride, n, 0.037, &sums);
                    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                    assert!(y.iter().zip(&expected).all(same), "{}: {n}, {stride}", k.isa());
                }
            }
        }
    }

    #[test]
    fn rows_that_leave_the_data_are_refused() {
        let is_refused = |f: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
        let k = Kernels::best();
        assert!(is_refused(&|| distances(k, &[0.0; 6], 4, 1.0, &mut [0; 6])));
        assert!(is_refused(&|| distances(k, &[0.0; 6], 3, 1.0, &mut [0; 5])));
        let masked = |stride, row| mask(k, &mut [0.0; 6], 3, &Mask { data: &[0.0; 6], stride, row });
        assert!(!is_refused(&|| masked(3, 3)));
        assert!(is_refused(&|| masked(4, 3)));
        assert!(is_refused(&|| masked(0, 2)));
        assert!(is_refused(&|| weigh(k, &mut [0.0; 6], 4, 3, 1.0, &[1; 2])));
        assert!(!is_refused(&|| weigh(k, &mut [0.0; 7], 4, 3, 1.0, &[1; 2])));
    }
}
