//! The geometry of convolutions and pools: attributes and shapes become numbers of one or two spatial axes.

use octavo_kernels::geometry::Window;

use crate::error::Error;
use crate::ops::error;
use crate::program::Node;

/// Most offsets in a plan: a GiB of them. Padding, of which a few bytes can ask for any amount, counts as well.
const MOST_OFFSETS: usize = 1 << 28;

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
    pub fn new(node: &Node, shape: &[usize], kernel: &[usize]) -> Result<Geometry, Error> {
        let axes = kernel.len();
        if !(1..=2).contains(&axes) || shape.len() != axes + 2 {
            return Err(error(
                node,
                &format!("an input of shape {shape:?} and a window {kernel:?}: 1 or 2 spatial axes can run"),
            ));
        }
        let ones = vec![1; axes];
        let strides = sizes(node, "strides", &ones)?;
        let dilations = sizes(node, "dilations", &ones)?;
        if kernel.iter().chain(&strides).chain(&dilations).any(|&n| n == 0 || n > 1 << 30) {
            return Err(error(node, "window, strides and dilations must be from 1 to 2^30"));
        }
        let mut g = Geometry {
            images: shape[0],
            channels: shape[1],
            input: two(&shape[2..], 1),
            output: [1; 2],
            kernel: two(kernel, 1),
            stride: two(&strides, 1),
            dilation: two(&dilations, 1),
            pad: [0; 2],
            pad_end: [0; 2],
            axes,
        };
        g.resolve_pads(node)?;
        let ceil = node.attributes.int_or("ceil_mode", 0)? != 0;
        for axis in 0..2 {
            g.output[axis] = g.extent(axis, ceil);
        }
        Ok(g)
    }

    fn resolve_pads(&mut self, node: &Node) -> Result<(), Error> {
        let auto = node.attributes.str_or("auto_pad", "NOTSET")?;
        if auto == "VALID" {
            return Ok(());
        }
        if auto != "NOTSET" {
            for axis in 0..2 {
                let output = self.input[axis].div_ceil(self.stride[axis]);
                // An axis of nothing has no window, and so no padding.
                let reach =
                    output.checked_sub(1).map_or(0, |last| last * self.stride[axis] + self.span(axis));
                let total = reach.saturating_sub(self.input[axis]);
                let less = total / 2;
                self.pad[axis] = if auto == "SAME_LOWER" { total - less } else { less };
                self.pad_end[axis] = total - self.pad[axis];
            }
            return Ok(());
        }
        let pads = sizes(node, "pads", &vec![0; 2 * self.axes])?;
        if pads.len() != 2 * self.axes || pads.iter().any(|&p| p > 1 << 30) {
            return Err(error(node, &format!("pads {pads:?} for {} spatial axes", self.axes)));
        }
        self.pad = two(&pads[..self.axes], 0);
        self.pad_end = two(&pads[self.axes..], 0);
        Ok(())
    }

    /// Input elements that a window spans.
    fn span(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// The positions that the window takes: none where it is larger than the padded input.
    fn extent(&self, axis: usize, ceil: bool) -> usize {
        let padded = self.input[axis] + self.pad[axis] + self.pad_end[axis];
        let Some(free) = padded.checked_sub(self.span(axis)) else { return 0 };
        if !ceil {
            return free / self.stride[axis] + 1;
        }
        let extent = free.div_ceil(self.stride[axis]) + 1;
        // A window that would begin in the padding after the input is not taken (ONNX, since opset 19).
        let starts_outside = (extent - 1) * self.stride[axis] >= self.input[axis] + self.pad[axis];
        if starts_outside { extent - 1 } else { extent }
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

/// One or two numbers as two; a missing vertical one is `missing`.
fn two(values: &[usize], missing: usize) -> [usize; 2] {
    match *values {
        [x] => [missing, x],
        [y, x, ..] => [y, x],
        [] => [missing; 2],
    }
}

fn sizes(node: &Node, name: &str, default: &[usize]) -> Result<Vec<usize>, Error> {
    let values = if node.attributes.has(name) { node.attributes.sizes(name)? } else { default.to_vec() };
    if values.len() != default.len() {
        return Err(error(node, &format!("{name} {values:?}: {} numbers are needed", default.len())));
    }
    Ok(values)
}
