//! MaxUnpool: the elements that a MaxPool picked, back in their places among zeros.

use octavo_exec::{Pod, cast, cast_mut};

use crate::ops::node::{checked_elements, error, made, needed};
use crate::ops::numbers::with_size;
use crate::plan::builder::{Builder, Stop};
use crate::plan::faults::Faults;
use crate::plan::layout::Layout;
use crate::program::Node;

/// Plans MaxUnpool; a shape that an input states is known before the run.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let stated = match node.input(2) {
        Some(_) => Some(b.known_shape(node, 2)?),
        None => None,
    };
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let indices = b.input_as(needed(node, 1)?, Layout::RowMajor)?;
    if indices.shape() != x.shape() {
        let what = format!("indices of shape {:?} for elements of shape {:?}", indices.shape(), x.shape());
        return Err(error(node, &what));
    }
    let shape = output_shape(node, x.shape(), stated)?;
    checked_elements(node, x.shape(), &shape)?;
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    let (xb, ib, yb, size) = (x.buffer, indices.buffer, y.buffer, x.dtype().size());
    b.steps.of_node(node, "unpool").run([xb, ib], [yb], move |run, [x, indices], [y]| {
        let faults = run.faults;
        with_size!(size, T => place(cast::<T>(x), cast::<i64>(indices), cast_mut::<T>(y), faults));
    });
    Ok(())
}

/// The shape that is stated, else the least input of a pool that gives one of this shape.
fn output_shape(node: &Node, x: &[usize], stated: Option<Vec<usize>>) -> Result<Vec<usize>, Stop> {
    let kernel = node.attributes.ints("kernel_shape")?;
    let (strides, pads) = (node.attributes.ints("strides")?, node.attributes.ints("pads")?);
    let axes = kernel.len();
    if x.len() != axes + 2 {
        let what = format!(
            "a window {kernel:?} needs {axes} axes behind batch and channels; the input is of shape {x:?}"
        );
        return Err(error(node, &what));
    }
    if let Some(stated) = stated {
        return match stated.len() == x.len() && stated[..2] == x[..2] {
            true => Ok(stated),
            false => Err(error(node, &format!("shape {stated:?} for elements of shape {x:?}"))),
        };
    }
    let extent = |d: usize| {
        // In 128 bits, where nothing overflows.
        let [stride, kernel, pads] = [strides[d], kernel[d], pads[d] + pads[axes + d]].map(i128::from);
        usize::try_from((x[2 + d] as i128 - 1) * stride + kernel - pads).ok()
    };
    let extents: Option<Vec<usize>> = (0..axes).map(extent).collect();
    let extents = extents
        .ok_or_else(|| error(node, &format!("pads {pads:?} leave nothing of shape {x:?} unpooled")))?;
    Ok([&x[..2], &extents].concat())
}

/// Of elements with one place, the last stays.
fn place<T: Pod + Default>(x: &[T], indices: &[i64], y: &mut [T], faults: &Faults) {
    let is_outside = |&index: &i64| usize::try_from(index).map_or(true, |index| index >= y.len());
    if let Some(at) = indices.iter().position(is_outside) {
        let what =
            format!("index {} (element {at}) is outside the {} elements of its output", indices[at], y.len());
        return faults.report(what);
    }
    y.fill(T::default());
    for (&x, &index) in x.iter().zip(indices) {
        y[index as usize] = x;
    }
}
