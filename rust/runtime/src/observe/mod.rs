//! What is kept of values over samples: statistics that are filled run by run, merged, saved, and read;
//! and of samples themselves, what is held encoded (`dictionary`).
//!
//! A state is a function of the multiset of samples: any order, any split into accumulators and any way of merging them
//! gives the same bytes. So everything that is added is an integer: counts, and sums of float32 in units of 2^-149.
//!
//! A new statistic is one file here, and its line in `table`.

mod bytes;
mod channel_extremes;
mod channel_means;
mod counts;
pub mod dictionary;
mod exact_sum;
mod extremes;
mod histogram;
mod sample;
mod sample_extremes;
mod statistic;
mod statistics;
mod table;

pub use bytes::Reader;
pub use sample::{Axes, Axis, Sample, Summary};
pub use statistic::{Reading, Readings, Statistic};
pub use statistics::Statistics;
pub use table::names;
