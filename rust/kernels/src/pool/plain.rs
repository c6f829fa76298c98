//! The pools' loops, which the compiler vectorises for each tier: a block of channels at a time stays in registers
//! while the window's taps go by.

use std::ops::Range;

use super::{Average, Entries, FloatMean, Mean, Window};
use crate::requantize::requantize;

crate::plain::plain_tiers!(Entries {
    max(x: &[u8], window: &Window, rows: Range<usize>, out: &mut [u8]) = max_source as "u8-maxpool";
    average(x: &[u8], window: &Window, rows: Range<usize>, average: &Average<'_>, out: &mut [u8])
        = average_plain as "u8-averagepool";
    mean(x: &[u8], channels: usize, mean: &Mean, out: &mut [u8]) = mean_plain as "u8-mean";
    mean_to_floats(x: &[u8], channels: usize, mean: &FloatMean, out: &mut [f32])
        = mean_to_floats_source as "u8f32-mean";
});

/// Channels whose sums go through together.
pub(super) const BLOCK: usize = 64;

#[inline(always)]
fn max_source(x: &[u8], window: &Window, rows: Range<usize>, out: &mut [u8]) {
    match window.channels {
        0..32 => max_blocks::<16>(x, window, rows, out),
        32..64 => max_blocks::<32>(x, window, rows, out),
        _ => max_blocks::<64>(x, window, rows, out),
    }
}

/// Max pool, `BLOCK` channels of a pixel at a time; see [`block_start`].
#[inline(always)]
fn max_blocks<const BLOCK: usize>(x: &[u8], window: &Window, rows: Range<usize>, out: &mut [u8]) {
    let channels = window.channels;
    let whole = window.whole(1);
    let mut rest = out;
    for oy in rows {
        let vertical = window.taps_inside(0, oy);
        for ox in 0..window.output[1] {
            let taps = Taps::new(window, &whole, &vertical, oy, ox);
            for c in (0..channels).step_by(BLOCK) {
                let c = block_start::<BLOCK>(c, channels);
                let out = &mut rest[c..];
                if BLOCK <= out.len() && taps.last + c + BLOCK <= x.len() {
                    let largest = match (taps.rows, taps.columns) {
                        // The usual windows' loops have lengths that the compiler knows.
                        (3, 3) => max_block::<BLOCK>(x, &taps, c, 3, 3),
                        (2, 2) => max_block::<BLOCK>(x, &taps, c, 2, 2),
                        (rows, columns) => max_block::<BLOCK>(x, &taps, c, rows, columns),
                    };
                    out[..BLOCK].copy_from_slice(&largest);
                } else {
                    for (i, out) in out.iter_mut().take(channels - c).enumerate() {
                        *out = max_block::<1>(x, &taps, c + i, taps.rows, taps.columns)[0];
                    }
                }
            }
            rest = &mut rest[channels..];
        }
    }
}

/// The first channel of a block. Where the channels are no multiple of `BLOCK` the last block overlaps the one before
/// it; a block of a pixel that is narrower than `BLOCK` runs on into the next pixel, which is written after it.
#[inline(always)]
fn block_start<const BLOCK: usize>(c: usize, channels: usize) -> usize {
    c.min(channels.saturating_sub(BLOCK))
}

/// The largest of the taps' values of `BLOCK` channels from `c` on; 0 where there is no tap.
#[inline(always)]
fn max_block<const BLOCK: usize>(
    x: &[u8],
    taps: &Taps,
    c: usize,
    rows: usize,
    columns: usize,
) -> [u8; BLOCK] {
    let mut largest = [0; BLOCK];
    for row in 0..rows {
        let line = taps.first + row * taps.row_step + c;
        for column in 0..columns {
            let x = &x[line + column * taps.column_step..][..BLOCK];
            for lane in 0..BLOCK {
                largest[lane] = x[lane].max(largest[lane]);
            }
        }
    }
    largest
}

/// The taps of one output pixel that lie inside the input.
struct Taps {
    /// Offsets of the first and the last tap's input pixel; 0 where there is none.
    first: usize,
    last: usize,
    /// How many they are.
    rows: usize,
    columns: usize,
    /// From one to the next.
    row_step: usize,
    column_step: usize,
}

impl Taps {
    /// `whole` are the outputs of a row whose horizontal taps all lie inside, `vertical` the row's vertical taps.
    #[inline(always)]
    fn new(window: &Window, whole: &Range<usize>, vertical: &Range<usize>, oy: usize, ox: usize) -> Taps {
        let horizontal = if whole.contains(&ox) { 0..window.kernel[1] } else { window.taps_inside(1, ox) };
        let (rows, columns) = (vertical.len(), horizontal.len());
        let (row_step, column_step) =
            (window.dilation[0] * window.pixel(1, 0), window.dilation[1] * window.channels);
        if rows == 0 || columns == 0 {
            return Taps { first: 0, last: 0, rows: 0, columns: 0, row_step, column_step };
        }
        let first = window.tap(oy, ox, vertical.start, horizontal.start);
        let last = first + (rows - 1) * row_step + (columns - 1) * column_step;
        Taps { first, last, rows, columns, row_step, column_step }
    }
}

/// What makes results of sums, by the arithmetic `A`. A method rather than a closure, which the compiler would not inline.
pub(super) trait Finish<A, Y> {
    /// The results of a block's sums, each less `offset` and then at most `reach` in magnitude.
    fn finish(&self, sums: &[i32; BLOCK], offset: i32, reach: i64, by: &A, out: &mut [Y]);
}

/// By the text of the rule.
pub(super) struct Plain;

impl Finish<Mean, u8> for Plain {
    #[inline(always)]
    fn finish(&self, sums: &[i32; BLOCK], offset: i32, _: i64, by: &Mean, out: &mut [u8]) {
        for (out, &sum) in out.iter_mut().zip(sums) {
            *out = requantize(sum - offset, by.multiplier, by.shift, by.y_zero_point, by.lo, by.hi);
        }
    }
}

impl Finish<FloatMean, f32> for Plain {
    #[inline(always)]
    fn finish(&self, sums: &[i32; BLOCK], offset: i32, _: i64, by: &FloatMean, out: &mut [f32]) {
        for (out, &sum) in out.iter_mut().zip(sums) {
            *out = (sum - offset) as f32 * by.scale;
        }
    }
}

#[inline(always)]
fn average_plain(x: &[u8], window: &Window, rows: Range<usize>, average: &Average<'_>, out: &mut [u8]) {
    average_source(x, window, rows, average, out, Plain);
}

/// Average pool, but for what makes bytes of sums.
#[inline(always)]
pub(super) fn average_source(
    x: &[u8],
    window: &Window,
    rows: Range<usize>,
    average: &Average<'_>,
    out: &mut [u8],
    finish: impl Finish<Mean, u8>,
) {
    let mut pixels = out.chunks_exact_mut(window.channels.max(1));
    let whole = window.whole(1);
    for oy in rows {
        let vertical = window.taps_inside(0, oy);
        for (ox, pixel) in (0..window.output[1]).zip(&mut pixels) {
            let taps = Taps::new(window, &whole, &vertical, oy, ox);
            let inside = taps.rows * taps.columns;
            let counted = match average.count_include_pad {
                None => inside,
                Some(behind) => counted_taps(window, behind, 0, oy) * counted_taps(window, behind, 1, ox),
            };
            if counted == 0 {
                pixel.fill(average.y_zero_point.clamp(average.lo, average.hi) as u8);
                continue;
            }
            let (multiplier, shift) = average.factors[counted];
            let &Average { x_zero_point, y_zero_point, lo, hi, .. } = average;
            let mean = Mean { x_zero_point, multiplier, shift, y_zero_point, lo, hi };
            let offset = inside as i32 * x_zero_point;
            for (block, out) in pixel.chunks_mut(BLOCK).enumerate() {
                // By a constant where channels are few, so that the sums stay in registers.
                let c = block * BLOCK;
                let sums = match out.len() {
                    BLOCK => sum_block(x, &taps, c, BLOCK),
                    1 => sum_block(x, &taps, c, 1),
                    8 => sum_block(x, &taps, c, 8),
                    16 => sum_block(x, &taps, c, 16),
                    24 => sum_block(x, &taps, c, 24),
                    32 => sum_block(x, &taps, c, 32),
                    rest => sum_block(x, &taps, c, rest),
                };
                finish.finish(&sums, offset, 255 * inside as i64, &mean, out);
            }
        }
    }
}

/// How many taps along one axis lie inside the input or its explicit padding. None lies before the padding.
#[inline(always)]
fn counted_taps(window: &Window, behind: [usize; 2], axis: usize, output: usize) -> usize {
    let end = window.input[axis].saturating_add(behind[axis]).min(isize::MAX as usize / 2);
    window.taps_below(axis, output, end as isize)
}

/// The sums of the taps' values of some channels from `c` on.
#[inline(always)]
fn sum_block(x: &[u8], taps: &Taps, c: usize, length: usize) -> [i32; BLOCK] {
    let mut sums = [0; BLOCK];
    for row in 0..taps.rows {
        let line = taps.first + row * taps.row_step + c;
        for column in 0..taps.columns {
            let x = &x[line + column * taps.column_step..][..length];
            for lane in 0..length {
                sums[lane] += i32::from(x[lane]);
            }
        }
    }
    sums
}

#[inline(always)]
fn mean_plain(x: &[u8], channels: usize, mean: &Mean, out: &mut [u8]) {
    mean_source(x, channels, mean.x_zero_point, mean, out, Plain);
}

#[inline(always)]
fn mean_to_floats_source(x: &[u8], channels: usize, mean: &FloatMean, out: &mut [f32]) {
    mean_source(x, channels, mean.x_zero_point, mean, out, Plain);
}

/// The mean of all rows, but for what makes results of sums.
#[inline(always)]
pub(super) fn mean_source<A, Y>(
    x: &[u8],
    channels: usize,
    x_zero_point: i32,
    by: &A,
    out: &mut [Y],
    finish: impl Finish<A, Y>,
) {
    let count = x.len() / channels;
    let offset = count as i32 * x_zero_point;
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let sums = match out.len() {
            BLOCK => sum_rows(x, channels, block * BLOCK, BLOCK),
            rest => sum_rows(x, channels, block * BLOCK, rest),
        };
        finish.finish(&sums, offset, 255 * count as i64, by, out);
    }
}

/// The sums of all rows' values of some channels from `c` on.
#[inline(always)]
fn sum_rows(x: &[u8], channels: usize, c: usize, length: usize) -> [i32; BLOCK] {
    /// Rows whose sums of uint8 fit in uint16.
    const ROWS: usize = 256;
    let mut sums = [0; BLOCK];
    for rows in x.chunks(ROWS * channels) {
        let mut partial = [0u16; BLOCK];
        for row in rows.chunks_exact(channels) {
            let row = &row[c..][..length];
            for lane in 0..length {
                partial[lane] += u16::from(row[lane]);
            }
        }
        for (sum, partial) in sums.iter_mut().zip(partial) {
            *sum += i32::from(partial);
        }
    }
    sums
}
