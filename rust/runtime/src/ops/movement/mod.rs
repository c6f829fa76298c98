//! Ops that move elements and compute nothing: the same code for every element type.

mod relocate;
mod views;

pub use relocate::{FILL, Relocation, copy_runs, strides, transpose};
pub use views::{flatten, identity, reshape, squeeze, unsqueeze};

use octavo_exec::{cast, cast_mut};

use crate::error::Error;
use crate::ops::resize::nearest_maps;
use crate::ops::shape::MOST_ELEMENTS;
use crate::ops::{axes, axis, broadcast, error, left_padded, made, needed, spatial_last};
use crate::plan::TensorType;
use crate::plan::builder::{BufferId, Builder, Placed};
use crate::plan::layout::Layout;
use crate::program::{DType, Node, Tensor};

/// No moved axis becomes longer than this: a plan has a word for each index of it.
pub const LARGEST_EXTENT: usize = 1 << 28;
/// Most elements that an op makes of an input of less.
const MOST_MADE: usize = i32::MAX as usize;

/// Bytes in row-major order, taken to another order of dimensions, before any run.
pub fn permuted(bytes: &[u8], element: usize, shape: &[usize], order: &[usize]) -> Vec<u8> {
    if bytes.is_empty() {
        return Vec::new(); // its other axes may be of any length
    }
    let steps = strides(shape, &(0..shape.len()).collect::<Vec<_>>(), element);
    let dims: Vec<usize> = order.iter().map(|&d| shape[d]).collect();
    let source: Vec<usize> = order.iter().map(|&d| steps[d]).collect();
    let mut out = vec![0; bytes.len()];
    Relocation::strided(element, &dims, &source).rows(bytes, &vec![0; element], 0, &mut out);
    out
}

/// Pushes a step that copies a buffer.
pub fn copy(b: &mut Builder<'_>, name: String, from: BufferId, to: BufferId) {
    b.push(
        name,
        "Copy",
        "copy",
        0,
        &[from],
        &[to],
        Box::new(move |run| {
            let ([x], [y]) = run.get([from], [to]);
            y.copy_from_slice(x);
        }),
    );
}

/// Pushes a step that brings a tensor into another layout.
pub fn convert_layout(b: &mut Builder<'_>, name: String, from: &Placed, layout: Layout, to: BufferId) {
    let shape = from.shape();
    let (images, channels) = (shape[0], shape[1]);
    let plane: usize = shape[2..].iter().product();
    let (rows, columns) = match layout {
        Layout::ChannelsLast => (channels, plane),
        Layout::RowMajor => (plane, channels),
    };
    let (source, element) = (from.buffer, from.dtype().size());
    let image = rows * columns * element;
    if image == 0 {
        return;
    }
    let per_chunk = if images > 1 { b.chunk(images, image as f64 * 0.2, 1) } else { 1 };
    b.push(
        name,
        "Transpose",
        "transpose",
        0,
        &[source],
        &[to],
        Box::new(move |run| {
            let pool = run.pool;
            let ([x], [y]) = run.get([source], [to]);
            pool.slices(y, per_chunk * image, |i, y| {
                let x = &x[i * per_chunk * image..][..y.len()];
                for (x, y) in x.chunks_exact(image).zip(y.chunks_exact_mut(image)) {
                    match element {
                        1 => transpose(x, rows, columns, y),
                        2 => transpose(cast::<u16>(x), rows, columns, cast_mut(y)),
                        4 => transpose(cast::<f32>(x), rows, columns, cast_mut(y)),
                        _ => transpose(cast::<i64>(x), rows, columns, cast_mut(y)),
                    }
                }
            });
        }),
    );
}

/// Pushes the step of a relocation.
fn relocate(
    b: &mut Builder<'_>,
    node: &Node,
    from: &Placed,
    to: &Placed,
    relocation: Relocation,
    fill: Vec<u8>,
) {
    let (x, y) = (from.buffer, to.buffer);
    let row_bytes = relocation.row_bytes();
    let bytes = to.tensor.bytes();
    if bytes == 0 {
        return;
    }
    let rows = b.chunk(bytes / row_bytes, row_bytes as f64 * 0.2, 1);
    b.push(
        node.name.clone(),
        node.op.name(),
        "relocate",
        0,
        &[x],
        &[y],
        Box::new(move |run| {
            let pool = run.pool;
            let ([x], [y]) = run.get([x], [y]);
            pool.slices(y, rows * row_bytes, |i, y| relocation.rows(x, &fill, i * rows, y));
        }),
    );
}

/// The input's index of each index of an axis of the output, or [`FILL`]; `None`: all of them in their order.
pub type Map = Option<Vec<usize>>;

/// What an op of one map an axis does.
struct Moves {
    /// The input's shape, maybe with dimensions of 1 put in front.
    from: Vec<usize>,
    /// One for each of its dimensions.
    maps: Vec<Map>,
    /// One element.
    fill: Vec<u8>,
    /// The output's shape, where it is not just the lengths of the maps.
    shape: Option<Vec<usize>>,
}

impl Moves {
    /// All elements of input 0 where they are.
    fn of_input(b: &Builder<'_>, node: &Node) -> Result<Moves, Error> {
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

/// The elements of an output whose axes have these lengths. Checked before the maps are made: an axis takes a word an
/// index, and a few bytes can ask for any number of elements.
pub fn checked_elements(node: &Node, input: &[usize], lengths: &[usize]) -> Result<usize, Error> {
    let elements = lengths.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
    let most = MOST_MADE.max(input.iter().product());
    // Only of nothing may an axis be longer, and only one that stays as it is.
    let is_short = |(&n, &from): (&usize, &usize)| n <= LARGEST_EXTENT || (n == from && elements == Some(0));
    match elements {
        Some(n) if n <= most && lengths.iter().zip(input).all(is_short) => Ok(n),
        _ => Err(error(node, &format!("an output of shape {lengths:?} needs too much memory"))),
    }
}

/// Plans an op of one map an axis: at once where the input is known, else in the layout that it has.
fn by_axis(b: &mut Builder<'_>, node: &Node, moves: Moves, output: usize) -> Result<(), Error> {
    let (value, target) = (needed(node, 0)?, made(node, output)?);
    let TensorType { dtype, shape: given } = b.tensor(value)?;
    let lengths = moves.lengths();
    let elements = checked_elements(node, &moves.from, &lengths)?;
    let shape = moves.shape.clone().unwrap_or(lengths);
    if let Some(known) = b.only_known(value).filter(|_| elements <= MOST_ELEMENTS) {
        let mut bytes = vec![0; elements * dtype.size()];
        if !bytes.is_empty() {
            let relocation = moves.relocation(dtype.size(), Layout::RowMajor);
            relocation.rows(known.bytes(), &moves.fill, 0, &mut bytes);
        }
        let answer = Tensor::new(dtype, shape, &bytes)?;
        return b.know(target, answer);
    }
    let keeps_rank = moves.from.len() == given.len() && moves.shape.is_none();
    let x = if keeps_rank { b.input(value)? } else { b.input_as(value, Layout::RowMajor)? };
    let y = b.output(target, shape, x.layout)?;
    if elements != 0 {
        let relocation = moves.relocation(dtype.size(), x.layout);
        relocate(b, node, &x, &y, relocation, moves.fill);
    }
    Ok(())
}

/// Transpose: a new name for the same bytes where the layouts allow, else a relocation.
pub fn plan_transpose(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input(needed(node, 0)?)?;
    let rank = x.shape().len();
    let reversed: Vec<i64> = (0..rank as i64).rev().collect();
    let perm = node.attributes.ints_or("perm", &reversed)?;
    let perm = perm.iter().map(|&p| axis(node, p, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = vec![false; rank];
    perm.iter().for_each(|&p| seen[p] = true);
    if perm.len() != rank || seen.contains(&false) {
        return Err(error(node, &format!("perm {perm:?} is not an order of {rank} dimensions")));
    }
    let shape: Vec<usize> = perm.iter().map(|&p| x.shape()[p]).collect();
    if let Some(known) = b.only_known(needed(node, 0)?).filter(|known| known.len() <= MOST_ELEMENTS) {
        let bytes = permuted(known.bytes(), known.dtype().size(), known.shape(), &perm);
        let answer = Tensor::new(known.dtype(), shape, &bytes)?;
        return b.know(made(node, 0)?, answer);
    }
    // The output's dimensions in the order that the bytes have now; dimensions of 1 lie anywhere.
    let now: Vec<usize> = x
        .layout
        .order(rank)
        .iter()
        .map(|d| perm.iter().position(|p| p == d).expect("perm is an order"))
        .filter(|&d| shape[d] != 1)
        .collect();
    for layout in [Layout::RowMajor, Layout::ChannelsLast] {
        if (layout == Layout::RowMajor || rank > 2)
            && layout.order(rank).into_iter().filter(|&d| shape[d] != 1).eq(now.iter().copied())
        {
            return b.alias(made(node, 0)?, &x, shape, layout);
        }
    }
    let steps = strides(x.shape(), &x.layout.order(rank), x.dtype().size());
    let source: Vec<usize> = perm.iter().map(|&p| steps[p]).collect();
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let relocation = Relocation::strided(x.dtype().size(), y.shape(), &source);
    relocate(b, node, &x, &y, relocation, vec![0; x.dtype().size()]);
    Ok(())
}

/// Slice-10 and later: starts, ends, axes and steps are inputs known before the run.
pub fn plan_slice(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
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
fn slice_indices(node: &Node, n: usize, start: i64, end: i64, step: i64) -> Result<Vec<usize>, Error> {
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
pub fn plan_split(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
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
pub fn plan_pad(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
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
fn pad_indices(node: &Node, mode: &str, n: usize, before: i64, after: i64) -> Result<Vec<usize>, Error> {
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
pub fn plan_expand(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
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
pub fn plan_tile(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
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

/// Gather with indices known before the run; the index's dimensions stand in the place of the axis.
pub fn plan_gather(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let mut moves = Moves::of_input(b, node)?;
    let along = axis(node, node.attributes.int_or("axis", 0)?, moves.from.len())?;
    let n = moves.from[along];
    let indices = b.known_ints(node, 1)?;
    moves.maps[along] = Some(indices.into_iter().map(|i| axis(node, i, n)).collect::<Result<_, _>>()?);
    let mut shape = moves.from.clone();
    shape.splice(along..=along, b.tensor(needed(node, 1)?)?.shape);
    moves.shape = Some(shape);
    by_axis(b, node, moves, 0)
}

/// DepthToSpace and SpaceToDepth: a split of dimensions, an order, a merge; in the layout that the input has.
pub fn plan_depth_space(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input(needed(node, 0)?)?;
    let &[n, c, h, w] = x.shape() else {
        return Err(error(node, &format!("needs 4 dimensions, got shape {:?}", x.shape())));
    };
    let block = usize::try_from(node.attributes.int("blocksize")?).unwrap_or(0);
    if block == 0 || block > 1 << 20 {
        return Err(error(node, "blocksize must be 1 or more"));
    }
    let steps = strides(x.shape(), &x.layout.order(4), x.dtype().size());
    let (sn, sc, sh, sw) = (steps[0], steps[1], steps[2], steps[3]);
    // Each output dimension as (extent, source stride) pairs, outer to inner.
    let (shape, channel, row, column) = if node.op.name() == "DepthToSpace" {
        if c % (block * block) != 0 {
            return Err(error(node, &format!("{c} channels do not divide by blocksize {block} squared")));
        }
        let depth = c / (block * block);
        let (sd, si, sj) = match node.attributes.str_or("mode", "DCR")? {
            "CRD" => (sc * block * block, sc * block, sc),
            _ => (sc, sc * depth * block, sc * depth),
        };
        let shape = vec![n, depth, h.saturating_mul(block), w.saturating_mul(block)];
        (shape, vec![(depth, sd)], vec![(h, sh), (block, si)], vec![(w, sw), (block, sj)])
    } else {
        if h % block != 0 || w % block != 0 {
            return Err(error(node, &format!("{h} x {w} does not divide by blocksize {block}")));
        }
        let shape = vec![n, c.saturating_mul(block * block), h / block, w / block];
        let channel = vec![(block, sh), (block, sw), (c, sc)];
        (shape, channel, vec![(h / block, sh * block)], vec![(w / block, sw * block)])
    };
    let y = b.output(made(node, 0)?, shape, x.layout)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let parts = [vec![(n, sn)], channel, row, column];
    let flat: Vec<(usize, usize)> = y.layout.order(4).into_iter().flat_map(|d| parts[d].clone()).collect();
    let (dims, source): (Vec<usize>, Vec<usize>) = flat.into_iter().unzip();
    let relocation = Relocation::strided(x.dtype().size(), &dims, &source);
    relocate(b, node, &x, &y, relocation, vec![0; x.dtype().size()]);
    Ok(())
}

/// Concat: each input copied to its place, in the layout that the first spatial input has.
pub fn plan_concat(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let values: Vec<_> = node.inputs.iter().flatten().copied().collect();
    let types = values.iter().map(|&v| b.tensor(v)).collect::<Result<Vec<_>, _>>()?;
    let first = types.first().ok_or_else(|| error(node, "has no inputs"))?;
    let rank = first.shape.len();
    let along = axis(node, node.attributes.int("axis")?, rank)?;
    let mut shape = first.shape.clone();
    shape[along] = 0;
    for TensorType { shape: part, .. } in &types {
        let fits = part.len() == rank && (0..rank).all(|d| d == along || part[d] == first.shape[d]);
        if !fits {
            let what = format!("inputs of shapes {:?} and {part:?} do not join on axis {along}", first.shape);
            return Err(error(node, &what));
        }
        shape[along] = shape[along].saturating_add(part[along]);
    }
    let known: Option<Vec<&Tensor>> = values.iter().map(|&v| b.only_known(v)).collect();
    if let Some(known) = known.filter(|known| known.iter().map(|k| k.len()).sum::<usize>() <= MOST_ELEMENTS) {
        let bytes = joined(&known, along);
        let answer = Tensor::new(first.dtype, shape, &bytes)?;
        return b.know(made(node, 0)?, answer);
    }
    let layout = spatial_last(b, &values);
    let parts = values.iter().map(|&v| b.input_as(v, layout)).collect::<Result<Vec<_>, _>>()?;
    let y = b.output(made(node, 0)?, shape, layout)?;
    let at = y.layout.axis(along, rank);
    let physical = y.physical();
    let row = physical[at..].iter().product::<usize>() * y.dtype().size();
    let mut start = 0;
    let mut pieces = Vec::new();
    for part in &parts {
        let bytes = part.physical()[at..].iter().product::<usize>() * y.dtype().size();
        if bytes > 0 && part.elements() > 0 {
            pieces.push((part.buffer, start, bytes));
        }
        start += bytes;
    }
    if y.elements() == 0 {
        return Ok(());
    }
    let rows = b.chunk(y.tensor.bytes() / row, row as f64 * 0.1, 1);
    let reads: Vec<BufferId> = pieces.iter().map(|p| p.0).collect();
    let target = y.buffer;
    b.push(
        node.name.clone(),
        node.op.name(),
        "copy",
        0,
        &reads,
        &[target],
        Box::new(move |run| {
            let pool = run.pool;
            for &(from, start, bytes) in &pieces {
                let ([x], [y]) = run.get([from], [target]);
                pool.slices(y, rows * row, |i, y| {
                    copy_runs(&x[i * rows * bytes..], bytes, &mut y[start..], row, bytes);
                });
            }
        }),
    );
    Ok(())
}

/// The bytes of known tensors joined on an axis.
fn joined(parts: &[&Tensor], along: usize) -> Vec<u8> {
    let row = |part: &Tensor| part.shape()[along..].iter().product::<usize>() * part.dtype().size();
    let rows: usize = parts.first().map_or(0, |part| part.shape()[..along].iter().product());
    let of_row = |r: usize| parts.iter().flat_map(move |part| &part.bytes()[r * row(part)..][..row(part)]);
    (0..rows).flat_map(of_row).copied().collect()
}

/// Resize by nearest neighbour: one index map a dimension.
pub fn plan_resize(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let mut moves = Moves::of_input(b, node)?;
    moves.maps = nearest_maps(b, node, &moves.from)?;
    if b.tensor(needed(node, 0)?)?.dtype == DType::F32 {
        moves.fill = node.attributes.f32("extrapolation_value")?.to_le_bytes().to_vec();
    }
    by_axis(b, node, moves, 0)
}
