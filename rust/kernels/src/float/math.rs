//! The float functions: one fixed order of IEEE additions, multiplications, divisions and fused multiply-adds each.
//!
//! The polynomials are near-minimax fits (Lawson's iteration in 50 digits; each coefficient rounded before the next is
//! fitted: `tests/reference/fit_functions.py`). Everything is branch-free, so that loops over it vectorise, and equal
//! to `octavo.reference.functions` bit for bit. Errors are in units in the last place of the float32 result, measured
//! by the sweeps of `tests/reference/test_float_functions.py`.

use std::f32::consts::LOG2_E;

/// The upper 24 bits of ln 2; `n * LN2_HI` is exact inside a fused multiply-add.
pub(super) const LN2_HI: f32 = std::f32::consts::LN_2;
/// ln 2 - `LN2_HI`.
pub(super) const LN2_LO: f32 = -1.904_654_2e-9;
/// Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
pub(super) const ROUNDER: f32 = 12_582_912.0;

/// `exp(r) = 1 + r + r^2 Q(r)` on `|r| <= ln 2 / 2`; fit error 2^-31 of `exp(r) - 1`.
pub(super) const EXP: [f32; 6] =
    [0.5, 0.166_666_66, 0.041_666_493, 0.008_333_544, 0.001_393_233_7, 0.000_197_634_23];
/// `log(1 + f) = f - f^2 / 2 + f^3 P(f)` on `sqrt(1/2) <= 1 + f < sqrt(2)`; fit error 2^-30.
pub(super) const LOG: [f32; 9] = [
    0.333_333_13,
    -0.250_000_1,
    0.200_020_73,
    -0.166_679_95,
    0.142_203_2,
    -0.124_060_474,
    0.118_836_66,
    -0.116_714_72,
    0.067_506_95,
];
/// `tanh(x) = x + x z P(z)`, `z = x^2`, on `|x| < 0.625`; fit error 2^-28.
pub(super) const TANH: [f32; 5] =
    [-0.333_332_84, 0.133_314_83, -0.053_742_83, 0.020_648_487, -0.005_714_791_4];
/// `erf(x) = x + x P(x^2)` on `|x| < 0.921875`; fit error 2^-30.
pub(super) const ERF_SMALL: [f32; 7] = [
    0.128_379_17,
    -0.376_126_32,
    0.112_836_786,
    -0.026_858_732,
    0.005_199_759,
    -0.000_813_098_04,
    8.328_412e-5,
];
/// `erf(t) = 1 - exp(-t P(t))` on `0.92 <= t <= 4`; fit error 2^-34, absolute.
pub(super) const ERF_LARGE: [f32; 9] = [
    1.128_461_7,
    0.636_114_84,
    0.104_121_64,
    -0.021_186_445,
    0.001_744_314_1,
    0.000_541_811_4,
    -0.000_225_696_76,
    3.555_475_6e-5,
    -2.223_294e-6,
];

#[inline(always)]
pub(super) fn horner<const N: usize>(x: f32, coefficients: &[f32; N]) -> f32 {
    let mut sum = coefficients[N - 1];
    for i in (0..N - 1).rev() {
        sum = sum.mul_add(x, coefficients[i]);
    }
    sum
}

/// `2^k` for k in -126..=127 (anything at all elsewhere, as a NaN's garbage exponent needs).
#[inline(always)]
pub(super) fn power_of_two(k: i32) -> f32 {
    f32::from_bits((k.wrapping_add(127) as u32) << 23)
}

/// The larger of two; NaN if either is NaN; +0 above -0.
#[inline(always)]
pub fn maximum(a: f32, b: f32) -> f32 {
    let equal = f32::from_bits(a.to_bits() & b.to_bits());
    let unequal = if a > b { a } else { b };
    let ordered = if a == b { equal } else { unequal };
    if a.is_nan() { a } else { ordered }
}

/// The smaller of two; NaN if either is NaN; -0 below +0.
#[inline(always)]
pub fn minimum(a: f32, b: f32) -> f32 {
    let equal = f32::from_bits(a.to_bits() | b.to_bits());
    let unequal = if a < b { a } else { b };
    let ordered = if a == b { equal } else { unequal };
    if a.is_nan() { a } else { ordered }
}

/// The nearest integer, ties to even; exact.
#[inline(always)]
pub fn round_even(x: f32) -> f32 {
    const INTEGERS_FROM: f32 = 8_388_608.0; // 2^23
    let magnitude = x.abs();
    let rounded = (magnitude + INTEGERS_FROM) - INTEGERS_FROM;
    let y = if magnitude < INTEGERS_FROM { rounded } else { magnitude };
    y.copysign(x)
}

/// The largest integer that is not above x; exact.
#[inline(always)]
pub fn floor(x: f32) -> f32 {
    let nearest = round_even(x);
    let y = if nearest > x { nearest - 1.0 } else { nearest };
    y.copysign(x)
}

/// The smallest integer that is not below x; exact.
#[inline(always)]
pub fn ceil(x: f32) -> f32 {
    let nearest = round_even(x);
    let y = if nearest < x { nearest + 1.0 } else { nearest };
    y.copysign(x)
}

/// -1, 0 or 1; NaN for NaN.
#[inline(always)]
pub fn sign(x: f32) -> f32 {
    let positive = if x > 0.0 { 1.0 } else { 0.0 };
    let y = if x < 0.0 { -1.0 } else { positive };
    if x.is_nan() { x } else { y }
}

/// `(exp(r) - 1, k)` with `x = k ln 2 + r`, `|r| <= ln 2 / 2`; for -104 <= x <= 89.
#[inline(always)]
fn reduced_exp(x: f32) -> (f32, i32) {
    let shifted = x.mul_add(LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = n.mul_add(-LN2_HI, x); // exact
    let r = n.mul_add(-LN2_LO, r);
    let k = (shifted.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    ((r * r).mul_add(horner(r, &EXP), r), k)
}

/// x where `exp` neither overflows nor underflows beyond doubt; NaN stays.
#[inline(always)]
fn exp_domain(x: f32) -> f32 {
    let x = if x > 89.0 { 89.0 } else { x };
    if x < -104.0 { -104.0 } else { x }
}

/// The exponential; 1 ulp, subnormal results included.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (less_one, k) = reduced_exp(exp_domain(x));
    // Two steps: 2^k alone may overflow or be subnormal, and only the last multiplication rounds.
    let half = k >> 1;
    (less_one + 1.0) * power_of_two(half) * power_of_two(k.wrapping_sub(half))
}

/// [`exp`] in fewer steps where its result is a normal number: for -87 <= x <= 88, and NaN.
#[inline(always)]
pub(super) fn exp_normal(x: f32) -> f32 {
    let (less_one, k) = reduced_exp(x);
    (less_one + 1.0) * power_of_two(k)
}

/// `exp(x) - 1`; 1.5 ulp.
#[inline(always)]
pub fn expm1(x: f32) -> f32 {
    let (less_one, k) = reduced_exp(exp_domain(x));
    // 2^k (e + 1) - 1 = 2^rest (2^half e + (2^half - 2^-rest))
    let half = k >> 1;
    let rest = k.wrapping_sub(half);
    let scale = power_of_two(half);
    less_one.mul_add(scale, scale - power_of_two(rest.wrapping_neg())) * power_of_two(rest)
}

/// `k ln 2 + log(1 + f)` for `sqrt(1/2) <= 1 + f < sqrt(2)`.
#[inline(always)]
fn reduced_log(k: f32, f: f32) -> f32 {
    let square = f * f;
    let low = k.mul_add(LN2_LO, square * f * horner(f, &LOG));
    let low = square.mul_add(-0.5, low);
    k.mul_add(LN2_HI, f + low)
}

/// The natural logarithm; 1 ulp. Of 0: -infinity; of a negative: NaN.
#[inline(always)]
pub fn log(x: f32) -> f32 {
    const TWO_23: f32 = 8_388_608.0;
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = if subnormal { x * TWO_23 } else { x };
    let bits = scaled.to_bits() as i32;
    let k = bits.wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub(k << 23) as u32);
    let k = if subnormal { k - 23 } else { k };
    let y = reduced_log(k as f32, mantissa - 1.0);
    let y = if x < f32::INFINITY { y } else { x };
    let y = if x < 0.0 { f32::NAN } else { y };
    if x == 0.0 { f32::NEG_INFINITY } else { y }
}

/// `log(1 + exp(x))`; 1.7 ulp.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    let e = exp(-x.abs());
    // log(1 + e), where 1 + e above sqrt(2) is 2 (1 + (e - 1) / 2).
    let halved = e > std::f32::consts::SQRT_2 - 1.0;
    let f = if halved { 0.5 * (e - 1.0) } else { e };
    let k = if halved { 1.0 } else { 0.0 };
    maximum(x, 0.0) + reduced_log(k, f)
}

/// `1 / (1 + exp(-x))`; 2.3 ulp, subnormal results included.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    numerator / (1.0 + e)
}

/// The hyperbolic tangent; 1.5 ulp.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    let z = magnitude * magnitude;
    let small = (magnitude * z).mul_add(horner(z, &TANH), magnitude);
    let large = 1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0);
    let y = if magnitude < 0.625 { small } else { large };
    y.copysign(x)
}

/// The error function; 1.1 ulp.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let magnitude = x.abs();
    let small = magnitude.mul_add(horner(magnitude * magnitude, &ERF_SMALL), magnitude);
    let t = if magnitude > 4.0 { 4.0 } else { magnitude };
    let large = 1.0 - exp_normal(-(t * horner(t, &ERF_LARGE)));
    let y = if magnitude < 0.921_875 { small } else { large };
    y.copysign(x)
}

/// `max(0, min(1, alpha * x + beta))`, the sum rounded once.
#[inline(always)]
pub fn hard_sigmoid(x: f32, alpha: f32, beta: f32) -> f32 {
    maximum(minimum(alpha.mul_add(x, beta), 1.0), 0.0)
}

/// `x / 2 * (1 + erf(x / sqrt(2)))`; within 2^-23 |x|.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`; within 2^-22.9 |x|.
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    let inner = SQRT_2_OVER_PI * x * (x * x).mul_add(0.044_715, 1.0);
    0.5 * x * (1.0 + tanh(inner))
}

/// `x * tanh(log(1 + exp(x)))`, as `x * n / (n + 2)` with `n = e^2 + 2 e`, `e = exp(x)`; within 2^-22.7 |x|.
#[inline(always)]
pub fn mish(x: f32) -> f32 {
    // From 20 on the ratio is 1, and n would overflow later.
    let e = exp(if x > 20.0 { 20.0 } else { x });
    let n = e * (e + 2.0);
    x * (n / (n + 2.0))
}
