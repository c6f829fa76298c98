//! The steps that a plan inserts of itself: copies, other layouts, tensors moved together.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float;

use crate::plan::buffers::{BufferId, Placed};
use crate::plan::layout::Layout;
use crate::plan::relocation::{Relocation, transpose, transpose_bytes};
use crate::plan::steps::Steps;

/// Pushes a step that copies a buffer.
pub fn copy(steps: &mut Steps, name: String, from: BufferId, to: BufferId) {
    steps.step(name, "Copy", "copy").run([from], [to], move |_, [x], [y]| {
        y.copy_from_slice(x);
    });
}

/// Pushes a step that brings a tensor into another layout.
pub fn convert_layout(steps: &mut Steps, name: String, from: &Placed, layout: Layout, to: BufferId) {
    let shape = from.shape();
    let (images, channels) = (shape[0], shape[1]);
    let plane: usize = shape[2..].iter().product();
    let (rows, columns) = match layout {
        Layout::ChannelsLast => (channels, plane),
        Layout::RowMajor => (plane, channels),
    };
    let (source, element) = (from.buffer, from.dtype().size());
    let image = rows * columns * element;
    if image == 0 {
        return;
    }
    let kernel = if element == 4 { steps.kernels.row().float.transpose.transpose.name } else { "transpose" };
    let per_chunk = if images > 1 { steps.chunk(images, image as f64 * 0.2, 1) } else { 1 };
    steps.step(name, "Transpose", kernel).run([source], [to], move |run, [x], [y]| {
        let (kernels, pool) = (run.kernels, run.pool);
        pool.slices(y, per_chunk * image, |i, y| {
            let x = &x[i * per_chunk * image..][..y.len()];
            for (x, y) in x.chunks_exact(image).zip(y.chunks_exact_mut(image)) {
                match element {
                    1 => transpose_bytes(x, rows, columns, y),
                    2 => transpose(cast::<u16>(x), rows, columns, cast_mut(y)),
                    4 => float::transpose::run(kernels, cast(x), rows, columns, cast_mut(y)),
                    _ => transpose(cast::<i64>(x), rows, columns, cast_mut(y)),
                }
            }
        });
    });
}

/// Pushes the step of a relocation; `fill` is one element.
pub fn relocate(
    steps: &mut Steps,
    name: String,
    op: &'static str,
    x: BufferId,
    to: &Placed,
    relocation: Relocation,
    fill: Vec<u8>,
) {
    let y = to.buffer;
    let row_bytes = relocation.row_bytes();
    let bytes = to.tensor.bytes();
    if bytes == 0 {
        return;
    }
    let rows = steps.chunk(bytes / row_bytes, row_bytes as f64 * 0.2, 1);
    steps.step(name, op, "relocate").run([x], [y], move |run, [x], [y]| {
        let pool = run.pool;
        pool.slices(y, rows * row_bytes, |i, y| relocation.rows(x, &fill, i * rows, y));
    });
}
