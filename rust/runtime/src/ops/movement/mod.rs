//! Ops that move elements and compute nothing: the same code for every element type.

mod relocate;
mod views;

pub use relocate::{FILL, Relocation, copy_runs, strides, transpose};
pub use views::{flatten, identity, reshape, squeeze, unsqueeze};

use octavo_exec::{cast, cast_mut};

use crate::error::Error;
use crate::ops::{axis, error, made, needed, spatial_last};
use crate::plan::builder::{BufferId, Builder, Placed};
use crate::plan::layout::Layout;
use crate::program::Node;

/// No moved axis becomes longer than this: a plan has a word for each index of it.
pub const LARGEST_EXTENT: usize = 1 << 28;

/// Bytes in row-major order, taken to another order of dimensions, before any run.
pub fn permuted(bytes: &[u8], element: usize, shape: &[usize], order: &[usize]) -> Vec<u8> {
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

/// An op whose output dimension `d` takes index `maps[d][i]` of the input's (or [`FILL`]): keeps the layout.
fn by_axis(
    b: &mut Builder<'_>,
    node: &Node,
    x: &Placed,
    maps: Vec<Vec<usize>>,
    fill: Vec<u8>,
    output: usize,
) -> Result<(), Error> {
    let shape: Vec<usize> = maps.iter().map(Vec::len).collect();
    let order = x.layout.order(x.shape().len());
    let steps = strides(x.shape(), &order, x.dtype().size());
    let tables = order
        .iter()
        .map(|&d| maps[d].iter().map(|&i| if i == FILL { FILL } else { i * steps[d] }).collect())
        .collect();
    let y = b.output(made(node, output)?, shape, x.layout)?;
    let relocation = Relocation::new(x.dtype().size(), tables);
    relocate(b, node, x, &y, relocation, fill);
    Ok(())
}

/// Every index of every dimension: the maps of a copy.
fn all_indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().map(|&n| (0..n).collect()).collect()
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
            b.alias(made(node, 0)?, &x, shape, layout);
            return Ok(());
        }
    }
    let steps = strides(x.shape(), &x.layout.order(rank), x.dtype().size());
    let source: Vec<usize> = perm.iter().map(|&p| steps[p]).collect();
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    let relocation = Relocation::strided(x.dtype().size(), y.shape(), &source);
    relocate(b, node, &x, &y, relocation, vec![0; x.dtype().size()]);
    Ok(())
}

/// Slice-10 and later: starts, ends, axes and steps are inputs known before the run.
pub fn plan_slice(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input(needed(node, 0)?)?;
    let rank = x.shape().len();
    let starts = b.known_ints(node, 1)?;
    let ends = b.known_ints(node, 2)?;
    let axes = b.known_ints_opt(node, 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = b.known_ints_opt(node, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(error(node, "starts, ends, axes and steps differ in length"));
    }
    let mut maps = all_indices(x.shape());
    for (((&start, &end), &of), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let of = axis(node, of, rank)?;
        maps[of] = slice_indices(node, x.shape()[of], start, end, step)?;
    }
    let fill = vec![0; x.dtype().size()];
    by_axis(b, node, &x, maps, fill, 0)
}

/// The indices that a slice of `n` elements takes, as numpy and ONNX have it.
pub fn slice_indices(node: &Node, n: usize, start: i64, end: i64, step: i64) -> Result<Vec<usize>, Error> {
    if step == 0 {
        return Err(error(node, "a slice's step is 0"));
    }
    let n = n as i64;
    let from_end = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let start = from_end(start).clamp(low.max(0), high.max(0));
    let end = from_end(end).clamp(low, high.max(low));
    let count =
        if step > 0 { (end - start).div_ceil_positive(step) } else { (start - end).div_ceil_positive(-step) };
    if n == 0 {
        return Ok(Vec::new());
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
    let x = b.input(needed(node, 0)?)?;
    let along = axis(node, node.attributes.int_or("axis", 0)?, x.shape().len())?;
    let n = x.shape()[along];
    let sizes: Vec<usize> = match b.known_ints_opt(node, 1)? {
        Some(sizes) => sizes.iter().map(|&s| usize::try_from(s).unwrap_or(usize::MAX)).collect(),
        None => {
            let parts = node.outputs.len();
            let size = n.div_ceil(parts);
            (0..parts).map(|i| size.min(n.saturating_sub(i * size))).collect()
        }
    };
    if sizes.len() != node.outputs.len() || sizes.iter().try_fold(0usize, |a, &s| a.checked_add(s)) != Some(n)
    {
        return Err(error(node, &format!("sizes {sizes:?} do not make up the {n} of axis {along}")));
    }
    let mut start = 0;
    for (index, size) in sizes.into_iter().enumerate() {
        if node.outputs[index].is_some() {
            let mut maps = all_indices(x.shape());
            maps[along] = (start..start + size).collect();
            let fill = vec![0; x.dtype().size()];
            by_axis(b, node, &x, maps, fill, index)?;
        }
        start += size;
    }
    Ok(())
}

/// Pad: constant, edge, reflect and wrap; negative pads crop.
pub fn plan_pad(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input(needed(node, 0)?)?;
    let rank = x.shape().len();
    let pads = b.known_ints(node, 1)?;
    let fill = match node.inputs.get(2).copied().flatten() {
        Some(value) => match b.known(value) {
            Some(known) if known.dtype() == x.dtype() => known.bytes().to_vec(),
            _ => return Err(error(node, "the pad value is not a constant of the input's type")),
        },
        None => vec![0; x.dtype().size()],
    };
    let axes = match b.known_ints_opt(node, 3)? {
        Some(axes) => axes.iter().map(|&a| axis(node, a, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(error(node, &format!("{} pads for {} axes", pads.len(), axes.len())));
    }
    let mode = node.attributes.str_or("mode", "constant")?;
    let mut maps = all_indices(x.shape());
    for (i, &of) in axes.iter().enumerate() {
        maps[of] = pad_indices(node, mode, x.shape()[of], pads[i], pads[i + axes.len()])?;
    }
    by_axis(b, node, &x, maps, fill, 0)
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
    let source = |i: i64| -> Option<i64> {
        if (0..left).contains(&i) {
            return Some(i);
        }
        match mode {
            "constant" => None,
            _ if left == 0 => None,
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
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let target = b.known_shape(node, 1)?;
    let rank = target.len().max(x.shape().len());
    let from = crate::ops::left_padded(x.shape(), rank);
    let to = crate::ops::left_padded(&target, rank);
    let shape = crate::ops::broadcast(node, &from, &to)?;
    if shape.iter().any(|&n| n > LARGEST_EXTENT) {
        return Err(error(node, &format!("the shape {shape:?} needs too much memory")));
    }
    let maps = shape.iter().zip(&from).map(|(&n, &f)| (0..n).map(|i| if f == 1 { 0 } else { i }).collect());
    let x = Placed { tensor: crate::plan::TensorType { dtype: x.dtype(), shape: from.clone() }, ..x };
    let fill = vec![0; x.dtype().size()];
    let maps = maps.collect();
    by_axis(b, node, &x, maps, fill, 0)
}

/// Tile: each axis repeated.
pub fn plan_tile(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input(needed(node, 0)?)?;
    let repeats = b.known_shape(node, 1)?;
    if repeats.len() != x.shape().len() {
        return Err(error(node, &format!("{} repeats for {} dimensions", repeats.len(), x.shape().len())));
    }
    let mut maps = Vec::with_capacity(repeats.len());
    for (&n, &times) in x.shape().iter().zip(&repeats) {
        let total = n.checked_mul(times).filter(|&t| t <= LARGEST_EXTENT);
        let total = total.ok_or_else(|| error(node, "the tiled shape is too large"))?;
        maps.push((0..total).map(|i| i % n).collect());
    }
    let fill = vec![0; x.dtype().size()];
    by_axis(b, node, &x, maps, fill, 0)
}

/// Gather with indices known before the run; the index's dimensions stand in the place of the axis.
pub fn plan_gather(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let along = axis(node, node.attributes.int_or("axis", 0)?, x.shape().len())?;
    let n = x.shape()[along] as i64;
    let index = needed(node, 1)?;
    let index_shape = b.tensor(index)?.shape;
    let mut map = Vec::new();
    for i in b.known_ints(node, 1)? {
        let i = if i < 0 { i + n } else { i };
        if !(0..n).contains(&i) {
            return Err(error(node, &format!("index {i} is outside axis {along} of {n}")));
        }
        map.push(i as usize);
    }
    let mut maps = all_indices(x.shape());
    maps[along] = map;
    let mut shape = x.shape().to_vec();
    shape.splice(along..=along, index_shape);
    let steps = strides(x.shape(), &Layout::RowMajor.order(x.shape().len()), x.dtype().size());
    let tables = maps.iter().zip(&steps).map(|(m, &s)| m.iter().map(|&i| i * s).collect()).collect();
    let relocation = Relocation::new(x.dtype().size(), tables);
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    relocate(b, node, &x, &y, relocation, vec![0; x.dtype().size()]);
    Ok(())
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
        let depth = c / (block * block);
        if depth * block * block != c {
            return Err(error(node, &format!("{c} channels do not divide by blocksize {block} squared")));
        }
        let (sd, si, sj) = match node.attributes.str_or("mode", "DCR")? {
            "CRD" => (sc * block * block, sc * block, sc),
            _ => (sc, sc * depth * block, sc * depth),
        };
        let shape = vec![n, depth, h * block, w * block];
        (shape, vec![(depth, sd)], vec![(h, sh), (block, si)], vec![(w, sw), (block, sj)])
    } else {
        if h % block != 0 || w % block != 0 {
            return Err(error(node, &format!("{h} x {w} does not divide by blocksize {block}")));
        }
        let shape = vec![n, c * block * block, h / block, w / block];
        let channel = vec![(block, sh), (block, sw), (c, sc)];
        (shape, channel, vec![(h / block, sh * block)], vec![(w / block, sw * block)])
    };
    let y = b.output(made(node, 0)?, shape, x.layout)?;
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
    let layout = spatial_last(b, &values);
    let parts = values.iter().map(|&v| b.input_as(v, layout)).collect::<Result<Vec<_>, _>>()?;
    let first = parts.first().ok_or_else(|| error(node, "has no inputs"))?;
    let rank = first.shape().len();
    let along = axis(node, node.attributes.int("axis")?, rank)?;
    let mut shape = first.shape().to_vec();
    shape[along] = 0;
    for part in &parts {
        let fits = part.shape().len() == rank
            && part.dtype() == first.dtype()
            && (0..rank).all(|d| d == along || part.shape()[d] == first.shape()[d]);
        if !fits {
            return Err(error(
                node,
                &format!(
                    "inputs of shapes {:?} and {:?} do not join on axis {along}",
                    first.shape(),
                    part.shape()
                ),
            ));
        }
        shape[along] += part.shape()[along];
    }
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

/// Resize by nearest neighbour: one index map a dimension.
pub fn plan_resize(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input(needed(node, 0)?)?;
    let maps = crate::ops::resize::nearest_maps(b, node, x.shape())?;
    let fill = vec![0; x.dtype().size()];
    by_axis(b, node, &x, maps, fill, 0)
}
