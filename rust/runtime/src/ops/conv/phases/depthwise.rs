//! Phases of one filter a channel: each is a depthwise convolution of stride 1, whose pixels go to their places behind it.

use std::ops::Range;

use octavo_kernels::geometry::Window;
use octavo_kernels::table::Kernels;

use super::geometry::{Convolution, Phase, Phases, Slide};
use super::steps::Step;
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::Builder;

/// Lines of a phase that are made at a time, to be still in the caches when they are put to their places.
const LINES: usize = 8;

/// Slides the windows of phases over an image.
pub trait SlideWindows: Send + Sync + 'static {
    /// Makes some lines of a phase of an image `x`, one after the other.
    fn lines(&self, kernels: Kernels, x: &[u8], phase: usize, lines: Range<usize>, y: &mut [u8]);

    /// What is done to all results behind that.
    fn finish(&self, kernels: Kernels, y: &mut [u8]);
}

impl Convolution {
    /// The window of each phase, where every channel makes one of its own, and no phase lacks taps or begins within the input.
    pub fn windows(&self, phases: &Phases) -> Option<Vec<Window>> {
        let is_depthwise = self.groups == self.channels && self.outputs == self.groups && self.groups > 1;
        if !is_depthwise || self.axes.len() > 2 {
            return None;
        }
        phases.list.iter().map(|phase| self.window(phase)).collect()
    }

    fn window(&self, phase: &Phase) -> Option<Window> {
        let slides = &phase.slides;
        if slides.iter().any(|slide| slide.taps == 0 || slide.begin > 0) {
            return None;
        }
        let pair = |of: fn(&Slide) -> usize, above: usize| match &slides[..] {
            [across] => [above, of(across)],
            [down, across, ..] => [of(down), of(across)],
            [] => [above; 2],
        };
        let input = match self.axes[..] {
            [across] => [1, across.input],
            _ => [self.axes[0].input, self.axes[1].input],
        };
        Some(Window {
            input,
            channels: self.channels,
            output: pair(|slide| slide.count, 1),
            kernel: pair(|slide| slide.taps, 1),
            stride: [1; 2],
            dilation: pair(|slide| slide.apart, 1),
            pad: pair(|slide| slide.begin.unsigned_abs() as usize, 0),
        })
    }
}

/// Pushes the step.
pub fn push(
    b: &mut Builder<'_>,
    step: Step,
    conv: &Convolution,
    phases: &Phases,
    slide: impl SlideWindows,
    x: BufferId,
    y: &Placed,
) {
    let macs = conv.macs(phases);
    let pixel = conv.channels * step.elements[1];
    let image_in = conv.image() * step.elements[0];
    let (line, lines) = (phases.width * pixel, phases.lines.len());
    let (across, down) = (phases.step, conv.axes.first().map_or(1, |axis| axis.stride));
    let down = if conv.axes.len() == 2 { down } else { 1 };
    let block = LINES * down;
    let cost = macs as f64 / (conv.images * lines) as f64 * step.nanoseconds;
    let chunk = b.steps.chunk(conv.images * lines, cost, block);
    let widest = phases.list.iter().map(|phase| phase.across).max().unwrap_or(0);
    // A chunk has lines of its own; those of a phase stand here before they are put to their places.
    let each = LINES * widest * pixel;
    let held = b.steps.temporary((conv.images * lines).div_ceil(chunk) * each);
    let places: Vec<[usize; 4]> = phases
        .list
        .iter()
        .map(|phase| match phase.slides[..] {
            [ref one] => [0, 1, one.first, one.count],
            [ref above, ref one, ..] => [above.first, above.count, one.first, one.count],
            [] => [0; 4],
        })
        .collect();
    let draft = b.steps.step(step.names, step.op, step.kernel).macs(macs);
    draft.run([x], [y.buffer, held], move |run, [x], [y, held]| {
        let kernels = run.kernels;
        run.pool.pairs_of_slices((y, chunk * line), (held, each), |i, mut y, held| {
            let mut at = i * chunk;
            while !y.is_empty() {
                let (image, from) = (at / lines, at % lines);
                let here = block.min(lines - from).min(y.len() / line);
                let (now, later) = y.split_at_mut(here * line);
                let x = &x[image * image_in..][..image_in];
                for (number, &[top, count, left, width]) in places.iter().enumerate() {
                    let before = |line: usize| line.saturating_sub(top).div_ceil(down).min(count);
                    let rows = before(from)..before(from + here);
                    let made = &mut held[..rows.len() * width * pixel];
                    slide.lines(kernels, x, number, rows.clone(), made);
                    for (made, row) in made.chunks_exact(width * pixel).zip(rows) {
                        let to = &mut now[(top + row * down - from) * line..][..line];
                        let to = to[left * pixel..].chunks_mut(across * pixel);
                        for (pixel, to) in made.chunks_exact(pixel).zip(to) {
                            to[..pixel.len()].copy_from_slice(pixel);
                        }
                    }
                }
                slide.finish(kernels, now);
                (at, y) = (at + here, later);
            }
        });
    });
}
