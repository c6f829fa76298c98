//! Any kernel, stride and dilation for as many channels at a time as a register has lanes.
//!
//! A *column* holds the input rows that an output row needs at one place, interleaved word by word; those that a piece of
//! the row needs lie side by side in a strip, where each is made once and serves every output that it meets. A kernel of
//! one row has words of neighbouring taps instead.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::dot::{Channels, Dot, blocks};
use super::entries::Depthwise;
use super::finish::Finish;
use super::general::{self, TAPS_MAX};
use super::pack::{GROUP, Lines};
use crate::geometry::Window;

/// Bytes of a strip: half of the smallest first-level cache.
const BYTES: usize = 1 << 14;
/// Outputs that go through together.
const RIGHT: usize = 4;
/// Rows of a strip at most.
const ROWS: usize = 32;

/// The columns of a piece of an output row.
#[repr(align(64))]
struct Strip([MaybeUninit<u8>; BYTES]);

impl Strip {
    /// The place of a register's bytes.
    ///
    /// # Safety
    /// A strip has as many registers.
    #[inline(always)]
    unsafe fn at<D: Dot>(&mut self, register: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.as_mut_ptr().cast::<u8>().add(register * D::BYTES) }
    }
}

/// How the kernel's lines lie in a strip.
#[derive(Clone, Copy)]
struct Steps {
    /// Words of a column: a register each.
    words: usize,
    /// Columns that an output needs.
    count: usize,
    /// From one to the next.
    distance: usize,
    /// Outputs of a piece.
    piece: usize,
}

impl Steps {
    /// `None` where a strip is too short for a few outputs.
    fn new<D: Dot>(window: &Window) -> Option<Steps> {
        let lines = Lines::of(window.kernel);
        let words = lines.length.div_ceil(D::TAPS);
        let (words, count, distance) = if lines.lie {
            (1, words, window.dilation[1].checked_mul(D::TAPS)?)
        } else {
            (words, lines.count, window.dilation[1])
        };
        let reach = (count - 1).checked_mul(distance)?;
        let room = (BYTES / D::BYTES / words).checked_sub(reach + 1)?;
        let piece = room / window.stride[1] + 1;
        (window.kernel[0] <= ROWS && piece >= RIGHT).then_some(Steps { words, count, distance, piece })
    }

    /// The columns of so many outputs, at least one.
    fn columns(self, outputs: usize, stride: usize) -> usize {
        (outputs - 1) * stride + (self.count - 1) * self.distance + 1
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
    let Some(steps) = Steps::new::<D>(&d.window) else {
        // SAFETY: the caller's promise.
        return unsafe { general::run::<D::Group, _>(x, d, rows, out) };
    };
    // Where the last word of a column has room for one more row: for that of the output row below.
    let [kh, ..] = d.window.kernel;
    let has_room = kh > 1 && !kh.is_multiple_of(D::TAPS);
    let is_paired = has_room && d.window.stride[0] == 1 && d.window.dilation[0] == 1;
    let line = d.window.output[1] * d.window.channels;
    let mut strip = Strip([MaybeUninit::uninit(); BYTES]);
    let mut oy = rows.start;
    while oy < rows.end {
        let out = &mut out[(oy - rows.start) * line..];
        // SAFETY: the caller's promise; the rows are in the output.
        unsafe {
            if is_paired && oy + 2 <= rows.end {
                lines::<D, F, 2>(&mut strip, x, d, steps, oy, out, of_block);
                oy += 2;
            } else {
                lines::<D, F, 1>(&mut strip, x, d, steps, oy, out, of_block);
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
    steps: Steps,
    oy: usize,
    out: &mut [F::Out],
    of_block: F::Channels,
) {
    let (channels, columns) = (d.window.channels, d.window.output[1]);
    for (first, packed) in blocks::<D>(channels, steps.count * steps.words, 0) {
        for ox in (0..columns).step_by(steps.piece) {
            let outputs = steps.piece.min(columns - ox);
            let out = &mut out[ox * channels + first..];
            // SAFETY: the block's channels are in the image, the parameters and the output; the packed weights have a
            // group for each group of channels; a strip has the columns of a piece.
            unsafe {
                fill::<D, _, DOWN>(strip, x, d, steps, [oy, ox], outputs, first, of_block);
                let finish = F::new(&d.epilogue, first, of_block);
                let weights = d.packed.as_ptr().add(packed);
                multiply::<D, F, DOWN>(strip, weights, &finish, steps, &d.window, outputs, out.as_mut_ptr());
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
    steps: Steps,
    output: [usize; 2],
    outputs: usize,
    first: usize,
    of_block: impl Channels<D>,
) {
    let window = &d.window;
    let (last, [height, width]) = (window.kernel[0] + DOWN - 2, window.input);
    let padding = [d.x_zero_point; GROUP];
    let (top, left) = (window.start(0, output[0]), window.start(1, output[1]));
    // A row's first pixel, and from one pixel to the next; the padding stays where it is.
    let mut places = [(padding.as_ptr(), 0); ROWS];
    for (ky, place) in places.iter_mut().enumerate().take(last + 1) {
        let y = top + (ky * window.dilation[0]) as isize;
        if (y as usize) < height && width > 0 {
            *place = (x[window.pixel(y as usize, 0) + first..].as_ptr(), window.channels);
        }
    }
    let lies = Lines::of(window.kernel).lie;
    for column in 0..steps.columns(outputs, window.stride[1]) {
        let at = left + column as isize;
        let is_inside = (at as usize) < width;
        // What a word has no tap for reads the padding: its weights are 0.
        for (word, rows) in places.chunks_exact(D::TAPS).enumerate().take(steps.words) {
            let mut taps = [padding.as_ptr(); TAPS_MAX];
            if lies {
                let (row, step) = places[0];
                for (tap, place) in taps.iter_mut().enumerate().take(D::TAPS) {
                    let at = at + (tap * window.dilation[1]) as isize;
                    if (at as usize) < width {
                        *place = row.wrapping_add(at as usize * step);
                    }
                }
            } else if is_inside {
                for (place, &(row, step)) in taps.iter_mut().zip(rows) {
                    *place = row.wrapping_add(at as usize * step);
                }
            }
            // SAFETY: the block's channels of a pixel of the image, or of the padding; the strip has the column.
            unsafe {
                let values = of_block.interleave(taps, D::TAPS);
                values.store_bytes(strip.at::<D>(column * steps.words + word));
            }
        }
    }
}

/// `outputs` outputs of a block's channels, in `DOWN` rows, from the strip that holds their columns.
///
/// # Safety
/// The CPU has the tier of `D`; `steps.count * steps.words` words at `weights`, of which the block's part is read; room
/// for the outputs' channels at `out`, and in the row below where there are two.
#[inline(always)]
unsafe fn multiply<D: Dot, F: Finish<D>, const DOWN: usize>(
    strip: &mut Strip,
    weights: *const u8,
    finish: &F,
    steps: Steps,
    window: &Window,
    outputs: usize,
    out: *mut F::Out,
) {
    let stride = window.stride[1] * steps.words;
    for ox in (0..outputs).step_by(RIGHT) {
        // SAFETY: the caller's promise; the strip has all columns of the outputs.
        unsafe {
            // Where the row ends, the last output is made again.
            let mut starts = [strip.at::<D>(0); RIGHT];
            for (right, start) in starts.iter_mut().enumerate() {
                *start = strip.at::<D>((ox + right).min(outputs - 1) * stride);
            }
            let mut sums = [[finish.start(); RIGHT]; DOWN];
            let mut weights = weights;
            for step in 0..steps.count {
                let column = step * steps.distance * steps.words * D::BYTES;
                // The row below meets each of the strip's rows one tap later.
                let mut before = D::splat(0);
                for word in 0..steps.words {
                    let taps = D::load_bytes(weights);
                    let below = taps.one_later(before);
                    before = taps;
                    weights = weights.add(D::WORD);
                    for right in 0..RIGHT {
                        let values = D::load_bytes(starts[right].add(column + word * D::BYTES));
                        for down in 0..DOWN {
                            let taps = if down == 0 { taps } else { below };
                            sums[down][right] = sums[down][right].dot(values, taps);
                        }
                    }
                }
            }
            for down in 0..DOWN {
                finish.write([sums[down]], |_, right| {
                    let at = down * window.output[1] + ox + right;
                    (ox + right < outputs).then(|| out.add(at * window.channels))
                });
            }
        }
    }
}
