//! What the kinds of convolution have in common.

use std::borrow::Cow;
use std::ops::Range;

use octavo_exec::{Pod, bytes_of, bytes_of_mut};

use crate::ops::geometry::Geometry;
use crate::ops::node::{error, needed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::transposition::transpose_bytes;
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
    pub fn of_group<'w, T: Pod>(&self, weights: &'w [T], group: usize) -> Cow<'w, [T]> {
        self.of_columns(weights, group, 0..self.outputs / self.groups)
    }

    /// The weights of some outputs of a group, in that order: as they are where there is one tap.
    pub fn of_columns<'w, T: Pod>(
        &self,
        weights: &'w [T],
        group: usize,
        columns: Range<usize>,
    ) -> Cow<'w, [T]> {
        let (taps, kc) = (self.taps(), self.kc);
        let first = group * (self.outputs / self.groups) + columns.start;
        let weights = &weights[first * taps * kc..][..columns.len() * taps * kc];
        if taps == 1 || kc == 1 || weights.is_empty() {
            return Cow::Borrowed(weights);
        }
        let mut ordered = weights.to_vec();
        for (filter, ordered) in weights.chunks_exact(taps * kc).zip(ordered.chunks_exact_mut(taps * kc)) {
            if size_of::<T>() == 1 {
                transpose_bytes(bytes_of(filter), taps, kc, taps, bytes_of_mut(ordered));
                continue;
            }
            for (tap, ordered) in ordered.chunks_exact_mut(kc).enumerate() {
                for (channel, to) in ordered.iter_mut().enumerate() {
                    *to = filter[channel * taps + tap];
                }
            }
        }
        Cow::Owned(ordered)
    }
}
