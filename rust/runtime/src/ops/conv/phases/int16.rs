//! Phases in integers of 16 bits.

use std::ops::Range;
use std::sync::Arc;

use octavo_exec::Arena;
use octavo_kernels::int16::product::{self, Columns, OffsetTable, Rows};
use octavo_kernels::table::Kernels;

use super::geometry::Convolution;
use super::steps::{Multiply, Step, push};
use crate::ops::int16::{Epilogue, NANOSECONDS_A_MAC, output};
use crate::ops::node::{error, needed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::program::Node;

/// Bytes of an element of the input.
const ELEMENT: usize = size_of::<i16>();

/// The rows and the weights of a phase.
struct Weights {
    taps: usize,
    table: OffsetTable,
    /// One a group.
    packed: Vec<Arc<Arena>>,
    /// Pairs whose products are summed in 32 bits.
    together: usize,
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

/// Plans a QConvTranspose of int16.
pub fn plan(b: &mut Builder<'_>, node: &Node, conv: &Convolution) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::ChannelsLast)?;
    let weights = conv.weights.i8s()?;
    let epilogue = Epilogue::new(b, node, weights)?;
    let outputs = output(b, node, conv.output_shape(), Layout::ChannelsLast)?;
    let y = &outputs.written;
    if y.elements() == 0 {
        return Ok(());
    }
    if conv.image().checked_mul(ELEMENT).is_none_or(|bytes| bytes >= u32::MAX as usize) {
        return Err(error(node, "the image is too large"));
    }
    let mut phases = conv.phases(node)?;
    let epilogue = epilogue.repeated(phases.together);
    let form = conv.form(&phases, ["", "int16 transposed", "int16 transposed together"]);
    let (kc, columns) = (conv.kc(), conv.columns() * phases.together);
    let parts = conv.groups * phases.together;
    let mut list = Vec::with_capacity(phases.list.len());
    for phase in &mut phases.list {
        // A phase of no taps has one that sees nothing, for a product has some.
        let taps = phase.taps.max(1);
        let table = phase.table(ELEMENT as u32);
        let mut found = Weights { taps, table, packed: Vec::new(), together: usize::MAX };
        for group in 0..conv.groups {
            let mut of_group = conv.of_phase(weights, group, phase);
            of_group.resize(columns * taps * kc, 0);
            found.together = found.together.min(product::together(&of_group, taps, kc));
            let part = phase.number.wrapping_mul(conv.groups).wrapping_add(group);
            let key = Key { weight: needed(node, 1)?.0, form, part, parts };
            found.packed.push(b.packing.get(key, product::packed_len(columns, taps, kc), |out| {
                product::pack(&of_group, columns, taps, kc, out);
            })?);
        }
        list.push(found);
    }
    let step = Step {
        names: node.name.clone(),
        op: node.op.name(),
        kernel: b.steps.kernels.row().int16.product.product.name,
        nanoseconds: NANOSECONDS_A_MAC,
        elements: [ELEMENT, epilogue.element()],
        with_slack: true,
    };
    let pad = vec![0; kc.next_multiple_of(product::PAIR) * ELEMENT];
    let from = b.with_slack(&x);
    push(b, step, conv, phases, Integers { phases: list, kc, columns, pad, epilogue }, from, y);
    outputs.narrow(b, node)
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
        let &Weights { taps, ref table, ref packed, together } = &self.phases[phase];
        let &Integers { kc, columns: n, .. } = self;
        for (group, packed) in packed.iter().enumerate() {
            // An image of no pixels has no channels to begin at: all is padding.
            let data = x.get(group * kc * ELEMENT..).unwrap_or_default();
            let left = Rows::Indirect { data, offsets: table.rows(rows.clone()), pad: &self.pad };
            let columns = Columns { packed: packed.bytes(), n, taps, kc, together };
            let y = &mut y[group * n * self.epilogue.element()..];
            let out = self.epilogue.out(group * n..(group + 1) * n, stride, y);
            product::run(kernels, rows.len(), &left, &columns, out);
        }
    }

    fn finish(&self, _: Kernels, _: &mut [u8]) {}
}
