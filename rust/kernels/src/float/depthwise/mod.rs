//! Depthwise convolution of one NHWC image: every channel has its own window of weights.

mod arguments;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod narrow;
mod plain;
#[cfg(test)]
mod tests;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tile;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vector;

use std::ops::Range;

use super::epilogue::{Epilogue, Residual};
use super::unary;
use crate::geometry::Window;
use crate::isa::{Entry, Has, code};
use arguments::Arguments;

type Run = unsafe fn(&Arguments<'_>, &mut [f32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// Depthwise convolutions.
    pub depthwise: Entry<Run>,
}

pub(crate) const SCALAR: Entries =
    Entries { depthwise: Entry { name: "scalar-f32-depthwise", code: Some(plain::kernel) } };
pub(crate) const AVX2: Entries =
    Entries { depthwise: Entry { name: "avx2-f32-depthwise", code: code!("x86_64": tile::avx2) } };
pub(crate) const AVX512VNNI: Entries =
    Entries { depthwise: Entry { name: "avx512vnni-f32-depthwise", code: code!("x86_64": tile::avx512) } };
pub(crate) const NEON: Entries =
    Entries { depthwise: Entry { name: "neon-f32-depthwise", code: code!("aarch64": tile::neon) } };

/// `y[c] = epilogue(chain over the window of x[c] * w[c])`, from +0, rows first. Padding takes part as x = +0.
///
/// `x`: the whole image, `[h, w, c]`; `weights`: `[kernel rows * kernel columns][c]`; `out`: the output rows `rows`
/// alone, `[rows.len(), ow, c]`; the epilogue's rows are their pixels.
pub fn run<K: Has<Entries> + Has<unary::Entries>>(
    k: K,
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
    unsafe { (Has::<Entries>::entries(k).depthwise.code())(&arguments, out) }
    if let Some(function) = after {
        unary::run_in_place(k, function, out);
    }
}
