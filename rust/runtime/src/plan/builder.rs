//! The walk over a Program's nodes that makes the steps: shapes, layouts, fusions, packed weights, kernels.
//!
//! Each operator family (in [`crate::ops`]) plans its nodes through the methods here: it asks for its inputs in the
//! layout it wants, declares its outputs, and pushes steps.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use octavo_kernels::isa::Kernels;

use crate::error::Error;
use crate::observe::Extremes;
use crate::ops;
use crate::plan::arena::{self, Life};
use crate::plan::layout::{Layout, is_same_bytes};
use crate::plan::packing::{Block, Key, Packing};
use crate::plan::split;
use crate::plan::stages::Rest;
use crate::plan::{Code, Observable, Owner, Plan, Step, TensorType};
use crate::program::{DType, MAX_RANK, Node, Program, Tensor, ValueId};

/// Most inputs, outputs, constant operands: what a [`Home`] can number.
const MOST_TENSORS: usize = 1 << 16;
/// Most bytes of all tensors that are computed while planning: each node could ask for more otherwise.
const MOST_KNOWN_BYTES: usize = 1 << 28;

/// A buffer of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId(pub usize);

/// Where a buffer's bytes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In the plan's arena.
    Arena,
    /// The caller's input.
    Input(u16),
    /// The caller's output.
    Output(u16),
    /// A constant of the plan.
    Constant(u16),
}

/// A buffer before it has its place.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Its bytes, without slack.
    pub bytes: usize,
    /// Where it lives.
    pub home: Home,
    /// Kernels read past its end, so it cannot be the caller's.
    needs_slack: bool,
}

impl Buffer {
    /// A buffer whose slack nobody needs yet.
    pub fn new(bytes: usize, home: Home) -> Buffer {
        Buffer { bytes, home, needs_slack: false }
    }
}

/// A tensor of the plan: its type, and where and how it lies.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Type and logical shape.
    pub tensor: TensorType,
    /// The order of its dimensions in memory.
    pub layout: Layout,
    /// Its bytes.
    pub buffer: BufferId,
}

impl Placed {
    /// The logical shape.
    pub fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    /// The shape as it lies in memory.
    pub fn physical(&self) -> Vec<usize> {
        self.layout.physical(&self.tensor.shape)
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.tensor.elements()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.tensor.dtype
    }
}

/// The output of a Transpose that no step has moved: where its bytes lie, in a buffer with slack.
#[derive(Clone, Debug)]
pub struct Strided {
    /// The node.
    pub node: usize,
    /// The bytes.
    pub buffer: BufferId,
    /// The logical shape.
    pub shape: Vec<usize>,
    /// Bytes from one element to the next along each dimension.
    pub steps: Vec<usize>,
}

/// The walk's state.
pub struct Builder<'p> {
    /// The Program.
    pub program: &'p Program,
    /// The tier's kernels.
    pub kernels: Kernels,
    /// The threads that steps are cut for.
    pub threads: usize,
    /// Packed weights.
    pub packing: Packing<'p>,
    placed: Vec<Option<Placed>>,
    known: Vec<Option<Tensor>>,
    converted: HashMap<(ValueId, Layout), BufferId>,
    strided: BTreeMap<ValueId, Strided>,
    buffers: Vec<Buffer>,
    constants: Vec<Block>,
    steps: Vec<Step>,
    observables: Vec<Observable>,
    /// Of the float32 values that are known, where all are looked at.
    known_extremes: Vec<(ValueId, Extremes)>,
    readers: Vec<Vec<usize>>,
    is_output: Vec<bool>,
    done: Vec<bool>,
    /// Bytes of the tensors that were computed while planning.
    known_bytes: usize,
    /// Some step is cut between threads.
    forks: bool,
    /// The first node of this plan; those before it are in the plans before.
    first: usize,
    /// What a node asked for that is not known.
    wanted: Cell<Option<ValueId>>,
    /// The plan computes what is known, and no more.
    is_of_known: bool,
    /// Every value is looked at, so that none may be left out by a fusion.
    observed: bool,
    /// The session that the plan is of.
    owner: Option<Owner>,
    /// What the plan is to be given, in order.
    inputs: Vec<ValueId>,
}

impl<'p> Builder<'p> {
    /// A walk that has seen no node; `shapes` are those of the Program's inputs.
    pub fn new(
        program: &'p Program,
        kernels: Kernels,
        threads: usize,
        packing: Packing<'p>,
        shapes: &[Vec<usize>],
    ) -> Result<Self, Error> {
        let mut builder = Builder::empty(program, kernels, threads, packing)?;
        builder.place_inputs(shapes)?;
        Ok(builder)
    }

    /// A walk over a Program without inputs, all of whose constants are at hand.
    pub fn of_known(program: &'p Program, kernels: Kernels, packing: Packing<'p>) -> Result<Self, Error> {
        let mut builder = Builder::empty(program, kernels, 1, packing)?;
        builder.is_of_known = true;
        Ok(builder)
    }

    /// The walk that goes on where a plan ended, for what the value that it ended for holds. The inputs of its plan are
    /// the Program's, then those that the rest is to be given.
    pub fn resume(
        program: &'p Program,
        kernels: Kernels,
        threads: usize,
        packing: Packing<'p>,
        rest: &Rest,
        wanted: Tensor,
    ) -> Result<Self, Error> {
        let mut builder = Builder::empty(program, kernels, threads, packing)?;
        builder.place_inputs(&rest.inputs)?;
        for (index, (value, tensor)) in rest.live.iter().enumerate() {
            let home = u16::try_from(program.inputs.len() + index).map(Home::Input);
            let home = home.map_err(|_| Error::Run(format!("more than {MOST_TENSORS} tensors at once")))?;
            let buffer = builder.buffer(tensor.bytes(), home);
            builder.inputs.push(*value);
            builder.settle(*value, Placed { tensor: tensor.clone(), layout: Layout::RowMajor, buffer });
        }
        // They were shown when the plans before were run.
        builder.observables.clear();
        builder.first = rest.first;
        builder.done.clone_from(&rest.done);
        builder.known.clone_from(&rest.known);
        builder.know(rest.wanted, wanted)?;
        Ok(builder)
    }

    fn empty(
        program: &'p Program,
        kernels: Kernels,
        threads: usize,
        packing: Packing<'p>,
    ) -> Result<Self, Error> {
        if program.inputs.len().max(program.outputs.len()) > MOST_TENSORS {
            return Err(Error::Run(format!("a program of more than {MOST_TENSORS} inputs or outputs")));
        }
        let mut readers = vec![Vec::new(); program.values.len()];
        for (index, node) in program.nodes.iter().enumerate() {
            for value in node.inputs.iter().flatten() {
                readers[value.0 as usize].push(index);
            }
        }
        let mut is_output = vec![false; program.values.len()];
        program.outputs.iter().for_each(|value| is_output[value.index()] = true);
        Ok(Builder {
            program,
            kernels,
            threads,
            packing,
            placed: vec![None; program.values.len()],
            known: vec![None; program.values.len()],
            converted: HashMap::new(),
            strided: BTreeMap::new(),
            buffers: Vec::new(),
            constants: Vec::new(),
            steps: Vec::new(),
            observables: Vec::new(),
            known_extremes: Vec::new(),
            readers,
            is_output,
            known_bytes: 0,
            done: vec![false; program.nodes.len()],
            forks: false,
            first: 0,
            wanted: Cell::new(None),
            is_of_known: false,
            observed: false,
            owner: None,
            inputs: Vec::new(),
        })
    }

    fn place_inputs(&mut self, shapes: &[Vec<usize>]) -> Result<(), Error> {
        let program = self.program;
        for (index, (&value, shape)) in program.inputs.iter().zip(shapes).enumerate() {
            let tensor = TensorType { dtype: program.value(value).dtype, shape: shape.clone() };
            let bytes = self.bytes_of(value, &tensor)?;
            let buffer = self.buffer(bytes, Home::Input(index as u16));
            self.inputs.push(value);
            self.settle(value, Placed { tensor, layout: Layout::RowMajor, buffer });
        }
        Ok(())
    }

    /// Whether the plan is for [`crate::session::Session::observe`]: every value is there to be seen.
    pub fn observed(mut self, observed: bool) -> Self {
        self.observed = observed;
        self
    }

    /// States which session the plan is of.
    pub fn owned_by(mut self, owner: &Owner) -> Self {
        self.owner = Some(owner.clone());
        self
    }

    /// Plans every node, up to one that depends on what is not known yet, and places every buffer.
    pub fn finish(mut self) -> Result<Plan, Error> {
        let mut rest = None;
        for index in self.first..self.program.nodes.len() {
            if self.done[index] {
                continue;
            }
            let (done, seen) = (self.done.clone(), self.observables.len());
            self.done[index] = true;
            let Err(error) = ops::plan(&mut self, index) else { continue };
            let Some(wanted) = self.wanted.take() else { return Err(error) };
            // What the node has begun is as if it had not: only steps that nobody waits for may remain.
            for begun in self.observables.split_off(seen) {
                self.placed[begun.value.index()] = None;
            }
            self.done = done;
            self.move_strided()?;
            rest = Some(self.rest(index, wanted)?);
            break;
        }
        let wanted: Vec<ValueId> = match &rest {
            Some(rest) => rest.live.iter().map(|(value, _)| *value).collect(),
            None => self.program.outputs.clone(),
        };
        let outputs = self.bind_outputs(&wanted)?;
        let inputs = self.inputs.iter().map(|&value| self.tensor(value)).collect::<Result<_, _>>()?;
        let names = |values: &[ValueId]| values.iter().map(|&value| self.name(value).to_owned()).collect();
        let (input_names, output_names) = (names(&self.inputs), names(&wanted));
        let lives = self.lives();
        let (slots, arena_bytes) = arena::place(&self.buffers, &lives);
        self.complete_observables();
        Ok(Plan {
            steps: self.steps,
            slots,
            constants: self.constants,
            arena_bytes,
            inputs,
            input_names,
            outputs,
            output_names,
            observables: self.observables,
            known_extremes: self.known_extremes,
            kernels: self.kernels,
            forks: self.forks,
            rest,
            observed: self.observed,
            owner: self.owner,
            arenas: Mutex::new(Vec::new()),
        })
    }

    /// Moves what was left where it lay for a node that is still to be planned.
    fn move_strided(&mut self) -> Result<(), Error> {
        for (value, strided) in std::mem::take(&mut self.strided) {
            if self.readers(value).iter().any(|&reader| !self.done[reader]) {
                ops::movement::move_strided(self, strided)?;
            }
        }
        Ok(())
    }

    /// What is left to plan when the node `first` waits for a value, which this plan makes or the caller feeds.
    fn rest(&self, first: usize, wanted: ValueId) -> Result<Rest, Error> {
        let program = self.program;
        let mut is_read = self.is_output.clone();
        is_read[wanted.index()] = true;
        for (node, done) in program.nodes.iter().zip(&self.done) {
            if !done {
                node.inputs.iter().flatten().for_each(|value| is_read[value.index()] = true);
            }
        }
        program.inputs.iter().for_each(|input| is_read[input.index()] = false);
        let live = (0..program.values.len())
            .filter(|&index| is_read[index])
            .filter_map(|index| Some((ValueId(index as u32), self.placed[index].as_ref()?.tensor.clone())))
            .collect();
        let inputs = program.inputs.iter().map(|&value| Ok(self.tensor(value)?.shape));
        Ok(Rest {
            first,
            wanted,
            inputs: inputs.collect::<Result<_, Error>>()?,
            live,
            done: self.done.clone(),
            known: self.known.clone(),
            observed: self.observed,
            plans: Mutex::default(),
        })
    }

    // ---- what is known of a value

    /// A value's name, for errors.
    pub fn name(&self, value: ValueId) -> &str {
        &self.program.values[value.0 as usize].name
    }

    /// The tensor of a value that is known before the run: a constant, or shape arithmetic.
    pub fn known(&self, value: ValueId) -> Option<&Tensor> {
        self.known[value.0 as usize]
            .as_ref()
            .or_else(|| self.program.values[value.0 as usize].constant.as_ref())
    }

    /// States that the plan depends on what a value holds, which a step makes or the caller feeds.
    pub fn want(&self, value: ValueId) {
        if self.placed(value).is_some() {
            self.wanted.set(Some(value));
        }
    }

    /// Whether the plan computes what is known, so that no part of it may be computed while planning.
    pub fn is_of_known(&self) -> bool {
        self.is_of_known
    }

    /// Whether so many bytes more may be known.
    pub fn has_room_to_know(&self, bytes: usize) -> bool {
        self.known_bytes.saturating_add(bytes) <= MOST_KNOWN_BYTES
    }

    /// States what a value will hold.
    pub fn know(&mut self, value: ValueId, tensor: Tensor) -> Result<(), Error> {
        self.bytes_of(value, &TensorType { dtype: tensor.dtype(), shape: tensor.shape().to_vec() })?;
        if !self.has_room_to_know(tensor.bytes().len()) {
            return Err(Error::Run(format!(
                "value '{}' is known before the run, and with it more than {MOST_KNOWN_BYTES} bytes are",
                self.name(value)
            )));
        }
        self.known_bytes += tensor.bytes().len();
        if self.observed && tensor.dtype() == DType::F32 {
            self.known_extremes.push((value, Extremes::of(&tensor.f32s()?)));
        }
        self.known[value.index()] = Some(tensor);
        Ok(())
    }

    /// A value's type, whether it is known, a constant, or made by a step.
    pub fn tensor(&self, value: ValueId) -> Result<TensorType, Error> {
        if let Some(known) = self.known(value) {
            return Ok(TensorType { dtype: known.dtype(), shape: known.shape().to_vec() });
        }
        match &self.placed[value.0 as usize] {
            Some(placed) => Ok(placed.tensor.clone()),
            None => Err(Error::Run(format!("value '{}' is read before a node makes it", self.name(value)))),
        }
    }

    /// A value that a step already makes (or that is an input), as it lies now.
    pub fn placed(&self, value: ValueId) -> Option<&Placed> {
        self.placed[value.0 as usize].as_ref()
    }

    /// The indices of the nodes that read a value.
    pub fn readers(&self, value: ValueId) -> &[usize] {
        &self.readers[value.0 as usize]
    }

    /// Whether somebody other than the nodes reads a value: the caller, or an observer.
    pub fn is_seen(&self, value: ValueId) -> bool {
        self.observed || self.is_output[value.index()]
    }

    /// The one node that reads a value, where nobody else sees it.
    pub fn only_reader(&self, value: ValueId) -> Option<(usize, &'p Node)> {
        match self.readers(value) {
            [index] if !self.is_seen(value) => Some((*index, &self.program.nodes[*index])),
            _ => None,
        }
    }

    /// Whether a node is planned, maybe within another's step.
    pub fn is_planned(&self, index: usize) -> bool {
        self.done[index]
    }

    /// Marks a node as planned within another's step.
    pub fn absorb(&mut self, index: usize) {
        self.done[index] = true;
    }

    // ---- inputs

    /// A value that [`Builder::defer`] left where it lay.
    pub fn strided(&self, value: ValueId) -> Option<&Strided> {
        self.strided.get(&value)
    }

    /// A value in the layout that it has now; constants come row-major.
    pub fn input(&mut self, value: ValueId) -> Result<Placed, Error> {
        if let Some(placed) = &self.placed[value.0 as usize] {
            return Ok(placed.clone());
        }
        if self.known(value).is_some() {
            return self.constant(value, Layout::RowMajor);
        }
        Err(Error::Run(format!("value '{}' is read before a node makes it", self.name(value))))
    }

    /// A value in the layout that the caller wants: as it is, or through a conversion made once.
    pub fn input_as(&mut self, value: ValueId, layout: Layout) -> Result<Placed, Error> {
        if self.placed[value.0 as usize].is_none() && self.known(value).is_some() {
            return self.constant(value, layout);
        }
        let mut placed = self.input(value)?;
        if placed.layout == layout || is_same_bytes(placed.shape()) {
            placed.layout = layout;
            return Ok(placed);
        }
        let buffer = match self.converted.get(&(value, layout)) {
            Some(&buffer) => buffer,
            None => {
                let buffer = self.temporary(placed.tensor.bytes());
                let name = self.name(value).to_owned();
                ops::movement::convert_layout(self, name, &placed, layout, buffer);
                self.converted.insert((value, layout), buffer);
                buffer
            }
        };
        Ok(Placed { tensor: placed.tensor, layout, buffer })
    }

    /// A buffer whose slack kernels may read: the same, or a copy where it is the caller's or a constant.
    pub fn with_slack(&mut self, placed: &Placed) -> BufferId {
        let id = placed.buffer;
        if self.buffers[id.0].home == Home::Arena {
            self.buffers[id.0].needs_slack = true;
            return id;
        }
        let copy = self.temporary(placed.tensor.bytes());
        self.buffers[copy.0].needs_slack = true;
        ops::movement::copy(self, "copy of an input".to_owned(), id, copy);
        copy
    }

    fn constant(&mut self, value: ValueId, layout: Layout) -> Result<Placed, Error> {
        let Some(known) = self.known(value).cloned() else {
            return Err(Error::Run(format!("value '{}' is not known before the run", self.name(value))));
        };
        let tensor = TensorType { dtype: known.dtype(), shape: known.shape().to_vec() };
        if let Some(&buffer) = self.converted.get(&(value, layout)) {
            return Ok(Placed { tensor, layout, buffer });
        }
        let rank = known.shape().len();
        // Constants of the Program are kept once for all plans.
        let key = Key { weight: value.0, form: layout.name(), part: 0, parts: 1 };
        let block = self.packing.get(key, known.bytes().len(), |out| match layout {
            Layout::RowMajor => out[..known.bytes().len()].copy_from_slice(known.bytes()),
            Layout::ChannelsLast => {
                let element = known.dtype().size();
                let bytes =
                    ops::movement::permuted(known.bytes(), element, known.shape(), &layout.order(rank));
                out[..bytes.len()].copy_from_slice(&bytes);
            }
        })?;
        let index = u16::try_from(self.constants.len())
            .map_err(|_| Error::Run(format!("a program with more than {MOST_TENSORS} constant operands")))?;
        self.constants.push(Block(block));
        let buffer = self.buffer(known.bytes().len(), Home::Constant(index));
        self.converted.insert((value, layout), buffer);
        Ok(Placed { tensor, layout, buffer })
    }

    // ---- outputs

    fn buffer(&mut self, bytes: usize, home: Home) -> BufferId {
        self.buffers.push(Buffer::new(bytes, home));
        BufferId(self.buffers.len() - 1)
    }

    /// A buffer of the arena.
    pub fn temporary(&mut self, bytes: usize) -> BufferId {
        self.buffer(bytes, Home::Arena)
    }

    /// Declares a node's output in a buffer of its own. Rank 2 and less is row-major whatever is asked.
    pub fn output(&mut self, value: ValueId, shape: Vec<usize>, layout: Layout) -> Result<Placed, Error> {
        let dtype = self.program.values[value.0 as usize].dtype;
        let tensor = TensorType { dtype, shape };
        let bytes = self.bytes_of(value, &tensor)?;
        let layout = if tensor.shape.len() < 3 { Layout::RowMajor } else { layout };
        let buffer = self.temporary(bytes);
        let placed = Placed { tensor, layout, buffer };
        self.settle(value, placed.clone());
        Ok(placed)
    }

    /// Declares a node's output to be the bytes of another tensor, seen with another shape.
    pub fn alias(
        &mut self,
        value: ValueId,
        of: &Placed,
        shape: Vec<usize>,
        layout: Layout,
    ) -> Result<(), Error> {
        let tensor = TensorType { dtype: of.dtype(), shape };
        self.bytes_of(value, &tensor)?;
        self.settle(value, Placed { tensor, layout, buffer: of.buffer });
        Ok(())
    }

    /// Declares a node's output to be another tensor's bytes, to be found by strides; its reader must ask for it as
    /// [`Builder::strided`].
    pub fn defer(&mut self, value: ValueId, dtype: DType, strided: Strided) -> Result<(), Error> {
        self.bytes_of(value, &TensorType { dtype, shape: strided.shape.clone() })?;
        self.strided.insert(value, strided);
        Ok(())
    }

    fn settle(&mut self, value: ValueId, placed: Placed) {
        let (buffer, dtype) = (placed.buffer, placed.dtype());
        self.observables.push(Observable { value, after: 0, buffer, dtype });
        self.placed[value.index()] = Some(placed);
    }

    /// The bytes of a value. Every tensor of a plan passes here: its rank is bounded, and no product of some of its
    /// dimensions leaves 62 bits, though others may be 0.
    fn bytes_of(&self, value: ValueId, tensor: &TensorType) -> Result<usize, Error> {
        let (size, shape) = (tensor.dtype.size(), &tensor.shape);
        let most = shape.iter().try_fold(size, |all, &d| all.checked_mul(d.max(1)));
        if shape.len() > MAX_RANK || most.is_none_or(|most| most >= 1 << 62) {
            let name = self.name(value);
            return Err(Error::Run(format!("value '{name}' of shape {shape:?} is too large")));
        }
        Ok(tensor.bytes())
    }

    // ---- steps

    /// How many of `rows` one thread takes at a time, where a row costs `nanoseconds`: a multiple of `multiple`.
    pub fn chunk(&mut self, rows: usize, nanoseconds: f64, multiple: usize) -> usize {
        let chunk = split::chunk(rows, nanoseconds, multiple, self.threads);
        self.forks |= chunk < rows;
        chunk
    }

    /// [`Builder::chunk`] of a step whose kernel goes through `tile` rows at a time but takes any number.
    pub fn chunk_of_tiles(&mut self, rows: usize, nanoseconds: f64, tile: usize) -> usize {
        let chunk = split::chunk_of_tiles(rows, nanoseconds, tile, self.threads);
        self.forks |= chunk < rows;
        chunk
    }

    /// [`Builder::chunk`] of a step that reads and writes elements and does little else.
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

    /// Makes each of the plan's outputs the caller's buffer; where that cannot be, a step copies it there.
    fn bind_outputs(&mut self, outputs: &[ValueId]) -> Result<Vec<TensorType>, Error> {
        let mut types = Vec::with_capacity(outputs.len());
        for (index, &value) in outputs.iter().enumerate() {
            let placed = self.input_as(value, Layout::RowMajor)?;
            let home = u16::try_from(index).map(Home::Output);
            let home = home.map_err(|_| Error::Run(format!("more than {MOST_TENSORS} tensors at once")))?;
            let buffer = &mut self.buffers[placed.buffer.0];
            if buffer.home == Home::Arena && !buffer.needs_slack && buffer.bytes == placed.tensor.bytes() {
                buffer.home = home;
            } else {
                let copy = self.buffer(placed.tensor.bytes(), home);
                let name = self.name(value).to_owned();
                ops::movement::copy(self, name, placed.buffer, copy);
            }
            types.push(placed.tensor);
        }
        Ok(types)
    }

    /// A value is complete after the last step that writes its buffer.
    fn complete_observables(&mut self) {
        let mut written = vec![0; self.buffers.len()];
        for (index, step) in self.steps.iter().enumerate() {
            step.writes.iter().for_each(|id| written[id.0] = index + 1);
        }
        self.observables.iter_mut().for_each(|seen| seen.after = written[seen.buffer.0]);
        self.observables.sort_by_key(|seen| seen.after);
    }

    fn lives(&self) -> Vec<Option<Life>> {
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
