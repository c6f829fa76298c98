//! The mean of each channel, or of each feature.

use crate::error::Error;
use crate::observe::bytes::{Reader, damaged};
use crate::observe::exact_sum::{ExactSum, power_of_two};
use crate::observe::sample::{Axis, Sample};
use crate::observe::statistic::{Reading, Readings, Statistic};

/// The means of the indices of axis 1.
pub type ChannelMeans = Means<false>;

/// The means of the indices of the last axis.
pub type FeatureMeans = Means<true>;

/// The sums and counts of the finite elements of each index of an axis, as many indices as the longest sample had.
#[derive(Clone, Debug, Default)]
pub struct Means<const LAST: bool>(Vec<Mean>);

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    count: u64,
    sum: ExactSum,
}

impl<const LAST: bool> Statistic for Means<LAST> {
    const NAME: &'static str = if LAST { "feature_means" } else { "channel_means" };

    fn see(&mut self, sample: &Sample<'_>) {
        let axes = sample.axes();
        let Some(axis) = (if LAST { axes.features } else { axes.channels }) else { return };
        let counted = counts(sample, axis);
        let seen = sums(sample, axis).into_iter().zip(counted);
        let seen = seen.map(|(sum, count)| Mean { count, sum: ExactSum::of(sum) });
        self.merge(&Means(seen.collect()));
    }

    fn merge(&mut self, other: &Means<LAST>) {
        self.0.resize(self.0.len().max(other.0.len()), Mean::default());
        for (ours, theirs) in self.0.iter_mut().zip(&other.0) {
            ours.count += theirs.count;
            ours.sum.add(theirs.sum);
        }
    }

    fn to_bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend((self.0.len() as u32).to_le_bytes());
        for mean in &self.0 {
            bytes.extend(mean.count.to_le_bytes());
            bytes.extend(mean.sum.to_bytes());
        }
    }

    fn from_bytes(bytes: &mut Reader<'_>) -> Result<Means<LAST>, Error> {
        let mut means = Vec::new();
        for _ in 0..bytes.length()? {
            let mean = Mean { count: bytes.count()?, sum: ExactSum::from_bytes(bytes)? };
            if !mean.sum.is_of(mean.count) {
                return Err(damaged("a sum that no elements have"));
            }
            means.push(mean);
        }
        Ok(Means(means))
    }

    /// Of an index without a finite element, 0.
    fn read(&self) -> Readings {
        if self.0.iter().all(|mean| mean.count == 0) {
            return Vec::new();
        }
        let counts = self.0.iter().map(|mean| mean.count);
        let means = self.0.iter().map(|mean| if mean.count == 0 { 0.0 } else { mean.sum.mean(mean.count) });
        vec![("counts", Reading::Counts(counts.collect())), ("means", Reading::Reals(means.collect()))]
    }
}

/// How many finite elements each index has.
fn counts(sample: &Sample<'_>, axis: Axis) -> Vec<u64> {
    let summary = sample.summary();
    if summary.nans + summary.infinities == 0 {
        return vec![summary.elements / (axis.length as u64).max(1); axis.length];
    }
    let mut counts = vec![0; axis.length];
    for (index, run) in sample.values().chunks_exact(axis.run).enumerate() {
        counts[index % axis.length] += run.iter().filter(|x| x.is_finite()).count() as u64;
    }
    counts
}

/// Bits of the greatest element that elements are added with: sums of 2^32 of them fit in 64 bits.
const BITS: i32 = 30;

/// What a float64 is added to, to be rounded to an integer: its lower bits are that integer then.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The sum of each index's finite elements, the same in any order: each is rounded to a multiple of the same unit, 2^-30
/// of the greatest's power of two, and those are integers.
fn sums(sample: &Sample<'_>, axis: Axis) -> Vec<f32> {
    let summary = sample.summary();
    if !summary.has_finite() || (summary.min == 0.0 && summary.max == 0.0) {
        return vec![0.0; axis.length];
    }
    let greatest = summary.max.max(-summary.min);
    let places = BITS - ((greatest.to_bits() >> 23) as i32 - 127).max(-126);
    let unit = power_of_two(places);
    let sums = if summary.nans + summary.infinities == 0 {
        integer_sums(sample.values(), axis, |x| rounded(x, unit))
    } else {
        integer_sums(sample.values(), axis, |x| if x.is_finite() { rounded(x, unit) } else { 0 })
    };
    let back = power_of_two(-places);
    // The sum of many of the greatest can be beyond float32.
    sums.into_iter().map(|sum| ((sum as f64 * back) as f32).clamp(f32::MIN, f32::MAX)).collect()
}

/// An element in units.
fn rounded(x: f32, unit: f64) -> i64 {
    (f64::from(x) * unit + ROUND).to_bits() as i64 - ROUND.to_bits() as i64
}

/// Indices that are added up together: what they have in a row is a cache line.
const TOGETHER: usize = 16;

/// The sum of each index.
fn integer_sums(values: &[f32], axis: Axis, integer: impl Fn(f32) -> i64) -> Vec<i64> {
    let mut sums = vec![0; axis.length];
    if axis.run > 1 {
        for (index, run) in values.chunks_exact(axis.run).enumerate() {
            sums[index % axis.length] += run.iter().map(|&x| integer(x)).sum::<i64>();
        }
        return sums;
    }
    for (block, sums) in sums.chunks_mut(TOGETHER).enumerate() {
        let rows = values.chunks_exact(axis.length).map(|row| &row[block * TOGETHER..]);
        if let Ok(sums) = <&mut [i64; TOGETHER]>::try_from(&mut *sums) {
            let mut held = [0; TOGETHER];
            for row in rows {
                held.iter_mut().zip(&row[..TOGETHER]).for_each(|(sum, &x)| *sum += integer(x));
            }
            *sums = held;
        } else {
            rows.for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += integer(x)));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::sample::Axes;

    fn sample(values: &[f32], run: usize, length: usize) -> Sample<'_> {
        Sample::of(values, Axes { channels: Some(Axis { run, length }), features: None })
    }

    fn seen(samples: &[Sample<'_>]) -> Readings {
        let mut state = ChannelMeans::default();
        samples.iter().for_each(|sample| state.see(sample));
        state.read()
    }

    fn told(counts: &[u64], means: &[f64]) -> Readings {
        vec![("counts", Reading::Counts(counts.to_vec())), ("means", Reading::Reals(means.to_vec()))]
    }

    #[test]
    fn channels_wherever_they_lie_and_however_many_elements_a_sample_has() {
        let first = [1.0, 2.0, 6.0, -4.0, -5.0, -6.0];
        let last = [1.0, -4.0, 2.0, -5.0, 6.0, -6.0];
        let more = [5.0, 7.0];
        for one in [sample(&first, 3, 2), sample(&last, 1, 2)] {
            assert_eq!(seen(&[one, sample(&more, 1, 2)]), told(&[4, 4], &[14.0 / 4.0, -8.0 / 4.0]));
        }
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        let values = [f32::NAN, 8.0, 1.0, f32::INFINITY, 2.0, f32::NEG_INFINITY, f32::NAN, 4.0];
        assert_eq!(seen(&[sample(&values, 1, 2)]), told(&[2, 2], &[1.5, 6.0]));
        assert_eq!(seen(&[sample(&values, 4, 2)]), told(&[2, 2], &[4.5, 3.0]));
        assert!(seen(&[sample(&[f32::NAN], 1, 1)]).is_empty() && seen(&[Sample::new(&values)]).is_empty());
    }

    /// Blocks of channels, and what is left of them.
    #[test]
    fn any_number_of_channels() {
        for length in [1, 15, 16, 17, 40] {
            let values: Vec<f32> = (0..3 * length).map(|place| place as f32 * 0.25).collect();
            let means = (0..length).map(|channel| (channel + length) as f64 * 0.25).collect::<Vec<_>>();
            assert_eq!(seen(&[sample(&values, 1, length)]), told(&vec![3; length], &means));
        }
    }

    #[test]
    fn the_last_axis_is_another_statistic() {
        let mut state = FeatureMeans::default();
        let features = Some(Axis { run: 1, length: 3 });
        state.see(&Sample::of(&[1.0, 2.0, 3.0, 3.0, 2.0, 1.0], Axes { channels: None, features }));
        assert_eq!(state.read(), told(&[2, 2, 2], &[2.0, 2.0, 2.0]));
    }

    /// The sum of the same elements in every order, where float addition would give several.
    #[test]
    fn no_order_counts() {
        let mut values: Vec<f32> =
            (0..97).map(|i| ((i * 7919 % 101) as f32 - 50.0) * 0.37f32.powi(i % 9)).collect();
        let once = sums(&sample(&values, 97, 1), Axis { run: 97, length: 1 });
        for _ in 0..5 {
            values.rotate_left(13);
            values.reverse();
            assert_eq!(sums(&sample(&values, 97, 1), Axis { run: 97, length: 1 }), once);
        }
        let exact: f64 = values.iter().map(|&x| f64::from(x)).sum();
        assert!((f64::from(once[0]) - exact).abs() < 97.0 * 50.0 * 2f64.powi(-30), "{} {exact}", once[0]);
    }

    #[test]
    fn the_greatest_and_the_least_numbers() {
        let axis = Axis { run: 1, length: 2 };
        for (values, sum) in [
            ([f32::MAX, f32::MIN], [f32::MAX, f32::MIN]),
            ([1e-45, -1e-45], [1e-45, -1e-45]),
            ([0.0, -0.0], [0.0, 0.0]),
            ([f32::MAX, 1.0], [f32::MAX, 0.0]),
        ] {
            assert_eq!(sums(&sample(&values, 1, 2), axis), sum);
        }
        assert_eq!(sums(&sample(&[f32::MAX; 4], 1, 1), Axis { run: 1, length: 1 }), [f32::MAX]);
    }

    #[test]
    fn bytes_of_impossible_sums_are_refused() {
        let bytes = |count: u64, sum: f32| {
            [&1u32.to_le_bytes()[..], &count.to_le_bytes(), &ExactSum::of(sum).to_bytes()].concat()
        };
        let read =
            |bytes: &[u8]| ChannelMeans::from_bytes(&mut Reader::new(bytes, 5)).map(|state| state.read());
        assert_eq!(read(&bytes(2, 3.0)).unwrap(), told(&[2], &[1.5]));
        assert!(read(&bytes(0, 1.0)).is_err() && read(&bytes(6, 1.0)).is_err());
    }
}
