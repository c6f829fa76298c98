//! The steps of a plan while it is made, and what a step sees while it runs.

use octavo_exec::{Pool, Slot, Views};
use octavo_kernels::isa::Kernels;

use crate::plan::arena::Life;
use crate::plan::buffers::{Buffer, BufferId, Home, SLACK};
use crate::plan::faults::Faults;
use crate::plan::packing::Block;
use crate::plan::split;

/// What a step sees while it runs: its buffers, the kernels and the pool.
pub(crate) struct Run<'a> {
    /// Every buffer's bytes.
    pub views: Views<'a, Block>,
    /// Where each buffer lies.
    pub slots: &'a [Slot],
    /// The step whose code runs.
    pub step: Option<&'a Step>,
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
        slots[0].len += SLACK;
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
    pub(super) code: Code,
    /// The buffers that the code reads, and those that it writes: they have their bytes to themselves meanwhile.
    reads: Vec<BufferId>,
    writes: Vec<BufferId>,
}

/// The buffers and steps of a plan that is being made.
pub(crate) struct Steps {
    /// The tier's kernels.
    pub kernels: Kernels,
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
        Steps { kernels, threads, forks: false, buffers: Vec::new(), steps: Vec::new() }
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

    /// Adds a step. `reads` and `writes` name every buffer that its code touches.
    pub fn push(
        &mut self,
        name: String,
        op: &'static str,
        kernel: &'static str,
        macs: u64,
        reads: &[BufferId],
        writes: &[BufferId],
        code: Code,
    ) {
        let (reads, writes) = (reads.to_vec(), writes.to_vec());
        self.steps.push(Step { name, op, kernel, macs, code, reads, writes });
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
