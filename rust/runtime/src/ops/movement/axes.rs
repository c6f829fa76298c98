//! Ops in which each axis of the output takes some indices of the input's: Slice, Split, Pad, Expand, Tile, nearest
//! Resize, and Gather of known indices.

use super::relocate;
use crate::ops::interpolate;
use crate::ops::node::{LARGEST_EXTENT, axes, axis, broadcast, error, left_padded, made, needed};
use crate::ops::node::{Map, checked_elements};
use crate::ops::resize::nearest_maps;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::relocation::{FILL, Relocation, strides};
use crate::program::{DType, Node};

/// What an op of one map an axis does.
pub struct Moves {
    /// The input's shape, maybe with dimensions of 1 put in front.
    pub from: Vec<usize>,
    /// One for each of its dimensions.
    pub maps: Vec<Map>,
    /// One element.
    fill: Vec<u8>,
    /// The output's shape, where it is not just the lengths of the maps.
    pub shape: Option<Vec<usize>>,
}

impl Moves {
    /// All elements of input 0 where they are.
    pub fn of_input(b: &Builder<'_>, node: &Node) -> Result<Moves, Stop> {
        let tensor = b.tensor(needed(node, 0)?)?;
        let (rank, size) = (tensor.shape.len(), tensor.dtype.size());
        Ok(Moves { from: tensor.shape, maps: vec![None; rank], fill: vec![0; size], shape: None })
    }

    fn lengths(&self) -> Vec<usize> {
        self.maps.iter().zip(&self.from).map(|(map, &n)| map.as_ref().map_or(n, Vec::len)).collect()
    }

    /// From an input in that layout.
    fn relocation(&self, element: usize, layout: Layout) -> Relocation {
        let order = layout.order(self.from.len());
        let steps = strides(&self.from, &order, element);
        let table = |&d: &usize| match &self.maps[d] {
            None => (0..self.from[d]).map(|i| i * steps[d]).collect(),
            Some(map) => map.iter().map(|&i| if i == FILL { FILL } else { i * steps[d] }).collect(),
        };
        Relocation::new(element, order.iter().map(table).collect())
    }
}

/// Plans an op of one map an axis, in the layout that the input has.
pub fn by_axis(b: &mut Builder<'_>, node: &Node, moves: Moves, output: usize) -> Result<(), Stop> {
    let (value, target) = (needed(node, 0)?, made(node, output)?);
    let given = b.tensor(value)?.shape;
    let lengths = moves.lengths();
    let elements = checked_elements(node, &moves.from, &lengths)?;
    let shape = moves.shape.clone().unwrap_or(lengths);
    let keeps_rank = moves.from.len() == given.len() && moves.shape.is_none();
    let x = if keeps_rank { b.input(value)? } else { b.input_as(value, Layout::RowMajor)? };
    let y = b.output(target, shape, x.layout)?;
    if elements != 0 {
        let relocation = moves.relocation(x.dtype().size(), x.layout);
        relocate(&mut b.steps, node.name.clone(), node.op.name(), x.buffer, y.buffer, relocation, moves.fill);
    }
    Ok(())
}

/// Slice-10 and later: starts, ends, axes and steps are inputs known before the run.
pub fn plan_slice(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let mut moves = Moves::of_input(b, node)?;
    let starts = b.known_ints(node, 1)?;
    let ends = b.known_ints(node, 2)?;
    let along = b.known_ints_opt(node, 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = b.known_ints_opt(node, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || along.len() != starts.len() || steps.len() != starts.len() {
        return Err(error(node, "starts, ends, axes and steps differ in length"));
    }
    let along = axes(node, &along, moves.from.len())?;
    for (((&start, &end), &of), &step) in starts.iter().zip(&ends).zip(&along).zip(&steps) {
        moves.maps[of] = Some(slice_indices(node, moves.from[of], start, end, step)?);
    }
    by_axis(b, node, moves, 0)
}

/// The indices that a slice of `n` elements takes, as numpy and ONNX have it.
fn slice_indices(node: &Node, n: usize, start: i64, end: i64, step: i64) -> Result<Vec<usize>, Stop> {
    if step == 0 {
        return Err(error(node, "a slice's step is 0"));
    }
    let n = n as i64;
    let from_end = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let start = from_end(start).clamp(low.max(0), high.max(0));
    let end = from_end(end).clamp(low, high.max(low));
    let count = if step > 0 {
        (end - start).div_ceil_positive(step)
    } else {
        (start - end).div_ceil_positive(step.saturating_neg())
    };
    if n == 0 {
        return Ok(Vec::new());
    }
    if count > LARGEST_EXTENT as i64 {
        return Err(error(node, &format!("takes {count} elements of an axis, which is too many")));
    }
    Ok((0..count).map(|i| (start + i * step) as usize).collect())
}

trait DivCeilPositive {
    fn div_ceil_positive(self, by: i64) -> i64;
}

impl DivCeilPositive for i64 {
    /// `ceil(self / by)`, at least 0, for a positive `by` however large.
    fn div_ceil_positive(self, by: i64) -> i64 {
        if self <= 0 { 0 } else { (self - 1) / by + 1 }
    }
}

/// Split: by the sizes given, by num_outputs, or in equal parts.
pub fn plan_split(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let from = b.tensor(needed(node, 0)?)?.shape;
    let along = axis(node, node.attributes.int_or("axis", 0)?, from.len())?;
    let (n, count) = (from[along], node.outputs.len());
    let sizes: Vec<usize> = match b.known_ints_opt(node, 1)? {
        Some(sizes) => sizes.iter().map(|&s| usize::try_from(s).unwrap_or(usize::MAX)).collect(),
        None => {
            let size = n.div_ceil(count);
            let last = n.checked_sub(size * (count - 1)).unwrap_or(usize::MAX);
            (0..count).map(|i| if i + 1 < count { size } else { last }).collect()
        }
    };
    if sizes.len() != count || sizes.iter().try_fold(0usize, |a, &s| a.checked_add(s)) != Some(n) {
        return Err(error(
            node,
            &format!("the {n} of axis {along} cannot be split into {count} such pieces"),
        ));
    }
    let mut start = 0;
    for (index, size) in sizes.into_iter().enumerate() {
        if node.outputs[index].is_some() {
            let mut moves = Moves::of_input(b, node)?;
            if size > LARGEST_EXTENT {
                return Err(error(node, &format!("a piece of {size} elements is too large")));
            }
            moves.maps[along] = Some((start..start + size).collect());
            by_axis(b, node, moves, index)?;
        }
        start += size;
    }
    Ok(())
}

/// Pad: constant, edge, reflect and wrap; negative pads crop.
pub fn plan_pad(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let mut moves = Moves::of_input(b, node)?;
    let rank = moves.from.len();
    let pads = b.known_ints(node, 1)?;
    if node.input(2).is_some() {
        let value = b.known_input(node, 2)?;
        if value.len() != 1 {
            return Err(error(node, &format!("the pad value is of shape {:?}, not one", value.shape())));
        }
        moves.fill = value.bytes().to_vec();
    }
    let along = match b.known_ints_opt(node, 3)? {
        Some(along) => axes(node, &along, rank)?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * along.len() {
        return Err(error(node, &format!("{} pads for {} axes", pads.len(), along.len())));
    }
    let mode = node.attributes.str_or("mode", "constant")?;
    let mut lengths = moves.from.clone();
    for (i, &of) in along.iter().enumerate() {
        let padding = pads[i].max(0).saturating_add(pads[i + along.len()].max(0));
        lengths[of] = lengths[of].saturating_add(padding.unsigned_abs() as usize);
    }
    checked_elements(node, &moves.from, &lengths)?;
    for (i, &of) in along.iter().enumerate() {
        let (before, after) = (pads[i], pads[i + along.len()]);
        if (before, after) != (0, 0) {
            moves.maps[of] = Some(pad_indices(node, mode, moves.from[of], before, after)?);
        }
    }
    by_axis(b, node, moves, 0)
}

/// The source index of each index of a padded axis. Negative pads crop first; the modes then see what is left.
fn pad_indices(node: &Node, mode: &str, n: usize, before: i64, after: i64) -> Result<Vec<usize>, Stop> {
    const MOST: i64 = LARGEST_EXTENT as i64;
    let (crop_before, crop_after) = (before.min(0), after.min(0));
    let left = (n as i64).checked_add(crop_before).and_then(|left| left.checked_add(crop_after));
    let total =
        left.and_then(|left| left.checked_add(before.max(0))).and_then(|t| t.checked_add(after.max(0)));
    let (Some(left @ 0..), Some(total @ 0..=MOST)) = (left, total) else {
        return Err(error(node, &format!("pads {before} and {after} of an axis of {n}")));
    };
    if left == 0 && total > 0 && mode != "constant" {
        return Err(error(node, "there is nothing to repeat"));
    }
    let source = |i: i64| -> Option<i64> {
        if (0..left).contains(&i) {
            return Some(i);
        }
        match mode {
            "constant" => None,
            "edge" => Some(i.clamp(0, left - 1)),
            "wrap" => Some(i.rem_euclid(left)),
            _ => {
                let period = (2 * (left - 1)).max(1);
                let at = i.rem_euclid(period);
                Some(if at < left { at } else { period - at })
            }
        }
    };
    if !["constant", "edge", "wrap", "reflect"].contains(&mode) {
        return Err(error(node, &format!("pad mode '{mode}' is unknown")));
    }
    Ok((0..total).map(|i| source(i - before.max(0)).map_or(FILL, |i| (i - crop_before) as usize)).collect())
}

/// Expand: numpy's broadcasting to a shape.
pub fn plan_expand(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let mut moves = Moves::of_input(b, node)?;
    let target = b.known_shape(node, 1)?;
    let rank = target.len().max(moves.from.len());
    moves.from = left_padded(&moves.from, rank);
    let shape = broadcast(node, &moves.from, &left_padded(&target, rank))?;
    checked_elements(node, &moves.from, &shape)?;
    let repeats = |(&n, &from): (&usize, &usize)| (n != from).then(|| vec![0; n]);
    moves.maps = shape.iter().zip(&moves.from).map(repeats).collect();
    by_axis(b, node, moves, 0)
}

/// Tile: each axis repeated.
pub fn plan_tile(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let mut moves = Moves::of_input(b, node)?;
    let repeats = b.known_shape(node, 1)?;
    if repeats.len() != moves.from.len() {
        return Err(error(node, &format!("{} repeats for {} dimensions", repeats.len(), moves.from.len())));
    }
    let lengths: Vec<usize> = moves.from.iter().zip(&repeats).map(|(n, &t)| n.saturating_mul(t)).collect();
    checked_elements(node, &moves.from, &lengths)?;
    for (((map, &n), &times), &length) in moves.maps.iter_mut().zip(&moves.from).zip(&repeats).zip(&lengths) {
        *map = (times != 1).then(|| (0..length).map(|i| i % n).collect());
    }
    by_axis(b, node, moves, 0)
}

/// Resize by nearest neighbour: one index map a dimension.
pub fn plan_resize(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    if node.attributes.str("mode")? != "nearest" {
        return interpolate::plan(b, node);
    }
    let mut moves = Moves::of_input(b, node)?;
    moves.maps = nearest_maps(b, node, &moves.from)?;
    if b.tensor(needed(node, 0)?)?.dtype == DType::F32 {
        moves.fill = node.attributes.f32("extrapolation_value")?.to_le_bytes().to_vec();
    }
    by_axis(b, node, moves, 0)
}
