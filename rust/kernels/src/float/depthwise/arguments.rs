//! What a depthwise kernel reads.

use std::ops::Range;

use crate::float::epilogue::Clamp;
use crate::geometry::Window;

/// A checked convolution.
#[derive(Debug)]
pub struct Arguments<'a> {
    pub(super) x: &'a [f32],
    pub(super) weights: &'a [f32],
    pub(super) window: &'a Window,
    pub(super) bias: Option<&'a [f32]>,
    /// A tensor as long as the output.
    pub(super) residual: Option<&'a [f32]>,
    pub(super) clamp: Clamp,
    pub(super) rows: Range<usize>,
}
