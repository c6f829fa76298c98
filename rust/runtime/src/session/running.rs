//! One run of a session, plan by plan.

use std::sync::Arc;

use octavo_exec::Arena;

use crate::error::Error;
use crate::plan::builder::Found;
use crate::plan::rest::{End, Operand, Place, Rest, Source};
use crate::plan::{Plan, TensorType, arena};
use crate::program::{Program, Tensor};
use crate::session::planning::Planner;
use crate::session::routine::Routine;

/// Trips that the Loops of one run can make together: a condition may never come to an end.
pub const MOST_TRIPS: u64 = 1 << 26;

/// Runs one plan, of the Program: its inputs, and room for its outputs.
pub type RunPlan<'r> = dyn FnMut(&Program, &Arc<Plan>, &[&[u8]], &mut [&mut [u8]]) -> Result<(), Error> + 'r;

/// Tensors that a run has made.
pub type Made = Vec<(TensorType, Arena)>;

/// One run.
pub struct Running<'r> {
    pub planner: &'r Planner,
    pub run: &'r mut RunPlan<'r>,
    /// The trips that its Loops may still make.
    pub trips: u64,
}

impl<'r> Running<'r> {
    /// One that begins.
    pub fn new(planner: &'r Planner, run: &'r mut RunPlan<'r>) -> Running<'r> {
        Running { planner, run, trips: MOST_TRIPS }
    }

    /// Gives each stage's plan its inputs and room for its outputs, from the first to the one without a rest.
    pub fn stages(&mut self, routine: &Routine, plan: &Arc<Plan>, inputs: &[&[u8]]) -> Result<Made, Error> {
        let mut plan = Arc::clone(plan);
        let mut fed: Vec<&[u8]> = inputs.to_vec();
        let mut live: Vec<Arc<Arena>> = Vec::new();
        loop {
            let mut made = output_buffers(plan.outputs())?;
            let mut outputs: Vec<&mut [u8]> = made.iter_mut().map(|b| b.bytes_mut()).collect();
            let given: Vec<&[u8]> = fed.into_iter().chain(live.iter().map(|b| b.bytes())).collect();
            (self.run)(routine.program(), &plan, &given, &mut outputs)?;
            let Some(rest) = plan.rest() else {
                return Ok(plan.outputs().iter().cloned().zip(made).collect());
            };
            let made: Vec<Arc<Arena>> = made.into_iter().map(Arc::new).collect();
            let passed_on = rest.live.iter().map(|tensor| match tensor.source {
                Source::Made(at) => Arc::clone(&made[at]),
                Source::Given(at) => Arc::clone(&live[at]),
            });
            live = passed_on.collect();
            fed = rest.fed.iter().map(|(at, _)| inputs[*at]).collect();
            let found = self.found(routine, rest, &fed, &mut live)?;
            let next = self.planner.next_stage(routine, rest, found)?;
            plan = next;
        }
    }

    /// What a rest waits for; what a node with sub-programs makes becomes live.
    fn found(
        &mut self,
        routine: &Routine,
        rest: &Rest,
        fed: &[&[u8]],
        live: &mut Vec<Arc<Arena>>,
    ) -> Result<Found, Error> {
        let program = routine.program();
        let End::Value(wanted) = rest.end else {
            let operands = rest.operands.iter().map(|operand| match operand {
                Operand::Nothing => None,
                Operand::Known(of, bytes) => Some((of, bytes.bytes())),
                Operand::Placed(of, Place::Fed(at)) => Some((of, fed[*at])),
                Operand::Placed(of, Place::Live(at)) => Some((of, live[*at].bytes())),
            });
            let operands: Vec<_> = operands.collect();
            let node = &program.nodes[rest.first];
            let made = self.node(routine, rest, &operands);
            let made = made.map_err(|error| error.of_node(&node.name, Vec::new))?;
            let named = made.into_iter().zip(&node.outputs).filter(|(_, output)| output.is_some());
            let (types, made): (Vec<_>, Vec<_>) = named.map(|(made, _)| made).unzip();
            live.extend(made.into_iter().map(Arc::new));
            return Ok(Found::Made(types));
        };
        let value = program.value(wanted);
        let (shape, bytes) = match rest.place(&program.inputs, wanted) {
            Some(Place::Fed(at)) => (&rest.fed[at].1.shape, fed[at]),
            Some(Place::Live(at)) => (&rest.live[at].tensor.shape, live[at].bytes()),
            None => return Err(Error::run(format!("value '{}' is made by no node", value.name))),
        };
        Ok(Found::Tensor(Tensor::new(value.dtype, shape.clone(), bytes)?))
    }
}

/// Room for tensors of these types.
pub fn output_buffers(types: &[TensorType]) -> Result<Vec<Arena>, Error> {
    types.iter().map(|of| arena::allocate(of.bytes())).collect()
}
