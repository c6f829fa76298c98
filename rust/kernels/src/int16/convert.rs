//! Between float32 and int16, between two scales of int16, and tables over all int16.

use std::ops::Range;

use super::elementwise::MulParams;
use super::rule::{Scale, assert_clamp, assert_factor};
use crate::isa::{Entry, Has};

/// Entries of a table.
pub const ENTRIES: usize = 1 << 16;

type RunQuantize = unsafe fn(&[f32], f32, &mut [i16]);
type RunQuantizeChannelsLast = unsafe fn(&[f32], usize, usize, f32, &mut [i16]);
type RunDequantize = unsafe fn(&[i16], f32, &mut [f32]);
type RunRequantize = unsafe fn(&[i16], &MulParams, &mut [i16]);
type RunLookup = unsafe fn(&[i16], &[i16; ENTRIES], &mut [i16]);

/// One tier's kernels. Each asks for slices of one length.
#[derive(Debug)]
pub struct Entries {
    /// See [`quantize`].
    pub quantize: Entry<RunQuantize>,
    /// See [`quantize_channels_last`], whose pixels are those from the first of `x` on.
    pub quantize_channels_last: Entry<RunQuantizeChannelsLast>,
    /// See [`dequantize`].
    pub dequantize: Entry<RunDequantize>,
    /// See [`requantize`].
    pub requantize: Entry<RunRequantize>,
    /// See [`lookup`].
    pub lookup: Entry<RunLookup>,
}

crate::plain::fused_tiers!(Entries {
    quantize(x: &[f32], scale: f32, out: &mut [i16]) = quantize_source as "f32i16-quantize";
    quantize_channels_last(x: &[f32], plane: usize, channels: usize, scale: f32, out: &mut [i16])
        = quantize_channels_last_source as "f32i16-quantize-channels-last";
    dequantize(x: &[i16], scale: f32, out: &mut [f32]) = dequantize_source as "i16f32-dequantize";
    requantize(x: &[i16], by: &MulParams, out: &mut [i16]) = requantize_source as "i16-requantize";
    lookup(x: &[i16], table: &[i16; ENTRIES], out: &mut [i16]) = lookup_source as "i16-lookup";
});

/// `clamp(rne(x / scale), -32767, 32767)`; NaN gives 0. Panics where the lengths differ.
pub fn quantize(k: impl Has<Entries>, x: &[f32], scale: f32, out: &mut [i16]) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    // SAFETY: `k` proves the tier; the slices have one length.
    unsafe { (k.entries().quantize.code())(x, scale, out) }
}

/// [`quantize`] of some pixels of an image `[channels][plane]`, written `[pixel][channel]`. Panics where lengths differ.
pub fn quantize_channels_last(
    k: impl Has<Entries>,
    x: &[f32],
    [channels, plane]: [usize; 2],
    pixels: Range<usize>,
    scale: f32,
    out: &mut [i16],
) {
    assert_eq!(Some(x.len()), channels.checked_mul(plane), "the length of the image");
    assert!(pixels.start <= pixels.end && pixels.end <= plane, "pixels {pixels:?} of {plane}");
    assert_eq!(out.len(), pixels.len() * channels, "the length of the output");
    // SAFETY: `k` proves the tier; the lengths are checked.
    unsafe { (k.entries().quantize_channels_last.code())(&x[pixels.start..], plane, channels, scale, out) }
}

/// `scale * x`. Panics where the lengths differ.
pub fn dequantize(k: impl Has<Entries>, x: &[i16], scale: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    // SAFETY: `k` proves the tier; the slices have one length.
    unsafe { (k.entries().dequantize.code())(x, scale, out) }
}

/// The integers of another scale. Panics where the lengths differ or a parameter breaks its bounds.
pub fn requantize(k: impl Has<Entries>, x: &[i16], by: &MulParams, out: &mut [i16]) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    assert_factor(by.multiplier, by.shift);
    assert_clamp(by.lo, by.hi);
    // SAFETY: `k` proves the tier; the slices have one length.
    unsafe { (k.entries().requantize.code())(x, by, out) }
}

/// `table[x + 32768]`. Panics where the lengths differ.
pub fn lookup(k: impl Has<Entries>, x: &[i16], table: &[i16; ENTRIES], out: &mut [i16]) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    // SAFETY: `k` proves the tier; the slices have one length.
    unsafe { (k.entries().lookup.code())(x, table, out) }
}

/// Adding this to a float32 of at most 2^22 in magnitude rounds it to an integer, ties to even, which then stands in the
/// low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// The clamp comes before the rounding, which keeps order and leaves integers alone.
#[inline(always)]
fn quantized(x: f32, scale: f32) -> i16 {
    let quotient = x / scale;
    let quotient = if quotient.is_nan() { 0.0 } else { quotient };
    let quotient = if quotient > -32_767.0 { quotient } else { -32_767.0 };
    let quotient = if quotient < 32_767.0 { quotient } else { 32_767.0 };
    (quotient + ROUND).to_bits() as i16
}

#[inline(always)]
fn quantize_source<const FUSED: bool>(x: &[f32], scale: f32, out: &mut [i16]) {
    for (&x, out) in x.iter().zip(out) {
        *out = quantized(x, scale);
    }
}

#[inline(always)]
fn quantize_channels_last_source<const FUSED: bool>(
    x: &[f32],
    plane: usize,
    channels: usize,
    scale: f32,
    out: &mut [i16],
) {
    if channels == 3 {
        return quantize_colours(x, plane, scale, out);
    }
    quantize_any_channels(x, plane, channels, scale, out);
}

/// Of three channels, whose loop the compiler vectorises.
#[inline(always)]
fn quantize_colours(x: &[f32], plane: usize, scale: f32, out: &mut [i16]) {
    let pixels = out.len() / 3;
    let [red, green, blue] = [0, 1, 2].map(|channel| &x[channel * plane..][..pixels]);
    for (pixel, out) in out.chunks_exact_mut(3).enumerate() {
        out[0] = quantized(red[pixel], scale);
        out[1] = quantized(green[pixel], scale);
        out[2] = quantized(blue[pixel], scale);
    }
}

/// A block of pixels at a time, channel by channel: the quotients are computed where they lie beside each other.
#[inline(always)]
fn quantize_any_channels(x: &[f32], plane: usize, channels: usize, scale: f32, out: &mut [i16]) {
    const BLOCK: usize = 64;
    for (block, out) in out.chunks_mut(BLOCK * channels.max(1)).enumerate() {
        let pixels = out.len() / channels.max(1);
        for channel in 0..channels {
            let x = &x[channel * plane + block * BLOCK..][..pixels];
            let mut made = [0; BLOCK];
            quantize_source::<true>(x, scale, &mut made[..pixels]);
            for (out, made) in out[channel..].iter_mut().step_by(channels).zip(made) {
                *out = made;
            }
        }
    }
}

#[inline(always)]
fn dequantize_source<const FUSED: bool>(x: &[i16], scale: f32, out: &mut [f32]) {
    for (&x, out) in x.iter().zip(out) {
        *out = scale * f32::from(x);
    }
}

#[inline(always)]
fn requantize_source<const FUSED: bool>(x: &[i16], by: &MulParams, out: &mut [i16]) {
    let scale = Scale::<FUSED>::new(by.multiplier, by.shift, by.lo, by.hi);
    for (&x, out) in x.iter().zip(out) {
        *out = scale.apply_short(i32::from(x));
    }
}

#[inline(always)]
fn lookup_source<const FUSED: bool>(x: &[i16], table: &[i16; ENTRIES], out: &mut [i16]) {
    for (&x, out) in x.iter().zip(out) {
        *out = table[usize::from(x as u16 ^ 0x8000)];
    }
}
