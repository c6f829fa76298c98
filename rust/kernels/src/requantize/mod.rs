//! Requantization: an int32 accumulator becomes an 8-bit value, with one rounding.
//!
//! `y = clamp(zero_point + floor((acc * M + 2^(S-1)) / 2^S), lo, hi)`: the exact 64-bit product, ties up.
//! This scalar code is the text of the rule; the vector code, which the families of kernels share, equals it bit for bit.

mod add;
mod floats;
mod residual;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod scale;
#[cfg(test)]
mod tests;
pub(crate) mod words;

pub use add::AddParams;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use add::VectorAdd;
pub(crate) use floats::{float_factor, is_exact_in_floats};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use residual::ResidualScale;
pub use residual::{
    RESIDUAL_MULTIPLIER_END, RESIDUAL_SHIFT_MAX, ResidualParams, residual_constant,
    residual_multiplier_shift, residual_term,
};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use scale::{Clamp, FloatScale, HighScale, Limits, UniformScale, scale_any};

/// The smallest multiplier: `M` is `2^7` times an odd integer of 24 bits, so it lies in `(2^30, 2^31)`.
pub const MULTIPLIER_MIN: i32 = (1 << 30) + (1 << 7);
/// The largest shift: `S` lies in `1..=62`.
pub const SHIFT_MAX: u32 = 62;
/// The smallest shift at which a product's high half is all that the rounding needs.
pub(crate) const HIGH_SHIFT: i32 = 33;

/// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)`, exact in 64 bits.
///
/// `shift` is in `1..=62` and `|multiplier| < 2^31`, so the sum stays below `2^63`.
#[inline(always)]
pub fn scale_and_round(acc: i32, multiplier: i32, shift: u32) -> i64 {
    (i64::from(acc) * i64::from(multiplier) + (1i64 << (shift - 1))) >> shift
}

/// The 8-bit value of an accumulator: [`scale_and_round`], then the zero point, then the clamp to `lo..=hi`.
#[inline(always)]
pub fn requantize(acc: i32, multiplier: i32, shift: u32, zero_point: i32, lo: i32, hi: i32) -> u8 {
    let y = scale_and_round(acc, multiplier, shift) + i64::from(zero_point);
    y.clamp(i64::from(lo), i64::from(hi)) as u8
}

/// The multiplier and shift of a positive real factor `m`, formula (8) of docs/arithmetic.md.
///
/// `M` is `2^7` times the odd integer nearest to `m * 2^(S-7)`, which lies in `[2^23, 2^24)`, the larger of two;
/// `m < 2^-32` takes the least `M` at `S = 62`.
/// `None` where `m` is not a positive finite number, or is `2^30` or more (the op must stay float).
pub fn multiplier_shift(m: f64) -> Option<(i32, u32)> {
    // NaN fails the first comparison, infinity the second.
    if !(m > 0.0 && m < f64::from(1 << 30)) {
        return None;
    }
    if m < (2f64).powi(-32) {
        return Some((MULTIPLIER_MIN, SHIFT_MAX));
    }
    // m is a normal number here, so its exponent field is floor(log2 m) + 1023.
    let exponent = ((m.to_bits() >> 52) as i32) - 1023;
    let shift = 30 - exponent;
    // A power of two times m is exact; taking the odd integer is the only rounding.
    let odd = (m * (2f64).powi(shift - 7)) as i32 | 1;
    Some((odd << 7, shift as u32))
}

/// Whether this is an odd integer of 24 bits times `2^7`.
pub fn is_multiplier(multiplier: i32) -> bool {
    multiplier >= MULTIPLIER_MIN && multiplier % 256 == 128
}

/// What turns the int32 accumulators of a matrix product or a convolution into 8-bit values: for channel `c`,
/// `requantize(acc + bias[c], multiplier[c], shift[c], zero_point, lo, hi)`.
///
/// The bias already holds the correction for the input's zero point. The multipliers are as [`multiplier_shift`] makes
/// them, shifts in `1..=62`, `0 <= lo <= hi <= 255`.
#[derive(Clone, Copy, Debug)]
pub struct Requantize<'a> {
    /// One a channel, added to the accumulator modulo 2^32.
    pub bias: &'a [i32],
    /// No channel's sum, with its bias and whatever else joins it, is larger in magnitude: `2^31` where nothing is known.
    pub reach: i64,
    /// One a channel.
    pub multiplier: &'a [i32],
    /// One a channel, each in `1..=62`.
    pub shift: &'a [i32],
    /// The output's zero point.
    pub zero_point: i32,
    /// The smallest output.
    pub lo: i32,
    /// The largest output.
    pub hi: i32,
}
