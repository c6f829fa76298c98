//! The conversions' loops, which the compiler vectorises for each tier.

use super::Entries;

crate::plain::plain_tiers!(Entries {
    quantize(x: &[f32], scale: f32, zero_point: i32, out: &mut [u8]) = quantize_source as "f32u8-quantize";
    quantize_channels_last(x: &[f32], plane: usize, channels: usize, scale: f32, zero_point: i32, out: &mut [u8])
        = quantize_channels_last_source as "f32u8-quantize-channels-last";
    dequantize(x: &[u8], scale: f32, zero_point: i32, out: &mut [f32]) = dequantize_source as "u8f32-dequantize";
});

/// Adding this to a float32 of at most 2^22 in magnitude rounds it to an integer, ties to even, which then stands in
/// the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// One value. The clamp comes before the rounding, which keeps order and leaves integers alone, so the result is the
/// same and the rounding sees small numbers only.
#[inline(always)]
fn quantize_one(x: f32, scale: f32, zero_point: i32) -> u8 {
    let quotient = x / scale;
    let quotient = if quotient.is_nan() { 0.0 } else { quotient };
    let lo = -zero_point as f32;
    let hi = (255 - zero_point) as f32;
    let quotient = if quotient > lo { quotient } else { lo };
    let quotient = if quotient < hi { quotient } else { hi };
    let rounded = (quotient + ROUND).to_bits() as i32 - ROUND.to_bits() as i32;
    (rounded + zero_point) as u8
}

#[inline(always)]
fn quantize_source(x: &[f32], scale: f32, zero_point: i32, out: &mut [u8]) {
    for (&x, out) in x.iter().zip(out) {
        *out = quantize_one(x, scale, zero_point);
    }
}

/// `x` begins at the first plane's first pixel; the other planes' pixels follow at multiples of `plane`.
#[inline(always)]
fn quantize_channels_last_source(
    x: &[f32],
    plane: usize,
    channels: usize,
    scale: f32,
    zero_point: i32,
    out: &mut [u8],
) {
    match channels {
        1 => quantize_source(&x[..out.len()], scale, zero_point, out),
        2 => interleave::<2>(x, plane, scale, zero_point, out),
        3 => interleave::<3>(x, plane, scale, zero_point, out),
        4 => interleave::<4>(x, plane, scale, zero_point, out),
        5..EIGHT => {
            for channel in 0..channels {
                let plane = &x[channel * plane..];
                for (&x, out) in plane.iter().zip(out[channel..].iter_mut().step_by(channels)) {
                    *out = quantize_one(x, scale, zero_point);
                }
            }
        }
        _ => interleave_eights(x, plane, channels, scale, zero_point, out),
    }
}

/// Channels that are interleaved together, where there are as many.
const EIGHT: usize = 8;
/// Pixels that are interleaved together: four squares.
const PIXELS: usize = 32;
/// Pixels of a piece, so many that 8 planes are read in long pieces and few that its output stays in a cache.
const PIECE: usize = 8 * PIXELS;

/// Many planes, 8 of them and a piece of pixels at a time; the last 8 may overlap those before them.
#[inline(always)]
fn interleave_eights(x: &[f32], plane: usize, channels: usize, scale: f32, zero_point: i32, out: &mut [u8]) {
    for (piece, out) in out.chunks_mut(PIECE * channels).enumerate() {
        for channel in (0..channels).step_by(EIGHT) {
            let first = channel.min(channels - EIGHT);
            for (part, out) in out.chunks_mut(PIXELS * channels).enumerate() {
                let (start, pixels) = (piece * PIECE + part * PIXELS, out.len() / channels);
                let mut rows = [[0u8; PIXELS]; EIGHT];
                for (i, row) in rows.iter_mut().enumerate() {
                    let x = &x[(first + i) * plane + start..][..pixels];
                    match x.first_chunk::<PIXELS>() {
                        Some(x) => quantize_source(x, scale, zero_point, row),
                        None => quantize_source(x, scale, zero_point, row),
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
fn interleave<const CHANNELS: usize>(x: &[f32], plane: usize, scale: f32, zero_point: i32, out: &mut [u8]) {
    const BLOCK: usize = 64;
    for (block, out) in out.chunks_mut(BLOCK * CHANNELS).enumerate() {
        let pixels = out.len() / CHANNELS;
        let mut words = [0u32; BLOCK];
        for channel in 0..CHANNELS {
            let x = &x[channel * plane + block * BLOCK..][..pixels];
            for (word, &x) in words.iter_mut().zip(x) {
                *word |= u32::from(quantize_one(x, scale, zero_point)) << (8 * channel);
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
