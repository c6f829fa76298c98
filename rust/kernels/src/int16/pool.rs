//! Pools of int16 over one image in NHWC, and the mean of all pixels. Sums are of 64 bits.

use std::ops::Range;

use crate::geometry::Window;
use crate::isa::{Entry, Has};
use crate::requantize::words::{Scale, assert_clamp, assert_factor};

/// The arithmetic of [`average_pool`]: the sum of the taps inside the input, requantized by the factor of the count.
#[derive(Clone, Copy, Debug)]
pub struct Average<'a> {
    /// The smallest output.
    pub lo: i32,
    /// The largest output.
    pub hi: i32,
    /// Multiplier and shift by count; entry 0 is never read (a window that counts nothing gives 0).
    pub factors: &'a [(i32, u32)],
    /// `None`: the count is that of the taps inside the input. `Some([bottom, right])`: it takes in the taps in the
    /// padding too, which is `pad` before and this much behind the input.
    pub count_include_pad: Option<[usize; 2]>,
}

/// The arithmetic of [`mean_rows`]: the sum over all rows, requantized.
#[derive(Clone, Copy, Debug)]
pub struct Mean {
    /// Of the factor that takes in the division by the number of rows.
    pub multiplier: i32,
    /// In `8..=62`.
    pub shift: u32,
    /// The smallest output.
    pub lo: i32,
    /// The largest output.
    pub hi: i32,
}

type RunMax = unsafe fn(&[i16], &Window, Range<usize>, &mut [i16]);
type RunAverage = unsafe fn(&[i16], &Window, Range<usize>, &Average<'_>, &mut [i16]);
type RunMean = unsafe fn(&[i16], usize, &Mean, &mut [i16]);
type RunMeanToFloats = unsafe fn(&[i16], usize, f32, &mut [f32]);

/// One tier's pools. Each asks for what its safe function asserts.
#[derive(Debug)]
pub struct Entries {
    /// See [`max_pool`].
    pub max: Entry<RunMax>,
    /// See [`average_pool`].
    pub average: Entry<RunAverage>,
    /// See [`mean_rows`].
    pub mean: Entry<RunMean>,
    /// See [`mean_rows_to_floats`].
    pub mean_to_floats: Entry<RunMeanToFloats>,
}

crate::plain::fused_tiers!(Entries {
    max(x: &[i16], window: &Window, rows: Range<usize>, out: &mut [i16]) = max_source as "i16-maxpool";
    average(x: &[i16], window: &Window, rows: Range<usize>, average: &Average<'_>, out: &mut [i16])
        = average_source as "i16-averagepool";
    mean(x: &[i16], channels: usize, mean: &Mean, out: &mut [i16]) = mean_source as "i16-mean";
    mean_to_floats(x: &[i16], channels: usize, scale: f32, out: &mut [f32])
        = mean_to_floats_source as "i16f32-mean";
});

/// Max pool: some rows of the output image, from the whole input image. Padding never wins; a window that lies in the
/// padding alone gives -32768. Panics where a length or the geometry breaks its bounds.
pub fn max_pool(k: impl Has<Entries>, x: &[i16], window: &Window, rows: Range<usize>, out: &mut [i16]) {
    window.assert_slices(x, &rows, out);
    let run = k.entries().max.code();
    // SAFETY: `k` proves the tier; the lengths are checked, or follow from those that are.
    window.run_by_columns(x, rows, out, |x, window, rows, out| unsafe { run(x, window, rows, out) });
}

/// Average pool: some rows of the output image, from the whole input image. Panics where a length, the geometry or the
/// arithmetic breaks its bounds: a sum of all taps is below `2^38`, and every count that occurs has a factor.
pub fn average_pool(
    k: impl Has<Entries>,
    x: &[i16],
    window: &Window,
    rows: Range<usize>,
    average: &Average<'_>,
    out: &mut [i16],
) {
    window.assert_slices(x, &rows, out);
    assert_count(window.kernel[0].saturating_mul(window.kernel[1]));
    assert_clamp(average.lo, average.hi);
    assert!(average.factors.iter().skip(1).all(|&(_, shift)| (8..=62).contains(&shift)), "{average:?}");
    // SAFETY: `k` proves the tier; the lengths are checked.
    unsafe { (k.entries().average.code())(x, window, rows, average, out) }
}

/// The mean over the rows of `[rows, channels]`: global average pooling. Panics where a length or the arithmetic breaks
/// its bounds: a sum of all rows is below `2^38`.
pub fn mean_rows(k: impl Has<Entries>, x: &[i16], channels: usize, mean: &Mean, out: &mut [i16]) {
    assert_rows(x, channels, out.len());
    assert_factor(mean.multiplier, mean.shift);
    assert_clamp(mean.lo, mean.hi);
    assert!(mean.shift >= 8, "{mean:?}");
    // SAFETY: `k` proves the tier; the lengths are checked.
    unsafe { (k.entries().mean.code())(x, channels, mean, out) }
}

/// The mean over the rows of `[rows, channels]` in float32: the sum times a scale, which takes in the division by the
/// number of rows. Panics as [`mean_rows`] does.
pub fn mean_rows_to_floats(k: impl Has<Entries>, x: &[i16], channels: usize, scale: f32, out: &mut [f32]) {
    assert_rows(x, channels, out.len());
    // SAFETY: `k` proves the tier; the lengths are checked.
    unsafe { (k.entries().mean_to_floats.code())(x, channels, scale, out) }
}

fn assert_rows(x: &[i16], channels: usize, outputs: usize) {
    assert_eq!(outputs, channels, "the length of the output");
    assert!(x.len().is_multiple_of(channels.max(1)), "{} elements are no rows of {channels}", x.len());
    assert_count(x.len() / channels.max(1));
}

fn assert_count(count: usize) {
    assert!(count.saturating_mul(65_534) < 1 << 38, "a sum of {count} values reaches 2^38");
}

/// Channels that go through together.
const BLOCK: usize = 32;

#[inline(always)]
fn max_source<const FUSED: bool>(x: &[i16], window: &Window, rows: Range<usize>, out: &mut [i16]) {
    each_pixel(window, rows, out, |taps, pixel| {
        pixel.fill(i16::MIN);
        each_tap(window, &taps, |at| {
            for (most, &x) in pixel.iter_mut().zip(&x[at..]) {
                *most = x.max(*most);
            }
        });
    });
}

#[inline(always)]
fn average_source<const FUSED: bool>(
    x: &[i16],
    window: &Window,
    rows: Range<usize>,
    average: &Average<'_>,
    out: &mut [i16],
) {
    each_pixel(window, rows, out, |taps, pixel| {
        let counted = match average.count_include_pad {
            None => taps.rows.len() * taps.columns.len(),
            Some(behind) => {
                let below = |axis: usize, output: usize| {
                    let end = window.input[axis].saturating_add(behind[axis]).min(isize::MAX as usize / 2);
                    window.taps_below(axis, output, end as isize)
                };
                below(0, taps.output[0]) * below(1, taps.output[1])
            }
        };
        if counted == 0 {
            return pixel.fill(0i16.clamp(average.lo as i16, average.hi as i16));
        }
        let (multiplier, shift) = average.factors[counted];
        let scale = Scale::<FUSED>::new(multiplier, shift, average.lo, average.hi);
        for (block, out) in pixel.chunks_mut(BLOCK).enumerate() {
            let mut sums = [0i64; BLOCK];
            each_tap(window, &taps, |at| {
                for (sum, &x) in sums[..out.len()].iter_mut().zip(&x[at + block * BLOCK..]) {
                    *sum += i64::from(x);
                }
            });
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = scale.apply(sum));
        }
    });
}

/// The taps of an output pixel that lie inside the input.
struct Taps {
    output: [usize; 2],
    rows: Range<usize>,
    columns: Range<usize>,
}

/// Visits each output pixel of some rows.
#[inline(always)]
fn each_pixel(window: &Window, rows: Range<usize>, out: &mut [i16], mut of: impl FnMut(Taps, &mut [i16])) {
    let mut pixels = out.chunks_exact_mut(window.channels.max(1));
    for oy in rows {
        let inside = window.taps_inside(0, oy);
        for (ox, pixel) in (0..window.output[1]).zip(&mut pixels) {
            let columns = window.taps_inside(1, ox);
            of(Taps { output: [oy, ox], rows: inside.clone(), columns }, pixel);
        }
    }
}

/// Visits the first channel of each tap.
#[inline(always)]
fn each_tap(window: &Window, taps: &Taps, mut of: impl FnMut(usize)) {
    let [oy, ox] = taps.output;
    for i in taps.rows.clone() {
        for j in taps.columns.clone() {
            of(window.tap(oy, ox, i, j));
        }
    }
}

#[inline(always)]
fn mean_source<const FUSED: bool>(x: &[i16], channels: usize, mean: &Mean, out: &mut [i16]) {
    let scale = Scale::<FUSED>::new(mean.multiplier, mean.shift, mean.lo, mean.hi);
    each_sum(x, channels, out, |sum| scale.apply(sum));
}

#[inline(always)]
fn mean_to_floats_source<const FUSED: bool>(x: &[i16], channels: usize, scale: f32, out: &mut [f32]) {
    each_sum(x, channels, out, |sum| sum as f32 * scale);
}

/// Each channel's result of the sum of its rows.
#[inline(always)]
fn each_sum<Y>(x: &[i16], channels: usize, out: &mut [Y], of: impl Fn(i64) -> Y) {
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let mut sums = [0i64; BLOCK];
        for row in x.chunks_exact(channels) {
            for (sum, &x) in sums[..out.len()].iter_mut().zip(&row[block * BLOCK..]) {
                *sum += i64::from(x);
            }
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = of(sum));
    }
}
