//! QConv: 1x1 in place, depthwise by its own kernel, shallow inputs row by row, the rest through offsets.

use octavo_kernels::depthwise::{self, Depthwise};
use octavo_kernels::gemm::{self, OffsetTable, PAD, Requantize};
use octavo_kernels::lookup;

use super::Convolution;
use super::shallow::PaddedImage;
use crate::error::Error;
use crate::ops::product::{
    Epilogue, Group, NANOSECONDS_A_MAC, Product, Source, epilogue, push_rows, settle, zero_point_correction,
};
use crate::ops::{error, made, needed};
use crate::plan::builder::{BufferId, Builder, Placed};
use crate::plan::fusion::{self, int32};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::program::Node;

/// Plans a QConv.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let conv = Convolution::new(b, node)?;
    let x = b.input_as(needed(node, 0)?, Layout::ChannelsLast)?;
    let is_u8 = node.inputs.len() == 5;
    if is_u8 && conv.is_depthwise() {
        return plan_depthwise(b, node, &conv, &x);
    }
    plan_product(b, node, &conv, &x, is_u8)
}

fn plan_depthwise(b: &mut Builder<'_>, node: &Node, conv: &Convolution, x: &Placed) -> Result<(), Error> {
    let g = &conv.geometry;
    let weights = conv.weights.i8s()?;
    let x_zero_point = node.attributes.int("x_zero_point")?;
    let correction = zero_point_correction(&weights, conv.outputs, int32(node, x_zero_point)?);
    let Epilogue::U8 { bias, multiplier, shift, zero_point, lo, hi, .. } = epilogue(b, node, correction)?
    else {
        return Err(error(node, "depthwise without requantization"));
    };
    let key = Key { weight: needed(node, 1)?.0, form: "depthwise", part: 0, parts: 1 };
    let (kernels, kernel) = (b.kernels, g.kernel);
    let channels = conv.outputs;
    let packed = b.packing.get(key, depthwise::packed_len(kernels, channels, kernel), |out| {
        depthwise::pack(kernels, &weights, channels, kernel, out);
    })?;
    // A Lookup may follow; an addition is a step of its own, for depthwise rows have no residual epilogue.
    let mut table = None;
    let (mut output, mut name) = (made(node, 0)?, node.name.clone());
    if let Some((index, lookup)) = b.only_reader(output)
        && lookup.op == crate::program::Op::Lookup
    {
        table = Some(fusion::table(b, lookup)?);
        b.absorb(index);
        output = made(lookup, 0)?;
        name = format!("{name} + {}", lookup.name);
    }
    let y = b.output(output, g.output_shape(channels), Layout::ChannelsLast)?;
    let window = g.window();
    let (row, image_in, lines) = (g.output[1] * channels, g.input[0] * g.input[1] * channels, g.output[0]);
    if y.elements() == 0 {
        return Ok(());
    }
    let tile = depthwise::select(kernels.row(), g.kernel, g.stride, g.dilation);
    let cost = row as f64 * conv.taps() as f64 * NANOSECONDS_A_MAC * 4.0;
    let chunk = b.chunk(lines * g.images, cost, 2);
    let (xb, yb) = (x.buffer, y.buffer);
    b.push(
        name,
        "QConv",
        tile.name,
        conv.macs(),
        &[xb],
        &[yb],
        Box::new(move |run| {
            let (kernels, pool) = (run.kernels, run.pool);
            let ([x], [y]) = run.get([xb], [yb]);
            let depthwise = Depthwise {
                window,
                packed: packed.bytes(),
                requantize: Requantize {
                    bias: &bias,
                    multiplier: &multiplier,
                    shift: &shift,
                    zero_point,
                    lo,
                    hi,
                },
                x_zero_point: x_zero_point as u8,
            };
            pool.slices(y, chunk * row, |i, mut y| {
                let mut line = i * chunk;
                while !y.is_empty() {
                    let (image, first) = (line / lines, line % lines);
                    let here = (y.len() / row).min(lines - first);
                    let (now, later) = y.split_at_mut(here * row);
                    let x = &x[image * image_in..][..image_in];
                    depthwise::run(kernels, x, &depthwise, first..first + here, now);
                    if let Some(table) = &table {
                        lookup::lookup_in_place(kernels, now, table);
                    }
                    (line, y) = (line + here, later);
                }
            });
        }),
    );
    Ok(())
}

fn plan_product(
    b: &mut Builder<'_>,
    node: &Node,
    conv: &Convolution,
    x: &Placed,
    is_u8: bool,
) -> Result<(), Error> {
    let g = &conv.geometry;
    let weights = conv.weights.i8s()?;
    let zero_point = int32(node, node.attributes.int("x_zero_point")?)?;
    let mut epilogue = epilogue(b, node, zero_point_correction(&weights, conv.outputs, zero_point))?;
    let shape = g.output_shape(conv.outputs);

    let is_shallow = conv.is_shallow();
    let form = if is_shallow { "shallow" } else { "product" };
    let (taps, kc) =
        if is_shallow { (g.kernel[0], g.kernel[1] * g.channels) } else { (conv.taps(), conv.kc) };
    let group_columns = conv.outputs / conv.groups;
    let mut groups = Vec::with_capacity(conv.groups);
    for group in 0..conv.groups {
        let key = Key { weight: needed(node, 1)?.0, form, part: group, parts: conv.groups };
        let kernels = b.kernels;
        let packed = b.packing.get(key, gemm::packed_len(kernels, group_columns, taps, kc), |out| {
            gemm::pack(kernels, &conv.of_group(&weights, group), group_columns, taps, kc, out);
        })?;
        groups.push(Group { packed, channel: group * conv.kc, column: group * group_columns });
    }
    let (y, residual, name) = settle(b, node, shape, Layout::ChannelsLast, &mut epilogue)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let (xb, source) = if is_shallow {
        padded_rows(b, node, conv, x, zero_point as u8)?
    } else if g.is_pointwise() {
        (b.with_slack(x), Source::Dense { stride: g.channels })
    } else {
        let too_large = || error(node, "the image is too large");
        let offsets = g.offsets(g.channels, PAD).ok_or_else(too_large)?;
        let table = OffsetTable::new(offsets, taps);
        let pad = vec![zero_point as u8; kc.next_multiple_of(4)];
        (b.with_slack(x), Source::Indirect { table, pad, image: g.input[0] * g.input[1] * g.channels })
    };
    let product = Product { source, groups, group_columns, columns: conv.outputs, taps, kc, epilogue };
    debug_assert_eq!(product.element() == 1, is_u8);
    push_rows(b, name, "QConv", product, conv.macs(), xb, residual, &y);
    Ok(())
}

/// A shallow input in images with their padding, where every row of the window lies in one piece.
fn padded_rows(
    b: &mut Builder<'_>,
    node: &Node,
    conv: &Convolution,
    x: &Placed,
    zero_point: u8,
) -> Result<(BufferId, Source), Error> {
    let g = &conv.geometry;
    let mut padded = PaddedImage::new(node, conv)?;
    let bytes = padded.image.checked_mul(g.images).ok_or_else(|| error(node, "the image is too large"))?;
    let table = OffsetTable::new(std::mem::take(&mut padded.offsets), g.kernel[0]);
    let pad = vec![zero_point; (g.kernel[1] * g.channels).next_multiple_of(4)];
    let source = Source::Indirect { table, pad, image: padded.image };
    let (from, to) = (x.buffer, b.temporary(bytes));
    let (rows, line_in) = (g.input[0], g.input[1] * g.channels);
    b.push(
        node.name.clone(),
        "Pad",
        "copy",
        0,
        &[from],
        &[to],
        Box::new(move |run| {
            let ([x], [y]) = run.get([from], [to]);
            padded.fill(zero_point, 0, y, |image, row, line| {
                line.copy_from_slice(&x[(image * rows + row) * line_in..][..line.len()]);
            });
        }),
    );
    Ok((to, source))
}
