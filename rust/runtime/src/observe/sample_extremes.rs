//! The extremes of each sample, of which the means are taken.

use crate::error::Error;
use crate::observe::bytes::{Reader, damaged};
use crate::observe::exact_sum::ExactSum;
use crate::observe::sample::Sample;
use crate::observe::statistic::{Reading, Readings, Statistic};

/// The sums of the samples' least and greatest finite elements, over the samples that have any.
#[derive(Clone, Debug, Default)]
pub struct SampleExtremes {
    samples: u64,
    minima: ExactSum,
    maxima: ExactSum,
}

impl Statistic for SampleExtremes {
    const NAME: &'static str = "sample_extremes";

    fn see(&mut self, sample: &Sample<'_>) {
        let seen = sample.summary();
        if seen.has_finite() {
            self.samples += 1;
            self.minima.add(ExactSum::of(seen.min));
            self.maxima.add(ExactSum::of(seen.max));
        }
    }

    fn merge(&mut self, other: &SampleExtremes) {
        self.samples += other.samples;
        self.minima.add(other.minima);
        self.maxima.add(other.maxima);
    }

    fn to_bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.samples.to_le_bytes());
        bytes.extend(self.minima.to_bytes());
        bytes.extend(self.maxima.to_bytes());
    }

    fn from_bytes(bytes: &mut Reader<'_>) -> Result<SampleExtremes, Error> {
        let samples = bytes.count()?;
        let (minima, maxima) = (ExactSum::from_bytes(bytes)?, ExactSum::from_bytes(bytes)?);
        if minima > maxima || !minima.is_of(samples) || !maxima.is_of(samples) {
            return Err(damaged("sums of extremes that no samples have"));
        }
        Ok(SampleExtremes { samples, minima, maxima })
    }

    fn read(&self) -> Readings {
        if self.samples == 0 {
            return Vec::new();
        }
        vec![
            ("samples", Reading::Count(self.samples)),
            ("mean_minimum", Reading::Real(self.minima.mean(self.samples))),
            ("mean_maximum", Reading::Real(self.maxima.mean(self.samples))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(samples: u64, minima: ExactSum, maxima: ExactSum) -> Vec<u8> {
        let mut bytes = Vec::new();
        SampleExtremes { samples, minima, maxima }.to_bytes(&mut bytes);
        bytes
    }

    #[test]
    fn means_over_the_samples_with_finite_elements() {
        let mut state = SampleExtremes::default();
        assert!(state.read().is_empty());
        for values in [&[1.0, 5.0, f32::INFINITY][..], &[f32::NAN], &[], &[-4.0], &[f32::NAN, 2.5, 0.0]] {
            state.see(&Sample::new(values));
        }
        let told = [
            ("samples", Reading::Count(3)),
            ("mean_minimum", Reading::Real(-1.0)),
            ("mean_maximum", Reading::Real(3.5 / 3.0)),
        ];
        assert_eq!(state.read(), told);
        let mut other = SampleExtremes::default();
        other.see(&Sample::new(&[-5.0]));
        other.merge(&state);
        assert_eq!(other.read()[0], ("samples", Reading::Count(4)));
        assert_eq!(other.read()[1], ("mean_minimum", Reading::Real(-2.0)));
        assert_eq!(other.read()[2], ("mean_maximum", Reading::Real(-1.5 / 4.0)));
    }

    #[test]
    fn bytes_of_impossible_sums_are_refused() {
        let (none, least, greatest) = (ExactSum::default(), ExactSum::of(f32::MIN), ExactSum::of(f32::MAX));
        for (samples, minima, maxima) in [(0, none, none), (1, least, greatest), (9, none, greatest)] {
            let bytes = bytes_of(samples, minima, maxima);
            let mut written = Vec::new();
            SampleExtremes::from_bytes(&mut Reader::new(&bytes, 9)).unwrap().to_bytes(&mut written);
            assert_eq!(written, bytes);
        }
        let mut two = greatest;
        two.add(greatest);
        for (samples, minima, maxima) in
            [(0, none, greatest), (0, least, none), (1, greatest, none), (1, none, two), (10, none, none)]
        {
            let bytes = bytes_of(samples, minima, maxima);
            assert!(SampleExtremes::from_bytes(&mut Reader::new(&bytes, 9)).is_err());
        }
    }
}
