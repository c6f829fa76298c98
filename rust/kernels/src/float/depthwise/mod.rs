//! Depthwise convolution of one NHWC image: every channel has its own window of weights.

pub(super) mod plain;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vector;
#[cfg(target_arch = "x86_64")]
pub(super) mod x86;

use std::ops::Range;

use super::epilogue::{Clamp, Epilogue, Residual};
use super::unary::run_in_place;
use crate::geometry::Window;
use crate::isa::Kernels;

/// What a depthwise kernel reads.
#[derive(Debug)]
pub struct Arguments<'a> {
    x: &'a [f32],
    weights: &'a [f32],
    window: &'a Window,
    bias: Option<&'a [f32]>,
    /// A tensor as long as the output.
    residual: Option<&'a [f32]>,
    clamp: Clamp,
    rows: Range<usize>,
}

/// `y[c] = epilogue(chain over the window of x[c] * w[c])`, from +0, rows first. Padding takes part as x = +0.
///
/// `x`: the whole image, `[h, w, c]`; `weights`: `[kernel rows * kernel columns][c]`; `out`: the output rows `rows`
/// alone, `[rows.len(), ow, c]`; the epilogue's rows are their pixels.
pub fn run(
    k: Kernels,
    x: &[f32],
    weights: &[f32],
    window: &Window,
    epilogue: &Epilogue<'_>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    window.assert_slices(x, &rows, out);
    assert_eq!(weights.len(), window.kernel[0] * window.kernel[1] * window.channels, "weights");
    if out.is_empty() {
        return;
    }
    epilogue.check(out.len() / window.channels, window.channels);
    let (clamp, after) = epilogue.split();
    let residual = epilogue.residual.map(|Residual { data, stride }| {
        assert_eq!(stride, window.channels, "a residual without gaps");
        data
    });
    let arguments = Arguments { x, weights, window, bias: epilogue.bias, residual, clamp, rows };
    // SAFETY: `k` proves that the CPU has the tier's features; the slices have the lengths that the window asks for.
    unsafe { (k.row().float.depthwise.run)(&arguments, out) }
    if let Some(function) = after {
        run_in_place(k, function, out);
    }
}
