//! How many elements there were, and how many of them were no numbers.

use crate::error::Error;
use crate::observe::bytes::{Reader, damaged};
use crate::observe::sample::Sample;
use crate::observe::statistic::{Reading, Readings, Statistic};

/// Elements, and those of them that are NaN or infinite.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    elements: u64,
    nans: u64,
    infinities: u64,
}

impl Statistic for Counts {
    const NAME: &'static str = "counts";

    fn see(&mut self, sample: &Sample<'_>) {
        let seen = sample.summary();
        self.elements += seen.elements;
        self.nans += seen.nans;
        self.infinities += seen.infinities;
    }

    fn merge(&mut self, other: &Counts) {
        self.elements += other.elements;
        self.nans += other.nans;
        self.infinities += other.infinities;
    }

    fn to_bytes(&self, bytes: &mut Vec<u8>) {
        for count in [self.elements, self.nans, self.infinities] {
            bytes.extend(count.to_le_bytes());
        }
    }

    fn from_bytes(bytes: &mut Reader<'_>) -> Result<Counts, Error> {
        let (elements, nans, infinities) = (bytes.count()?, bytes.count()?, bytes.count()?);
        if nans.checked_add(infinities).is_none_or(|both| both > elements) {
            return Err(damaged("more elements are NaN or infinite than there are"));
        }
        Ok(Counts { elements, nans, infinities })
    }

    fn read(&self) -> Readings {
        vec![
            ("elements", Reading::Count(self.elements)),
            ("nans", Reading::Count(self.nans)),
            ("infinities", Reading::Count(self.infinities)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(counts: &Counts) -> [u64; 3] {
        [counts.elements, counts.nans, counts.infinities]
    }

    #[test]
    fn each_is_counted_by_itself() {
        let (mut one, mut other) = (Counts::default(), Counts::default());
        one.see(&Sample::new(&[1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, f32::NAN]));
        assert_eq!(told(&one), [6, 3, 2]);
        other.see(&Sample::new(&[]));
        other.see(&Sample::new(&[0.0, f32::INFINITY]));
        one.merge(&other);
        assert_eq!(told(&one), [8, 3, 3]);
        assert_eq!(one.read()[2], ("infinities", Reading::Count(3)));
        assert_eq!(told(&Counts::default()), [0; 3]);
    }

    #[test]
    fn bytes_of_impossible_counts_are_refused() {
        let bytes = |counts: [u64; 3]| counts.map(u64::to_le_bytes).concat();
        let read = |counts| Counts::from_bytes(&mut Reader::new(&bytes(counts), u64::MAX));
        for counts in [[0, 0, 0], [5, 2, 3], [u64::MAX, 1, 0]] {
            let state = read(counts).unwrap();
            let mut written = Vec::new();
            state.to_bytes(&mut written);
            assert_eq!((told(&state), written), (counts, bytes(counts)));
        }
        for counts in [[5, 3, 3], [0, 0, 1], [u64::MAX, u64::MAX, 1]] {
            assert!(read(counts).unwrap_err().to_string().contains("damaged"));
        }
        assert!(Counts::from_bytes(&mut Reader::new(&bytes([5, 0, 0]), 4)).is_err());
    }
}
