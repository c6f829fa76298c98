//! Sums in registers of AVX2 and AVX-512.

use std::arch::x86_64::*;

use super::{Lanes, Params};
use crate::requantize::words::ROUND;
use crate::simd::{Vector, Ymm, Zmm};

impl Lanes for Zmm {
    type Scales = [[__m512d; 2]; 2];

    #[inline(always)]
    unsafe fn add_dot(self, values: Self, weights: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Zmm(_mm512_dpwssd_epi32(self.0, weights.0, values.0)) }
    }

    #[inline(always)]
    unsafe fn add_to(self, to: *mut f64) {
        // SAFETY: the caller's.
        unsafe {
            for (half, sums) in halves(self).into_iter().enumerate() {
                let to = to.add(8 * half);
                _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), sums));
            }
        }
    }

    #[inline(always)]
    unsafe fn scales<const MOST: usize>(params: &Params<MOST>, at: usize) -> Self::Scales {
        debug_assert!(at + Self::LANES <= MOST);
        // SAFETY: the caller's.
        unsafe {
            let of = |from: &[f64; MOST], half: usize| _mm512_loadu_pd(from.as_ptr().add(at + 8 * half));
            [0, 1].map(|half| [of(&params.bias, half), of(&params.factor, half)])
        }
    }

    #[inline(always)]
    unsafe fn scale(self, by: &Self::Scales) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let [low, high] = halves(self);
            let scaled = |sum, [bias, factor]: [__m512d; 2]| {
                _mm512_fmadd_pd(_mm512_add_pd(sum, bias), factor, _mm512_set1_pd(ROUND))
            };
            let (low, high) = (scaled(low, by[0]), scaled(high, by[1]));
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            Zmm(_mm512_permutex2var_epi32(_mm512_castpd_si512(low), even, _mm512_castpd_si512(high)))
        }
    }

    #[inline(always)]
    unsafe fn clamp_words(self, lo: Self, hi: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Zmm(_mm512_min_epi16(_mm512_max_epi16(self.0, lo.0), hi.0)) }
    }
}

/// The lower lanes and the upper ones as float64.
///
/// # Safety
/// The CPU has the tier.
#[inline(always)]
unsafe fn halves(lanes: Zmm) -> [__m512d; 2] {
    // SAFETY: the caller's.
    unsafe {
        [
            _mm512_cvtepi32_pd(_mm512_castsi512_si256(lanes.0)),
            _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64::<1>(lanes.0)),
        ]
    }
}

impl Lanes for Ymm {
    type Scales = [[__m256d; 2]; 2];

    #[inline(always)]
    unsafe fn add_dot(self, values: Self, weights: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { self.add(values.dot_words(weights)) }
    }

    #[inline(always)]
    unsafe fn add_to(self, to: *mut f64) {
        // SAFETY: the caller's.
        unsafe {
            for (half, sums) in short_halves(self).into_iter().enumerate() {
                let to = to.add(4 * half);
                _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), sums));
            }
        }
    }

    #[inline(always)]
    unsafe fn scales<const MOST: usize>(params: &Params<MOST>, at: usize) -> Self::Scales {
        debug_assert!(at + Self::LANES <= MOST);
        // SAFETY: the caller's.
        unsafe {
            let of = |from: &[f64; MOST], half: usize| _mm256_loadu_pd(from.as_ptr().add(at + 4 * half));
            [0, 1].map(|half| [of(&params.bias, half), of(&params.factor, half)])
        }
    }

    #[inline(always)]
    unsafe fn scale(self, by: &Self::Scales) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let [low, high] = short_halves(self);
            let scaled = |sum, [bias, factor]: [__m256d; 2]| {
                _mm256_fmadd_pd(_mm256_add_pd(sum, bias), factor, _mm256_set1_pd(ROUND))
            };
            let (low, high) = (scaled(low, by[0]), scaled(high, by[1]));
            // The lower halves of each 128 bits of both, then in order.
            let even = _mm256_shuffle_ps::<0b10_00_10_00>(_mm256_castpd_ps(low), _mm256_castpd_ps(high));
            Ymm::new(_mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_castps_si256(even)))
        }
    }

    #[inline(always)]
    unsafe fn clamp_words(self, lo: Self, hi: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Ymm::new(_mm256_min_epi16(_mm256_max_epi16(self.0, lo.0), hi.0)) }
    }
}

/// The lower lanes and the upper ones as float64.
///
/// # Safety
/// The CPU has the tier.
#[inline(always)]
unsafe fn short_halves(lanes: Ymm) -> [__m256d; 2] {
    // SAFETY: the caller's.
    unsafe {
        [
            _mm256_cvtepi32_pd(_mm256_castsi256_si128(lanes.0)),
            _mm256_cvtepi32_pd(_mm256_extracti128_si256::<1>(lanes.0)),
        ]
    }
}
