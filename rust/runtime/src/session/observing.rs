//! What the values of a run hold, as one sample of statistics.

use std::sync::Arc;

use octavo_exec::Arena;

use crate::error::Error;
use crate::observe::{Axes, Axis, Statistics};
use crate::plan::Plan;
use crate::plan::layout::Layout;
use crate::program::{DType, Tensor, Value};
use crate::session::Session;
use crate::session::reals::Reals;

impl Session {
    /// Runs once, by an [`Session::observed_plan`], and gives what the run showed of the values that `like` is of: new
    /// statistics of the same kinds, for `like` or others to merge.
    ///
    /// Floats are seen as float32; integers with a scale are seen as what they stand for. A value that the plan does not
    /// make, such as a constant, has no sample. One that the Program does not have, or that stands for no reals, is an
    /// error.
    pub fn observe(
        &self,
        plan: &Arc<Plan>,
        inputs: &[&[u8]],
        like: &Statistics,
    ) -> Result<Statistics, Error> {
        self.check_observable(like)?;
        let mut sample = like.like();
        let mut reals = Reals::default();
        let mut failed = None;
        self.stages(plan, inputs, |program, plan, inputs, outputs| {
            for (id, tensor) in plan.known_values() {
                let value = program.value(*id);
                if sample.holds(&value.name) {
                    see_known(&mut sample, &mut reals, value, tensor)?;
                }
            }
            plan.run_observed(&self.planner.pool, inputs, outputs, &mut |seen, bytes| {
                let value = program.value(seen.value);
                if failed.is_some() || !sample.holds(&value.name) {
                    return;
                }
                let (shape, layout) = (seen.placed.shape(), seen.placed.layout);
                match reals.of(value, shape, layout, bytes) {
                    Ok(reals) => sample.see(&value.name, reals, axes(shape, layout)),
                    Err(error) => failed = Some(error),
                }
            })
        })?;
        failed.map_or(Ok(sample), Err)
    }

    /// Every name must be that of a value whose elements are reals.
    fn check_observable(&self, like: &Statistics) -> Result<(), Error> {
        let mut found = 0;
        for value in self.program().values.iter().filter(|value| like.holds(&value.name)) {
            let is_float = matches!(value.dtype, DType::F16 | DType::F32 | DType::F64);
            if !is_float && value.quant.is_none() {
                return Err(Error::run(format!(
                    "value '{}' is of {} without a scale: it stands for no reals that could be observed",
                    value.name,
                    value.dtype.name()
                )));
            }
            found += 1;
        }
        if found == like.names().len() {
            return Ok(());
        }
        let is_known = |name: &&String| self.program().values.iter().any(|value| value.name == **name);
        let unknown = like.names().iter().find(|name| !is_known(name)).map_or("", String::as_str);
        Err(Error::run(format!("the model has no value '{unknown}' that could be observed")))
    }
}

fn see_known(
    sample: &mut Statistics,
    reals: &mut Reals,
    value: &Value,
    tensor: &Tensor,
) -> Result<(), Error> {
    // A tensor's bytes lie anywhere.
    let bytes = Arena::from_bytes(tensor.bytes()).map_err(|error| Error::run(error.to_string()))?;
    let (shape, layout) = (tensor.shape(), Layout::RowMajor);
    sample.see(&value.name, reals.of(value, shape, layout, bytes.bytes())?, axes(shape, layout));
    Ok(())
}

/// Where the elements of a tensor lie, by its channels and by its features.
fn axes(shape: &[usize], layout: Layout) -> Axes {
    let physical = layout.physical(shape);
    let along = |axis: usize| {
        let place = layout.axis(axis, shape.len());
        let run = physical[place + 1..].iter().product::<usize>();
        // Of a tensor without elements, there are no runs to be cut.
        (shape[axis] > 0 && run > 0).then_some(Axis { run, length: shape[axis] })
    };
    Axes {
        channels: (shape.len() > 1).then(|| along(1)).flatten(),
        features: shape.len().checked_sub(1).and_then(along),
    }
}
