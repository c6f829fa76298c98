//! Phases in integers: the sums of (4a), each phase with the correction for the zero point of its own taps.

use std::ops::Range;
use std::sync::Arc;

use octavo_exec::Arena;
use octavo_kernels::gemm::{self, Columns, OffsetTable, PAD, Rows};
use octavo_kernels::table::Kernels;

use super::geometry::{Convolution, Phase};
use super::steps::{Multiply, Step, push};
use crate::ops::fusion;
use crate::ops::node::{made, needed};
use crate::ops::product::{Beside, Epilogue, NANOSECONDS_A_MAC, epilogue, zero_point_correction};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::program::Node;

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
    let mut epilogue = epilogue(b, node, vec![0; conv.outputs])?;
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
    let bias = epilogue.repeated(phases.together);
    let weights = conv.weights.i8s()?;
    let form = conv.form(&phases, ["", "transposed", "transposed together"]);
    let (kc, columns) = (conv.kc(), conv.columns() * phases.together);
    let parts = conv.groups * phases.together;
    let mut list = Vec::with_capacity(phases.list.len());
    for phase in &mut phases.list {
        // A phase of no taps has one that sees nothing, for a product has some.
        let taps = phase.taps.max(1);
        let mut found = Weights { taps, table: table(phase), packed: Vec::new(), bias: bias.clone() };
        for group in 0..conv.groups {
            let mut of_group = conv.of_phase(&weights, group, phase);
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
        nanoseconds: NANOSECONDS_A_MAC,
        elements: [1, epilogue.element()],
        with_slack: true,
    };
    let pad = vec![zero_point as u8; kc.next_multiple_of(gemm::GROUP)];
    let x = b.with_slack(&x);
    push(b, step, conv, phases, Integers { phases: list, kc, columns, pad, epilogue }, x, &y);
    Ok(())
}

/// Where the taps of a phase's rows lie.
fn table(phase: &mut Phase) -> OffsetTable {
    let offsets = std::mem::take(&mut phase.offsets);
    match phase.taps {
        0 => OffsetTable::new(vec![PAD; phase.rows], 1),
        taps => OffsetTable::new(offsets, taps),
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
