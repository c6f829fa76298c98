//! Depthwise convolution on NEON: a word is 2 taps, widened to int16, each of 8 channels. Four smlal add the products of both
//! to two registers of sums. The products and their sums are exact: 2 * 255 * 128 is far inside int32.

use std::arch::aarch64::*;
use std::ops::Range;

use super::dot::{All, Dot};
use super::entries::{Depthwise, Floats, can_raise_shifts, is_exact_in_floats};
use super::finish::{AnyScale, Bytes, RaisedScale, ToFloats};
use super::general::TAPS_MAX;
use super::scalar::Plain;
use super::{general, row, slide, strip};
use crate::requantize::{FloatScale, Requantize};
use crate::simd::{Apart, Qs, Vector};

/// Channels of a group.
const LANES: usize = <Qs as Vector>::LANES;
/// A group of any number of channels.
type Group = Plain<i16, 2, LANES>;

/// The bytes of a tap of 8 channels, as words.
///
/// # Safety
/// The CPU has the tier; there are 8 bytes.
#[inline(always)]
unsafe fn words(tap: *const u8) -> int32x4_t {
    // SAFETY: the caller's promise.
    unsafe { vreinterpretq_s32_u16(vmovl_u8(vld1_u8(tap))) }
}

impl Dot for Qs<Apart> {
    type Group = Group;

    #[inline(always)]
    unsafe fn interleave(taps: [*const u8; TAPS_MAX], count: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Qs::new([words(taps[0]), if count == 2 { words(taps[1]) } else { vdupq_n_s32(0) }]) }
    }

    #[inline(always)]
    unsafe fn padding(zero_point: u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Qs::splat_words(i16::from(zero_point)) }
    }

    #[inline(always)]
    unsafe fn one_later(self, before: Self) -> Self {
        Qs::new([before.0[1], self.0[0]])
    }
}

/// Rows begin anywhere in a register, so their words have the taps of a channel side by side.
impl Dot for Qs {
    type Group = Group;

    #[inline(always)]
    unsafe fn interleave(taps: [*const u8; TAPS_MAX], count: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let first = words(taps[0]);
            let second = if count == 2 { words(taps[1]) } else { vdupq_n_s32(0) };
            let [a, b] = [first, second].map(|words| vreinterpretq_s16_s32(words));
            Qs::new([vzip1q_s16(a, b), vzip2q_s16(a, b)].map(|words| vreinterpretq_s32_s16(words)))
        }
    }

    #[inline(always)]
    unsafe fn padding(zero_point: u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Qs::splat_words(i16::from(zero_point)) }
    }

    #[inline(always)]
    unsafe fn one_later(self, before: Self) -> Self {
        // SAFETY: the caller's promise.
        Qs::new(std::array::from_fn(|i| unsafe {
            let [own, before] = [self.0[i], before.0[i]].map(|lanes| vreinterpretq_u32_s32(lanes));
            vreinterpretq_s32_u32(vsliq_n_u32::<16>(vshrq_n_u32::<16>(before), own))
        }))
    }
}

/// Whether there are as many channels as a group has.
fn has_groups(channels: usize) -> bool {
    channels >= LANES
}

/// Runs `$module`'s code with the epilogue of the shifts, or the general code where there are too few channels or a shift
/// can neither stay nor be raised.
macro_rules! bytes {
    ($name:ident, $module:ident $(, $number:literal)*) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
        #[target_feature(enable = "neon")]
        pub(in crate::depthwise) unsafe fn $name(x: &[u8], d: &Depthwise<'_, Requantize<'_>>, rows: Range<usize>, out: &mut [u8]) {
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if !has_groups(d.window.channels) {
                    general::run::<Group, _>(x, d, rows, out)
                } else if is_exact_in_floats(&d.epilogue) {
                    $module::run::<Qs<Apart>, Bytes<_, _, FloatScale<_>> $(, $number)*>(x, d, rows, out, All)
                } else if can_raise_shifts(d) {
                    $module::run::<Qs<Apart>, Bytes<_, _, RaisedScale<_>> $(, $number)*>(x, d, rows, out, All)
                } else {
                    general::run::<Group, _>(x, d, rows, out)
                }
            }
        }
    };
}
bytes!(bytes_3x3s1, slide, 3, 1, 2, 2);
bytes!(bytes_3x3s2, slide, 3, 2, 1, 2);
bytes!(bytes_5x5s1, slide, 5, 1, 2, 2);
bytes!(bytes_5x5s2, slide, 5, 2, 1, 2);
bytes!(bytes_any, strip);

/// Runs `$module`'s code, or the general one where there are too few channels.
macro_rules! floats {
    ($name:ident, $module:ident $(, $number:literal)*) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run_to_floats`] asserts.
        #[target_feature(enable = "neon")]
        pub(in crate::depthwise) unsafe fn $name(x: &[u8], d: &Depthwise<'_, Floats<'_>>, rows: Range<usize>, out: &mut [f32]) {
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if has_groups(d.window.channels) {
                    $module::run::<Qs<Apart>, ToFloats<_, _> $(, $number)*>(x, d, rows, out, All)
                } else {
                    general::run::<Group, _>(x, d, rows, out)
                }
            }
        }
    };
}
floats!(floats_3x3s1, slide, 3, 1, 2, 2);
floats!(floats_3x3s2, slide, 3, 2, 1, 2);
floats!(floats_5x5s1, slide, 5, 1, 2, 2);
floats!(floats_5x5s2, slide, 5, 2, 1, 2);
floats!(floats_any, strip);

/// # Safety
/// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
#[target_feature(enable = "neon")]
pub(in crate::depthwise) unsafe fn bytes_row(
    x: &[u8],
    d: &Depthwise<'_, Requantize<'_>>,
    rows: Range<usize>,
    out: &mut [u8],
) {
    // SAFETY: the caller's promise, and what each asks for beside it.
    unsafe {
        if is_exact_in_floats(&d.epilogue) {
            row::run::<Qs, Bytes<_, _, FloatScale<_>>>(x, d, rows, out)
        } else {
            row::run::<Qs, Bytes<_, _, AnyScale<_>>>(x, d, rows, out)
        }
    }
}

/// # Safety
/// The CPU has the tier; the bounds that [`crate::depthwise::run_to_floats`] asserts.
#[target_feature(enable = "neon")]
pub(in crate::depthwise) unsafe fn floats_row(
    x: &[u8],
    d: &Depthwise<'_, Floats<'_>>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe { row::run::<Qs, ToFloats<_, _>>(x, d, rows, out) }
}
