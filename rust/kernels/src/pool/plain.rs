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

/// Calls `run` for each block of channels with its start and length; the full length is a constant to the compiler.
#[inline(always)]
fn for_each_block(channels: usize, mut run: impl FnMut(usize, usize)) {
    let full = channels / BLOCK * BLOCK;
    for start in (0..full).step_by(BLOCK) {
        run(start, BLOCK);
    }
    if full < channels {
        run(full, channels - full);
    }
}

#[inline(always)]
fn max_source(x: &[u8], window: &Window, rows: Range<usize>, out: &mut [u8]) {
    let channels = window.channels;
    let columns = window.output[1];
    for (row, oy) in rows.enumerate() {
        for ox in 0..columns {
            let pixel = &mut out[(row * columns + ox) * channels..][..channels];
            for_each_block(channels, |c, length| {
                let mut largest = [0u8; BLOCK];
                for_each_tap(window, oy, ox, |at| {
                    for (largest, &x) in largest[..length].iter_mut().zip(&x[at + c..][..length]) {
                        *largest = x.max(*largest);
                    }
                });
                pixel[c..][..length].copy_from_slice(&largest[..length]);
            });
        }
    }
}

/// Calls `run` with the offset of each input pixel that the window meets inside the input.
#[inline(always)]
fn for_each_tap(window: &Window, oy: usize, ox: usize, mut run: impl FnMut(usize)) {
    let [top, left] = [window.start(0, oy), window.start(1, ox)];
    let horizontal = window.taps_inside(1, ox);
    for ky in window.taps_inside(0, oy) {
        let y = (top + (ky * window.dilation[0]) as isize) as usize;
        for kx in horizontal.clone() {
            let x = (left + (kx * window.dilation[1]) as isize) as usize;
            run(window.pixel(y, x));
        }
    }
}

#[inline(always)]
fn average_source(x: &[u8], window: &Window, rows: Range<usize>, average: &Average<'_>, out: &mut [u8]) {
    let channels = window.channels;
    let columns = window.output[1];
    for (row, oy) in rows.enumerate() {
        for ox in 0..columns {
            let pixel = &mut out[(row * columns + ox) * channels..][..channels];
            let inside = window.taps_inside(0, oy).len() * window.taps_inside(1, ox).len();
            let counted = match average.count_include_pad {
                None => inside,
                Some(behind) => counted_taps(window, behind, 0, oy) * counted_taps(window, behind, 1, ox),
            };
            if counted == 0 {
                pixel.fill(average.y_zero_point.clamp(average.lo, average.hi) as u8);
                continue;
            }
            let (multiplier, shift) = average.factors[counted];
            let offset = inside as i32 * average.x_zero_point;
            for_each_block(channels, |c, length| {
                let mut sum = [0i32; BLOCK];
                for_each_tap(window, oy, ox, |at| {
                    for (sum, &x) in sum[..length].iter_mut().zip(&x[at + c..][..length]) {
                        *sum += i32::from(x);
                    }
                });
                for (out, &sum) in pixel[c..][..length].iter_mut().zip(&sum[..length]) {
                    let acc = sum - offset;
                    *out = requantize(acc, multiplier, shift, average.y_zero_point, average.lo, average.hi);
                }
            });
        }
    }
}

/// How many taps along one axis lie inside the input or its explicit padding. None lies before the padding.
#[inline(always)]
fn counted_taps(window: &Window, behind: [usize; 2], axis: usize, output: usize) -> usize {
    window.taps_below(
        axis,
        output,
        window.input[axis].saturating_add(behind[axis]).min(isize::MAX as usize / 2) as isize,
    )
}

#[inline(always)]
fn mean_source(x: &[u8], channels: usize, mean: &Mean, out: &mut [u8]) {
    /// Rows whose sums of uint8 fit in uint16.
    const ROWS: usize = 256;
    let offset = (x.len() / channels) as i32 * mean.x_zero_point;
    for_each_block(channels, |c, length| {
        let mut sum = [0i32; BLOCK];
        for rows in x.chunks(ROWS * channels) {
            let mut partial = [0u16; BLOCK];
            for row in rows.chunks_exact(channels) {
                for (partial, &x) in partial[..length].iter_mut().zip(&row[c..][..length]) {
                    *partial += u16::from(x);
                }
            }
            for (sum, partial) in sum.iter_mut().zip(partial) {
                *sum += i32::from(partial);
            }
        }
        for (out, &sum) in out[c..][..length].iter_mut().zip(&sum[..length]) {
            *out = requantize(sum - offset, mean.multiplier, mean.shift, mean.y_zero_point, mean.lo, mean.hi);
        }
    });
}
