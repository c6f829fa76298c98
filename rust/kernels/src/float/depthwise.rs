//! Depthwise convolution of one NHWC image: every channel has its own window of weights.

use std::ops::Range;

use super::Geometry;
use crate::isa::Kernels;

/// Channels accumulated at once.
const LANES: usize = 16;

/// What a depthwise kernel reads.
#[derive(Debug)]
pub struct Arguments<'a> {
    x: &'a [f32],
    weights: &'a [f32],
    geometry: &'a Geometry,
    bias: Option<&'a [f32]>,
    rows: Range<usize>,
}

/// `y[c] = chain over the window of x[c] * w[c]`, from +0, rows first; then `+ bias[c]`. Padding takes part as x = +0.
///
/// `x`: the whole image, `[h, w, c]`; `weights`: `[kernel rows * kernel columns][c]`; `out`: the output rows `rows`
/// alone, `[rows.len(), ow, c]`.
pub fn run(
    k: Kernels,
    x: &[f32],
    weights: &[f32],
    geometry: &Geometry,
    bias: Option<&[f32]>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    geometry.check(x, &rows, out);
    assert_eq!(weights.len(), geometry.kernel[0] * geometry.kernel[1] * geometry.c, "weights");
    assert!(bias.is_none_or(|bias| bias.len() == geometry.c), "bias");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.depthwise.run)(&Arguments { x, weights, geometry, bias, rows }, out) }
}

/// `width` (at most 16) channels of one output pixel, from channel `first` on.
#[inline(always)]
fn pixel(a: &Arguments<'_>, y: usize, x_out: usize, first: usize, width: usize, out: &mut [f32]) {
    let geometry = a.geometry;
    let c = geometry.c;
    let mut sum = [0.0f32; LANES];
    for i in 0..geometry.kernel[0] {
        let row = geometry.input_row(y, i);
        for j in 0..geometry.kernel[1] {
            let tap = i * geometry.kernel[1] + j;
            let weights = &a.weights[tap * c + first..][..width];
            let inside = row.zip(geometry.input_column(x_out, j));
            if let Some((row, column)) = inside {
                let x = &a.x[(row * geometry.w + column) * c + first..][..width];
                for ((sum, &x), &w) in sum.iter_mut().zip(x).zip(weights) {
                    *sum = x.mul_add(w, *sum);
                }
            } else {
                for (sum, &w) in sum.iter_mut().zip(weights) {
                    *sum = 0f32.mul_add(w, *sum);
                }
            }
        }
    }
    match a.bias {
        Some(bias) => {
            for ((y, sum), bias) in out.iter_mut().zip(sum).zip(&bias[first..]) {
                *y = sum + bias;
            }
        }
        None => out.copy_from_slice(&sum[..width]),
    }
}

#[inline(always)]
pub(super) fn kernel(a: &Arguments<'_>, out: &mut [f32]) {
    let (c, ow) = (a.geometry.c, a.geometry.ow);
    if c == 0 || ow == 0 {
        return;
    }
    for (y, out) in a.rows.clone().zip(out.chunks_exact_mut(ow * c)) {
        for (x_out, out) in out.chunks_exact_mut(c).enumerate() {
            let whole = c / LANES * LANES;
            for first in (0..whole).step_by(LANES) {
                pixel(a, y, x_out, first, LANES, &mut out[first..first + LANES]);
            }
            if whole < c {
                pixel(a, y, x_out, whole, c - whole, &mut out[whole..]);
            }
        }
    }
}
