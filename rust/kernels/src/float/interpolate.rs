//! Interpolation along one axis: each output a chain of fused multiply-adds over its taps, from +0.

use std::ops::Range;

use crate::isa::Kernels;

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
pub fn run(k: Kernels, x: &[f32], inner: usize, taps: &Taps<'_>, rows: Range<usize>, out: &mut [f32]) {
    assert!(inner > 0 && x.len().is_multiple_of(inner), "input");
    assert!(rows.start <= rows.end && rows.end < taps.starts.len(), "rows");
    assert_eq!(Some(out.len()), inner.checked_mul(rows.len()), "output");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.interpolate.run)(x, inner, taps, rows, out) }
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
