//! Few channels: a row's pixels lie side by side in a register, each with all of its channels.
//!
//! The rows that an output row sees are copied with their padding, the pixels that a stride apart are side by side, so that
//! a tap of neighbouring outputs is neighbouring bytes. Weights and parameters are repeated as the channels are.

use std::ops::Range;

use super::dot::{All, Dot};
use super::entries::{Depthwise, Floats};
use super::finish::Finish;
use super::general::TAPS_MAX;
use super::pack::{GROUP, Lines};
use super::steps::{LANE, RIGHT, ROW_CHANNELS, Steps};
use super::strip::{Strip, begin, multiply};
use crate::geometry::Window;
use crate::requantize::Requantize;
use crate::simd::pick;

/// Repeated parameters at most.
const PARAMETERS: usize = ROW_CHANNELS + GROUP;
/// Bytes that a copy reads and writes at a time.
const COPIED: usize = 16;

/// The parameters of all channels, repeated.
pub(super) struct Parameters {
    ints: [[i32; PARAMETERS]; 3],
    floats: [[f32; PARAMETERS]; 2],
}

impl Parameters {
    const ZERO: Parameters = Parameters { ints: [[0; PARAMETERS]; 3], floats: [[0.0; PARAMETERS]; 2] };
}

/// Rows of values, one a channel, each again from the first one on to the end of its row of `to`.
fn repeat<'a, T: Copy, const N: usize>(of: [&[T]; N], to: &'a mut [[T; PARAMETERS]; N]) -> [&'a [T]; N] {
    for (to, of) in to.iter_mut().zip(of) {
        to.iter_mut().zip(of.iter().cycle()).for_each(|(to, &of)| *to = of);
    }
    to.each_ref().map(<[T; PARAMETERS]>::as_slice)
}

/// What becomes of the sums, repeated as the channels are.
pub(super) trait Repeat: Copy {
    type Of<'a>;
    fn repeated<'a>(&self, room: &'a mut Parameters) -> Self::Of<'a>;
}

impl Repeat for Requantize<'_> {
    type Of<'a> = Requantize<'a>;

    fn repeated<'a>(&self, room: &'a mut Parameters) -> Requantize<'a> {
        let [bias, multiplier, shift] = repeat([self.bias, self.multiplier, self.shift], &mut room.ints);
        Requantize { bias, multiplier, shift, ..*self }
    }
}

impl Repeat for Floats<'_> {
    type Of<'a> = Floats<'a>;

    fn repeated<'a>(&self, room: &'a mut Parameters) -> Floats<'a> {
        let [acc_bias, ..] = repeat([self.acc_bias, &[], &[]], &mut room.ints);
        let [scale, bias] = repeat([self.scale, self.bias], &mut room.floats);
        Floats { acc_bias, scale, bias, ..*self }
    }
}

/// Some rows of the output image.
///
/// # Safety
/// The CPU has the tier of `D`; the bounds that [`super::run`] asserts; a window that rows take; what the finish
/// asks for.
#[inline(always)]
pub(super) unsafe fn run<D: Dot, F: Finish<D, Channels = All>>(
    x: &[u8],
    d: &Depthwise<'_, F::Of<'_>>,
    rows: Range<usize>,
    out: &mut [F::Out],
) where
    for<'a, 'b> F::Of<'a>: Repeat<Of<'b> = F::Of<'b>>,
    F::Out: Copy + Default,
{
    let window = &d.window;
    let steps = Steps::new(window, D::TAPS, window.channels, D::LANES).expect("a window that rows take");
    let mut room = Parameters::ZERO;
    let parameters = d.epilogue.repeated(&mut room);
    let line = window.output[1] * window.channels;
    let (mut strip, mut bytes) = (Strip::new(), Strip::new());
    let mut oy = rows.start;
    while oy < rows.end {
        let down = if steps.is_paired && oy + 2 <= rows.end { 2 } else { 1 };
        for ox in (0..window.output[1]).step_by(steps.piece) {
            let outputs = steps.piece.min(window.output[1] - ox);
            let out = &mut out[(oy - rows.start) * line + ox * window.channels..];
            // SAFETY: the caller's promise; the rows are in the output; a strip has the columns of a piece.
            unsafe {
                fill::<D, _>(&mut strip, &mut bytes, x, d, &steps, [oy, ox], outputs, down);
                let elements = outputs * window.channels;
                let to = (out, line, elements);
                if down == 2 {
                    piece::<D, F, 2>(&mut strip, &steps, d.packed, &parameters, to);
                } else {
                    piece::<D, F, 1>(&mut strip, &steps, d.packed, &parameters, to);
                }
            }
        }
        oy += down;
    }
}

/// The outputs of a piece of `DOWN` rows: so many elements at the start of `out`, and a line behind it.
///
/// # Safety
/// As [`run`]; the strip holds the columns.
#[inline(always)]
unsafe fn piece<D: Dot, F: Finish<D, Channels = All>, const DOWN: usize>(
    strip: &mut Strip,
    steps: &Steps,
    packed: &[u8],
    parameters: &F::Of<'_>,
    (out, line, elements): (&mut [F::Out], usize, usize),
) where
    F::Out: Copy + Default,
{
    let channels = steps.width;
    // Registers of outputs that are so far apart have the same weights.
    let hop = channels >> channels.trailing_zeros().min(D::LANES.trailing_zeros());
    let hop = hop * D::LANES;
    let word = (channels + D::LANES) * LANE;
    let weights = |first: usize| (packed[first % channels * LANE..].as_ptr(), word);
    // SAFETY: the caller's promise; a register of weights and of parameters begins at each channel; where a register of
    // outputs is written, the piece has as many.
    unsafe {
        if elements < D::LANES {
            let mut to = [[F::Out::default(); GROUP]; DOWN];
            let places = to.each_mut().map(|row| row.as_mut_ptr());
            let finish = F::new(parameters, 0, All);
            let ends = (&finish, begin(finish.start(), steps, weights(0)));
            multiply::<D, F, DOWN, 1>(strip, steps, weights(0), ends, 0, 0, |down, _| Some(places[down]));
            for (down, to) in to.iter().enumerate() {
                out[down * line..][..elements].copy_from_slice(&to[..elements]);
            }
            return;
        }
        let to = (out.as_mut_ptr(), line);
        let whole = elements / D::LANES * D::LANES;
        for first in (0..hop.min(whole)).step_by(D::LANES) {
            let count = (whole - first).div_ceil(hop);
            let finish = F::new(parameters, first % channels, All);
            registers::<D, F, DOWN>(strip, steps, weights(first), &finish, (first, hop, count), to);
        }
        if whole < elements {
            let first = elements - D::LANES;
            let finish = F::new(parameters, first % channels, All);
            registers::<D, F, DOWN>(strip, steps, weights(first), &finish, (first, hop, 1), to);
        }
    }
}

/// `count` registers of outputs in `DOWN` rows, from the lane `first` on and `hop` lanes apart.
///
/// # Safety
/// As [`multiply`]; the registers at `out`, and a line behind them.
#[inline(always)]
unsafe fn registers<D: Dot, F: Finish<D, Channels = All>, const DOWN: usize>(
    strip: &mut Strip,
    steps: &Steps,
    weights: (*const u8, usize),
    finish: &F,
    (first, hop, count): (usize, usize, usize),
    (out, line): (*mut F::Out, usize),
) {
    let place = |at: usize, down: usize| out.wrapping_add(down * line + at);
    let mut at = first;
    // SAFETY: the caller's promise.
    unsafe {
        let ends = (finish, begin(finish.start(), steps, weights));
        for _ in 0..count / RIGHT {
            multiply::<D, F, DOWN, RIGHT>(strip, steps, weights, ends, at, hop, |down, right| {
                Some(place(at + right * hop, down))
            });
            at += RIGHT * hop;
        }
        for _ in 0..count % RIGHT {
            multiply::<D, F, DOWN, 1>(strip, steps, weights, ends, at, hop, |down, _| Some(place(at, down)));
            at += hop;
        }
    }
}

/// The columns of `outputs` outputs from `output` on, for `down` rows of them.
///
/// # Safety
/// The CPU has the tier of `D`; `x` is the image of `d`'s window; both strips have the columns.
#[inline(always)]
unsafe fn fill<D: Dot, E>(
    strip: &mut Strip,
    bytes: &mut Strip,
    x: &[u8],
    d: &Depthwise<'_, E>,
    steps: &Steps,
    output: [usize; 2],
    outputs: usize,
    down: usize,
) {
    let window = &d.window;
    let (top, left) = (window.start(0, output[0]), window.start(1, output[1]));
    let (lies, last) = (Lines::of(window.kernel).lie, window.kernel[0] + down - 2);
    let pixels = steps.pixels(outputs);
    let lanes = (pixels * window.channels).next_multiple_of(D::LANES);
    let pick = Pick::new(window.channels, window.stride[1]);
    for (line, &from) in steps.lines().iter().enumerate() {
        for word in 0..steps.words {
            // SAFETY: a line has room for so many lanes, and a strip for as many bytes for each tap of a word.
            unsafe {
                let mut taps = [bytes.at(0).cast_const(); TAPS_MAX];
                for (tap, place) in taps.iter_mut().enumerate().take(D::TAPS) {
                    let at = bytes.at(tap * steps.length());
                    let row = word * D::TAPS + tap;
                    let (y, x_from) = if lies { (0, tap * window.dilation[1]) } else { (row.min(last), 0) };
                    let y = top + (y * window.dilation[0]) as isize;
                    let first = left + (from + x_from) as isize;
                    if lies || row <= last {
                        pick.copy(x, window, (y, first), d.x_zero_point, (at, pixels, lanes));
                        *place = at;
                    }
                }
                for lane in (0..lanes).step_by(D::LANES) {
                    let values = D::interleave(taps.map(|tap| tap.add(lane)), D::TAPS);
                    values.store_bytes(strip.at(steps.at(line, word, lane)));
                }
            }
        }
    }
}

/// Copies the pixels that a stride apart are side by side.
struct Pick {
    channels: usize,
    stride: usize,
    /// Pixels that a copy of 16 bytes takes; 0 where pixels are copied one by one.
    taken: usize,
    /// Where the copy's bytes lie.
    places: [u8; COPIED],
}

impl Pick {
    #[inline(always)]
    fn new(channels: usize, stride: usize) -> Pick {
        let taken = (COPIED / channels).div_ceil(stride);
        let mut places = [0u8; COPIED];
        for (byte, place) in places.iter_mut().enumerate().take(taken * channels) {
            *place = (byte / channels * stride * channels + byte % channels) as u8;
        }
        Pick { channels, stride, taken, places }
    }

    /// `pixels` pixels of the row `y` from `first` on, of which those outside the image are the padding, which also
    /// follows up to so many bytes.
    ///
    /// # Safety
    /// As [`pick`]; `x` is the image; room for the bytes and 16 more at `to`.
    #[inline(always)]
    unsafe fn copy(
        &self,
        x: &[u8],
        window: &Window,
        (y, first): (isize, isize),
        padding: u8,
        (to, pixels, bytes): (*mut u8, usize, usize),
    ) {
        let [height, width] = window.input;
        let (channels, stride) = (self.channels, self.stride);
        // How many of the pixels lie before a place of the row.
        let before = |end: isize| (((end - first).max(0) as usize).div_ceil(stride)).min(pixels);
        let (skipped, end) = if (y as usize) < height { (before(0), before(width as isize)) } else { (0, 0) };
        // SAFETY: the caller's promise; a row of the image, and as many bytes behind a place as are read there.
        unsafe {
            to.write_bytes(padding, skipped * channels);
            if skipped < end {
                let from = (first + (skipped * stride) as isize) as usize;
                self.copy_inside(
                    &x[window.pixel(y as usize, from)..],
                    to.add(skipped * channels),
                    end - skipped,
                );
            }
            to.add(end * channels).write_bytes(padding, bytes - end * channels);
        }
    }

    /// `pixels` pixels, the first of which begins `x`, and whatever in the 16 bytes behind them.
    ///
    /// # Safety
    /// As [`Pick::copy`]; `x` has the pixels.
    #[inline(always)]
    unsafe fn copy_inside(&self, x: &[u8], to: *mut u8, pixels: usize) {
        let (channels, stride) = (self.channels, self.stride);
        // SAFETY: the caller's promise.
        unsafe {
            if stride == 1 {
                return x.as_ptr().copy_to_nonoverlapping(to, pixels * channels);
            }
            let mut pixel = 0;
            if self.taken > 0 {
                while pixel < pixels && pixel * stride * channels + COPIED <= x.len() {
                    let from = x.as_ptr().add(pixel * stride * channels);
                    pick(from, &self.places, to.add(pixel * channels));
                    pixel += self.taken;
                }
            }
            for pixel in pixel..pixels {
                let from = x.as_ptr().add(pixel * stride * channels);
                from.copy_to_nonoverlapping(to.add(pixel * channels), channels);
            }
        }
    }
}
