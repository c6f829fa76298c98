//! Sine, cosine and tangent, in float64 inside, rounded to float32 once; any finite argument is reduced exactly enough.

use super::power::horner;

/// `sin(r) = r + r z P(z)`, `z = r^2`, on `|r| <= pi / 4`; fit error 2^-47.
pub(super) const SIN: [f64; 5] = [
    -0.16666666666631547,
    0.008333333325262494,
    -0.00019841263817451868,
    2.7555356484685852e-06,
    -2.4761552352907092e-08,
];
/// `cos(r) = 1 + z P(z)` on the same range; fit error 2^-43.
pub(super) const COS: [f64; 5] = [
    -0.49999999999544115,
    0.04166666656189258,
    -0.0013888881068093457,
    2.4799038661851082e-05,
    -2.717991847034971e-07,
];
/// The bits of 2 / pi after the point, 32 a word, after one word of zeros.
pub(super) const TWO_OVER_PI: [u64; 8] =
    [0, 0xa2f9_836e, 0x4e44_1529, 0xfc27_57d1, 0xf534_ddc0, 0xdb62_9599, 0x3c43_9041, 0xfe51_63ab];
/// pi / 2 in two parts; the first has 33 bits, so that its product with a quadrant below 2^20 is exact.
pub(super) const HALF_PI_HI: f64 = 1.5707963267341256;
pub(super) const HALF_PI_LO: f64 = 6.077100506506192e-11;

/// The quadrant (modulo 4) and the rest in [-pi/4, pi/4] of a magnitude below 2^17.
#[inline(always)]
fn reduce_small(magnitude: f64) -> (i64, f64) {
    const ROUNDER: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    let shifted = magnitude * std::f64::consts::FRAC_2_PI + ROUNDER;
    let n = shifted - ROUNDER;
    (shifted.to_bits() as i64, (magnitude - n * HALF_PI_HI) - n * HALF_PI_LO)
}

/// The same for a finite magnitude of 2^16 or more (Payne and Hanek): the mantissa times the 96 bits of 2 / pi that
/// matter, as a fixed-point number with 62 bits after the point; whole turns fall off the top.
#[inline(always)]
fn reduce_large(magnitude: f32) -> (i64, f64) {
    let bits = magnitude.to_bits();
    let mantissa = u64::from(bits & 0x007f_ffff | 0x0080_0000);
    // magnitude = mantissa * 2^e, e = exponent - 150; the window begins at bit e - 2 after the point, e + 30 in the table.
    let first = (bits >> 23) as usize - 120;
    let (word, shift) = (first / 32, first % 32);
    let high = TWO_OVER_PI[word] << 32 | TWO_OVER_PI[word + 1];
    let low = TWO_OVER_PI[word + 2] << 32 | TWO_OVER_PI[word + 3];
    let window = high << shift | (low >> 1) >> (63 - shift);
    let rest = (low << shift) >> 32;
    let turns = mantissa.wrapping_mul(window).wrapping_add((mantissa * rest) >> 32);
    let quadrant = turns.wrapping_add(1 << 61) >> 62;
    let fraction = turns.wrapping_sub(quadrant << 62) as i64;
    (quadrant as i64, fraction as f64 * (std::f64::consts::FRAC_PI_2 / (1u64 << 62) as f64))
}

/// A finite magnitude's quadrant (modulo 4), and the sine and the cosine of the rest.
type Parts = (i64, f64, f64);

#[inline(always)]
fn parts((n, r): (i64, f64)) -> Parts {
    let z = r * r;
    (n, r + r * z * horner(z, &SIN), 1.0 + z * horner(z, &COS))
}

/// Sine after some quadrants more.
#[inline(always)]
fn sin_shifted((n, sin, cos): Parts, quadrants: i64) -> f32 {
    let n = n.wrapping_add(quadrants);
    let y = if n & 1 == 0 { sin } else { cos };
    (if n & 2 == 0 { y } else { -y }) as f32
}

#[inline(always)]
fn sin_of(parts: Parts, x: f32) -> f32 {
    let y = sin_shifted(parts, 0);
    if x.is_sign_negative() { -y } else { y }
}

#[inline(always)]
fn cos_of(parts: Parts, _: f32) -> f32 {
    sin_shifted(parts, 1)
}

#[inline(always)]
fn tan_of((n, sin, cos): Parts, x: f32) -> f32 {
    let y = (if n & 1 == 0 { sin / cos } else { -cos / sin }) as f32;
    if x.is_sign_negative() { -y } else { y }
}

/// From here on magnitudes are reduced by many bits of 2 / pi.
const LARGE: f32 = 65_536.0;

/// `$of` of each element: in vectors where a block holds no large one. A macro, so that `$of` is inlined in both loops.
macro_rules! map {
    ($x:ident, $out:ident, $of:path) => {
        for (y, x) in $out.chunks_mut(64).zip($x.chunks(64)) {
            if x.iter().all(|x| x.abs() < LARGE) {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = $of(parts(reduce_small(f64::from(x.abs()))), x);
                }
            } else {
                for (y, &x) in y.iter_mut().zip(x) {
                    let magnitude = x.abs();
                    *y = if !x.is_finite() {
                        f32::NAN
                    } else if magnitude < LARGE {
                        $of(parts(reduce_small(f64::from(magnitude))), x)
                    } else {
                        $of(parts(reduce_large(magnitude)), x)
                    };
                }
            }
        }
    };
}

/// The sine; 0.501 ulp. NaN for infinities.
#[inline(always)]
pub(super) fn sin(x: &[f32], out: &mut [f32]) {
    map!(x, out, sin_of);
}

/// The cosine; 0.501 ulp. NaN for infinities.
#[inline(always)]
pub(super) fn cos(x: &[f32], out: &mut [f32]) {
    map!(x, out, cos_of);
}

/// The tangent; 0.501 ulp. NaN for infinities.
#[inline(always)]
pub(super) fn tan(x: &[f32], out: &mut [f32]) {
    map!(x, out, tan_of);
}
