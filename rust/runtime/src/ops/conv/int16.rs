//! QConv of int16: 1x1 in place, depthwise by its own kernel, the rest through offsets.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::int16::depthwise::{self, Depthwise};
use octavo_kernels::int16::product::{self, OffsetTable, PAD};
use octavo_kernels::int16::{Floats, Requantize};

use super::convolution::Convolution;
use crate::ops::int16::{Epilogue, NANOSECONDS_A_MAC, Product, output, push_rows, widened};
use crate::ops::node::{error, needed};
use crate::ops::product::{Group, Source};
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::program::{DType, Node};

/// Bytes of an element of the input.
const ELEMENT: usize = size_of::<i16>();

/// Plans the convolution.
pub fn plan(b: &mut Builder<'_>, node: &Node, conv: &Convolution, x: &Placed) -> Result<(), Stop> {
    if conv.is_depthwise() {
        return plan_depthwise(b, node, conv, x);
    }
    let g = &conv.geometry;
    let weights = conv.weights.i8s()?;
    let (taps, kc, group_columns) = (conv.taps(), conv.kc, conv.outputs / conv.groups);
    let (mut groups, mut together) = (Vec::with_capacity(conv.groups), usize::MAX);
    for group in 0..conv.groups {
        let of_group = conv.of_group(weights, group);
        together = together.min(product::together(&of_group, taps, kc));
        let key = Key { weight: needed(node, 1)?.0, form: "int16 product", part: group, parts: conv.groups };
        let packed = b.packing.get(key, product::packed_len(group_columns, taps, kc), |out| {
            product::pack(&of_group, group_columns, taps, kc, out);
        })?;
        groups.push(Group { packed, channel: group * kc, column: group * group_columns });
    }
    let epilogue = Epilogue::new(b, node, weights)?;
    let outputs = output(b, node, g.output_shape(conv.outputs), Layout::ChannelsLast)?;
    let y = &outputs.written;
    if y.elements() == 0 {
        return Ok(());
    }
    let source = if g.is_pointwise() {
        Source::Dense { stride: g.channels * ELEMENT }
    } else {
        let offsets =
            g.offsets(g.channels * ELEMENT, PAD).ok_or_else(|| error(node, "the image is too large"))?;
        let pad = vec![0; kc.next_multiple_of(product::PAIR) * ELEMENT];
        let image = g.input[0] * g.input[1] * g.channels * ELEMENT;
        Source::Indirect { table: OffsetTable::new(offsets, taps), pad, image }
    };
    let from = b.with_slack(x);
    let product =
        Product { source, groups, group_columns, columns: conv.outputs, taps, kc, together, epilogue };
    push_rows(b, node, product, conv.macs(), from, y);
    outputs.narrow(b, node)
}

/// Plans the convolution of one filter a channel, of int16 or of bytes.
pub fn plan_depthwise(b: &mut Builder<'_>, node: &Node, conv: &Convolution, x: &Placed) -> Result<(), Stop> {
    let x = match x.dtype() {
        DType::U8 => &widened(b, node, x, node.attributes.int32("x_zero_point")?),
        _ => x,
    };
    let (g, channels) = (&conv.geometry, conv.outputs);
    let weights = conv.weights.i8s()?;
    let is_long = depthwise::is_long(weights, channels);
    let key = Key { weight: needed(node, 1)?.0, form: "int16 depthwise", part: 0, parts: 1 };
    let packed = b.packing.get(key, weights.len() * ELEMENT, |out| {
        depthwise::pack(weights, channels, cast_mut(out));
    })?;
    let count = weights.len();
    let epilogue = Epilogue::new(b, node, weights)?;
    let outputs = output(b, node, g.output_shape(channels), Layout::ChannelsLast)?;
    let y = &outputs.written;
    if y.elements() == 0 {
        return Ok(());
    }
    let (window, element) = (g.window(), epilogue.element());
    let row = g.output[1] * channels * element;
    let (image_in, lines) = (g.input[0] * g.input[1] * channels, g.output[0]);
    let cost = (g.output[1] * channels * conv.taps()) as f64 * 4.0 * NANOSECONDS_A_MAC;
    let chunk = b.steps.chunk(lines * g.images, cost, 2);
    let entries = &b.steps.kernels.row().int16.depthwise;
    let kernel = if element == ELEMENT { entries.depthwise.name } else { entries.to_floats.name };
    let draft = b.steps.of_node(node, kernel).macs(conv.macs());
    draft.run([x.buffer], [y.buffer], move |run, [x], [y]| {
        let (kernels, pool, x) = (run.kernels, run.pool, cast::<i16>(x));
        let d = Depthwise { window, weights: &cast(packed.bytes())[..count], is_long };
        pool.slices(y, chunk * row, |i, mut y| {
            let mut line = i * chunk;
            while !y.is_empty() {
                let (image, first) = (line / lines, line % lines);
                let here = (y.len() / row).min(lines - first);
                let (now, later) = y.split_at_mut(here * row);
                let (x, rows) = (&x[image * image_in..][..image_in], first..first + here);
                match epilogue {
                    Epilogue::I16 { ref bias, ref reach, ref multiplier, ref shift, lo, hi } => {
                        let by = Requantize { bias, reach, multiplier, shift, lo, hi };
                        depthwise::run(kernels, x, &d, &by, rows, cast_mut(now));
                    }
                    Epilogue::F32 { x_scale, ref scale, ref bias } => {
                        let by = Floats { x_scale, scale, bias };
                        depthwise::run_to_floats(kernels, x, &d, &by, rows, cast_mut(now));
                    }
                }
                (line, y) = (line + here, later);
            }
        });
    });
    outputs.narrow(b, node)
}
