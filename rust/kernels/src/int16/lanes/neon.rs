//! Sums in registers of NEON.

use std::arch::aarch64::*;
use std::array::from_fn;

use super::{Lanes, Params};
use crate::requantize::words::ROUND;
use crate::simd::{Qs, Vector};

impl Lanes for Qs {
    /// Of two columns at a time.
    type Scales = [[float64x2_t; 2]; 4];

    #[inline(always)]
    unsafe fn add_dot(self, values: Self, weights: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { self.dot(values, weights) }
    }

    #[inline(always)]
    unsafe fn add_to(self, to: *mut f64) {
        // SAFETY: the caller's.
        unsafe {
            for (pair, sums) in pairs(self).into_iter().enumerate() {
                let to = to.add(2 * pair);
                vst1q_f64(to, vaddq_f64(vld1q_f64(to), sums));
            }
        }
    }

    #[inline(always)]
    unsafe fn scales<const MOST: usize>(params: &Params<MOST>, at: usize) -> Self::Scales {
        debug_assert!(at + Self::LANES <= MOST);
        // SAFETY: the caller's.
        unsafe {
            let of = |from: &[f64; MOST], pair: usize| vld1q_f64(from.as_ptr().add(at + 2 * pair));
            [0, 1, 2, 3].map(|pair| [of(&params.bias, pair), of(&params.factor, pair)])
        }
    }

    #[inline(always)]
    unsafe fn scale(self, by: &Self::Scales) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let sums = pairs(self);
            let scaled: [int32x4_t; 4] = from_fn(|pair| {
                let [bias, factor] = by[pair];
                vreinterpretq_s32_f64(vfmaq_f64(vdupq_n_f64(ROUND), vaddq_f64(sums[pair], bias), factor))
            });
            // The lower halves.
            Qs::new([vuzp1q_s32(scaled[0], scaled[1]), vuzp1q_s32(scaled[2], scaled[3])])
        }
    }

    #[inline(always)]
    unsafe fn clamp_words(self, lo: Self, hi: Self) -> Self {
        // SAFETY: the caller's.
        Qs::new(from_fn(|i| unsafe {
            let [x, lo, hi] = [self.0[i], lo.0[i], hi.0[i]].map(|x| vreinterpretq_s16_s32(x));
            vreinterpretq_s32_s16(vminq_s16(vmaxq_s16(x, lo), hi))
        }))
    }
}

/// The lanes as float64, two by two.
///
/// # Safety
/// The CPU has the tier.
#[inline(always)]
unsafe fn pairs(lanes: Qs) -> [float64x2_t; 4] {
    // SAFETY: the caller's.
    unsafe {
        let [low, high] = lanes.0;
        [
            vcvtq_f64_s64(vmovl_s32(vget_low_s32(low))),
            vcvtq_f64_s64(vmovl_high_s32(low)),
            vcvtq_f64_s64(vmovl_s32(vget_low_s32(high))),
            vcvtq_f64_s64(vmovl_high_s32(high)),
        ]
    }
}
