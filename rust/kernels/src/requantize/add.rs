//! QAdd: the sum of two bytes of different scales.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::scale::Clamp;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::simd::Vector;

/// QAdd of two bytes `a` and `b`:
/// `clamp(y_zero_point + floor(((a - a_zero_point) * a_multiplier + (b - b_zero_point) * b_multiplier + 2^(shift-1)) / 2^shift), lo, hi)`.
#[derive(Clone, Copy, Debug)]
pub struct AddParams {
    /// Zero point of `a`.
    pub a_zero_point: i32,
    /// Zero point of `b`.
    pub b_zero_point: i32,
    /// Zero point of the sum.
    pub y_zero_point: i32,
    /// `|a_multiplier| < 2^15`.
    pub a_multiplier: i32,
    /// `|b_multiplier| < 2^15`.
    pub b_multiplier: i32,
    /// In `1..=30`.
    pub shift: u32,
    /// The smallest sum.
    pub lo: i32,
    /// The largest sum.
    pub hi: i32,
}

impl AddParams {
    /// The sum of two 8-bit values.
    #[inline(always)]
    pub(crate) fn apply(&self, a: u8, b: u8) -> u8 {
        let sum = i32::from(a) * self.a_multiplier + i32::from(b) * self.b_multiplier + self.constant();
        ((sum >> self.shift) + self.y_zero_point).clamp(self.lo, self.hi) as u8
    }

    /// What does not depend on the two values: their zero points' part and the rounding.
    #[inline(always)]
    fn constant(&self) -> i32 {
        (1 << (self.shift - 1))
            - self.a_zero_point * self.a_multiplier
            - self.b_zero_point * self.b_multiplier
    }

    /// # Panics
    /// Where a value is out of the range that the vector code is exact for.
    pub(crate) fn check(&self) {
        let bytes = 0..=255;
        assert!(
            [self.a_zero_point, self.b_zero_point, self.y_zero_point].iter().all(|z| bytes.contains(z)),
            "zero points are bytes"
        );
        assert!(
            self.a_multiplier.abs() < 1 << 15 && self.b_multiplier.abs() < 1 << 15,
            "multipliers have 16 bits"
        );
        assert!((1..=30).contains(&self.shift), "an addition's shift lies in 1..=30");
        assert!(0 <= self.lo && self.lo <= self.hi && self.hi <= 255, "lo and hi are bytes in order");
    }
}

/// [`AddParams`] in registers.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[derive(Clone, Copy)]
pub(crate) struct VectorAdd<V> {
    /// In each lane both multipliers, `a`'s in the lower word.
    multipliers: V,
    constant: V,
    shift: V,
    clamp: Clamp<V>,
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl<V: Vector> VectorAdd<V> {
    /// # Safety
    /// The CPU has the tier of `V`; the parameters have been checked.
    #[inline(always)]
    pub unsafe fn new(params: &AddParams) -> VectorAdd<V> {
        // SAFETY: the caller's.
        unsafe {
            VectorAdd {
                multipliers: V::splat((params.b_multiplier << 16) | (params.a_multiplier & 0xFFFF)),
                constant: V::splat(params.constant()),
                shift: V::splat(params.shift as i32),
                clamp: Clamp::new(params.y_zero_point, params.lo, params.hi),
            }
        }
    }

    /// The sums of the bytes of two registers.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn apply(&self, a: V, b: V) -> V {
        // SAFETY: the caller's.
        unsafe {
            let zero = V::splat(0);
            let (low, high) = (a.unpack_low_bytes(b), a.unpack_high_bytes(b));
            self.clamp.bytes([
                self.sums(low.unpack_low_bytes(zero)),
                self.sums(low.unpack_high_bytes(zero)),
                self.sums(high.unpack_low_bytes(zero)),
                self.sums(high.unpack_high_bytes(zero)),
            ])
        }
    }

    /// The sums of pairs of words `(a, b)`: `a * a_multiplier + b * b_multiplier` is exact in 32 bits.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    unsafe fn sums(&self, pairs: V) -> V {
        // SAFETY: the caller's.
        unsafe { pairs.dot_words(self.multipliers).add(self.constant).shift_right(self.shift) }
    }
}
