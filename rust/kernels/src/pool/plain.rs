//! The pools' loops, which the compiler vectorises for each tier: a block of channels at a time stays in registers
//! while the window's taps go by.

use std::ops::Range;

use super::{Average, Entries, Mean, Window};
use crate::requantize::requantize;

crate::plain::plain_tiers!(Entries {
    max(x: &[u8], window: &Window, rows: Range<usize>, out: &mut [u8]) = max_source as "u8-maxpool";
    average(x: &[u8], window: &Window, rows: Range<usize>, average: &Average<'_>, out: &mut [u8])
        = average_source as "u8-averagepool";
    mean(x: &[u8], channels: usize, mean: &Mean, out: &mut [u8]) = mean_source as "u8-mean";
});

/// Channels that go through together.
const BLOCK: usize = 64;

#[inline(always)]
fn max_source(x: &[u8], window: &Window, rows: Range<usize>, out: &mut [u8]) {
    let mut pixels = out.chunks_exact_mut(window.channels.max(1));
    for oy in rows {
        for (ox, pixel) in (0..window.output[1]).zip(&mut pixels) {
            let taps = Taps::new(window, oy, ox);
            for (block, out) in pixel.chunks_mut(BLOCK).enumerate() {
                // A whole block's length is a constant to the compiler, which keeps it in registers.
                match out.len() {
                    BLOCK => max_block(x, window, &taps, block * BLOCK, BLOCK, out),
                    rest => max_block(x, window, &taps, block * BLOCK, rest, out),
                }
            }
        }
    }
}

/// The largest of the taps' values of some channels from `c` on; 0 where there is no tap.
#[inline(always)]
fn max_block(x: &[u8], window: &Window, taps: &Taps, c: usize, length: usize, out: &mut [u8]) {
    let mut largest = [0; BLOCK];
    for ky in taps.vertical.clone() {
        for kx in taps.horizontal.clone() {
            let x = &x[taps.pixel(window, ky, kx) + c..][..length];
            for lane in 0..length {
                largest[lane] = x[lane].max(largest[lane]);
            }
        }
    }
    out.copy_from_slice(&largest[..length]);
}

/// The taps of one output pixel that lie inside the input.
struct Taps {
    output: [usize; 2],
    vertical: Range<usize>,
    horizontal: Range<usize>,
}

impl Taps {
    #[inline(always)]
    fn new(window: &Window, oy: usize, ox: usize) -> Taps {
        let (vertical, horizontal) = (window.taps_inside(0, oy), window.taps_inside(1, ox));
        Taps { output: [oy, ox], vertical, horizontal }
    }

    /// The offset of a tap's input pixel.
    #[inline(always)]
    fn pixel(&self, window: &Window, ky: usize, kx: usize) -> usize {
        window.tap(self.output[0], self.output[1], ky, kx)
    }
}

#[inline(always)]
fn average_source(x: &[u8], window: &Window, rows: Range<usize>, average: &Average<'_>, out: &mut [u8]) {
    let mut pixels = out.chunks_exact_mut(window.channels.max(1));
    for oy in rows {
        for (ox, pixel) in (0..window.output[1]).zip(&mut pixels) {
            let taps = Taps::new(window, oy, ox);
            let inside = taps.vertical.len() * taps.horizontal.len();
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
                let sums = match out.len() {
                    BLOCK => sum_block(x, window, &taps, block * BLOCK, BLOCK),
                    rest => sum_block(x, window, &taps, block * BLOCK, rest),
                };
                requantize_block(&sums, offset, &mean, out);
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
fn sum_block(x: &[u8], window: &Window, taps: &Taps, c: usize, length: usize) -> [i32; BLOCK] {
    let mut sums = [0; BLOCK];
    for ky in taps.vertical.clone() {
        for kx in taps.horizontal.clone() {
            let x = &x[taps.pixel(window, ky, kx) + c..][..length];
            for lane in 0..length {
                sums[lane] += i32::from(x[lane]);
            }
        }
    }
    sums
}

#[inline(always)]
fn requantize_block(sums: &[i32; BLOCK], offset: i32, mean: &Mean, out: &mut [u8]) {
    for (out, &sum) in out.iter_mut().zip(sums) {
        *out = requantize(sum - offset, mean.multiplier, mean.shift, mean.y_zero_point, mean.lo, mean.hi);
    }
}

#[inline(always)]
fn mean_source(x: &[u8], channels: usize, mean: &Mean, out: &mut [u8]) {
    /// Rows whose sums of uint8 fit in uint16.
    const ROWS: usize = 256;
    let offset = (x.len() / channels) as i32 * mean.x_zero_point;
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let mut sums = [0; BLOCK];
        for rows in x.chunks(ROWS * channels) {
            let mut partial = [0u16; BLOCK];
            for row in rows.chunks_exact(channels) {
                for (partial, &x) in partial[..out.len()].iter_mut().zip(&row[block * BLOCK..]) {
                    *partial += u16::from(x);
                }
            }
            for (sum, partial) in sums.iter_mut().zip(partial) {
                *sum += i32::from(partial);
            }
        }
        requantize_block(&sums, offset, mean, out);
    }
}
