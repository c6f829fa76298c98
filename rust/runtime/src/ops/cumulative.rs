//! CumSum: a running sum along an axis, one chain in the order of the indices.

use octavo_exec::{cast, cast_mut};

use crate::ops::lines::Lines;
use crate::ops::node::{axis, error, made, needed};
use crate::ops::numbers::{Element, Number, with_element};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::Node;

/// Plans CumSum; the axis is known before the run.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
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
    let rows = b.steps.chunk(lines.outer, row as f64, 1);
    let (xb, yb, dtype) = (x.buffer, y.buffer, x.dtype());
    b.steps.of_node(node, "scalar-cumsum").run([xb], [yb], move |run, [x], [y]| {
        let pool = run.pool;
        with_element!(dtype, E => {
            let x = cast::<<E as Element>::Bits>(x);
            pool.slices(cast_mut::<<E as Element>::Bits>(y), rows * row, |i, y| {
                cumsum::<E>(&x[i * rows * row..][..y.len()], lines, is_exclusive, is_reverse, y);
            });
        });
    });
    Ok(())
}

/// The sums of some outer rows. They start with the first element itself, so that a first -0 stays one.
fn cumsum<E: Element>(x: &[E::Bits], lines: Lines, is_exclusive: bool, is_reverse: bool, y: &mut [E::Bits]) {
    let Lines { n, inner, .. } = lines;
    let place = |step: usize| if is_reverse { n - 1 - step } else { step };
    let mut sums = vec![E::Number::ZERO; inner];
    for (x, y) in x.chunks_exact(n * inner).zip(y.chunks_exact_mut(n * inner)) {
        if inner == 1 {
            let mut sum = E::load(x[place(0)]);
            y[place(0)] = E::store(if is_exclusive { E::Number::ZERO } else { sum });
            for at in (1..n).map(place) {
                let next = sum.plus(E::load(x[at]));
                y[at] = E::store(if is_exclusive { sum } else { next });
                sum = next;
            }
            continue;
        }
        for step in 0..n {
            let (x, y) = (&x[place(step) * inner..][..inner], &mut y[place(step) * inner..][..inner]);
            if is_exclusive {
                let before = if step == 0 { &[] } else { &sums[..] };
                y.fill(E::store(E::Number::ZERO));
                y.iter_mut().zip(before).for_each(|(y, &sum)| *y = E::store(sum));
            }
            if step == 0 {
                sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum = E::load(x));
            } else {
                sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum = sum.plus(E::load(x)));
            }
            if !is_exclusive {
                y.iter_mut().zip(&sums).for_each(|(y, &sum)| *y = E::store(sum));
            }
        }
    }
}
