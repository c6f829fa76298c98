//! What a statistic is.

use crate::error::Error;
use crate::observe::bytes::Reader;
use crate::observe::sample::Sample;

/// What is kept of one value over all samples, of which it is a function whatever their order: [`Statistic::merge`] is
/// commutative and associative, and to see a sample is to merge the state of that sample alone.
pub trait Statistic: Clone + Default + Send + Sync + 'static {
    /// What it is asked for by.
    const NAME: &'static str;

    /// Takes in one sample.
    fn see(&mut self, sample: &Sample<'_>);

    /// Takes in what another state saw. Counts cannot overflow: the accumulator has seen to that.
    fn merge(&mut self, other: &Self);

    /// Appends the whole state. Equal states have equal bytes.
    fn to_bytes(&self, bytes: &mut Vec<u8>);

    /// The state of bytes that [`Statistic::to_bytes`] gave. An error where it gives none such; counts are read by
    /// [`Reader::count`].
    fn from_bytes(bytes: &mut Reader<'_>) -> Result<Self, Error>;

    /// What the state tells, by name; nothing where no element was seen that the statistic is about.
    fn read(&self) -> Readings;
}

/// What a state tells, by name.
pub type Readings = Vec<(&'static str, Reading)>;

/// A number or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// How many.
    Count(u64),
    /// A real, exact or rounded once.
    Real(f64),
    /// How many of each.
    Counts(Vec<u64>),
    /// Reals.
    Reals(Vec<f64>),
}
