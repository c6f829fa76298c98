//! IEEE half precision: every half is a float32, and a float32 is rounded to one once, to nearest, ties to even.

use crate::isa::{Entry, Has};

type RunWiden = unsafe fn(&[u16], &mut [f32]);
type RunNarrow = unsafe fn(&[f32], &mut [u16]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// Halves as numbers.
    pub widen: Entry<RunWiden>,
    /// Numbers rounded to halves.
    pub narrow: Entry<RunNarrow>,
}

crate::plain::plain_tiers!(Entries {
    widen(x: &[u16], out: &mut [f32]) = widen_kernel as "f32-from-f16";
    narrow(x: &[f32], out: &mut [u16]) = narrow_kernel as "f16-from-f32";
});

/// `out[i]` is the number of the half `x[i]`, exactly; equal lengths.
pub fn widen(k: impl Has<Entries>, x: &[u16], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "output");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().widen.code())(x, out) }
}

/// `out[i]` is the half nearest to `x[i]`; equal lengths.
pub fn narrow(k: impl Has<Entries>, x: &[f32], out: &mut [u16]) {
    assert_eq!(x.len(), out.len(), "output");
    // SAFETY: as in `widen`.
    unsafe { (k.entries().narrow.code())(x, out) }
}

#[inline(always)]
pub(super) fn widen_kernel(x: &[u16], out: &mut [f32]) {
    for (y, &x) in out.iter_mut().zip(x) {
        *y = to_f32(x);
    }
}

#[inline(always)]
pub(super) fn narrow_kernel(x: &[f32], out: &mut [u16]) {
    for (y, &x) in out.iter_mut().zip(x) {
        *y = from_f32(x);
    }
}

/// The bits of infinity.
const INFINITY: u32 = 0x7c00;

/// The number of a half's bits.
#[inline(always)]
pub fn to_f32(bits: u16) -> f32 {
    let (sign, magnitude) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff));
    // The exponent is 112 short of its float32's; scaling mends that, for subnormal halves as well.
    let scaled = f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23);
    let is_finite = magnitude < INFINITY;
    let magnitude = if is_finite { scaled.to_bits() } else { 0x7f80_0000 | magnitude << 13 };
    f32::from_bits(sign | magnitude)
}

/// The bits of the half nearest to a number; from 65520 on it is infinity.
#[inline(always)]
pub fn from_f32(x: f32) -> u16 {
    const SMALLEST_NORMAL: u32 = (127 - 14) << 23;
    let bits = x.to_bits();
    let (sign, magnitude) = (bits >> 16 & 0x8000, bits & 0x7fff_ffff);
    // Half of the bits that go, less one where the bit that stays last is 0, carries as rounding does.
    let rounded = magnitude.wrapping_add(0xfff + (magnitude >> 13 & 1));
    let normal = rounded.wrapping_sub(112 << 23) >> 13;
    let normal = if normal > INFINITY { INFINITY } else { normal };
    // The last bit of 1/2 as a float32 is that of a subnormal half.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let half = if magnitude < SMALLEST_NORMAL { subnormal } else { normal };
    let half = if magnitude > 0x7f80_0000 { 0x7e00 } else { half };
    (sign | half) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::table::Kernels;

    #[test]
    fn every_half_is_itself_on_every_tier() {
        let halves: Vec<u16> = (0..=u16::MAX).collect();
        for isa in available() {
            let k = Kernels::new(isa).expect("available");
            let (mut numbers, mut back) = (vec![0.0; 65_536], vec![0; 65_536]);
            widen(k, &halves, &mut numbers);
            narrow(k, &numbers, &mut back);
            for ((&half, &number), &back) in halves.iter().zip(&numbers).zip(&back) {
                let (exponent, mantissa) = (i32::from(half >> 10 & 31), f64::from(half & 1023));
                let magnitude = match exponent {
                    0 => mantissa * 2f64.powi(-24),
                    31 => f64::INFINITY,
                    _ => (mantissa + 1024.0) * 2f64.powi(exponent - 25),
                };
                if exponent == 31 && mantissa != 0.0 {
                    assert!(number.is_nan() && back & 0x7fff == 0x7e00, "{isa} {half:04x}");
                } else {
                    assert_eq!(f64::from(number.abs()), magnitude, "{isa} {half:04x}");
                    assert_eq!(number.is_sign_negative(), half >> 15 == 1, "{isa} {half:04x}");
                    assert_eq!(back, half, "{isa}");
                }
            }
        }
    }

    #[test]
    fn numbers_beyond_the_halves() {
        let cases = [
            (65_504.0, 0x7bff),
            (65_519.996, 0x7bff),
            (65_520.0, 0x7c00),
            (65_536.0, 0x7c00),
            (131_072.0, 0x7c00),
            (f32::MAX, 0x7c00),
            (f32::INFINITY, 0x7c00),
            (f32::NAN, 0x7e00),
            (f32::from_bits(0x7f80_0001), 0x7e00),
            (f32::from_bits(0x7fff_ffff), 0x7e00),
            (0.0, 0),
            (f32::from_bits(1), 0),
            (f32::MIN_POSITIVE, 0),
            // A hair below and above half of the smallest half, and that itself.
            (f32::from_bits(0x32ff_ffff), 0),
            (f32::from_bits(0x3300_0000), 0),
            (f32::from_bits(0x3300_0001), 1),
        ];
        for k in available().into_iter().filter_map(Kernels::new) {
            for (number, half) in cases {
                let mut given = [9; 2];
                narrow(k, &[number, -number], &mut given);
                assert_eq!(given, [half, half | 0x8000], "{} {number}", k.isa());
            }
        }
    }

    #[test]
    fn between_two_halves_the_nearer_one_is_taken_and_the_even_one_of_equals() {
        for isa in available() {
            let k = Kernels::new(isa).expect("available");
            for low in 0..0x7c00u16 {
                // Past the largest half stands 2^16, which is infinity's place.
                let above = if low == 0x7bff { 65_536.0 } else { to_f32(low + 1) };
                let middle = 0.5 * (to_f32(low) + above);
                let just = |step: i32| f32::from_bits(middle.to_bits().wrapping_add_signed(step));
                let mut given = [0; 4];
                narrow(k, &[just(-1), middle, just(1), -middle], &mut given);
                let even = low + (low & 1);
                assert_eq!(given, [low, even, low + 1, even | 0x8000], "{isa} {low:04x}");
            }
        }
    }
}
