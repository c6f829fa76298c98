//! Powers, in float64 inside: `x^y = 2^(y log2 |x|)`, rounded to float32 once.

/// `log2(m) = s P(s^2)`, `s = (m - 1) / (m + 1)`, on `sqrt(1/2) <= m < sqrt(2)`; fit error 2^-51.
pub(super) const LOG2: [f64; 7] = [
    2.885390081777927,
    0.9617966939244106,
    0.577078017227666,
    0.41219840403274044,
    0.32061628515237695,
    0.2614468181261259,
    0.242891446003137,
];
/// `2^r = P(r)` on `|r| <= 1/2`; fit error 2^-40.
pub(super) const EXP2: [f64; 9] = [
    0.9999999999997623,
    0.6931471805465084,
    0.24022650698886,
    0.055504109393542465,
    0.009618128542872825,
    0.0013333452044484084,
    0.00015403851856454092,
    1.530974754089967e-05,
    1.3175714336873508e-06,
];

/// Horner's rule with two roundings a step: float64 has no fused multiply-add in the reference.
#[inline(always)]
pub fn horner<const N: usize>(x: f64, coefficients: &[f64; N]) -> f64 {
    let mut sum = coefficients[N - 1];
    for i in (0..N - 1).rev() {
        sum = sum * x + coefficients[i];
    }
    sum
}

/// log2 of a number from float32's range, subnormal ones among them; exact at powers of two.
#[inline(always)]
pub fn log2(magnitude: f64) -> f64 {
    // The upper half of the bits decides the exponent: AVX2 has no arithmetic shift of 64 bits.
    const SQRT_HALF: i32 = (std::f64::consts::FRAC_1_SQRT_2.to_bits() >> 32) as i32;
    let bits = magnitude.to_bits();
    let k = ((bits >> 32) as i32).wrapping_sub(SQRT_HALF) >> 20;
    let m = f64::from_bits(bits.wrapping_sub((k as u64) << 52));
    let s = (m - 1.0) / (m + 1.0);
    let y = f64::from(k) + s * horner(s * s, &LOG2);
    let y = if magnitude == f64::INFINITY { f64::INFINITY } else { y };
    if magnitude == 0.0 { f64::NEG_INFINITY } else { y }
}

/// 2^t, for any t; beyond float32's range in either direction it only need overflow or vanish there.
#[inline(always)]
pub fn exp2(t: f64) -> f64 {
    const ROUNDER: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    let t = if t > 200.0 { 200.0 } else { t };
    let t = if t < -200.0 { -200.0 } else { t };
    let shifted = t + ROUNDER;
    let k = shifted.to_bits().wrapping_sub(ROUNDER.to_bits());
    let scale = f64::from_bits(k.wrapping_add(1023) << 52);
    horner(t - (shifted - ROUNDER), &EXP2) * scale
}

/// `x^y` with IEEE's special cases; 0.51 ulp.
///
/// `x^0` and `1^y` are 1 whatever the other is; a negative x has a power only where y is an integer. `x^2` is `x * x`.
#[inline(always)]
pub fn pow(x: f32, y: f32) -> f32 {
    // A finite exponent keeps 0 * infinity out where |x| = 1; 2^100 is as good as infinity for every other x.
    const HUGE: f32 = 1.267_650_6e30;
    let exponent = if y > HUGE { HUGE } else { y };
    let exponent = if exponent < -HUGE { -HUGE } else { exponent };
    let magnitude = exp2(f64::from(exponent) * log2(f64::from(x.abs()))) as f32;

    let half = 0.5 * y;
    let integer = super::math::round_even(y) == y;
    let odd = integer & (super::math::round_even(half) != half);
    let negated = if odd { -magnitude } else { magnitude };
    let rootless = !integer & (x < 0.0) & (x > f32::NEG_INFINITY);
    let signed = if x.is_sign_negative() { negated } else { magnitude };
    let z = if rootless | x.is_nan() { f32::NAN } else { signed };
    let z = if y == 2.0 { x * x } else { z };
    if (x == 1.0) | (y == 0.0) { 1.0 } else { z }
}
