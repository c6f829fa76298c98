//! A residual that a sum takes up at the sum's own scale, before the one rounding to bytes: formulas (9a) to (9c) of
//! docs/arithmetic.md.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::simd::Vector;

/// A residual's multiplier stays below this, so that words hold it.
pub const RESIDUAL_MULTIPLIER_END: i32 = 1 << 15;
/// The largest shift of a residual: `t` lies in `1..=23`.
pub const RESIDUAL_SHIFT_MAX: u32 = 23;

/// `floor(((r - zero_point) * multiplier + 2^(shift-1)) / 2^shift)`: what a residual adds to a sum.
///
/// The zero point is a byte, the multiplier in `0..2^15` and the shift in `1..=23`, so 24 bits hold the product.
#[inline(always)]
pub fn residual_term(r: u8, zero_point: i32, multiplier: i32, shift: u32) -> i32 {
    (i32::from(r) * multiplier + residual_constant(zero_point, multiplier, shift)) >> shift
}

/// What of a [`residual_term`] does not depend on the residual: `2^(shift-1) - zero_point * multiplier`.
#[inline(always)]
pub fn residual_constant(zero_point: i32, multiplier: i32, shift: u32) -> i32 {
    (1 << (shift - 1)) - zero_point * multiplier
}

/// The multiplier and shift of a residual, formula (9b) of docs/arithmetic.md: `ratio` is its scale over that of the sums.
///
/// `None` where the ratio is not positive, or so large that the shift would be below 1.
pub fn residual_multiplier_shift(ratio: f64) -> Option<(i32, u32)> {
    // NaN fails the first comparison.
    if !(ratio > 0.0 && ratio < f64::from(1 << 14)) {
        return None;
    }
    // In [2^(exponent - 1), 2^exponent); a ratio that is not normal is 0 at any shift.
    let exponent = ((ratio.to_bits() >> 52) as i32) - 1022;
    let shift = (15 - exponent).min(RESIDUAL_SHIFT_MAX as i32);
    // A power of two times the ratio is exact, and half is added exactly below 2^16.
    let multiplier = (ratio * (2f64).powi(shift) + 0.5).floor() as i32;
    let (multiplier, shift) = if multiplier == RESIDUAL_MULTIPLIER_END {
        (multiplier >> 1, shift - 1)
    } else {
        (multiplier, shift)
    };
    (shift >= 1).then_some((multiplier, shift as u32))
}

/// What turns a residual `r` into a part of the sums: for channel `c`, `(r * multiplier[c] + constant[c]) >> shift[c]`.
#[derive(Clone, Copy, Debug)]
pub struct ResidualParams<'a> {
    /// One a channel, each in `0..2^15`.
    pub multiplier: &'a [i32],
    /// One a channel, [`residual_constant`].
    pub constant: &'a [i32],
    /// One a channel, each in `1..=23`.
    pub shift: &'a [i32],
}

/// [`ResidualParams`] of a register's channels.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[derive(Clone, Copy)]
pub(crate) struct ResidualScale<V> {
    pub multiplier: V,
    pub constant: V,
    pub shift: V,
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl<V: Vector> ResidualScale<V> {
    /// What the residuals, one a lane, add to the sums. Their upper words are 0, so the product of words is that of lanes.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn apply(&self, residuals: V) -> V {
        // SAFETY: the caller's.
        unsafe { residuals.dot_words(self.multiplier).add(self.constant).shift_right(self.shift) }
    }
}
