//! The steps that a plan inserts of itself: copies, other layouts, tensors moved together.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float;

use crate::plan::buffers::{BufferId, Placed};
use crate::plan::layout::Layout;
use crate::plan::relocation::Relocation;
use crate::plan::steps::Steps;
use crate::plan::transposition::{transpose, transpose_bytes};

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
                    1 => transpose_bytes(x, columns, rows, columns, y),
                    2 => transpose(cast::<u16>(x), columns, rows, columns, cast_mut(y)),
                    4 => float::transpose::run(kernels, cast(x), columns, rows, columns, cast_mut(y)),
                    _ => transpose(cast::<i64>(x), columns, rows, columns, cast_mut(y)),
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
    y: BufferId,
    relocation: Relocation,
    fill: Vec<u8>,
) {
    let (rows, row_bytes) = (relocation.count(), relocation.row_bytes());
    if rows * row_bytes == 0 {
        return;
    }
    let rows = steps.chunk(rows, row_bytes as f64 * 0.2, 1);
    let kernel = relocation.kernel(steps.kernels);
    steps.step(name, op, kernel).run([x], [y], move |run, [x], [y]| {
        let (kernels, pool) = (run.kernels, run.pool);
        pool.slices(y, rows * row_bytes, |i, y| relocation.rows(kernels, x, &fill, i * rows, y));
    });
}
