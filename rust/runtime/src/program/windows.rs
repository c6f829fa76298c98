//! What windows ask of their nodes: strides, dilations, pads and groups of convolutions and pools.

use super::faults::{Checked, bad};
use super::{Node, Program};
use crate::error::Error;

/// Strides, pads, kernels and the like stay below 2^31, so that their sums are far from overflow.
const EXTENT_MAX: i64 = i32::MAX as i64;

pub(super) fn group(node: &Node, outputs: usize) -> Checked {
    let group = node.attributes.size("group")?;
    if outputs.is_multiple_of(group) {
        return Ok(());
    }
    Err(bad(node, format_args!("its {outputs} channels are not a multiple of its {group} groups")))
}

pub(super) fn conv(program: &Program, node: &Node) -> Checked {
    let Some(weights) = program.constant(node, 1) else {
        let axes = node.attributes.ints("strides")?.len();
        return window(node, &vec![1; axes]);
    };
    let shape = weights.shape();
    if shape.len() < 3 || shape.contains(&0) {
        return Err(bad(node, format_args!("its weights have the shape {shape:?}")));
    }
    let kernel = extents(node, &shape[2..])?;
    if node.attributes.ints_or("kernel_shape", &kernel)? != kernel {
        return Err(bad(node, format_args!("kernel_shape is not that of its weights, {kernel:?}")));
    }
    window(node, &kernel)?;
    group(node, shape[0])
}

pub(super) fn conv_transpose(program: &Program, node: &Node) -> Checked {
    let axes = node.attributes.ints("strides")?.len();
    match program.constant(node, 1) {
        None => transposed_window(node, &vec![1; axes]),
        Some(weights) => {
            let shape = weights.shape();
            if shape.len() != axes + 2 || shape.contains(&0) {
                return Err(bad(node, format_args!("its weights have the shape {shape:?}")));
            }
            let kernel = extents(node, &shape[2..])?;
            if node.attributes.ints_or("kernel_shape", &kernel)? != kernel {
                return Err(bad(node, format_args!("kernel_shape is not that of its weights, {kernel:?}")));
            }
            transposed_window(node, &kernel)?;
            group(node, shape[0])
        }
    }
}

/// The window of a transposed convolution, and what says how large its output is.
pub(super) fn transposed_window(node: &Node, kernel: &[i64]) -> Checked {
    window(node, kernel)?;
    for name in ["output_padding", "output_shape"] {
        let none = vec![0; kernel.len()];
        let list = node.attributes.ints_or(name, &none)?;
        if list.len() != kernel.len() || !list.iter().all(|n| (0..=EXTENT_MAX).contains(n)) {
            let what = format_args!("{name} is {list:?} for a kernel of {} axes", kernel.len());
            return Err(bad(node, what));
        }
    }
    if node.attributes.has("output_shape") && !node.attributes.has("auto_pad") {
        return Err(bad(node, "output_shape leaves the pads to auto_pad"));
    }
    Ok(())
}

pub(super) fn extents(node: &Node, shape: &[usize]) -> Result<Vec<i64>, Error> {
    let extents = shape.iter().map(|&n| i64::try_from(n)).collect::<Result<_, _>>();
    extents.map_err(|_| bad(node, "its kernel is too large"))
}

/// Strides, dilations and pads of a window of this kernel: as many as its axes, and not out of proportion.
pub(super) fn window(node: &Node, kernel: &[i64]) -> Checked {
    let attributes = &node.attributes;
    let automatic = attributes.has("auto_pad");
    if automatic == attributes.has("pads") {
        return Err(bad(node, "it must have either pads or auto_pad"));
    }
    let mut lists = vec![("strides", 1, 1), ("dilations", 1, 1)];
    if !automatic {
        lists.push(("pads", 2, 0));
    }
    for (name, each, least) in lists {
        let list = attributes.ints(name)?;
        if list.len() != each * kernel.len() || !list.iter().all(|n| (least..=EXTENT_MAX).contains(n)) {
            return Err(bad(node, format_args!("{name} is {list:?} for a kernel of {} axes", kernel.len())));
        }
    }
    let dilations = attributes.ints("dilations")?;
    let reach = |(&k, &d): (&i64, &i64)| (1..=EXTENT_MAX).contains(&k) && (k - 1) * d < EXTENT_MAX;
    if kernel.is_empty() || !kernel.iter().zip(dilations).all(reach) {
        return Err(bad(node, format_args!("its kernel is {kernel:?} with the dilations {dilations:?}")));
    }
    Ok(())
}

pub(super) fn pool(node: &Node) -> Checked {
    window(node, node.attributes.ints("kernel_shape")?)
}

pub(super) fn unpool(node: &Node) -> Checked {
    let axes = node.attributes.ints("kernel_shape")?.len();
    for (name, each) in [("strides", 1), ("pads", 2)] {
        let list = node.attributes.ints(name)?;
        if axes == 0 || list.len() != each * axes {
            return Err(bad(node, format_args!("{name} is {list:?} for a kernel of {axes} axes")));
        }
    }
    Ok(())
}
