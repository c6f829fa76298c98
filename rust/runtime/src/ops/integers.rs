//! Arithmetic on int32 and int64 tensors, element by element: results wrap, a quotient is cut towards 0.

use octavo_exec::{Pod, cast, cast_mut};

use crate::program::{DType, Op};

/// An integer type of the arithmetic.
pub trait Integer: Pod + Ord {
    /// One of Add, Sub, Mul, Div, Max, Min (any other is Min); a divisor of 0 gives 0.
    fn apply(op: Op, a: Self, b: Self) -> Self;
    /// The same number in this type, modulo its range.
    fn wrapped(number: i64) -> Self;
}

macro_rules! integer {
    ($($type:ty)*) => { $(impl Integer for $type {
        fn apply(op: Op, a: Self, b: Self) -> Self {
            match op {
                Op::Add => a.wrapping_add(b),
                Op::Sub => a.wrapping_sub(b),
                Op::Mul => a.wrapping_mul(b),
                Op::Div if b == 0 => 0,
                Op::Div => a.wrapping_div(b),
                Op::Max => a.max(b),
                _ => a.min(b),
            }
        }

        fn wrapped(number: i64) -> Self {
            number as Self
        }
    })* };
}
integer!(i32 i64);

/// What profiles call this code for a type.
pub fn name(dtype: DType) -> &'static str {
    if dtype == DType::I32 { "scalar-i32-binary" } else { "scalar-i64-binary" }
}

/// `y = op(a, b)` on the bytes of int32 or int64; a and b have the length of y, or are one element for all.
pub fn binary(op: Op, dtype: DType, a: &[u8], b: &[u8], y: &mut [u8]) {
    match dtype {
        DType::I32 => of_type::<i32>(op, cast(a), cast(b), cast_mut(y)),
        _ => of_type::<i64>(op, cast(a), cast(b), cast_mut(y)),
    }
}

fn of_type<T: Integer>(op: Op, a: &[T], b: &[T], y: &mut [T]) {
    let step = |side: &[T]| usize::from(side.len() > 1);
    let (sa, sb) = (step(a), step(b));
    for (i, y) in y.iter_mut().enumerate() {
        *y = T::apply(op, a[i * sa], b[i * sb]);
    }
}

/// `y = min(max(x, lo), hi)` on the bytes of int32 or int64; bounds of that type, given as int64.
pub fn clip(dtype: DType, x: &[u8], lo: Option<i64>, hi: Option<i64>, y: &mut [u8]) {
    fn of_type<T: Integer>(x: &[T], lo: Option<i64>, hi: Option<i64>, y: &mut [T]) {
        let (lo, hi) = (lo.map(T::wrapped), hi.map(T::wrapped));
        for (y, &x) in y.iter_mut().zip(x) {
            let x = lo.map_or(x, |lo| x.max(lo));
            *y = hi.map_or(x, |hi| x.min(hi));
        }
    }
    match dtype {
        DType::I32 => of_type::<i32>(cast(x), lo, hi, cast_mut(y)),
        _ => of_type::<i64>(cast(x), lo, hi, cast_mut(y)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_wrap_and_quotients_are_cut() {
        let cases = [
            (Op::Add, i32::MAX, 1, i32::MIN),
            (Op::Sub, i32::MIN, 1, i32::MAX),
            (Op::Mul, 1 << 30, 6, i32::MIN),
            (Op::Div, i32::MIN, -1, i32::MIN),
            (Op::Div, -7, 2, -3),
            (Op::Div, 7, -2, -3),
            (Op::Max, -1, 1, 1),
            (Op::Min, -1, 1, -1),
        ];
        for (op, a, b, expected) in cases {
            assert_eq!(i32::apply(op, a, b), expected, "{op:?} of {a} and {b}");
            let wide = i64::apply(op, a.into(), b.into());
            assert_eq!(i32::wrapped(wide), expected, "{op:?} of {a} and {b} in 64 bits");
        }
    }
}
