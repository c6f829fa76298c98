//! The geometry of convolutions and pools: attributes and shapes become numbers of one or two spatial axes.

use octavo_kernels::geometry::Window;

use crate::ops::node::error;
use crate::ops::spatial::WindowAxis;
use crate::plan::builder::Stop;
use crate::program::Node;

/// Most offsets in a plan: a GiB of them. Padding, of which a few bytes can ask for any amount, counts as well.
pub const MOST_OFFSETS: usize = 1 << 28;

/// A sliding window over images; one spatial axis is a height of 1. Pairs are (vertical, horizontal).
#[derive(Clone, Debug)]
pub struct Geometry {
    /// Images in the batch.
    pub images: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Taps.
    pub kernel: [usize; 2],
    /// Steps.
    pub stride: [usize; 2],
    /// Distances between taps.
    pub dilation: [usize; 2],
    /// Padding before the first row and column.
    pub pad: [usize; 2],
    /// Padding after the last row and column, as the node states it.
    pub pad_end: [usize; 2],
    /// Spatial axes of the tensor: 1 or 2.
    pub axes: usize,
}

impl Geometry {
    /// From a node's attributes, the input's shape (N, C, spatial...) and the kernel's spatial shape.
    pub fn new(node: &Node, shape: &[usize], kernel: &[usize]) -> Result<Geometry, Stop> {
        let axes = kernel.len();
        let one = WindowAxis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, pad: 0, pad_end: 0 };
        let [vertical, horizontal] = match WindowAxis::of_node(node, shape, kernel)?[..] {
            [x] => [one, x],
            [y, x] => [y, x],
            _ => return Err(error(node, "1 or 2 spatial axes can run")),
        };
        let pair = |of: fn(&WindowAxis) -> usize| [of(&vertical), of(&horizontal)];
        Ok(Geometry {
            images: shape[0],
            channels: shape[1],
            input: pair(|axis| axis.input),
            output: pair(|axis| axis.output),
            kernel: pair(|axis| axis.kernel),
            stride: pair(|axis| axis.stride),
            dilation: pair(|axis| axis.dilation),
            pad: pair(|axis| axis.pad),
            pad_end: pair(|axis| axis.pad_end),
            axes,
        })
    }

    /// The output's shape with that many channels.
    pub fn output_shape(&self, channels: usize) -> Vec<usize> {
        [&[self.images, channels], &self.output[2 - self.axes..]].concat()
    }

    /// Output pixels of one image.
    pub fn pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// The window that pools and depthwise kernels take.
    pub fn window(&self) -> Window {
        Window {
            input: self.input,
            channels: self.channels,
            output: self.output,
            kernel: self.kernel,
            stride: self.stride,
            dilation: self.dilation,
            pad: self.pad,
        }
    }

    /// Whether each output pixel reads the input pixel of the same place, and no other.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1; 2] && self.stride == [1; 2] && self.pad == [0; 2] && self.pad_end == [0; 2]
    }

    /// For every output pixel and tap (kh, then kw) of an image of `pixel` units a pixel, where the tap lies;
    /// `outside` where it lies in the padding. `None` where an offset leaves 32 bits, or there are too many.
    pub fn offsets(&self, pixel: usize, outside: u32) -> Option<Vec<u32>> {
        let area = self.input[0].checked_mul(self.input[1])?.checked_mul(pixel)?;
        if area >= u32::MAX as usize {
            return None;
        }
        let mut offsets = Vec::with_capacity(self.count_offsets(self.kernel[0] * self.kernel[1])?);
        for oy in 0..self.output[0] {
            for ox in 0..self.output[1] {
                for ky in 0..self.kernel[0] {
                    let y = self.coordinate(0, oy, ky);
                    for kx in 0..self.kernel[1] {
                        let at = y.zip(self.coordinate(1, ox, kx));
                        offsets.push(at.map_or(outside, |(y, x)| ((y * self.input[1] + x) * pixel) as u32));
                    }
                }
            }
        }
        Some(offsets)
    }

    /// How many offsets there are with so many a pixel; `None` where a plan should not hold them.
    pub fn count_offsets(&self, each: usize) -> Option<usize> {
        self.pixels().checked_mul(each).filter(|&count| count <= MOST_OFFSETS)
    }

    /// The input coordinate of an output coordinate's tap, `None` in the padding.
    fn coordinate(&self, axis: usize, output: usize, tap: usize) -> Option<usize> {
        let at = (output * self.stride[axis] + tap * self.dilation[axis]).checked_sub(self.pad[axis])?;
        (at < self.input[axis]).then_some(at)
    }
}
