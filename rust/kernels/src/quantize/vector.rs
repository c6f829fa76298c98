//! Quantization in a tier's registers: element by element, and of planes that become pixels with their channels last.
//!
//! Planes go through 16 at a time, as many pixels of each as a register has lanes. The bytes of 4 channels meet in the
//! lanes of their pixels, by shifts; then 4 x 4 lanes are transposed, and each 128 bits hold 16 channels of one pixel. Of
//! three or four channels in all a lane is a pixel.

use super::plain::{
    PIECE, quantize_channels_last_source, quantize_channels_last_to_grids_source, quantize_source,
    quantize_to_grids_source,
};
use super::rows::rows_source;
use crate::simd::Vector;
use crate::unroll::unroll;

/// Channels that go through together; the last ones may overlap those before them.
const SIXTEEN: usize = 16;

/// Elements by one scale, four registers at a time; the last ones may overlap those before them.
///
/// # Safety
/// The CPU has the tier of `V`; the bounds that [`super::quantize`] asserts.
#[inline(always)]
pub(super) unsafe fn quantize<V: Vector>(x: &[f32], scale: f32, zero_point: i32, out: &mut [u8]) {
    if out.len() < V::BYTES {
        return quantize_source(x, scale, zero_point, out);
    }
    // SAFETY: the caller's promise; a register's bytes of elements from `at` on are there.
    unsafe {
        let (scale, zero) = (splat_float::<V>(scale), V::splat_words(zero_point as i16));
        // Quotients far below the bytes, or below int32, saturate; those above int32 would not.
        let most = splat_float::<V>(255.0);
        for at in (0..out.len()).step_by(V::BYTES) {
            let at = at.min(out.len() - V::BYTES);
            let x = x.as_ptr().add(at);
            let mut rounded = [zero; 4];
            unroll!(i in 4, {
                let quotient = V::load(x.add(i * V::LANES).cast()).div_floats(scale);
                rounded[i] = quotient.min_floats(most).where_number(quotient).to_integers();
            });
            let low = rounded[0].pack_words(rounded[1]).add_words(zero);
            let high = rounded[2].pack_words(rounded[3]).add_words(zero);
            low.pack_bytes(high).in_order().store_bytes(out.as_mut_ptr().add(at));
        }
    }
}

/// Rows, each by the scale and zero point of its own range.
///
/// # Safety
/// The CPU has the tier of `V`.
#[inline(always)]
pub(super) unsafe fn quantize_rows<V: Vector>(
    x: &[f32],
    scales: &mut [f32],
    zero_points: &mut [u8],
    out: &mut [u8],
) {
    rows_source(x, scales, zero_points, out, |x, scale, zero_point, out| {
        // SAFETY: the caller's; the rows of both are of one length, and a zero point is a byte.
        unsafe { quantize::<V>(x, scale, zero_point, out) };
    });
}

/// Elements each by a scale and a fractional zero point, which begin anew where they end; the last registers of such a row
/// may overlap those before them.
///
/// # Safety
/// The CPU has the tier of `V`; the bounds that [`super::quantize_to_grids`] asserts.
#[inline(always)]
pub(super) unsafe fn to_grids<V: Vector>(x: &[f32], scale: &[f32], zero: &[f32], out: &mut [u8]) {
    for (x, out) in x.chunks(scale.len()).zip(out.chunks_mut(scale.len())) {
        if out.len() < V::BYTES {
            quantize_to_grids_source(x, scale, zero, out);
            continue;
        }
        for at in (0..out.len()).step_by(V::BYTES) {
            let at = at.min(out.len() - V::BYTES);
            // SAFETY: the caller's promise; a register's bytes of elements from `at` on are there, and of what they go by.
            unsafe {
                let (x, scale, zero) = (x.as_ptr().add(at), scale.as_ptr().add(at), zero.as_ptr().add(at));
                let mut rounded = [V::splat(0); 4];
                unroll!(i in 4, {
                    let lanes = i * V::LANES;
                    let (scale, zero) = (V::load(scale.add(lanes).cast()), V::load(zero.add(lanes).cast()));
                    rounded[i] = place(V::load(x.add(lanes).cast()), scale, zero).to_integers();
                });
                let (low, high) = (rounded[0].pack_words(rounded[1]), rounded[2].pack_words(rounded[3]));
                low.pack_bytes(high).in_order().store_bytes(out.as_mut_ptr().add(at));
            }
        }
    }
}

/// Places on the grid of integers, clamped: of NaN, that of 0.
///
/// # Safety
/// The CPU has the tier of `V`.
#[inline(always)]
unsafe fn place<V: Vector>(x: V, scale: V, zero: V) -> V {
    // SAFETY: the caller's.
    unsafe {
        let quotient = x.div_floats(scale);
        let place = quotient.where_number(quotient).add_floats(zero);
        place.max_floats(V::splat(0)).min_floats(splat_float(255.0))
    }
}

/// Planes by one scale.
///
/// # Safety
/// The CPU has the tier of `V`; the bounds that [`super::quantize_channels_last`] asserts.
#[inline(always)]
pub(super) unsafe fn channels_last<V: Vector>(
    x: &[f32],
    plane: usize,
    channels: usize,
    scale: f32,
    zero_point: i32,
    out: &mut [u8],
) {
    // SAFETY: the caller's promise, and there are as many channels and pixels.
    unsafe {
        let rules = Affine::<V>::new(scale, zero_point);
        if channels >= SIXTEEN && out.len() >= channels * V::LANES {
            return by_sixteens(x, plane, channels, rules, out);
        }
        let done = few(x, plane, channels, rules, out);
        let out = &mut out[done * channels..];
        quantize_channels_last_source(&x[done..], plane, channels, scale, zero_point, out);
    }
}

/// Planes, each by a scale and a fractional zero point of its own.
///
/// # Safety
/// The CPU has the tier of `V`; the bounds that [`super::quantize_channels_last_to_grids`] asserts.
#[inline(always)]
pub(super) unsafe fn channels_last_to_grids<V: Vector>(
    x: &[f32],
    plane: usize,
    scale: &[f32],
    zero: &[f32],
    out: &mut [u8],
) {
    let (channels, rules) = (scale.len(), Grids { scale, zero });
    // SAFETY: the caller's promise, and there are as many channels and pixels.
    unsafe {
        if channels >= SIXTEEN && out.len() >= channels * V::LANES {
            return by_sixteens::<V>(x, plane, channels, rules, out);
        }
        let done = few::<V>(x, plane, channels, rules, out);
        quantize_channels_last_to_grids_source(&x[done..], plane, scale, zero, &mut out[done * channels..]);
    }
}

/// The rules of the plain loops, on registers of one channel's pixels.
trait Rules<V: Vector>: Copy {
    /// Places on the grid of integers, clamped.
    ///
    /// # Safety
    /// The CPU has the tier of `V`; there is such a channel.
    unsafe fn places(self, x: V, channel: usize) -> V;

    /// What is added to a place's integer.
    fn zero_point(self) -> i32;
}

/// By a scale and a zero point, the quotient rounded before the zero point is added.
#[derive(Clone, Copy)]
struct Affine<V> {
    scale: V,
    lo: V,
    hi: V,
    zero_point: i32,
}

impl<V: Vector> Affine<V> {
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    unsafe fn new(scale: f32, zero_point: i32) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let (lo, hi) = (splat_float(-zero_point as f32), splat_float((255 - zero_point) as f32));
            Affine { scale: splat_float(scale), lo, hi, zero_point }
        }
    }
}

impl<V: Vector> Rules<V> for Affine<V> {
    #[inline(always)]
    unsafe fn places(self, x: V, _: usize) -> V {
        // SAFETY: the caller's.
        unsafe {
            // 0 lies between the bounds: where it comes in does not matter, and the last instruction takes it along.
            let quotient = x.div_floats(self.scale);
            quotient.max_floats(self.lo).min_floats(self.hi).where_number(quotient)
        }
    }

    #[inline(always)]
    fn zero_point(self) -> i32 {
        self.zero_point
    }
}

/// One scale and fractional zero point a channel.
#[derive(Clone, Copy)]
struct Grids<'a> {
    scale: &'a [f32],
    zero: &'a [f32],
}

impl<V: Vector> Rules<V> for Grids<'_> {
    #[inline(always)]
    unsafe fn places(self, x: V, channel: usize) -> V {
        // SAFETY: the caller's.
        unsafe {
            let scale = splat_float(*self.scale.get_unchecked(channel));
            let zero = splat_float(*self.zero.get_unchecked(channel));
            place(x, scale, zero)
        }
    }

    #[inline(always)]
    fn zero_point(self) -> i32 {
        0
    }
}

/// # Safety
/// The CPU has the tier of `V`.
#[inline(always)]
unsafe fn splat_float<V: Vector>(value: f32) -> V {
    // SAFETY: the caller's.
    unsafe { V::splat(value.to_bits() as i32) }
}

/// A piece of pixels at a time, so that its output stays in a cache; the last pixels of a piece may overlap those before
/// them.
///
/// # Safety
/// The CPU has the tier of `V`; the bounds that [`super::quantize_channels_last`] asserts; at least 16 channels, and as many
/// pixels as a register has lanes.
#[inline(always)]
unsafe fn by_sixteens<V: Vector>(
    x: &[f32],
    plane: usize,
    channels: usize,
    rules: impl Rules<V>,
    out: &mut [u8],
) {
    let pixels = out.len() / channels;
    for piece in (0..pixels).step_by(PIECE) {
        for channel in (0..channels).step_by(SIXTEEN) {
            let first = channel.min(channels - SIXTEEN);
            for pixel in (piece..pixels.min(piece + PIECE)).step_by(V::LANES) {
                let pixel = pixel.min(pixels - V::LANES);
                // SAFETY: 16 planes from the first channel's on have a register's pixels from `pixel` on, and so has the
                // output.
                unsafe {
                    let (x, out) = (x.as_ptr().add(first * plane + pixel), out.as_mut_ptr());
                    sixteen(x, plane, first, rules, out.add(pixel * channels + first), channels);
                }
            }
        }
    }
}

/// Three or four channels, as many pixels as whole registers can write; says how many those were.
///
/// # Safety
/// The CPU has the tier of `V`; the bounds that [`super::quantize_channels_last`] asserts.
#[inline(always)]
unsafe fn few<V: Vector>(
    x: &[f32],
    plane: usize,
    channels: usize,
    rules: impl Rules<V>,
    out: &mut [u8],
) -> usize {
    // SAFETY: the caller's.
    unsafe {
        match channels {
            3 => threes_or_fours::<V, 3>(x, plane, rules, out),
            4 => threes_or_fours::<V, 4>(x, plane, rules, out),
            _ => 0,
        }
    }
}

/// # Safety
/// As [`few`], of so many channels.
#[inline(always)]
unsafe fn threes_or_fours<V: Vector, const CHANNELS: usize>(
    x: &[f32],
    plane: usize,
    rules: impl Rules<V>,
    out: &mut [u8],
) -> usize {
    // Four bytes behind the last of three channels are written too, which the next pixels put right.
    let last = (out.len() / CHANNELS).saturating_sub(if CHANNELS == 3 { 2 } else { 0 });
    // As in `sixteen`.
    let zeros = rules.zero_point().wrapping_mul(if CHANNELS == 3 { 0x0001_0101 } else { 0x0101_0101 });
    let mut pixel = 0;
    while pixel + V::LANES <= last {
        // SAFETY: the caller's; each plane has a register's pixels from this one on, and the output, with two more of three
        // channels.
        unsafe {
            let mut bytes = V::splat(zeros);
            unroll!(channel in CHANNELS, {
                let x = V::load(x.as_ptr().add(channel * plane + pixel).cast());
                let integers = rules.places(x, channel).to_integers();
                bytes = bytes.add(integers.shift_left(V::splat(8 * channel as i32)));
            });
            let out = out.as_mut_ptr().add(pixel * CHANNELS);
            if CHANNELS == 4 {
                bytes.store_bytes(out);
            } else {
                let packed = bytes.pack_threes();
                for part in 0..V::LANES / 4 {
                    packed.store_part(part, out.add(12 * part));
                }
            }
        }
        pixel += V::LANES;
    }
    pixel
}

/// 16 channels from `first` on of a register's pixels.
///
/// # Safety
/// The CPU has the tier of `V`; the pixels at `x` and at 15 further multiples of `plane` from it; room for 16 bytes at `out`
/// and, for each further pixel, at multiples of `channels` from it.
#[inline(always)]
unsafe fn sixteen<V: Vector>(
    x: *const f32,
    plane: usize,
    first: usize,
    rules: impl Rules<V>,
    out: *mut u8,
    channels: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        // A place's integer and the zero point are a byte together; what is negative before borrows from the bytes above it,
        // and gives it back with the zero points, modulo 2^32.
        let zeros = rules.zero_point().wrapping_mul(0x0101_0101);
        let mut fours = [V::splat(zeros); 4];
        unroll!(channel in SIXTEEN, {
            let x = V::load(x.add(channel * plane).cast());
            let integers = rules.places(x, first + channel).to_integers();
            let byte = channel % 4;
            let moved = if byte == 0 { integers } else { integers.shift_left(V::splat(8 * byte as i32)) };
            fours[channel / 4] = fours[channel / 4].add(moved);
        });
        let low = [fours[0].unpack_low_lanes(fours[1]), fours[2].unpack_low_lanes(fours[3])];
        let high = [fours[0].unpack_high_lanes(fours[1]), fours[2].unpack_high_lanes(fours[3])];
        // Each 128 bits of these are one pixel of four.
        let pixels = [
            low[0].unpack_low_pairs(low[1]),
            low[0].unpack_high_pairs(low[1]),
            high[0].unpack_low_pairs(high[1]),
            high[0].unpack_high_pairs(high[1]),
        ];
        for part in 0..V::LANES / 4 {
            for i in 0..4 {
                pixels[i].store_part(part, out.add((4 * part + i) * channels));
            }
        }
    }
}
