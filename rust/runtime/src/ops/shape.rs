//! Shapes as tensors: Shape itself, and what is filled or counted up to a size.

use octavo_exec::bytes_of;

use crate::ops::node::{checked_elements, error, made, needed};
use crate::ops::numbers::{Element, Number, elements, with_element};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{Node, Tensor};

/// Most elements of a tensor that is computed while planning.
pub const MOST_ELEMENTS: usize = 1 << 22;

/// Shape: known once the input's is.
pub fn plan_shape(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let shape = b.tensor(needed(node, 0)?)?.shape;
    let rank = shape.len() as i64;
    let place = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize;
    let start = place(node.attributes.int_or("start", 0)?);
    let end = place(node.attributes.int_or("end", rank)?);
    let dims: Vec<i64> = shape.get(start..end).unwrap_or(&[]).iter().map(|&d| d as i64).collect();
    Ok(b.know(made(node, 0)?, Tensor::from_i64s(&[dims.len()], &dims)?)?)
}

/// ConstantOfShape: a step, for the output may be large.
pub fn plan_constant(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let shape = b.known_shape(node, 0)?;
    let value = b.known_input(node, 1)?.bytes().to_vec();
    if value.len() != b.tensor(needed(node, 1)?)?.dtype.size() {
        return Err(error(node, "its value is not a single element"));
    }
    checked_elements(node, &[], &shape)?;
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    let chunk = b.steps.chunk_elements(y.elements());
    let target = y.buffer;
    b.steps.of_node(node, "fill").run([], [target], move |run, [], [y]| {
        let pool = run.pool;
        pool.slices(y, chunk * value.len(), |_, y| {
            y.chunks_exact_mut(value.len()).for_each(|y| y.copy_from_slice(&value));
        });
    });
    Ok(())
}

/// Range: its length follows from what its inputs hold.
pub fn plan_range(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let inputs = [b.known_input(node, 0)?, b.known_input(node, 1)?, b.known_input(node, 2)?];
    if inputs.iter().any(|input| input.len() != 1) {
        return Err(error(node, "start, limit and delta must be single numbers"));
    }
    let answer = with_element!(inputs[0].dtype(), E => range_of::<E>(node, &inputs))?;
    Ok(b.know(made(node, 0)?, answer)?)
}

fn range_of<E: Element>(node: &Node, inputs: &[Tensor; 3]) -> Result<Tensor, Stop> {
    let [start, limit, delta] = inputs.each_ref().map(|input| E::load(elements::<E::Bits>(input)[0]));
    if delta == E::Number::ZERO {
        return Err(error(node, "delta is 0"));
    }
    let count = E::Number::steps(start, limit, delta);
    let count = count.filter(|&count| count <= MOST_ELEMENTS).ok_or_else(|| {
        error(node, &format!("there are none, or over {MOST_ELEMENTS}, numbers from start to limit by delta"))
    })?;
    let bits: Vec<E::Bits> = (0..count).map(|i| E::store(start.advanced(delta, i))).collect();
    Ok(Tensor::new(inputs[0].dtype(), vec![count], bytes_of(&bits))?)
}
