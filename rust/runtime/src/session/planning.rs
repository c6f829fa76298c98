//! Plans of the parts of a model, made for a session's tier and threads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use octavo_exec::Pool;
use octavo_kernels::table::Kernels;

use crate::error::Error;
use crate::plan::builder::{Builder, Found};
use crate::plan::packing::{Blocks, Packing};
use crate::plan::rest::Rest;
use crate::plan::{Owner, Plan};
use crate::program::{Dim, Program, Value, ValueId};
use crate::session::kept::Key;
use crate::session::routine::Routine;
use crate::walk;

/// What plans are made with.
pub struct Planner {
    pub kernels: Kernels,
    pub pool: Pool,
    /// The weights packed for the tier.
    pub blocks: Arc<Blocks>,
    /// What marks the session's plans.
    pub owner: Owner,
}

impl Planner {
    /// The plan of a routine for these input shapes, made where it is not kept yet; `observed`: without fusions.
    pub fn plan<S: AsRef<[usize]>>(
        &self,
        routine: &Routine,
        shapes: &[S],
        observed: bool,
    ) -> Result<Arc<Plan>, Error> {
        if let Some(plan) = routine.kept(shapes, observed) {
            return Ok(plan);
        }
        let part = &routine.part;
        let shapes: Vec<Vec<usize>> = shapes.iter().map(|shape| shape.as_ref().to_vec()).collect();
        check_shapes(&part.program, &shapes)?;
        routine.plans.get(Key::Shapes { shapes: shapes.clone(), observed }, || {
            let (threads, packing) = (self.pool.threads(), self.packing(routine));
            let builder = Builder::new(&part.program, &part.uses, self.kernels, threads, packing, &shapes)?;
            let builder = builder.without_observing_inputs(part.own_inputs);
            walk::plan(builder.observed(observed).owned_by(&self.owner))
        })
    }

    fn packing<'s>(&'s self, routine: &'s Routine) -> Packing<'s> {
        let part = &routine.part;
        Packing::new(&part.uses, &self.pool, &self.blocks).of_part(&part.origins)
    }

    /// The plan of a rest, for what it ended for.
    pub fn next_stage(&self, routine: &Routine, rest: &Rest, found: Found) -> Result<Arc<Plan>, Error> {
        let part = &routine.part;
        routine.plans.get(Key::Rest { id: rest.id, found: found.clone() }, || {
            let (threads, packing) = (self.pool.threads(), self.packing(routine));
            let builder =
                Builder::resume(&part.program, &part.uses, self.kernels, threads, packing, rest, &found)?;
            walk::plan(builder.observed(rest.observed).owned_by(&self.owner))
        })
    }
}

/// Fixed dimensions must be met, and a symbol must be one number everywhere.
fn check_shapes(program: &Program, shapes: &[Vec<usize>]) -> Result<(), Error> {
    let inputs = || program.inputs.iter().map(|&id: &ValueId| program.value(id));
    let wanted = inputs().count();
    if shapes.len() != wanted {
        return Err(Error::run(format!("{} shapes are given for {wanted} inputs", shapes.len())));
    }
    let mut symbols: HashMap<&str, (usize, &str)> = HashMap::new();
    for (value, shape) in inputs().zip(shapes) {
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
