//! What is known and where values lie, while a plan is made.
//!
//! Each operator family plans its nodes through the methods here: it asks for its inputs in the layout it wants,
//! declares its outputs, and adds steps. No operator is known here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use octavo_exec::Pool;
use octavo_kernels::table::Kernels;

use crate::error::Error;
use crate::plan::arena;
use crate::plan::buffers::{BufferId, Home, Placed, Strided, TensorType};
use crate::plan::conversion::{self, convert_layout, relocate};
use crate::plan::known::{Known, MOST_KNOWN_BYTES};
use crate::plan::layout::{Layout, is_same_bytes};
use crate::plan::packing::{Key, PackedBlock, Packing};
use crate::plan::relocation::{Relocation, permuted};
use crate::plan::rest::{End, Live, Operand, Rest, Source};
use crate::plan::steps::Steps;
use crate::plan::trial::Trial;
use crate::plan::uses::Uses;
use crate::plan::{Observable, Owner, Plan};
use crate::program::{DType, MAX_RANK, Node, Program, Tensor, ValueId};

/// Most inputs, outputs, constant operands: what a [`Home`] can number.
const MOST_TENSORS: usize = 1 << 16;

/// What planning a node has come to.
pub enum Planned {
    /// Its outputs are declared, its steps added.
    Done,
    /// The plan ends before it: it depends on what a value holds, which a step makes or the caller feeds, or runs
    /// sub-programs.
    Ends(End),
}

/// Why a node is not planned.
#[derive(Debug)]
pub enum Stop {
    /// As [`End::Value`].
    Waits(ValueId),
    /// It cannot be.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// What a run has found out that a plan has ended for.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// What a value holds.
    Tensor(Tensor),
    /// The types of what a node with sub-programs has made.
    Made(Vec<TensorType>),
}

/// A plan that is being made.
pub struct Builder<'p> {
    /// The Program.
    pub program: &'p Program,
    /// Its buffers and steps.
    pub steps: Steps,
    /// Packed weights.
    pub packing: Packing<'p>,
    /// Who makes and who reads its values.
    pub uses: &'p Uses,
    placed: HashMap<ValueId, Placed>,
    known: Known,
    converted: HashMap<(ValueId, Layout), BufferId>,
    strided: BTreeMap<ValueId, Strided>,
    constants: Vec<PackedBlock>,
    observables: Vec<Observable>,
    /// What is computed while planning, where all values are looked at.
    known_values: Vec<(ValueId, Tensor)>,
    /// The nodes before this one are planned, some of them in the plans before; and of those from it on, these.
    next: usize,
    ahead: BTreeSet<usize>,
    /// What the node that is being planned has begun: nodes marked as planned, and how much had been settled before.
    begun: Vec<usize>,
    settled_before: usize,
    /// The plan computes what is known, and no more.
    is_of_known: bool,
    /// Every value is looked at, so that none may be left out by a fusion.
    observed: bool,
    /// The session that the plan is of.
    owner: Option<Owner>,
    /// What the plan is to be given, in order: so many inputs of the Program, then what plans before it have made.
    inputs: Vec<ValueId>,
    fed: usize,
}

impl<'p> Builder<'p> {
    /// A plan without a node; `shapes` are those of the Program's inputs.
    pub fn new(
        program: &'p Program,
        uses: &'p Uses,
        kernels: Kernels,
        threads: usize,
        packing: Packing<'p>,
        shapes: &[Vec<usize>],
    ) -> Result<Self, Error> {
        let mut builder = Builder::empty(program, uses, kernels, threads, packing)?;
        builder.place_inputs(shapes)?;
        Ok(builder)
    }

    /// A plan of a Program without inputs, all of whose constants are at hand.
    pub fn of_known(
        program: &'p Program,
        uses: &'p Uses,
        kernels: Kernels,
        packing: Packing<'p>,
    ) -> Result<Self, Error> {
        let mut builder = Builder::empty(program, uses, kernels, 1, packing)?;
        builder.is_of_known = true;
        Ok(builder)
    }

    /// Resumes after a plan that ended early, for what the value that it ended for holds, or for the types of what the
    /// node has made that it ended for. The inputs of its plan are those of the Program's that are still read, then what
    /// is live, then that.
    pub fn resume(
        program: &'p Program,
        uses: &'p Uses,
        kernels: Kernels,
        threads: usize,
        packing: Packing<'p>,
        rest: &Rest,
        found: &Found,
    ) -> Result<Self, Error> {
        let mut builder = Builder::empty(program, uses, kernels, threads, packing)?;
        builder.fed = rest.fed.len();
        let fed = rest.fed.iter().map(|(at, tensor)| (program.inputs[*at], tensor));
        for (value, tensor) in fed.chain(rest.live.iter().map(|live| (live.value, &live.tensor))) {
            builder.place_input(value, tensor.clone())?;
        }
        // They were shown when the plans before were run.
        builder.observables.clear();
        builder.next = rest.first;
        builder.ahead.clone_from(&rest.ahead);
        builder.known.clone_from(&rest.known);
        match (found, rest.end) {
            (Found::Tensor(tensor), End::Value(wanted)) => builder.know(wanted, tensor.clone())?,
            (Found::Made(types), End::Bodies) => {
                let outputs = program.nodes[rest.first].outputs.iter().flatten();
                for (&value, of) in outputs.zip(types) {
                    builder.place_input(value, of.clone())?;
                }
                builder.next += 1;
            }
            _ => return Err(Error::run("a plan is resumed for what it did not end for".to_owned())),
        }
        Ok(builder)
    }

    fn empty(
        program: &'p Program,
        uses: &'p Uses,
        kernels: Kernels,
        threads: usize,
        packing: Packing<'p>,
    ) -> Result<Self, Error> {
        if program.inputs.len().max(program.outputs.len()) > MOST_TENSORS {
            return Err(Error::run(format!("a program of more than {MOST_TENSORS} inputs or outputs")));
        }
        Ok(Builder {
            program,
            steps: Steps::new(kernels, threads),
            packing,
            uses,
            placed: HashMap::new(),
            known: Known::default(),
            converted: HashMap::new(),
            strided: BTreeMap::new(),
            constants: Vec::new(),
            observables: Vec::new(),
            known_values: Vec::new(),
            next: 0,
            ahead: BTreeSet::new(),
            begun: Vec::new(),
            settled_before: 0,
            is_of_known: false,
            observed: false,
            owner: None,
            inputs: Vec::new(),
            fed: 0,
        })
    }

    fn place_inputs(&mut self, shapes: &[Vec<usize>]) -> Result<(), Error> {
        let program = self.program;
        self.fed = program.inputs.len();
        for (&value, shape) in program.inputs.iter().zip(shapes) {
            let tensor = TensorType { dtype: program.value(value).dtype, shape: shape.clone() };
            self.place_input(value, tensor)?;
        }
        Ok(())
    }

    /// Adds an input of the plan.
    fn place_input(&mut self, value: ValueId, tensor: TensorType) -> Result<(), Error> {
        let home = u16::try_from(self.inputs.len()).map(Home::Input);
        let home = home.map_err(|_| Error::run(format!("more than {MOST_TENSORS} tensors at once")))?;
        let bytes = self.bytes_of(value, &tensor)?;
        let buffer = self.steps.buffer(bytes, home);
        self.inputs.push(value);
        self.settle(value, Placed { tensor, layout: Layout::RowMajor, buffer });
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

    /// The nodes of this plan, by their index; some may be planned within another's step.
    pub fn nodes(&self) -> Range<usize> {
        self.next..self.program.nodes.len()
    }

    /// Begins with a node, which counts as planned from now on.
    pub fn begin(&mut self, index: usize) {
        self.begun.clear();
        self.settled_before = self.observables.len();
        self.next = index + 1;
    }

    /// Takes back what the node that was begun last has declared. Steps that it added may stay: nothing reads them.
    fn undo(&mut self) {
        for seen in self.observables.split_off(self.settled_before) {
            self.placed.remove(&seen.value);
        }
        for index in self.begun.drain(..) {
            self.ahead.remove(&index);
        }
        self.next -= 1;
    }

    /// States that the plan's inputs from this place on are shown to observers elsewhere.
    pub fn without_observing_inputs(mut self, first: usize) -> Self {
        let others = self.inputs.split_off(first.min(self.inputs.len()));
        self.observables.retain(|seen| !others.contains(&seen.value));
        self.inputs.extend(others);
        self
    }

    /// The plan of the nodes before the one that was begun last. The rest is planned when a run has what it ends for.
    pub fn finish_early(mut self, end: End) -> Result<Plan, Error> {
        self.undo();
        for (value, strided) in std::mem::take(&mut self.strided) {
            if self.is_read_later(value) {
                self.move_strided(strided)?;
            }
        }
        let rest = self.rest(end)?;
        self.complete(Some(rest))
    }

    /// The plan, where every node is planned.
    pub fn finish(self) -> Result<Plan, Error> {
        self.complete(None)
    }

    /// Binds the outputs and places every buffer.
    fn complete(mut self, rest: Option<Rest>) -> Result<Plan, Error> {
        let wanted: Vec<ValueId> = match &rest {
            Some(rest) => {
                let made = rest.live.iter().filter(|live| matches!(live.source, Source::Made(_)));
                made.map(|live| live.value).collect()
            }
            None => self.program.outputs.clone(),
        };
        let outputs = self.bind_outputs(&wanted)?;
        let inputs = self.inputs.iter().map(|&value| self.tensor(value)).collect::<Result<_, _>>()?;
        let names = |values: &[ValueId]| values.iter().map(|&value| self.name(value).to_owned()).collect();
        let (input_names, output_names) = (names(&self.inputs), names(&wanted));
        let (slots, arena_bytes) = arena::place(&self.steps.buffers, &self.steps.lives());
        let complete = self.steps.completed_after();
        self.observables.iter_mut().for_each(|seen| seen.after = complete[seen.placed.buffer.0]);
        self.observables.sort_by_key(|seen| seen.after);
        Ok(Plan {
            steps: self.steps.steps,
            slots,
            constants: self.constants,
            arena_bytes,
            inputs,
            input_names,
            outputs,
            output_names,
            observables: self.observables,
            known_values: self.known_values,
            kernels: self.steps.kernels,
            forks: self.steps.forks,
            trial: Trial::default(),
            alone: Pool::new(1),
            rest,
            observed: self.observed,
            owner: self.owner,
            arenas: Mutex::new(Vec::new()),
        })
    }

    /// What is left to plan when the plan ends before the next node.
    fn rest(&mut self, end: End) -> Result<Rest, Error> {
        let uses = self.uses;
        let is_wanted = |value| end == End::Value(value);
        let is_live =
            |&value: &ValueId| is_wanted(value) || uses.is_output(value) || self.is_read_later(value);
        let values: BTreeSet<ValueId> = self.placed.keys().copied().filter(is_live).collect();
        let (mut fed, mut live, mut made) = (Vec::new(), Vec::new(), 0);
        for value in values {
            let tensor = self.tensor(value)?;
            if let Some(at) = uses.input(value) {
                fed.push((at, tensor));
                continue;
            }
            let source = self.given(value).map_or(Source::Made(made), Source::Given);
            made += usize::from(source == Source::Made(made));
            live.push(Live { value, tensor, source });
        }
        self.known = std::mem::take(&mut self.known).shared();
        let mut rest = Rest {
            id: Rest::new_id(),
            first: self.next,
            end,
            operands: Vec::new(),
            fed,
            live,
            ahead: self.ahead.split_off(&self.next),
            known: self.known.clone(),
            observed: self.observed,
        };
        if end == End::Bodies {
            let inputs = &self.program.nodes[rest.first].inputs;
            rest.operands =
                inputs.iter().map(|&input| self.operand(&rest, input)).collect::<Result<_, _>>()?;
        }
        Ok(rest)
    }

    /// Where a node with sub-programs finds an input.
    fn operand(&self, rest: &Rest, input: Option<ValueId>) -> Result<Operand, Error> {
        let Some(value) = input else { return Ok(Operand::Nothing) };
        let of = self.tensor(value)?;
        if let Some(known) = self.known(value) {
            // A tensor's bytes lie anywhere.
            let mut bytes = arena::allocate(known.bytes().len())?;
            bytes.bytes_mut().copy_from_slice(known.bytes());
            return Ok(Operand::Known(of, Arc::new(bytes)));
        }
        let place = rest.place(&self.program.inputs, value);
        let place =
            place.ok_or_else(|| Error::run(format!("value '{}' is made by no node", self.name(value))))?;
        Ok(Operand::Placed(of, place))
    }

    /// The number of the live tensor that the plan is given and that is this value, whole and in its own order.
    fn given(&self, value: ValueId) -> Option<usize> {
        let placed = self.placed(value)?;
        let buffer = &self.steps.buffers[placed.buffer.0];
        let is_whole = placed.layout == Layout::RowMajor && buffer.bytes == placed.tensor.bytes();
        match buffer.home {
            Home::Input(at) if is_whole => usize::from(at).checked_sub(self.fed),
            _ => None,
        }
    }

    // ---- what is known of a value

    /// A value's name, for errors.
    pub fn name(&self, value: ValueId) -> &str {
        &self.program.values[value.0 as usize].name
    }

    /// The tensor of a value that is known before the run: a constant, or shape arithmetic.
    pub fn known(&self, value: ValueId) -> Option<&Tensor> {
        self.known.get(value).or_else(|| self.program.values[value.0 as usize].constant.as_ref())
    }

    /// Whether the plan computes what is known, so that no part of it may be computed while planning.
    pub fn is_of_known(&self) -> bool {
        self.is_of_known
    }

    /// Whether so many bytes more may be known.
    pub fn has_room_to_know(&self, bytes: usize) -> bool {
        self.known.has_room(bytes)
    }

    /// States what a value will hold.
    pub fn know(&mut self, value: ValueId, tensor: Tensor) -> Result<(), Error> {
        self.bytes_of(value, &TensorType { dtype: tensor.dtype(), shape: tensor.shape().to_vec() })?;
        if !self.has_room_to_know(tensor.bytes().len()) {
            return Err(Error::run(format!(
                "value '{}' is known before the run, and with it more than {MOST_KNOWN_BYTES} bytes are",
                self.name(value)
            )));
        }
        if self.observed {
            self.known_values.push((value, tensor.clone()));
        }
        self.known.insert(value, tensor);
        Ok(())
    }

    /// A value's type, whether it is known, a constant, or made by a step.
    pub fn tensor(&self, value: ValueId) -> Result<TensorType, Error> {
        if let Some(known) = self.known(value) {
            return Ok(TensorType { dtype: known.dtype(), shape: known.shape().to_vec() });
        }
        match self.placed(value) {
            Some(placed) => Ok(placed.tensor.clone()),
            None => Err(Error::run(format!("value '{}' is read before a node makes it", self.name(value)))),
        }
    }

    /// A value that a step already makes (or that is an input), as it lies now.
    pub fn placed(&self, value: ValueId) -> Option<&Placed> {
        self.placed.get(&value)
    }

    /// The index of the node that makes a value; none of a constant, or where the caller feeds it.
    pub fn maker_index(&self, value: ValueId) -> Option<usize> {
        self.uses.maker(value)
    }

    /// The node that makes a value.
    pub fn maker(&self, value: ValueId) -> Option<&'p Node> {
        self.maker_index(value).map(|index| &self.program.nodes[index])
    }

    /// The indices of the nodes that read a value.
    pub fn readers(&self, value: ValueId) -> &[usize] {
        self.uses.readers(value)
    }

    /// Whether somebody other than the nodes reads a value: the caller, or an observer.
    pub fn is_seen(&self, value: ValueId) -> bool {
        self.observed || self.uses.is_output(value)
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
        index < self.next || self.ahead.contains(&index)
    }

    fn is_read_later(&self, value: ValueId) -> bool {
        self.readers(value).iter().rev().any(|&reader| !self.is_planned(reader))
    }

    /// Marks a node as planned within another's step.
    pub fn absorb(&mut self, index: usize) {
        if index >= self.next && self.ahead.insert(index) {
            self.begun.push(index);
        }
    }

    // ---- inputs

    /// A value that [`Builder::defer`] left where it lay.
    pub fn strided(&self, value: ValueId) -> Option<&Strided> {
        self.strided.get(&value)
    }

    /// A value in the layout that it has now; constants come row-major.
    pub fn input(&mut self, value: ValueId) -> Result<Placed, Error> {
        if let Some(placed) = self.placed(value) {
            return Ok(placed.clone());
        }
        if self.known(value).is_some() {
            return self.constant(value, Layout::RowMajor);
        }
        Err(Error::run(format!("value '{}' is read before a node makes it", self.name(value))))
    }

    /// A value in the layout that the caller wants: as it is, or through a conversion made once.
    pub fn input_as(&mut self, value: ValueId, layout: Layout) -> Result<Placed, Error> {
        if self.placed(value).is_none() && self.known(value).is_some() {
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
                let buffer = self.steps.temporary(placed.tensor.bytes());
                let name = self.name(value).to_owned();
                convert_layout(&mut self.steps, name, &placed, layout, buffer);
                self.converted.insert((value, layout), buffer);
                buffer
            }
        };
        Ok(Placed { tensor: placed.tensor, layout, buffer })
    }

    /// A buffer whose slack kernels may read: the same, or a copy where it is the caller's or a constant.
    pub fn with_slack(&mut self, placed: &Placed) -> BufferId {
        let id = placed.buffer;
        if self.steps.buffers[id.0].home == Home::Arena {
            self.steps.buffers[id.0].needs_slack = true;
            return id;
        }
        let copy = self.steps.temporary(placed.tensor.bytes());
        self.steps.buffers[copy.0].needs_slack = true;
        conversion::copy(&mut self.steps, "copy of an input".to_owned(), id, copy);
        copy
    }

    fn constant(&mut self, value: ValueId, layout: Layout) -> Result<Placed, Error> {
        let Some(known) = self.known(value).cloned() else {
            return Err(Error::run(format!("value '{}' is not known before the run", self.name(value))));
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
                let bytes = permuted(known.bytes(), element, known.shape(), &layout.order(rank));
                out[..bytes.len()].copy_from_slice(&bytes);
            }
        })?;
        let index = u16::try_from(self.constants.len())
            .map_err(|_| Error::run(format!("a program with more than {MOST_TENSORS} constant operands")))?;
        self.constants.push(PackedBlock(block));
        let buffer = self.steps.buffer(known.bytes().len(), Home::Constant(index));
        self.converted.insert((value, layout), buffer);
        Ok(Placed { tensor, layout, buffer })
    }

    // ---- outputs

    /// Declares a node's output in a buffer of its own. Rank 2 and less is row-major whatever is asked.
    pub fn output(&mut self, value: ValueId, shape: Vec<usize>, layout: Layout) -> Result<Placed, Error> {
        let dtype = self.program.values[value.0 as usize].dtype;
        let tensor = TensorType { dtype, shape };
        let bytes = self.bytes_of(value, &tensor)?;
        let layout = if tensor.shape.len() < 3 { Layout::RowMajor } else { layout };
        let buffer = self.steps.temporary(bytes);
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

    /// Moves together what [`Builder::defer`] would have left where it lay.
    pub fn move_strided(&mut self, strided: Strided) -> Result<(), Error> {
        let Strided { node, buffer, shape, steps } = strided;
        let node = &self.program.nodes[node];
        let value = node.outputs.first().copied().flatten();
        let value = value.ok_or_else(|| Error::run(format!("{}: output 0 is missing", node.label())))?;
        let y = self.output(value, shape, Layout::RowMajor)?;
        if y.elements() > 0 {
            let element = y.dtype().size();
            let relocation = Relocation::strided(element, y.shape(), &steps);
            let fill = vec![0; element];
            relocate(&mut self.steps, node.name.clone(), node.op.name(), buffer, y.buffer, relocation, fill);
        }
        Ok(())
    }

    fn settle(&mut self, value: ValueId, placed: Placed) {
        self.observables.push(Observable { value, after: 0, placed: placed.clone() });
        self.placed.insert(value, placed);
    }

    /// The bytes of a value. Every tensor of a plan passes here: its rank is bounded, and no product of some of its
    /// dimensions leaves 62 bits, though others may be 0.
    fn bytes_of(&self, value: ValueId, tensor: &TensorType) -> Result<usize, Error> {
        let (size, shape) = (tensor.dtype.size(), &tensor.shape);
        let most = shape.iter().try_fold(size, |all, &d| all.checked_mul(d.max(1)));
        if shape.len() > MAX_RANK || most.is_none_or(|most| most >= 1 << 62) {
            let name = self.name(value);
            return Err(Error::run(format!("value '{name}' of shape {shape:?} is too large")));
        }
        Ok(tensor.bytes())
    }

    /// Makes each of the plan's outputs the caller's buffer; where that cannot be, a step copies it there.
    fn bind_outputs(&mut self, outputs: &[ValueId]) -> Result<Vec<TensorType>, Error> {
        let mut types = Vec::with_capacity(outputs.len());
        for (index, &value) in outputs.iter().enumerate() {
            let placed = self.input_as(value, Layout::RowMajor)?;
            let home = u16::try_from(index).map(Home::Output);
            let home = home.map_err(|_| Error::run(format!("more than {MOST_TENSORS} tensors at once")))?;
            let buffer = &mut self.steps.buffers[placed.buffer.0];
            if buffer.home == Home::Arena && !buffer.needs_slack && buffer.bytes == placed.tensor.bytes() {
                buffer.home = home;
            } else {
                let copy = self.steps.buffer(placed.tensor.bytes(), home);
                let name = self.name(value).to_owned();
                conversion::copy(&mut self.steps, name, placed.buffer, copy);
            }
            types.push(placed.tensor);
        }
        Ok(types)
    }
}
