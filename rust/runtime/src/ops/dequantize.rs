//! Dequantize by tensors of scales: weights as they are stored, packed ones among them.

use octavo_exec::cast_mut;
use octavo_kernels::quantize::weights::{Width, dequantize_by_each, dequantize_by_one, unpack};

use crate::ops::node::{axis, error, made, needed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{Node, Tensor};

/// Elements that are unpacked at a time.
const AT_A_TIME: usize = 256;

/// Where the scale of an element stands.
#[derive(Clone, Copy)]
enum Scales {
    /// One for all.
    One,
    /// One an index of an axis: elements of one index that follow each other, and indices.
    Axis { inner: usize, length: usize },
    /// One for so many elements along an axis that is `length` long, for each place on the axes behind it.
    Block { inner: usize, length: usize, block: usize },
}

impl Scales {
    /// How many elements from `at` on have the same scale, or scales that follow each other, and the first of those.
    fn run(self, at: usize) -> (usize, usize) {
        match self {
            Scales::One => (usize::MAX, 0),
            Scales::Axis { inner, length } => (inner - at % inner, at / inner % length),
            Scales::Block { inner, length, block } => {
                let (row, column) = (at / inner, at % inner);
                let blocks = row / length * length.div_ceil(block) + row % length / block;
                (inner - column, blocks * inner + column)
            }
        }
    }
}

/// Plans a Dequantize whose scales and zero points are tensors.
pub fn plan_by_tensors(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let scale = b.known_input(node, 1)?;
    let zero_point = node.input(2).map(|_| b.known_input(node, 2)).transpose()?;
    let (scales, wanted) = (scales_of(node, x.shape())?, node.scales_shape(x.shape())?.unwrap_or_default());
    let of_scales = zero_point.iter().chain([&scale]).map(Tensor::shape);
    if let Some(found) = of_scales.into_iter().find(|&shape| *shape != *wanted) {
        return Err(error(node, &format!("its scales are of shape {found:?}, not {wanted:?}")));
    }
    let (scale, zero_point) = (scale.f32s()?, zero_point.map(|zeros| zeros.integers()).transpose()?);
    let dtype = x.dtype();
    let is_signed = dtype.integer_range().is_some_and(|(least, _)| least < 0);
    let width = Width { bits: dtype.bits(), is_signed };
    let y = b.output(made(node, 0)?, x.shape().to_vec(), Layout::RowMajor)?;
    let chunk = b.steps.chunk(y.elements(), 1.0, 64);
    b.steps.of_node(node, "dequantize").run([x.buffer], [y.buffer], move |run, [x], [y]| {
        run.pool.slices(cast_mut(y), chunk, |i, y| {
            dequantize(x, width, i * chunk, scales, &scale, zero_point.as_deref(), y);
        });
    });
    Ok(())
}

/// Where the scales stand for an input of this shape.
fn scales_of(node: &Node, shape: &[usize]) -> Result<Scales, Stop> {
    if !node.attributes.has("axis") {
        return Ok(Scales::One);
    }
    let axis = self::axis(node, node.attributes.int("axis")?, shape.len())?;
    let (inner, length) = (shape[axis + 1..].iter().product(), shape[axis]);
    if !node.attributes.has("block") {
        return Ok(Scales::Axis { inner, length });
    }
    Ok(Scales::Block { inner, length, block: node.attributes.size("block")? })
}

/// The elements from number `first` on, as many as `y` takes.
fn dequantize(
    x: &[u8],
    width: Width,
    first: usize,
    scales: Scales,
    scale: &[f32],
    zero_point: Option<&[i32]>,
    y: &mut [f32],
) {
    let (mut at, mut left) = (first, y);
    let mut q = [0; AT_A_TIME];
    while !left.is_empty() {
        let (run, from) = scales.run(at);
        let count = run.min(AT_A_TIME).min(left.len());
        let (now, rest) = left.split_at_mut(count);
        unpack(x, width, at, &mut q[..count]);
        if let Scales::Block { .. } = scales {
            let zeros = zero_point.map_or(&[0; AT_A_TIME][..count], |zeros| &zeros[from..][..count]);
            dequantize_by_each(&q[..count], &scale[from..][..count], zeros, now);
        } else {
            dequantize_by_one(&q[..count], scale[from], zero_point.map_or(0, |zeros| zeros[from]), now);
        }
        (at, left) = (at + count, rest);
    }
}
