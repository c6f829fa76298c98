//! Nodes that run sub-programs: which of them are run, and how often.

use std::sync::Arc;

use octavo_exec::Arena;

use crate::error::Error;
use crate::plan::rest::Rest;
use crate::plan::{Plan, TensorType, arena};
use crate::program::{COUNTED, DType, Dim, Node, Op, Value};
use crate::session::routine::Routine;
use crate::session::running::{MOST_TRIPS, Made, Running};

/// What a node reads: a tensor's type and bytes, or nothing.
pub type Read<'b> = Option<(&'b TensorType, &'b [u8])>;

/// Bytes of a stack of which all is allocated at once where the trips are known.
const MOST_AHEAD: usize = 1 << 26;

impl Running<'_> {
    /// Runs the node before which a plan ended, and gives its outputs.
    pub fn node(&mut self, routine: &Routine, rest: &Rest, operands: &[Read]) -> Result<Made, Error> {
        let node = &routine.program().nodes[rest.first];
        match (node.op, routine.bodies(rest.first)) {
            (Op::If, [otherwise, then]) => {
                let is_met = one(node, "condition", operands[0])?[0] != 0;
                self.branch(
                    if is_met { then } else { otherwise },
                    rest.observed,
                    &operands[node.own_inputs()..],
                )
            }
            (Op::Loop, [body]) => self.repeat(node, body, rest.observed, operands),
            _ => Err(Error::run(format!("the {} has no sub-programs that could be run", node.label()))),
        }
    }

    fn branch(&mut self, body: &Routine, observed: bool, operands: &[Read]) -> Result<Made, Error> {
        let (types, inputs): (Vec<&TensorType>, Vec<&[u8]>) = operands.iter().flatten().copied().unzip();
        let shapes: Vec<&[usize]> = types.iter().map(|of| &of.shape[..]).collect();
        let plan = self.planner.plan(body, &shapes, observed)?;
        self.stages(body, &plan, &inputs)
    }

    fn repeat(
        &mut self,
        node: &Node,
        body: &Routine,
        observed: bool,
        operands: &[Read],
    ) -> Result<Made, Error> {
        let trips = match operands[0] {
            None => u64::MAX,
            Some(_) => one(node, "trips", operands[0])?
                .try_into()
                .map_or(0, |bytes| u64::try_from(i64::from_le_bytes(bytes)).unwrap_or(0)),
        };
        let mut goes_on = operands[1].is_none() || one(node, "condition", operands[1])?[0] != 0;
        let mut carried = Carried::new(node, body, operands)?;
        let mut plan: Option<Arc<Plan>> = None;
        let mut trip = 0;
        while goes_on && trip < trips {
            if self.trips == 0 {
                let what = format!("the {} goes on beyond {MOST_TRIPS} trips of one run", node.label());
                return Err(Error::run(what));
            }
            self.trips -= 1;
            carried.count.bytes_mut()[..8].copy_from_slice(&(trip as i64).to_le_bytes());
            let now = match plan.take() {
                Some(plan) => plan,
                None => self.planner.plan(body, &carried.shapes(), observed)?,
            };
            let is_same = self.trip(node, body, &now, &mut carried, trips - trip)?;
            plan = is_same.then_some(now);
            goes_on = carried.goes_on;
            trip += 1;
        }
        carried.outputs(node, body)
    }

    /// Makes one trip by a plan; tells whether the next can be made by it, too.
    fn trip(
        &mut self,
        node: &Node,
        body: &Routine,
        plan: &Arc<Plan>,
        carried: &mut Carried,
        trips: u64,
    ) -> Result<bool, Error> {
        if plan.rest().is_some() {
            let made = self.stages(body, plan, &carried.inputs())?;
            return carried.take(node, made, trips);
        }
        let types = plan.outputs();
        let mut made = carried.room(node, types, trips)?;
        {
            let mut outputs: Vec<&mut [u8]> = Vec::with_capacity(types.len());
            outputs.push(made.condition.bytes_mut());
            outputs.extend(made.states.iter_mut().map(Arena::bytes_mut));
            outputs.extend(carried.stacks.iter_mut().map(Stack::row_mut));
            let (states, outer) = (&carried.states, &carried.outer);
            let inputs = inputs_of(&carried.count, &carried.yes, states, outer);
            (self.run)(body.program(), plan, &inputs, &mut outputs)?;
        }
        carried.settle(node, made, types)
    }
}

/// What a Loop carries from trip to trip.
struct Carried<'b> {
    count: Arena,
    yes: Arena,
    /// The shapes of these two.
    counted: [Vec<usize>; COUNTED],
    states: Vec<State<'b>>,
    /// What the body reads from outside.
    outer: Vec<(&'b TensorType, &'b [u8])>,
    stacks: Vec<Stack>,
    goes_on: bool,
    /// Buffers of states that were given on, to be written anew.
    spare: Vec<Option<Arena>>,
    condition: Option<Arena>,
}

/// A state before a trip.
struct State<'b> {
    of: TensorType,
    bytes: Held<'b>,
}

enum Held<'b> {
    /// The first, which is the node's input.
    Given(&'b [u8]),
    Made(Arena),
}

/// Room for what a trip gives.
struct Room {
    condition: Arena,
    states: Vec<Arena>,
}

impl Held<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Held::Given(bytes) => bytes,
            Held::Made(arena) => arena.bytes(),
        }
    }
}

impl<'b> Carried<'b> {
    fn new(node: &Node, body: &Routine, operands: &[Read<'b>]) -> Result<Carried<'b>, Error> {
        let program = body.program();
        let counted = [0, 1].map(|at| single(program.value(program.inputs[at])));
        let (own, outer) = operands.split_at(node.own_inputs());
        let mut states = Vec::with_capacity(own.len() - COUNTED);
        for operand in &own[COUNTED..] {
            let missing = || Error::run(format!("the {} lacks a value that it carries", node.label()));
            let (of, bytes) = operand.ok_or_else(missing)?;
            states.push(State { of: of.clone(), bytes: Held::Given(bytes) });
        }
        let mut yes = arena::allocate(1)?;
        yes.bytes_mut()[0] = 1;
        Ok(Carried {
            count: arena::allocate(8)?,
            yes,
            counted,
            stacks: (1 + states.len()..program.outputs.len()).map(|_| Stack::default()).collect(),
            spare: states.iter().map(|_| None).collect(),
            states,
            outer: outer.iter().flatten().copied().collect(),
            goes_on: true,
            condition: None,
        })
    }

    /// The shapes of the body's inputs.
    fn shapes(&self) -> Vec<&[usize]> {
        let counted = self.counted.iter().map(Vec::as_slice);
        let states = self.states.iter().map(|state| &state.of.shape[..]);
        counted.chain(states).chain(self.outer.iter().map(|(of, _)| &of.shape[..])).collect()
    }

    fn inputs(&self) -> Vec<&[u8]> {
        inputs_of(&self.count, &self.yes, &self.states, &self.outer)
    }

    /// Room for what a plan gives; the stacks have room for a row more.
    fn room(&mut self, node: &Node, types: &[TensorType], trips: u64) -> Result<Room, Error> {
        let mut states = Vec::with_capacity(self.states.len());
        for (of, spare) in types[1..].iter().zip(&mut self.spare) {
            match spare.take() {
                Some(arena) if arena.len() == of.bytes() => states.push(arena),
                _ => states.push(arena::allocate(of.bytes())?),
            }
        }
        for (stack, of) in self.stacks.iter_mut().zip(&types[1 + self.states.len()..]) {
            stack.grow(node, of, trips)?;
        }
        let condition = match self.condition.take() {
            Some(arena) if arena.len() == types[0].bytes() => arena,
            _ => arena::allocate(types[0].bytes())?,
        };
        Ok(Room { condition, states })
    }

    /// Takes over what a trip has given; tells whether the states are of the types that they were of.
    fn settle(&mut self, node: &Node, made: Room, types: &[TensorType]) -> Result<bool, Error> {
        self.goes_on = one(node, "condition", Some((&types[0], made.condition.bytes())))?[0] != 0;
        self.condition = Some(made.condition);
        let mut is_same = true;
        let states = self.states.iter_mut().zip(&mut self.spare);
        for ((state, spare), (arena, of)) in states.zip(made.states.into_iter().zip(&types[1..])) {
            if state.of != *of {
                is_same = false;
                state.of = of.clone();
            }
            if let Held::Made(before) = std::mem::replace(&mut state.bytes, Held::Made(arena)) {
                *spare = Some(before);
            }
        }
        self.stacks.iter_mut().for_each(|stack| stack.rows += 1);
        Ok(is_same)
    }

    /// Takes over what a trip has given that ran in stages.
    fn take(&mut self, node: &Node, made: Made, trips: u64) -> Result<bool, Error> {
        let (types, arenas): (Vec<TensorType>, Vec<Arena>) = made.into_iter().unzip();
        let mut arenas = arenas.into_iter();
        let condition = arenas.next().map_or_else(|| arena::allocate(0), Ok)?;
        let states: Vec<Arena> = arenas.by_ref().take(self.states.len()).collect();
        for ((stack, of), row) in self.stacks.iter_mut().zip(&types[1 + states.len()..]).zip(arenas) {
            stack.grow(node, of, trips)?;
            stack.row_mut().copy_from_slice(row.bytes());
        }
        self.settle(node, Room { condition, states }, &types)
    }

    /// The node's outputs, after the last trip.
    fn outputs(self, node: &Node, body: &Routine) -> Result<Made, Error> {
        let program = body.program();
        let mut made = Vec::with_capacity(node.outputs.len());
        for State { of, bytes } in self.states {
            let arena = match bytes {
                Held::Made(arena) => arena,
                Held::Given(bytes) => {
                    let mut arena = arena::allocate(bytes.len())?;
                    arena.bytes_mut().copy_from_slice(bytes);
                    arena
                }
            };
            made.push((of, arena));
        }
        let first = 1 + made.len();
        for (stack, &id) in self.stacks.into_iter().zip(&program.outputs[first..]) {
            made.push(stack.whole(program.value(id))?);
        }
        Ok(made)
    }
}

fn inputs_of<'a>(
    count: &'a Arena,
    yes: &'a Arena,
    states: &'a [State<'_>],
    outer: &'a [(&TensorType, &[u8])],
) -> Vec<&'a [u8]> {
    let mut inputs = Vec::with_capacity(COUNTED + states.len() + outer.len());
    inputs.push(count.bytes());
    inputs.push(yes.bytes());
    inputs.extend(states.iter().map(|state| state.bytes.bytes()));
    inputs.extend(outer.iter().map(|(_, bytes)| *bytes));
    inputs
}

/// What a Loop's trips give of one output, one behind the other.
#[derive(Default)]
struct Stack {
    /// The type of a row, once there is one.
    of: Option<TensorType>,
    rows: usize,
    bytes: Option<Arena>,
}

impl Stack {
    /// Makes room for a row of that type. trips: how many there may still be, this one among them.
    fn grow(&mut self, node: &Node, of: &TensorType, trips: u64) -> Result<(), Error> {
        match &self.of {
            Some(before) if before != of => {
                let (found, before) = (&of.shape, &before.shape);
                let label = node.label();
                let what = format!("the {label} stacks arrays of the shape {found:?}, and {before:?} before");
                return Err(Error::run(what));
            }
            Some(_) => {}
            None => self.of = Some(of.clone()),
        }
        let row = of.bytes();
        let held = self.bytes.as_ref().map_or(0, Arena::len);
        let too_large = || Error::run(format!("the {} stacks more than there is memory for", node.label()));
        let needed = (self.rows + 1).checked_mul(row).ok_or_else(too_large)?;
        if needed <= held && self.bytes.is_some() {
            return Ok(());
        }
        let all = usize::try_from(trips).ok().and_then(|trips| (self.rows + trips).checked_mul(row));
        let room = match all {
            Some(all) if all <= MOST_AHEAD => all,
            Some(all) => needed.saturating_mul(2).max(MOST_AHEAD).min(all),
            None => needed.saturating_mul(2),
        };
        let mut bytes = arena::allocate(room)?;
        if let Some(before) = self.bytes.take() {
            bytes.bytes_mut()[..held].copy_from_slice(before.bytes());
        }
        self.bytes = Some(bytes);
        Ok(())
    }

    /// The row to be written next.
    fn row_mut(&mut self) -> &mut [u8] {
        let row = self.of.as_ref().map_or(0, TensorType::bytes);
        let start = self.rows * row;
        self.bytes.as_mut().map_or(&mut [], |bytes| &mut bytes.bytes_mut()[start..][..row])
    }

    /// All rows; of none, no elements, and free axes of no length.
    fn whole(self, value: &Value) -> Result<(TensorType, Arena), Error> {
        let size = |dim: &Dim| if let Dim::Fixed(n) = dim { *n } else { 0 };
        let row = self.of.map_or_else(|| value.shape.iter().flatten().map(size).collect(), |of| of.shape);
        let shape: Vec<usize> = std::iter::once(self.rows).chain(row).collect();
        let of = TensorType { dtype: value.dtype, shape };
        match self.bytes {
            Some(bytes) if bytes.len() == of.bytes() => Ok((of, bytes)),
            bytes => {
                let mut whole = arena::allocate(of.bytes())?;
                if let Some(bytes) = bytes {
                    whole.bytes_mut().copy_from_slice(&bytes.bytes()[..of.bytes()]);
                }
                Ok((of, whole))
            }
        }
    }
}

/// The shape in which a body takes the count of the trip, or the condition: with an axis where it says so.
fn single(value: &Value) -> Vec<usize> {
    if value.shape.as_ref().is_some_and(|shape| shape.len() == 1) { vec![1] } else { Vec::new() }
}

/// The bytes of the one element of a condition or a number of trips.
fn one<'b>(node: &Node, what: &str, operand: Read<'b>) -> Result<&'b [u8], Error> {
    match operand {
        Some((of, bytes)) if of.elements() == 1 && matches!(of.dtype, DType::Bool | DType::I64) => Ok(bytes),
        other => {
            let found = other.map_or("nothing".to_owned(), |(of, _)| format!("of the shape {:?}", of.shape));
            Err(Error::run(format!("the {}: its {what} is {found}, not one element", node.label())))
        }
    }
}
