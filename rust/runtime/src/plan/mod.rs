//! The Plan: a Program made for one machine and one set of input shapes.
//!
//! Made in this order: the walk over the nodes settles shapes, layouts, fusions, packed weights and kernels
//! ([`builder`], with one file an operator family in [`crate::ops`]); then [`arena`] places every buffer. A run
//! walks the array of steps. A plan changes speed, never bits, and is never saved.

pub(crate) mod arena;
pub(crate) mod builder;
mod callers;
pub(crate) mod faults;
pub(crate) mod float_fusion;
pub(crate) mod fusion;
pub(crate) mod known;
pub(crate) mod layout;
pub(crate) mod packing;
pub(crate) mod split;
pub(crate) mod stages;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use octavo_exec::{Arena, FloatMode, Pool, Slot, Views};
use octavo_kernels::isa::Kernels;

use crate::error::Error;
use crate::observe::Extremes;
use crate::plan::builder::BufferId;
use crate::plan::faults::Faults;
use crate::plan::packing::Block;
use crate::plan::stages::Rest;
use crate::program::{DType, ValueId};

/// What a step sees while it runs: its buffers, the kernels and the pool.
pub(crate) struct Run<'a> {
    views: Views<'a, Block>,
    slots: &'a [Slot],
    /// The step whose code runs.
    step: Option<&'a Step>,
    /// The kernels of the session's tier.
    pub kernels: Kernels,
    /// The session's threads.
    pub pool: &'a Pool,
    /// Where a step says what is wrong with the elements that it reads.
    pub faults: &'a Faults,
}

impl Run<'_> {
    /// The bytes of the buffers that a step reads and writes, exact lengths.
    ///
    /// # Panics
    /// Where the step has not declared a buffer, whose bytes may then be another's: a bug of the plan.
    pub fn get<const R: usize, const W: usize>(
        &mut self,
        reads: [BufferId; R],
        writes: [BufferId; W],
    ) -> ([&[u8]; R], [&mut [u8]; W]) {
        self.check_declared(&reads, &writes);
        self.views.get(reads.map(|id| self.slots[id.0]), writes.map(|id| self.slots[id.0]))
    }

    /// As [`Run::get`], where the first read buffer shows its slack as well: kernels that read whole groups of
    /// four bytes may touch it.
    pub fn get_slack<const R: usize, const W: usize>(
        &mut self,
        reads: [BufferId; R],
        writes: [BufferId; W],
    ) -> ([&[u8]; R], [&mut [u8]; W]) {
        self.check_declared(&reads, &writes);
        let mut slots = reads.map(|id| self.slots[id.0]);
        slots[0].len += arena::SLACK;
        self.views.get(slots, writes.map(|id| self.slots[id.0]))
    }

    fn check_declared(&self, reads: &[BufferId], writes: &[BufferId]) {
        let Some(step) = self.step else { return };
        let is_written = |id| step.writes.contains(id);
        let is_declared =
            writes.iter().all(is_written) && reads.iter().all(|id| step.reads.contains(id) || is_written(id));
        assert!(is_declared, "{} {:?} uses a buffer that it has not declared", step.op, step.name);
    }
}

/// The code of a step.
pub(crate) type Code = Box<dyn Fn(&mut Run<'_>) + Send + Sync>;

/// One step of a plan, with what a profile says of it.
pub struct Step {
    /// The node it came from; a conversion carries the name of its tensor.
    pub name: String,
    /// The node's operator.
    pub op: &'static str,
    /// The kernel that runs.
    pub kernel: &'static str,
    /// Multiply-accumulates of one run.
    pub macs: u64,
    code: Code,
    /// The buffers that the code reads, and those that it writes: they have their bytes to themselves meanwhile.
    reads: Vec<BufferId>,
    writes: Vec<BufferId>,
}

/// A tensor's type and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// The element type.
    pub dtype: DType,
    /// The shape, in ONNX's logical layout.
    pub shape: Vec<usize>,
}

impl TensorType {
    /// The number of elements; the greatest number where they are more.
    pub fn elements(&self) -> usize {
        self.shape.iter().fold(1, |all, &n| all.saturating_mul(n))
    }

    /// The number of bytes; the greatest number where they are more.
    pub fn bytes(&self) -> usize {
        self.elements().saturating_mul(self.dtype.size())
    }
}

/// A value that can be looked at right after the step that makes it.
#[derive(Clone, Debug)]
pub(crate) struct Observable {
    /// The value.
    pub value: ValueId,
    /// It is complete after this many steps.
    pub after: usize,
    buffer: BufferId,
    /// The element type.
    pub dtype: DType,
}

/// A Program made for one machine and one set of input shapes.
pub struct Plan {
    steps: Vec<Step>,
    slots: Vec<Slot>,
    constants: Vec<Block>,
    arena_bytes: usize,
    inputs: Vec<TensorType>,
    input_names: Vec<String>,
    outputs: Vec<TensorType>,
    output_names: Vec<String>,
    observables: Vec<Observable>,
    known_extremes: Vec<(ValueId, Extremes)>,
    kernels: Kernels,
    /// Some step is cut between threads; else nobody needs to be woken.
    forks: bool,
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

    /// The types of the outputs: the Program's, in its order, or what the rest reads where the plan ends early.
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

    /// What the float32 values hold that were computed while planning, where the plan is made to observe them.
    pub fn known_extremes(&self) -> &[(ValueId, Extremes)] {
        &self.known_extremes
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
        let faults = Faults::default();
        let mut result = Ok(());
        {
            let _float_mode = FloatMode::set();
            let _awake = self.forks.then(|| pool.begin());
            let views = Views::new(&mut arena, inputs, outputs, &self.constants);
            let (slots, kernels) = (&self.slots[..], self.kernels);
            let mut run = Run { views, slots, step: None, kernels, pool, faults: &faults };
            let mut observables = self.observables.iter().peekable();
            for (index, step) in self.steps.iter().enumerate() {
                if let Watch::Values(see) = &mut watch {
                    while let Some(seen) = observables.next_if(|o| o.after <= index) {
                        see(seen, run.views.get([slots[seen.buffer.0]], []).0[0]);
                    }
                }
                run.step = Some(step);
                let start = matches!(watch, Watch::Time(_)).then(Instant::now);
                (step.code)(&mut run);
                if let (Watch::Time(seconds), Some(start)) = (&mut watch, start) {
                    seconds[index] += start.elapsed().as_secs_f64();
                }
                if let Some(what) = faults.first() {
                    result = Err(Error::Run(format!("{} node {:?}: {what}", step.op, step.name)));
                    break;
                }
            }
            if let (Watch::Values(see), Ok(())) = (&mut watch, &result) {
                for seen in observables {
                    see(seen, run.views.get([slots[seen.buffer.0]], []).0[0]);
                }
            }
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
