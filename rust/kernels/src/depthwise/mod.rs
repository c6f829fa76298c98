//! Depthwise convolution, uint8 x int8 -> uint8 or float32: one filter a channel, on one image in NHWC.
//!
//! Channels go through as many at a time as a register of sums has lanes; each such *group* has its weights together.
//! Where the channels are no multiple of that, the last group overlaps the one before it, so that it is as full as the
//! others. Of fewer than 8 channels, tiers with vectors take rows instead.

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod dot;
mod entries;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod finish;
mod general;
mod pack;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod row;
mod scalar;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod slide;
mod steps;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod strip;
#[cfg(test)]
mod tests;
mod tiers;
#[cfg(target_arch = "x86_64")]
mod vnni256;
#[cfg(target_arch = "x86_64")]
mod ymm;

use std::ops::Range;

pub use crate::geometry::Window;
pub use entries::{Depthwise, Entries, Floats, Tile, Tiles};
pub use pack::Packing;
pub(crate) use tiers::{AVX2, AVX512VL, AVX512VNNI, AVXVNNI, DOTPROD, I8MM, NEON, SCALAR};

use crate::isa::Has;
use crate::requantize::Requantize;

/// Some rows of the output image, from the whole input image:
/// `requantize(bias[c] + sum(w[c] * x), ..)`. Panics where a length or the geometry breaks its bounds.
pub fn run(
    k: impl Has<Entries>,
    x: &[u8],
    d: &Depthwise<'_, Requantize<'_>>,
    rows: Range<usize>,
    out: &mut [u8],
) {
    let Requantize { bias, reach: _, multiplier, shift, zero_point, lo, hi } = d.epilogue;
    let entry = k.entries().to_bytes.checked(x, d, &rows, out);
    let lengths = [bias.len(), multiplier.len(), shift.len()];
    assert_eq!(lengths, [d.window.channels; 3], "the lengths of bias, multiplier and shift");
    assert!((0..=255).contains(&zero_point) && 0 <= lo && lo <= hi && hi <= 255, "{:?}", d.epilogue);
    debug_assert!(shift.iter().all(|shift| (1..=62).contains(shift)), "shifts are in 1..=62");
    if !out.is_empty() {
        // SAFETY: `k` proves the tier; the lengths are checked.
        unsafe { entry.code()(x, d, rows, out) }
    }
}

/// [`run`], with float32 for results: `fma(float32(acc_bias[c] + sum(w[c] * x)) * x_scale, scale[c], bias[c])`.
pub fn run_to_floats(
    k: impl Has<Entries>,
    x: &[u8],
    d: &Depthwise<'_, Floats<'_>>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let Floats { acc_bias, scale, bias, .. } = d.epilogue;
    let entry = k.entries().to_floats.checked(x, d, &rows, out);
    let lengths = [acc_bias.len(), scale.len(), bias.len()];
    assert_eq!(lengths, [d.window.channels; 3], "the lengths of the biases and the scales");
    if !out.is_empty() {
        // SAFETY: `k` proves the tier; the lengths are checked.
        unsafe { entry.code()(x, d, rows, out) }
    }
}
