//! Phases in float: one chain of fused multiply-adds an output, the taps of its phase, then the group's channels.

use std::ops::Range;
use std::sync::Arc;

use octavo_exec::{Arena, cast, cast_mut};
use octavo_kernels::float::depthwise as kernel;
use octavo_kernels::float::gemm;
use octavo_kernels::geometry::Window;
use octavo_kernels::table::Kernels;

use super::depthwise::{self, SlideWindows};
use super::geometry::{Convolution, Phases};
use super::steps::{Multiply, Step, push};
use crate::ops::conv::float::NANOSECONDS_A_MAC;
use crate::ops::float_fusion::{self, Finish, FusedFloats};
use crate::ops::node::{check_vector, made, needed};
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::plan::transposition::transpose;
use crate::program::Node;

/// The rows and the weights of a phase.
struct Weights {
    taps: usize,
    offsets: Vec<u32>,
    /// One a group.
    packed: Vec<Arc<Arena>>,
}

/// What the products need beside the image.
struct Floats {
    phases: Vec<Weights>,
    /// Elements of an image of the input.
    image: usize,
    /// Input channels of a group.
    kc: usize,
    /// Columns of a group, those of all pixels of a row.
    columns: usize,
    finish: Finish,
}

/// Plans a ConvTranspose, or a Conv over any number of axes.
pub fn plan(b: &mut Builder<'_>, node: &Node, conv: &Convolution) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::ChannelsLast)?;
    let bias = match node.input(2) {
        Some(_) => {
            let bias = b.known_input(node, 2)?;
            check_vector(node, 2, bias.shape(), conv.outputs)?;
            Some(bias.f32s()?)
        }
        None => None,
    };
    let mut fused = float_fusion::activation_after(b, node, made(node, 0)?, bias);
    let y = b.output(fused.output, conv.output_shape(), Layout::ChannelsLast)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let mut phases = conv.phases(node)?;
    let weights = conv.weights.f32s()?;
    if let Some(windows) = conv.windows(&phases) {
        return plan_depthwise(b, node, conv, &phases, windows, x.buffer, &y, fused);
    }
    let (kc, columns) = (conv.kc(), conv.columns() * phases.together);
    let form = conv.form(&phases, ["float", "float transposed", "float transposed together"]);
    let mut list = Vec::with_capacity(phases.list.len());
    for phase in &mut phases.list {
        let mut packed = Vec::with_capacity(conv.groups);
        for group in 0..conv.groups {
            let part = phase.number.wrapping_mul(conv.groups).wrapping_add(group);
            let key = Key { weight: needed(node, 1)?.0, form, part, parts: conv.groups * phases.together };
            packed.push(b.packing.get(key, gemm::packed_len(columns, phase.taps, kc) * 4, |out| {
                gemm::pack(&conv.of_phase(&weights, group, phase), columns, phase.taps, kc, cast_mut(out));
            })?);
        }
        list.push(Weights { taps: phase.taps, offsets: std::mem::take(&mut phase.offsets), packed });
    }
    if let Some(bias) = &mut fused.finish.bias {
        *bias = bias.repeat(phases.together);
    }
    let rows = phases.list[0].across;
    let step = Step {
        names: fused.names,
        op: node.op.name(),
        kernel: gemm::select(&b.steps.kernels.row().float_gemm.floats, rows, columns).name,
        nanoseconds: NANOSECONDS_A_MAC,
        elements: [4; 2],
        with_slack: false,
    };
    let floats = Floats { phases: list, image: conv.image(), kc, columns, finish: fused.finish };
    push(b, step, conv, phases, floats, x.buffer, &y);
    Ok(())
}

/// The window and the weights of a phase of one filter a channel.
struct Filters {
    window: Window,
    /// `[taps][channels]`.
    by_tap: Arc<Arena>,
}

/// What the windows need beside the image.
struct Sliding {
    phases: Vec<Filters>,
    finish: Finish,
}

fn plan_depthwise(
    b: &mut Builder<'_>,
    node: &Node,
    conv: &Convolution,
    phases: &Phases,
    windows: Vec<Window>,
    x: BufferId,
    y: &Placed,
    fused: FusedFloats,
) -> Result<(), Stop> {
    let weights = conv.weights.f32s()?;
    let mut list = Vec::with_capacity(windows.len());
    for (phase, window) in phases.list.iter().zip(windows) {
        let (weight, form) = (needed(node, 1)?.0, "float transposed by tap");
        let key = Key { weight, form, part: phase.number, parts: 1 };
        let by_tap = b.packing.get(key, phase.taps * conv.channels * 4, |out| {
            transpose(
                &conv.of_channels(&weights, phase),
                phase.taps,
                conv.channels,
                phase.taps,
                cast_mut(out),
            );
        })?;
        list.push(Filters { window, by_tap });
    }
    let step = Step {
        names: fused.names,
        op: node.op.name(),
        kernel: b.steps.kernels.row().float.depthwise.depthwise.name,
        nanoseconds: 3.0 * NANOSECONDS_A_MAC,
        elements: [4; 2],
        with_slack: false,
    };
    depthwise::push(b, step, conv, phases, Sliding { phases: list, finish: fused.finish }, x, y);
    Ok(())
}

impl SlideWindows for Sliding {
    fn lines(&self, kernels: Kernels, x: &[u8], phase: usize, lines: Range<usize>, y: &mut [u8]) {
        let Filters { window, by_tap } = &self.phases[phase];
        let epilogue = self.finish.epilogue(0, window.channels, None, window.channels);
        let weights = &cast(by_tap.bytes())[..window.kernel[0] * window.kernel[1] * window.channels];
        kernel::run(kernels, cast(x), weights, window, &epilogue, lines, cast_mut(y));
    }

    fn finish(&self, _: Kernels, _: &mut [u8]) {}
}

impl Multiply for Floats {
    fn rows(
        &self,
        kernels: Kernels,
        x: &[u8],
        phase: usize,
        rows: Range<usize>,
        y: &mut [u8],
        stride: usize,
    ) {
        let (x, y) = (&cast::<f32>(x)[..self.image], cast_mut(y));
        let phase = &self.phases[phase];
        for (group, packed) in phase.packed.iter().enumerate() {
            let left = gemm::Rows::Indirect {
                // An image of no pixels has no channels to begin at: all is padding.
                data: x.get(group * self.kc..).unwrap_or_default(),
                offsets: &phase.offsets[rows.start * phase.taps..rows.end * phase.taps],
                taps: phase.taps,
            };
            let column = group * self.columns;
            let epilogue = self.finish.epilogue(column, self.columns, None, stride);
            let packed = cast(packed.bytes());
            let y = &mut y[column..];
            gemm::run(kernels, rows.len(), &left, packed, self.columns, self.kc, &epilogue, y, stride);
        }
    }

    fn finish(&self, _: Kernels, _: &mut [u8]) {}
}
