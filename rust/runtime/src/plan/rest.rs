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
    /// The shapes of the Program's inputs.
    pub inputs: Vec<Vec<usize>>,
    /// What the rest is given of what has been computed: the plan's outputs.
    pub live: Vec<(ValueId, TensorType)>,
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

    /// The type of what the rest waits for, and its place among the Program's inputs or else among the outputs of the
    /// plan that it is the rest of.
    pub fn place(&self, inputs: &[ValueId]) -> Option<Place> {
        let fed = inputs.iter().position(|&value| value == self.wanted);
        let made = || self.live.iter().position(|(value, _)| *value == self.wanted);
        fed.map(Place::Input).or_else(|| made().map(Place::Output))
    }
}

/// Where a run finds a tensor.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Among the Program's inputs.
    Input(usize),
    /// Among the plan's outputs.
    Output(usize),
}
