//! The statistics that there are, and their states as one type.

use std::any::Any;

use crate::error::Error;
use crate::observe::bytes::Reader;
use crate::observe::channel_extremes::{ChannelExtremes, FeatureExtremes};
use crate::observe::channel_means::{ChannelMeans, FeatureMeans};
use crate::observe::counts::Counts;
use crate::observe::extremes::Extremes;
use crate::observe::histogram::Histogram;
use crate::observe::sample::Sample;
use crate::observe::sample_extremes::SampleExtremes;
use crate::observe::statistic::{Readings, Statistic};

/// Every statistic; accumulators keep states in this order.
static ALL: [Kind; 8] = [
    Kind::of::<Counts>(),
    Kind::of::<Extremes>(),
    Kind::of::<SampleExtremes>(),
    Kind::of::<Histogram>(),
    Kind::of::<ChannelExtremes>(),
    Kind::of::<FeatureExtremes>(),
    Kind::of::<ChannelMeans>(),
    Kind::of::<FeatureMeans>(),
];

/// The names of all statistics.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|kind| kind.name)
}

/// The statistics of these names, in the table's order and each once.
pub fn named<'n>(wanted: impl Iterator<Item = &'n str>) -> Result<Vec<&'static Kind>, Error> {
    let mut is_wanted = [false; ALL.len()];
    for name in wanted {
        let place = ALL.iter().position(|kind| kind.name == name).ok_or_else(|| {
            let known: Vec<&str> = names().collect();
            Error::data(format!("no statistic is called '{name}'; there are {}", known.join(", ")))
        })?;
        is_wanted[place] = true;
    }
    Ok(ALL.iter().zip(is_wanted).filter_map(|(kind, is_wanted)| is_wanted.then_some(kind)).collect())
}

/// A statistic, whatever its type.
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// The state of no samples.
    pub empty: fn() -> Box<dyn State>,
    /// As [`Statistic::from_bytes`].
    pub from_bytes: fn(&mut Reader<'_>) -> Result<Box<dyn State>, Error>,
}

impl Kind {
    const fn of<S: Statistic>() -> Kind {
        Kind {
            name: S::NAME,
            empty: || Box::new(S::default()),
            from_bytes: |bytes| Ok(Box::new(S::from_bytes(bytes)?)),
        }
    }
}

/// The state of some statistic, as [`Statistic`] has it.
pub trait State: Any + Send + Sync {
    /// Takes in one sample.
    fn see(&mut self, sample: &Sample<'_>);
    /// Takes in another state of the same statistic.
    fn merge(&mut self, other: &dyn State);
    /// Appends the whole state.
    fn to_bytes(&self, bytes: &mut Vec<u8>);
    /// What the state tells.
    fn read(&self) -> Readings;
    /// The same state once more.
    fn copy(&self) -> Box<dyn State>;
}

impl<S: Statistic> State for S {
    fn see(&mut self, sample: &Sample<'_>) {
        Statistic::see(self, sample);
    }

    fn merge(&mut self, other: &dyn State) {
        let other: &dyn Any = other;
        let other = other.downcast_ref().expect("states at one place are of one statistic");
        Statistic::merge(self, other);
    }

    fn to_bytes(&self, bytes: &mut Vec<u8>) {
        Statistic::to_bytes(self, bytes);
    }

    fn read(&self) -> Readings {
        Statistic::read(self)
    }

    fn copy(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }
}
