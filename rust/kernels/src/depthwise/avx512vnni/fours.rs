//! Sixteen channels, or less: the general code on AVX-512.

use std::arch::x86_64::*;

use super::lanes::{Interleave, TAPS, WORD, first_lanes};
use crate::depthwise::general::{Epilogue, Lanes, TAPS_MAX};
use crate::depthwise::pack::GROUP;
use crate::requantize::{Requantize, scale_any};
use crate::simd::Zmm;

/// Four taps a word, int8.
pub(super) struct Fours;

impl Lanes for Fours {
    type Sums = __m512i;
    const TAPS: usize = TAPS;
    const WORD: usize = WORD;

    #[inline(always)]
    unsafe fn start(bias: *const i32, channels: usize) -> __m512i {
        // SAFETY: the caller's promise; only the channels' lanes are read.
        unsafe { _mm512_maskz_loadu_epi32(first_lanes(channels), bias) }
    }

    #[inline(always)]
    unsafe fn multiply_add(
        sums: __m512i,
        taps: [*const u8; TAPS_MAX],
        weights: *const u8,
        channels: usize,
    ) -> __m512i {
        // SAFETY: the caller's promise; only the channels' bytes are read.
        unsafe {
            let load = |tap: usize| -> __m128i {
                if channels == GROUP {
                    _mm_loadu_si128(taps[tap].cast())
                } else {
                    _mm_maskz_loadu_epi8(first_lanes(channels), taps[tap].cast())
                }
            };
            let rows = _mm512_castsi128_si512(load(0));
            let rows = _mm512_inserti32x4::<1>(rows, load(1));
            let rows = _mm512_inserti32x4::<2>(rows, load(2));
            let rows = _mm512_inserti32x4::<3>(rows, load(3));
            let values = Interleave::new().apply(rows);
            _mm512_dpbusd_epi32(sums, values, _mm512_loadu_si512(weights.cast()))
        }
    }
}

impl Epilogue<Fours> for Requantize<'_> {
    type Out = u8;

    #[inline(always)]
    fn start(&self) -> &[i32] {
        self.bias
    }

    #[inline(always)]
    unsafe fn finish(&self, sums: __m512i, first: usize, channels: usize, out: *mut u8) {
        // SAFETY: the caller's promise; only the channels' lanes are read and written.
        unsafe {
            let lanes = first_lanes(channels);
            let multiplier = _mm512_maskz_loadu_epi32(lanes, self.multiplier.as_ptr().add(first));
            let shift = _mm512_maskz_loadu_epi32(lanes, self.shift.as_ptr().add(first));
            let scaled = scale_any(Zmm(sums), Zmm(multiplier), Zmm(shift)).0;
            let y = _mm512_add_epi32(scaled, _mm512_set1_epi32(self.zero_point));
            let y =
                _mm512_min_epi32(_mm512_max_epi32(y, _mm512_set1_epi32(self.lo)), _mm512_set1_epi32(self.hi));
            _mm_mask_storeu_epi8(out.cast(), lanes, _mm512_cvtepi32_epi8(y));
        }
    }
}
