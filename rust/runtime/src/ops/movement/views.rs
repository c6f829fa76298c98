//! Ops that give the same bytes another shape.

use crate::ops::node::{axes, error, made, needed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{MAX_RANK, Node};

fn view(b: &mut Builder<'_>, node: &Node, shape: Vec<usize>) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    Ok(b.alias(made(node, 0)?, &x, shape, Layout::RowMajor)?)
}

/// Identity: the same tensor in the same layout.
pub fn identity(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input(needed(node, 0)?)?;
    Ok(b.alias(made(node, 0)?, &x, x.shape().to_vec(), x.layout)?)
}

/// Reshape: 0 keeps a dimension (unless allowzero), one -1 takes what is left.
pub fn reshape(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let from = b.tensor(needed(node, 0)?)?.shape;
    let asked = b.known_ints(node, 1)?;
    let keeps_zero = node.attributes.int_or("allowzero", 0)? != 0;
    let mut shape = Vec::with_capacity(asked.len());
    let mut free = None;
    for (i, &n) in asked.iter().enumerate() {
        match n {
            -1 if free.is_none() => {
                free = Some(i);
                shape.push(1);
            }
            0 if !keeps_zero => match from.get(i) {
                Some(&n) => shape.push(n),
                None => return Err(error(node, &format!("0 at place {i}, the input is of shape {from:?}"))),
            },
            n => match usize::try_from(n) {
                Ok(n) => shape.push(n),
                Err(_) => return Err(error(node, &format!("the shape {asked:?} cannot be"))),
            },
        }
    }
    let elements: usize = from.iter().product();
    let given = shape.iter().try_fold(1usize, |all, &d| all.checked_mul(d));
    let fits = match (free, given) {
        (Some(at), Some(given)) if given > 0 && elements.is_multiple_of(given) => {
            shape[at] = elements / given;
            true
        }
        (None, Some(given)) => given == elements,
        _ => false,
    };
    if !fits {
        return Err(error(
            node,
            &format!("{elements} elements of shape {from:?} do not take the shape {asked:?}"),
        ));
    }
    view(b, node, shape)
}

/// Flatten to two dimensions.
pub fn flatten(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let from = b.tensor(needed(node, 0)?)?.shape;
    let rank = from.len() as i64;
    let at = node.attributes.int_or("axis", 1)?;
    if !(-rank..=rank).contains(&at) {
        return Err(error(node, &format!("axis {at} of {rank} dimensions")));
    }
    let at = if at < 0 { at + rank } else { at } as usize;
    let shape = vec![from[..at].iter().product(), from[at..].iter().product()];
    view(b, node, shape)
}

/// Squeeze: the axes named, or every dimension of 1.
pub fn squeeze(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let from = b.tensor(needed(node, 0)?)?.shape;
    let drop = match b.known_ints_opt(node, 1)? {
        Some(along) => axes(node, &along, from.len())?,
        None => (0..from.len()).filter(|&d| from[d] == 1).collect(),
    };
    if let Some(&bad) = drop.iter().find(|&&d| from[d] != 1) {
        return Err(error(node, &format!("axis {bad} of shape {from:?} is not 1")));
    }
    let shape = (0..from.len()).filter(|d| !drop.contains(d)).map(|d| from[d]).collect();
    view(b, node, shape)
}

/// Unsqueeze: dimensions of 1 at the axes of the output.
pub fn unsqueeze(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let from = b.tensor(needed(node, 0)?)?.shape;
    let new = b.known_ints(node, 1)?;
    let rank = from.len() + new.len();
    if rank > MAX_RANK {
        return Err(error(node, &format!("an output of {rank} dimensions")));
    }
    let mut new = axes(node, &new, rank)?;
    new.sort_unstable();
    let mut shape = from;
    for at in new {
        shape.insert(at, 1);
    }
    view(b, node, shape)
}
