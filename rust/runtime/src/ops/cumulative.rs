//! CumSum: a running sum along an axis, one chain in the order of the indices.

use octavo_exec::{cast, cast_mut};

use crate::error::Error;
use crate::ops::numbers::{Element, Number, with_element};
use crate::ops::order::Lines;
use crate::ops::{axis, error, made, needed};
use crate::plan::builder::Builder;
use crate::plan::layout::Layout;
use crate::program::Node;

/// Plans CumSum; the axis is known before the run.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let &[along] = &b.known_ints(node, 1)?[..] else {
        return Err(error(node, "the axis must be one number"));
    };
    let along = axis(node, along, x.shape().len())?;
    let lines = Lines::of(x.shape(), along);
    let y = b.output(made(node, 0)?, x.shape().to_vec(), Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let is_exclusive = node.attributes.int("exclusive")? != 0;
    let is_reverse = node.attributes.int("reverse")? != 0;
    let row = lines.n * lines.inner;
    let rows = b.chunk(lines.outer, row as f64, 1);
    let (xb, yb, dtype) = (x.buffer, y.buffer, x.dtype());
    b.push(
        node.name.clone(),
        node.op.name(),
        "scalar-cumsum",
        0,
        &[xb],
        &[yb],
        Box::new(move |run| {
            let pool = run.pool;
            let ([x], [y]) = run.get([xb], [yb]);
            with_element!(dtype, E => {
                let x = cast::<<E as Element>::Bits>(x);
                pool.slices(cast_mut::<<E as Element>::Bits>(y), rows * row, |i, y| {
                    cumsum::<E>(&x[i * rows * row..][..y.len()], lines, is_exclusive, is_reverse, y);
                });
            });
        }),
    );
    Ok(())
}

/// The sums of some outer rows. They start with the first element itself, so that a first -0 stays one.
fn cumsum<E: Element>(x: &[E::Bits], lines: Lines, is_exclusive: bool, is_reverse: bool, y: &mut [E::Bits]) {
    let Lines { n, inner, .. } = lines;
    let mut sums = vec![E::Number::ZERO; inner];
    for (x, y) in x.chunks_exact(n * inner).zip(y.chunks_exact_mut(n * inner)) {
        sums.fill(E::Number::ZERO);
        for step in 0..n {
            let at = if is_reverse { n - 1 - step } else { step };
            let (x, y) = (&x[at * inner..][..inner], &mut y[at * inner..][..inner]);
            for ((sum, &x), y) in sums.iter_mut().zip(x).zip(y) {
                let (before, x) = (*sum, E::load(x));
                *sum = if step == 0 { x } else { before.plus(x) };
                *y = E::store(if is_exclusive { before } else { *sum });
            }
        }
    }
}
