//! The dot product of two taps: of the 8 channels of a register, or less.

use std::arch::x86_64::*;

use crate::depthwise::dot::Dot;
use crate::depthwise::entries::Floats;
use crate::depthwise::general::{GroupDot, GroupFinish, TAPS_MAX};
use crate::requantize::{Clamp, Requantize, scale_any};
use crate::simd::{Vector, Ymm};

/// Channels of a register of sums.
const LANES: usize = 8;

impl Dot for Ymm {
    type Group = Pairs;

    #[inline(always)]
    unsafe fn interleave(taps: [*const u8; TAPS_MAX], count: usize) -> Ymm {
        // SAFETY: the caller's promise.
        unsafe {
            let even = _mm_loadl_epi64(taps[0].cast());
            let odd = if count == 2 { _mm_loadl_epi64(taps[1].cast()) } else { _mm_setzero_si128() };
            Ymm::new(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(even, odd)))
        }
    }

    #[inline(always)]
    unsafe fn padding(zero_point: u8) -> Ymm {
        // SAFETY: the caller's promise.
        unsafe { Ymm::splat_words(i16::from(zero_point)) }
    }

    #[inline(always)]
    unsafe fn one_later(self, before: Ymm) -> Ymm {
        // SAFETY: the caller's promise.
        unsafe {
            let carried = _mm256_srli_epi32::<16>(before.0);
            Ymm::new(_mm256_or_si256(_mm256_slli_epi32::<16>(self.0), carried))
        }
    }
}

/// Two taps a word, int16; the sums of 8 channels.
pub(in crate::depthwise) struct Pairs;

impl GroupDot for Pairs {
    type Sums = __m256i;
    const LANES: usize = LANES;
    const TAPS: usize = 2;
    const WORD: usize = LANES * 2 * 2;

    #[inline(always)]
    unsafe fn start(bias: *const i32, channels: usize) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { load_lanes(bias, channels).0 }
    }

    #[inline(always)]
    unsafe fn multiply_add(
        sums: __m256i,
        taps: [*const u8; TAPS_MAX],
        weights: *const u8,
        channels: usize,
    ) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe {
            let (first, second) = (load_bytes(taps[0], channels), load_bytes(taps[1], channels));
            let values = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(first, second));
            _mm256_add_epi32(sums, _mm256_madd_epi16(values, _mm256_loadu_si256(weights.cast())))
        }
    }
}

impl GroupFinish<Pairs> for Requantize<'_> {
    type Out = u8;

    #[inline(always)]
    fn start(&self) -> &[i32] {
        self.bias
    }

    #[inline(always)]
    unsafe fn finish(&self, sums: __m256i, first: usize, channels: usize, out: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            let multiplier = load_lanes(self.multiplier.as_ptr().add(first), channels);
            let shift = load_lanes(self.shift.as_ptr().add(first), channels);
            let scaled = scale_any(Ymm::new(sums), multiplier, shift);
            let bytes = Clamp::new(self.zero_point, self.lo, self.hi).bytes_of_two([scaled; 2]).in_order();
            let mut lanes = [0u8; LANES];
            bytes.store_quarter(0, lanes.as_mut_ptr());
            lanes.as_ptr().copy_to_nonoverlapping(out, channels);
        }
    }
}

impl GroupFinish<Pairs> for Floats<'_> {
    type Out = f32;

    #[inline(always)]
    fn start(&self) -> &[i32] {
        self.acc_bias
    }

    #[inline(always)]
    unsafe fn finish(&self, sums: __m256i, first: usize, channels: usize, out: *mut f32) {
        let mut acc = [0i32; LANES];
        // SAFETY: the caller's promise; the sums are 8 int32.
        let out = unsafe {
            _mm256_storeu_si256(acc.as_mut_ptr().cast(), sums);
            std::slice::from_raw_parts_mut(out, channels)
        };
        for (lane, out) in out.iter_mut().enumerate() {
            *out = self.of(acc[lane], first + lane);
        }
    }
}

/// `channels` int32, the rest 0.
///
/// # Safety
/// The CPU has the tier; `channels` values at `values`, at most 8.
#[inline(always)]
unsafe fn load_lanes(values: *const i32, channels: usize) -> Ymm {
    // SAFETY: the caller's promise.
    unsafe {
        if channels == LANES {
            return Ymm::load(values);
        }
        let mut lanes = [0i32; LANES];
        values.copy_to_nonoverlapping(lanes.as_mut_ptr(), channels);
        Ymm::load(lanes.as_ptr())
    }
}

/// `channels` bytes, the rest 0.
///
/// # Safety
/// The CPU has the tier; `channels` bytes at `bytes`, at most 8.
#[inline(always)]
pub(in crate::depthwise) unsafe fn load_bytes(bytes: *const u8, channels: usize) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe {
        if channels == LANES {
            return _mm_loadl_epi64(bytes.cast());
        }
        let mut lanes = [0u8; LANES];
        bytes.copy_to_nonoverlapping(lanes.as_mut_ptr(), channels);
        _mm_loadl_epi64(lanes.as_ptr().cast())
    }
}
