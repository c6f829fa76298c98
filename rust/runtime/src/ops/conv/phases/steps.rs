//! The steps of a convolution by phases: the products, and what puts their rows in order where they are not in it yet.

use std::ops::Range;

use octavo_kernels::table::Kernels;

use super::geometry::{Convolution, Phases};
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::Builder;

/// Rows of a line of the output from which on they are written to their places: a product of fewer reads all of its
/// weights for too little.
const MANY_ACROSS: usize = 16;
/// Lines from which on threads share them out whole.
const MANY_LINES: usize = 16;

/// Multiplies rows by the weights of their phases.
pub trait Multiply: Send + Sync + 'static {
    /// Computes some rows of a phase of the image that `x` begins with, into rows of `y` that are `stride` elements apart.
    fn rows(&self, kernels: Kernels, x: &[u8], phase: usize, rows: Range<usize>, y: &mut [u8], stride: usize);

    /// What is done to all results behind the products.
    fn finish(&self, kernels: Kernels, y: &mut [u8]);
}

/// What a step is called, and what it costs.
pub struct Step {
    pub names: String,
    pub op: &'static str,
    /// The kernel's name.
    pub kernel: &'static str,
    /// Of one multiply-accumulate.
    pub nanoseconds: f64,
    /// Bytes of an element of the input and of the output.
    pub elements: [usize; 2],
    /// Whether what is multiplied is read with its slack.
    pub with_slack: bool,
}

/// Pushes the steps.
pub fn push(
    b: &mut Builder<'_>,
    step: Step,
    conv: &Convolution,
    phases: Phases,
    multiply: impl Multiply,
    x: BufferId,
    y: &Placed,
) {
    let is_alone = phases.list.len() == 1;
    let across = phases.list.iter().map(|phase| phase.across).min().unwrap_or(0);
    if !is_alone && (across >= MANY_ACROSS || phases.lines.len() == 1) {
        return push_lines(b, step, conv, phases, multiply, x, y);
    }
    let order = (!is_alone).then(|| phases.order());
    let row = phases.together * conv.outputs * step.elements[1];
    let (rows, names) = (phases.rows(), step.names.clone());
    let target = if is_alone { y.buffer } else { b.steps.temporary(y.tensor.bytes()) };
    push_rows(b, step, conv, phases, multiply, x, target);
    let Some(order) = order else { return };
    let chunk = b.steps.chunk(conv.images * rows, row as f64 * 0.1, 8);
    b.steps.step(names, "ConvTranspose", "interleave").run([target], [y.buffer], move |run, [x], [y]| {
        run.pool.slices(y, chunk * row, |i, y| {
            for (j, y) in y.chunks_exact_mut(row).enumerate() {
                let at = i * chunk + j;
                let source = at / rows * rows + order[at % rows];
                y.copy_from_slice(&x[source * row..][..row]);
            }
        });
    });
}

/// Pushes the products of all phases whose rows follow each other, phase after phase, image after image.
fn push_rows(
    b: &mut Builder<'_>,
    step: Step,
    conv: &Convolution,
    phases: Phases,
    multiply: impl Multiply,
    x: BufferId,
    y: BufferId,
) {
    let macs = conv.macs(&phases);
    let per_image = phases.rows();
    let chunk = b.steps.chunk(
        conv.images * per_image,
        macs as f64 / (conv.images * per_image) as f64 * step.nanoseconds,
        8,
    );
    let stride = phases.together * conv.outputs;
    let (row, image_in) = (stride * step.elements[1], conv.image() * step.elements[0]);
    run(b, &step, macs, x, y, move |kernels, pool, x, y| {
        pool.slices(y, chunk * row, |i, mut y| {
            let mut at = i * chunk;
            while !y.is_empty() {
                let (image, mut first) = (at / per_image, at % per_image);
                let x = x.get(image * image_in..).unwrap_or_default();
                for (number, phase) in phases.list.iter().enumerate() {
                    let m = phase.rows.saturating_sub(first).min(y.len() / row);
                    if m > 0 {
                        let (now, later) = y.split_at_mut(m * row);
                        multiply.rows(kernels, x, number, first..first + m, now, stride);
                        multiply.finish(kernels, now);
                        (at, y) = (at + m, later);
                    }
                    first = first.saturating_sub(phase.rows);
                }
            }
        });
    });
}

/// Pushes the products of all phases line by line of the output, each row written to its place.
fn push_lines(
    b: &mut Builder<'_>,
    step: Step,
    conv: &Convolution,
    phases: Phases,
    multiply: impl Multiply,
    x: BufferId,
    y: &Placed,
) {
    let macs = conv.macs(&phases);
    let Phases { list, together, lines, width, step: apart } = phases;
    let (pixel, outputs) = (conv.outputs * step.elements[1], conv.outputs);
    let image_in = conv.image() * step.elements[0];
    let pixels = conv.images * lines.len() * width;
    let multiple = if lines.len() >= MANY_LINES { width } else { MANY_ACROSS * apart };
    let chunk = b.steps.chunk(pixels, macs as f64 / pixels as f64 * step.nanoseconds, multiple);
    let of_line = apart.min(width) / together;
    run(b, &step, macs, x, y.buffer, move |kernels, pool, x, y| {
        pool.slices(y, chunk * pixel, |i, mut y| {
            let mut at = i * chunk;
            while !y.is_empty() {
                let (line, from) = (at / width, at % width);
                let here = (width - from).min(y.len() / pixel);
                let (now, later) = y.split_at_mut(here * pixel);
                let x = x.get(line / lines.len() * image_in..).unwrap_or_default();
                let (first, row) = lines[line % lines.len()];
                for number in first..first + of_line {
                    let phase = &list[number];
                    // How many of its positions lie before a pixel of the line.
                    let before = |pixel: usize| pixel.saturating_sub(phase.first).div_ceil(apart);
                    let (begin, end) = (before(from), before(from + here));
                    if begin < end {
                        let rows = row * phase.across + begin..row * phase.across + end;
                        let start = (phase.first + begin * apart - from) * pixel;
                        multiply.rows(kernels, x, number, rows, &mut now[start..], apart * outputs);
                    }
                }
                multiply.finish(kernels, now);
                (at, y) = (at + here, later);
            }
        });
    });
}

/// Gives the step its code.
fn run(
    b: &mut Builder<'_>,
    step: &Step,
    macs: u64,
    x: BufferId,
    y: BufferId,
    code: impl Fn(Kernels, &octavo_exec::Pool, &[u8], &mut [u8]) + Send + Sync + 'static,
) {
    let draft = b.steps.step(step.names.clone(), step.op, step.kernel).macs(macs);
    let draft = if step.with_slack { draft.with_slack() } else { draft };
    draft.run([x], [y], move |run, [x], [y]| code(run.kernels, run.pool, x, y));
}
