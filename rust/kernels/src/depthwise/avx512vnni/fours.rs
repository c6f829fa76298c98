//! The dot product of four taps: of sixteen channels, or less.

use std::arch::x86_64::*;

use crate::depthwise::dot::{All, Channels, Dot};
use crate::depthwise::entries::Floats;
use crate::depthwise::finish::{Finish, ToFloats};
use crate::depthwise::general::{GroupDot, GroupFinish, TAPS_MAX};
use crate::depthwise::pack::GROUP;
use crate::requantize::{Requantize, scale_any};
use crate::simd::{Vector, Zmm, opaque};

/// Bytes of a word.
pub(super) const WORD: usize = GROUP * 4;

/// Turns 4 rows of 16 bytes into 16 lanes of 4: a transposition of 4 x 4 lanes, then one of 4 x 4 bytes in each quarter.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn interleave(rows: [__m128i; TAPS_MAX]) -> Zmm {
    let four = _mm512_castsi128_si512(rows[0]);
    let four = _mm512_inserti32x4::<1>(four, rows[1]);
    let four = _mm512_inserti32x4::<2>(four, rows[2]);
    let four = _mm512_inserti32x4::<3>(four, rows[3]);
    let bytes = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    // SAFETY: the function has the tier's features.
    let lanes = unsafe { Zmm(four).in_order() };
    Zmm(_mm512_shuffle_epi8(lanes.0, opaque(_mm512_broadcast_i32x4(bytes))))
}

impl Dot for Zmm {
    type Group = Fours;

    #[inline(always)]
    unsafe fn interleave(taps: [*const u8; TAPS_MAX], count: usize) -> Zmm {
        // SAFETY: the caller's promise.
        unsafe {
            let mut rows = [_mm_setzero_si128(); TAPS_MAX];
            for tap in 0..count {
                rows[tap] = _mm_loadu_si128(taps[tap].cast());
            }
            interleave(rows)
        }
    }

    #[inline(always)]
    unsafe fn padding(zero_point: u8) -> Zmm {
        // SAFETY: the caller's promise.
        unsafe { Zmm::splat_bytes(zero_point) }
    }

    #[inline(always)]
    unsafe fn one_later(self, before: Zmm) -> Zmm {
        // SAFETY: the caller's promise.
        unsafe {
            let carried = _mm512_srli_epi32::<24>(before.0);
            Zmm(_mm512_or_si512(_mm512_slli_epi32::<8>(self.0), carried))
        }
    }
}

/// The first channels of a group, by a bit for each.
#[derive(Clone, Copy)]
pub(super) struct First(__mmask16);

impl First {
    /// So many, at most 16.
    pub(super) fn new(channels: usize) -> First {
        First(first_lanes(channels))
    }
}

impl Channels<Zmm> for First {
    #[inline(always)]
    unsafe fn interleave(self, taps: [*const u8; TAPS_MAX], count: usize) -> Zmm {
        // SAFETY: the caller's promise; only the channels' bytes are read.
        unsafe {
            let mut rows = [_mm_setzero_si128(); TAPS_MAX];
            for tap in 0..count {
                rows[tap] = _mm_maskz_loadu_epi8(self.0, taps[tap].cast());
            }
            interleave(rows)
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const i32) -> Zmm {
        // SAFETY: the caller's promise; only the channels' lanes are read.
        unsafe { Zmm(_mm512_maskz_loadu_epi32(self.0, from)) }
    }

    #[inline(always)]
    unsafe fn store(self, bytes: Zmm, quarter: usize, to: *mut u8) {
        // SAFETY: the caller's promise; only the channels' bytes are written.
        unsafe { _mm_mask_storeu_epi8(to.cast(), self.0, bytes.quarter(quarter)) }
    }

    #[inline(always)]
    unsafe fn store_floats(self, floats: Zmm, to: *mut f32) {
        // SAFETY: the caller's promise; only the channels' lanes are written.
        unsafe { _mm512_mask_storeu_epi32(to.cast(), self.0, floats.0) }
    }
}

/// A bit for each of the first `channels` lanes.
#[inline(always)]
fn first_lanes(channels: usize) -> __mmask16 {
    (u32::MAX >> (32 - channels as u32)) as u16
}

/// Four taps a word, int8.
pub(in crate::depthwise) struct Fours;

impl GroupDot for Fours {
    type Sums = __m512i;
    const LANES: usize = GROUP;
    const TAPS: usize = 4;
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
            let Zmm(values) = if channels == GROUP {
                All.interleave(taps, TAPS_MAX)
            } else {
                First::new(channels).interleave(taps, TAPS_MAX)
            };
            _mm512_dpbusd_epi32(sums, values, _mm512_loadu_si512(weights.cast()))
        }
    }
}

impl GroupFinish<Fours> for Requantize<'_> {
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

impl GroupFinish<Fours> for Floats<'_> {
    type Out = f32;

    #[inline(always)]
    fn start(&self) -> &[i32] {
        self.acc_bias
    }

    #[inline(always)]
    unsafe fn finish(&self, sums: __m512i, first: usize, channels: usize, out: *mut f32) {
        // SAFETY: the caller's promise; only the channels' lanes are read and written.
        unsafe {
            let channels = First::new(channels);
            channels.store_floats(ToFloats::new(self, first, channels).apply(Zmm(sums)), out);
        }
    }
}
