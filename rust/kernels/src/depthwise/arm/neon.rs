//! Depthwise convolution on NEON: a word is 2 taps, widened to int16, each of 8 channels. Four smlal add the products of both
//! to two registers of sums. The products and their sums are exact: 2 * 255 * 128 is far inside int32.

use std::arch::aarch64::*;

use super::{LANES, kernels};
use crate::depthwise::dot::Dot;
use crate::depthwise::general::TAPS_MAX;
use crate::depthwise::scalar::Plain;
use crate::simd::{Apart, Qs, Vector};

/// A group of any number of channels.
type Group = Plain<i16, 2, LANES, true>;

kernels!("neon", Qs<Apart>, Qs, Group);

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
