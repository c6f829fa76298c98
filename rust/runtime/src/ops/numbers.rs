//! The element types as numbers, for ops that compare, add or multiply elements of any dtype.

use std::cmp::Ordering;

use octavo_exec::{Pod, bytes_of_mut};
use octavo_kernels::float::half;

use crate::program::Tensor;

/// A dtype: how its elements are stored, and as what number they are computed with.
pub trait Element: Send + Sync + 'static {
    /// What lies in memory.
    type Bits: Pod + Default;
    /// What is computed with.
    type Number: Number;
    /// The number that is stored, exactly.
    fn load(bits: Self::Bits) -> Self::Number;
    /// The number, rounded to the dtype.
    fn store(number: Self::Number) -> Self::Bits;
}

/// What elements are computed with: integers wrap, NaN is greater than every other number.
pub trait Number: Copy + PartialOrd + Send + Sync + 'static {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Below or equal to every other.
    const LEAST: Self;
    /// Above or equal to every other but NaN.
    const GREATEST: Self;
    /// `self + other`; of booleans, whether one is true.
    fn plus(self, other: Self) -> Self;
    /// `self * other`; of booleans, whether both are true.
    fn times(self, other: Self) -> Self;
    /// The greater one, NaN where one is; of two zeros the positive one.
    fn greater(self, other: Self) -> Self;
    /// The lesser one, NaN where one is; of two zeros the negative one.
    fn lesser(self, other: Self) -> Self;
    /// Without its sign; the least integer stays.
    fn magnitude(self) -> Self;
    /// A part of so many equal ones: an integer's is cut towards 0, and is 0 where there are none.
    fn part_of(self, count: usize) -> Self;
    /// The root: an integer's by way of float32 and cut, 0 of a negative one.
    fn root(self) -> Self;
    /// Whether it is NaN.
    fn is_nan(self) -> bool;
    /// Without its fraction, within int64; NaN is 0.
    fn whole(self) -> i64;

    /// How many of start, start + delta, ... lie before the limit; `None` where that cannot be said.
    fn steps(start: Self, limit: Self, delta: Self) -> Option<usize>;
    /// `self + steps * delta`; of floats computed in float64.
    fn advanced(self, delta: Self, steps: usize) -> Self;

    /// The order of numbers with NaN behind all; both zeros are equal.
    #[inline]
    fn order(self, other: Self) -> Ordering {
        self.partial_cmp(&other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
    }
}

macro_rules! integers {
    ($($type:ty)*) => { $(
        impl Element for $type {
            type Bits = $type;
            type Number = $type;

            #[inline]
            fn load(bits: $type) -> $type {
                bits
            }

            #[inline]
            fn store(number: $type) -> $type {
                number
            }
        }

        impl Number for $type {
            const ZERO: $type = 0;
            const ONE: $type = 1;
            const LEAST: $type = <$type>::MIN;
            const GREATEST: $type = <$type>::MAX;

            #[inline]
            fn plus(self, other: $type) -> $type {
                self.wrapping_add(other)
            }

            #[inline]
            fn times(self, other: $type) -> $type {
                self.wrapping_mul(other)
            }

            #[inline]
            fn greater(self, other: $type) -> $type {
                self.max(other)
            }

            #[inline]
            fn lesser(self, other: $type) -> $type {
                self.min(other)
            }

            #[inline]
            fn magnitude(self) -> $type {
                if self < Self::ZERO { self.wrapping_neg() } else { self }
            }

            #[inline]
            fn part_of(self, count: usize) -> $type {
                (self as i64).checked_div(count as i64).unwrap_or(0) as $type
            }

            #[inline]
            fn root(self) -> $type {
                (self as f32).sqrt() as $type
            }

            #[inline]
            fn is_nan(self) -> bool {
                false
            }

            #[inline]
            fn whole(self) -> i64 {
                self.into()
            }

            #[inline]
            fn steps(start: $type, limit: $type, delta: $type) -> Option<usize> {
                // In 128 bits, where no difference of two of them overflows.
                let (span, delta) = (i128::from(limit) - i128::from(start), i128::from(delta));
                let is_forward = span.signum() == delta.signum() && delta != 0;
                usize::try_from(if is_forward { (span.abs() - 1) / delta.abs() + 1 } else { 0 }).ok()
            }

            #[inline]
            fn advanced(self, delta: $type, steps: usize) -> $type {
                self.wrapping_add((steps as $type).wrapping_mul(delta))
            }
        }
    )* };
}
integers!(u8 i8 i16 i32 i64);

macro_rules! floats {
    ($($type:ty)*) => { $(
        impl Element for $type {
            type Bits = $type;
            type Number = $type;

            #[inline]
            fn load(bits: $type) -> $type {
                bits
            }

            #[inline]
            fn store(number: $type) -> $type {
                number
            }
        }

        impl Number for $type {
            const ZERO: $type = 0.0;
            const ONE: $type = 1.0;
            const LEAST: $type = <$type>::NEG_INFINITY;
            const GREATEST: $type = <$type>::INFINITY;

            #[inline]
            fn plus(self, other: $type) -> $type {
                self + other
            }

            #[inline]
            fn times(self, other: $type) -> $type {
                self * other
            }

            #[inline]
            fn greater(self, other: $type) -> $type {
                // Without branches, for reductions go through it element by element.
                let ordered = if self == other {
                    <$type>::from_bits(self.to_bits() & other.to_bits())
                } else if self > other {
                    self
                } else {
                    other
                };
                if self.is_nan() { self } else { ordered }
            }

            #[inline]
            fn lesser(self, other: $type) -> $type {
                let ordered = if self == other {
                    <$type>::from_bits(self.to_bits() | other.to_bits())
                } else if self < other {
                    self
                } else {
                    other
                };
                if self.is_nan() { self } else { ordered }
            }

            #[inline]
            fn magnitude(self) -> $type {
                self.abs()
            }

            #[inline]
            fn part_of(self, count: usize) -> $type {
                self / count as $type
            }

            #[inline]
            fn root(self) -> $type {
                self.sqrt()
            }

            #[inline]
            fn is_nan(self) -> bool {
                <$type>::is_nan(self)
            }

            #[inline]
            fn whole(self) -> i64 {
                self as i64
            }

            #[inline]
            fn steps(start: $type, limit: $type, delta: $type) -> Option<usize> {
                let count = ((f64::from(limit) - f64::from(start)) / f64::from(delta)).ceil();
                (count < 2f64.powi(53)).then_some(count as usize)
            }

            #[inline]
            fn advanced(self, delta: $type, steps: usize) -> $type {
                (f64::from(self) + steps as f64 * f64::from(delta)) as $type
            }
        }
    )* };
}
floats!(f32 f64);

/// IEEE half precision, computed with as float32 and rounded once.
pub struct Half;

impl Element for Half {
    type Bits = u16;
    type Number = f32;

    #[inline]
    fn load(bits: u16) -> f32 {
        half::to_f32(bits)
    }

    #[inline]
    fn store(number: f32) -> u16 {
        half::from_f32(number)
    }
}

/// A byte that is 0 or 1.
pub struct Bool;

impl Element for Bool {
    type Bits = u8;
    type Number = bool;

    #[inline]
    fn load(bits: u8) -> bool {
        bits != 0
    }

    #[inline]
    fn store(number: bool) -> u8 {
        number.into()
    }
}

impl Number for bool {
    const ZERO: bool = false;
    const ONE: bool = true;
    const LEAST: bool = false;
    const GREATEST: bool = true;

    #[inline]
    fn plus(self, other: bool) -> bool {
        self | other
    }

    #[inline]
    fn times(self, other: bool) -> bool {
        self & other
    }

    #[inline]
    fn greater(self, other: bool) -> bool {
        self | other
    }

    #[inline]
    fn lesser(self, other: bool) -> bool {
        self & other
    }

    #[inline]
    fn magnitude(self) -> bool {
        self
    }

    #[inline]
    fn part_of(self, count: usize) -> bool {
        self && count == 1
    }

    #[inline]
    fn root(self) -> bool {
        self
    }

    #[inline]
    fn is_nan(self) -> bool {
        false
    }

    #[inline]
    fn whole(self) -> i64 {
        self.into()
    }

    #[inline]
    fn steps(_: bool, _: bool, _: bool) -> Option<usize> {
        None
    }

    #[inline]
    fn advanced(self, _: bool, _: usize) -> bool {
        self
    }
}

/// Runs code with a type of this name that is the [`Element`] of a dtype.
macro_rules! with_element {
    ($dtype:expr, $name:ident => $code:expr) => {{
        use $crate::ops::numbers::{Bool, Half};
        use $crate::program::DType;
        macro_rules! with {
            ($element:ty) => {{
                type $name = $element;
                $code
            }};
        }
        match $dtype {
            DType::U8 => with!(u8),
            DType::I8 => with!(i8),
            DType::I16 => with!(i16),
            DType::I32 => with!(i32),
            DType::I64 => with!(i64),
            DType::Bool => with!(Bool),
            DType::F16 => with!(Half),
            DType::F32 => with!(f32),
            DType::F64 => with!(f64),
            DType::Packed(_) => unreachable!("Dequantize alone reads packed constants"),
        }
    }};
}
pub(crate) use with_element;

/// Runs code with a type of this name that has as many bytes as an element: for ops that move bytes.
macro_rules! with_size {
    ($bytes:expr, $name:ident => $code:expr) => {{
        macro_rules! with {
            ($element:ty) => {{
                type $name = $element;
                $code
            }};
        }
        match $bytes {
            1 => with!(u8),
            2 => with!(u16),
            4 => with!(u32),
            _ => with!(u64),
        }
    }};
}
pub(crate) use with_size;

/// The stored elements of a tensor, whose bytes need not be aligned.
pub fn elements<T: Pod + Default>(tensor: &Tensor) -> Vec<T> {
    let mut elements = vec![T::default(); tensor.bytes().len() / size_of::<T>()];
    bytes_of_mut(&mut elements).copy_from_slice(tensor.bytes());
    elements
}

/// The elements of a tensor of any dtype without their fractions, within int64.
pub fn whole(tensor: &Tensor) -> Vec<i64> {
    fn of<E: Element>(tensor: &Tensor) -> Vec<i64> {
        elements::<E::Bits>(tensor).into_iter().map(|bits| E::load(bits).whole()).collect()
    }
    with_element!(tensor.dtype(), E => of::<E>(tensor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_and_nan_have_their_places() {
        assert!(0f32.greater(-0.0).is_sign_positive() && (-0f32).greater(0.0).is_sign_positive());
        assert!(0f64.lesser(-0.0).is_sign_negative() && (-0f64).lesser(0.0).is_sign_negative());
        assert!(f32::NAN.greater(1.0).is_nan() && 1f32.lesser(f32::NAN).is_nan());
        assert_eq!(f32::NAN.order(f32::INFINITY), Ordering::Greater);
        assert_eq!(f32::NAN.order(-f32::NAN), Ordering::Equal);
        assert_eq!(0f32.order(-0.0), Ordering::Equal);
    }

    #[test]
    fn parts_and_roots_of_integers_are_cut() {
        assert_eq!([(-7i8).part_of(2), 7i8.part_of(0), i8::MIN.magnitude()], [-3, 0, i8::MIN]);
        assert_eq!([8u8.root(), 255u8.magnitude()], [2, 255]);
        assert_eq!([(-4i64).root(), 17i64.root()], [0, 4]);
    }

    #[test]
    fn whole_numbers_of_any_dtype() {
        let tensor = Tensor::from_f32s(&[4], &[-1.5, f32::NAN, 1e30, 2.0]).unwrap();
        assert_eq!(whole(&tensor), [-1, 0, i64::MAX, 2]);
    }
}
