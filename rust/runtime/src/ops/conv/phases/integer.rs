//! Phases in integers: the sums of (4a), each phase with the correction for the zero point of its own taps.

use std::ops::Range;
use std::sync::Arc;

use octavo_exec::{Arena, cast_mut};
use octavo_kernels::depthwise::{self, Depthwise, Floats, Window};
use octavo_kernels::float::epilogue::Clamp;
use octavo_kernels::gemm::{self, Columns, OffsetTable, Rows};
use octavo_kernels::requantize::Requantize;
use octavo_kernels::table::Kernels;

use super::depthwise::SlideWindows;
use super::geometry::{Convolution, Phases};
use super::steps::{Multiply, Step, push};
use crate::ops::fusion;
use crate::ops::node::{made, needed};
use crate::ops::product::{Beside, Epilogue, epilogue};
use crate::ops::weights::zero_point_correction;
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::program::{DType, Node, magnitudes_by_output};

/// The rows and the weights of a phase.
struct Weights {
    taps: usize,
    table: OffsetTable,
    /// One a group.
    packed: Vec<Arc<Arena>>,
    /// What the sums of each column begin with.
    bias: Vec<i32>,
}

/// What the products need beside the image.
struct Integers {
    phases: Vec<Weights>,
    /// Input channels of a group.
    kc: usize,
    /// Columns of a group, those of all pixels of a row.
    columns: usize,
    /// A tap in the padding.
    pad: Vec<u8>,
    epilogue: Epilogue,
}

/// Plans a QConvTranspose.
pub fn plan(b: &mut Builder<'_>, node: &Node, conv: &Convolution) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::ChannelsLast)?;
    let zero_point = node.attributes.int32("x_zero_point")?;
    let weights = conv.weights.i8s()?;
    // No sum of a phase is larger than one of all taps can be; but its correction is that of its own taps.
    let magnitudes = magnitudes_by_output(weights, conv.outputs);
    let mut epilogue = epilogue(b, node, vec![0; conv.outputs], &magnitudes)?;
    let (mut output, mut names) = (made(node, 0)?, node.name.clone());
    if let Epilogue::U8 { table, .. } = &mut epilogue
        && let Some(found) = fusion::table_after(b, output)?
    {
        *table = Some(found.entries);
        (output, names) = (found.output, format!("{names} + {}", found.name));
    }
    let y = b.output(output, conv.output_shape(), Layout::ChannelsLast)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let mut phases = conv.phases(node)?;
    if y.dtype() != DType::I16
        && let Some(windows) = conv.windows(&phases)
    {
        let bias = epilogue.repeated(1);
        let what = Requantized { epilogue, bias, names };
        return plan_depthwise(b, node, conv, &phases, windows, what, x.buffer, &y);
    }
    let bias = epilogue.repeated(phases.together);
    let form = conv.form(&phases, ["", "transposed", "transposed together"]);
    let (kc, columns) = (conv.kc(), conv.columns() * phases.together);
    let parts = conv.groups * phases.together;
    let mut list = Vec::with_capacity(phases.list.len());
    for phase in &mut phases.list {
        // A phase of no taps has one that sees nothing, for a product has some.
        let taps = phase.taps.max(1);
        let mut found = Weights { taps, table: phase.table(1), packed: Vec::new(), bias: bias.clone() };
        for group in 0..conv.groups {
            let mut of_group = conv.of_phase(weights, group, phase);
            of_group.resize(columns * taps * kc, 0);
            let corrections = zero_point_correction(&of_group, columns, &[zero_point]);
            let sums = &mut found.bias[group * columns..][..columns];
            sums.iter_mut().zip(corrections).for_each(|(sum, by)| *sum = sum.wrapping_add(by));
            let part = phase.number.wrapping_mul(conv.groups).wrapping_add(group);
            let key = Key { weight: needed(node, 1)?.0, form, part, parts };
            let kernels = b.steps.kernels;
            found.packed.push(b.packing.get(key, gemm::packed_len(kernels, columns, taps, kc), |out| {
                gemm::pack(kernels, &of_group, columns, taps, kc, out);
            })?);
        }
        list.push(found);
    }
    let (across, taps) = (phases.list[0].across, list[0].taps);
    let step = Step {
        names,
        op: node.op.name(),
        kernel: gemm::select(&b.steps.kernels.row().gemm, across, columns, taps * kc).name,
        nanoseconds: b.steps.costs.mac,
        elements: [1, epilogue.element()],
        with_slack: true,
    };
    let pad = vec![zero_point as u8; kc.next_multiple_of(gemm::GROUP)];
    let x = b.with_slack(&x);
    push(b, step, conv, phases, Integers { phases: list, kc, columns, pad, epilogue }, x, &y);
    Ok(())
}

/// What becomes of the sums of a depthwise one, and the names of the nodes that its step does.
struct Requantized {
    epilogue: Epilogue,
    bias: Vec<i32>,
    names: String,
}

/// The window and the weights of a phase of one filter a channel.
struct Filters {
    window: Window,
    packed: Arc<Arena>,
    bias: Vec<i32>,
}

/// What the windows need beside the image.
struct Sliding {
    phases: Vec<Filters>,
    x_zero_point: u8,
    epilogue: Epilogue,
}

fn plan_depthwise(
    b: &mut Builder<'_>,
    node: &Node,
    conv: &Convolution,
    phases: &Phases,
    windows: Vec<Window>,
    what: Requantized,
    x: BufferId,
    y: &Placed,
) -> Result<(), Stop> {
    let (weights, channels) = (conv.weights.i8s()?, conv.channels);
    let Requantized { epilogue, bias, names } = what;
    let zero_point = node.attributes.int32("x_zero_point")?;
    let entries = &b.steps.kernels.row().depthwise;
    let to_bytes = epilogue.element() == 1;
    let tile = |window: &Window| {
        if to_bytes {
            let tile = entries.to_bytes.select(window);
            (tile.entry.name, tile.packing)
        } else {
            let tile = entries.to_floats.select(window);
            (tile.entry.name, tile.packing)
        }
    };
    let kernel = tile(&windows[0]).0;
    let mut list = Vec::with_capacity(windows.len());
    for (phase, window) in phases.list.iter().zip(windows) {
        let of_phase = conv.of_channels(weights, phase);
        let corrections = zero_point_correction(&of_phase, channels, &[zero_point]);
        let bias = bias.iter().zip(&corrections).map(|(&b, &c)| b.wrapping_add(c)).collect();
        let (_, packing) = tile(&window);
        // A QConv by the same weights packs them in one part.
        let key = Key { weight: needed(node, 1)?.0, form: packing.name(), part: phase.number, parts: 2 };
        let packed = b.packing.get(key, packing.packed_len(channels, window.kernel), |out| {
            packing.pack(&of_phase, channels, window.kernel, out);
        })?;
        list.push(Filters { window, packed, bias });
    }
    let step = Step {
        names,
        op: node.op.name(),
        kernel,
        nanoseconds: b.steps.costs.depthwise_mac,
        elements: [1, epilogue.element()],
        with_slack: false,
    };
    let sliding = Sliding { phases: list, x_zero_point: zero_point as u8, epilogue };
    super::depthwise::push(b, step, conv, phases, sliding, x, y);
    Ok(())
}

impl SlideWindows for Sliding {
    fn lines(&self, kernels: Kernels, x: &[u8], phase: usize, lines: Range<usize>, y: &mut [u8]) {
        let Filters { window, packed, bias } = &self.phases[phase];
        let (packed, x_zero_point) = (packed.bytes(), self.x_zero_point);
        match self.epilogue {
            Epilogue::U8 { reach, ref multiplier, ref shift, zero_point, lo, hi, .. } => {
                let epilogue = Requantize { bias, reach, multiplier, shift, zero_point, lo, hi };
                let d = Depthwise { window: *window, packed, epilogue, x_zero_point };
                depthwise::run(kernels, x, &d, lines, y);
            }
            Epilogue::F32 { x_scale, ref scale, bias: ref reals, .. } => {
                let epilogue = Floats {
                    acc_bias: bias,
                    x_scale,
                    scale,
                    bias: reals,
                    lo: Clamp::NONE.lo,
                    hi: Clamp::NONE.hi,
                };
                let d = Depthwise { window: *window, packed, epilogue, x_zero_point };
                depthwise::run_to_floats(kernels, x, &d, lines, cast_mut(y));
            }
            Epilogue::I16 { .. } | Epilogue::F32ByRow { .. } => unreachable!("it is planned otherwise"),
        }
    }

    fn finish(&self, kernels: Kernels, y: &mut [u8]) {
        self.epilogue.look_up(kernels, y);
    }
}

impl Multiply for Integers {
    fn rows(
        &self,
        kernels: Kernels,
        x: &[u8],
        phase: usize,
        rows: Range<usize>,
        y: &mut [u8],
        stride: usize,
    ) {
        let Weights { taps, table, packed, bias } = &self.phases[phase];
        let element = self.epilogue.element();
        for (group, packed) in packed.iter().enumerate() {
            let left = Rows::Indirect {
                // An image of no pixels has no channels to begin at: all is padding.
                data: x.get(group * self.kc..).unwrap_or_default(),
                offsets: table.rows(rows.clone()),
                pad: &self.pad,
            };
            let range = group * self.columns..(group + 1) * self.columns;
            let columns = Columns { packed: packed.bytes(), n: self.columns, taps: *taps, kc: self.kc };
            let y = &mut y[range.start * element..];
            let out = self.epilogue.out(&bias[range.clone()], range, Beside::NOTHING, stride, y);
            gemm::run(kernels, rows.len(), &left, &columns, out);
        }
    }

    fn finish(&self, kernels: Kernels, y: &mut [u8]) {
        self.epilogue.look_up(kernels, y);
    }
}
