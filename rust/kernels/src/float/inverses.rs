//! Inverse trigonometric functions, and the hyperbolic ones with their inverses: in float64 inside, without fused
//! multiply-adds, rounded to float32 once.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LN_2, LOG2_E, PI};

use super::power::{exp2, horner, log2};

/// `atan(t) = t + t z P(z)`, `z = t^2`, on `|t| <= sqrt(2) - 1`; fit error 2^-40.
pub(super) const ATAN: [f64; 7] = [
    -0.33333333296452,
    0.19999994408953217,
    -0.1428542672380977,
    0.11104057290642283,
    -0.08997305171789581,
    0.06993210004493647,
    -0.03795772185240534,
];
/// `asin(t) = t + t z P(z)`, `z = t^2`, on `|t| <= 1/2`; fit error 2^-39.
pub(super) const ASIN: [f64; 8] = [
    0.16666666626715923,
    0.07500005043304729,
    0.044640687185454574,
    0.0304268532285591,
    0.02186289014200733,
    0.020659706989013368,
    0.0019465137071854528,
    0.032944028598746504,
];
/// `sinh(t) = t + t z P(z)`, `z = t^2`, on `|t| <= 1/2`; fit error 2^-44.
pub(super) const SINH: [f64; 4] =
    [0.1666666666598036, 0.008333333599942894, 0.00019840948024052018, 2.771037434008864e-06];
/// Below it the first two terms of the inverse hyperbolic functions' series do.
pub(super) const TINY: f64 = 1.0 / 4096.0;

/// The angle in -pi/2..pi/2; 0.501 ulp.
#[inline(always)]
pub fn atan(x: f32) -> f32 {
    // tan(pi / 8) and tan(3 pi / 8): a third of the way round is taken off by the theorem of addition.
    const LOW: f64 = 0.414_213_562_373_095_03;
    const HIGH: f64 = 2.414_213_562_373_095;
    let magnitude = f64::from(x.abs());
    let (is_middle, is_high) = (magnitude > LOW, magnitude > HIGH);
    let above = if is_middle { magnitude - 1.0 } else { magnitude };
    let above = if is_high { -1.0 } else { above };
    let below = if is_middle { magnitude + 1.0 } else { 1.0 };
    let below = if is_high { magnitude } else { below };
    let start = if is_middle { FRAC_PI_4 } else { 0.0 };
    let start = if is_high { FRAC_PI_2 } else { start };
    let t = above / below;
    let z = t * t;
    let y = start + (t + t * z * horner(z, &ATAN));
    (y as f32).copysign(x)
}

/// Whether a magnitude is beyond 1/2; then twice the half angle's sine's arc sine, else the arc sine itself.
///
/// NaN beyond 1.
#[inline(always)]
fn half_asin(magnitude: f64) -> (bool, f64) {
    let is_far = magnitude > 0.5;
    let z = if is_far { (1.0 - magnitude) * 0.5 } else { magnitude * magnitude };
    let t = if is_far { z.sqrt() } else { magnitude };
    let y = t + t * z * horner(z, &ASIN);
    (is_far, if is_far { y + y } else { y })
}

/// The arc sine; 0.501 ulp. NaN beyond 1.
#[inline(always)]
pub fn asin(x: f32) -> f32 {
    let (is_far, angle) = half_asin(f64::from(x.abs()));
    let y = if is_far { FRAC_PI_2 - angle } else { angle };
    (y as f32).copysign(x)
}

/// The arc cosine; 0.501 ulp. NaN beyond 1.
#[inline(always)]
pub fn acos(x: f32) -> f32 {
    let (is_far, angle) = half_asin(f64::from(x.abs()));
    let signed = if x < 0.0 { -angle } else { angle };
    let start = if x < 0.0 { PI } else { 0.0 };
    (if is_far { start + signed } else { FRAC_PI_2 - signed }) as f32
}

/// `exp(x)` and `exp(-x)` of a magnitude, beyond float32's range as it may be.
#[inline(always)]
fn exponentials(magnitude: f32) -> (f64, f64) {
    let t = f64::from(magnitude) * LOG2_E;
    (exp2(t), exp2(-t))
}

/// The hyperbolic sine; 0.501 ulp.
#[inline(always)]
pub fn sinh(x: f32) -> f32 {
    let magnitude = f64::from(x.abs());
    let z = magnitude * magnitude;
    let small = magnitude + magnitude * z * horner(z, &SINH);
    let (up, down) = exponentials(x.abs());
    let y = if magnitude < 0.5 { small } else { 0.5 * (up - down) };
    (y as f32).copysign(x)
}

/// The hyperbolic cosine; 0.501 ulp.
#[inline(always)]
pub fn cosh(x: f32) -> f32 {
    let (up, down) = exponentials(x.abs());
    (0.5 * (up + down)) as f32
}

/// The inverse of the hyperbolic sine; 0.501 ulp.
#[inline(always)]
pub fn asinh(x: f32) -> f32 {
    let magnitude = f64::from(x.abs());
    let z = magnitude * magnitude;
    let large = log2(magnitude + (z + 1.0).sqrt()) * LN_2;
    // NaN takes the side of the series, which passes it on.
    let y = if magnitude >= TINY { large } else { magnitude - magnitude * z / 6.0 };
    (y as f32).copysign(x)
}

/// The inverse of the hyperbolic cosine, from 0 on; 0.501 ulp. NaN below 1.
#[inline(always)]
pub fn acosh(x: f32) -> f32 {
    let above = f64::from(x) - 1.0;
    let y = log2(1.0 + (above + (above * (above + 2.0)).sqrt())) * LN_2;
    if x >= 1.0 { y as f32 } else { f32::NAN }
}

/// The inverse of the hyperbolic tangent; 0.501 ulp. Infinite at -1 and 1, NaN beyond.
#[inline(always)]
pub fn atanh(x: f32) -> f32 {
    let magnitude = f64::from(x.abs());
    let large = log2((1.0 + magnitude) / (1.0 - magnitude)) * (0.5 * LN_2);
    let small = magnitude + magnitude * magnitude * magnitude / 3.0;
    let y = if magnitude < TINY { small } else { large };
    let y = if magnitude <= 1.0 { y as f32 } else { f32::NAN };
    y.copysign(x)
}
