//! Reductions of float64, of integers and of booleans: one chain an output, in index order. Integers wrap.

use octavo_kernels::float::reduce::Reduce;

use crate::ops::numbers::{Element, Number};

/// Reduces the middle axis of x, `[outer, n, inner]`, to `[outer, inner]`. Logarithms are of float32 alone.
pub fn reduce<E: Element>(reduction: Reduce, x: &[E::Bits], n: usize, inner: usize, y: &mut [E::Bits]) {
    let magnitudes = |a: E::Number, b: E::Number| a.plus(b.magnitude());
    let squares = |a: E::Number, b: E::Number| a.plus(b.times(b));
    match reduction {
        Reduce::Max => fold::<E>(x, n, inner, Number::LEAST, y, Number::greater),
        Reduce::Min => fold::<E>(x, n, inner, Number::GREATEST, y, Number::lesser),
        Reduce::Prod => fold::<E>(x, n, inner, Number::ONE, y, Number::times),
        Reduce::L1 => fold::<E>(x, n, inner, Number::ZERO, y, magnitudes),
        Reduce::SumSquare | Reduce::L2 => fold::<E>(x, n, inner, Number::ZERO, y, squares),
        Reduce::Sum | Reduce::Mean | Reduce::LogSum | Reduce::LogSumExp => {
            fold::<E>(x, n, inner, Number::ZERO, y, Number::plus);
        }
    }
    match reduction {
        Reduce::Mean => y.iter_mut().for_each(|y| *y = E::store(E::load(*y).part_of(n))),
        Reduce::L2 => y.iter_mut().for_each(|y| *y = E::store(E::load(*y).root())),
        _ => {}
    }
}

/// A chain of `step`s from `start` over the middle axis of x, `[outer, n, inner]`. What is stored between two steps is
/// exact, for no dtype here is narrower than its numbers.
fn fold<E: Element>(
    x: &[E::Bits],
    n: usize,
    inner: usize,
    start: E::Number,
    y: &mut [E::Bits],
    step: impl Fn(E::Number, E::Number) -> E::Number,
) {
    for (index, y) in y.chunks_exact_mut(inner).enumerate() {
        y.fill(E::store(start));
        for x in x[index * n * inner..][..n * inner].chunks_exact(inner) {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = E::store(step(E::load(*y), E::load(x)));
            }
        }
    }
}
