//! Plans in stages: where a shape, an axis or a count is fed or computed, the plan ends before the node that needs it,
//! and the rest is planned once a run knows the tensor.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use crate::error::Error;
use crate::plan::buffers::TensorType;
use crate::plan::known::Known;
use crate::program::{Tensor, ValueId};

/// Plans of the rest that are kept; the one used longest ago makes room.
const MOST_PLANS: usize = 16;
/// Bytes of a tensor for which the rest's plan is kept. Longer ones are data: they seldom come twice.
const MOST_BYTES: usize = 1 << 12;

/// The nodes that a plan leaves to be planned when it has run; `P` are their plans.
pub struct Rest<P> {
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
    /// The latest used comes last.
    pub(super) plans: Mutex<VecDeque<(Tensor, Arc<P>)>>,
}

impl<P> Rest<P> {
    /// The type of what the rest waits for, and its place among the Program's inputs or else among the outputs of the
    /// plan that it is the rest of.
    pub fn place(&self, inputs: &[ValueId]) -> Option<Place> {
        let fed = inputs.iter().position(|&value| value == self.wanted);
        let made = || self.live.iter().position(|(value, _)| *value == self.wanted);
        fed.map(Place::Input).or_else(|| made().map(Place::Output))
    }

    /// The plan for this tensor: one that is kept, else the one that `make` makes.
    pub fn plan(
        &self,
        wanted: Tensor,
        make: impl FnOnce(Tensor) -> Result<P, Error>,
    ) -> Result<Arc<P>, Error> {
        if wanted.bytes().len() > MOST_BYTES {
            return Ok(Arc::new(make(wanted)?));
        }
        let kept = |plans: &mut VecDeque<(Tensor, Arc<P>)>| {
            let at = plans.iter().position(|(of, _)| *of == wanted)?;
            let latest = plans.remove(at)?;
            let plan = Arc::clone(&latest.1);
            plans.push_back(latest);
            Some(plan)
        };
        if let Some(plan) = kept(&mut self.plans.lock().unwrap_or_else(|e| e.into_inner())) {
            return Ok(plan);
        }
        // Made outside the lock; of two threads that made the same, one's is kept.
        let plan = Arc::new(make(wanted.clone())?);
        let mut plans = self.plans.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(theirs) = kept(&mut plans) {
            return Ok(theirs);
        }
        if plans.len() == MOST_PLANS {
            plans.pop_front();
        }
        plans.push_back((wanted, Arc::clone(&plan)));
        Ok(plan)
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
