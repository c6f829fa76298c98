//! Windows over any number of spatial axes, of any dtype: what has no kernel of its own. Every plane of a tensor is read
//! through one list of the elements that each window sees.

use std::sync::Arc;

use octavo_exec::{Pod, cast, cast_mut};
use octavo_kernels::float::power::pow;

use crate::ops::geometry::MOST_OFFSETS;
use crate::ops::node::{error, made, needed};
use crate::ops::numbers::Number;
use crate::ops::spatial::{self, WindowAxis, coordinates};
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{DType, Node, Op};

/// For each window, the elements of a plane that it sees, in index order.
pub struct Windows {
    /// Those of window i are `starts[i]..starts[i + 1]`.
    pub starts: Vec<usize>,
    /// Where each lies in its plane.
    pub offsets: Vec<u32>,
    /// Which tap of the kernel sees it.
    pub taps: Vec<u32>,
}

impl Windows {
    /// The windows of these axes.
    pub fn new(node: &Node, axes: &[WindowAxis]) -> Result<Windows, Stop> {
        let product = |of: fn(&WindowAxis) -> usize| {
            axes.iter().try_fold(1usize, |all, axis| all.checked_mul(of(axis)))
        };
        let (area, count) = (product(|axis| axis.input), product(|axis| axis.output));
        let most = count.zip(product(|axis| axis.kernel)).and_then(|(n, taps)| n.checked_mul(taps));
        if area.is_none_or(|area| area >= u32::MAX as usize) || most.is_none_or(|n| n > MOST_OFFSETS) {
            return Err(error(node, "the image is too large"));
        }
        let extents: Vec<usize> = axes.iter().map(|axis| axis.output).collect();
        let mut windows = Windows { starts: vec![0], offsets: Vec::new(), taps: Vec::new() };
        let (mut seen, mut next) = (Vec::new(), Vec::new());
        for index in 0..count.unwrap_or(0) {
            seen.clear();
            seen.push((0, 0));
            for (axis, &at) in axes.iter().zip(&coordinates(index, &extents)) {
                next.clear();
                for &(offset, tap) in &seen {
                    let inside = (0..axis.kernel).filter_map(|t| Some((axis.coordinate(at, t)?, t)));
                    next.extend(inside.map(|(x, t)| (offset * axis.input + x, tap * axis.kernel + t)));
                }
                std::mem::swap(&mut seen, &mut next);
            }
            windows.offsets.extend(seen.iter().map(|&(offset, _)| offset as u32));
            windows.taps.extend(seen.iter().map(|&(_, tap)| tap as u32));
            windows.starts.push(windows.offsets.len());
        }
        Ok(windows)
    }

    /// The elements that a window sees.
    pub fn offsets(&self, window: usize) -> &[u32] {
        &self.offsets[self.starts[window]..self.starts[window + 1]]
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }
}

/// Whether a pool has no kernel: then [`plan`] plans it.
pub fn is_general(b: &Builder<'_>, node: &Node) -> Result<bool, Stop> {
    let tensor = b.tensor(needed(node, 0)?)?;
    let has_indices = node.outputs.get(1).is_some_and(Option::is_some);
    let is_other = !matches!(tensor.dtype, DType::U8 | DType::I16 | DType::F32) || node.op == Op::LpPool;
    Ok(is_other || has_indices || tensor.shape.len() > 4)
}

/// Plans a MaxPool, AveragePool, LpPool or GlobalLpPool.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let axes = if node.op == Op::GlobalLpPool {
        spatial::lengths(node, x.shape())?.iter().map(|&n| whole(n)).collect()
    } else {
        WindowAxis::of_node(node, x.shape(), &node.attributes.sizes("kernel_shape")?)?
    };
    let mut shape = x.shape().to_vec();
    axes.iter().zip(shape.iter_mut().skip(2)).for_each(|(axis, n)| *n = axis.output);
    let y = b.output(made(node, 0)?, shape.clone(), Layout::RowMajor)?;
    let indices = match node.outputs.get(1).copied().flatten() {
        Some(value) => Some(b.output(value, shape, Layout::RowMajor)?),
        None => None,
    };
    if y.elements() == 0 {
        return Ok(());
    }
    let windows = Windows::new(node, &axes)?;
    match (node.op, x.dtype()) {
        (Op::MaxPool, DType::F32) => {
            push_max::<f32>(b, node, windows, &axes, [&x, &y], indices, f32::NEG_INFINITY)
        }
        (Op::MaxPool, DType::F64) => {
            push_max::<f64>(b, node, windows, &axes, [&x, &y], indices, f64::NEG_INFINITY)
        }
        (Op::MaxPool, DType::I16) => push_max::<i16>(b, node, windows, &axes, [&x, &y], indices, i16::MIN),
        (Op::MaxPool, DType::I8) => push_max::<i8>(b, node, windows, &axes, [&x, &y], indices, i8::MIN),
        (Op::MaxPool, DType::U8) => push_max::<u8>(b, node, windows, &axes, [&x, &y], indices, 0),
        (Op::AveragePool, DType::F32) => {
            let counts = counts(node, &windows, &axes)?;
            push_planes(b, node, windows, [&x, &y], move |at, x, offsets| {
                offsets.iter().fold(0.0, |sum, &i| sum + x[i as usize]) / counts[at]
            });
        }
        (Op::LpPool | Op::GlobalLpPool, DType::F32) => {
            let p = node.attributes.int("p")?;
            push_planes(b, node, windows, [&x, &y], move |_, x, offsets| norm(x, offsets, p));
        }
        (_, dtype) => return Err(error(node, &format!("a tensor of {} does not run", dtype.name()))),
    }
    Ok(())
}

/// An axis with one window, which sees it all.
fn whole(n: usize) -> WindowAxis {
    WindowAxis { input: n, output: 1, kernel: n.max(1), stride: 1, dilation: 1, pad: 0, pad_end: 0 }
}

/// By what each window's sum is divided.
fn counts(node: &Node, windows: &Windows, axes: &[WindowAxis]) -> Result<Vec<f32>, Stop> {
    if node.attributes.int("count_include_pad")? == 0 {
        return Ok((0..windows.len()).map(|i| windows.offsets(i).len() as f32).collect());
    }
    let extents: Vec<usize> = axes.iter().map(|axis| axis.output).collect();
    let padded = |axis: &WindowAxis, at: usize| {
        let end = axis.pad + axis.input + axis.pad_end;
        (0..axis.kernel).filter(|tap| at * axis.stride + tap * axis.dilation < end).count()
    };
    let count = |index| {
        let at = coordinates(index, &extents);
        axes.iter().zip(&at).map(|(axis, &at)| padded(axis, at)).product::<usize>() as f32
    };
    Ok((0..windows.len()).map(count).collect())
}

/// The p-norm of the elements at these offsets: a chain in their order.
fn norm(x: &[f32], offsets: &[u32], p: i64) -> f32 {
    let values = offsets.iter().map(|&i| x[i as usize].abs());
    match p {
        1 => values.fold(0.0, |sum, x| sum + x),
        2 => values.fold(0.0, |sum, x| sum + x * x).sqrt(),
        _ => pow(values.fold(0.0, |sum, x| sum + pow(x, p as f32)), 1.0 / p as f32),
    }
}

/// Pushes a step that makes each element of the output planes from its window, given its index in the plane.
fn push_planes(
    b: &mut Builder<'_>,
    node: &Node,
    windows: Windows,
    [x, y]: [&Placed; 2],
    of: impl Fn(usize, &[f32], &[u32]) -> f32 + Send + Sync + 'static,
) {
    let (area, count) = (x.elements() / planes(x), windows.len());
    let chunk = b.steps.chunk(planes(x), windows.offsets.len() as f64, 1);
    let (xb, yb) = (x.buffer, y.buffer);
    b.steps.of_node(node, "f32-windows").run([xb], [yb], move |run, [x], [y]| {
        let pool = run.pool;
        let x = cast::<f32>(x);
        pool.slices(cast_mut::<f32>(y), chunk * count, |i, y| {
            for (j, y) in y.chunks_exact_mut(count).enumerate() {
                let x = &x[(i * chunk + j) * area..][..area];
                y.iter_mut().enumerate().for_each(|(at, y)| *y = of(at, x, windows.offsets(at)));
            }
        });
    });
}

/// Images times channels.
fn planes(x: &Placed) -> usize {
    x.shape()[..2].iter().product()
}

/// Pushes the step of a MaxPool, and of the places of the largest elements where they are wanted.
fn push_max<T: Pod + Number>(
    b: &mut Builder<'_>,
    node: &Node,
    windows: Windows,
    axes: &[WindowAxis],
    [x, y]: [&Placed; 2],
    indices: Option<Placed>,
    least: T,
) {
    let (area, count) = (x.elements() / planes(x), windows.len());
    let by_column = node.attributes.int_or("storage_order", 0).unwrap_or(0) != 0;
    let extents: Vec<usize> = axes.iter().map(|axis| axis.input).collect();
    let place = move |plane: usize, offset: u32| {
        let at = coordinates(offset as usize, &extents);
        let turned = at.iter().zip(&extents).rev().fold(0, |all, (&i, &n)| all * n + i);
        (plane * area + if by_column { turned } else { offset as usize }) as i64
    };
    let windows = Arc::new(windows);
    if let Some(indices) = indices {
        let windows = Arc::clone(&windows);
        b.steps.of_node(node, "maxpool-windows").run(
            [x.buffer],
            [indices.buffer],
            move |_, [x], [places]| {
                for (plane, places) in cast_mut::<i64>(places).chunks_exact_mut(count).enumerate() {
                    let x = &cast::<T>(x)[plane * area..][..area];
                    for (window, at) in places.iter_mut().enumerate() {
                        let found = largest(x, windows.offsets(window), least).1;
                        *at = found.map_or(-1, |offset| place(plane, offset));
                    }
                }
            },
        );
    }
    b.steps.of_node(node, "maxpool-windows").run([x.buffer], [y.buffer], move |_, [x], [y]| {
        for (plane, y) in cast_mut::<T>(y).chunks_exact_mut(count).enumerate() {
            let x = &cast::<T>(x)[plane * area..][..area];
            let most = |window| largest(x, windows.offsets(window), least).0;
            y.iter_mut().enumerate().for_each(|(window, y)| *y = most(window));
        }
    });
}

/// The largest of the elements at these offsets, NaN if one is, and where the first of them lies.
fn largest<T: Number>(x: &[T], offsets: &[u32], least: T) -> (T, Option<u32>) {
    let mut found = (least, None);
    for &offset in offsets {
        let value = x[offset as usize];
        if found.1.is_none() || value > found.0 || (value.is_nan() && !found.0.is_nan()) {
            found.1 = Some(offset);
        }
        found.0 = found.0.greater(value);
    }
    found
}
