//! The plans that a session keeps: of whole Programs by their inputs' shapes, of stages by what they have waited for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::plan::Plan;
use crate::plan::builder::Found;

/// Plans kept of all kinds together; the one used longest ago makes room.
const MOST_PLANS: usize = 16;

/// Bytes of a tensor for which a rest's plan is kept. Longer ones are data: they seldom come twice.
const MOST_BYTES: usize = 1 << 12;

/// What a plan is kept for.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// The shapes of all inputs.
    Shapes {
        /// In the Program's order.
        shapes: Vec<Vec<usize>>,
        /// To observe every value.
        observed: bool,
    },
    /// The rest of a plan.
    Rest {
        /// Its number.
        id: u64,
        /// What a run has found out that the plan before it ended for.
        found: Found,
    },
}

impl Key {
    /// Whether it may well be asked for again.
    fn recurs(&self) -> bool {
        match self {
            Key::Shapes { .. } => true,
            Key::Rest { found: Found::Tensor(tensor), .. } => tensor.bytes().len() <= MOST_BYTES,
            Key::Rest { .. } => true,
        }
    }
}

/// Plans by their keys. The latest used comes last.
#[derive(Default)]
pub struct Kept(Mutex<VecDeque<(Key, Arc<Plan>)>>);

impl Kept {
    /// The plan kept under the key for which this holds, which becomes the latest used.
    pub fn find(&self, is_it: impl Fn(&Key) -> bool) -> Option<Arc<Plan>> {
        let mut plans = self.lock();
        let at = plans.iter().rposition(|(key, _)| is_it(key))?;
        if at + 1 != plans.len() {
            let found = plans.remove(at)?;
            plans.push_back(found);
        }
        plans.back().map(|(_, plan)| Arc::clone(plan))
    }

    /// The plan for a key: the one that is kept, else the one that `make` makes. It is made outside the lock, so that
    /// others go on; of two threads that made the same, one's is kept.
    pub fn get(&self, key: Key, make: impl FnOnce() -> Result<Plan, Error>) -> Result<Arc<Plan>, Error> {
        if !key.recurs() {
            return Ok(Arc::new(make()?));
        }
        if let Some(plan) = self.find(|kept| *kept == key) {
            return Ok(plan);
        }
        let plan = Arc::new(make()?);
        if let Some(theirs) = self.find(|kept| *kept == key) {
            return Ok(theirs);
        }
        let mut plans = self.lock();
        if plans.len() == MOST_PLANS {
            plans.pop_front();
        }
        plans.push_back((key, Arc::clone(&plan)));
        Ok(plan)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Key, Arc<Plan>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
