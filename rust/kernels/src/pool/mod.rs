//! Pooling over one image in NHWC: max, average, and the mean of all pixels.

mod plain;
#[cfg(test)]
mod tests;
mod tiers;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vector;

use std::ops::Range;

pub use crate::geometry::Window;
use crate::isa::{Entry, Has};

pub(crate) use plain::SCALAR;
pub(crate) use tiers::{AVX2, AVX512VNNI, NEON};

/// The arithmetic of [`average_pool`]: the sum of `x - x_zero_point` over the taps inside the input, requantized by the
/// factor of the count.
#[derive(Clone, Copy, Debug)]
pub struct Average<'a> {
    /// In `0..=255`.
    pub x_zero_point: i32,
    /// In `0..=255`.
    pub y_zero_point: i32,
    /// The smallest output.
    pub lo: i32,
    /// The largest output.
    pub hi: i32,
    /// Multiplier and shift by count; entry 0 is never read (a window that counts nothing gives the zero point).
    pub factors: &'a [(i32, u32)],
    /// `None`: the count is that of the taps inside the input. `Some([bottom, right])`: it takes in the taps in the
    /// padding too, which is `pad` before and this much behind the input.
    pub count_include_pad: Option<[usize; 2]>,
}

/// The arithmetic of [`mean_rows`]: the sum of `x - x_zero_point` over all rows, requantized.
#[derive(Clone, Copy, Debug)]
pub struct Mean {
    /// In `0..=255`.
    pub x_zero_point: i32,
    /// Of the factor that takes in the division by the number of rows.
    pub multiplier: i32,
    /// In `1..=62`.
    pub shift: u32,
    /// In `0..=255`.
    pub y_zero_point: i32,
    /// The smallest output.
    pub lo: i32,
    /// The largest output.
    pub hi: i32,
}

/// The arithmetic of [`mean_rows_to_floats`]: the sum of `x - x_zero_point` over all rows as a float32, times the scale.
#[derive(Clone, Copy, Debug)]
pub struct FloatMean {
    /// In `0..=255`.
    pub x_zero_point: i32,
    /// Of the sum, which takes in the division by the number of rows.
    pub scale: f32,
}

type RunMax = unsafe fn(&[u8], &Window, Range<usize>, &mut [u8]);
type RunAverage = unsafe fn(&[u8], &Window, Range<usize>, &Average<'_>, &mut [u8]);
type RunMean = unsafe fn(&[u8], usize, &Mean, &mut [u8]);
type RunMeanToFloats = unsafe fn(&[u8], usize, &FloatMean, &mut [f32]);

/// One tier's pools. Each asks for what its safe function asserts.
#[derive(Debug)]
pub struct Entries {
    /// See [`max_pool_u8`].
    pub max: Entry<RunMax>,
    /// See [`average_pool`].
    pub average: Entry<RunAverage>,
    /// See [`mean_rows`].
    pub mean: Entry<RunMean>,
    /// See [`mean_rows_to_floats`].
    pub mean_to_floats: Entry<RunMeanToFloats>,
}

/// Max pool: some rows of the output image, from the whole input image. Padding never wins; a window that lies in the
/// padding alone gives 0. Panics where a length or the geometry breaks its bounds.
pub fn max_pool_u8(k: impl Has<Entries>, x: &[u8], window: &Window, rows: Range<usize>, out: &mut [u8]) {
    window.assert_slices(x, &rows, out);
    let run = k.entries().max.code();
    // SAFETY: `k` proves the tier; the lengths are checked, or follow from those that are.
    window.run_by_columns(x, rows, out, |x, window, rows, out| unsafe { run(x, window, rows, out) });
}

/// Average pool: some rows of the output image, from the whole input image. Panics where a length, the geometry or the
/// arithmetic breaks its bounds: a sum of all taps fits in int32, and every count that occurs has a factor.
pub fn average_pool(
    k: impl Has<Entries>,
    x: &[u8],
    window: &Window,
    rows: Range<usize>,
    average: &Average<'_>,
    out: &mut [u8],
) {
    window.assert_slices(x, &rows, out);
    assert_fits_int32(window.kernel[0].saturating_mul(window.kernel[1]));
    assert_arithmetic(average.x_zero_point, average.y_zero_point, average.lo, average.hi);
    assert!(average.factors.iter().skip(1).all(|&(_, shift)| (1..=62).contains(&shift)), "{average:?}");
    // SAFETY: `k` proves the tier; the lengths are checked.
    unsafe { (k.entries().average.code())(x, window, rows, average, out) }
}

/// The mean over the rows of `[rows, channels]`: global average pooling. Panics where a length or the arithmetic breaks
/// its bounds: a sum of all rows fits in int32.
pub fn mean_rows(k: impl Has<Entries>, x: &[u8], channels: usize, mean: &Mean, out: &mut [u8]) {
    assert_eq!(out.len(), channels, "the length of the output");
    if channels == 0 {
        return;
    }
    assert_rows(x, channels);
    assert_arithmetic(mean.x_zero_point, mean.y_zero_point, mean.lo, mean.hi);
    assert!((1..=62).contains(&mean.shift) && mean.multiplier > i32::MIN, "{mean:?}");
    // SAFETY: `k` proves the tier; the lengths are checked.
    unsafe { (k.entries().mean.code())(x, channels, mean, out) }
}

/// The mean over the rows of `[rows, channels]` in float32. Panics as [`mean_rows`] does.
pub fn mean_rows_to_floats(
    k: impl Has<Entries>,
    x: &[u8],
    channels: usize,
    mean: &FloatMean,
    out: &mut [f32],
) {
    assert_eq!(out.len(), channels, "the length of the output");
    if channels == 0 {
        return;
    }
    assert_rows(x, channels);
    assert!((0..=255).contains(&mean.x_zero_point), "{mean:?}");
    // SAFETY: `k` proves the tier; the lengths are checked.
    unsafe { (k.entries().mean_to_floats.code())(x, channels, mean, out) }
}

fn assert_rows(x: &[u8], channels: usize) {
    assert!(x.len().is_multiple_of(channels), "{} bytes are no rows of {channels}", x.len());
    assert_fits_int32(x.len() / channels);
}

fn assert_fits_int32(count: usize) {
    assert!(count.saturating_mul(255) < 1 << 31, "a sum of {count} values leaves int32");
}

fn assert_arithmetic(x_zero_point: i32, y_zero_point: i32, lo: i32, hi: i32) {
    assert!((0..=255).contains(&x_zero_point) && (0..=255).contains(&y_zero_point), "zero points");
    assert!(0 <= lo && lo <= hi && hi <= 255, "clamp to {lo}..={hi}");
}
