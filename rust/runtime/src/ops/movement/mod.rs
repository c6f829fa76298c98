//! Ops that move elements and compute nothing: the same code for every element type.

mod axes;
mod gather;
mod views;

pub use axes::{plan_expand, plan_pad, plan_resize, plan_slice, plan_split, plan_tile};
pub use gather::plan_gather;
pub use views::{flatten, identity, reshape, squeeze, unsqueeze};

use crate::ops::node::{axis, error, made, needed, perm, spatial_last};
use crate::ops::{matmul, qmatmul};
use crate::plan::buffers::{BufferId, Strided, TensorType};
use crate::plan::builder::{Builder, Stop};
use crate::plan::conversion::relocate;
use crate::plan::layout::Layout;
use crate::plan::relocation::{Relocation, strides};
use crate::plan::runs::copy_runs;
use crate::program::Node;

/// Transpose: a new name for the same bytes where the layouts allow, else a relocation.
pub fn plan_transpose(b: &mut Builder<'_>, index: usize) -> Result<(), Stop> {
    let node = &b.program.nodes[index];
    let x = b.input(needed(node, 0)?)?;
    let rank = x.shape().len();
    let perm = perm(node, rank)?;
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
            return Ok(b.alias(made(node, 0)?, &x, shape, layout)?);
        }
    }
    let steps = strides(x.shape(), &x.layout.order(rank), x.dtype().size());
    let source: Vec<usize> = perm.iter().map(|&p| steps[p]).collect();
    let mut strided = Strided { node: index, buffer: x.buffer, shape, steps: source };
    if matmul::reads_in_place(b, made(node, 0)?, &strided.steps) {
        return Ok(b.defer(made(node, 0)?, x.dtype(), strided)?);
    }
    if qmatmul::reads_in_place(b, made(node, 0)?, &strided.steps) {
        strided.buffer = b.with_slack(&x);
        return Ok(b.defer(made(node, 0)?, x.dtype(), strided)?);
    }
    Ok(b.move_strided(strided)?)
}

/// DepthToSpace and SpaceToDepth: a split of dimensions, an order, a merge; in the layout that the input has.
pub fn plan_depth_space(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
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
    relocate(
        &mut b.steps,
        node.name.clone(),
        node.op.name(),
        x.buffer,
        y.buffer,
        relocation,
        vec![0; x.dtype().size()],
    );
    Ok(())
}

/// Concat: each input copied to its place, in the layout that the first spatial input has.
pub fn plan_concat(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
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
    let rows = b.steps.chunk(y.tensor.bytes() / row, row as f64 * 0.1, 1);
    let reads: Vec<BufferId> = pieces.iter().map(|p| p.0).collect();
    b.steps.of_node(node, "copy").run_each(reads, y.buffer, move |run, index, x, y| {
        let (_, start, bytes) = pieces[index];
        run.pool.slices(y, rows * row, |i, y| {
            copy_runs(&x[i * rows * bytes..], bytes, &mut y[start..], row, bytes);
        });
    });
    Ok(())
}
