//! QConv and Conv over one or two spatial axes; Conv over more, and ConvTranspose.

mod depthwise;
mod double;
mod float;
mod integer;
mod phases;
mod shallow;

use crate::error::Error;
use crate::ops::geometry::Geometry;
use crate::ops::{error, needed};
use crate::plan::builder::Builder;
use crate::program::{DType, Node, Op, Tensor};

/// Plans a convolution.
pub fn plan(b: &mut Builder<'_>, index: usize) -> Result<(), Error> {
    let node = &b.program.nodes[index];
    match node.op {
        Op::QConv => integer::plan(b, node),
        Op::ConvTranspose => phases::plan(b, node),
        _ if b.tensor(needed(node, 0)?)?.dtype == DType::F64 => double::plan(b, node),
        _ if b.tensor(needed(node, 0)?)?.shape.len() > 4 => phases::plan(b, node),
        _ => float::plan(b, node),
    }
}

/// A convolution's geometry, groups and weights.
struct Convolution {
    geometry: Geometry,
    groups: usize,
    /// `[outputs, channels of a group, kernel...]`
    weights: Tensor,
    outputs: usize,
    /// Channels of a group.
    kc: usize,
}

impl Convolution {
    fn new(b: &Builder<'_>, node: &Node) -> Result<Convolution, Error> {
        let shape = b.tensor(needed(node, 0)?)?.shape;
        let weights = b.known_input(node, 1)?;
        let groups = node.attributes.size("group")?;
        let &[outputs, kc, ref kernel @ ..] = weights.shape() else {
            return Err(error(node, &format!("weights of shape {:?}", weights.shape())));
        };
        let geometry = Geometry::new(node, &shape, kernel)?;
        if groups == 0 || kc.checked_mul(groups) != Some(geometry.channels) || outputs % groups != 0 {
            return Err(error(
                node,
                &format!(
                    "{} channels of the input do not fit {groups} groups of weights of shape {:?}",
                    geometry.channels,
                    weights.shape()
                ),
            ));
        }
        Ok(Convolution { geometry, groups, weights, outputs, kc })
    }

    /// One channel in, one out, each with a window of its own.
    fn is_depthwise(&self) -> bool {
        self.groups == self.geometry.channels && self.outputs == self.groups && self.groups > 1
    }

    fn taps(&self) -> usize {
        self.geometry.kernel[0] * self.geometry.kernel[1]
    }

    /// The multiply-accumulates, at most what the number holds.
    fn macs(&self) -> u64 {
        let g = &self.geometry;
        let factors = [g.images, g.pixels(), self.outputs, self.taps(), self.kc];
        factors.into_iter().fold(1, |all, factor| all.saturating_mul(factor as u64))
    }

    /// The weights of a group in the order that products take, `[outputs][taps][kc]`.
    fn of_group<T: Copy>(&self, weights: &[T], group: usize) -> Vec<T> {
        let per_output = self.taps() * self.kc;
        let columns = self.outputs / self.groups;
        let mut ordered = Vec::with_capacity(columns * per_output);
        for filter in
            weights[group * columns * per_output..][..columns * per_output].chunks_exact(per_output.max(1))
        {
            for tap in 0..self.taps() {
                ordered.extend((0..self.kc).map(|c| filter[c * self.taps() + tap]));
            }
        }
        ordered
    }
}
