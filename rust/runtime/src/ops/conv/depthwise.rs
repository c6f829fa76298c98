//! QConv of one filter a channel, by kernels of its own, to uint8 or float32.

use std::ops::Range;

use octavo_exec::cast_mut;
use octavo_kernels::depthwise::{self, Depthwise, Floats, Window};
use octavo_kernels::float::epilogue::Clamp;
use octavo_kernels::requantize::Requantize;
use octavo_kernels::table::Kernels;

use super::convolution::Convolution;
use crate::ops::node::{made, needed};
use crate::ops::product::{Epilogue, epilogue};
use crate::ops::weights::zero_point_correction;
use crate::ops::{float_fusion, fusion};
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::program::{Node, ValueId, magnitudes_by_output};

/// Plans the convolution.
pub fn plan(b: &mut Builder<'_>, node: &Node, conv: &Convolution, x: &Placed) -> Result<(), Stop> {
    let (g, channels) = (&conv.geometry, conv.outputs);
    let weights = conv.weights.i8s()?;
    let zero_point = node.attributes.int32("x_zero_point")?;
    let mut epilogue = epilogue(
        b,
        node,
        zero_point_correction(weights, channels, &[zero_point]),
        &magnitudes_by_output(weights, conv.outputs),
    )?;
    let (entries, window) = (&b.steps.kernels.row().depthwise, g.window());
    let (kernel, packing) = if epilogue.element() == 1 {
        let tile = entries.to_bytes.select(&window);
        (tile.entry.name, tile.packing)
    } else {
        let tile = entries.to_floats.select(&window);
        (tile.entry.name, tile.packing)
    };
    let key = Key { weight: needed(node, 1)?.0, form: packing.name(), part: 0, parts: 1 };
    let len = packing.packed_len(channels, g.kernel);
    let packed = b.packing.get(key, len, |out| packing.pack(weights, channels, g.kernel, out))?;
    let (output, name, clamp) = fuse(b, node, &mut epilogue)?;
    let y = b.output(output, g.output_shape(channels), Layout::ChannelsLast)?;
    let row = g.output[1] * channels * epilogue.element();
    let (image_in, lines) = (g.input[0] * g.input[1] * channels, g.output[0]);
    if y.elements() == 0 {
        return Ok(());
    }
    let cost = (g.output[1] * channels * conv.taps()) as f64 * b.steps.costs.depthwise_mac;
    let chunk = b.steps.chunk(lines * g.images, cost, 2);
    let (xb, yb) = (x.buffer, y.buffer);
    b.steps.step(name, "QConv", kernel).macs(conv.macs()).run([xb], [yb], move |run, [x], [y]| {
        let (kernels, pool) = (run.kernels, run.pool);
        pool.slices(y, chunk * row, |i, mut y| {
            let mut line = i * chunk;
            while !y.is_empty() {
                let (image, first) = (line / lines, line % lines);
                let here = (y.len() / row).min(lines - first);
                let (now, later) = y.split_at_mut(here * row);
                let x = &x[image * image_in..][..image_in];
                let of = Weights { window, packed: packed.bytes(), x_zero_point: zero_point as u8 };
                convolve(kernels, x, of, &epilogue, clamp, first..first + here, now);
                (line, y) = (line + here, later);
            }
        });
    });
    Ok(())
}

/// Fuses a Lookup of bytes that follows, or a clamp of floats; an addition is a step of its own, for depthwise rows have no
/// residual epilogue. Gives back what the step makes, its name, and the clamp.
fn fuse(b: &mut Builder<'_>, node: &Node, epilogue: &mut Epilogue) -> Result<(ValueId, String, Clamp), Stop> {
    let output = made(node, 0)?;
    let Epilogue::U8 { table, .. } = epilogue else {
        return Ok(float_fusion::clamp_after(b, node, output));
    };
    if let Some(found) = fusion::table_after(b, output)? {
        *table = Some(found.entries);
        return Ok((found.output, format!("{} + {}", node.name, found.name), Clamp::NONE));
    }
    Ok((output, node.name.clone(), Clamp::NONE))
}

/// What a kernel needs beside the image and the epilogue.
struct Weights<'a> {
    window: Window,
    packed: &'a [u8],
    x_zero_point: u8,
}

/// Some rows of an image's output.
fn convolve(
    kernels: Kernels,
    x: &[u8],
    of: Weights<'_>,
    epilogue: &Epilogue,
    clamp: Clamp,
    rows: Range<usize>,
    y: &mut [u8],
) {
    let Weights { window, packed, x_zero_point } = of;
    match *epilogue {
        Epilogue::U8 { ref bias, reach, ref multiplier, ref shift, zero_point, lo, hi, .. } => {
            let requantize = Requantize { bias, reach, multiplier, shift, zero_point, lo, hi };
            let d = Depthwise { window, packed, epilogue: requantize, x_zero_point };
            depthwise::run(kernels, x, &d, rows, y);
            epilogue.look_up(kernels, y);
        }
        Epilogue::F32 { ref acc_bias, x_scale, ref scale, ref bias } => {
            let floats = Floats { acc_bias, x_scale, scale, bias, lo: clamp.lo, hi: clamp.hi };
            let d = Depthwise { window, packed, epilogue: floats, x_zero_point };
            depthwise::run_to_floats(kernels, x, &d, rows, cast_mut(y));
        }
        Epilogue::I16 { .. } | Epilogue::F32ByRow { .. } => unreachable!("it is planned otherwise"),
    }
}
