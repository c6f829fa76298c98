//! Depthwise convolution by vpdpbusd on 256-bit registers: a word is 4 taps, one int32 lane a channel, so that one
//! instruction adds 4 products of each of 8 channels.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::avx2::{Pairs, load_bytes};
use super::dot::Dot;
use super::entries::Floats;
use super::general::{GroupDot, GroupFinish, TAPS_MAX};
use crate::requantize::Requantize;
use crate::simd::{Fours, Product, Vector, YmmOf};

/// Turns 4 rows of 8 bytes into 8 lanes of 4.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn interleave(rows: [__m128i; TAPS_MAX]) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let (upper, lower) = (_mm_unpacklo_epi8(rows[0], rows[1]), _mm_unpacklo_epi8(rows[2], rows[3]));
        _mm256_set_m128i(_mm_unpackhi_epi16(upper, lower), _mm_unpacklo_epi16(upper, lower))
    }
}

impl<P: Fours> Dot for YmmOf<P> {
    type Group = Eight<P>;

    #[inline(always)]
    unsafe fn interleave(taps: [*const u8; TAPS_MAX], count: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let mut rows = [_mm_setzero_si128(); TAPS_MAX];
            for tap in 0..count {
                rows[tap] = _mm_loadl_epi64(taps[tap].cast());
            }
            YmmOf::new(interleave(rows))
        }
    }

    #[inline(always)]
    unsafe fn padding(zero_point: u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::splat_bytes(zero_point) }
    }

    #[inline(always)]
    unsafe fn one_later(self, before: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let carried = _mm256_srli_epi32::<24>(before.0);
            YmmOf::new(_mm256_or_si256(_mm256_slli_epi32::<8>(self.0), carried))
        }
    }
}

/// Four taps a word, int8; the sums of 8 channels.
pub(in crate::depthwise) struct Eight<P>(PhantomData<P>);

impl<P: Product> GroupDot for Eight<P> {
    type Sums = __m256i;
    const LANES: usize = Pairs::LANES;
    const TAPS: usize = 4;
    const WORD: usize = Self::LANES * 4;

    #[inline(always)]
    unsafe fn start(bias: *const i32, channels: usize) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { Pairs::start(bias, channels) }
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
            let values = interleave(taps.map(|tap| load_bytes(tap, channels)));
            P::add(sums, values, _mm256_loadu_si256(weights.cast()))
        }
    }
}

/// As of [`Pairs`], whose sums are the same.
macro_rules! finish {
    ($epilogue:ident, $out:ty) => {
        impl<P: Product> GroupFinish<Eight<P>> for $epilogue<'_> {
            type Out = $out;

            #[inline(always)]
            fn start(&self) -> &[i32] {
                GroupFinish::<Pairs>::start(self)
            }

            #[inline(always)]
            unsafe fn finish(&self, sums: __m256i, first: usize, channels: usize, out: *mut $out) {
                // SAFETY: the caller's promise.
                unsafe { GroupFinish::<Pairs>::finish(self, sums, first, channels, out) }
            }
        }
    };
}
finish!(Requantize, u8);
finish!(Floats, f32);

/// The AVX-VNNI tier.
pub(super) mod avxvnni {
    use crate::simd::{Vex, YmmOf};

    crate::depthwise::ymm::tier!("avx2,fma,avxvnni", YmmOf<Vex>);
}

/// The tier of AVX-512 VNNI on 256-bit registers.
pub(super) mod avx512vl {
    use crate::simd::{Evex, YmmOf};

    crate::depthwise::ymm::tier!("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni", YmmOf<Evex>);
}
