//! A session: a Program with its packed weights, which sessions of an equal one share, its threads, and a plan for each set
//! of input shapes seen.

mod control;
mod kept;
mod model;
mod observing;
mod part;
mod planning;
mod reals;
mod routine;
mod running;

use std::collections::HashMap;
use std::sync::Arc;

use octavo_exec::{Arena, Pool, default_threads};
use octavo_kernels::isa::{self, Isa};
use octavo_kernels::table::Kernels;

use crate::error::Error;
use crate::plan::rest::End;
use crate::plan::{Plan, Step, TensorType};
use crate::program::{Bytes, Program, Value};
use model::Model;
use planning::Planner;
use routine::Routine;
use running::Running;

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
    /// What sessions of an equal Program find.
    model: Arc<Model>,
    whole: Routine,
    planner: Planner,
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
        let (blocks, whole) = (model.blocks(kernels.isa()), Routine::new(&model.whole));
        Ok(Session { model, whole, planner: Planner { kernels, pool, blocks, owner: Arc::default() } })
    }

    /// The Program.
    pub fn program(&self) -> &Program {
        &self.model.whole.program
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
        self.planner.pool.threads()
    }

    /// The tier.
    pub fn isa(&self) -> Isa {
        self.planner.kernels.isa()
    }

    /// The plan for these input shapes where one is kept.
    pub fn kept_plan<S: AsRef<[usize]>>(&self, shapes: &[S]) -> Option<Arc<Plan>> {
        self.whole.kept(shapes, false)
    }

    /// The plan for these input shapes, made where it is not kept yet.
    pub fn plan<S: AsRef<[usize]>>(&self, shapes: &[S]) -> Result<Arc<Plan>, Error> {
        self.planner.plan(&self.whole, shapes, false)
    }

    /// The plan by which [`Session::observe`] sees every value: without fusions.
    pub fn observed_plan<S: AsRef<[usize]>>(&self, shapes: &[S]) -> Result<Arc<Plan>, Error> {
        self.planner.plan(&self.whole, shapes, true)
    }

    /// Runs a plan of this session that does not end early: `inputs` and `outputs` are the bytes of whole tensors,
    /// aligned to their elements. Nothing is copied; what does not fit is an error, and nothing has been written then.
    pub fn run(&self, plan: &Plan, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) -> Result<(), Error> {
        self.check_owner(plan)?;
        if let Some(rest) = plan.rest() {
            let why = match rest.end {
                End::Value(value) => format!("depends on what '{}' holds", self.program().value(value).name),
                End::Bodies => format!("ends before the {}", self.program().nodes[rest.first].label()),
            };
            return Err(Error::run(format!("the plan {why}: run it in stages")));
        }
        plan.run(&self.planner.pool, inputs, outputs)
    }

    fn check_owner(&self, plan: &Plan) -> Result<(), Error> {
        if plan.is_of(&self.planner.owner) {
            return Ok(());
        }
        Err(Error::run(
            "the plan is of another session: run it there, or ask this one for its own".to_owned(),
        ))
    }

    /// Runs a plan of this session and what is planned of its rest; gives the outputs' types and bytes.
    pub fn run_stages(&self, plan: &Arc<Plan>, inputs: &[&[u8]]) -> Result<Vec<(TensorType, Arena)>, Error> {
        self.stages(plan, inputs, |_, plan, inputs, outputs| plan.run(&self.planner.pool, inputs, outputs))
    }

    /// Runs once and tells the time of every step; of one that ran several times, in a Loop, all its runs together.
    pub fn profile(&self, plan: &Arc<Plan>, inputs: &[&[u8]]) -> Result<Vec<ProfileRow>, Error> {
        let mut timed: Vec<(Arc<Plan>, u64, Vec<f64>)> = Vec::new();
        let mut places: HashMap<*const Plan, usize> = HashMap::new();
        self.stages(plan, inputs, |_, plan, inputs, outputs| {
            let place = *places.entry(Arc::as_ptr(plan)).or_insert_with(|| {
                timed.push((Arc::clone(plan), 0, vec![0.0; plan.steps().len()]));
                timed.len() - 1
            });
            let (_, runs, seconds) = &mut timed[place];
            *runs += 1;
            plan.run_timed(&self.planner.pool, inputs, outputs, seconds)
        })?;
        let rows = timed.iter().flat_map(|(plan, runs, seconds)| {
            plan.steps().iter().zip(seconds).map(|(step, &seconds)| row(step, *runs, seconds))
        });
        Ok(rows.collect())
    }

    /// Runs a plan of the whole and what is planned of its rest; `run` runs each plan, of the Program that it is given.
    fn stages(
        &self,
        plan: &Arc<Plan>,
        inputs: &[&[u8]],
        mut run: impl FnMut(&Program, &Arc<Plan>, &[&[u8]], &mut [&mut [u8]]) -> Result<(), Error>,
    ) -> Result<Vec<(TensorType, Arena)>, Error> {
        self.check_owner(plan)?;
        Running::new(&self.planner, &mut run).stages(&self.whole, plan, inputs)
    }
}

fn row(step: &Step, runs: u64, seconds: f64) -> ProfileRow {
    // A kernel's name begins with the isa of its code; movement is plain Rust.
    let prefix = step.kernel.split('-').next().unwrap_or_default();
    let tier = Isa::from_name(prefix).map_or(Isa::Scalar.name(), Isa::name);
    ProfileRow {
        name: step.name.clone(),
        op: step.op,
        kernel: step.kernel,
        tier,
        macs: step.macs * runs,
        seconds,
    }
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
