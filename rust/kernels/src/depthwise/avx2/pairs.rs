//! The dot product of two taps: of the 8 channels of a register, and of sixteen or less in any number.

use std::arch::x86_64::*;

use crate::depthwise::dot::Dot;
use crate::depthwise::entries::Floats;
use crate::depthwise::general::{GroupDot, GroupFinish, TAPS_MAX};
use crate::depthwise::pack::GROUP;
use crate::requantize::{Clamp, HIGH_SHIFT, HighScale, Requantize, scale_any};
use crate::simd::{Vector, Ymm};

/// Channels of a register of sums: half a group.
const HALF: usize = 8;

impl Dot for Ymm {
    type Group = Pairs;

    #[inline(always)]
    unsafe fn interleave(taps: [*const u8; TAPS_MAX], count: usize) -> Ymm {
        // SAFETY: the caller's promise.
        unsafe {
            let even = _mm_loadl_epi64(taps[0].cast());
            let odd = if count == 2 { _mm_loadl_epi64(taps[1].cast()) } else { _mm_setzero_si128() };
            Ymm(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(even, odd)))
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
            Ymm(_mm256_or_si256(_mm256_slli_epi32::<16>(self.0), carried))
        }
    }
}

/// Two taps a word, int16; the sums of channels 0..8 and 8..16.
pub(in crate::depthwise) struct Pairs;

impl GroupDot for Pairs {
    type Sums = [__m256i; 2];
    const TAPS: usize = 2;
    const WORD: usize = GROUP * 2 * 2;

    #[inline(always)]
    unsafe fn start(bias: *const i32, channels: usize) -> [__m256i; 2] {
        // SAFETY: the caller's promise.
        unsafe { load_lanes(bias, channels) }
    }

    #[inline(always)]
    unsafe fn multiply_add(
        sums: [__m256i; 2],
        taps: [*const u8; TAPS_MAX],
        weights: *const u8,
        channels: usize,
    ) -> [__m256i; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let (first, second) = (load_bytes(taps[0], channels), load_bytes(taps[1], channels));
            let low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(first, second));
            let high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(first, second));
            let weights = weights.cast::<__m256i>();
            [
                _mm256_add_epi32(sums[0], _mm256_madd_epi16(low, _mm256_loadu_si256(weights))),
                _mm256_add_epi32(sums[1], _mm256_madd_epi16(high, _mm256_loadu_si256(weights.add(1)))),
            ]
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
    unsafe fn finish(&self, sums: [__m256i; 2], first: usize, channels: usize, out: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            let multiplier = load_lanes(self.multiplier.as_ptr().add(first), channels);
            let shift = load_lanes(self.shift.as_ptr().add(first), channels);
            let scaled = [0, 1].map(|half| scale(sums[half], multiplier[half], shift[half]));
            let bytes = Clamp::new(self.zero_point, self.lo, self.hi).bytes_of_two(scaled).in_order();
            store_bytes(_mm256_castsi256_si128(bytes.0), out, channels);
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
    unsafe fn finish(&self, sums: [__m256i; 2], first: usize, channels: usize, out: *mut f32) {
        let mut acc = [0i32; GROUP];
        // SAFETY: the caller's promise; the sums are 16 int32.
        let out = unsafe {
            _mm256_storeu_si256(acc.as_mut_ptr().cast(), sums[0]);
            _mm256_storeu_si256(acc.as_mut_ptr().add(HALF).cast(), sums[1]);
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
/// The CPU has the tier; `channels` values at `values`, at most 16.
#[inline(always)]
pub(super) unsafe fn load_lanes(values: *const i32, channels: usize) -> [__m256i; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        if channels == GROUP {
            [_mm256_loadu_si256(values.cast()), _mm256_loadu_si256(values.add(8).cast())]
        } else {
            let mut lanes = [0i32; GROUP];
            values.copy_to_nonoverlapping(lanes.as_mut_ptr(), channels);
            load_lanes(lanes.as_ptr(), GROUP)
        }
    }
}

/// `channels` bytes, the rest 0: of fewer than 16, by pieces that overlap.
///
/// # Safety
/// The CPU has the tier; `channels` bytes at `bytes`, 1 to 16.
#[inline(always)]
pub(super) unsafe fn load_bytes(bytes: *const u8, channels: usize) -> __m128i {
    // SAFETY: the caller's promise; every piece ends with the last byte or before.
    unsafe {
        let byte = |at: usize| u64::from(*bytes.add(at)) << (8 * at);
        let four = |at: usize| u64::from(bytes.add(at).cast::<u32>().read_unaligned());
        let eight = |at: usize| bytes.add(at).cast::<u64>().read_unaligned();
        match channels {
            GROUP => _mm_loadu_si128(bytes.cast()),
            HALF => _mm_loadl_epi64(bytes.cast()),
            9..GROUP => {
                let rest = eight(channels - 8) >> (8 * (GROUP - channels));
                _mm_set_epi64x(rest as i64, eight(0) as i64)
            }
            4..HALF => {
                let rest = four(channels - 4) << (8 * (channels - 4));
                _mm_cvtsi64_si128((four(0) | rest) as i64)
            }
            _ => _mm_cvtsi64_si128((byte(0) | byte(channels / 2) | byte(channels - 1)) as i64),
        }
    }
}

/// # Safety
/// The CPU has the tier; room for `channels` bytes at `out`, at most 16.
#[inline(always)]
pub(super) unsafe fn store_bytes(bytes: __m128i, out: *mut u8, channels: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if channels == GROUP {
            _mm_storeu_si128(out.cast(), bytes);
        } else {
            let mut lanes = [0u8; GROUP];
            _mm_storeu_si128(lanes.as_mut_ptr().cast(), bytes);
            lanes.as_ptr().copy_to_nonoverlapping(out, channels);
        }
    }
}

/// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)`, or what has the same int16 after saturation.
///
/// # Safety
/// The CPU has the tier.
#[inline(always)]
unsafe fn scale(acc: __m256i, multiplier: __m256i, shift: __m256i) -> Ymm {
    // SAFETY: the caller's promise.
    unsafe {
        let is_high = _mm256_cmpgt_epi32(shift, _mm256_set1_epi32(HIGH_SHIFT - 1));
        let (acc, multiplier, shift) = (Ymm(acc), Ymm(multiplier), Ymm(shift));
        if _mm256_movemask_epi8(is_high) == -1 {
            HighScale::new(multiplier, shift).apply(acc)
        } else {
            scale_any(acc, multiplier, shift)
        }
    }
}
