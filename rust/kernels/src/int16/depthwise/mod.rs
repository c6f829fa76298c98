//! Depthwise convolution, int16 x int8 -> int16 or float32: one filter a channel, on one image in NHWC.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod blocks;
mod plain;

use std::ops::Range;

use super::rule::{Floats, Requantize, SHORT_SUM};
use crate::isa::{Entry, Has, code};
use crate::requantize::words::assert_clamp;
#[cfg(target_arch = "aarch64")]
use crate::simd::Qs;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Ymm, Zmm};

pub use plain::{Depthwise, Entries};

pub(crate) const SCALAR: Entries = plain::SCALAR;
/// [`Entries::depthwise`] in registers where a block of channels is full.
macro_rules! tier {
    ($tier:ident, $arch:literal, $features:literal, $name:literal, $($vector:ty),*) => {
        pub(crate) const $tier: Entries = Entries {
            depthwise: {
                #[cfg(target_arch = $arch)]
                #[target_feature(enable = $features)]
                fn compiled(
                    x: &[i16],
                    d: &Depthwise<'_>,
                    by: &Requantize<'_>,
                    rows: Range<usize>,
                    out: &mut [i16],
                ) {
                    $(if blocks::fits::<$vector>(d) {
                        // SAFETY: this function is called where the CPU has its features, with what has been checked.
                        return unsafe { blocks::run::<$vector>(x, d, by, rows, out) };
                    })*
                    plain::source::<true>(x, d, by, rows, 0..d.window.channels, out);
                }
                Entry { name: $name, code: code!($arch: compiled) }
            },
            ..plain::$tier
        };
    };
}
tier!(AVX2, "x86_64", "avx2,fma", "avx2-i16i8-depthwise-2x16", Ymm);
tier!(
    AVX512VNNI,
    "x86_64",
    "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni",
    "avx512vnni-i16i8-depthwise-2x32",
    Zmm,
    Ymm
);
tier!(NEON, "aarch64", "neon", "neon-i16i8-depthwise-2x16", Qs);

/// Weights `[channels][taps]` as the kernels take them.
///
/// # Panics
/// Where there are not as many elements in `out` as weights.
pub fn pack(weights: &[i8], channels: usize, out: &mut [i16]) {
    assert_eq!(weights.len(), out.len(), "an element a weight");
    let taps = weights.len() / channels.max(1);
    for (tap, out) in out.chunks_exact_mut(channels.max(1)).enumerate() {
        for (channel, out) in out.iter_mut().enumerate() {
            *out = i16::from(weights[channel * taps + tap]);
        }
    }
}

/// Whether some input could make a sum of these weights' products, `[channels][taps]`, leave int32.
pub fn is_long(weights: &[i8], channels: usize) -> bool {
    let taps = (weights.len() / channels.max(1)).max(1);
    let total = |w: &[i8]| w.iter().map(|w| i64::from(w.unsigned_abs())).sum::<i64>();
    weights.chunks_exact(taps).any(|w| total(w) > SHORT_SUM)
}

/// Some rows of the output image, from the whole input image. Panics where a length, the geometry or a parameter breaks
/// its bounds.
pub fn run(
    k: impl Has<Entries>,
    x: &[i16],
    d: &Depthwise<'_>,
    by: &Requantize<'_>,
    rows: Range<usize>,
    out: &mut [i16],
) {
    check(x, d, &rows, out);
    let lengths = [by.bias.len(), by.reach.len(), by.multiplier.len(), by.shift.len()];
    assert_eq!(lengths, [d.window.channels; 4], "the lengths of the parameters");
    assert_clamp(by.lo, by.hi);
    debug_assert!(by.shift.iter().all(|shift| (8..=62).contains(shift)), "shifts are in 8..=62");
    // SAFETY: `k` proves the tier; the lengths are checked.
    unsafe { (k.entries().depthwise.code())(x, d, by, rows, out) }
}

/// [`run`], with float32 for results.
pub fn run_to_floats(
    k: impl Has<Entries>,
    x: &[i16],
    d: &Depthwise<'_>,
    by: &Floats<'_>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    check(x, d, &rows, out);
    assert_eq!([by.scale.len(), by.bias.len()], [d.window.channels; 2], "the lengths of scale and bias");
    // SAFETY: `k` proves the tier; the lengths are checked.
    unsafe { (k.entries().to_floats.code())(x, d, by, rows, out) }
}

fn check<Y>(x: &[i16], d: &Depthwise<'_>, rows: &Range<usize>, out: &[Y]) {
    d.window.assert_slices(x, rows, out);
    let taps = d.window.kernel[0].checked_mul(d.window.kernel[1]);
    let count = taps.and_then(|taps| taps.checked_mul(d.window.channels));
    assert_eq!(Some(d.weights.len()), count, "the weights of each tap");
}
