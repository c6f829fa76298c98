//! Sums of float32 without rounding.

use std::cmp::Ordering;

use crate::error::Error;
use crate::observe::bytes::Reader;

/// Limbs of 64 bits: 2^64 of the greatest float32 need 128 + 149 + 64 bits and a sign.
const LIMBS: usize = 6;

/// Every finite float32 is a multiple of 2^-149.
const FRACTION_BITS: i32 = 149;

/// The greatest float32 is its 24 bits times 2 to this, in units of 2^-149.
const GREATEST_PLACES: usize = 253;

/// A sum of finite float32 in units of 2^-149: a two's complement integer, the lowest limb first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExactSum([u64; LIMBS]);

impl ExactSum {
    /// The sum of one finite float32.
    pub fn of(x: f32) -> ExactSum {
        let (exponent, fraction) = (x.to_bits() >> 23 & 0xff, u64::from(x.to_bits() & 0x7f_ffff));
        let sum = match exponent {
            0 => ExactSum::shifted(fraction, 0),
            _ => ExactSum::shifted(fraction | 1 << 23, exponent as usize - 1),
        };
        if x.is_sign_negative() { sum.negated() } else { sum }
    }

    /// `number * 2^places`, in units of 2^-149; it fits.
    fn shifted(number: u64, places: usize) -> ExactSum {
        let wide = u128::from(number) << (places % 64);
        let mut limbs = [0; LIMBS];
        limbs[places / 64] = wide as u64;
        limbs[places / 64 + 1] = (wide >> 64) as u64;
        ExactSum(limbs)
    }

    /// Adds another sum.
    pub fn add(&mut self, other: ExactSum) {
        let mut carry = false;
        for (limb, more) in self.0.iter_mut().zip(other.0) {
            (*limb, carry) = limb.carrying_add(more, carry);
        }
    }

    fn negated(self) -> ExactSum {
        let mut sum = ExactSum(self.0.map(|limb| !limb));
        sum.add(ExactSum::shifted(1, 0));
        sum
    }

    fn is_negative(&self) -> bool {
        self.0[LIMBS - 1] >> 63 == 1
    }

    fn magnitude(self) -> ExactSum {
        if self.is_negative() { self.negated() } else { self }
    }

    /// Whether so many float32 can have this sum.
    pub fn is_of(self, count: u64) -> bool {
        // Times the greatest float32, of 24 bits: each half of the count apart.
        let greatest = u64::from(f32::MAX.to_bits() & 0x7f_ffff | 1 << 23);
        let mut most = ExactSum::shifted(greatest * (count & 0xffff_ffff), GREATEST_PLACES);
        most.add(ExactSum::shifted(greatest * (count >> 32), GREATEST_PLACES + 32));
        let magnitude = self.magnitude();
        !magnitude.is_negative() && magnitude <= most
    }

    /// The sum divided by a count that is not 0, rounded once to float64, to nearest and ties to even.
    pub fn mean(self, count: u64) -> f64 {
        // Two limbs more below, so that a quotient that is not 0 has more than 64 bits.
        let mut number = [0; LIMBS + 2];
        number[2..].copy_from_slice(&self.magnitude().0);
        let mut rest = 0;
        for limb in number.iter_mut().rev() {
            let wide = u128::from(rest) << 64 | u128::from(*limb);
            *limb = (wide / u128::from(count)) as u64;
            rest = (wide % u128::from(count)) as u64;
        }
        let Some(top) = number.iter().rposition(|&limb| limb != 0) else { return 0.0 };
        // The upper 64 bits, the last of them set where anything lies below: rounded to 53, that is as good as all.
        let spare = number[top].leading_zeros();
        let wide = u128::from(number[top]) << 64 | u128::from(number[top - 1]);
        let is_rest =
            (wide << spare) as u64 != 0 || number[..top - 1].iter().any(|&limb| limb != 0) || rest != 0;
        let upper = (wide << spare >> 64) as u64 | u64::from(is_rest);
        let places = 64 * (top as i32 - 2) - spare as i32 - FRACTION_BITS;
        let mean = upper as f64 * power_of_two(places);
        if self.is_negative() { -mean } else { mean }
    }

    /// The little-endian bytes.
    pub fn to_bytes(self) -> [u8; 8 * LIMBS] {
        let mut bytes = [0; 8 * LIMBS];
        for (bytes, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }

    /// The sum of those bytes.
    pub fn from_bytes(bytes: &mut Reader<'_>) -> Result<ExactSum, Error> {
        let mut limbs = [0; LIMBS];
        for limb in &mut limbs {
            *limb = u64::from_le_bytes(bytes.array()?);
        }
        Ok(ExactSum(limbs))
    }
}

impl Ord for ExactSum {
    fn cmp(&self, other: &ExactSum) -> Ordering {
        let by_sign = other.is_negative().cmp(&self.is_negative());
        by_sign.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for ExactSum {
    fn partial_cmp(&self, other: &ExactSum) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// 2^n, for an n of normal float64.
pub fn power_of_two(n: i32) -> f64 {
    f64::from_bits(((1023 + n) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(numbers: impl IntoIterator<Item = f32>) -> ExactSum {
        let mut all = ExactSum::default();
        numbers.into_iter().for_each(|x| all.add(ExactSum::of(x)));
        all
    }

    /// Of small multiples of a power of two, whose mean i128 and one division give.
    #[test]
    fn means_of_numbers_that_other_integers_hold() {
        let numbers = [0i64, 1, -1, 3, 0xff_ffff, -0xff_fffe, 1 << 22, -5, 77777, 8_388_609];
        for exponent in [-149, -140, -126, -60, -1, 0, 1, 60, 104] {
            let unit = power_of_two(exponent);
            for length in 1..=numbers.len() {
                let some = &numbers[..length];
                // A divisor below 2^53, and a sum below 2^53: float64's division rounds once.
                let mean = some.iter().sum::<i64>() as f64 / length as f64 * unit;
                let given = sum(some.iter().map(|&n| (n as f64 * unit) as f32)).mean(length as u64);
                assert_eq!(given.to_bits(), mean.to_bits(), "{some:?} times 2^{exponent}");
            }
        }
    }

    #[test]
    fn nothing_is_lost_beside_what_is_large() {
        let mut all = sum([f32::MAX, 1e-45, -f32::MAX]);
        assert_eq!(all, ExactSum::of(1e-45));
        all.add(ExactSum::of(-1e-45));
        assert_eq!((all, all.mean(7)), (ExactSum::default(), 0.0));
        assert_eq!(ExactSum::of(-0.0), ExactSum::of(0.0));
    }

    /// 2^53 + 1 is a tie between 2^53 and 2^53 + 2; what lies far below it decides.
    #[test]
    fn means_are_rounded_once() {
        let large = 9_007_199_254_740_992f32;
        for (below, mean) in [(0.0, 0.0), (-1e-45, 0.0), (1e-45, 2.0), (2.0, 3.0), (1.0, 2.0)] {
            let all = sum([large, 1.0, below]);
            assert_eq!(all.mean(1), f64::from(large) + mean, "{below}");
            let all = sum([-large, -1.0, -below]);
            assert_eq!(all.mean(1), -(f64::from(large) + mean), "{below}");
        }
        // Thirds have no end in binary.
        for (total, third) in [(1.0, 1.0 / 3.0), (2.0, 2.0 / 3.0), (-5.0, -5.0 / 3.0)] {
            assert_eq!(sum([total]).mean(3), third);
        }
    }

    #[test]
    fn sums_of_the_most_and_the_greatest() {
        let (mut most, count) = (ExactSum::of(f32::MAX), u64::MAX);
        (0..64).for_each(|_| most.add(most));
        most.add(ExactSum::of(f32::MIN));
        assert_eq!(most.mean(count), f64::from(f32::MAX));
        assert!(most.is_of(count) && !most.is_of(count - 1));
        assert!(most.negated().is_of(count) && !most.negated().is_of(count - 1));
        assert_eq!(most.negated().mean(count), f64::from(f32::MIN));
        most.add(ExactSum::of(1e-45));
        assert!(!most.is_of(count) && !most.negated().is_of(count));
        let mut least = [0; 8 * LIMBS];
        least[8 * LIMBS - 1] = 0x80;
        assert!(!ExactSum::from_bytes(&mut Reader::new(&least, 0)).unwrap().is_of(count));
        assert!(ExactSum::default().is_of(0) && !ExactSum::of(1e-45).is_of(0));
    }

    #[test]
    fn sums_are_in_order_and_have_bytes() {
        let numbers = [f32::MIN, -2.0, -1.0, -1e-45, 0.0, 1e-45, 1.0, 2.0, f32::MAX];
        for (i, &x) in numbers.iter().enumerate() {
            for (j, &y) in numbers.iter().enumerate() {
                assert_eq!(ExactSum::of(x).cmp(&ExactSum::of(y)), i.cmp(&j), "{x} and {y}");
            }
            let bytes = ExactSum::of(x).to_bytes();
            assert_eq!(ExactSum::from_bytes(&mut Reader::new(&bytes, 0)).unwrap(), ExactSum::of(x));
        }
        assert_eq!(ExactSum::of(-1e-45).to_bytes(), [0xff; 8 * LIMBS]);
    }
}
