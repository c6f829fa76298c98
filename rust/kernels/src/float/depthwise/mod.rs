//! Depthwise convolution of one NHWC image: every channel has its own window of weights.

pub(super) mod plain;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vector;
#[cfg(target_arch = "x86_64")]
pub(super) mod x86;

use std::ops::Range;

use crate::geometry::Window;
use crate::isa::Kernels;

/// What a depthwise kernel reads.
#[derive(Debug)]
pub struct Arguments<'a> {
    x: &'a [f32],
    weights: &'a [f32],
    window: &'a Window,
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
    window: &Window,
    bias: Option<&[f32]>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    window.assert_slices(x, &rows, out);
    assert_eq!(weights.len(), window.kernel[0] * window.kernel[1] * window.channels, "weights");
    assert!(bias.is_none_or(|bias| bias.len() == window.channels), "bias");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.depthwise.run)(&Arguments { x, weights, window, bias, rows }, out) }
}
