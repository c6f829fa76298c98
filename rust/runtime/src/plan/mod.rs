//! The Plan: a Program made for one machine and one set of input shapes.
//!
//! The room `walk` has each operator family plan its nodes through a `builder`: shapes, layouts, fusions,
//! packed weights, kernels; then `arena` places every buffer. A run takes the steps in their order. A plan changes
//! speed, never bits, and is never saved. No operator is known here.

pub(crate) mod arena;
pub(crate) mod buffers;
pub(crate) mod builder;
mod callers;
pub(crate) mod conversion;
pub(crate) mod cost;
pub(crate) mod faults;
pub(crate) mod known;
pub(crate) mod layout;
pub(crate) mod packing;
pub(crate) mod relocation;
pub(crate) mod rest;
pub(crate) mod runs;
pub(crate) mod split;
pub(crate) mod steps;
pub(crate) mod transposition;
pub(crate) mod trial;
pub(crate) mod uses;

pub use buffers::TensorType;
pub use steps::Step;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use octavo_exec::{Arena, FloatMode, Pool, Slot, Views};
use octavo_kernels::table::Kernels;

use crate::error::Error;
use crate::plan::buffers::Placed;
use crate::plan::faults::Faults;
use crate::plan::packing::PackedBlock;
use crate::plan::rest::Rest;
use crate::plan::steps::{Context, Run};
use crate::plan::trial::Trial;
use crate::program::{Tensor, ValueId};

/// A value that can be looked at right after the step that makes it.
#[derive(Clone, Debug)]
pub(crate) struct Observable {
    /// The value.
    pub value: ValueId,
    /// It is complete after this many steps.
    pub after: usize,
    /// Its type, and how it lies in the bytes that are shown.
    pub placed: Placed,
}

/// A Program made for one machine and one set of input shapes.
pub struct Plan {
    steps: Vec<Step>,
    slots: Vec<Slot>,
    constants: Vec<PackedBlock>,
    arena_bytes: usize,
    inputs: Vec<TensorType>,
    input_names: Vec<String>,
    outputs: Vec<TensorType>,
    output_names: Vec<String>,
    observables: Vec<Observable>,
    known_values: Vec<(ValueId, Tensor)>,
    kernels: Kernels,
    /// Some step is cut between threads; else nobody needs to be woken.
    forks: bool,
    /// Whether that pays.
    trial: Trial,
    /// Where it does not.
    alone: Pool,
    /// The nodes that wait for what a run will know.
    rest: Option<Rest>,
    /// Made to observe every value.
    observed: bool,
    /// The session that runs it; `None` where none does.
    owner: Option<Owner>,
    /// Arenas not in use; as many are made as threads run the plan at once.
    arenas: Mutex<Vec<Arena>>,
}

/// Which session a plan is of: one and the same `Arc` in both.
pub(crate) type Owner = Arc<()>;

/// What a run does between steps.
enum Watch<'w> {
    Nothing,
    /// Adds each step's seconds.
    Time(&'w mut [f64]),
    /// Hands each value's bytes on once it is complete.
    Values(&'w mut dyn FnMut(&Observable, &[u8])),
}

impl Plan {
    /// The types of the inputs, in the Program's order.
    pub fn inputs(&self) -> &[TensorType] {
        &self.inputs
    }

    /// The types of the outputs: the Program's, in its order, or what it makes for the rest where it ends early.
    pub fn outputs(&self) -> &[TensorType] {
        &self.outputs
    }

    /// Whether some nodes can only be planned once a run knows what a tensor holds: such a plan is run in stages.
    pub fn ends_early(&self) -> bool {
        self.rest.is_some()
    }

    /// What is planned only when a run knows what the plan's outputs hold.
    pub(crate) fn rest(&self) -> Option<&Rest> {
        self.rest.as_ref()
    }

    /// Whether the plan was made by that session.
    pub(crate) fn is_of(&self, owner: &Owner) -> bool {
        self.owner.as_ref().is_some_and(|of| Arc::ptr_eq(of, owner))
    }

    /// Whether every value can be observed: nothing is fused.
    pub fn is_observed(&self) -> bool {
        self.observed
    }

    /// The values that were computed while planning, where the plan is made to observe them.
    pub fn known_values(&self) -> &[(ValueId, Tensor)] {
        &self.known_values
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The bytes of one arena.
    pub fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Runs the plan: `inputs` and `outputs` are the bytes of the tensors, whole and aligned to their elements; an error
    /// where they are not.
    pub(crate) fn run(&self, pool: &Pool, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) -> Result<(), Error> {
        self.walk(pool, inputs, outputs, Watch::Nothing)
    }

    /// Runs the plan and adds each step's seconds to `seconds`, which has an element a step.
    pub(crate) fn run_timed(
        &self,
        pool: &Pool,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
        seconds: &mut [f64],
    ) -> Result<(), Error> {
        self.walk(pool, inputs, outputs, Watch::Time(seconds))
    }

    /// Runs the plan and shows every value's bytes to `see` when it is complete.
    pub(crate) fn run_observed(
        &self,
        pool: &Pool,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
        see: &mut dyn FnMut(&Observable, &[u8]),
    ) -> Result<(), Error> {
        self.walk(pool, inputs, outputs, Watch::Values(see))
    }

    fn walk(
        &self,
        pool: &Pool,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
        mut watch: Watch<'_>,
    ) -> Result<(), Error> {
        callers::check("input", &self.inputs, &self.input_names, inputs.iter().copied())?;
        callers::check("output", &self.outputs, &self.output_names, outputs.iter().map(|output| &**output))?;
        let mut arena = self.take_arena()?;
        let is_together = self.forks && self.trial.is_together();
        let pool = if self.forks && !is_together { &self.alone } else { pool };
        let begin = self.forks.then(Instant::now);
        let faults = Faults::default();
        let mut result = Ok(());
        {
            let _float_mode = FloatMode::set();
            let _awake = is_together.then(|| pool.begin());
            let views = Views::new(&mut arena, inputs, outputs, &self.constants);
            let (slots, kernels) = (&self.slots[..], self.kernels);
            let mut run = Run { views, slots, context: Context { kernels, pool, faults: &faults } };
            let mut observables = self.observables.iter().peekable();
            for (index, step) in self.steps.iter().enumerate() {
                if let Watch::Values(see) = &mut watch {
                    while let Some(seen) = observables.next_if(|o| o.after <= index) {
                        see(seen, run.views.get([slots[seen.placed.buffer.0]], []).0[0]);
                    }
                }
                let start = matches!(watch, Watch::Time(_)).then(Instant::now);
                (step.code)(&mut run);
                if let (Watch::Time(seconds), Some(start)) = (&mut watch, start) {
                    seconds[index] += start.elapsed().as_secs_f64();
                }
                if let Some(what) = faults.first() {
                    let error = Error::run(format!("{} node {:?}: {what}", step.op, step.name));
                    result = Err(error.of_node(&step.name, Vec::new));
                    break;
                }
            }
            if let (Watch::Values(see), Ok(())) = (&mut watch, &result) {
                for seen in observables {
                    see(seen, run.views.get([slots[seen.placed.buffer.0]], []).0[0]);
                }
            }
        }
        if let Some(begin) = begin {
            self.trial.note(is_together, begin.elapsed());
        }
        self.arenas.lock().unwrap_or_else(|e| e.into_inner()).push(arena);
        result
    }

    fn take_arena(&self) -> Result<Arena, Error> {
        if let Some(arena) = self.arenas.lock().unwrap_or_else(|e| e.into_inner()).pop() {
            return Ok(arena);
        }
        arena::allocate(self.arena_bytes)
    }
}
