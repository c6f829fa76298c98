//! Dot products of four bytes on 256-bit registers: vpdpbusd, never its saturating form, in the two encodings that it has.

use std::arch::x86_64::*;

use super::avx2::Product;

/// A [`Product`] of four unsigned bytes and four signed bytes, and its like of words.
///
/// # Safety
/// As [`Product`].
pub(crate) trait Fours: Product {
    /// [`Product::add`] of the two words of each lane, in one instruction.
    unsafe fn add_words(sums: __m256i, values: __m256i, weights: __m256i) -> __m256i;
}

/// The encoding of AVX-VNNI: 16 registers.
pub(crate) struct Vex;

impl Product for Vex {
    #[inline(always)]
    unsafe fn add(sums: __m256i, values: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_dpbusd_avx_epi32(sums, values, weights) }
    }
}

impl Fours for Vex {
    #[inline(always)]
    unsafe fn add_words(sums: __m256i, values: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_dpwssd_avx_epi32(sums, values, weights) }
    }
}

/// The encoding of AVX-512 VNNI: 32 registers.
pub(crate) struct Evex;

impl Product for Evex {
    #[inline(always)]
    unsafe fn add(sums: __m256i, values: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_dpbusd_epi32(sums, values, weights) }
    }
}

impl Fours for Evex {
    #[inline(always)]
    unsafe fn add_words(sums: __m256i, values: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_dpwssd_epi32(sums, values, weights) }
    }
}
