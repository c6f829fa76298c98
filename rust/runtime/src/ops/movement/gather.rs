//! Gather: slices along one axis, at indices that are known before the run or that the run reads.

use octavo_exec::{Pod, cast};

use super::axes::{Moves, by_axis};
use crate::ops::indices::first_outside;
use crate::ops::node::{axis, checked_elements, error, made, needed};
use crate::plan::buffers::BufferId;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{DType, Node};

/// Plans a Gather; the indices' dimensions stand in the place of the axis.
pub fn plan_gather(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let mut moves = Moves::of_input(b, node)?;
    let along = axis(node, node.attributes.int_or("axis", 0)?, moves.from.len())?;
    let indices = needed(node, 1)?;
    let mut shape = moves.from.clone();
    shape.splice(along..=along, b.tensor(indices)?.shape);
    if b.known(indices).is_none() {
        return by_elements(b, node, along, shape);
    }
    let n = moves.from[along];
    let known = b.known_ints(node, 1)?;
    moves.maps[along] = Some(known.into_iter().map(|i| axis(node, i, n)).collect::<Result<_, _>>()?);
    moves.shape = Some(shape);
    by_axis(b, node, moves, 0)
}

/// Gathers by indices that are elements of a tensor of the run.
fn by_elements(b: &mut Builder<'_>, node: &Node, along: usize, shape: Vec<usize>) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let indices = b.input_as(needed(node, 1)?, Layout::RowMajor)?;
    let mut lengths = x.shape().to_vec();
    lengths[along] = indices.elements();
    checked_elements(node, x.shape(), &lengths)?;
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    let n = x.shape()[along];
    let run = x.shape()[along + 1..].iter().product::<usize>() * x.dtype().size();
    let rows = y.tensor.bytes().checked_div(run).unwrap_or(0);
    let slices = Slices { x: x.buffer, indices: indices.buffer, y: y.buffer, axis: along, n, run, rows };
    match indices.dtype() {
        DType::I32 => push::<i32>(b, node, slices, indices.elements()),
        DType::I64 => push::<i64>(b, node, slices, indices.elements()),
        other => return Err(error(node, &format!("indices of {}", other.name()))),
    }
    Ok(())
}

/// Slices of `run` bytes, `n` of them one after the other.
struct Slices {
    x: BufferId,
    indices: BufferId,
    y: BufferId,
    axis: usize,
    n: usize,
    run: usize,
    /// Slices of the output.
    rows: usize,
}

fn push<I: Pod + Into<i64>>(b: &mut Builder<'_>, node: &Node, slices: Slices, count: usize) {
    let Slices { x, indices, y, axis, n, run, rows } = slices;
    let chunk = b.steps.chunk(rows, 5.0 + run as f64 * 0.1, 1);
    b.steps.of_node(node, "gather").run([x, indices], [y], move |step, [x, indices], [y]| {
        let (pool, faults) = (step.pool, step.faults);
        let indices = cast::<I>(indices);
        if let Some((at, index)) = first_outside(indices, n) {
            let what = format!("index {index} (element {at}) is outside the {n} elements of axis {axis}");
            return faults.report(what);
        }
        if y.is_empty() {
            return;
        }
        pool.slices(y, chunk * run, |i, y| {
            for (row, y) in y.chunks_exact_mut(run).enumerate() {
                let row = i * chunk + row;
                let index: i64 = indices[row % count].into();
                let from = row / count * n + index.rem_euclid(n as i64) as usize;
                y.copy_from_slice(&x[from * run..][..run]);
            }
        });
    });
}
