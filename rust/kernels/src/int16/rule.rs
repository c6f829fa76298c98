//! What kernels of int16 take to make results of their sums, and what these sums can be.

/// What weights' magnitudes may sum to where int32 holds a sum of their products with any int16, formula (5a).
pub(super) const SHORT_SUM: i64 = 65_535;

/// The most that the magnitude of a sum of these weights' products with int16 can be.
pub fn reach(weights: &[i8]) -> i64 {
    weights.iter().map(|w| i64::from(w.unsigned_abs())).sum::<i64>() << 15
}

/// How sums become int16: for channel `c`, formula (9) of `acc + bias[c]`.
#[derive(Clone, Copy, Debug)]
pub struct Requantize<'a> {
    /// One a channel; no sum with it reaches `2^38`.
    pub bias: &'a [i64],
    /// What the magnitude of each channel's sum without the bias can be, or more: see [`reach`].
    pub reach: &'a [i64],
    /// One a channel, odd numbers of 24 bits times `2^7`.
    pub multiplier: &'a [i32],
    /// One a channel, each in `8..=62`.
    pub shift: &'a [i32],
    /// The smallest output.
    pub lo: i32,
    /// The largest output.
    pub hi: i32,
}

/// How sums become float32: `fma(float32(acc) * x_scale, scale[c], bias[c])`.
#[derive(Clone, Copy, Debug)]
pub struct Floats<'a> {
    /// The input's scale.
    pub x_scale: f32,
    /// One a channel.
    pub scale: &'a [f32],
    /// One a channel.
    pub bias: &'a [f32],
}
