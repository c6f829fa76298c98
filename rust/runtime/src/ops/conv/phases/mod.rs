//! Convolutions over any number of spatial axes by phases: ConvTranspose, QConvTranspose, and Conv over more axes than two.
//!
//! The output positions that are made by the same taps of the kernel are a phase. A Conv has one, a transposed convolution
//! one for each remainder of the positions by the stride. A phase is a matrix product whose rows are found through
//! offsets. Where a line of the output has many of its rows, they are written to their places, as far from each other as
//! the stride; where it has few, all rows of an image go through at once, and are put in the output's order behind that.

mod depthwise;
mod float;
mod geometry;
mod int16;
mod integer;
mod steps;

use geometry::Convolution;

use crate::ops::node::needed;
use crate::plan::builder::{Builder, Stop};
use crate::program::{DType, Node, Op};

/// Plans a convolution by phases.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let conv = Convolution::new(b, node)?;
    match (node.op, b.tensor(needed(node, 0)?)?.dtype) {
        (Op::QConvTranspose, DType::I16) => int16::plan(b, node, &conv),
        (Op::QConvTranspose, _) => integer::plan(b, node, &conv),
        _ => float::plan(b, node, &conv),
    }
}
