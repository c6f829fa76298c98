//! Plans in stages: where a shape, an axis or a count is fed or computed, the plan ends before the node that needs it,
//! and the rest is planned once a run knows the tensor. It ends before a node with sub-programs, too, which is run by
//! itself, and the rest is planned behind it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use octavo_exec::Arena;

use crate::plan::buffers::TensorType;
use crate::plan::known::Known;
use crate::program::ValueId;

/// Why a plan ends before its Program does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// The next node depends on what this value holds.
    Value(ValueId),
    /// The next node runs sub-programs.
    Bodies,
}

/// The nodes that a plan leaves to be planned when it has run.
pub struct Rest {
    /// What tells it from every other rest.
    pub id: u64,
    /// The first node that is left.
    pub first: usize,
    /// Why it is left.
    pub end: End,
    /// What that node reads, where it runs sub-programs.
    pub operands: Vec<Operand>,
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

    /// Where the rest finds a value.
    pub fn place(&self, inputs: &[ValueId], value: ValueId) -> Option<Place> {
        let fed = self.fed.iter().position(|(at, _)| inputs[*at] == value);
        let made = || self.live.iter().position(|live| live.value == value);
        fed.map(Place::Fed).or_else(|| made().map(Place::Live))
    }
}

/// What a node with sub-programs reads.
pub enum Operand {
    /// An input left out.
    Nothing,
    /// A tensor that the rest is given.
    Placed(TensorType, Place),
    /// One that is known.
    Known(TensorType, Arc<Arena>),
}

/// A tensor that a rest is given.
#[derive(Clone)]
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
