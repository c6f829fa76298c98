//! Between float32 and int16, between int16 and bytes, between two scales of int16, and tables over all int16.

use std::ops::Range;

use super::elementwise::MulParams;
use crate::isa::{Entry, Has};
use crate::requantize::words::{ROUND_F32, Scale, assert_clamp, assert_factor};

/// Entries of a table.
pub const ENTRIES: usize = 1 << 16;

type RunQuantize = unsafe fn(&[f32], f32, &mut [i16]);
type RunQuantizeChannelsLast = unsafe fn(&[f32], usize, usize, f32, &mut [i16]);
type RunDequantize = unsafe fn(&[i16], f32, &mut [f32]);
type RunRequantize = unsafe fn(&[i16], &MulParams, &mut [i16]);
type RunWiden = unsafe fn(&[u8], i32, &MulParams, &mut [i16]);
type RunNarrow = unsafe fn(&[i16], &MulParams, i32, &mut [u8]);
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
    /// See [`widen`].
    pub widen: Entry<RunWiden>,
    /// See [`narrow`], whose bounds are less the zero point.
    pub narrow: Entry<RunNarrow>,
    /// See [`lookup`].
    pub lookup: Entry<RunLookup>,
}

crate::plain::fused_tiers!(Entries {
    quantize(x: &[f32], scale: f32, out: &mut [i16]) = quantize_source as "f32i16-quantize";
    quantize_channels_last(x: &[f32], plane: usize, channels: usize, scale: f32, out: &mut [i16])
        = quantize_channels_last_source as "f32i16-quantize-channels-last";
    dequantize(x: &[i16], scale: f32, out: &mut [f32]) = dequantize_source as "i16f32-dequantize";
    requantize(x: &[i16], by: &MulParams, out: &mut [i16]) = requantize_source as "i16-requantize";
    widen(x: &[u8], zero_point: i32, by: &MulParams, out: &mut [i16]) = widen_source as "u8i16-requantize";
    narrow(x: &[i16], by: &MulParams, zero_point: i32, out: &mut [u8]) = narrow_source as "i16u8-requantize";
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

/// The integers of another scale, of bytes with a zero point. Panics where the lengths differ or a parameter breaks its bounds.
pub fn widen(k: impl Has<Entries>, x: &[u8], zero_point: i32, by: &MulParams, out: &mut [i16]) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    assert_byte(zero_point);
    assert_factor(by.multiplier, by.shift);
    assert_clamp(by.lo, by.hi);
    // SAFETY: `k` proves the tier; the slices have one length.
    unsafe { (k.entries().widen.code())(x, zero_point, by, out) }
}

/// The integers of another scale, as bytes with a zero point: `clamp(zero_point + .., lo, hi)`. Panics where the lengths differ
/// or a parameter breaks its bounds.
pub fn narrow(k: impl Has<Entries>, x: &[i16], by: &MulParams, zero_point: i32, out: &mut [u8]) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    assert_factor(by.multiplier, by.shift);
    [zero_point, by.lo, by.hi].into_iter().for_each(assert_byte);
    assert!(by.lo <= by.hi, "clamp to {}..={}", by.lo, by.hi);
    let by = MulParams { lo: by.lo - zero_point, hi: by.hi - zero_point, ..*by };
    // SAFETY: `k` proves the tier; the slices have one length.
    unsafe { (k.entries().narrow.code())(x, &by, zero_point, out) }
}

/// Panics unless a byte holds the number.
fn assert_byte(number: i32) {
    assert!((0..=255).contains(&number), "{number} is not in 0..=255");
}

/// `table[x + 32768]`. Panics where the lengths differ.
pub fn lookup(k: impl Has<Entries>, x: &[i16], table: &[i16; ENTRIES], out: &mut [i16]) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    // SAFETY: `k` proves the tier; the slices have one length.
    unsafe { (k.entries().lookup.code())(x, table, out) }
}

/// The clamp comes before the rounding, which keeps order and leaves integers alone.
#[inline(always)]
fn quantized(x: f32, scale: f32) -> i16 {
    let quotient = x / scale;
    let quotient = if quotient.is_nan() { 0.0 } else { quotient };
    let quotient = if quotient > -32_767.0 { quotient } else { -32_767.0 };
    let quotient = if quotient < 32_767.0 { quotient } else { 32_767.0 };
    (quotient + ROUND_F32).to_bits() as i16
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
        *out = scale.apply_word(i32::from(x)) as i16;
    }
}

#[inline(always)]
fn widen_source<const FUSED: bool>(x: &[u8], zero_point: i32, by: &MulParams, out: &mut [i16]) {
    let scale = Scale::<FUSED>::new(by.multiplier, by.shift, by.lo, by.hi);
    for (&x, out) in x.iter().zip(out) {
        *out = scale.apply_word(i32::from(x) - zero_point) as i16;
    }
}

#[inline(always)]
fn narrow_source<const FUSED: bool>(x: &[i16], by: &MulParams, zero_point: i32, out: &mut [u8]) {
    let scale = Scale::<FUSED>::new(by.multiplier, by.shift, by.lo, by.hi);
    for (&x, out) in x.iter().zip(out) {
        *out = (scale.apply_word(i32::from(x)) + zero_point) as u8;
    }
}

#[inline(always)]
fn lookup_source<const FUSED: bool>(x: &[i16], table: &[i16; ENTRIES], out: &mut [i16]) {
    for (&x, out) in x.iter().zip(out) {
        *out = table[usize::from(x as u16 ^ 0x8000)];
    }
}
