//! GatherElements, GatherND and ReverseSequence: elements picked by indices that the run reads.

use octavo_exec::{cast, cast_mut};

use crate::ops::indices::{Grid, Tuples, with_index};
use crate::ops::node::{axis, checked_elements, error, made, needed};
use crate::ops::numbers::with_size;
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::Node;

/// Plans GatherElements: of each index's position, the element at that index along the axis.
pub fn plan_elements(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let indices = b.input_as(needed(node, 1)?, Layout::RowMajor)?;
    let along = axis(node, node.attributes.int("axis")?, x.shape().len())?;
    let grid = Grid::new(node, x.shape(), indices.shape(), along)?;
    let y = b.output(made(node, 0)?, indices.shape().to_vec(), Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let rows = b.steps.chunk(y.elements() / grid.width, grid.width as f64 + 5.0, 1);
    let (xb, ib, yb) = (x.buffer, indices.buffer, y.buffer);
    let (size, of) = (x.dtype().size(), indices.dtype());
    b.steps.of_node(node, "gather").run([xb, ib], [yb], move |run, [x, indices], [y]| {
        let (pool, faults) = (run.pool, run.faults);
        with_index!(of, I => {
            let indices = cast::<I>(indices);
            if grid.is_wrong(indices, faults) {
                return;
            }
            with_size!(size, T => {
                let x = cast::<T>(x);
                pool.slices(cast_mut::<T>(y), rows * grid.width, |i, y| {
                    for (row, y) in y.chunks_exact_mut(grid.width).enumerate() {
                        let row = i * rows + row;
                        grid.row(row, &indices[row * grid.width..][..grid.width], |at, from| y[at] = x[from]);
                    }
                });
            });
        });
    });
    Ok(())
}

/// Plans GatherND: the slices that the index tuples of the last axis name, batch by batch.
pub fn plan_nd(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let indices = b.input_as(needed(node, 1)?, Layout::RowMajor)?;
    let batches = node.attributes.size("batch_dims")?;
    let tuples = Tuples::new(node, x.shape(), indices.shape(), batches)?;
    let (outer, m) = (indices.shape().len() - 1, tuples.width());
    let shape: Vec<usize> = [&indices.shape()[..outer], &x.shape()[batches + m..]].concat();
    checked_elements(node, x.shape(), &shape)?;
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    let run = tuples.slice * x.dtype().size();
    let rows = y.tensor.bytes().checked_div(run).unwrap_or(0);
    let chunk = b.steps.chunk(rows, 5.0 + run as f64 * 0.1, 1);
    let (xb, ib, yb) = (x.buffer, indices.buffer, y.buffer);
    b.steps.of_node(node, "gather").run([xb, ib], [yb], move |step, [x, indices], [y]| {
        let (pool, faults) = (step.pool, step.faults);
        let indices = cast::<i64>(indices);
        if tuples.is_wrong(indices, faults) || y.is_empty() {
            return;
        }
        pool.slices(y, chunk * run, |i, y| {
            for (row, y) in y.chunks_exact_mut(run).enumerate() {
                y.copy_from_slice(&x[tuples.slice_of(i * chunk + row, indices) * run..][..run]);
            }
        });
    });
    Ok(())
}

/// Plans ReverseSequence: of each sequence of the batch, the first elements backwards, as many as its length says.
pub fn plan_reverse(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let lengths = b.input_as(needed(node, 1)?, Layout::RowMajor)?;
    let is_time_first = node.attributes.int("time_axis")? == 0;
    let &[rows, columns, ref rest @ ..] = x.shape() else {
        return Err(error(node, &format!("needs two axes, got shape {:?}", x.shape())));
    };
    let (time, batch) = if is_time_first { (rows, columns) } else { (columns, rows) };
    if lengths.shape() != [batch] {
        return Err(error(node, &format!("lengths of shape {:?} for {batch} sequences", lengths.shape())));
    }
    let run = rest.iter().product::<usize>() * x.dtype().size();
    let y = b.output(made(node, 0)?, x.shape().to_vec(), Layout::RowMajor)?;
    push_reverse(b, node, [&x, &lengths, &y], (time, columns, run), is_time_first);
    Ok(())
}

fn push_reverse(
    b: &mut Builder<'_>,
    node: &Node,
    [x, lengths, y]: [&Placed; 3],
    (time, columns, run): (usize, usize, usize),
    is_time_first: bool,
) {
    let count = y.tensor.bytes().checked_div(run).unwrap_or(0);
    let chunk = b.steps.chunk(count, 5.0 + run as f64 * 0.1, 1);
    let (xb, lb, yb) = (x.buffer, lengths.buffer, y.buffer);
    b.steps.of_node(node, "gather").run([xb, lb], [yb], move |step, [x, lengths], [y]| {
        let (pool, faults) = (step.pool, step.faults);
        let lengths = cast::<i64>(lengths);
        if let Some(at) = lengths.iter().position(|&n| !(0..=time as i64).contains(&n)) {
            let what = format!("length {} of sequence {at} is outside 0..{time}", lengths[at]);
            return faults.report(what);
        }
        if y.is_empty() {
            return;
        }
        pool.slices(y, chunk * run, |i, y| {
            for (at, y) in y.chunks_exact_mut(run).enumerate() {
                let (row, column) = ((i * chunk + at) / columns, (i * chunk + at) % columns);
                let (t, sequence) = if is_time_first { (row, column) } else { (column, row) };
                let length = lengths[sequence] as usize;
                let t = if t < length { length - 1 - t } else { t };
                let from = if is_time_first { t * columns + column } else { row * columns + t };
                y.copy_from_slice(&x[from * run..][..run]);
            }
        });
    });
}
