//! Ops whose output follows a pattern: OneHot, Trilu, EyeLike, Size.

use octavo_exec::{Pod, cast, cast_mut};

use crate::ops::lines::Lines;
use crate::ops::node::{axis, checked_elements, error, made, needed};
use crate::ops::numbers::{Element, Number, whole, with_element, with_size};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{Node, Tensor};

/// Plans OneHot: `values` is [off, on]; a negative index counts from the end, one beyond `depth` is off everywhere.
pub fn plan_one_hot(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let indices = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let depth = whole(&b.known_input(node, 1)?);
    let depth = match depth[..] {
        [depth] => usize::try_from(depth).ok(),
        _ => None,
    };
    let depth = depth.ok_or_else(|| error(node, "depth must be one number, not negative"))?;
    let values = b.input_as(needed(node, 2)?, Layout::RowMajor)?;
    if values.elements() != 2 {
        return Err(error(node, &format!("values are of shape {:?}, not two", values.shape())));
    }
    let rank = indices.shape().len();
    let along = axis(node, node.attributes.int("axis")?, rank + 1)?;
    let mut shape = indices.shape().to_vec();
    shape.insert(along, depth);
    let mut from = indices.shape().to_vec();
    from.insert(along, 1);
    checked_elements(node, &from, &shape)?;
    let lines = Lines::of(&shape, along);
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let row = lines.n * lines.inner;
    let rows = b.steps.chunk(lines.outer, row as f64 * 0.2, 1);
    let (ib, vb, yb) = (indices.buffer, values.buffer, y.buffer);
    let (from, size) = (indices.dtype(), values.dtype().size());
    b.steps.of_node(node, "one-hot").run([ib, vb], [yb], move |run, [indices, values], [y]| {
        let pool = run.pool;
        with_element!(from, E => {
            let indices = cast::<<E as Element>::Bits>(indices);
            with_size!(size, T => {
                let values = cast::<T>(values);
                pool.slices(cast_mut::<T>(y), rows * row, |i, y| {
                    one_hot::<E, T>(&indices[i * rows * lines.inner..], values[0], values[1], lines, y);
                });
            });
        });
    });
    Ok(())
}

fn one_hot<E: Element, T: Pod>(indices: &[E::Bits], off: T, on: T, lines: Lines, y: &mut [T]) {
    let Lines { n, inner, .. } = lines;
    y.fill(off);
    for (indices, y) in indices.chunks_exact(inner).zip(y.chunks_exact_mut(n * inner)) {
        for (column, &index) in indices.iter().enumerate() {
            let index = E::load(index).whole();
            let index = if index < 0 { index.saturating_add(n as i64) } else { index };
            if let Some(y) =
                usize::try_from(index).ok().filter(|&i| i < n).map(|i| &mut y[i * inner + column])
            {
                *y = on;
            }
        }
    }
}

/// Plans Trilu: the upper or lower triangle of the last two axes from diagonal `k` on, 0 elsewhere.
pub fn plan_trilu(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let &[.., m, n] = x.shape() else {
        return Err(error(node, &format!("needs two axes, got shape {:?}", x.shape())));
    };
    let k = match b.known_ints_opt(node, 1)?.as_deref() {
        None => 0,
        Some(&[k]) => k,
        Some(other) => return Err(error(node, &format!("k is {other:?}, not one number"))),
    };
    let is_upper = node.attributes.int("upper")? != 0;
    let y = b.output(made(node, 0)?, x.shape().to_vec(), Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    // The columns that row i keeps: those from its diagonal on, or those up to it.
    let kept = move |i: usize| {
        let diagonal = (i as i64).saturating_add(k);
        if is_upper {
            diagonal.clamp(0, n as i64) as usize..n
        } else {
            0..diagonal.saturating_add(1).clamp(0, n as i64) as usize
        }
    };
    let size = x.dtype().size();
    let rows = b.steps.chunk(y.elements() / n, (n * size) as f64 * 0.1, 1);
    let (xb, yb) = (x.buffer, y.buffer);
    b.steps.of_node(node, "copy").run([xb], [yb], move |run, [x], [y]| {
        let pool = run.pool;
        let row = n * size;
        pool.slices(y, rows * row, |i, y| {
            y.fill(0);
            let x = &x[i * rows * row..][..y.len()];
            for (at, (x, y)) in x.chunks_exact(row).zip(y.chunks_exact_mut(row)).enumerate() {
                let kept = kept((i * rows + at) % m);
                let bytes = kept.start * size..kept.end * size;
                y[bytes.clone()].copy_from_slice(&x[bytes]);
            }
        });
    });
    Ok(())
}

/// Plans EyeLike: 1 on diagonal `k` of a matrix of the input's shape, 0 elsewhere.
pub fn plan_eye_like(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let shape = b.tensor(needed(node, 0)?)?.shape;
    let &[m, n] = &shape[..] else {
        return Err(error(node, &format!("needs two axes, got shape {shape:?}")));
    };
    let k = node.attributes.int("k")?;
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let (yb, dtype) = (y.buffer, y.dtype());
    b.steps.of_node(node, "fill").run([], [yb], move |_, [], [y]| {
        y.fill(0);
        with_element!(dtype, E => {
            let y = cast_mut::<<E as Element>::Bits>(y);
            let one = E::store(<<E as Element>::Number as Number>::ONE);
            for i in 0..m {
                let column = usize::try_from((i as i64).saturating_add(k));
                if let Some(at) = column.ok().filter(|&j| j < n) {
                    y[i * n + at] = one;
                }
            }
        });
    });
    Ok(())
}

/// Plans Size: the number of elements, known with the shape.
pub fn plan_size(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let elements = b.tensor(needed(node, 0)?)?.elements();
    Ok(b.know(made(node, 0)?, Tensor::from_i64s(&[], &[elements as i64])?)?)
}
