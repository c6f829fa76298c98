//! Pools over one NHWC image: a chain over the window, rows first, then columns.

use std::ops::Range;

use crate::geometry::Window;
use crate::isa::{Entry, Has};

type RunMax = unsafe fn(&[f32], &Window, Range<usize>, &mut [f32]);
type RunAverage = unsafe fn(&[f32], &Window, Option<[usize; 2]>, Range<usize>, &mut [f32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// Maxima over a window.
    pub max: Entry<RunMax>,
    /// Means over a window.
    pub average: Entry<RunAverage>,
}

crate::plain::plain_tiers!(Entries {
    max(x: &[f32], window: &Window, rows: Range<usize>, out: &mut [f32]) = max_kernel as "f32-maxpool";
    average(x: &[f32], window: &Window, padding_counts: Option<[usize; 2]>, rows: Range<usize>, out: &mut [f32]) = average_kernel as "f32-averagepool";
});

/// The largest element of each window, padding left out; NaN if one is. A window of padding alone gives -infinity.
///
/// `x` is the whole image, `[h, w, c]`; `out` holds the output rows `rows` alone, `[rows.len(), ow, c]`.
pub fn max_pool(k: impl Has<Entries>, x: &[f32], window: &Window, rows: Range<usize>, out: &mut [f32]) {
    window.assert_slices(x, &rows, out);
    let run = k.entries().max.code();
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    window.run_by_columns(x, rows, out, |x, window, rows, out| unsafe { run(x, window, rows, out) });
}

/// The mean of each window: the sum of the elements inside the image, from +0, divided by the count.
///
/// The count is of the elements inside; with `padding_counts`, the explicit padding at the bottom and at the right, it
/// is of those inside the padded image (ONNX's count_include_pad). Slices as in [`max_pool`].
pub fn average_pool(
    k: impl Has<Entries>,
    x: &[f32],
    window: &Window,
    padding_counts: Option<[usize; 2]>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    window.assert_slices(x, &rows, out);
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().average.code())(x, window, padding_counts, rows, out) }
}

/// What a pool keeps of the elements that it has seen, for some channels at once.
trait Fold<const N: usize> {
    const START: Self;
    fn add(&mut self, values: &[f32; N]);
    /// Given the elements that count.
    fn result(&self, count: f32) -> [f32; N];
}

/// [`super::math::maximum`] of all: a comparison an element, and what tells NaN and the sign of zero apart beside it.
struct Largest<const N: usize> {
    /// Of those that are not NaN; a zero of any sign.
    max: [f32; N],
    /// The bits that all have: the sign is among them where no zero was +0, if nothing was above zero.
    common: [u32; N],
    /// All bits, once one is NaN.
    nan: [u32; N],
}

impl<const N: usize> Fold<N> for Largest<N> {
    const START: Self = Largest { max: [f32::NEG_INFINITY; N], common: [!0; N], nan: [0; N] };

    #[inline(always)]
    fn add(&mut self, values: &[f32; N]) {
        for (i, &value) in values.iter().enumerate() {
            self.max[i] = if value > self.max[i] { value } else { self.max[i] };
            self.common[i] &= value.to_bits();
            self.nan[i] |= if value.is_nan() { !0 } else { 0 };
        }
    }

    #[inline(always)]
    fn result(&self, _: f32) -> [f32; N] {
        let mut result = self.max;
        for (i, result) in result.iter_mut().enumerate() {
            let zero = f32::from_bits(self.common[i] & (1 << 31));
            let max = if *result == 0.0 { zero } else { *result };
            *result = if self.nan[i] != 0 { f32::NAN } else { max };
        }
        result
    }
}

/// The mean of all: the sum, one chain, divided by the count.
struct Mean<const N: usize>([f32; N]);

impl<const N: usize> Fold<N> for Mean<N> {
    const START: Self = Mean([0.0; N]);

    #[inline(always)]
    fn add(&mut self, values: &[f32; N]) {
        for (sum, value) in self.0.iter_mut().zip(values) {
            *sum += value;
        }
    }

    #[inline(always)]
    fn result(&self, count: f32) -> [f32; N] {
        let mut mean = self.0;
        for mean in &mut mean {
            *mean /= count;
        }
        mean
    }
}

/// Folds each window's pixels, `N` channels at a time, of which there are no less; `count` is given the output pixel's
/// row and column. The last channels may be folded twice.
#[inline(always)]
fn blocks<const N: usize, F: Fold<N>>(
    x: &[f32],
    window: &Window,
    rows: Range<usize>,
    out: &mut [f32],
    count: impl Fn(usize, usize) -> f32,
) {
    let (c, width) = (window.channels, window.output[1]);
    if c == 0 || width == 0 {
        return;
    }
    for (y, out) in rows.zip(out.chunks_exact_mut(width * c)) {
        let vertical = window.taps_inside(0, y);
        for (column, out) in out.chunks_exact_mut(c).enumerate() {
            let horizontal = window.taps_inside(1, column);
            let count = count(y, column);
            let mut channel = 0;
            while channel < c {
                channel = channel.min(c - N);
                let mut fold = F::START;
                for i in vertical.clone() {
                    for j in horizontal.clone() {
                        let at = window.tap(y, column, i, j) + channel;
                        fold.add(x[at..].first_chunk().expect("a pixel has at least N channels"));
                    }
                }
                out[channel..channel + N].copy_from_slice(&fold.result(count));
                channel += N;
            }
        }
    }
}

#[inline(always)]
pub(super) fn max_kernel(x: &[f32], window: &Window, rows: Range<usize>, out: &mut [f32]) {
    match window.channels {
        0..4 => blocks::<1, Largest<1>>(x, window, rows, out, |_, _| 0.0),
        4..16 => blocks::<4, Largest<4>>(x, window, rows, out, |_, _| 0.0),
        16..32 => blocks::<16, Largest<16>>(x, window, rows, out, |_, _| 0.0),
        _ => blocks::<32, Largest<32>>(x, window, rows, out, |_, _| 0.0),
    }
}

#[inline(always)]
pub(super) fn average_kernel(
    x: &[f32],
    window: &Window,
    padding_counts: Option<[usize; 2]>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let along = |axis: usize, output: usize| match padding_counts {
        // No tap lies before the padding.
        Some(end) => window.taps_below(axis, output, (window.input[axis] + end[axis]) as isize),
        None => window.taps_inside(axis, output).len(),
    };
    let count = |y: usize, x: usize| (along(0, y) * along(1, x)) as f32;
    match window.channels {
        0..4 => blocks::<1, Mean<1>>(x, window, rows, out, count),
        4..16 => blocks::<4, Mean<4>>(x, window, rows, out, count),
        _ => blocks::<16, Mean<16>>(x, window, rows, out, count),
    }
}

#[cfg(test)]
mod tests {
    use super::super::math::maximum;
    use super::*;
    use crate::isa::available;
    use crate::table::Kernels;

    /// Numbers with zeros of both signs, infinities and NaN among them.
    fn numbers(len: usize) -> Vec<f32> {
        let special = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, -1.0, -2.0];
        (0..len)
            .map(|i| if i % 3 == 0 { special[i * 7919 % 97 % 8] } else { -((i * 31 % 17) as f32) })
            .collect()
    }

    #[test]
    fn any_number_of_channels_gives_the_chain_s_bits() {
        for channels in [1, 3, 4, 5, 15, 16, 19, 33] {
            let window = Window {
                input: [5, 6],
                channels,
                output: [3, 4],
                kernel: [2, 3],
                stride: [2, 2],
                dilation: [1, 1],
                pad: [1, 1],
            };
            let x = numbers(30 * channels);
            let (mut largest, mut means) = (Vec::new(), Vec::new());
            for (y, column) in (0..3).flat_map(|y| (0..4).map(move |column| (y, column))) {
                let (rows, columns) = (window.taps_inside(0, y), window.taps_inside(1, column));
                for c in 0..channels {
                    let taps = rows.clone().flat_map(|i| columns.clone().map(move |j| (i, j)));
                    let seen: Vec<f32> = taps.map(|(i, j)| x[window.tap(y, column, i, j) + c]).collect();
                    largest.push(seen.iter().copied().fold(f32::NEG_INFINITY, maximum));
                    means.push(seen.iter().fold(0.0, |a, b| a + b) / seen.len() as f32);
                }
            }
            let same = |a: &f32, b: &f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            for isa in available() {
                let k = Kernels::new(isa).expect("available");
                let mut y = vec![9.0; largest.len()];
                max_pool(k, &x, &window, 0..3, &mut y);
                assert!(y.iter().zip(&largest).all(|(a, b)| same(a, b)), "{isa}: max of {channels}");
                let from = 4 * channels;
                max_pool(k, &x, &window, 1..3, &mut y[..2 * from]);
                assert!(y.iter().zip(&largest[from..]).all(|(a, b)| same(a, b)), "{isa}: rows of {channels}");
                average_pool(k, &x, &window, None, 0..3, &mut y);
                assert!(y.iter().zip(&means).all(|(a, b)| same(a, b)), "{isa}: mean of {channels}");
            }
        }
    }

    /// Maxima of large windows, of floats, bytes and int16 alike, tap by tap.
    #[test]
    fn windows_that_are_pooled_by_columns() {
        for (kernel, stride, dilation, pad, output) in [
            ([5, 5], [1, 1], [1, 1], [2, 2], [11, 9]),
            ([3, 7], [1, 1], [1, 1], [0, 3], [9, 9]),
            ([9, 2], [2, 1], [1, 1], [4, 1], [6, 10]),
            ([4, 4], [1, 1], [2, 3], [3, 4], [11, 8]),
            ([5, 5], [1, 1], [1, 1], [9, 9], [20, 18]), // some windows of padding alone
        ] {
            for channels in [1, 5, 17, 33, 70] {
                let window = Window { input: [11, 9], channels, output, kernel, stride, dilation, pad };
                let x = numbers(11 * 9 * channels);
                let bytes: Vec<u8> = (0..x.len()).map(|i| (i * 7919 % 251) as u8).collect();
                let words: Vec<i16> = (0..x.len()).map(|i| (i * 7919 % 65521) as i16).collect();
                let (mut floats, mut of_bytes, mut of_words) = (Vec::new(), Vec::new(), Vec::new());
                for (y, column) in (0..output[0]).flat_map(|y| (0..output[1]).map(move |column| (y, column)))
                {
                    let columns = window.taps_inside(1, column);
                    let taps: Vec<usize> = window
                        .taps_inside(0, y)
                        .flat_map(|i| columns.clone().map(move |j| (i, j)))
                        .map(|(i, j)| window.tap(y, column, i, j))
                        .collect();
                    for c in 0..channels {
                        floats.push(taps.iter().map(|at| x[at + c]).fold(f32::NEG_INFINITY, maximum));
                        of_bytes.push(taps.iter().map(|at| bytes[at + c]).max().unwrap_or(0));
                        of_words.push(taps.iter().map(|at| words[at + c]).max());
                    }
                }
                for k in available().into_iter().filter_map(Kernels::new) {
                    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                    let what = format!("{}: {window:?}", k.isa());
                    let mut y = vec![9.0f32; floats.len()];
                    max_pool(k, &x, &window, 0..output[0], &mut y);
                    assert!(y.iter().zip(&floats).all(same), "{what}");
                    let mut y = vec![9; floats.len()];
                    crate::pool::max_pool_u8(k, &bytes, &window, 0..output[0], &mut y);
                    assert_eq!(y, of_bytes, "{what}");
                    let mut y = vec![9; floats.len()];
                    crate::int16::pool::max_pool(k, &words, &window, 0..output[0], &mut y);
                    let alone = y.iter().zip(&of_words).find(|(_, word)| word.is_none()).map(|(&y, _)| y);
                    let wanted: Vec<i16> =
                        of_words.iter().map(|word| word.or(alone).expect("a window")).collect();
                    assert_eq!(y, wanted, "{what}");
                }
            }
        }
    }

    /// The count of a window at every border, with padding counted that is behind the image, and windows beyond it.
    #[test]
    fn padding_counts_as_far_as_it_goes() {
        for (pad, behind, stride, dilation) in [
            ([0, 0], [0, 0], [1, 1], [1, 1]),
            ([1, 2], [2, 1], [1, 2], [1, 1]),
            ([2, 0], [0, 3], [2, 1], [2, 2]),
        ] {
            for channels in [2, 4, 17] {
                let window =
                    Window { input: [5, 6], channels, output: [4, 6], kernel: [3, 2], stride, dilation, pad };
                let x: Vec<f32> = (0..30 * channels).map(|i| (i * 31 % 17) as f32 - 5.0).collect();
                let mut expected = Vec::new();
                for (y, column) in (0..4).flat_map(|y| (0..6).map(move |column| (y, column))) {
                    for c in 0..channels {
                        let (mut sum, mut count) = (0.0, 0);
                        for (i, j) in (0..3).flat_map(|i| (0..2).map(move |j| (i, j))) {
                            // Counted from the first element of the padding.
                            let row = y * stride[0] + i * dilation[0];
                            let at = column * stride[1] + j * dilation[1];
                            let is_inside =
                                (pad[0]..pad[0] + 5).contains(&row) && (pad[1]..pad[1] + 6).contains(&at);
                            if is_inside {
                                sum += x[((row - pad[0]) * 6 + at - pad[1]) * channels + c];
                            }
                            count += i32::from(row < pad[0] + 5 + behind[0] && at < pad[1] + 6 + behind[1]);
                        }
                        expected.push(sum / count as f32);
                    }
                }
                for k in available().into_iter().filter_map(Kernels::new) {
                    let mut y = vec![9.0f32; expected.len()];
                    average_pool(k, &x, &window, Some(behind), 0..4, &mut y);
                    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                    assert!(y.iter().zip(&expected).all(same), "{}: {window:?} {behind:?}", k.isa());
                }
            }
        }
    }
}
