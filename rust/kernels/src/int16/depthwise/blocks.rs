//! Depthwise convolution in a tier's registers: a block of two registers' channels at a time goes over all pixels, with its
//! weights and parameters at hand. Two taps go together, their words in turns.

use std::ops::Range;

use super::plain::{Depthwise, source};
use crate::int16::lanes::{Lanes, Params};
use crate::int16::rule::Requantize;

/// Taps of a window at most, and one more where they are odd.
const TAPS_MAX: usize = 64;
/// Elements of the input that blocks find again in the second cache.
const STRIP: usize = 1 << 16;
/// Words of the widest register.
const WORDS_MAX: usize = 32;

/// Whether a convolution can go through here: with so many channels of a tap that a block is full.
#[inline(always)]
pub(super) fn fits<V: Lanes>(d: &Depthwise<'_>) -> bool {
    let [height, width] = d.window.kernel;
    !d.is_long && d.window.channels >= 2 * V::LANES && height.saturating_mul(width) <= TAPS_MAX
}

/// Some rows of the output image.
///
/// # Safety
/// The CPU has the tier of `V`; the arguments have been checked, and fit.
#[inline(always)]
pub(super) unsafe fn run<V: Lanes>(
    x: &[i16],
    d: &Depthwise<'_>,
    by: &Requantize<'_>,
    rows: Range<usize>,
    out: &mut [i16],
) {
    let line = d.window.input[1] * d.window.channels * d.window.stride[0];
    let lines = (STRIP / line.max(1)).max(1);
    let line_out = d.window.output[1] * d.window.channels;
    for (strip, out) in out.chunks_mut((lines * line_out).max(1)).enumerate() {
        let start = rows.start + strip * lines;
        // SAFETY: the caller's; these are rows of the output.
        unsafe { run_strip::<V>(x, d, by, start..(start + lines).min(rows.end), out) };
    }
}

/// Some rows, of which all blocks of channels go over one after the other.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn run_strip<V: Lanes>(
    x: &[i16],
    d: &Depthwise<'_>,
    by: &Requantize<'_>,
    rows: Range<usize>,
    out: &mut [i16],
) {
    let (channels, block) = (d.window.channels, 2 * V::LANES);
    for first in (0..channels).step_by(block) {
        // The last block overlaps the one before it.
        let first = first.min(channels - block);
        let params = parameters::<V>(by, first);
        if !(params.are_short() || params.are_small()) {
            source::<true>(x, d, by, rows.clone(), first..first + block, out);
            continue;
        }
        // SAFETY: the caller's; the block's channels are there.
        unsafe {
            match (d.window.kernel, params.are_short()) {
                ([3, 3], true) => run_block::<V, 5, true>(x, d, &params, first, rows.clone(), out),
                ([3, 3], false) => run_block::<V, 5, false>(x, d, &params, first, rows.clone(), out),
                (_, true) => run_block::<V, 0, true>(x, d, &params, first, rows.clone(), out),
                (_, false) => run_block::<V, 0, false>(x, d, &params, first, rows.clone(), out),
            }
        }
    }
}

/// A block of channels from `first` on. `PAIRS`: of taps, where the compiler is to know them, else 0.
/// `SHORT`: the sums are short, else what becomes of them is small.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn run_block<V: Lanes, const PAIRS: usize, const SHORT: bool>(
    x: &[i16],
    d: &Depthwise<'_>,
    params: &Params<WORDS_MAX>,
    first: usize,
    rows: Range<usize>,
    out: &mut [i16],
) {
    let window = &d.window;
    let [height, width] = window.kernel;
    let (taps, channels) = (height * width, window.channels);
    let pairs = if PAIRS > 0 { PAIRS } else { taps.div_ceil(2) };
    let nothing = [0i16; WORDS_MAX];
    // SAFETY: the caller's: there are a block's weights of each tap, parameters, and values of each tap that is inside.
    unsafe {
        let weight = |tap: usize| {
            let from =
                if tap < taps { d.weights.as_ptr().add(tap * channels + first) } else { nothing.as_ptr() };
            V::load_bytes(from.cast())
        };
        let mut weights = [[V::splat(0); 2]; TAPS_MAX / 2];
        for (pair, weights) in weights[..pairs].iter_mut().enumerate() {
            let (a, b) = (weight(2 * pair), weight(2 * pair + 1));
            *weights = [a.unpack_low_words(b), a.unpack_high_words(b)];
        }
        let scales = [V::scales(params, 0), V::scales(params, V::LANES)];
        let short = [params.short::<V>(0), params.short::<V>(V::LANES)];
        let [line, step] = [window.dilation[0] * window.pixel(1, 0), window.dilation[1] * channels];
        let mut offsets = [0; TAPS_MAX];
        for (tap, offset) in offsets[..2 * pairs].iter_mut().enumerate() {
            let tap = tap.min(taps - 1);
            *offset = tap / width * line + tap % width * step;
        }
        let whole = window.whole(1);
        for (row, oy) in rows.enumerate() {
            let inside = window.taps_inside(0, oy);
            for ox in 0..window.output[1] {
                let sums = if whole.contains(&ox) && inside.len() == height {
                    let base = x[window.tap(oy, ox, 0, 0) + first..].as_ptr();
                    if PAIRS == 5 {
                        // Nine taps whose places are three lines and three steps.
                        let place = |tap: usize| base.add(tap.min(8) / 3 * line + tap.min(8) % 3 * step);
                        products::<V>(&weights[..5], place)
                    } else {
                        products::<V>(&weights[..pairs], |tap| base.add(offsets[tap]))
                    }
                } else {
                    let columns = window.taps_inside(1, ox);
                    products::<V>(&weights[..pairs], |tap| {
                        let (i, j) = (tap / width, tap % width);
                        let is_inside = inside.contains(&i) && columns.contains(&j);
                        if is_inside {
                            x[window.tap(oy, ox, i, j) + first..].as_ptr()
                        } else {
                            nothing.as_ptr()
                        }
                    })
                };
                let at = (row * window.output[1] + ox) * channels + first;
                let mut words = sums;
                for i in 0..2 {
                    words[i] = if SHORT {
                        short[i].1.apply(sums[i].add(short[i].0))
                    } else {
                        sums[i].scale(&scales[i])
                    };
                }
                params.clamp(words[0].pack_words(words[1])).store_bytes(out.as_mut_ptr().add(at).cast());
            }
        }
    }
}

/// The sums of a block whose taps are at these places.
///
/// # Safety
/// The CPU has the tier of `V`; there are two registers of words at each place.
#[inline(always)]
unsafe fn products<V: Lanes>(weights: &[[V; 2]], place: impl Fn(usize) -> *const i16) -> [V; 2] {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [V::splat(0); 2];
        for (pair, weights) in weights.iter().enumerate() {
            let a = V::load_bytes(place(2 * pair).cast());
            let b = V::load_bytes(place(2 * pair + 1).cast());
            sums[0] = sums[0].add_dot(a.unpack_low_words(b), weights[0]);
            sums[1] = sums[1].add_dot(a.unpack_high_words(b), weights[1]);
        }
        sums
    }
}

/// The parameters of a block's channels in the order of its registers: what unpacks put in each 128 bits of them.
#[inline(always)]
fn parameters<V: Lanes>(by: &Requantize<'_>, first: usize) -> Params<WORDS_MAX> {
    let mut params = Params::new(by.lo, by.hi);
    for place in 0..2 * V::LANES {
        let (register, lane) = (place / V::LANES, place % V::LANES);
        let channel = first + lane / 4 * 8 + register * 4 + lane % 4;
        params.set(place, by, channel);
    }
    params
}
