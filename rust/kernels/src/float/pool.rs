//! Pools over one NHWC image: a chain over the window, rows first, then columns.

use std::ops::Range;

use super::Geometry;
use super::math::maximum;
use crate::isa::Kernels;

/// The largest element of each window, padding left out; NaN if one is. A window of padding alone gives -infinity.
///
/// `x` is the whole image, `[h, w, c]`; `out` holds the output rows `rows` alone, `[rows.len(), ow, c]`.
pub fn max_pool(k: Kernels, x: &[f32], geometry: &Geometry, rows: Range<usize>, out: &mut [f32]) {
    geometry.check(x, &rows, out);
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.max_pool.run)(x, geometry, rows, out) }
}

/// The mean of each window: the sum of the elements inside the image, from +0, divided by the count.
///
/// The count is of the elements inside; with `padding_counts`, the explicit padding at the bottom and at the right, it
/// is of those inside the padded image (ONNX's count_include_pad). Slices as in [`max_pool`].
pub fn average_pool(
    k: Kernels,
    x: &[f32],
    geometry: &Geometry,
    padding_counts: Option<[usize; 2]>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    geometry.check(x, &rows, out);
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.average_pool.run)(x, geometry, padding_counts, rows, out) }
}

/// Folds each window's pixels into its output pixel, then finishes the pixel, given its row and column.
#[inline(always)]
fn pool(
    x: &[f32],
    geometry: &Geometry,
    rows: Range<usize>,
    out: &mut [f32],
    start: f32,
    fold: impl Fn(f32, f32) -> f32,
    finish: impl Fn(usize, usize, &mut [f32]),
) {
    let (w, c, ow) = (geometry.w, geometry.c, geometry.ow);
    if c == 0 || ow == 0 {
        return;
    }
    for (y, out) in rows.zip(out.chunks_exact_mut(ow * c)) {
        for (x_out, out) in out.chunks_exact_mut(c).enumerate() {
            out.fill(start);
            for row in (0..geometry.kernel[0]).filter_map(|i| geometry.input_row(y, i)) {
                for column in (0..geometry.kernel[1]).filter_map(|j| geometry.input_column(x_out, j)) {
                    let pixel = &x[(row * w + column) * c..][..c];
                    for (out, &value) in out.iter_mut().zip(pixel) {
                        *out = fold(*out, value);
                    }
                }
            }
            finish(y, x_out, out);
        }
    }
}

#[inline(always)]
pub(super) fn max_kernel(x: &[f32], geometry: &Geometry, rows: Range<usize>, out: &mut [f32]) {
    pool(x, geometry, rows, out, f32::NEG_INFINITY, maximum, |_, _, _| {});
}

/// How many of the window's positions along one axis count: those below `end`, of the padding before too if it counts.
#[inline(always)]
fn counted(geometry: &Geometry, axis: usize, out: usize, end: usize, padding_counts: bool) -> usize {
    let first = out * geometry.stride[axis];
    let pad = geometry.pad[axis];
    (0..geometry.kernel[axis])
        .map(|i| first + i * geometry.dilation[axis])
        .filter(|&position| (padding_counts || position >= pad) && position < pad + end)
        .count()
}

#[inline(always)]
pub(super) fn average_kernel(
    x: &[f32],
    geometry: &Geometry,
    padding_counts: Option<[usize; 2]>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let counts = padding_counts.is_some();
    let [bottom, right] = padding_counts.unwrap_or_default();
    pool(
        x,
        geometry,
        rows,
        out,
        0.0,
        |a, b| a + b,
        |y, x, pixel| {
            let high = counted(geometry, 0, y, geometry.h + bottom, counts);
            let wide = counted(geometry, 1, x, geometry.w + right, counts);
            let count = (high * wide) as f32;
            pixel.iter_mut().for_each(|value| *value /= count);
        },
    );
}
