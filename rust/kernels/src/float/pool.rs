//! Pools over one NHWC image: a chain over the window, rows first, then columns.

use std::ops::Range;

use super::math::maximum;
use crate::geometry::Window;
use crate::isa::Kernels;

/// The largest element of each window, padding left out; NaN if one is. A window of padding alone gives -infinity.
///
/// `x` is the whole image, `[h, w, c]`; `out` holds the output rows `rows` alone, `[rows.len(), ow, c]`.
pub fn max_pool(k: Kernels, x: &[f32], window: &Window, rows: Range<usize>, out: &mut [f32]) {
    window.assert_slices(x, &rows, out);
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.max_pool.run)(x, window, rows, out) }
}

/// The mean of each window: the sum of the elements inside the image, from +0, divided by the count.
///
/// The count is of the elements inside; with `padding_counts`, the explicit padding at the bottom and at the right, it
/// is of those inside the padded image (ONNX's count_include_pad). Slices as in [`max_pool`].
pub fn average_pool(
    k: Kernels,
    x: &[f32],
    window: &Window,
    padding_counts: Option<[usize; 2]>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    window.assert_slices(x, &rows, out);
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.average_pool.run)(x, window, padding_counts, rows, out) }
}

/// Folds each window's pixels into its output pixel, then finishes the pixel, given its row and column.
#[inline(always)]
fn pool(
    x: &[f32],
    window: &Window,
    rows: Range<usize>,
    out: &mut [f32],
    start: f32,
    fold: impl Fn(f32, f32) -> f32,
    finish: impl Fn(usize, usize, &mut [f32]),
) {
    let (c, width) = (window.channels, window.output[1]);
    if c == 0 || width == 0 {
        return;
    }
    for (y, out) in rows.zip(out.chunks_exact_mut(width * c)) {
        let vertical = window.taps_inside(0, y);
        for (column, out) in out.chunks_exact_mut(c).enumerate() {
            out.fill(start);
            let horizontal = window.taps_inside(1, column);
            for i in vertical.clone() {
                for j in horizontal.clone() {
                    let pixel = &x[window.tap(y, column, i, j)..][..c];
                    for (out, &value) in out.iter_mut().zip(pixel) {
                        *out = fold(*out, value);
                    }
                }
            }
            finish(y, column, out);
        }
    }
}

#[inline(always)]
pub(super) fn max_kernel(x: &[f32], window: &Window, rows: Range<usize>, out: &mut [f32]) {
    pool(x, window, rows, out, f32::NEG_INFINITY, maximum, |_, _, _| {});
}

#[inline(always)]
pub(super) fn average_kernel(
    x: &[f32],
    window: &Window,
    padding_counts: Option<[usize; 2]>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let count = |axis: usize, output: usize| match padding_counts {
        // No tap lies before the padding.
        Some(end) => window.taps_below(axis, output, (window.input[axis] + end[axis]) as isize),
        None => window.taps_inside(axis, output).len(),
    };
    pool(
        x,
        window,
        rows,
        out,
        0.0,
        |a, b| a + b,
        |y, x, pixel| {
            let count = (count(0, y) * count(1, x)) as f32;
            pixel.iter_mut().for_each(|value| *value /= count);
        },
    );
}
