//! The least and the greatest finite element.

use crate::error::Error;
use crate::observe::bytes::{Reader, damaged};
use crate::observe::sample::Sample;
use crate::observe::statistic::{Reading, Readings, Statistic};

/// The extremes over all samples. -0 counts as 0.
#[derive(Clone, Debug)]
pub struct Extremes {
    min: f32,
    max: f32,
}

/// Of nothing finite: the least above the greatest.
impl Default for Extremes {
    fn default() -> Extremes {
        Extremes { min: f32::INFINITY, max: f32::NEG_INFINITY }
    }
}

impl Extremes {
    /// Of elements that reach from `min` to `max`; of none where these are infinity and minus infinity.
    pub fn between(min: f32, max: f32) -> Extremes {
        Extremes { min, max }
    }

    /// The least and the greatest; infinity and minus infinity where there are none.
    pub fn ends(&self) -> [f32; 2] {
        [self.min, self.max]
    }
}

impl Statistic for Extremes {
    const NAME: &'static str = "extremes";

    fn see(&mut self, sample: &Sample<'_>) {
        let &seen = sample.summary();
        self.merge(&Extremes { min: seen.min, max: seen.max });
    }

    fn merge(&mut self, other: &Extremes) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    fn to_bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.min.to_le_bytes());
        bytes.extend(self.max.to_le_bytes());
    }

    fn from_bytes(bytes: &mut Reader<'_>) -> Result<Extremes, Error> {
        let state = Extremes { min: bytes.float()?, max: bytes.float()? };
        let ends = [state.min, state.max];
        let is_empty = ends == [f32::INFINITY, f32::NEG_INFINITY];
        let is_range = state.min <= state.max && ends.iter().all(|end| end.is_finite());
        let has_negative_zero = ends.iter().any(|end| end.to_bits() == (-0f32).to_bits());
        if !(is_empty || is_range) || has_negative_zero {
            return Err(damaged("extremes that no elements have"));
        }
        Ok(state)
    }

    fn read(&self) -> Readings {
        if self.min > self.max {
            return Vec::new();
        }
        vec![("minimum", Reading::Real(f64::from(self.min))), ("maximum", Reading::Real(f64::from(self.max)))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(samples: &[&[f32]]) -> Extremes {
        let mut state = Extremes::default();
        samples.iter().for_each(|values| state.see(&Sample::new(values)));
        state
    }

    fn bits(state: &Extremes) -> [u32; 2] {
        [state.min.to_bits(), state.max.to_bits()]
    }

    #[test]
    fn of_the_finite_elements_of_all_samples() {
        let state = seen(&[&[f32::NAN], &[2.0, f32::INFINITY], &[-3.5, f32::NEG_INFINITY], &[]]);
        assert_eq!(state.read(), [("minimum", Reading::Real(-3.5)), ("maximum", Reading::Real(2.0))]);
        assert_eq!(bits(&seen(&[&[-0.0], &[0.0]])), [0, 0]);
        assert_eq!(bits(&seen(&[&[0.0], &[-0.0]])), [0, 0]);
    }

    #[test]
    fn of_nothing_finite_nothing_is_told() {
        for samples in [&[][..], &[&[f32::NAN, f32::INFINITY][..]], &[&[]]] {
            assert!(seen(samples).read().is_empty());
        }
        let mut state = seen(&[&[1.0]]);
        state.merge(&Extremes::default());
        assert_eq!(bits(&state), [1f32.to_bits(); 2]);
    }

    #[test]
    fn bytes_of_impossible_extremes_are_refused() {
        let bytes = |ends: [f32; 2]| ends.map(f32::to_le_bytes).concat();
        let read = |ends| Extremes::from_bytes(&mut Reader::new(&bytes(ends), 0));
        let (inf, most) = (f32::INFINITY, f32::MAX);
        for ends in [[inf, -inf], [-most, most], [0.0, 0.0], [1e-45, 2e-45]] {
            let mut written = Vec::new();
            read(ends).unwrap().to_bytes(&mut written);
            assert_eq!(written, bytes(ends));
        }
        for ends in
            [[1.0, 0.5], [-0.0, 1.0], [-1.0, -0.0], [f32::NAN, 1.0], [-inf, 1.0], [1.0, inf], [-inf, inf]]
        {
            assert!(read(ends).unwrap_err().to_string().contains("extremes"), "{ends:?}");
        }
    }
}
