//! What both dot products of bytes share: a word is 4 taps of 8 channels, side by side. Signed values are `x - 128`; what that leaves
//! out, 128 times the sum of the weights, is added to what the sums begin with.

use std::arch::aarch64::*;

use super::LANES;
use crate::depthwise::dot::Dot;
use crate::depthwise::general::TAPS_MAX;
use crate::depthwise::scalar::Plain;
use crate::simd::{Bytes, Product, Qs, SignedBytes, Vector};

/// A group of any number of channels.
pub(super) type Group = Plain<i8, 4, LANES, false>;

/// A dot product of bytes.
pub(super) trait OfBytes: Product {
    /// What turns a byte into a value.
    const FLIPPED: u8;
}

impl OfBytes for SignedBytes {
    const FLIPPED: u8 = 0x80;
}

impl OfBytes for Bytes {
    const FLIPPED: u8 = 0;
}

impl<B: OfBytes> Dot for Qs<B> {
    type Group = Group;

    #[inline(always)]
    unsafe fn interleave(taps: [*const u8; TAPS_MAX], count: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let mut rows = [vdup_n_u8(0); TAPS_MAX];
            for tap in 0..count {
                rows[tap] = vld1_u8(taps[tap]);
            }
            let pairs = [0, 2].map(|tap| {
                let (even, odd) = (rows[tap], rows[tap + 1]);
                vreinterpretq_u16_u8(vcombine_u8(vzip1_u8(even, odd), vzip2_u8(even, odd)))
            });
            let fours = [vzip1q_u16(pairs[0], pairs[1]), vzip2q_u16(pairs[0], pairs[1])];
            let flipped = vdupq_n_u8(B::FLIPPED);
            Qs::new(fours.map(|lanes| vreinterpretq_s32_u8(veorq_u8(vreinterpretq_u8_u16(lanes), flipped))))
        }
    }

    #[inline(always)]
    unsafe fn padding(zero_point: u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Qs::splat_bytes(zero_point ^ B::FLIPPED) }
    }

    #[inline(always)]
    unsafe fn begin(start: Self, weights: Self) -> Self {
        if B::FLIPPED == 0 {
            return start;
        }
        // SAFETY: the caller's promise.
        unsafe { start.sub(Qs::<B>::splat(0).dot(Qs::splat_bytes(B::FLIPPED), weights)) }
    }

    #[inline(always)]
    unsafe fn one_later(self, before: Self) -> Self {
        // SAFETY: the caller's promise.
        Qs::new(std::array::from_fn(|i| unsafe {
            let [own, before] = [self.0[i], before.0[i]].map(|lanes| vreinterpretq_u32_s32(lanes));
            vreinterpretq_s32_u32(vsliq_n_u32::<8>(vshrq_n_u32::<24>(before), own))
        }))
    }
}
