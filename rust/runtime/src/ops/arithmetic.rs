//! Arithmetic on numbers of any type, element by element: integers wrap, each operation of a float is rounded once.
//!
//! float32 has kernels of its own for what is here, but for Mod.

use octavo_exec::{Pod, cast, cast_mut};

use crate::ops::node::error;
use crate::ops::numbers::Number;
use crate::plan::builder::Stop;
use crate::program::{DType, Node, Op};

/// What profiles call this code.
pub const NAME: &str = "scalar-elementwise";

/// A function of the bytes of whole elements: as many on either side as of answers, or one that stands for all.
pub type Pair = Box<dyn Fn(&[u8], &[u8], &mut [u8]) + Send + Sync>;
/// A function of the bytes of as many elements as of answers.
pub type Map = Box<dyn Fn(&[u8], &mut [u8]) + Send + Sync>;

/// What ONNX's elementwise ops do with numbers beyond [`Number`].
pub trait Arithmetic: Pod + Number {
    /// The difference.
    fn minus(self, other: Self) -> Self;
    /// The quotient; of integers it is cut towards 0, and by 0 it is 0.
    fn over(self, other: Self) -> Self;
    /// What the quotient cut towards 0 leaves: it has the sign of `self`. Of integers 0 where `other` is 0.
    fn remainder(self, other: Self) -> Self;
    /// What the quotient rounded down leaves: it has the sign of `other`. Of integers 0 where `other` is 0.
    fn modulo(self, other: Self) -> Self;
    /// The sign flipped.
    fn negated(self) -> Self;
}

/// An integer.
pub trait Integer: Arithmetic + Eq {
    /// The power; a negative exponent is one of the reciprocal, cut towards 0, and that of 0 is 0.
    fn power(self, exponent: Self) -> Self;
    /// The bits that both have.
    fn and(self, other: Self) -> Self;
    /// The bits that one has.
    fn or(self, other: Self) -> Self;
    /// The bits that one alone has.
    fn xor(self, other: Self) -> Self;
    /// All bits flipped.
    fn flipped(self) -> Self;
    /// The bits moved up; what leaves the type is lost, all where `by` is negative or the type's width or more.
    fn left(self, by: Self) -> Self;
    /// The bits moved down, copies of the sign behind them; nothing else where `by` is as for `left`.
    fn right(self, by: Self) -> Self;
}

macro_rules! integers {
    ($($type:ty)*) => { $(
        impl Arithmetic for $type {
            fn minus(self, other: $type) -> $type {
                self.wrapping_sub(other)
            }

            fn over(self, other: $type) -> $type {
                if other == 0 { 0 } else { self.wrapping_div(other) }
            }

            fn remainder(self, other: $type) -> $type {
                if other == 0 { 0 } else { self.wrapping_rem(other) }
            }

            fn modulo(self, other: $type) -> $type {
                let rest = self.remainder(other);
                let is_across = rest != 0 && (rest < Self::ZERO) != (other < Self::ZERO);
                if is_across { rest.wrapping_add(other) } else { rest }
            }

            fn negated(self) -> $type {
                self.wrapping_neg()
            }
        }

        impl Integer for $type {
            fn power(self, exponent: $type) -> $type {
                let is_odd = exponent & 1 == 1;
                if exponent < Self::ZERO {
                    let is_unit = self == 1 || self.wrapping_add(1) == 0;
                    return if !is_unit { 0 } else if is_odd { self } else { 1 };
                }
                let (mut power, mut square, mut rest) = (1 as $type, self, exponent);
                while rest > 0 {
                    if rest & 1 == 1 {
                        power = power.wrapping_mul(square);
                    }
                    square = square.wrapping_mul(square);
                    rest >>= 1;
                }
                power
            }

            fn and(self, other: $type) -> $type {
                self & other
            }

            fn or(self, other: $type) -> $type {
                self | other
            }

            fn xor(self, other: $type) -> $type {
                self ^ other
            }

            fn flipped(self) -> $type {
                !self
            }

            fn left(self, by: $type) -> $type {
                u32::try_from(by).ok().and_then(|by| self.checked_shl(by)).unwrap_or(0)
            }

            fn right(self, by: $type) -> $type {
                let by = u32::try_from(by).unwrap_or(<$type>::BITS);
                self >> by.min(<$type>::BITS - 1) >> u32::from(by >= <$type>::BITS)
            }
        }
    )* };
}
integers!(u8 i8 i16 i32 i64);

macro_rules! floats {
    ($($type:ty)*) => { $(impl Arithmetic for $type {
        fn minus(self, other: $type) -> $type {
            self - other
        }

        fn over(self, other: $type) -> $type {
            self / other
        }

        fn remainder(self, other: $type) -> $type {
            self % other
        }

        fn modulo(self, other: $type) -> $type {
            let rest = self % other;
            if rest == 0.0 {
                rest.copysign(other)
            } else if (rest < 0.0) != (other < 0.0) {
                rest + other
            } else {
                rest
            }
        }

        fn negated(self) -> $type {
            -self
        }
    })* };
}
floats!(f32 f64);

/// Elements that a run is cut into.
const BLOCK: usize = 32;

/// The block of that number of an operand, or its one element as often as needed.
fn block<'x, T>(x: &'x [T], repeated: &'x [T; BLOCK], index: usize, count: usize) -> &'x [T] {
    if x.len() == 1 { &repeated[..count] } else { &x[index * BLOCK..][..count] }
}

/// The pair function that applies `f` to each two elements.
pub fn zip<A: Pod, B: Pod, Y: Pod>(f: impl Fn(A, B) -> Y + Send + Sync + 'static) -> Pair {
    Box::new(move |a, b, y| {
        let (a, b) = (cast::<A>(a), cast::<B>(b));
        let (Some(&first_a), Some(&first_b)) = (a.first(), b.first()) else { return };
        let (repeated_a, repeated_b) = ([first_a; BLOCK], [first_b; BLOCK]);
        for (index, y) in cast_mut::<Y>(y).chunks_mut(BLOCK).enumerate() {
            let a = block(a, &repeated_a, index, y.len());
            let b = block(b, &repeated_b, index, y.len());
            for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                *y = f(a, b);
            }
        }
    })
}

/// The function that applies `f` to each element.
pub fn map<X: Pod, Y: Pod>(f: impl Fn(X) -> Y + Send + Sync + 'static) -> Map {
    Box::new(move |x, y| {
        for (y, &x) in cast_mut::<Y>(y).iter_mut().zip(cast::<X>(x)) {
            *y = f(x);
        }
    })
}

/// The function of two tensors of a type that a node stands for.
pub fn pair(node: &Node, dtype: DType) -> Result<Pair, Stop> {
    match dtype {
        DType::U8 => pair_of_integers::<u8>(node),
        DType::I8 => pair_of_integers::<i8>(node),
        DType::I16 => pair_of_integers::<i16>(node),
        DType::I32 => pair_of_integers::<i32>(node),
        DType::I64 => pair_of_integers::<i64>(node),
        DType::F32 => pair_of_numbers::<f32>(node),
        DType::F64 => pair_of_numbers::<f64>(node),
        _ => Err(unfit(node, dtype)),
    }
}

fn pair_of_integers<T: Integer>(node: &Node) -> Result<Pair, Stop> {
    Ok(match node.op {
        Op::Pow => zip(T::power),
        Op::BitShift if node.attributes.str("direction")? == "LEFT" => zip(T::left),
        Op::BitShift => zip(T::right),
        Op::BitwiseAnd => zip(T::and),
        Op::BitwiseOr => zip(T::or),
        Op::BitwiseXor => zip(T::xor),
        _ => return pair_of_numbers::<T>(node),
    })
}

fn pair_of_numbers<T: Arithmetic>(node: &Node) -> Result<Pair, Stop> {
    Ok(match node.op {
        Op::Add => zip(T::plus),
        Op::Sub => zip(T::minus),
        Op::Mul => zip(T::times),
        Op::Div => zip(T::over),
        Op::Mod if node.attributes.int("fmod")? == 0 => zip(T::modulo),
        Op::Mod => zip(T::remainder),
        Op::Max => zip(T::greater),
        Op::Min => zip(T::lesser),
        Op::PRelu => zip(|x: T, slope: T| if x < T::ZERO { x.times(slope) } else { x }),
        _ => return Err(error(node, "does not run in this version")),
    })
}

/// The function of one tensor of a type that a node stands for.
pub fn single(node: &Node, dtype: DType) -> Result<Map, Stop> {
    match dtype {
        DType::U8 => map_of_integers::<u8>(node),
        DType::I8 => map_of_integers::<i8>(node),
        DType::I16 => map_of_integers::<i16>(node),
        DType::I32 => map_of_integers::<i32>(node),
        DType::I64 => map_of_integers::<i64>(node),
        DType::F64 => map_of_doubles(node),
        _ => Err(unfit(node, dtype)),
    }
}

fn map_of_integers<T: Integer>(node: &Node) -> Result<Map, Stop> {
    if node.op == Op::BitwiseNot { Ok(map(T::flipped)) } else { map_of_numbers::<T>(node) }
}

fn map_of_doubles(node: &Node) -> Result<Map, Stop> {
    let alpha = || node.attributes.f32("alpha").map(f64::from);
    Ok(match node.op {
        Op::LeakyRelu => alpha().map(|alpha| map(move |x: f64| if x < 0.0 { alpha * x } else { x }))?,
        Op::ThresholdedRelu => alpha().map(|alpha| map(move |x: f64| if x <= alpha { 0.0 } else { x }))?,
        Op::Sqrt => map(f64::sqrt),
        Op::Reciprocal => map(|x: f64| 1.0 / x),
        Op::Floor => map(f64::floor),
        Op::Ceil => map(f64::ceil),
        Op::Round => map(f64::round_ties_even),
        _ => return map_of_numbers::<f64>(node),
    })
}

fn map_of_numbers<T: Arithmetic>(node: &Node) -> Result<Map, Stop> {
    Ok(match node.op {
        Op::Relu => map(|x: T| if x <= T::ZERO { T::ZERO } else { x }),
        Op::Abs => map(T::magnitude),
        Op::Neg => map(T::negated),
        Op::Sign => map(|x: T| match () {
            () if x > T::ZERO => T::ONE,
            () if x < T::ZERO => T::ZERO.minus(T::ONE),
            () if x == T::ZERO => T::ZERO,
            () => x,
        }),
        _ => return Err(error(node, "does not run in this version")),
    })
}

fn unfit(node: &Node, dtype: DType) -> Stop {
    error(node, &format!("tensors of {} do not run", dtype.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_wrap_and_quotients_are_cut() {
        assert_eq!(i32::MAX.plus(1), i32::MIN);
        assert_eq!(0u8.minus(1), 255);
        assert_eq!((1i32 << 30).times(6), i32::MIN);
        assert_eq!([(-7i8).over(2), 7i8.over(-2), i8::MIN.over(-1), 5i8.over(0)], [-3, -3, i8::MIN, 0]);
        assert_eq!([(-7i8).remainder(2), 7i8.remainder(-2), i8::MIN.remainder(-1)], [-1, 1, 0]);
        assert_eq!([(-7i8).modulo(3), 7i8.modulo(-3), 6i8.modulo(-3), 5i8.modulo(0)], [2, -2, 0, 0]);
        assert_eq!(200u8.modulo(7), 4);
        assert_eq!([i16::MIN.magnitude(), (-3i16).magnitude(), 3i16.negated()], [i16::MIN, 3, -3]);
    }

    #[test]
    fn powers_of_integers_wrap() {
        assert_eq!([3i64.power(4), (-2i64).power(63), 2i64.power(64), 0i64.power(0)], [81, i64::MIN, 0, 1]);
        assert_eq!([2i32.power(-1), 1i32.power(-5), (-1i32).power(-5), (-1i32).power(-4)], [0, 1, -1, 1]);
        assert_eq!(0i32.power(-1), 0);
    }
}
