//! QConv: 1x1 in place, depthwise by its own kernel, shallow inputs row by row, the rest through offsets.

use octavo_kernels::gemm::{self, OffsetTable, PAD};

use super::convolution::Convolution;
use super::depthwise;
use super::shallow::PaddedImage;
use crate::ops::node::{error, needed};
use crate::ops::product::{Group, Product, Source, epilogue, push_rows, settle, zero_point_correction};
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::program::Node;

/// Plans a QConv.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let conv = Convolution::new(b, node)?;
    let x = b.input_as(needed(node, 0)?, Layout::ChannelsLast)?;
    if conv.is_depthwise() {
        return depthwise::plan(b, node, &conv, &x);
    }
    plan_product(b, node, &conv, &x)
}

fn plan_product(b: &mut Builder<'_>, node: &Node, conv: &Convolution, x: &Placed) -> Result<(), Stop> {
    let g = &conv.geometry;
    let weights = conv.weights.i8s()?;
    let zero_points = zero_points(node, conv.kc)?;
    let pixel: Vec<u8> = zero_points.iter().map(|&zero| zero as u8).collect();
    let mut epilogue = epilogue(b, node, zero_point_correction(&weights, conv.outputs, &zero_points))?;
    let shape = g.output_shape(conv.outputs);

    let is_shallow = conv.is_shallow();
    let form = if is_shallow { "shallow" } else { "product" };
    let (taps, kc) =
        if is_shallow { (g.kernel[0], g.kernel[1] * g.channels) } else { (conv.taps(), conv.kc) };
    let group_columns = conv.outputs / conv.groups;
    let mut groups = Vec::with_capacity(conv.groups);
    for group in 0..conv.groups {
        let key = Key { weight: needed(node, 1)?.0, form, part: group, parts: conv.groups };
        let kernels = b.steps.kernels;
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
        padded_rows(b, node, conv, x, pixel)?
    } else if g.is_pointwise() {
        (b.with_slack(x), Source::Dense { stride: g.channels })
    } else {
        let too_large = || error(node, "the image is too large");
        let offsets = g.offsets(g.channels, PAD).ok_or_else(too_large)?;
        let table = OffsetTable::new(offsets, taps);
        let pad = padding(&pixel, kc.next_multiple_of(4));
        (b.with_slack(x), Source::Indirect { table, pad, image: g.input[0] * g.input[1] * g.channels })
    };
    let product = Product { source, groups, group_columns, columns: conv.outputs, taps, kc, epilogue };
    push_rows(b, name, "QConv", product, conv.macs(), xb, residual, &y);
    Ok(())
}

/// The zero points of the input: one, or one a channel.
fn zero_points(node: &Node, channels: usize) -> Result<Vec<i32>, Stop> {
    if !node.attributes.has("x_zero_points") {
        return Ok(vec![node.attributes.int32("x_zero_point")?]);
    }
    let found = node.attributes.ints("x_zero_points")?;
    if found.len() != channels {
        return Err(error(node, &format!("{} zero points for {channels} channels", found.len())));
    }
    found
        .iter()
        .map(|&zero| i32::try_from(zero).map_err(|_| error(node, "a zero point is too large")))
        .collect()
}

/// So many bytes of padding, of one pixel again and again: a byte for all channels, or one each.
fn padding(pixel: &[u8], bytes: usize) -> Vec<u8> {
    pixel.iter().copied().cycle().take(bytes).collect()
}

/// A shallow input in images with their padding, where every row of the window lies in one piece.
fn padded_rows(
    b: &mut Builder<'_>,
    node: &Node,
    conv: &Convolution,
    x: &Placed,
    pixel: Vec<u8>,
) -> Result<(BufferId, Source), Stop> {
    let g = &conv.geometry;
    let mut padded = PaddedImage::new(node, conv)?;
    let bytes = padded.image.checked_mul(g.images).ok_or_else(|| error(node, "the image is too large"))?;
    let table = OffsetTable::new(std::mem::take(&mut padded.offsets), g.kernel[0]);
    let pad = padding(&pixel, (g.kernel[1] * g.channels).next_multiple_of(4));
    let source = Source::Indirect { table, pad, image: padded.image };
    let (from, to) = (x.buffer, b.steps.temporary(bytes));
    let (rows, line_in) = (g.input[0], g.input[1] * g.channels);
    b.steps.step(node.name.clone(), "Pad", "copy").run([from], [to], move |_, [x], [y]| {
        padded.fill(&pixel, 0, y, |image, row, line| {
            line.copy_from_slice(&x[(image * rows + row) * line_in..][..line.len()]);
        });
    });
    Ok((to, source))
}
