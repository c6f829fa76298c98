//! Windows that slide along spatial axes, one axis at a time: attributes and shapes become numbers.

use crate::ops::node::error;
use crate::plan::builder::Stop;
use crate::program::{Node, Op};

/// Strides, dilations, kernels and pads stay below, so that their sums are far from overflow.
const EXTENT_MAX: usize = 1 << 30;

/// A window's way along one spatial axis.
#[derive(Clone, Copy, Debug)]
pub struct WindowAxis {
    /// Elements of the input.
    pub input: usize,
    /// Elements of the output.
    pub output: usize,
    /// Taps.
    pub kernel: usize,
    /// The step from window to window; of a transposed convolution, from input element to input element.
    pub stride: usize,
    /// The distance between taps.
    pub dilation: usize,
    /// Padding before the first element.
    pub pad: usize,
    /// Padding after the last element, as the node states it.
    pub pad_end: usize,
}

impl WindowAxis {
    /// The axes of a node from its attributes, the input's shape (N, C, spatial...) and the kernel's spatial shape.
    pub fn of_node(node: &Node, shape: &[usize], kernel: &[usize]) -> Result<Vec<WindowAxis>, Stop> {
        let count = kernel.len();
        if count == 0 || shape.len() != count + 2 {
            let what = format!(
                "a window {kernel:?} needs as many spatial axes, behind batch and channels; the input is of shape {shape:?}"
            );
            return Err(error(node, &what));
        }
        let strides = sizes(node, "strides", count, 1)?;
        let dilations = sizes(node, "dilations", count, 1)?;
        if kernel.iter().chain(&strides).chain(&dilations).any(|&n| n == 0 || n > EXTENT_MAX) {
            return Err(error(node, "window, strides and dilations must be from 1 to 2^30"));
        }
        let pads = sizes(node, "pads", 2 * count, 0)?;
        let paddings = sizes(node, "output_padding", count, 0)?;
        if pads.iter().chain(&paddings).any(|&p| p > EXTENT_MAX) {
            return Err(error(node, &format!("pads {pads:?} of more than 2^30")));
        }
        let wanted = match node.attributes.has("output_shape") {
            true => Some(sizes(node, "output_shape", count, 0)?),
            false => None,
        };
        (0..count)
            .map(|i| {
                let axis = WindowAxis {
                    input: shape[2 + i],
                    output: 0,
                    kernel: kernel[i],
                    stride: strides[i],
                    dilation: dilations[i],
                    pad: pads[i],
                    pad_end: pads[count + i],
                };
                match node.op {
                    Op::ConvTranspose | Op::QConvTranspose => {
                        axis.transposed(node, paddings[i], wanted.as_ref().map(|wanted| wanted[i]))
                    }
                    _ => axis.sliding(node),
                }
            })
            .collect()
    }

    /// Settles padding and output of a window that slides over the input.
    fn sliding(mut self, node: &Node) -> Result<WindowAxis, Stop> {
        let auto = node.attributes.str_or("auto_pad", "NOTSET")?;
        if auto == "VALID" {
            (self.pad, self.pad_end) = (0, 0);
        } else if auto != "NOTSET" {
            let output = self.input.div_ceil(self.stride);
            // An axis of nothing has no window, and so no padding.
            let reach = output.checked_sub(1).map_or(0, |last| last * self.stride + self.span());
            self.share_padding(auto, reach.saturating_sub(self.input));
        }
        let ceil = node.attributes.int_or("ceil_mode", 0)? != 0;
        self.output = self.extent(ceil);
        Ok(self)
    }

    /// Settles padding and output of a transposed convolution: as if its input were a sliding window's output.
    fn transposed(mut self, node: &Node, padding: usize, wanted: Option<usize>) -> Result<WindowAxis, Stop> {
        let too_large = || error(node, &format!("an output of {} elements by a stride", self.input));
        let steps = self.input.saturating_sub(1).checked_mul(self.stride).ok_or_else(too_large)?;
        let whole = steps.checked_add(self.span() + padding).ok_or_else(too_large)?;
        let auto = node.attributes.str_or("auto_pad", "NOTSET")?;
        if auto != "NOTSET" {
            let output = wanted.or(self.input.checked_mul(self.stride)).ok_or_else(too_large)?;
            self.share_padding(auto, whole.saturating_sub(output));
            self.output = output;
            return Ok(self);
        }
        self.output = whole.checked_sub(self.pad + self.pad_end).ok_or_else(|| {
            error(node, &format!("pads {} and {} of an output of {whole}", self.pad, self.pad_end))
        })?;
        Ok(self)
    }

    /// Padding of that sum; SAME_UPPER puts an odd one to the end.
    fn share_padding(&mut self, auto: &str, total: usize) {
        let less = total / 2;
        self.pad = if auto == "SAME_UPPER" { less } else { total - less };
        self.pad_end = total - self.pad;
    }

    /// Input elements that a window spans.
    pub fn span(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// The positions that the window takes: none where it is larger than the padded input.
    fn extent(&self, ceil: bool) -> usize {
        let padded = self.input + self.pad + self.pad_end;
        let Some(free) = padded.checked_sub(self.span()) else { return 0 };
        if !ceil {
            return free / self.stride + 1;
        }
        let extent = free.div_ceil(self.stride) + 1;
        // A window that would begin in the padding after the input is not taken (ONNX, since opset 19).
        let starts_outside = (extent - 1) * self.stride >= self.input + self.pad;
        if starts_outside { extent - 1 } else { extent }
    }

    /// The input coordinate that a tap of a window sees, `None` in the padding.
    pub fn coordinate(&self, output: usize, tap: usize) -> Option<usize> {
        let at = (output * self.stride + tap * self.dilation).checked_sub(self.pad)?;
        (at < self.input).then_some(at)
    }

    /// The input coordinate from which a tap of a transposed convolution reaches the first output coordinate of its phase;
    /// less than 0 before the input.
    pub fn begin(&self, first: usize, tap: usize) -> i64 {
        let reach = (first + self.pad) as i64 - (tap * self.dilation) as i64;
        reach.div_euclid(self.stride as i64)
    }

    /// The input coordinate from which a tap of a transposed convolution reaches an output coordinate, one of its phase; `None`
    /// outside the input.
    pub fn source_of(&self, output: usize, tap: usize) -> Option<usize> {
        let at = (output + self.pad).checked_sub(tap * self.dilation)? / self.stride;
        (at < self.input).then_some(at)
    }
}

/// The lengths of the spatial axes of images [N, C, spatial...], of which there may be none.
pub fn lengths<'a>(node: &Node, shape: &'a [usize]) -> Result<&'a [usize], Stop> {
    shape.get(2..).ok_or_else(|| {
        error(node, &format!("an input of shape {shape:?} has no channels: it must be [N, C, ...]"))
    })
}

/// The coordinates of an index in an array of these extents.
pub fn coordinates(mut index: usize, extents: &[usize]) -> Vec<usize> {
    let mut at: Vec<usize> = extents
        .iter()
        .rev()
        .map(|&n| {
            let here = index % n.max(1);
            index /= n.max(1);
            here
        })
        .collect();
    at.reverse();
    at
}

/// A list of that many sizes, `default` each where the node has none.
fn sizes(node: &Node, name: &str, count: usize, default: usize) -> Result<Vec<usize>, Stop> {
    if !node.attributes.has(name) {
        return Ok(vec![default; count]);
    }
    let values = node.attributes.sizes(name)?;
    if values.len() != count {
        return Err(error(node, &format!("{name} {values:?}: {count} numbers are needed")));
    }
    Ok(values)
}
