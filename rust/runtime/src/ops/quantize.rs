//! Quantize, Dequantize, Requantize: between floats and 8-bit integers, and between two scales.

use octavo_exec::cast;
use octavo_kernels::lookup;
use octavo_kernels::quantize::{self, RequantizeParams};

use crate::error::Error;
use crate::ops::dequantize;
use crate::ops::node::{made, needed, push_map};
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::{Layout, is_same_bytes};
use crate::program::{Node, Op, ValueId};

/// An error where a node computes on integers that the tier has no kernels for.
pub fn check_types(b: &Builder<'_>, node: &Node) -> Result<(), Stop> {
    let activations = match node.op {
        Op::Quantize => made(node, 0)?,
        Op::Dequantize if node.inputs.len() > 1 => return Ok(()),
        Op::Dequantize | Op::Requantize | Op::QConv | Op::QGemm => needed(node, 0)?,
        _ => return Ok(()),
    };
    let (found, row) = (b.program.value(activations).dtype.name(), b.steps.kernels.row());
    if found == row.gemm.types[0] {
        return Ok(());
    }
    let text = format!(
        "{}: its activations are of {found}; the kernels of {} are for {}",
        node.label(),
        row.isa,
        row.gemm.types[0]
    );
    Err(Stop::Failed(Error::model(text)))
}

/// Plans a Quantize; an image that a convolution reads next gets its channels last on the way.
pub fn plan_quantize(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input(needed(node, 0)?)?;
    let output = made(node, 0)?;
    let scale = node.attributes.f32("scale")?;
    let zero_point = node.attributes.int32("zero_point")?;
    let is_image =
        x.layout == Layout::RowMajor && !is_same_bytes(x.shape()) && wants_channels_last(b, output);
    if is_image {
        return plan_image(b, node, &x, output, scale, zero_point);
    }
    let y = b.output(output, x.shape().to_vec(), x.layout)?;
    let chunk = b.steps.chunk_elements(y.elements());
    let kernel = b.steps.kernels.row().quantize.quantize.name;
    push_map(b, node, kernel, &x, &y, chunk, move |kernels, x: &[f32], y: &mut [u8]| {
        quantize::quantize(kernels, x, scale, zero_point, y);
    });
    Ok(())
}

/// Whether a value goes into an op that reads channels last, directly or through ops that keep the layout.
fn wants_channels_last(b: &Builder<'_>, value: ValueId) -> bool {
    let mut values = vec![value];
    while let Some(value) = values.pop() {
        for &index in b.readers(value) {
            let reader = &b.program.nodes[index];
            match reader.op {
                Op::QConv | Op::MaxPool | Op::QAveragePool => return true,
                Op::Lookup | Op::Requantize | Op::Pad => values.extend(reader.outputs.iter().flatten()),
                _ => {}
            }
        }
    }
    false
}

fn plan_image(
    b: &mut Builder<'_>,
    node: &Node,
    x: &Placed,
    output: ValueId,
    scale: f32,
    zero_point: i32,
) -> Result<(), Stop> {
    let y = b.output(output, x.shape().to_vec(), Layout::ChannelsLast)?;
    let (images, channels) = (x.shape()[0], x.shape()[1]);
    let plane: usize = x.shape()[2..].iter().product();
    if y.elements() == 0 {
        return Ok(());
    }
    let chunk = b.steps.chunk(plane, channels as f64 * 0.2, 64);
    let kernel = b.steps.kernels.row().quantize.quantize_channels_last.name;
    let (xb, yb) = (x.buffer, y.buffer);
    let image = plane * channels;
    b.steps.step(node.name.clone(), "Quantize", kernel).run([xb], [yb], move |run, [x], [y]| {
        let (kernels, pool) = (run.kernels, run.pool);
        let x = cast::<f32>(x);
        for n in 0..images {
            let x = &x[n * image..][..image];
            pool.slices(&mut y[n * image..][..image], chunk * channels, |i, y| {
                let pixels = i * chunk..i * chunk + y.len() / channels;
                quantize::quantize_channels_last(kernels, x, channels, plane, pixels, scale, zero_point, y);
            });
        }
    });
    Ok(())
}

/// Plans a Dequantize by numbers, or by tensors of them.
pub fn plan_dequantize(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    if node.inputs.len() > 1 {
        return dequantize::plan_by_tensors(b, node);
    }
    let x = b.input(needed(node, 0)?)?;
    let scale = node.attributes.f32("scale")?;
    let zero_point = node.attributes.int32("zero_point")?;
    let y = b.output(made(node, 0)?, x.shape().to_vec(), x.layout)?;
    let chunk = b.steps.chunk_elements(y.elements());
    let kernel = b.steps.kernels.row().quantize.dequantize.name;
    push_map(b, node, kernel, &x, &y, chunk, move |kernels, x: &[u8], y: &mut [f32]| {
        quantize::dequantize(kernels, x, scale, zero_point, y);
    });
    Ok(())
}

/// Plans a Requantize.
pub fn plan_requantize(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input(needed(node, 0)?)?;
    let a = &node.attributes;
    let params = RequantizeParams {
        x_zero_point: a.int32("x_zero_point")?,
        y_zero_point: a.int32("y_zero_point")?,
        multiplier: a.int32("multiplier")?,
        shift: a.int32("shift")?.unsigned_abs(),
        lo: a.int32("lo")?,
        hi: a.int32("hi")?,
    };
    let y = b.output(made(node, 0)?, x.shape().to_vec(), x.layout)?;
    let chunk = b.steps.chunk_elements(y.elements());
    let kernel = b.steps.kernels.row().lookup.lookup.name;
    let table = quantize::requantize_table(&params);
    push_map(b, node, kernel, &x, &y, chunk, move |kernels, x: &[u8], y: &mut [u8]| {
        lookup::lookup(kernels, x, &table, y);
    });
    Ok(())
}
