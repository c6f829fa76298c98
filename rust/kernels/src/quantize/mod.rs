//! Between float32 and integers, and from one uint8 scale to another.

mod plain;
mod rows;
#[cfg(test)]
mod tests;
mod tiers;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vector;
pub mod weights;

use std::ops::Range;

use crate::isa::{Entry, Has};
use crate::requantize::requantize;

pub(crate) use plain::SCALAR;
pub use rows::{Ends, NOTHING, scale_of, union};
pub(crate) use tiers::{AVX2, AVX512VNNI, NEON};

type RunQuantize = unsafe fn(&[f32], f32, i32, &mut [u8]);
/// The planes from the first pixel on, their distance, channels, scale, zero point, pixels.
type RunChannelsLast = unsafe fn(&[f32], usize, usize, f32, i32, &mut [u8]);
/// Scales and zero points, which begin anew where they end.
type RunToGrids = unsafe fn(&[f32], &[f32], &[f32], &mut [u8]);
/// The planes from the first pixel on, their distance, a scale and a zero point a channel, pixels.
type RunChannelsLastToGrids = unsafe fn(&[f32], usize, &[f32], &[f32], &mut [u8]);
/// Rows, their scales and zero points, the result.
type RunQuantizeRows = unsafe fn(&[f32], &mut [f32], &mut [u8], &mut [u8]);
/// The ends that are widened.
type RunRange = unsafe fn(&[f32], &mut Ends);
type RunDequantize = unsafe fn(&[u8], f32, i32, &mut [f32]);

/// One tier's conversions.
#[derive(Debug)]
pub struct Entries {
    /// See [`quantize`].
    pub quantize: Entry<RunQuantize>,
    /// See [`quantize_channels_last`].
    pub quantize_channels_last: Entry<RunChannelsLast>,
    /// See [`quantize_to_grids`].
    pub quantize_to_grids: Entry<RunToGrids>,
    /// See [`quantize_channels_last_to_grids`].
    pub quantize_channels_last_to_grids: Entry<RunChannelsLastToGrids>,
    /// See [`quantize_rows`].
    pub quantize_rows: Entry<RunQuantizeRows>,
    /// See [`range`].
    pub range: Entry<RunRange>,
    /// See [`dequantize`].
    pub dequantize: Entry<RunDequantize>,
}

/// From one scale to another: `requantize(x - x_zero_point, multiplier, shift, y_zero_point, lo, hi)`.
#[derive(Clone, Copy, Debug)]
pub struct RequantizeParams {
    /// In `0..=255`.
    pub x_zero_point: i32,
    /// In `0..=255`.
    pub y_zero_point: i32,
    /// The requantization's multiplier.
    pub multiplier: i32,
    /// The requantization's shift, in `1..=62`.
    pub shift: u32,
    /// The smallest output.
    pub lo: i32,
    /// The largest output.
    pub hi: i32,
}

/// `clamp(rne(x / scale) + zero_point, 0, 255)` in float32 with a true division; NaN gives the zero point, infinities
/// clamp. Panics where the lengths differ or the zero point is not in `0..=255`.
pub fn quantize(k: impl Has<Entries>, x: &[f32], scale: f32, zero_point: i32, out: &mut [u8]) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    assert!((0..=255).contains(&zero_point), "zero point {zero_point}");
    // SAFETY: `k` proves the tier.
    unsafe { (k.entries().quantize.code())(x, scale, zero_point, out) }
}

/// Quantizes some pixels of one image `[channels, plane]` and puts their channels last:
/// `out[(p - pixels.start) * channels + c] = q(x[c * plane + p])`. Panics where a length differs.
pub fn quantize_channels_last(
    k: impl Has<Entries>,
    x: &[f32],
    channels: usize,
    plane: usize,
    pixels: Range<usize>,
    scale: f32,
    zero_point: i32,
    out: &mut [u8],
) {
    check_planes(x, channels, plane, &pixels, out);
    assert!((0..=255).contains(&zero_point), "zero point {zero_point}");
    if !out.is_empty() {
        let run = k.entries().quantize_channels_last.code();
        // SAFETY: `k` proves the tier.
        unsafe { run(&x[pixels.start..], plane, channels, scale, zero_point, out) }
    }
}

fn check_planes(x: &[f32], channels: usize, plane: usize, pixels: &Range<usize>, out: &[u8]) {
    assert_eq!(Some(x.len()), channels.checked_mul(plane), "the length of {channels} planes of {plane}");
    assert!(pixels.start <= pixels.end && pixels.end <= plane, "pixels {pixels:?} of {plane}");
    assert_eq!(Some(out.len()), channels.checked_mul(pixels.len()), "the length of the output");
}

/// `clamp(rne(x / scale + zero), 0, 255)` in float32 with a true division, where the zero point may be any finite number; NaN
/// gives `clamp(rne(zero), 0, 255)`, infinities clamp. Element `i` has the scale and the zero point at `i` modulo their
/// number. Panics where lengths differ or there are no scales.
pub fn quantize_to_grids(k: impl Has<Entries>, x: &[f32], scale: &[f32], zero: &[f32], out: &mut [u8]) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    check_grids(scale, zero);
    // SAFETY: `k` proves the tier.
    unsafe { (k.entries().quantize_to_grids.code())(x, scale, zero, out) }
}

/// [`quantize_channels_last`] by the rule of [`quantize_to_grids`], with a scale and a zero point a channel.
pub fn quantize_channels_last_to_grids(
    k: impl Has<Entries>,
    x: &[f32],
    plane: usize,
    pixels: Range<usize>,
    scale: &[f32],
    zero: &[f32],
    out: &mut [u8],
) {
    check_planes(x, scale.len(), plane, &pixels, out);
    check_grids(scale, zero);
    if !out.is_empty() {
        let run = k.entries().quantize_channels_last_to_grids.code();
        // SAFETY: `k` proves the tier.
        unsafe { run(&x[pixels.start..], plane, scale, zero, out) }
    }
}

fn check_grids(scale: &[f32], zero: &[f32]) {
    assert!(!scale.is_empty() && scale.len() == zero.len(), "{} scales, {} zeros", scale.len(), zero.len());
    debug_assert!(zero.iter().all(|zero| zero.is_finite()), "zero points {zero:?}");
}

/// The range of `x`.
pub fn range(k: impl Has<Entries>, x: &[f32]) -> Ends {
    let mut ends = NOTHING;
    // SAFETY: `k` proves the tier.
    unsafe { (k.entries().range.code())(x, &mut ends) };
    ends
}

/// Quantizes rows, each by the scale and zero point of its own range, which become those at its place: as
/// [`quantize`] does it. There are as many rows as scales.
///
/// # Panics
/// Where there is not a zero point a scale, or rows do not come out even.
pub fn quantize_rows(
    k: impl Has<Entries>,
    x: &[f32],
    scales: &mut [f32],
    zero_points: &mut [u8],
    out: &mut [u8],
) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    assert_eq!(scales.len(), zero_points.len(), "a zero point a scale");
    assert!(x.len().is_multiple_of(scales.len().max(1)), "{} elements, {} rows", x.len(), scales.len());
    // SAFETY: `k` proves the tier.
    unsafe { (k.entries().quantize_rows.code())(x, scales, zero_points, out) }
}

/// `scale * (x - zero_point)` in float32. Panics where the lengths differ.
pub fn dequantize(k: impl Has<Entries>, x: &[u8], scale: f32, zero_point: i32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    assert!((0..=255).contains(&zero_point), "zero point {zero_point}");
    // SAFETY: `k` proves the tier.
    unsafe { (k.entries().dequantize.code())(x, scale, zero_point, out) }
}

/// From one scale to another: the answer for each of the 256 bytes, a table for lookups. Panics where parameters break
/// their bounds.
pub fn requantize_table(p: &RequantizeParams) -> [u8; 256] {
    assert!((0..=255).contains(&p.x_zero_point) && (0..=255).contains(&p.y_zero_point), "{p:?}");
    assert!((1..=62).contains(&p.shift) && p.multiplier > i32::MIN, "{p:?}");
    assert!(0 <= p.lo && p.lo <= p.hi && p.hi <= 255, "{p:?}");
    std::array::from_fn(|x| {
        let acc = x as i32 - p.x_zero_point;
        requantize(acc, p.multiplier, p.shift, p.y_zero_point, p.lo, p.hi)
    })
}
