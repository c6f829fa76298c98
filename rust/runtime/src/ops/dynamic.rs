//! DynamicQuantize: rows, or samples, each quantized by the range that a run finds of it: formula (3a) of
//! docs/arithmetic.md.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::unary::{self, Unary};
use octavo_kernels::quantize::{
    Ends, NOTHING, quantize, quantize_channels_last, quantize_rows, range, scale_of, union,
};
use octavo_kernels::table::Kernels;

use crate::ops::node::{axis, made, needed};
use crate::ops::quantize::{BLOCK, is_image, of_both};
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{Node, Op};

/// Nanoseconds of an element on one thread: its range, and the quantization.
const NANOSECONDS: f64 = 0.2;
/// Nanoseconds of an element of a function.
const FUNCTION: f64 = 0.5;
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

impl Outputs {
    /// Declares them, for ranges of what is behind an axis.
    fn declare(
        b: &mut Builder<'_>,
        node: &Node,
        shape: &[usize],
        axis: usize,
        layout: Layout,
    ) -> Result<Self, Stop> {
        let y = b.output(made(node, 0)?, shape.to_vec(), layout)?;
        let mut numbers = |place| -> Result<BufferId, Stop> {
            Ok(b.output(made(node, place)?, shape[..axis].to_vec(), Layout::RowMajor)?.buffer)
        };
        Ok(Outputs { scales: numbers(1)?, zero_points: numbers(2)?, y })
    }

    fn buffers(&self) -> [BufferId; 3] {
        [self.y.buffer, self.scales, self.zero_points]
    }
}

/// The axis from which on the elements of a tensor of that rank have one range.
fn first_axis(node: &Node, rank: usize) -> Result<usize, Stop> {
    axis(node, node.attributes.int("axis")?, rank)
}

/// Plans a DynamicQuantize.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let value = needed(node, 0)?;
    let axis = first_axis(node, b.tensor(value)?.shape.len())?;
    // A whole sample is in one piece in any layout.
    let x = if axis < 2 { b.input(value)? } else { b.input_as(value, Layout::RowMajor)? };
    let is_image = axis == 1 && is_image(b, &x, made(node, 0)?);
    let layout = if is_image { Layout::ChannelsLast } else { x.layout };
    let outputs = Outputs::declare(b, node, x.shape(), axis, layout)?;
    let (outer, inner) = x.shape().split_at(axis);
    let (rows, length) = (outer.iter().product(), inner.iter().product());
    if is_image {
        push_samples(b, node, &x, &outputs, [inner[0], inner[1..].iter().product()]);
    } else if length >= LARGE {
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
    b.steps.of_node(node, kernel).run([x.buffer], outputs.buffers(), move |run, [x], [y, scales, zeros]| {
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

/// Plans a function of float32 and the DynamicQuantize of rows that alone reads it: a block of rows goes through both. False
/// where there is no such DynamicQuantize.
pub fn plan_behind(b: &mut Builder<'_>, node: &Node, function: Unary, x: &Placed) -> Result<bool, Stop> {
    let Some((index, quantize)) = b.only_reader(made(node, 0)?) else { return Ok(false) };
    let Some((&length, outer)) = x.shape().split_last() else { return Ok(false) };
    if quantize.op != Op::DynamicQuantize
        || x.layout != Layout::RowMajor
        || !(1..=BLOCK).contains(&length)
        || first_axis(quantize, outer.len() + 1)? != outer.len()
    {
        return Ok(false);
    }
    let outputs = Outputs::declare(b, quantize, x.shape(), outer.len(), Layout::RowMajor)?;
    b.absorb(index);
    let chunk = b.steps.chunk(outer.iter().product(), length as f64 * (FUNCTION + NANOSECONDS), 1);
    let together = BLOCK / length;
    let step = of_both(b, node, quantize);
    step.run([x.buffer], outputs.buffers(), move |run, [x], [y, scales, zeros]| {
        let (kernels, pool, x, scales) = (run.kernels, run.pool, cast::<f32>(x), cast_mut::<f32>(scales));
        pool.triples_of_slices(
            (y, chunk * length),
            (scales, chunk),
            (zeros, chunk),
            |i, y, scales, zeros| {
                let mut block = [0.0; BLOCK];
                let x =
                    x[i * chunk * length..].chunks(together * length).zip(y.chunks_mut(together * length));
                for ((x, y), (scales, zeros)) in
                    x.zip(scales.chunks_mut(together).zip(zeros.chunks_mut(together)))
                {
                    let block = &mut block[..y.len()];
                    unary::run(kernels, function, &x[..y.len()], block);
                    quantize_rows(kernels, block, scales, zeros, y);
                }
            },
        );
    });
    Ok(true)
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
    let [y, scales, zeros] = outputs.buffers();
    b.steps.of_node(node, kernel).run(
        [x.buffer],
        [ends, y, scales, zeros],
        move |run, [x], [ends, y, scales, zeros]| {
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
        },
    );
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
