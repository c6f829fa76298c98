//! DynamicQuantize: rows, or samples, each quantized by the range that a run finds of it: formula (3a) of
//! docs/arithmetic.md.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::quantize::{
    Ends, NOTHING, quantize, quantize_channels_last, quantize_rows, range, scale_of, union,
};
use octavo_kernels::table::Kernels;

use crate::ops::node::{axis, made, needed};
use crate::ops::quantize::is_image;
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::Node;

/// Nanoseconds of an element on one thread: its range, and the quantization.
const NANOSECONDS: f64 = 0.2;
/// Elements from which on a sample is cut, so that its range is found by several threads.
const LARGE: usize = 1 << 14;
/// Elements of a part of such a sample.
const PART: usize = 1 << 13;
/// Pixels that go through a thread at least.
const PIXELS: usize = 64;

/// What a DynamicQuantize makes.
struct Outputs {
    y: Placed,
    scales: BufferId,
    zero_points: BufferId,
}

/// Plans a DynamicQuantize.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let value = needed(node, 0)?;
    let axis = axis(node, node.attributes.int("axis")?, b.tensor(value)?.shape.len())?;
    // A whole sample is in one piece in any layout.
    let x = if axis < 2 { b.input(value)? } else { b.input_as(value, Layout::RowMajor)? };
    let (outer, inner) = x.shape().split_at(axis);
    let (rows, length) = (outer.iter().product(), inner.iter().product());
    let is_image = axis == 1 && is_image(b, &x, made(node, 0)?);
    let layout = if is_image { Layout::ChannelsLast } else { x.layout };
    let y = b.output(made(node, 0)?, x.shape().to_vec(), layout)?;
    let scales = b.output(made(node, 1)?, outer.to_vec(), Layout::RowMajor)?.buffer;
    let zero_points = b.output(made(node, 2)?, outer.to_vec(), Layout::RowMajor)?.buffer;
    let outputs = Outputs { y, scales, zero_points };
    if is_image {
        push_samples(b, node, &x, &outputs, [x.shape()[1], inner[1..].iter().product()]);
    } else if length >= LARGE && !is_image {
        push_samples(b, node, &x, &outputs, [1, length]);
    } else {
        push_rows(b, node, &x, &outputs, [rows, length]);
    }
    Ok(())
}

/// Rows one by one: each is in the first cache when it is quantized.
fn push_rows(b: &mut Builder<'_>, node: &Node, x: &Placed, outputs: &Outputs, [rows, length]: [usize; 2]) {
    let chunk = b.steps.chunk(rows, length as f64 * NANOSECONDS, 1);
    let kernel = b.steps.kernels.row().quantize.quantize_rows.name;
    let writes = [outputs.y.buffer, outputs.scales, outputs.zero_points];
    b.steps.of_node(node, kernel).run([x.buffer], writes, move |run, [x], [y, scales, zeros]| {
        let (kernels, pool, x, scales) = (run.kernels, run.pool, cast::<f32>(x), cast_mut::<f32>(scales));
        if length == 0 {
            return quantize_rows(kernels, x, scales, zeros, y);
        }
        pool.triples_of_slices(
            (y, chunk * length),
            (scales, chunk),
            (zeros, chunk),
            |i, y, scales, zeros| {
                quantize_rows(kernels, &x[i * chunk * length..][..y.len()], scales, zeros, y);
            },
        );
    });
}

/// Samples of planes, one after the other, each cut between threads: the range of its parts, then the quantization. More
/// planes than one end with their channels last.
fn push_samples(
    b: &mut Builder<'_>,
    node: &Node,
    x: &Placed,
    outputs: &Outputs,
    [channels, plane]: [usize; 2],
) {
    let sample = channels * plane;
    let parts = sample.div_ceil(PART);
    let ends = b.steps.temporary(parts * size_of::<Ends>());
    let chunk = b.steps.chunk(plane, channels as f64 * NANOSECONDS, PIXELS);
    let entries = &b.steps.kernels.row().quantize;
    let kernel = if channels == 1 { &entries.quantize.name } else { &entries.quantize_channels_last.name };
    let writes = [ends, outputs.y.buffer, outputs.scales, outputs.zero_points];
    b.steps.of_node(node, kernel).run([x.buffer], writes, move |run, [x], [ends, y, scales, zeros]| {
        let (kernels, pool, x, ends) = (run.kernels, run.pool, cast::<f32>(x), cast_mut::<i32>(ends));
        for (n, (scale, zero)) in cast_mut::<f32>(scales).iter_mut().zip(zeros).enumerate() {
            let x = &x[n * sample..][..sample];
            pool.slices(ends, 2, |part, ends| {
                ends.copy_from_slice(&range(kernels, &x[part * PART..sample.min((part + 1) * PART)]));
            });
            let whole = ends.as_chunks().0.iter().fold(NOTHING, |a, &b| union(a, b));
            (*scale, *zero) = scale_of(whole);
            let by = (*scale, i32::from(*zero));
            pool.slices(&mut y[n * sample..][..sample], chunk * channels, |i, y| {
                pixels(kernels, x, [channels, plane], i * chunk, by, y);
            });
        }
    });
}

/// The pixels of a sample from one on, as many as `y` takes.
fn pixels(
    kernels: Kernels,
    x: &[f32],
    [channels, plane]: [usize; 2],
    first: usize,
    (scale, zero_point): (f32, i32),
    y: &mut [u8],
) {
    if channels == 1 {
        return quantize(kernels, &x[first..][..y.len()], scale, zero_point, y);
    }
    let pixels = first..first + y.len() / channels;
    quantize_channels_last(kernels, x, channels, plane, pixels, scale, zero_point, y);
}
