//! A session: a Program with its packed weights, which sessions of an equal one share, its threads, and a plan for each set
//! of input shapes seen.

mod kept;
mod model;
mod observing;
mod reals;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use octavo_exec::{Arena, Pool, default_threads};
use octavo_kernels::isa::{self, Isa};
use octavo_kernels::table::Kernels;

use crate::error::Error;
use crate::plan::builder::Builder;
use crate::plan::packing::{Blocks, Packing};
use crate::plan::rest::{Place, Rest, Source};
use crate::plan::{Owner, Plan, Step, TensorType, arena};
use crate::program::{Bytes, Dim, Program, Tensor, Value};
use crate::walk;
use kept::{Kept, Key};
use model::Model;

/// Most threads that can be asked for.
const MOST_THREADS: usize = 1024;

/// How a session runs; what is `None` comes from the environment, else from the machine.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Threads of one run; else `OCTAVO_THREADS`, else the cores that affinity and quota allow.
    pub threads: Option<usize>,
    /// The tier; else `OCTAVO_ISA`, else the richest here.
    pub isa: Option<String>,
}

/// A Program ready to run. Shared by threads; runs of several threads go on at once.
pub struct Session {
    model: Arc<Model>,
    kernels: Kernels,
    pool: Pool,
    /// The weights packed for its tier.
    blocks: Arc<Blocks>,
    plans: Kept,
    /// What marks its plans.
    owner: Owner,
}

/// One row of a profile.
#[derive(Clone, Debug)]
pub struct ProfileRow {
    /// The node, or nodes that run as one.
    pub name: String,
    /// The operator.
    pub op: &'static str,
    /// The kernel.
    pub kernel: &'static str,
    /// The tier that the kernel's code is for.
    pub tier: &'static str,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Seconds.
    pub seconds: f64,
}

impl Session {
    /// A session over the bytes of an artifact. Those that are given for good, such as a `Vec`, are kept rather than copied
    /// where constants make up most of them.
    pub fn new(artifact: impl Into<Bytes>, options: &Options) -> Result<Session, Error> {
        Session::of_valid(Program::from_bytes(artifact)?, options)
    }

    /// A session over a Program, which is validated first.
    pub fn from_program(program: Program, options: &Options) -> Result<Session, Error> {
        program.validate()?;
        Session::of_valid(program, options)
    }

    fn of_valid(program: Program, options: &Options) -> Result<Session, Error> {
        let kernels = choose_tier(options)?;
        let pool = Pool::new(threads_of(options.threads)?);
        let model = Model::of(program);
        let blocks = model.blocks(kernels.isa());
        Ok(Session { model, kernels, pool, blocks, plans: Kept::default(), owner: Arc::default() })
    }

    /// The Program.
    pub fn program(&self) -> &Program {
        &self.model.program
    }

    /// The inputs, in order.
    pub fn inputs(&self) -> impl Iterator<Item = &Value> {
        self.program().inputs.iter().map(|&id| self.program().value(id))
    }

    /// The outputs, in order.
    pub fn outputs(&self) -> impl Iterator<Item = &Value> {
        self.program().outputs.iter().map(|&id| self.program().value(id))
    }

    /// The threads of one run.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The tier.
    pub fn isa(&self) -> Isa {
        self.kernels.isa()
    }

    /// The plan for these input shapes where one is kept.
    pub fn kept_plan<S: AsRef<[usize]>>(&self, shapes: &[S]) -> Option<Arc<Plan>> {
        self.kept(shapes, false)
    }

    /// The plan for these input shapes, made where it is not kept yet.
    pub fn plan<S: AsRef<[usize]>>(&self, shapes: &[S]) -> Result<Arc<Plan>, Error> {
        self.plan_for(shapes, false)
    }

    /// The plan by which [`Session::observe`] sees every value: without fusions.
    pub fn observed_plan<S: AsRef<[usize]>>(&self, shapes: &[S]) -> Result<Arc<Plan>, Error> {
        self.plan_for(shapes, true)
    }

    fn plan_for<S: AsRef<[usize]>>(&self, shapes: &[S], observed: bool) -> Result<Arc<Plan>, Error> {
        if let Some(plan) = self.kept(shapes, observed) {
            return Ok(plan);
        }
        let shapes: Vec<Vec<usize>> = shapes.iter().map(|shape| shape.as_ref().to_vec()).collect();
        self.check_shapes(&shapes)?;
        self.plans.get(Key::Shapes { shapes: shapes.clone(), observed }, || {
            let threads = self.pool.threads();
            let packing = Packing::new(&self.model.uses, &self.pool, &self.blocks);
            let builder =
                Builder::new(&self.model.program, &self.model.uses, self.kernels, threads, packing, &shapes)?;
            walk::plan(builder.observed(observed).owned_by(&self.owner))
        })
    }

    /// The plan that is kept for these input shapes: found without an allocation.
    fn kept<S: AsRef<[usize]>>(&self, shapes: &[S], observed: bool) -> Option<Arc<Plan>> {
        self.plans.find(|key| match key {
            Key::Shapes { shapes: of, observed: is_observed } => {
                *is_observed == observed
                    && of.len() == shapes.len()
                    && of.iter().zip(shapes).all(|(of, shape)| of == shape.as_ref())
            }
            Key::Rest { .. } => false,
        })
    }

    /// Fixed dimensions must be met, and a symbol must be one number everywhere.
    fn check_shapes(&self, shapes: &[Vec<usize>]) -> Result<(), Error> {
        let wanted = self.inputs().count();
        if shapes.len() != wanted {
            return Err(Error::run(format!("{} shapes are given for {wanted} inputs", shapes.len())));
        }
        let mut symbols: HashMap<&str, (usize, &str)> = HashMap::new();
        for (value, shape) in self.inputs().zip(shapes) {
            let bytes = shape.iter().try_fold(value.dtype.size(), |all, &n| all.checked_mul(n));
            if bytes.is_none_or(|bytes| bytes > isize::MAX as usize) {
                return Err(wrong_shape(value, shape, "no machine has that much memory"));
            }
            let Some(dims) = &value.shape else { continue };
            if dims.len() != shape.len() {
                return Err(wrong_shape(value, shape, &format!("it has {} dimensions", dims.len())));
            }
            for (at, (dim, &given)) in dims.iter().zip(shape).enumerate() {
                match dim {
                    Dim::Fixed(n) if *n != given => {
                        return Err(wrong_shape(value, shape, &format!("dimension {at} must be {n}")));
                    }
                    Dim::Symbol(symbol) => match symbols.entry(symbol) {
                        Entry::Occupied(known) if known.get().0 != given => {
                            let (n, by) = known.get();
                            let what = format!(
                                "dimension {at} ('{symbol}') must be {n}, as in '{by}': axes that may differ need names \
                                 of their own in the model"
                            );
                            return Err(wrong_shape(value, shape, &what));
                        }
                        entry => {
                            entry.or_insert((given, &value.name));
                        }
                    },
                    Dim::Fixed(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Runs a plan of this session that does not end early: `inputs` and `outputs` are the bytes of whole tensors,
    /// aligned to their elements. Nothing is copied; what does not fit is an error, and nothing has been written then.
    pub fn run(&self, plan: &Plan, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) -> Result<(), Error> {
        self.check_owner(plan)?;
        if let Some(rest) = plan.rest() {
            let name = &self.program().value(rest.wanted).name;
            return Err(Error::run(format!("the plan depends on what '{name}' holds: run it in stages")));
        }
        plan.run(&self.pool, inputs, outputs)
    }

    fn check_owner(&self, plan: &Plan) -> Result<(), Error> {
        if plan.is_of(&self.owner) {
            return Ok(());
        }
        Err(Error::run(
            "the plan is of another session: run it there, or ask this one for its own".to_owned(),
        ))
    }

    /// Runs a plan of this session and what is planned of its rest; gives the outputs' types and bytes.
    pub fn run_stages(&self, plan: &Arc<Plan>, inputs: &[&[u8]]) -> Result<Vec<(TensorType, Arena)>, Error> {
        self.stages(plan, inputs, |plan, inputs, outputs| plan.run(&self.pool, inputs, outputs))
    }

    /// Runs once and tells the time of every step.
    pub fn profile(&self, plan: &Arc<Plan>, inputs: &[&[u8]]) -> Result<Vec<ProfileRow>, Error> {
        let mut rows = Vec::new();
        self.stages(plan, inputs, |plan, inputs, outputs| {
            let mut seconds = vec![0.0; plan.steps().len()];
            plan.run_timed(&self.pool, inputs, outputs, &mut seconds)?;
            rows.extend(plan.steps().iter().zip(seconds).map(|(step, seconds)| row(step, seconds)));
            Ok(())
        })?;
        Ok(rows)
    }

    /// Gives each stage's plan its inputs and room for its outputs, from the first to the one without a rest.
    fn stages(
        &self,
        plan: &Arc<Plan>,
        inputs: &[&[u8]],
        mut run: impl FnMut(&Plan, &[&[u8]], &mut [&mut [u8]]) -> Result<(), Error>,
    ) -> Result<Vec<(TensorType, Arena)>, Error> {
        self.check_owner(plan)?;
        let mut plan = Arc::clone(plan);
        let mut fed: Vec<&[u8]> = inputs.to_vec();
        let mut live: Vec<Arc<Arena>> = Vec::new();
        loop {
            let mut made = output_buffers(plan.outputs())?;
            let mut outputs: Vec<&mut [u8]> = made.iter_mut().map(|b| b.bytes_mut()).collect();
            let given: Vec<&[u8]> = fed.into_iter().chain(live.iter().map(|b| b.bytes())).collect();
            run(&plan, &given, &mut outputs)?;
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
            let next = self.next_stage(rest, &fed, &live)?;
            plan = next;
        }
    }

    /// The plan of a rest, for what the tensor that it waits for holds.
    fn next_stage(&self, rest: &Rest, fed: &[&[u8]], live: &[Arc<Arena>]) -> Result<Arc<Plan>, Error> {
        let value = self.program().value(rest.wanted);
        let (shape, bytes) = match rest.place(&self.program().inputs) {
            Some(Place::Fed(at)) => (&rest.fed[at].1.shape, fed[at]),
            Some(Place::Live(at)) => (&rest.live[at].tensor.shape, live[at].bytes()),
            None => return Err(Error::run(format!("value '{}' is made by no node", value.name))),
        };
        let wanted = Tensor::new(value.dtype, shape.clone(), bytes)?;
        self.plans.get(Key::Rest { id: rest.id, wanted: wanted.clone() }, || {
            let packing = Packing::new(&self.model.uses, &self.pool, &self.blocks);
            let threads = self.pool.threads();
            let builder = Builder::resume(
                &self.model.program,
                &self.model.uses,
                self.kernels,
                threads,
                packing,
                rest,
                wanted,
            )?;
            walk::plan(builder.observed(rest.observed).owned_by(&self.owner))
        })
    }
}

fn row(step: &Step, seconds: f64) -> ProfileRow {
    // A kernel's name begins with the isa of its code; movement is plain Rust.
    let prefix = step.kernel.split('-').next().unwrap_or_default();
    let tier = Isa::from_name(prefix).map_or(Isa::Scalar.name(), Isa::name);
    ProfileRow { name: step.name.clone(), op: step.op, kernel: step.kernel, tier, macs: step.macs, seconds }
}

fn output_buffers(types: &[TensorType]) -> Result<Vec<Arena>, Error> {
    types.iter().map(|t| arena::allocate(t.bytes())).collect()
}

fn wrong_shape(value: &Value, given: &[usize], what: &str) -> Error {
    let dims: Vec<String> = value
        .shape
        .iter()
        .flatten()
        .map(|dim| match dim {
            Dim::Fixed(n) => n.to_string(),
            Dim::Symbol(symbol) => symbol.clone(),
        })
        .collect();
    Error::run(format!(
        "input '{}' of shape {given:?} does not fit [{}]: {what}",
        value.name,
        dims.join(", ")
    ))
}

/// An environment variable that is there and not empty.
fn setting(name: &str) -> Option<String> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
    Some(value.to_string_lossy().into_owned())
}

fn choose_tier(options: &Options) -> Result<Kernels, Error> {
    let (name, origin) = match (&options.isa, setting("OCTAVO_ISA")) {
        (Some(name), _) => (name.clone(), "isa"),
        (None, Some(name)) => (name, "OCTAVO_ISA"),
        (None, None) => return Ok(Kernels::best()),
    };
    Isa::from_name(&name).and_then(Kernels::new).ok_or_else(|| {
        let here: Vec<&str> = isa::available().into_iter().map(Isa::name).collect();
        let here = here.join(", ");
        Error::run(format!(
            "{origin} is '{name}', an instruction set that is not available on this CPU; available: {here}"
        ))
    })
}

/// The threads that a session runs with which is asked for so many.
pub fn threads_of(asked: Option<usize>) -> Result<usize, Error> {
    let wrong = |origin: &str, given: &str| {
        Err(Error::run(format!("{origin} is '{given}': it must be a number from 1 to {MOST_THREADS}")))
    };
    match (asked, setting("OCTAVO_THREADS")) {
        (Some(threads), _) if (1..=MOST_THREADS).contains(&threads) => Ok(threads),
        (Some(threads), _) => wrong("threads", &threads.to_string()),
        (None, Some(text)) => match text.trim().parse() {
            Ok(threads) if (1..=MOST_THREADS).contains(&threads) => Ok(threads),
            _ => wrong("OCTAVO_THREADS", &text),
        },
        (None, None) => Ok(default_threads().min(MOST_THREADS)),
    }
}
