//! Inputs whose pixels are too short to be taps: copied into an image with its padding and the channels last, where each row
//! of a window lies in one piece.

use octavo_exec::Pod;

use super::convolution::Convolution;
use crate::ops::node::error;
use crate::plan::builder::Stop;
use crate::program::Node;

/// Most channels of an input that is always worth the copy.
const SHALLOW: usize = 4;
/// Most channels of one that is worth it for products of bytes with as few outputs, where finding a pixel takes about as long
/// as multiplying it.
const NARROW: usize = 32;

/// An image with its padding, as large as the windows reach.
pub struct PaddedImage {
    /// Elements of an image.
    pub image: usize,
    /// Elements of a line.
    pub line: usize,
    /// Where every row of the window of every output pixel begins.
    pub offsets: Vec<u32>,
    /// Lines of an image.
    height: usize,
    /// Lines, and elements of a line, before those of the input.
    pad: [usize; 2],
    /// Lines and pixels of an image of the input.
    input: [usize; 2],
    channels: usize,
}

impl Convolution {
    /// Whether an input of floats is better read through a [`PaddedImage`].
    pub fn is_shallow(&self) -> bool {
        self.has_rows() && self.kc <= SHALLOW
    }

    /// The same of bytes.
    pub fn is_narrow(&self) -> bool {
        self.has_rows() && self.kc <= if self.outputs <= NARROW { NARROW } else { SHALLOW }
    }

    /// Whether a row of a window is more than one pixel, and may lie in one piece.
    fn has_rows(&self) -> bool {
        let g = &self.geometry;
        self.groups == 1 && g.channels > 0 && g.kernel[1] > 1 && g.dilation[1] == 1
    }
}

impl PaddedImage {
    /// For a shallow convolution with an output.
    pub fn new(node: &Node, conv: &Convolution) -> Result<PaddedImage, Stop> {
        let g = &conv.geometry;
        let reach =
            |axis: usize| (g.output[axis] - 1) * g.stride[axis] + (g.kernel[axis] - 1) * g.dilation[axis] + 1;
        let too_large = || error(node, "the image is too large");
        let height = reach(0);
        let line = reach(1).checked_mul(g.channels).ok_or_else(too_large)?;
        let image = height.checked_mul(line).filter(|&n| n < u32::MAX as usize).ok_or_else(too_large)?;
        let mut offsets = Vec::with_capacity(g.count_offsets(g.kernel[0]).ok_or_else(too_large)?);
        for oy in 0..g.output[0] {
            for ox in 0..g.output[1] {
                for ky in 0..g.kernel[0] {
                    let y = oy * g.stride[0] + ky * g.dilation[0];
                    offsets.push((y * line + ox * g.stride[1] * g.channels) as u32);
                }
            }
        }
        let pad = [g.pad[0], (g.pad[1] * g.channels).min(line)];
        Ok(PaddedImage { image, line, offsets, height, pad, input: g.input, channels: g.channels })
    }

    /// Makes lines of the padded images, from line `first` on: `copy` is given the image and the row of the input that a
    /// line shows, and the part of the line that its first pixels fill. The padding is of one pixel again and again.
    pub fn fill<T: Pod>(
        &self,
        padding: &[T],
        first: usize,
        lines: &mut [T],
        copy: impl Fn(usize, usize, &mut [T]),
    ) {
        let [rows, pixels] = self.input;
        for (index, line) in lines.chunks_exact_mut(self.line).enumerate() {
            let (image, row) = ((first + index) / self.height, (first + index) % self.height);
            let Some(row) = row.checked_sub(self.pad[0]).filter(|&row| row < rows) else {
                fill_pixels(line, padding);
                continue;
            };
            let (left, rest) = line.split_at_mut(self.pad[1]);
            let (inside, right) = rest.split_at_mut(rest.len().min(pixels * self.channels));
            fill_pixels(left, padding);
            fill_pixels(right, padding);
            copy(image, row, inside);
        }
    }
}

/// Fills whole pixels, or a part of a line that begins with one.
fn fill_pixels<T: Pod>(line: &mut [T], pixel: &[T]) {
    if let [one] = pixel {
        return line.fill(*one);
    }
    for part in line.chunks_mut(pixel.len()) {
        part.copy_from_slice(&pixel[..part.len()]);
    }
}
