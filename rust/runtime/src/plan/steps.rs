//! The steps of a plan while it is made, and what a step sees while it runs.

use octavo_exec::{Pool, Slot, Views};
use octavo_kernels::table::Kernels;

use crate::plan::arena::Life;
use crate::plan::buffers::{Buffer, BufferId, Home, SLACK};
use crate::plan::cost::Costs;
use crate::plan::faults::Faults;
use crate::plan::packing::PackedBlock;
use crate::plan::split;
use crate::program::Node;

/// What a run gives every step.
pub(crate) struct Run<'a> {
    /// Every buffer's bytes.
    pub views: Views<'a, PackedBlock>,
    /// Where each buffer lies.
    pub slots: &'a [Slot],
    /// What a step sees beside its buffers.
    pub context: Context<'a>,
}

/// What a step sees beside its buffers.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The kernels of the session's tier.
    pub kernels: Kernels,
    /// The session's threads.
    pub pool: &'a Pool,
    /// Where a step says what is wrong with the elements that it reads.
    pub faults: &'a Faults,
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
    pub(super) code: Code,
    /// The buffers that the code reads, and those that it writes: they have their bytes to themselves meanwhile.
    reads: Vec<BufferId>,
    writes: Vec<BufferId>,
}

/// The buffers and steps of a plan that is being made.
pub(crate) struct Steps {
    /// The tier's kernels.
    pub kernels: Kernels,
    /// What products cost there.
    pub costs: Costs,
    /// The threads that steps are cut for.
    pub threads: usize,
    /// Some step is cut between threads.
    pub forks: bool,
    /// Every buffer, by its number.
    pub buffers: Vec<Buffer>,
    /// In the order of a run.
    pub steps: Vec<Step>,
}

impl Steps {
    /// No step and no buffer.
    pub fn new(kernels: Kernels, threads: usize) -> Steps {
        let costs = Costs::of(kernels.isa());
        Steps { kernels, costs, threads, forks: false, buffers: Vec::new(), steps: Vec::new() }
    }

    /// A new buffer.
    pub fn buffer(&mut self, bytes: usize, home: Home) -> BufferId {
        self.buffers.push(Buffer::new(bytes, home));
        BufferId(self.buffers.len() - 1)
    }

    /// A buffer of the arena.
    pub fn temporary(&mut self, bytes: usize) -> BufferId {
        self.buffer(bytes, Home::Arena)
    }

    /// How many of `rows` one thread takes at a time, where a row costs `nanoseconds`: a multiple of `multiple`.
    pub fn chunk(&mut self, rows: usize, nanoseconds: f64, multiple: usize) -> usize {
        let chunk = split::chunk(rows, nanoseconds, multiple, self.threads);
        self.forks |= chunk < rows;
        chunk
    }

    /// [`Steps::chunk`] of a step whose kernel goes through `tile` rows at a time but takes any number.
    pub fn chunk_of_tiles(&mut self, rows: usize, nanoseconds: f64, tile: usize) -> usize {
        let chunk = split::chunk_of_tiles(rows, nanoseconds, tile, self.threads);
        self.forks |= chunk < rows;
        chunk
    }

    /// [`Steps::chunk`] of a step that reads and writes elements and does little else.
    pub fn chunk_elements(&mut self, elements: usize) -> usize {
        self.chunk(elements, 0.1, 64)
    }

    /// Begins a step of a node.
    pub fn of_node(&mut self, node: &Node, kernel: &'static str) -> Draft<'_> {
        self.step(node.name.clone(), node.op.name(), kernel)
    }

    /// Begins a step of that name, operator and kernel.
    pub fn step(&mut self, name: String, op: &'static str, kernel: &'static str) -> Draft<'_> {
        Draft { steps: self, name, op, kernel, macs: 0, with_slack: false }
    }

    /// For each buffer, after how many steps it is complete: the last one that writes it.
    pub fn completed_after(&self) -> Vec<usize> {
        let mut written = vec![0; self.buffers.len()];
        for (index, step) in self.steps.iter().enumerate() {
            step.writes.iter().for_each(|id| written[id.0] = index + 1);
        }
        written
    }

    /// When each buffer holds something; `None` where no step touches it.
    pub fn lives(&self) -> Vec<Option<Life>> {
        let mut lives: Vec<Option<Life>> = vec![None; self.buffers.len()];
        for (index, step) in self.steps.iter().enumerate() {
            for id in step.writes.iter().chain(&step.reads) {
                let life = lives[id.0].get_or_insert(Life { first: index, last: index });
                life.last = index;
            }
        }
        lives
    }
}

/// A step that has yet to get its buffers and its code, which sees those buffers and no others.
#[must_use = "a step is added by its code"]
pub(crate) struct Draft<'s> {
    steps: &'s mut Steps,
    name: String,
    op: &'static str,
    kernel: &'static str,
    macs: u64,
    with_slack: bool,
}

impl Draft<'_> {
    /// How many multiply-accumulates one run of it takes.
    pub fn macs(self, macs: u64) -> Self {
        Draft { macs, ..self }
    }

    /// The first buffer that it reads is seen with its slack: kernels that read whole groups of four bytes may touch it.
    pub fn with_slack(self) -> Self {
        Draft { with_slack: true, ..self }
    }

    /// Adds the step: `code` gets the bytes of the buffers that it reads and writes, exact lengths.
    pub fn run<const R: usize, const W: usize>(
        self,
        reads: [BufferId; R],
        writes: [BufferId; W],
        code: impl Fn(Context<'_>, [&[u8]; R], [&mut [u8]; W]) + Send + Sync + 'static,
    ) {
        self.run_optional(reads, [], writes, move |context, reads, [], writes| code(context, reads, writes));
    }

    /// As [`Draft::run`], where some buffers to read may be missing.
    pub fn run_optional<const R: usize, const O: usize, const W: usize>(
        self,
        reads: [BufferId; R],
        optional: [Option<BufferId>; O],
        writes: [BufferId; W],
        code: impl Fn(Context<'_>, [&[u8]; R], [Option<&[u8]>; O], [&mut [u8]; W]) + Send + Sync + 'static,
    ) {
        let declared = reads.into_iter().chain(optional.into_iter().flatten()).collect();
        let with_slack = self.with_slack;
        let code = move |run: &mut Run<'_>| {
            let slot = |id: BufferId| run.slots[id.0];
            let mut slots = reads.map(slot);
            if with_slack {
                slots[0].len += SLACK;
            }
            let optional = optional.map(|id| id.map(slot));
            let (reads, optional, writes) = run.views.get_optional(slots, optional, writes.map(slot));
            code(run.context, reads, optional, writes);
        };
        self.push(declared, writes.to_vec(), Box::new(code));
    }

    /// Adds a step that goes through the buffers that it reads, one after the other, with the one that it writes.
    pub fn run_each(
        self,
        reads: Vec<BufferId>,
        write: BufferId,
        code: impl Fn(Context<'_>, usize, &[u8], &mut [u8]) + Send + Sync + 'static,
    ) {
        let declared = reads.clone();
        let code = move |run: &mut Run<'_>| {
            for (index, id) in reads.iter().enumerate() {
                let ([x], [y]) = run.views.get([run.slots[id.0]], [run.slots[write.0]]);
                code(run.context, index, x, y);
            }
        };
        self.push(declared, vec![write], Box::new(code));
    }

    fn push(self, reads: Vec<BufferId>, writes: Vec<BufferId>, code: Code) {
        let Draft { steps, name, op, kernel, macs, .. } = self;
        steps.steps.push(Step { name, op, kernel, macs, code, reads, writes });
    }
}
