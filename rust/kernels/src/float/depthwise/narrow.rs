//! Few channels: a row's pixels lie side by side in a register, each with all of its channels.
//!
//! The rows that a row of outputs sees are copied with their padding, the pixels that a step of the window apart are side
//! by side, so that a tap of neighbouring outputs is neighbouring elements; the weights are repeated as the channels are.

use super::arguments::Arguments;

/// Elements computed at once.
const LANES: usize = 16;

/// Channels below which this is the better way.
pub(super) const CHANNELS: usize = 8;

/// The rows of the input that a row of outputs sees, as many lines each as the window has steps, from +0.
struct Lines {
    elements: Vec<f32>,
    /// Elements of a line.
    length: usize,
}

impl Lines {
    fn new(a: &Arguments<'_>) -> Lines {
        let window = a.window;
        let reach = (window.kernel[1] - 1) * window.dilation[1] / window.stride[1];
        let length = (window.output[1] + reach) * window.channels + LANES;
        Lines { elements: vec![0.0; length * window.stride[1] * window.kernel[0]], length }
    }

    /// Copies what a row of outputs sees. What lies in the padding is +0 for every row, or else for this one.
    #[inline(always)]
    fn fill(&mut self, a: &Arguments<'_>, y: usize) {
        let window = a.window;
        let (c, steps) = (window.channels, window.stride[1]);
        let inside = window.taps_inside(0, y);
        for (row, lines) in self.elements.chunks_exact_mut(self.length * steps).enumerate() {
            if !inside.contains(&row) {
                lines.fill(0.0);
                continue;
            }
            let first =
                (y * window.stride[0] + row * window.dilation[0] - window.pad[0]) * window.input[1] * c;
            let x = &a.x[first..][..window.input[1] * c];
            for (phase, line) in lines.chunks_exact_mut(self.length).enumerate() {
                let pixels = line[..self.length - LANES].chunks_exact_mut(c);
                // The first pixel of the line that is in the image, and which one of the image it is.
                let skipped = window.pad[1].saturating_sub(phase).div_ceil(steps);
                let from = (skipped * steps + phase - window.pad[1]) * c;
                let Some(x) = x.get(from..).filter(|_| skipped < pixels.len()) else { continue };
                if steps == 1 {
                    let length = x.len().min(self.length - LANES - skipped * c);
                    line[skipped * c..][..length].copy_from_slice(&x[..length]);
                } else {
                    let from = x.chunks_exact(c).step_by(steps);
                    pixels.skip(skipped).zip(from).for_each(|(to, from)| to.copy_from_slice(from));
                }
            }
        }
    }
}

/// Rows [channels], each again and again, as far as a register and the channels begin together.
fn repeated(rows: &[f32], channels: usize) -> Vec<[f32; LANES]> {
    let row = |row: &[f32]| (0..channels * LANES).map(|at| row[at % channels]).collect::<Vec<_>>();
    rows.chunks_exact(channels).flat_map(row).collect::<Vec<_>>().as_chunks().0.to_vec()
}

#[inline(always)]
pub(super) fn kernel(a: &Arguments<'_>, out: &mut [f32]) {
    let window = a.window;
    let (c, width, taps) = (window.channels, window.output[1], window.kernel);
    if c == 0 || width == 0 {
        return;
    }
    let (mut lines, weights) = (Lines::new(a), repeated(a.weights, c));
    let bias = a.bias.map(|bias| repeated(bias, c));
    for (line, y) in a.rows.clone().enumerate() {
        lines.fill(a, y);
        let start = line * width * c;
        for (block, out) in out[start..][..width * c].chunks_mut(LANES).enumerate() {
            let mut sums = [0.0; LANES];
            for i in 0..taps[0] {
                for j in 0..taps[1] {
                    let (phase, shift) = (
                        j * window.dilation[1] % window.stride[1],
                        j * window.dilation[1] / window.stride[1],
                    );
                    let at = (i * window.stride[1] + phase) * lines.length + shift * c + block * LANES;
                    let x: &[f32; LANES] =
                        lines.elements[at..].first_chunk().expect("a line has room behind it");
                    let w = &weights[(i * taps[1] + j) * c + block % c];
                    for lane in 0..LANES {
                        sums[lane] = x[lane].mul_add(w[lane], sums[lane]);
                    }
                }
            }
            if let Some(bias) = &bias {
                for lane in 0..LANES {
                    sums[lane] += bias[block % c][lane];
                }
            }
            if let Some(residual) = a.residual {
                let first = start + block * LANES;
                sums.iter_mut().zip(&residual[first..]).take(out.len()).for_each(|(sum, r)| *sum += r);
            }
            out.iter_mut().zip(sums).for_each(|(y, sum)| *y = a.clamp.apply(sum));
        }
    }
}
