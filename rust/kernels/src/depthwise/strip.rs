//! Any kernel, stride and dilation for as many channels at a time as a register has lanes: the columns of a piece of a row
//! are made once, in a strip, and serve every output that meets them.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::dot::{Channels, Dot, groups};
use super::entries::Depthwise;
use super::finish::Finish;
use super::general::{self, TAPS_MAX};
use super::pack::{GROUP, Lines};
use super::steps::{BYTES, LANE, RIGHT, Steps};

/// The columns of a piece of an output row.
#[repr(align(64))]
pub(super) struct Strip([MaybeUninit<u8>; BYTES]);

impl Strip {
    pub(super) const fn new() -> Strip {
        Strip([MaybeUninit::uninit(); BYTES])
    }

    /// The place of a byte.
    ///
    /// # Safety
    /// A strip has as many.
    #[inline(always)]
    pub(super) unsafe fn at(&mut self, byte: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.as_mut_ptr().cast::<u8>().add(byte) }
    }
}

/// Some rows of the output image.
///
/// # Safety
/// The CPU has the tier of `D`; the bounds that [`super::run`] asserts; blocks of the channels
/// `of_block`; what the finish asks for.
#[inline(always)]
pub(super) unsafe fn run<D: Dot, F: Finish<D>>(
    x: &[u8],
    d: &Depthwise<'_, F::Of<'_>>,
    rows: Range<usize>,
    out: &mut [F::Out],
    of_block: F::Channels,
) where
    for<'a> F::Of<'a>: general::GroupFinish<D::Group, Out = F::Out>,
{
    let Some(steps) = Steps::new(&d.window, D::TAPS, D::LANES, D::LANES) else {
        // SAFETY: the caller's promise.
        return unsafe { general::run::<D::Group, _>(x, d, rows, out) };
    };
    let line = d.window.output[1] * d.window.channels;
    let mut strip = Strip::new();
    let mut oy = rows.start;
    while oy < rows.end {
        let out = &mut out[(oy - rows.start) * line..];
        // SAFETY: the caller's promise; the rows are in the output.
        unsafe {
            if steps.is_paired && oy + 2 <= rows.end {
                lines::<D, F, 2>(&mut strip, x, d, &steps, oy, out, of_block);
                oy += 2;
            } else {
                lines::<D, F, 1>(&mut strip, x, d, &steps, oy, out, of_block);
                oy += 1;
            }
        }
    }
}

/// `DOWN` output rows, the first of which is `oy`; where there are two, the window moves down by one row.
///
/// # Safety
/// As [`run`]; `out` begins with the rows.
#[inline(always)]
unsafe fn lines<D: Dot, F: Finish<D>, const DOWN: usize>(
    strip: &mut Strip,
    x: &[u8],
    d: &Depthwise<'_, F::Of<'_>>,
    steps: &Steps,
    oy: usize,
    out: &mut [F::Out],
    of_block: F::Channels,
) {
    let (channels, columns) = (d.window.channels, d.window.output[1]);
    let words = d.packed.len() / D::WORD / channels.div_ceil(D::LANES);
    for (first, packed) in groups::<D>(channels, words, 0) {
        for ox in (0..columns).step_by(steps.piece) {
            let outputs = steps.piece.min(columns - ox);
            let out = out[ox * channels + first..].as_mut_ptr();
            // SAFETY: the block's channels are in the image, the parameters and the output; the packed weights have a
            // group for each group of channels; a strip has the columns of a piece.
            unsafe {
                fill::<D, _, DOWN>(strip, x, d, steps, [oy, ox], outputs, first, of_block);
                let finish = F::new(&d.epilogue, first, of_block);
                let weights = (d.packed.as_ptr().add(packed), D::WORD);
                let begin = begin(finish.start(), steps, weights);
                let place = |at: usize, down: usize| Some(out.add((down * columns + at) * channels));
                let mut at = 0;
                while at + RIGHT <= outputs {
                    multiply::<D, F, DOWN, RIGHT>(
                        strip,
                        steps,
                        weights,
                        (&finish, begin),
                        at * D::LANES,
                        D::LANES,
                        |down, right| place(at + right, down),
                    );
                    at += RIGHT;
                }
                while at < outputs {
                    multiply::<D, F, DOWN, 1>(
                        strip,
                        steps,
                        weights,
                        (&finish, begin),
                        at * D::LANES,
                        0,
                        |down, _| place(at, down),
                    );
                    at += 1;
                }
            }
        }
    }
}

/// The columns of `outputs` outputs from `output` on, for `DOWN` rows of them.
///
/// # Safety
/// The CPU has the tier of `D`; `x` is the image of `d`'s window, which has a block's channels from `first` on; a strip
/// has the columns.
#[inline(always)]
unsafe fn fill<D: Dot, E, const DOWN: usize>(
    strip: &mut Strip,
    x: &[u8],
    d: &Depthwise<'_, E>,
    steps: &Steps,
    output: [usize; 2],
    outputs: usize,
    first: usize,
    of_block: impl Channels<D>,
) {
    let (window, stride) = (&d.window, d.window.stride[1]);
    let (last, [height, width]) = (window.kernel[0] + DOWN - 2, window.input);
    let (top, left) = (window.start(0, output[0]), window.start(1, output[1]));
    let padding = [d.x_zero_point; GROUP];
    let pixels = steps.pixels(outputs);
    // Taps of a word that lie in a row, and from one to the next.
    let lies = Lines::of(window.kernel).lie;
    let (beside, apart) = if lies { (D::TAPS, window.dilation[1]) } else { (1, 0) };
    for (line, &from) in steps.lines().iter().enumerate() {
        let left = left + from as isize;
        // How many pixels lie before a place of the row.
        let before = |place: isize| ((place - left).max(0) as usize).div_ceil(stride).min(pixels);
        let reach = ((beside - 1) * apart) as isize;
        // From the first pixel of which a tap is in the image, and from the first one of which all are.
        let some = before(-reach)..before(width as isize);
        let all = before(0).min(some.end)..before(width as isize - reach).max(before(0)).min(some.end);
        for word in 0..steps.words {
            // SAFETY: the block's channels of pixels of the image, or of the padding; the strip has the columns.
            unsafe {
                let to = strip.at(steps.at(line, word, 0));
                for pixel in (0..some.start).chain(some.end..pixels) {
                    D::padding(d.x_zero_point).store_bytes(to.add(pixel * D::BYTES));
                }
                // Where each tap's pixel would be that the row's first one is; the padding stays where it is. What a word has
                // no tap for reads the padding: its weights are 0.
                let mut rows = [(padding.as_ptr(), 0); TAPS_MAX];
                for (tap, place) in rows.iter_mut().enumerate().take(D::TAPS) {
                    let row = if lies { 0 } else { word * D::TAPS + tap };
                    let y = top + (row * window.dilation[0]) as isize;
                    if row <= last && (y as usize) < height && width > 0 {
                        let at = x.as_ptr().add(window.pixel(y as usize, 0) + first);
                        let tap = if lies { tap * apart } else { 0 };
                        let ahead = (left + tap as isize).wrapping_mul(window.channels as isize);
                        *place = (at.wrapping_offset(ahead), stride * window.channels);
                    }
                }
                for pixel in (some.start..all.start).chain(all.end..some.end) {
                    let mut taps = [padding.as_ptr(); TAPS_MAX];
                    for (tap, place) in taps.iter_mut().enumerate().take(D::TAPS) {
                        let at = left + (pixel * stride + tap * apart) as isize;
                        if (at as usize) < width {
                            *place = rows[tap].0.wrapping_add(pixel * rows[tap].1);
                        }
                    }
                    of_block.interleave(taps, D::TAPS).store_bytes(to.add(pixel * D::BYTES));
                }
                let mut taps = rows.map(|(place, step)| place.wrapping_add(all.start * step));
                for pixel in all.clone() {
                    of_block.interleave(taps, D::TAPS).store_bytes(to.add(pixel * D::BYTES));
                    for tap in 0..D::TAPS {
                        taps[tap] = taps[tap].wrapping_add(rows[tap].1);
                    }
                }
            }
        }
    }
}

/// What the sums of a register's channels begin with, by their words of weights.
///
/// # Safety
/// As [`multiply`].
#[inline(always)]
pub(super) unsafe fn begin<D: Dot>(start: D, steps: &Steps, (weights, word): (*const u8, usize)) -> D {
    let mut start = start;
    for number in 0..steps.columns().len() * steps.words {
        // SAFETY: the caller's promise.
        start = unsafe { D::begin(start, D::load_bytes(weights.add(number * word))) };
    }
    start
}

/// `DOWN` x `RIGHT` registers of outputs: those of a row begin at the lane `first` of the strip, `hop` lanes apart, and use the
/// same weights, and begin with the same sums. `last` is the lane where the last one begins at most. Where there are two rows, the window moves down by one.
///
/// # Safety
/// The CPU has the tier of `D`; a strip that holds the outputs' columns; words of weights at `weights`, `word` bytes apart;
/// places that are good for a register's elements, where there is one.
#[inline(always)]
pub(super) unsafe fn multiply<D: Dot, F: Finish<D>, const DOWN: usize, const RIGHT: usize>(
    strip: &mut Strip,
    steps: &Steps,
    weights: (*const u8, usize),
    (finish, begin): (&F, D),
    first: usize,
    hop: usize,
    place: impl Fn(usize, usize) -> Option<*mut F::Out>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let (mut weights, word) = weights;
        let start = strip.at(first * LANE).cast_const();
        let below = steps.length() * LANE;
        let mut sums = [[begin; RIGHT]; DOWN];
        for &column in steps.columns() {
            let mut values = start.add(column as usize);
            // The row below meets each of the strip's rows one tap later.
            let mut before = D::splat(0);
            for _ in 0..steps.words {
                let taps = D::load_bytes(weights);
                let later = taps.one_later(before);
                before = taps;
                weights = weights.add(word);
                for right in 0..RIGHT {
                    let values = D::load_bytes(values.add(right * hop * LANE));
                    for down in 0..DOWN {
                        let taps = if down == 0 { taps } else { later };
                        sums[down][right] = sums[down][right].dot(values, taps);
                    }
                }
                values = values.add(below);
            }
        }
        for down in 0..DOWN {
            finish.write([sums[down]], |_, right| place(down, right));
        }
    }
}
