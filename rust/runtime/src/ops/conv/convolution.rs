//! What the kinds of convolution have in common.

use crate::ops::geometry::Geometry;
use crate::ops::node::{error, needed};
use crate::plan::builder::{Builder, Stop};
use crate::program::{Node, Tensor};

/// A convolution's geometry, groups and weights.
pub struct Convolution {
    pub geometry: Geometry,
    pub groups: usize,
    /// `[outputs, channels of a group, kernel...]`
    pub weights: Tensor,
    pub outputs: usize,
    /// Channels of a group.
    pub kc: usize,
}

impl Convolution {
    pub fn new(b: &Builder<'_>, node: &Node) -> Result<Convolution, Stop> {
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
    pub fn is_depthwise(&self) -> bool {
        self.groups == self.geometry.channels && self.outputs == self.groups && self.groups > 1
    }

    pub fn taps(&self) -> usize {
        self.geometry.kernel[0] * self.geometry.kernel[1]
    }

    /// The multiply-accumulates, at most what the number holds.
    pub fn macs(&self) -> u64 {
        let g = &self.geometry;
        let factors = [g.images, g.pixels(), self.outputs, self.taps(), self.kc];
        factors.into_iter().fold(1, |all, factor| all.saturating_mul(factor as u64))
    }

    /// The weights of a group in the order that products take, `[outputs][taps][kc]`.
    pub fn of_group<T: Copy>(&self, weights: &[T], group: usize) -> Vec<T> {
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
