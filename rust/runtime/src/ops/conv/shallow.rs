//! Inputs whose pixels are too short to be taps: copied into an image with its padding and the channels last, where each row
//! of a window lies in one piece if its pixels are neighbours.

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
/// How many times as large as the input its padding may make it, and the pixels that are too few to count.
const GROWTH: usize = 4;
const FEW: usize = 4096;

/// An image with its padding, as large as the windows reach.
pub struct PaddedImage {
    /// Elements of an image.
    pub image: usize,
    /// Elements of a line.
    pub line: usize,
    /// Where every tap of every output pixel begins.
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
        self.may_be_padded() && self.kc <= SHALLOW
    }

    /// The same of bytes.
    pub fn is_narrow(&self) -> bool {
        self.may_be_padded() && self.kc <= if self.outputs <= NARROW { NARROW } else { SHALLOW }
    }

    /// Whether a row of a window is more than one pixel, and the padding is not much more than the image.
    fn may_be_padded(&self) -> bool {
        let g = &self.geometry;
        let padded = self.reach(0).checked_mul(self.reach(1));
        let most = (GROWTH * g.input[0]).saturating_mul(g.input[1]).saturating_add(FEW);
        self.groups == 1 && g.channels > 0 && g.kernel[1] > 1 && padded.is_some_and(|pixels| pixels <= most)
    }

    /// Lines or pixels of a line that the windows reach.
    fn reach(&self, axis: usize) -> usize {
        let g = &self.geometry;
        g.output[axis].saturating_sub(1) * g.stride[axis] + (g.kernel[axis] - 1) * g.dilation[axis] + 1
    }

    /// Taps of a window in a [`PaddedImage`], and elements of a tap: whole rows, or pixels where they are not neighbours.
    pub fn taps_of_rows(&self) -> (usize, usize) {
        let g = &self.geometry;
        match g.dilation[1] {
            1 => (g.kernel[0], g.kernel[1] * g.channels),
            _ => (self.taps(), g.channels),
        }
    }
}

impl PaddedImage {
    /// For a shallow convolution with an output.
    pub fn new(node: &Node, conv: &Convolution) -> Result<PaddedImage, Stop> {
        let g = &conv.geometry;
        let too_large = || error(node, "the image is too large");
        let height = conv.reach(0);
        let line = conv.reach(1).checked_mul(g.channels).ok_or_else(too_large)?;
        let image = height.checked_mul(line).filter(|&n| n < u32::MAX as usize).ok_or_else(too_large)?;
        let (taps, _) = conv.taps_of_rows();
        let mut offsets = Vec::with_capacity(g.count_offsets(taps).ok_or_else(too_large)?);
        for oy in 0..g.output[0] {
            for ox in 0..g.output[1] {
                for ky in 0..g.kernel[0] {
                    let y = oy * g.stride[0] + ky * g.dilation[0];
                    for kx in 0..taps / g.kernel[0] {
                        let x = ox * g.stride[1] + kx * g.dilation[1];
                        offsets.push((y * line + x * g.channels) as u32);
                    }
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
