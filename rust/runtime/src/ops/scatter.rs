//! ScatterElements, ScatterND and TensorScatter: a copy of a tensor, some elements of which are set or changed, in the
//! order of the updates.

use octavo_exec::{cast, cast_mut};

use crate::ops::indices::{Grid, Tuples, with_index};
use crate::ops::lines::Lines;
use crate::ops::node::{axis, error, made, needed};
use crate::ops::numbers::{Element, Number, with_element};
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::faults::Faults;
use crate::plan::layout::Layout;
use crate::program::{Node, ValueId};

/// How an update changes an element.
#[derive(Clone, Copy)]
enum Reduction {
    Set,
    Add,
    Multiply,
    Greater,
    Lesser,
}

impl Reduction {
    fn of(node: &Node) -> Result<Reduction, Stop> {
        match node.attributes.str("reduction")? {
            "none" => Ok(Reduction::Set),
            "add" => Ok(Reduction::Add),
            "mul" => Ok(Reduction::Multiply),
            "max" => Ok(Reduction::Greater),
            "min" => Ok(Reduction::Lesser),
            other => Err(error(node, &format!("reduction '{other}' is unknown"))),
        }
    }

    fn apply<E: Element>(self, y: &mut E::Bits, update: E::Bits) {
        let combine = match self {
            Reduction::Set => {
                *y = update;
                return;
            }
            Reduction::Add => E::Number::plus,
            Reduction::Multiply => E::Number::times,
            Reduction::Greater => E::Number::greater,
            Reduction::Lesser => E::Number::lesser,
        };
        *y = E::store(combine(E::load(*y), E::load(update)));
    }
}

/// Plans ScatterElements: the element at each index along the axis, at the index's own position on the others.
pub fn plan_elements(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let indices = b.input_as(needed(node, 1)?, Layout::RowMajor)?;
    let updates = b.input_as(needed(node, 2)?, Layout::RowMajor)?;
    let along = axis(node, node.attributes.int("axis")?, x.shape().len())?;
    let grid = Grid::new(node, x.shape(), indices.shape(), along)?;
    check_updates(node, &updates, indices.shape())?;
    let reduction = Reduction::of(node)?;
    let (dtype, of) = (x.dtype(), indices.dtype());
    let scatter = move |indices: &[u8], updates: &[u8], y: &mut [u8], faults: &Faults| {
        with_index!(of, I => with_element!(dtype, E => {
            let indices = cast::<I>(indices);
            if indices.is_empty() || grid.is_wrong(indices, faults) {
                return;
            }
            let (updates, y) = (cast::<<E as Element>::Bits>(updates), cast_mut::<<E as Element>::Bits>(y));
            let rows = indices.chunks_exact(grid.width).zip(updates.chunks_exact(grid.width));
            for (row, (indices, updates)) in rows.enumerate() {
                grid.row(row, indices, |at, to| reduction.apply::<E>(&mut y[to], updates[at]));
            }
        }));
    };
    push(b, node, [&x, &indices, &updates], made(node, 0)?, scatter)
}

/// Plans ScatterND: the slices that the index tuples name.
pub fn plan_nd(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let indices = b.input_as(needed(node, 1)?, Layout::RowMajor)?;
    let updates = b.input_as(needed(node, 2)?, Layout::RowMajor)?;
    let tuples = Tuples::new(node, x.shape(), indices.shape(), 0)?;
    let outer = indices.shape().len() - 1;
    check_updates(node, &updates, &[&indices.shape()[..outer], &x.shape()[tuples.width()..]].concat())?;
    let reduction = Reduction::of(node)?;
    let dtype = x.dtype();
    let scatter = move |indices: &[u8], updates: &[u8], y: &mut [u8], faults: &Faults| {
        let indices = cast::<i64>(indices);
        if tuples.is_wrong(indices, faults) || updates.is_empty() {
            return;
        }
        with_element!(dtype, E => {
            let (updates, y) = (cast::<<E as Element>::Bits>(updates), cast_mut::<<E as Element>::Bits>(y));
            for (tuple, updates) in updates.chunks_exact(tuples.slice).enumerate() {
                let y = &mut y[tuples.slice_of(tuple, indices) * tuples.slice..][..tuples.slice];
                y.iter_mut().zip(updates).for_each(|(y, &update)| reduction.apply::<E>(y, update));
            }
        });
    };
    push(b, node, [&x, &indices, &updates], made(node, 0)?, scatter)
}

/// Plans TensorScatter: a cache of sequences, into each of which an update is written from its own index on.
pub fn plan_cache(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let cache = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let update = b.input_as(needed(node, 1)?, Layout::RowMajor)?;
    let along = axis(node, node.attributes.int("axis")?, cache.shape().len())?;
    let lines = Lines::of(cache.shape(), along);
    let mut wanted = cache.shape().to_vec();
    let length = update.shape().get(along).copied().filter(|&length| length <= lines.n).unwrap_or(0);
    wanted[along] = length;
    check_updates(node, &update, &wanted)?;
    if along == 0 {
        return Err(error(node, "axis 0 is that of the batch"));
    }
    let batch = cache.shape()[0];
    let starts = match node.input(2) {
        Some(value) => Some(b.input_as(value, Layout::RowMajor)?),
        None => None,
    };
    if let Some(starts) = starts.as_ref().filter(|starts| starts.shape() != [batch]) {
        return Err(error(node, &format!("indices of shape {:?} for {batch} sequences", starts.shape())));
    }
    let has_starts = starts.is_some();
    let is_circular = node.attributes.str("mode")? == "circular";
    let slice = lines.inner * cache.dtype().size();
    let scatter = move |starts: &[u8], update: &[u8], y: &mut [u8], faults: &Faults| {
        if y.is_empty() || update.is_empty() {
            return;
        }
        let starts = if has_starts { cast::<i64>(starts) } else { &[] };
        let last = (lines.n - length) as i64;
        if let Some(at) = starts.iter().position(|start| !is_circular && !(0..=last).contains(start)) {
            let what = format!(
                "{length} elements from {} on (sequence {at}) do not fit into {}",
                starts[at], lines.n
            );
            return faults.report(what);
        }
        let rows = y.chunks_exact_mut(lines.n * slice).zip(update.chunks_exact(length * slice));
        for (row, (y, update)) in rows.enumerate() {
            let start =
                starts.get(row / (lines.outer / batch)).map_or(0, |start| start.rem_euclid(lines.n as i64));
            for (at, update) in update.chunks_exact(slice).enumerate() {
                let to = (start as usize + at) % lines.n;
                y[to * slice..][..slice].copy_from_slice(update);
            }
        }
    };
    // Without indices every sequence is written from its start, and the second tensor is not looked at.
    push(b, node, [&cache, starts.as_ref().unwrap_or(&update), &update], made(node, 0)?, scatter)
}

fn check_updates(node: &Node, updates: &Placed, wanted: &[usize]) -> Result<(), Stop> {
    if updates.shape() == wanted {
        return Ok(());
    }
    Err(error(node, &format!("updates of shape {:?}, not {wanted:?}", updates.shape())))
}

/// Pushes the step that copies the first tensor and then calls `scatter` with the bytes of the second and the third and
/// those of the copy.
fn push(
    b: &mut Builder<'_>,
    node: &Node,
    [x, indices, updates]: [&Placed; 3],
    output: ValueId,
    scatter: impl Fn(&[u8], &[u8], &mut [u8], &Faults) + Send + Sync + 'static,
) -> Result<(), Stop> {
    let y = b.output(output, x.shape().to_vec(), Layout::RowMajor)?;
    let (xb, ib, ub, yb) = (x.buffer, indices.buffer, updates.buffer, y.buffer);
    b.steps.of_node(node, "scatter").run([xb, ib, ub], [yb], move |run, [x, indices, updates], [y]| {
        let faults = run.faults;
        y.copy_from_slice(x);
        scatter(indices, updates, y, faults);
    });
    Ok(())
}
