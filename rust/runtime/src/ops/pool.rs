//! Max and average pools over one or two spatial axes, in integers and in float.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::pool as float;
use octavo_kernels::int16::pool as int16;
use octavo_kernels::pool::{self, Average};
use octavo_kernels::requantize::multiplier_shift;

use crate::ops::geometry::Geometry;
use crate::ops::node::{error, made, needed};
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{DType, Node, Op};

/// Largest window: its sum of bytes stays in int32, and its factors in a table of moderate size.
const LARGEST_COUNT: usize = 1 << 20;

/// Plans a pool.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::ChannelsLast)?;
    let kernel = node.attributes.sizes("kernel_shape")?;
    let g = Geometry::new(node, x.shape(), &kernel)?;
    let y = b.output(made(node, 0)?, g.output_shape(g.channels), Layout::ChannelsLast)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let window = g.window();
    let includes_pad = node.attributes.int_or("count_include_pad", 0)? != 0;
    let ends = includes_pad.then_some(g.pad_end);
    match (node.op, x.dtype()) {
        (Op::QAveragePool, DType::U8) => {
            let factors = factors(node, &g)?;
            let a = &node.attributes;
            let x_zero_point = a.int32("x_zero_point")?;
            let y_zero_point = a.int32("y_zero_point")?;
            let (lo, hi) = (a.int32("lo")?, a.int32("hi")?);
            let kernel = b.steps.kernels.row().pool.average.name;
            push::<u8>(b, node, &g, &x, &y, kernel, move |kernels, x, rows, y| {
                let average = Average {
                    x_zero_point,
                    y_zero_point,
                    lo,
                    hi,
                    factors: &factors,
                    count_include_pad: ends,
                };
                pool::average_pool(kernels, x, &window, rows, &average, y);
            });
        }
        (Op::QAveragePool, DType::I16) => {
            let factors = factors(node, &g)?;
            let (lo, hi) = (node.attributes.int32("lo")?, node.attributes.int32("hi")?);
            let kernel = b.steps.kernels.row().int16.pool.average.name;
            push::<i16>(b, node, &g, &x, &y, kernel, move |kernels, x, rows, y| {
                let average = int16::Average { lo, hi, factors: &factors, count_include_pad: ends };
                int16::average_pool(kernels, x, &window, rows, &average, y);
            });
        }
        (Op::MaxPool, DType::I16) => {
            let kernel = b.steps.kernels.row().int16.pool.max.name;
            push::<i16>(b, node, &g, &x, &y, kernel, move |kernels, x, rows, y| {
                int16::max_pool(kernels, x, &window, rows, y);
            });
        }
        (Op::MaxPool, DType::U8) => {
            let kernel = b.steps.kernels.row().pool.max.name;
            push::<u8>(b, node, &g, &x, &y, kernel, move |kernels, x, rows, y| {
                pool::max_pool_u8(kernels, x, &window, rows, y);
            });
        }
        (Op::MaxPool, DType::F32) => {
            let kernel = b.steps.kernels.row().float.pool.max.name;
            push::<f32>(b, node, &g, &x, &y, kernel, move |kernels, x, rows, y| {
                float::max_pool(kernels, x, &window, rows, y);
            });
        }
        (Op::AveragePool, DType::F32) => {
            let kernel = b.steps.kernels.row().float.pool.average.name;
            push::<f32>(b, node, &g, &x, &y, kernel, move |kernels, x, rows, y| {
                float::average_pool(kernels, x, &window, ends, rows, y);
            });
        }
        (_, dtype) => return Err(error(node, &format!("a tensor of {} does not run", dtype.name()))),
    }
    Ok(())
}

/// Multiplier and shift of `ratio / count` for every count of a window.
fn factors(node: &Node, g: &Geometry) -> Result<Vec<(i32, u32)>, Stop> {
    let ratio = node.attributes.f64("ratio")?;
    let largest = g.kernel[0].saturating_mul(g.kernel[1]);
    if largest > LARGEST_COUNT {
        return Err(error(node, &format!("a window of {largest} elements, more than {LARGEST_COUNT}")));
    }
    (0..=largest)
        .map(|count| {
            multiplier_shift(ratio / count.max(1) as f64)
                .ok_or_else(|| error(node, &format!("the ratio {ratio} is outside what integers can do")))
        })
        .collect()
}

/// Pushes a step that computes rows of output images from whole input images.
fn push<T: octavo_exec::Pod>(
    b: &mut Builder<'_>,
    node: &Node,
    g: &Geometry,
    x: &Placed,
    y: &Placed,
    kernel: &'static str,
    rows_of: impl Fn(octavo_kernels::table::Kernels, &[T], std::ops::Range<usize>, &mut [T])
    + Send
    + Sync
    + 'static,
) {
    let (row, lines) = (g.output[1] * g.channels, g.output[0]);
    let image_in = g.input[0] * g.input[1] * g.channels;
    let taps = g.kernel[0] * g.kernel[1];
    let chunk = b.steps.chunk(lines, row as f64 * taps as f64 * 0.05, 1);
    let (xb, yb, images) = (x.buffer, y.buffer, g.images);
    b.steps.of_node(node, kernel).run([xb], [yb], move |run, [x], [y]| {
        let (kernels, pool) = (run.kernels, run.pool);
        let (x, y) = (cast::<T>(x), cast_mut::<T>(y));
        for image in 0..images {
            let x = &x[image * image_in..][..image_in];
            pool.slices(&mut y[image * lines * row..][..lines * row], chunk * row, |i, y| {
                rows_of(kernels, x, i * chunk..i * chunk + y.len() / row, y);
            });
        }
    });
}
