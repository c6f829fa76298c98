//! The conversions' loops, which the compiler vectorises for each tier.

use super::Entries;
use super::rows::{Ends, range_source, rows_source};

crate::plain::plain_tiers!(Entries {
    quantize(x: &[f32], scale: f32, zero_point: i32, out: &mut [u8]) = quantize_source as "f32u8-quantize";
    quantize_channels_last(x: &[f32], plane: usize, channels: usize, scale: f32, zero_point: i32, out: &mut [u8])
        = quantize_channels_last_source as "f32u8-quantize-channels-last";
    quantize_to_grids(x: &[f32], scale: &[f32], zero: &[f32], out: &mut [u8])
        = quantize_to_grids_source as "f32u8-quantize-to-grids";
    quantize_channels_last_to_grids(x: &[f32], plane: usize, scale: &[f32], zero: &[f32], out: &mut [u8])
        = quantize_channels_last_to_grids_source as "f32u8-quantize-channels-last-to-grids";
    quantize_rows(x: &[f32], scales: &mut [f32], zero_points: &mut [u8], out: &mut [u8])
        = quantize_rows_source as "f32u8-quantize-rows";
    range(x: &[f32], ends: &mut Ends) = range_source as "f32-range";
    dequantize(x: &[u8], scale: f32, zero_point: i32, out: &mut [f32]) = dequantize_source as "u8f32-dequantize";
});

/// Adding this to a float32 of at most 2^22 in magnitude rounds it to an integer, ties to even, which then stands in
/// the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// How a value of one channel becomes an integer. The clamp comes before the rounding, which keeps order and leaves
/// integers alone, so the result is the same and the rounding sees small numbers only.
trait Rule: Copy {
    fn of(self, x: f32) -> u8;
}

/// The rules of some channels.
trait Rules: Copy {
    type Rule: Rule;
    fn channel(self, channel: usize) -> Self::Rule;
}

/// By a scale and a zero point, the quotient rounded before the zero point is added.
#[derive(Clone, Copy)]
struct Affine {
    scale: f32,
    zero_point: i32,
}

impl Rule for Affine {
    #[inline(always)]
    fn of(self, x: f32) -> u8 {
        let Affine { scale, zero_point } = self;
        let quotient = x / scale;
        let quotient = if quotient.is_nan() { 0.0 } else { quotient };
        let lo = -zero_point as f32;
        let hi = (255 - zero_point) as f32;
        let quotient = if quotient > lo { quotient } else { lo };
        let quotient = if quotient < hi { quotient } else { hi };
        (rounded(quotient) + zero_point) as u8
    }
}

impl Rules for Affine {
    type Rule = Affine;
    #[inline(always)]
    fn channel(self, _: usize) -> Affine {
        self
    }
}

/// By a scale and a fractional zero point, which is added before the rounding.
#[derive(Clone, Copy)]
struct Grid {
    scale: f32,
    zero: f32,
}

impl Rule for Grid {
    #[inline(always)]
    fn of(self, x: f32) -> u8 {
        let quotient = x / self.scale;
        let place = if quotient.is_nan() { self.zero } else { quotient + self.zero };
        let place = if place > 0.0 { place } else { 0.0 };
        let place = if place < 255.0 { place } else { 255.0 };
        rounded(place) as u8
    }
}

/// One grid a channel.
#[derive(Clone, Copy)]
struct Grids<'a> {
    scale: &'a [f32],
    zero: &'a [f32],
}

impl Rules for Grids<'_> {
    type Rule = Grid;
    #[inline(always)]
    fn channel(self, channel: usize) -> Grid {
        Grid { scale: self.scale[channel], zero: self.zero[channel] }
    }
}

/// To the nearest integer, ties to even, of at most 2^22 in magnitude.
#[inline(always)]
fn rounded(x: f32) -> i32 {
    (x + ROUND).to_bits() as i32 - ROUND.to_bits() as i32
}

#[inline(always)]
pub(super) fn quantize_source(x: &[f32], scale: f32, zero_point: i32, out: &mut [u8]) {
    quantize_by(x, Affine { scale, zero_point }, out);
}

#[inline(always)]
fn quantize_rows_source(x: &[f32], scales: &mut [f32], zero_points: &mut [u8], out: &mut [u8]) {
    rows_source(x, scales, zero_points, out, |x, scale, zero_point, out| {
        quantize_source(x, scale, zero_point, out);
    });
}

#[inline(always)]
fn quantize_by(x: &[f32], rule: impl Rule, out: &mut [u8]) {
    for (&x, out) in x.iter().zip(out) {
        *out = rule.of(x);
    }
}

/// Each element by the grid at its place, which begin anew where they end.
#[inline(always)]
pub(super) fn quantize_to_grids_source(x: &[f32], scale: &[f32], zero: &[f32], out: &mut [u8]) {
    for (x, out) in x.chunks(scale.len()).zip(out.chunks_mut(scale.len())) {
        for (((&x, out), &scale), &zero) in x.iter().zip(out).zip(scale).zip(zero) {
            *out = Grid { scale, zero }.of(x);
        }
    }
}

/// `x` begins at the first plane's first pixel; the other planes' pixels follow at multiples of `plane`.
#[inline(always)]
pub(super) fn quantize_channels_last_source(
    x: &[f32],
    plane: usize,
    channels: usize,
    scale: f32,
    zero_point: i32,
    out: &mut [u8],
) {
    channels_last_by(x, plane, channels, Affine { scale, zero_point }, out);
}

/// As many channels as grids.
#[inline(always)]
pub(super) fn quantize_channels_last_to_grids_source(
    x: &[f32],
    plane: usize,
    scale: &[f32],
    zero: &[f32],
    out: &mut [u8],
) {
    channels_last_by(x, plane, scale.len(), Grids { scale, zero }, out);
}

#[inline(always)]
fn channels_last_by(x: &[f32], plane: usize, channels: usize, rules: impl Rules, out: &mut [u8]) {
    match channels {
        1 => quantize_by(&x[..out.len()], rules.channel(0), out),
        2 => interleave::<2>(x, plane, rules, out),
        3 => interleave::<3>(x, plane, rules, out),
        4 => interleave::<4>(x, plane, rules, out),
        5..EIGHT => {
            for channel in 0..channels {
                let (plane, rule) = (&x[channel * plane..], rules.channel(channel));
                for (&x, out) in plane.iter().zip(out[channel..].iter_mut().step_by(channels)) {
                    *out = rule.of(x);
                }
            }
        }
        _ => interleave_eights(x, plane, channels, rules, out),
    }
}

/// Channels that are interleaved together, where there are as many.
const EIGHT: usize = 8;
/// Pixels that are interleaved together: four squares.
const PIXELS: usize = 32;
/// Pixels of a piece, so many that 8 planes are read in long pieces and few that its output stays in a cache.
pub(super) const PIECE: usize = 8 * PIXELS;

/// Many planes, 8 of them and a piece of pixels at a time; the last 8 may overlap those before them.
#[inline(always)]
fn interleave_eights(x: &[f32], plane: usize, channels: usize, rules: impl Rules, out: &mut [u8]) {
    for (piece, out) in out.chunks_mut(PIECE * channels).enumerate() {
        for channel in (0..channels).step_by(EIGHT) {
            let first = channel.min(channels - EIGHT);
            for (part, out) in out.chunks_mut(PIXELS * channels).enumerate() {
                let (start, pixels) = (piece * PIECE + part * PIXELS, out.len() / channels);
                let mut rows = [[0u8; PIXELS]; EIGHT];
                for (i, row) in rows.iter_mut().enumerate() {
                    let (x, rule) = (&x[(first + i) * plane + start..][..pixels], rules.channel(first + i));
                    match x.first_chunk::<PIXELS>() {
                        Some(x) => quantize_by(x, rule, row),
                        None => quantize_by(x, rule, row),
                    }
                }
                for (eight, out) in transposed(&rows).iter().zip(out.chunks_exact_mut(channels)) {
                    out[first..][..EIGHT].copy_from_slice(eight);
                }
            }
        }
    }
}

/// The columns of 8 rows, by three exchanges of ever smaller halves in each of the squares of 8 x 8.
#[inline(always)]
fn transposed(rows: &[[u8; PIXELS]; EIGHT]) -> [[u8; EIGHT]; PIXELS] {
    let mut squares = [[0u64; PIXELS / EIGHT]; EIGHT];
    for (row, square) in rows.iter().zip(&mut squares) {
        for (eight, word) in row.as_chunks::<EIGHT>().0.iter().zip(square) {
            *word = u64::from_le_bytes(*eight);
        }
    }
    for (half, mask) in [(4, 0xffff_ffff), (2, 0xffff_0000_ffff), (1, 0xff_00ff_00ff_00ff)] {
        for i in (0..EIGHT).filter(|i| i & half == 0) {
            for square in 0..PIXELS / EIGHT {
                let (upper, lower) = (squares[i][square], squares[i + half][square]);
                let moved = ((upper >> (8 * half)) ^ lower) & mask;
                squares[i][square] = upper ^ moved << (8 * half);
                squares[i + half][square] = lower ^ moved;
            }
        }
    }
    std::array::from_fn(|pixel| squares[pixel % EIGHT][pixel / EIGHT].to_le_bytes())
}

/// A few planes, a block of pixels at a time: a pixel's channels are gathered in one word.
#[inline(always)]
fn interleave<const CHANNELS: usize>(x: &[f32], plane: usize, rules: impl Rules, out: &mut [u8]) {
    const BLOCK: usize = 64;
    for (block, out) in out.chunks_mut(BLOCK * CHANNELS).enumerate() {
        let pixels = out.len() / CHANNELS;
        let mut words = [0u32; BLOCK];
        for channel in 0..CHANNELS {
            let (x, rule) = (&x[channel * plane + block * BLOCK..][..pixels], rules.channel(channel));
            for (word, &x) in words.iter_mut().zip(x) {
                *word |= u32::from(rule.of(x)) << (8 * channel);
            }
        }
        for pixel in 0..pixels {
            let (at, bytes) = (pixel * CHANNELS, words[pixel].to_le_bytes());
            // Three bytes are best written as four; the next pixel puts the fourth right.
            match out.get_mut(at..at + 4) {
                Some(out) if CHANNELS == 3 => out.copy_from_slice(&bytes),
                _ => out[at..][..CHANNELS].copy_from_slice(&bytes[..CHANNELS]),
            }
        }
    }
}

#[inline(always)]
fn dequantize_source(x: &[u8], scale: f32, zero_point: i32, out: &mut [f32]) {
    for (&x, out) in x.iter().zip(out) {
        *out = scale * (i32::from(x) - zero_point) as f32;
    }
}
