//! QSoftmax, Softmax and LogSoftmax along one axis.

use octavo_kernels::float::softmax::{self as float, Sum};
use octavo_kernels::softmax;

use crate::ops::node::{axis, error, made, needed, push_map};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{Node, Op};

/// Plans the op, in whatever layout its input has.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input(needed(node, 0)?)?;
    let rank = x.shape().len();
    let logical = axis(node, node.attributes.int("axis")?, rank)?;
    // A float sum over the last axis uses lanes, which want its elements beside each other.
    let sum = if logical + 1 == rank { Sum::Lanes } else { Sum::Chain };
    let x = match (node.op, sum) {
        (Op::Softmax | Op::LogSoftmax, Sum::Lanes) => b.input_as(needed(node, 0)?, Layout::RowMajor)?,
        _ => x,
    };
    let along = x.layout.axis(logical, rank);
    let y = b.output(made(node, 0)?, x.shape().to_vec(), x.layout)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let physical = x.physical();
    let (n, inner): (usize, usize) = (physical[along], physical[along + 1..].iter().product());
    let outer = y.elements() / (n * inner);
    let chunk = b.steps.chunk(outer, (n * inner) as f64 * 2.0, 1) * n * inner;
    if node.op == Op::QSoftmax {
        let table: [i32; 256] = b
            .known_input(node, 1)?
            .i32s()?
            .try_into()
            .map_err(|_| error(node, "the table must have 256 entries"))?;
        let kernel = b.steps.kernels.row().softmax.softmax.name;
        push_map(b, node, kernel, &x, &y, chunk, move |kernels, x: &[u8], y: &mut [u8]| {
            softmax::softmax(kernels, x, n, inner, &table, y);
        });
        return Ok(());
    }
    let is_log = node.op == Op::LogSoftmax;
    let kernel = b.steps.kernels.row().float.softmax.softmax.name;
    push_map(b, node, kernel, &x, &y, chunk, move |kernels, x: &[f32], y: &mut [f32]| {
        float::softmax(kernels, x, n, inner, sum, is_log, y);
    });
    Ok(())
}
