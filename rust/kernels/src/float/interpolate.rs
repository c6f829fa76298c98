//! Interpolation along one axis: each output a chain of fused multiply-adds over its taps, from +0.

use std::ops::Range;

use crate::isa::{Entry, Has};

type Run = unsafe fn(&[f32], usize, &Taps<'_>, Range<usize>, &mut [f32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// Interpolation along an axis.
    pub interpolate: Entry<Run>,
}

crate::plain::plain_tiers!(Entries {
    interpolate(x: &[f32], inner: usize, taps: &Taps<'_>, rows: Range<usize>, out: &mut [f32]) = kernel as "f32-interpolate";
});

/// The taps of every output of an axis.
#[derive(Clone, Copy, Debug)]
pub struct Taps<'a> {
    /// Output i has the taps `starts[i]..starts[i + 1]`.
    pub starts: &'a [usize],
    /// Each tap's element of the axis.
    pub indices: &'a [usize],
    /// Each tap's weight.
    pub weights: &'a [f32],
}

/// Interpolates the first axis of x, `[n, inner]`: the outputs `rows` are written to `out`, `[rows.len(), inner]`.
pub fn run(
    k: impl Has<Entries>,
    x: &[f32],
    inner: usize,
    taps: &Taps<'_>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    assert!(inner > 0 && x.len().is_multiple_of(inner), "input");
    assert!(rows.start <= rows.end && rows.end < taps.starts.len(), "rows");
    assert_eq!(Some(out.len()), inner.checked_mul(rows.len()), "output");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().interpolate.code())(x, inner, taps, rows, out) }
}

/// `W` neighbouring elements of an output from the same ones of its taps, `inner` apart.
#[inline(always)]
fn block<const W: usize>(
    x: &[f32],
    inner: usize,
    first: usize,
    indices: &[usize],
    weights: &[f32],
) -> [f32; W] {
    let mut sums = [0.0; W];
    for (&i, &w) in indices.iter().zip(weights) {
        let x = &x[i * inner + first..][..W];
        for j in 0..W {
            sums[j] = x[j].mul_add(w, sums[j]);
        }
    }
    sums
}

#[inline(always)]
pub(super) fn kernel(x: &[f32], inner: usize, taps: &Taps<'_>, rows: Range<usize>, out: &mut [f32]) {
    for (row, out) in rows.zip(out.chunks_exact_mut(inner)) {
        let own = taps.starts[row]..taps.starts[row + 1];
        let (indices, weights) = (&taps.indices[own.clone()], &taps.weights[own]);
        let mut first = 0;
        while first + 64 <= inner {
            out[first..first + 64].copy_from_slice(&block::<64>(x, inner, first, indices, weights));
            first += 64;
        }
        while first + 16 <= inner {
            out[first..first + 16].copy_from_slice(&block::<16>(x, inner, first, indices, weights));
            first += 16;
        }
        while first + 4 <= inner {
            out[first..first + 4].copy_from_slice(&block::<4>(x, inner, first, indices, weights));
            first += 4;
        }
        while first < inner {
            out[first] = block::<1>(x, inner, first, indices, weights)[0];
            first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::table::Kernels;

    #[test]
    fn outputs_are_chains_over_their_taps() {
        // Outputs of no, one and several taps, some of one element twice.
        let starts = [0, 0, 1, 3, 7, 8, 12];
        let indices = [4, 0, 1, 2, 2, 3, 0, 5, 1, 4, 5, 0];
        let weights: Vec<f32> = (0..12).map(|i| (i * 37 % 11) as f32 / 7.0 - 0.6).collect();
        let taps = Taps { starts: &starts, indices: &indices, weights: &weights };
        for inner in (1..=84).chain([127, 128, 129, 150]) {
            let x: Vec<f32> = (0..6 * inner).map(|i| ((i * 7919 + 3) % 1009) as f32 / 373.0 - 1.25).collect();
            let output = |row: usize, j: usize| {
                let own = starts[row]..starts[row + 1];
                own.fold(0.0, |sum, tap| x[indices[tap] * inner + j].mul_add(weights[tap], sum))
            };
            for rows in [0..6, 2..5, 5..6, 3..3] {
                let expected: Vec<f32> = rows
                    .clone()
                    .flat_map(|row| (0..inner).map(move |j| (row, j)))
                    .map(|(r, j)| output(r, j))
                    .collect();
                for k in available().into_iter().filter_map(Kernels::new) {
                    let mut y = vec![9.0; expected.len()];
                    run(k, &x, inner, &taps, rows.clone(), &mut y);
                    let same = y.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{} {inner} {rows:?}", k.isa());
                }
            }
        }
    }

    #[test]
    fn rows_beyond_the_taps_are_refused() {
        let taps = Taps { starts: &[0, 1, 2], indices: &[0, 1], weights: &[1.0; 2] };
        let run = |rows: Range<usize>, out: usize| {
            let run = || run(Kernels::best(), &[1.0; 4], 2, &taps, rows, &mut vec![0.0; out]);
            std::panic::catch_unwind(run).is_err()
        };
        assert!(!run(0..2, 4) && run(0..3, 6) && run(0..2, 5) && run(1..2, 4));
    }
}
