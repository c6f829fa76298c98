//! Batch normalization, and the normalizations of vectors by what they hold.

use super::reduce::{LANES, fold};
use crate::isa::{Entry, Has};

type RunBatch = unsafe fn(&[f32], &Channels<'_>, usize, &mut [f32]);
type RunVectors = unsafe fn(&[f32], usize, &Vectors<'_>, &mut [f32]);
type RunStatistics = unsafe fn(Statistic, &[f32], usize, f32, &mut [f32]);
type RunNorm = unsafe fn(Norm, &[f32], usize, usize, bool, &mut [f32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// Batch normalization.
    pub batch: Entry<RunBatch>,
    /// Vectors normalized by their mean and deviation.
    pub vectors: Entry<RunVectors>,
    /// Means and deviations of vectors.
    pub statistics: Entry<RunStatistics>,
    /// Vectors divided by their norms.
    pub norm: Entry<RunNorm>,
}

crate::plain::plain_tiers!(Entries {
    batch(x: &[f32], channels: &Channels<'_>, run: usize, out: &mut [f32]) = batch_kernel as "f32-batch-normalization";
    vectors(x: &[f32], first: usize, by: &Vectors<'_>, out: &mut [f32]) = vectors_kernel as "f32-vector-normalization";
    statistics(which: Statistic, x: &[f32], n: usize, epsilon: f32, out: &mut [f32]) = statistics_kernel as "f32-vector-statistics";
    norm(norm: Norm, x: &[f32], n: usize, inner: usize, lanes: bool, out: &mut [f32]) = norm_kernel as "f32-norm-division";
});

/// A channel's parameters, one element a channel in each slice.
#[derive(Clone, Copy, Debug)]
pub struct Channels<'a> {
    /// What is taken away first.
    pub mean: &'a [f32],
    /// `scale / sqrt(variance + epsilon)`, each operation rounded.
    pub factor: &'a [f32],
    /// What is added last.
    pub bias: &'a [f32],
}

/// `out = fma(x - mean, factor, bias)`; x and `out` are `[outer, channels, run]`.
///
/// `run` is how many elements of a channel lie together: 1 where the channels are last, else an image's pixels.
pub fn batch(k: impl Has<Entries>, x: &[f32], channels: &Channels<'_>, run: usize, out: &mut [f32]) {
    let count = channels.mean.len();
    assert!(channels.factor.len() == count && channels.bias.len() == count, "parameters");
    assert_eq!(x.len(), out.len(), "output");
    assert!(count > 0 && run > 0 && x.len().is_multiple_of(count * run), "input");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().batch.code())(x, channels, run, out) }
}

#[inline(always)]
fn normalize(x: f32, mean: f32, factor: f32, bias: f32) -> f32 {
    (x - mean).mul_add(factor, bias)
}

#[inline(always)]
pub(super) fn batch_kernel(x: &[f32], channels: &Channels<'_>, run: usize, out: &mut [f32]) {
    let Channels { mean, factor, bias } = *channels;
    let size = mean.len() * run;
    for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
        if run == 1 {
            let (factor, bias, out) = (&factor[..size], &bias[..size], &mut out[..size]);
            for c in 0..size {
                out[c] = normalize(x[c], mean[c], factor[c], bias[c]);
            }
            continue;
        }
        for (c, (x, out)) in x.chunks_exact(run).zip(out.chunks_exact_mut(run)).enumerate() {
            let (mean, factor, bias) = (mean[c], factor[c], bias[c]);
            for (y, &x) in out.iter_mut().zip(x) {
                *y = normalize(x, mean, factor, bias);
            }
        }
    }
}

/// How vectors of contiguous elements are normalized: m is a vector's mean, or 0; v the mean of `(x - m)^2`.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    /// Elements of a vector.
    pub n: usize,
    /// Whether the mean is taken away.
    pub is_centred: bool,
    /// Added to v.
    pub epsilon: f32,
    /// Elements of a vector that share a scale and a bias, which lie together.
    pub run: usize,
    /// What follows: scale after scale, and again from the first one where they end.
    pub scale: &'a [f32],
    /// As many.
    pub bias: Option<&'a [f32]>,
}

/// `out = (x - m) / sqrt(v + epsilon) * scale + bias`, each operation rounded; sums use 16 lanes from +0, folded by 8, 4,
/// 2, 1. The first vector of x is number `first` of those that the scales go round with.
pub fn vectors(k: impl Has<Entries>, x: &[f32], first: usize, by: &Vectors<'_>, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "output");
    assert!(by.n > 0 && x.len().is_multiple_of(by.n), "input");
    assert!(by.run > 0 && by.n.is_multiple_of(by.run), "runs");
    assert!(!by.scale.is_empty() && by.scale.len().is_multiple_of(by.n / by.run), "scales");
    assert!(by.bias.is_none_or(|bias| bias.len() == by.scale.len()), "biases");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().vectors.code())(x, first, by, out) }
}

/// What a vector is normalized by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The mean.
    Mean,
    /// `1 / sqrt(v + epsilon)`.
    InverseDeviation,
}

/// A statistic of each vector of n elements of x.
pub fn statistics(
    k: impl Has<Entries>,
    which: Statistic,
    x: &[f32],
    n: usize,
    epsilon: f32,
    out: &mut [f32],
) {
    assert_eq!(Some(x.len()), out.len().checked_mul(n), "input");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().statistics.code())(which, x, n, epsilon, out) }
}

/// The sum of `f` of contiguous elements in 16 lanes.
#[inline(always)]
fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for i in 0..LANES {
            lanes[i] += f(block[i]);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += f(value);
    }
    fold(lanes, |a, b| a + b)
}

#[inline(always)]
fn mean(x: &[f32]) -> f32 {
    sum(x, |x| x) / x.len() as f32
}

/// `sqrt(v + epsilon)`.
#[inline(always)]
fn deviation(x: &[f32], mean: f32, epsilon: f32) -> f32 {
    let squares = sum(x, |x| {
        let d = x - mean;
        d * d
    });
    (squares / x.len() as f32 + epsilon).sqrt()
}

#[inline(always)]
pub(super) fn vectors_kernel(x: &[f32], first: usize, by: &Vectors<'_>, out: &mut [f32]) {
    let count = by.n / by.run;
    for (i, (x, out)) in x.chunks_exact(by.n).zip(out.chunks_exact_mut(by.n)).enumerate() {
        let mean = if by.is_centred { mean(x) } else { 0.0 };
        let deviation = deviation(x, mean, by.epsilon);
        let at = (first + i) % (by.scale.len() / count) * count;
        let scale = &by.scale[at..][..count];
        let normalized = |x: f32| (x - mean) / deviation;
        if by.run == 1 {
            let (x, out, scale) = (&x[..count], &mut out[..count], &scale[..count]);
            match by.bias.map(|bias| &bias[at..][..count]) {
                Some(bias) => (0..count).for_each(|i| out[i] = normalized(x[i]) * scale[i] + bias[i]),
                None => (0..count).for_each(|i| out[i] = normalized(x[i]) * scale[i]),
            }
            continue;
        }
        for (c, (x, out)) in x.chunks_exact(by.run).zip(out.chunks_exact_mut(by.run)).enumerate() {
            let scale = scale[c];
            match by.bias.map(|bias| bias[at + c]) {
                Some(bias) => out.iter_mut().zip(x).for_each(|(y, &x)| *y = normalized(x) * scale + bias),
                None => out.iter_mut().zip(x).for_each(|(y, &x)| *y = normalized(x) * scale),
            }
        }
    }
}

#[inline(always)]
pub(super) fn statistics_kernel(which: Statistic, x: &[f32], n: usize, epsilon: f32, out: &mut [f32]) {
    for (i, y) in out.iter_mut().enumerate() {
        let x = &x[i * n..][..n];
        let mean = mean(x);
        *y = match which {
            Statistic::Mean => mean,
            Statistic::InverseDeviation => 1.0 / deviation(x, mean, epsilon),
        };
    }
}

/// How the magnitudes of a vector make its norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Their sum.
    L1,
    /// The root of the sum of their squares.
    L2,
}

/// Divides the vectors along the middle axis of x, `[outer, n, inner]`, by their norms; a vector of norm 0 is 0.
///
/// With `lanes`, where inner is 1, a sum uses 16 lanes from +0, folded by 8, 4, 2, 1; else it is one chain.
pub fn by_norm(
    k: impl Has<Entries>,
    norm: Norm,
    x: &[f32],
    n: usize,
    inner: usize,
    lanes: bool,
    out: &mut [f32],
) {
    assert_eq!(x.len(), out.len(), "output");
    assert!(n > 0 && inner > 0 && x.len().is_multiple_of(n * inner), "input");
    assert!(!lanes || inner == 1, "lanes are for contiguous elements");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().norm.code())(norm, x, n, inner, lanes, out) }
}

#[inline(always)]
fn divided(x: f32, norm: f32) -> f32 {
    if norm == 0.0 { 0.0 } else { x / norm }
}

#[inline(always)]
fn powered(norm: Norm, x: f32) -> f32 {
    match norm {
        Norm::L1 => x.abs(),
        Norm::L2 => x * x,
    }
}

#[inline(always)]
fn rooted(norm: Norm, sum: f32) -> f32 {
    match norm {
        Norm::L1 => sum,
        Norm::L2 => sum.sqrt(),
    }
}

/// Up to 16 neighbouring vectors, whose elements lie `inner` apart: `x` and `out` begin at the first one's first.
#[inline(always)]
fn columns(norm: Norm, x: &[f32], n: usize, inner: usize, width: usize, out: &mut [f32]) {
    let mut sums = [0.0; LANES];
    for i in 0..n {
        for (sum, &x) in sums.iter_mut().zip(&x[i * inner..][..width]) {
            *sum += powered(norm, x);
        }
    }
    let norms = sums.map(|sum| rooted(norm, sum));
    for i in 0..n {
        for ((y, &x), &norm) in out[i * inner..][..width].iter_mut().zip(&x[i * inner..]).zip(&norms) {
            *y = divided(x, norm);
        }
    }
}

#[inline(always)]
pub(super) fn norm_kernel(norm: Norm, x: &[f32], n: usize, inner: usize, lanes: bool, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(n * inner).zip(out.chunks_exact_mut(n * inner)) {
        if lanes {
            let length = rooted(norm, sum(x, |x| powered(norm, x)));
            out.iter_mut().zip(x).for_each(|(y, &x)| *y = divided(x, length));
            continue;
        }
        for first in (0..inner).step_by(LANES) {
            columns(norm, &x[first..], n, inner, LANES.min(inner - first), &mut out[first..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::table::Kernels;

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 373.0 - 1.25).collect()
    }

    /// A sum in 16 lanes, folded by halves, or in one chain.
    fn plain_sum(x: impl Iterator<Item = f32>, lanes: bool) -> f32 {
        let width = if lanes { 16 } else { 1 };
        let mut sums = vec![0.0f32; width];
        x.enumerate().for_each(|(i, x)| sums[i % width] += x);
        while sums.len() > 1 {
            let upper = sums.split_off(sums.len() / 2);
            sums.iter_mut().zip(upper).for_each(|(a, b)| *a += b);
        }
        sums[0]
    }

    /// Mean and `sqrt(v + epsilon)`.
    fn moments(x: &[f32], is_centred: bool, epsilon: f32) -> (f32, f32) {
        let n = x.len() as f32;
        let mean = if is_centred { plain_sum(x.iter().copied(), true) / n } else { 0.0 };
        let squares = plain_sum(x.iter().map(|x| (x - mean) * (x - mean)), true);
        (mean, (squares / n + epsilon).sqrt())
    }

    fn tiers() -> impl Iterator<Item = Kernels> {
        available().into_iter().filter_map(Kernels::new)
    }

    fn assert_bits(k: Kernels, given: &[f32], expected: &[f32], what: &str) {
        let differs = |(g, e): (&f32, &f32)| g.to_bits() != e.to_bits() && !(g.is_nan() && e.is_nan());
        assert_eq!(given.iter().zip(expected).position(differs), None, "{}: {what}", k.isa());
    }

    #[test]
    fn batches_of_any_run_give_the_plain_bits() {
        for (channels, run) in [(1, 1), (3, 1), (19, 1), (33, 1), (1, 7), (3, 16), (5, 33), (19, 2)] {
            let x = numbers(2 * channels * run, 1);
            let [mean, factor, bias] = [2, 3, 4].map(|seed| numbers(channels, seed));
            let by = Channels { mean: &mean, factor: &factor, bias: &bias };
            let c = |i: usize| i / run % channels;
            let expected: Vec<f32> =
                (0..x.len()).map(|i| (x[i] - mean[c(i)]).mul_add(factor[c(i)], bias[c(i)])).collect();
            for k in tiers() {
                let mut y = vec![9.0; x.len()];
                batch(k, &x, &by, run, &mut y);
                assert_bits(k, &y, &expected, &format!("{channels} channels, {run} together"));
            }
        }
    }

    #[test]
    fn vectors_of_any_length_give_the_plain_bits() {
        let cases = (1..40).map(|n| (n, 1)).chain([(64, 1), (6, 3), (40, 20), (21, 7), (34, 34), (48, 16)]);
        for (n, run) in cases {
            for (rounds, first, is_centred, has_bias) in [
                (1, 0, true, true),
                (1, 5, false, false),
                (3, 0, true, false),
                (3, 2, true, true),
                (2, 7, false, true),
            ] {
                let (count, epsilon) = (n / run, 0.01 + n as f32 / 100.0);
                let (x, scale, bias) =
                    (numbers(7 * n, 1), numbers(rounds * count, 2), numbers(rounds * count, 3));
                let by =
                    Vectors { n, is_centred, epsilon, run, scale: &scale, bias: has_bias.then_some(&bias) };
                let mut expected = Vec::new();
                for (i, x) in x.chunks(n).enumerate() {
                    let (mean, deviation) = moments(x, is_centred, epsilon);
                    for (j, x) in x.iter().enumerate() {
                        let at = (first + i) % rounds * count + j / run;
                        let scaled = (x - mean) / deviation * scale[at];
                        expected.push(if has_bias { scaled + bias[at] } else { scaled });
                    }
                }
                for k in tiers() {
                    let mut y = vec![9.0; x.len()];
                    vectors(k, &x, first, &by, &mut y);
                    assert_bits(k, &y, &expected, &format!("{n} by {run}, {rounds} rounds from {first}"));
                }
            }
        }
    }

    #[test]
    fn statistics_of_any_length_give_the_plain_bits() {
        for n in (1..70).chain([1000]) {
            let x = numbers(5 * n, n);
            let moments: Vec<_> = x.chunks(n).map(|x| moments(x, true, 0.25)).collect();
            let means: Vec<f32> = moments.iter().map(|m| m.0).collect();
            let inverses: Vec<f32> = moments.iter().map(|m| 1.0 / m.1).collect();
            for k in tiers() {
                let mut y = vec![9.0; 5];
                statistics(k, Statistic::Mean, &x, n, 0.25, &mut y);
                assert_bits(k, &y, &means, &format!("means of {n}"));
                statistics(k, Statistic::InverseDeviation, &x, n, 0.25, &mut y);
                assert_bits(k, &y, &inverses, &format!("inverse deviations of {n}"));
            }
        }
    }

    #[test]
    fn divisions_by_norms_give_the_plain_bits() {
        for (n, inner) in (1..40).map(|n| (n, 1)).chain([(5, 2), (1, 16), (3, 15), (4, 17), (7, 33)]) {
            let mut x = numbers(3 * n * inner, n);
            // A vector of zeros, and one without end.
            (0..n).for_each(|i| x[i * inner] = 0.0);
            x[n * inner] = f32::INFINITY;
            let at = |v: usize, i: usize| v / inner * n * inner + i * inner + v % inner;
            for (norm, lanes) in [(Norm::L1, false), (Norm::L2, false), (Norm::L1, true), (Norm::L2, true)] {
                if lanes && inner > 1 {
                    continue;
                }
                let mut expected = vec![0.0; x.len()];
                for v in 0..3 * inner {
                    let vector = || (0..n).map(|i| x[at(v, i)]);
                    let length = match norm {
                        Norm::L1 => plain_sum(vector().map(f32::abs), lanes),
                        Norm::L2 => plain_sum(vector().map(|x| x * x), lanes).sqrt(),
                    };
                    let divided = |x: f32| if length == 0.0 { 0.0 } else { x / length };
                    (0..n).for_each(|i| expected[at(v, i)] = divided(x[at(v, i)]));
                }
                for k in tiers() {
                    let mut y = vec![9.0; x.len()];
                    by_norm(k, norm, &x, n, inner, lanes, &mut y);
                    assert_bits(k, &y, &expected, &format!("{norm:?} of {n}, inner {inner}, lanes {lanes}"));
                }
            }
        }
    }
}
