//! Reductions of float64 and of integers: one chain an output, in index order. Integers wrap.

use octavo_exec::Pod;
use octavo_kernels::float::reduce::Reduce;

/// What a reduction needs of an element.
pub trait Reducible: Pod {
    /// The kernel's name.
    const KERNEL: &'static str;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Below or equal to every other.
    const LEAST: Self;
    /// Above or equal to every other.
    const GREATEST: Self;
    /// `self + other`.
    fn plus(self, other: Self) -> Self;
    /// `self * other`.
    fn times(self, other: Self) -> Self;
    /// The magnitude.
    fn magnitude(self) -> Self;
    /// The larger; NaN if either is.
    fn larger(self, other: Self) -> Self;
    /// The smaller; NaN if either is.
    fn smaller(self, other: Self) -> Self;
    /// Divided by a count; an integer is truncated toward 0, and is 0 for no elements.
    fn over(self, count: usize) -> Self;
    /// The root, an integer's by way of float32 and truncated; 0 of a negative integer.
    fn root(self) -> Self;
}

impl Reducible for f64 {
    const KERNEL: &'static str = "f64-reduce";
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const LEAST: f64 = f64::NEG_INFINITY;
    const GREATEST: f64 = f64::INFINITY;

    fn plus(self, other: f64) -> f64 {
        self + other
    }

    fn times(self, other: f64) -> f64 {
        self * other
    }

    fn magnitude(self) -> f64 {
        self.abs()
    }

    fn larger(self, other: f64) -> f64 {
        let ordered = if self == other {
            f64::from_bits(self.to_bits() & other.to_bits())
        } else if self > other {
            self
        } else {
            other
        };
        if self.is_nan() { self } else { ordered }
    }

    fn smaller(self, other: f64) -> f64 {
        let ordered = if self == other {
            f64::from_bits(self.to_bits() | other.to_bits())
        } else if self < other {
            self
        } else {
            other
        };
        if self.is_nan() { self } else { ordered }
    }

    fn over(self, count: usize) -> f64 {
        self / count as f64
    }

    fn root(self) -> f64 {
        self.sqrt()
    }
}

macro_rules! integers {
    ($($number:ident $kernel:literal)*) => { $(
        impl Reducible for $number {
            const KERNEL: &'static str = $kernel;
            const ZERO: $number = 0;
            const ONE: $number = 1;
            const LEAST: $number = $number::MIN;
            const GREATEST: $number = $number::MAX;

            fn plus(self, other: $number) -> $number {
                self.wrapping_add(other)
            }

            fn times(self, other: $number) -> $number {
                self.wrapping_mul(other)
            }

            #[allow(unused_comparisons, reason = "of unsigned integers, none is negative")]
            fn magnitude(self) -> $number {
                if self < 0 { (0 as $number).wrapping_sub(self) } else { self }
            }

            fn larger(self, other: $number) -> $number {
                self.max(other)
            }

            fn smaller(self, other: $number) -> $number {
                self.min(other)
            }

            fn over(self, count: usize) -> $number {
                (self as i64).checked_div(count as i64).unwrap_or(0) as $number
            }

            fn root(self) -> $number {
                (self as f32).sqrt() as $number
            }
        }
    )* };
}
integers!(i64 "i64-reduce" i32 "i32-reduce" i16 "i16-reduce" i8 "i8-reduce" u8 "u8-reduce");

/// Reduces the middle axis of x, `[outer, n, inner]`, to `[outer, inner]`. Logarithms are of float32 alone.
pub fn reduce<T: Reducible>(reduction: Reduce, x: &[T], n: usize, inner: usize, y: &mut [T]) {
    let squares = |a: T, b: T| a.plus(b.times(b));
    match reduction {
        Reduce::Max => fold(x, n, inner, T::LEAST, y, T::larger),
        Reduce::Min => fold(x, n, inner, T::GREATEST, y, T::smaller),
        Reduce::Prod => fold(x, n, inner, T::ONE, y, T::times),
        Reduce::L1 => fold(x, n, inner, T::ZERO, y, |a, b| a.plus(b.magnitude())),
        Reduce::SumSquare | Reduce::L2 => fold(x, n, inner, T::ZERO, y, squares),
        Reduce::Sum | Reduce::Mean | Reduce::LogSum | Reduce::LogSumExp => {
            fold(x, n, inner, T::ZERO, y, T::plus);
        }
    }
    match reduction {
        Reduce::Mean => y.iter_mut().for_each(|y| *y = y.over(n)),
        Reduce::L2 => y.iter_mut().for_each(|y| *y = y.root()),
        _ => {}
    }
}

/// A chain of `step`s from `start` over the middle axis of x, `[outer, n, inner]`.
pub fn fold<T: Pod>(x: &[T], n: usize, inner: usize, start: T, y: &mut [T], step: impl Fn(T, T) -> T) {
    for (index, y) in y.chunks_exact_mut(inner).enumerate() {
        y.fill(start);
        for x in x[index * n * inner..][..n * inner].chunks_exact(inner) {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = step(*y, x);
            }
        }
    }
}
