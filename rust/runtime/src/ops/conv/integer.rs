//! QConv: 1x1 in place, depthwise by its own kernel, inputs of short pixels row by row, 3x3 through Winograd's transforms where that is
//! faster, the rest through offsets.

use octavo_kernels::gemm::{OffsetTable, PAD};

use super::convolution::Convolution;
use super::shallow::PaddedImage;
use super::{depthwise, int16, winograd};
use crate::ops::node::{error, made, needed};
use crate::ops::product::{
    Group, Product, Source, epilogue, epilogue_by_row, has_row_scales, push_rows, row_scales, settle,
};
use crate::ops::weights::{pack, zero_point_correction};
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::program::{DType, Node, magnitudes_by_output};

/// Plans a QConv.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let conv = Convolution::new(b, node)?;
    let x = b.input_as(needed(node, 0)?, Layout::ChannelsLast)?;
    if x.dtype() == DType::I16 {
        return int16::plan(b, node, &conv, &x);
    }
    let gives_int16 = b.program.value(made(node, 0)?).dtype == DType::I16;
    match (conv.is_depthwise(), gives_int16) {
        (true, true) => int16::plan_depthwise(b, node, &conv, &x),
        (true, false) => depthwise::plan(b, node, &conv, &x),
        (false, _) => plan_product(b, node, &conv, &x),
    }
}

fn plan_product(b: &mut Builder<'_>, node: &Node, conv: &Convolution, x: &Placed) -> Result<(), Stop> {
    let g = &conv.geometry;
    let weights = conv.weights.i8s()?;
    let (mut epilogue, zeros, scales) = if has_row_scales(node) {
        let sums = zero_point_correction(weights, conv.outputs, &[-1]);
        let [scales, zeros] = row_scales(b, node, &[g.images])?;
        (epilogue_by_row(b, node, sums, g.pixels())?, Zeros::OfImages(zeros), [Some(scales), Some(zeros)])
    } else {
        let zeros = zero_points(node, conv.kc)?;
        let epilogue = epilogue(
            b,
            node,
            zero_point_correction(weights, conv.outputs, &zeros),
            &magnitudes_by_output(weights, conv.outputs),
        )?;
        (epilogue, Zeros::Fixed(zeros.iter().map(|&zero| zero as u8).collect()), [None; 2])
    };
    if let Zeros::Fixed(zeros) = &zeros
        && winograd::suits(b, conv, weights)
    {
        return winograd::plan(b, node, conv, x, (weights, zeros), epilogue);
    }
    let shape = g.output_shape(conv.outputs);

    let is_narrow = conv.is_narrow();
    let form = if is_narrow { "shallow" } else { "product" };
    let (taps, kc) = if is_narrow { conv.taps_of_rows() } else { (conv.taps(), conv.kc) };
    let group_columns = conv.outputs / conv.groups;
    let mut groups = Vec::with_capacity(conv.groups);
    for group in 0..conv.groups {
        let key = Key { weight: needed(node, 1)?.0, form, part: group, parts: conv.groups };
        let packed =
            pack(b, key, [group_columns, taps, kc], |columns| conv.of_columns(weights, group, columns))?;
        groups.push(Group { packed, channel: group * conv.kc, column: group * group_columns });
    }
    let (y, residual, name) = settle(b, node, shape, Layout::ChannelsLast, &mut epilogue)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let (xb, source, pads) = if is_narrow {
        let (padded, source) = padded_rows(b, node, conv, x, &zeros)?;
        (padded, source, None)
    } else if g.is_pointwise() {
        (b.with_slack(x), Source::Dense { stride: g.channels }, None)
    } else {
        let too_large = || error(node, "the image is too large");
        let offsets = g.offsets(g.channels, PAD).ok_or_else(too_large)?;
        let table = OffsetTable::new(offsets, taps);
        let (pad, pads) = zeros.pads(b, node, g.images, kc.next_multiple_of(4));
        let image = g.input[0] * g.input[1] * g.channels;
        (b.with_slack(x), Source::Indirect { table, pad, image }, pads)
    };
    let product = Product { source, groups, group_columns, columns: conv.outputs, taps, kc, epilogue };
    let beside = [residual, scales[0], scales[1], pads];
    push_rows(b, name, "QConv", product, conv.macs(), xb, beside, &y);
    Ok(())
}

/// The zero points of the input, which are what padding holds.
enum Zeros {
    /// One for all channels, or one each.
    Fixed(Vec<u8>),
    /// One an image, which a run finds.
    OfImages(BufferId),
}

impl Zeros {
    /// So many bytes of padding: the same for all images, and where each has its own the buffer of these.
    fn pads(
        &self,
        b: &mut Builder<'_>,
        node: &Node,
        images: usize,
        bytes: usize,
    ) -> (Vec<u8>, Option<BufferId>) {
        match self {
            Zeros::Fixed(pixel) => (pixel.iter().copied().cycle().take(bytes).collect(), None),
            &Zeros::OfImages(zeros) => {
                let to = b.steps.temporary(images * bytes);
                b.steps.step(node.name.clone(), "Pad", "fill").run(
                    [zeros],
                    [to],
                    move |_, [zeros], [pads]| {
                        for (pad, &zero) in pads.chunks_exact_mut(bytes).zip(zeros) {
                            pad.fill(zero);
                        }
                    },
                );
                (vec![0; bytes], Some(to))
            }
        }
    }
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

/// An input of short pixels in images with their padding, where every row of the window lies in one piece.
fn padded_rows(
    b: &mut Builder<'_>,
    node: &Node,
    conv: &Convolution,
    x: &Placed,
    zeros: &Zeros,
) -> Result<(BufferId, Source), Stop> {
    let g = &conv.geometry;
    let mut padded = PaddedImage::new(node, conv)?;
    let bytes = padded.image.checked_mul(g.images).ok_or_else(|| error(node, "the image is too large"))?;
    let table = OffsetTable::new(std::mem::take(&mut padded.offsets), conv.taps_of_rows().0);
    // No tap lies outside of an image with its padding.
    let pad = vec![0; conv.taps_of_rows().1.next_multiple_of(4)];
    let source = Source::Indirect { table, pad, image: padded.image };
    let (from, to) = (x.buffer, b.steps.temporary(bytes));
    let (rows, line_in) = (g.input[0], g.input[1] * g.channels);
    let (pixel, of_images) = match zeros {
        Zeros::Fixed(pixel) => (pixel.clone(), None),
        Zeros::OfImages(zeros) => (Vec::new(), Some(*zeros)),
    };
    b.steps.step(node.name.clone(), "Pad", "copy").run_optional(
        [from],
        [of_images],
        [to],
        move |_, [x], [zeros], [y]| {
            let copy = |x: &[u8], row: usize, line: &mut [u8]| {
                line.copy_from_slice(&x[row * line_in..][..line.len()]);
            };
            let Some(zeros) = zeros else {
                return padded.fill(&pixel, 0, y, |image, row, line| copy(x, image * rows + row, line));
            };
            for (number, (y, &zero)) in y.chunks_exact_mut(padded.image).zip(zeros).enumerate() {
                padded.fill(&[zero], 0, y, |_, row, line| copy(x, number * rows + row, line));
            }
        },
    );
    Ok((to, source))
}
