//! Any kernel, stride and dilation for 8 channels at a time.
//!
//! A *column* holds the input rows that an output row needs at one place, interleaved in pairs and widened; those that a
//! piece of the row needs lie side by side in a strip, where each is made once and serves every output that it meets. A
//! kernel of one row has pairs of neighbouring taps instead.

use std::arch::x86_64::*;
use std::ops::Range;

use super::eight::{Eight, HALF, TAPS, WORD, halves};
use super::pairs::Pairs;
use crate::depthwise::entries::Depthwise;
use crate::depthwise::general;
use crate::depthwise::pack::Lines;
use crate::geometry::Window;

/// Vectors of a strip: 16 KB.
const VECTORS: usize = 512;
/// Outputs that go through together.
const RIGHT: usize = 4;
/// Rows of a strip at most.
const ROWS: usize = 32;

/// How the kernel's lines lie in a strip.
#[derive(Clone, Copy)]
struct Steps {
    /// Vectors of a column.
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
    fn new(window: &Window) -> Option<Steps> {
        let lines = Lines::of(window.kernel);
        let words = lines.length.div_ceil(TAPS);
        let (words, count, distance) = if lines.lie {
            (1, words, window.dilation[1].checked_mul(TAPS)?)
        } else {
            (words, lines.count, window.dilation[1])
        };
        let reach = (count - 1).checked_mul(distance)?;
        let room = (VECTORS / words).checked_sub(reach + 1)?;
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
/// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts; [`super::have_halves`]; what the epilogue
/// asks for.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<E: Eight>(
    x: &[u8],
    d: &Depthwise<'_, E::Of<'_>>,
    rows: Range<usize>,
    out: &mut [E::Out],
) where
    for<'a> E::Of<'a>: general::Epilogue<Pairs, Out = E::Out>,
{
    let Some(steps) = Steps::new(&d.window) else {
        // SAFETY: the caller's promise.
        return unsafe { general::run::<Pairs, _>(x, d, rows, out) };
    };
    // Of an odd number of rows, the last pair has room for one more: for that of the output row below.
    let [kh, ..] = d.window.kernel;
    let is_paired = kh > 1 && kh % 2 == 1 && d.window.stride[0] == 1 && d.window.dilation[0] == 1;
    let line = d.window.output[1] * d.window.channels;
    let mut strip = [_mm256_setzero_si256(); VECTORS];
    let mut oy = rows.start;
    while oy < rows.end {
        let out = &mut out[(oy - rows.start) * line..];
        // SAFETY: the caller's promise; the rows are in the output.
        unsafe {
            if is_paired && oy + 2 <= rows.end {
                lines::<E, 2>(&mut strip, x, d, steps, oy, out);
                oy += 2;
            } else {
                lines::<E, 1>(&mut strip, x, d, steps, oy, out);
                oy += 1;
            }
        }
    }
}

/// `DOWN` output rows, the first of which is `oy`; where there are two, the window moves down by one row.
///
/// # Safety
/// As [`run`]; `out` begins with the rows.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn lines<E: Eight, const DOWN: usize>(
    strip: &mut [__m256i; VECTORS],
    x: &[u8],
    d: &Depthwise<'_, E::Of<'_>>,
    steps: Steps,
    oy: usize,
    out: &mut [E::Out],
) {
    let (channels, columns) = (d.window.channels, d.window.output[1]);
    let group_bytes = steps.count * steps.words * WORD;
    for (first, packed) in halves(channels, group_bytes) {
        for ox in (0..columns).step_by(steps.piece) {
            let outputs = steps.piece.min(columns - ox);
            let out = &mut out[ox * channels + first..];
            // SAFETY: `first + 8` channels are in the image, the parameters and the output; the packed weights have a
            // group for each group of channels, in two halves; a strip has the columns of a piece.
            unsafe {
                fill::<_, DOWN>(strip, x, d, steps, [oy, ox], outputs, first);
                let epilogue = E::new(&d.epilogue, first);
                let weights = d.packed.as_ptr().add(packed);
                multiply::<E, DOWN>(strip, weights, &epilogue, steps, &d.window, outputs, out.as_mut_ptr());
            }
        }
    }
}

/// The columns of `outputs` outputs from `output` on, for `DOWN` rows of them.
///
/// # Safety
/// The CPU has the tier; `x` is the image of `d`'s window, which has 8 channels from `first` on.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn fill<E, const DOWN: usize>(
    strip: &mut [__m256i; VECTORS],
    x: &[u8],
    d: &Depthwise<'_, E>,
    steps: Steps,
    output: [usize; 2],
    outputs: usize,
    first: usize,
) {
    let window = &d.window;
    let (last, [height, width]) = (window.kernel[0] + DOWN - 2, window.input);
    let padding = [d.x_zero_point; HALF];
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
    let columns = steps.columns(outputs, window.stride[1]);
    for (column, vectors) in strip.chunks_exact_mut(steps.words).take(columns).enumerate() {
        let at = left + column as isize;
        for (word, vector) in vectors.iter_mut().enumerate() {
            // The second tap of an odd kernel's last pair has weights of 0: any bytes do.
            let (even, odd) = if lies {
                ((0, at), (0, at + window.dilation[1] as isize))
            } else {
                ((TAPS * word, at), ((TAPS * word + 1).min(last), at))
            };
            let load = |(ky, at): (usize, isize)| {
                let (place, step) = places[ky];
                let place = if (at as usize) < width {
                    place.wrapping_add(at as usize * step)
                } else {
                    padding.as_ptr()
                };
                // SAFETY: 8 channels of a pixel of the image, or of the padding.
                unsafe { _mm_loadl_epi64(place.cast()) }
            };
            *vector = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(load(even), load(odd)));
        }
    }
}

/// `outputs` outputs of 8 channels, in `DOWN` rows, from the strip that holds their columns.
///
/// # Safety
/// The CPU has the tier; `steps.count * steps.words` words at `weights`, of which half each is read; room for the
/// outputs' channels at `out`, and in the row below where there are two.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply<E: Eight, const DOWN: usize>(
    strip: &[__m256i; VECTORS],
    weights: *const u8,
    epilogue: &E,
    steps: Steps,
    window: &Window,
    outputs: usize,
    out: *mut E::Out,
) {
    let stride = window.stride[1] * steps.words;
    for ox in (0..outputs).step_by(RIGHT) {
        // Where the row ends, the last output is made again.
        let starts: [usize; RIGHT] = std::array::from_fn(|right| (ox + right).min(outputs - 1) * stride);
        // SAFETY: the caller's promise; the strip has all columns of the outputs.
        unsafe {
            let mut sums = [[epilogue.start(); RIGHT]; DOWN];
            let mut weights = weights;
            for step in 0..steps.count {
                let column = step * steps.distance * steps.words;
                // The row below meets each of the strip's rows one tap earlier.
                let mut carried = _mm256_setzero_si256();
                for word in 0..steps.words {
                    let taps = _mm256_loadu_si256(weights.cast());
                    let below = _mm256_or_si256(_mm256_slli_epi32::<16>(taps), carried);
                    carried = _mm256_srli_epi32::<16>(taps);
                    weights = weights.add(WORD);
                    for right in 0..RIGHT {
                        let values = _mm256_load_si256(strip.as_ptr().add(starts[right] + column + word));
                        for down in 0..DOWN {
                            let taps = if down == 0 { taps } else { below };
                            let products = _mm256_madd_epi16(values, taps);
                            sums[down][right] = _mm256_add_epi32(sums[down][right], products);
                        }
                    }
                }
            }
            for down in 0..DOWN {
                epilogue.write([sums[down]], |_, right| {
                    let at = down * window.output[1] + ox + right;
                    (ox + right < outputs).then(|| out.add(at * window.channels))
                });
            }
        }
    }
}
