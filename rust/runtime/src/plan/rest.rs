//! Plans in stages: where a shape, an axis or a count is fed or computed, the plan ends before the node that needs it,
//! and the rest is planned once a run knows the tensor.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::buffers::TensorType;
use crate::plan::known::Known;
use crate::program::ValueId;

/// The nodes that a plan leaves to be planned when it has run.
pub struct Rest {
    /// What tells it from every other rest.
    pub id: u64,
    /// The first node that is left.
    pub first: usize,
    /// What that node waits for.
    pub wanted: ValueId,
    /// The Program's inputs that the rest is given, by their place there: those that it still reads.
    pub fed: Vec<(usize, TensorType)>,
    /// What the rest is given beside them of what has been computed.
    pub live: Vec<Live>,
    /// The nodes behind it that are planned already.
    pub ahead: BTreeSet<usize>,
    /// What is known so far.
    pub known: Known,
    /// The plans are for observing.
    pub observed: bool,
}

impl Rest {
    /// A number that no other rest has.
    pub fn new_id() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// Where the rest finds what it waits for.
    pub fn place(&self, inputs: &[ValueId]) -> Option<Place> {
        let fed = self.fed.iter().position(|(at, _)| inputs[*at] == self.wanted);
        let made = || self.live.iter().position(|live| live.value == self.wanted);
        fed.map(Place::Fed).or_else(|| made().map(Place::Live))
    }
}

/// A tensor that a rest is given.
pub struct Live {
    /// Whose it is.
    pub value: ValueId,
    /// Its type.
    pub tensor: TensorType,
    /// Where it comes from.
    pub source: Source,
}

/// Where a tensor comes from that a rest is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// The output of that number of the plan that the rest is of.
    Made(usize),
    /// That plan was given it too, as the live tensor of that number: it is passed on.
    Given(usize),
}

/// Where a rest finds a tensor.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Among what it is fed.
    Fed(usize),
    /// Among what is live.
    Live(usize),
}
