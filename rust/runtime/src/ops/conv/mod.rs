//! QConv and Conv over one or two spatial axes; Conv over more, ConvTranspose and QConvTranspose.

mod convolution;
mod depthwise;
mod double;
mod float;
mod int16;
mod integer;
mod phases;
mod shallow;
mod winograd;

use crate::ops::node::needed;
use crate::plan::builder::{Builder, Stop};
use crate::program::{DType, Op};

/// Plans a convolution.
pub fn plan(b: &mut Builder<'_>, index: usize) -> Result<(), Stop> {
    let node = &b.program.nodes[index];
    match node.op {
        Op::QConv => integer::plan(b, node),
        Op::ConvTranspose | Op::QConvTranspose => phases::plan(b, node),
        _ if b.tensor(needed(node, 0)?)?.dtype == DType::F64 => double::plan(b, node),
        _ if b.tensor(needed(node, 0)?)?.shape.len() > 4 => phases::plan(b, node),
        _ => float::plan(b, node),
    }
}
