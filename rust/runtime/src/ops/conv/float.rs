//! Conv in float: one chain of fused multiply-adds an output, kh, kw, then the group's channels.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::{depthwise, gemm, interleave};

use super::convolution::Convolution;
use super::shallow::PaddedImage;
use crate::ops::float_fusion;
use crate::ops::float_fusion::FusedFloats;
use crate::ops::node::{check_vector, error, made, needed};
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::plan::transposition::transpose;
use crate::program::Node;

/// Nanoseconds of a float multiply-accumulate on one thread.
pub(super) const NANOSECONDS_A_MAC: f64 = 0.01;
/// Nanoseconds to copy an element to where a product reads it.
const NANOSECONDS_A_COPY: f64 = 0.3;

/// Plans a Conv.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let conv = Convolution::new(b, node)?;
    let bias = match node.input(2) {
        Some(_) => {
            let bias = b.known_input(node, 2)?;
            check_vector(node, 2, bias.shape(), conv.outputs)?;
            Some(bias.f32s()?)
        }
        None => None,
    };
    let shape = conv.geometry.output_shape(conv.outputs);
    let source = Source::new(b, node, &conv)?;
    let fused = float_fusion::after_product(b, node, made(node, 0)?, &shape, Layout::ChannelsLast, 1, bias)?;
    let y = b.output(fused.output, shape, Layout::ChannelsLast)?;
    match source {
        Source::Window(x) => plan_depthwise(b, node, &conv, x, &y, fused),
        Source::Rows(rows) => plan_product(b, node, &conv, rows, &y, fused),
    }
}

/// How a convolution reads its input.
enum Source {
    /// Depthwise: pixel by pixel.
    Window(BufferId),
    /// As rows of a product.
    Rows(Rows),
}

/// The rows of a product, one an output pixel.
struct Rows {
    from: BufferId,
    /// Where the taps of an image's rows begin; without them, row after row from the first element on.
    offsets: Option<Vec<u32>>,
    taps: usize,
    /// Elements of a tap.
    kc: usize,
    /// Elements of an image.
    image: usize,
}

impl Source {
    fn new(b: &mut Builder<'_>, node: &Node, conv: &Convolution) -> Result<Source, Stop> {
        let g = &conv.geometry;
        let value = needed(node, 0)?;
        if conv.is_shallow() && g.images * g.pixels() > 0 {
            return Ok(Source::Rows(shallow_rows(b, node, conv)?));
        }
        let from = b.input_as(value, Layout::ChannelsLast)?.buffer;
        if conv.is_depthwise() {
            return Ok(Source::Window(from));
        }
        let offsets = if g.is_pointwise() {
            None
        } else {
            let offsets = g.offsets(g.channels, u32::MAX);
            Some(offsets.ok_or_else(|| error(node, "the image is too large"))?)
        };
        let image = g.input[0] * g.input[1] * g.channels;
        Ok(Source::Rows(Rows { from, offsets, taps: conv.taps(), kc: conv.kc, image }))
    }
}

/// A shallow input in images with their padding.
fn shallow_rows(b: &mut Builder<'_>, node: &Node, conv: &Convolution) -> Result<Rows, Stop> {
    let g = &conv.geometry;
    let mut padded = PaddedImage::new(node, conv)?;
    let x = b.input(needed(node, 0)?)?;
    let is_planar = x.layout == Layout::RowMajor;
    let (image, line) = (padded.image, padded.line);
    let elements = image.checked_mul(g.images).filter(|&n| n < isize::MAX as usize / 4);
    let elements = elements.ok_or_else(|| error(node, "the image is too large"))?;
    let offsets = Some(std::mem::take(&mut padded.offsets));
    let (from, to) = (x.buffer, b.steps.temporary(elements * 4));
    let chunk = b.steps.chunk(elements / line, line as f64 * NANOSECONDS_A_COPY, 1);
    let ([height, width], channels) = (g.input, g.channels);
    let kernel = if is_planar { b.steps.kernels.row().float.interleave.interleave.name } else { "copy" };
    b.steps.step(node.name.clone(), "Pad", kernel).run([from], [to], move |run, [x], [y]| {
        let (kernels, pool) = (run.kernels, run.pool);
        let x = cast::<f32>(x);
        let row_of = |image: usize, row: usize, line: &mut [f32]| {
            if is_planar {
                let planes = &x[(image * channels * height + row) * width..];
                interleave::run(kernels, planes, height * width, channels, line);
            } else {
                let row = &x[(image * height + row) * width * channels..];
                line.copy_from_slice(&row[..line.len()]);
            }
        };
        pool.slices(cast_mut(y), chunk * line, |i, y| padded.fill(&[0.0], i * chunk, y, row_of));
    });
    let (taps, kc) = conv.taps_of_rows();
    Ok(Rows { from: to, offsets, taps, kc, image })
}

fn plan_depthwise(
    b: &mut Builder<'_>,
    node: &Node,
    conv: &Convolution,
    xb: BufferId,
    y: &Placed,
    fused: FusedFloats,
) -> Result<(), Stop> {
    if y.elements() == 0 {
        return Ok(());
    }
    let g = &conv.geometry;
    let (taps, channels) = (conv.taps(), conv.outputs);
    let weights = conv.weights.f32s()?;
    let key = Key { weight: needed(node, 1)?.0, form: "float by tap", part: 0, parts: 1 };
    let by_tap = b.packing.get(key, weights.len() * 4, |out| {
        transpose(&weights, taps, channels, taps, cast_mut(out));
    })?;
    let window = g.window();
    let (row, lines) = (g.output[1] * channels, g.output[0]);
    let image_in = g.input[0] * g.input[1] * channels;
    let chunk = b.steps.chunk(lines, row as f64 * taps as f64 * NANOSECONDS_A_MAC * 3.0, 1);
    let (yb, images) = (y.buffer, g.images);
    let (rb, adds) =
        (fused.residual.as_ref().map_or(xb, |residual| residual.buffer), fused.residual.is_some());
    let finish = fused.finish;
    let kernel = b.steps.kernels.row().float.depthwise.depthwise.name;
    b.steps.step(fused.names, "Conv", kernel).macs(conv.macs()).run(
        [xb, rb],
        [yb],
        move |run, [x, r], [y]| {
            let (kernels, pool) = (run.kernels, run.pool);
            let (x, r, y) = (cast::<f32>(x), cast::<f32>(r), cast_mut::<f32>(y));
            for image in 0..images {
                let x = &x[image * image_in..][..image_in];
                pool.slices(&mut y[image * lines * row..][..lines * row], chunk * row, |i, y| {
                    let rows = i * chunk..i * chunk + y.len() / row;
                    let residual = adds.then(|| &r[(image * lines + i * chunk) * row..]);
                    let epilogue = finish.epilogue(0, channels, residual, channels);
                    depthwise::run(kernels, x, cast(by_tap.bytes()), &window, &epilogue, rows, y);
                });
            }
        },
    );
    Ok(())
}

fn plan_product(
    b: &mut Builder<'_>,
    node: &Node,
    conv: &Convolution,
    source: Rows,
    y: &Placed,
    fused: FusedFloats,
) -> Result<(), Stop> {
    if y.elements() == 0 {
        return Ok(());
    }
    let g = &conv.geometry;
    let weights = conv.weights.f32s()?;
    let Rows { from, offsets, taps, kc, image: image_in } = source;
    let columns = conv.outputs / conv.groups;
    let mut packed = Vec::with_capacity(conv.groups);
    for group in 0..conv.groups {
        let key = Key { weight: needed(node, 1)?.0, form: "float", part: group, parts: conv.groups };
        packed.push(b.packing.get(key, gemm::packed_len(columns, taps, kc) * 4, |out| {
            gemm::pack(&conv.of_group(&weights, group), columns, taps, kc, cast_mut(out));
        })?);
    }
    let per_image = g.pixels();
    let (channels, outputs) = (g.channels, conv.outputs);
    let rows = g.images * per_image;
    let tile = gemm::select(&b.steps.kernels.row().float_gemm.floats, rows, columns);
    let chunk = b.steps.chunk_of_tiles(rows, conv.macs() as f64 / rows as f64 * NANOSECONDS_A_MAC, tile.rows);
    let yb = y.buffer;
    let (rb, adds) =
        (fused.residual.as_ref().map_or(from, |residual| residual.buffer), fused.residual.is_some());
    let finish = fused.finish;
    b.steps.step(fused.names, "Conv", tile.name).macs(conv.macs()).run(
        [from, rb],
        [yb],
        move |run, [x, r], [y]| {
            let (kernels, pool) = (run.kernels, run.pool);
            let (x, r) = (cast::<f32>(x), cast::<f32>(r));
            let product = |row: usize, y: &mut [f32]| {
                let m = y.len() / outputs;
                for (group, packed) in packed.iter().enumerate() {
                    let start = group * kc;
                    let rows = match &offsets {
                        None => gemm::Rows::Dense { data: &x[row * channels + start..], stride: channels },
                        Some(offsets) => gemm::Rows::Indirect {
                            // An image of no pixels has no channels to begin at: all is padding.
                            data: x.get(row / per_image * image_in + start..).unwrap_or_default(),
                            offsets: &offsets[row % per_image * taps..][..m * taps],
                            taps,
                        },
                    };
                    let column = group * columns;
                    let residual = adds.then(|| &r[row * outputs..]);
                    let epilogue = finish.epilogue(column, columns, residual, outputs);
                    let packed = cast(packed.bytes());
                    gemm::run(kernels, m, &rows, packed, columns, kc, &epilogue, &mut y[column..], outputs);
                }
            };
            pool.slices(cast_mut::<f32>(y), chunk * outputs, |i, mut y| {
                let mut row = i * chunk;
                while !y.is_empty() {
                    let here = y.len() / outputs;
                    let m = if offsets.is_none() { here } else { here.min(per_image - row % per_image) };
                    let (now, later) = y.split_at_mut(m * outputs);
                    product(row, now);
                    (row, y) = (row + m, later);
                }
            });
        },
    );
    Ok(())
}
