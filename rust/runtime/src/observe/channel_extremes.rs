//! The least and the greatest finite element of each channel, or of each feature.

use crate::error::Error;
use crate::observe::bytes::Reader;
use crate::observe::extremes::Extremes;
use crate::observe::sample::{Axis, Sample};
use crate::observe::statistic::{Reading, Readings, Statistic};

/// The extremes of the indices of axis 1.
pub type ChannelExtremes = AxisExtremes<false>;

/// The extremes of the indices of the last axis.
pub type FeatureExtremes = AxisExtremes<true>;

/// The extremes of each index of an axis, as many indices as the longest sample had; nothing of values without that axis.
#[derive(Clone, Debug, Default)]
pub struct AxisExtremes<const LAST: bool>(Vec<Extremes>);

impl<const LAST: bool> Statistic for AxisExtremes<LAST> {
    const NAME: &'static str = if LAST { "feature_extremes" } else { "channel_extremes" };

    fn see(&mut self, sample: &Sample<'_>) {
        let axes = sample.axes();
        let Some(axis) = (if LAST { axes.features } else { axes.channels }) else { return };
        let (mut min, mut max) = (vec![f32::INFINITY; axis.length], vec![f32::NEG_INFINITY; axis.length]);
        extremes(sample.values(), axis, &mut min, &mut max);
        // -0 and +0 compare equal, so which one was kept depends on the order.
        let seen = min.into_iter().zip(max).map(|(min, max)| Extremes::between(min + 0.0, max + 0.0));
        self.merge(&AxisExtremes(seen.collect()));
    }

    fn merge(&mut self, other: &AxisExtremes<LAST>) {
        self.0.resize(self.0.len().max(other.0.len()), Extremes::default());
        self.0.iter_mut().zip(&other.0).for_each(|(ours, theirs)| ours.merge(theirs));
    }

    fn to_bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend((self.0.len() as u32).to_le_bytes());
        self.0.iter().for_each(|channel| channel.to_bytes(bytes));
    }

    fn from_bytes(bytes: &mut Reader<'_>) -> Result<AxisExtremes<LAST>, Error> {
        let mut each = Vec::new();
        for _ in 0..bytes.length()? {
            each.push(Extremes::from_bytes(bytes)?);
        }
        Ok(AxisExtremes(each))
    }

    /// Of an index without a finite element, infinity and minus infinity.
    fn read(&self) -> Readings {
        if self.0.is_empty() {
            return Vec::new();
        }
        let ends = |end: usize| self.0.iter().map(|channel| f64::from(channel.ends()[end])).collect();
        vec![("minima", Reading::Reals(ends(0))), ("maxima", Reading::Reals(ends(1)))]
    }
}

/// The least and the greatest finite element of each index.
fn extremes(values: &[f32], axis: Axis, min: &mut [f32], max: &mut [f32]) {
    let widen = |min: &mut f32, max: &mut f32, low: f32, high: f32| {
        *min = if low < *min { low } else { *min };
        *max = if high > *max { high } else { *max };
    };
    if axis.run == 1 {
        for row in values.chunks_exact(axis.length) {
            for ((min, max), &x) in min.iter_mut().zip(&mut *max).zip(row) {
                let (low, high) = if x.is_finite() { (x, x) } else { (f32::INFINITY, f32::NEG_INFINITY) };
                widen(min, max, low, high);
            }
        }
        return;
    }
    for (index, run) in values.chunks_exact(axis.run).enumerate() {
        let (sample, channel) = (Sample::new(run), index % axis.length);
        widen(&mut min[channel], &mut max[channel], sample.summary().min, sample.summary().max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::sample::Axes;

    fn seen(samples: &[(&[f32], usize, usize)]) -> Vec<(&'static str, Reading)> {
        let mut state = ChannelExtremes::default();
        for &(values, run, length) in samples {
            let axes = Axes { channels: Some(Axis { run, length }), features: None };
            state.see(&Sample::of(values, axes));
        }
        state.read()
    }

    fn told(minima: &[f64], maxima: &[f64]) -> Vec<(&'static str, Reading)> {
        vec![("minima", Reading::Reals(minima.to_vec())), ("maxima", Reading::Reals(maxima.to_vec()))]
    }

    /// Two channels of three elements, channels first and channels last.
    #[test]
    fn channels_wherever_they_lie() {
        let first = [1.0, 2.0, 3.0, -4.0, -5.0, -6.0, 0.5, 9.0, 2.0, -1.0, -1.0, -1.0];
        let last = [1.0, -4.0, 2.0, -5.0, 3.0, -6.0, 0.5, -1.0, 9.0, -1.0, 2.0, -1.0];
        for sample in [(&first[..], 3, 2), (&last[..], 1, 2)] {
            assert_eq!(seen(&[sample]), told(&[0.5, -6.0], &[9.0, -1.0]));
        }
    }

    #[test]
    fn the_last_axis_is_another_statistic() {
        let mut state = FeatureExtremes::default();
        let axes = Axes { channels: None, features: Some(Axis { run: 1, length: 2 }) };
        state.see(&Sample::of(&[1.0, 5.0, -2.0, 7.0], axes));
        assert_eq!(state.read(), told(&[-2.0, 5.0], &[1.0, 7.0]));
        state.see(&Sample::of(&[9.0], Axes { channels: axes.features, features: None }));
        assert_eq!(state.read(), told(&[-2.0, 5.0], &[1.0, 7.0]));
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        let (inf, none) = (f32::INFINITY, f64::INFINITY);
        let values = [f32::NAN, inf, 1.0, -inf, 2.0, f32::NAN];
        assert_eq!(seen(&[(&values, 1, 2)]), told(&[1.0, none], &[2.0, -none]));
        assert_eq!(seen(&[(&values, 3, 2)]), told(&[1.0, 2.0], &[1.0, 2.0]));
        assert!(seen(&[]).is_empty());
    }

    #[test]
    fn samples_of_other_lengths_and_zeros_of_both_signs() {
        let told_then = told(&[0.0, -3.0, 7.0], &[5.0, 2.0, 7.0]);
        assert_eq!(seen(&[(&[0.0, 2.0], 1, 2), (&[5.0, -3.0, 7.0], 1, 3), (&[-0.0], 4, 1)]), told_then);
        let [state, other] = [[0.0, -0.0], [-0.0, 0.0]].map(|zeros| {
            let mut bytes = Vec::new();
            let mut state = ChannelExtremes::default();
            let axes = Axes { channels: Some(Axis { run: 1, length: 1 }), features: None };
            state.see(&Sample::of(&zeros, axes));
            state.to_bytes(&mut bytes);
            bytes
        });
        assert_eq!(state, other);
    }
}
