//! How a sum becomes an int16: by integers, or by floats where the CPU rounds a product and a sum once.

/// Adding this to a float64 of at most 2^51 in magnitude rounds it to an integer, ties to even, which then stands in the
/// low bits of the sum.
pub(crate) const ROUND: f64 = 6_755_399_441_055_744.0;

/// The same of a float32 of at most 2^22 in magnitude.
pub(crate) const ROUND_F32: f32 = 12_582_912.0;

/// A multiplier and a shift, and the clamp: formula (9) of docs/arithmetic.md for the zero point 0.
///
/// `2^7` divides the multiplier, which is below `2^31`; the shift is in `1..=62`, in `8..=62` for sums beyond int32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale<const FUSED: bool> {
    multiplier: i64,
    shift: u32,
    factor: f64,
    lo: i32,
    hi: i32,
}

impl<const FUSED: bool> Scale<FUSED> {
    /// Of numbers within their bounds.
    #[inline(always)]
    pub fn new(multiplier: i32, shift: u32, lo: i32, hi: i32) -> Self {
        Scale { multiplier: i64::from(multiplier >> 7), shift, factor: factor(multiplier, shift), lo, hi }
    }

    /// `clamp(floor((acc * multiplier + 2^(shift-1)) / 2^shift), lo, hi)` of a sum below `2^38` in magnitude.
    #[inline(always)]
    pub fn apply(self, acc: i64) -> i16 {
        if FUSED {
            return self.fused(acc as f64);
        }
        let product = acc * self.multiplier;
        let rounded = if self.shift >= 8 {
            (product + ((1 << (self.shift - 7)) >> 1)) >> (self.shift - 7)
        } else {
            product << (7 - self.shift)
        };
        rounded.clamp(i64::from(self.lo), i64::from(self.hi)) as i16
    }

    /// The same of an int32.
    #[inline(always)]
    pub fn apply_short(self, acc: i32) -> i16 {
        if FUSED { self.fused(f64::from(acc)) } else { self.apply(i64::from(acc)) }
    }

    /// The same of an integer of 16 bits or fewer. It and the factor are float32, so that one rounding gives formula (9) here
    /// too, as section 4 of docs/arithmetic.md shows for any sum that float32 holds.
    #[inline(always)]
    pub fn apply_word(self, x: i32) -> i32 {
        if !FUSED {
            return i32::from(self.apply(i64::from(x)));
        }
        let (lo, hi) = (ROUND_F32 + self.lo as f32, ROUND_F32 + self.hi as f32);
        let rounded = (x as f32).mul_add(self.factor as f32, ROUND_F32);
        let rounded = if rounded > lo { rounded } else { lo };
        let rounded = if rounded < hi { rounded } else { hi };
        rounded.to_bits() as i32 - ROUND_F32.to_bits() as i32
    }

    /// The product is rounded once, to a multiple of 1, where the clamp does not decide; formula (9d).
    #[inline(always)]
    fn fused(self, acc: f64) -> i16 {
        let (lo, hi) = (ROUND + f64::from(self.lo), ROUND + f64::from(self.hi));
        let rounded = acc.mul_add(self.factor, ROUND);
        let rounded = if rounded > lo { rounded } else { lo };
        let rounded = if rounded < hi { rounded } else { hi };
        rounded.to_bits() as i16
    }
}

/// `multiplier / 2^shift`, exactly.
#[inline(always)]
pub(crate) fn factor(multiplier: i32, shift: u32) -> f64 {
    f64::from(multiplier) * f64::from_bits(u64::from(1023 - shift) << 52)
}

/// Panics unless int16 without its least can be held to these bounds.
pub(crate) fn assert_clamp(lo: i32, hi: i32) {
    assert!(-32_767 <= lo && lo <= hi && hi <= 32_767, "clamp to {lo}..={hi}");
}

/// Panics unless these are a multiplier and a shift of formula (9).
pub(crate) fn assert_factor(multiplier: i32, shift: u32) {
    assert!(multiplier > 0 && multiplier % 128 == 0 && (1..=62).contains(&shift), "{multiplier} / 2^{shift}");
}
