//! What tiles do with sums in a tier's registers: they go on from int32 as float64, which holds sums below `2^53` exactly;
//! formula (9d) of docs/arithmetic.md.

use std::arch::x86_64::*;

use super::rule::Requantize;
use crate::requantize::HighScale;
use crate::requantize::words::{ROUND, factor};
use crate::simd::{Vector, Ymm, Zmm};

/// No int32 is greater in magnitude.
const LARGEST: f64 = 2_147_483_648.0;

/// The numbers of some columns or channels as the registers take them, up to `MOST`.
pub(super) struct Params<const MOST: usize> {
    /// Integers.
    bias: [f64; MOST],
    /// Multiplier over `2^shift`.
    factor: [f64; MOST],
    /// Whether what becomes of any sum that is an int32 is one.
    are_small: bool,
    /// The same numbers for sums that int32 holds with their bias, by shifts of 33 and more: whether all are such.
    short_bias: [i32; MOST],
    multiplier: [i32; MOST],
    shift: [i32; MOST],
    are_short: bool,
    lo: i16,
    hi: i16,
}

impl<const MOST: usize> Params<MOST> {
    /// None, with the clamp of all.
    #[inline(always)]
    pub fn new(lo: i32, hi: i32) -> Self {
        Params {
            bias: [0.0; MOST],
            factor: [0.0; MOST],
            are_small: true,
            short_bias: [0; MOST],
            multiplier: [0; MOST],
            shift: [33; MOST],
            are_short: true,
            lo: lo as i16,
            hi: hi as i16,
        }
    }

    /// Gives the place `at` the numbers of a channel.
    #[inline(always)]
    pub fn set(&mut self, at: usize, by: &Requantize<'_>, channel: usize) {
        let (bias, multiplier, shift) = (by.bias[channel], by.multiplier[channel], by.shift[channel]);
        (self.short_bias[at], self.multiplier[at], self.shift[at]) = (bias as i32, multiplier, shift);
        self.are_short &= shift >= 33 && bias.saturating_abs().saturating_add(by.reach[channel]) < 1 << 31;
        self.bias[at] = bias as f64;
        self.factor[at] = factor(multiplier, shift.unsigned_abs());
        let reach = (by.reach[channel] as f64).min(LARGEST);
        self.are_small &= (self.bias[at].abs() + reach) * self.factor[at] < LARGEST / 2.0;
    }

    /// Whether what becomes of any sum that is an int32 is one.
    #[inline(always)]
    pub fn are_small(&self) -> bool {
        self.are_small
    }

    /// Whether every sum is an int32 with its bias, and every shift is 33 or more.
    #[inline(always)]
    pub fn are_short(&self) -> bool {
        self.are_short
    }

    /// The biases and scales of the places from `at` on, of such sums.
    ///
    /// # Safety
    /// As [`Lanes`]; there are as many places as lanes.
    #[inline(always)]
    pub unsafe fn short<V: Lanes>(&self, at: usize) -> (V, HighScale<V>) {
        debug_assert!(at + V::LANES <= MOST);
        // SAFETY: the caller's.
        unsafe {
            let of = |from: &[i32; MOST]| V::load(from.as_ptr().add(at));
            (of(&self.short_bias), HighScale::new(of(&self.multiplier), of(&self.shift)))
        }
    }

    /// The clamp.
    #[inline(always)]
    pub fn bounds(&self) -> (i16, i16) {
        (self.lo, self.hi)
    }

    /// Words, clamped.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    pub unsafe fn clamp<V: Lanes>(&self, words: V) -> V {
        // SAFETY: the caller's.
        unsafe { words.clamp_words(V::splat_words(self.lo), V::splat_words(self.hi)) }
    }
}

/// A register of sums.
///
/// # Safety
/// As [`Vector`].
pub(super) trait Lanes: Vector {
    /// Numbers of as many columns as lanes.
    type Scales;

    /// `self`, and in each lane the products of its words added.
    unsafe fn add_dot(self, values: Self, weights: Self) -> Self;

    /// Adds the lanes to the sums at `to`.
    unsafe fn add_to(self, to: *mut f64);

    /// The numbers of the columns from `at` on.
    unsafe fn scales<const MOST: usize>(params: &Params<MOST>, at: usize) -> Self::Scales;

    /// `(lane + bias) * factor` rounded to an integer, which is an int32: [`Params::are_small`].
    unsafe fn scale(self, by: &Self::Scales) -> Self;

    /// Words held to a least and a greatest.
    unsafe fn clamp_words(self, lo: Self, hi: Self) -> Self;
}

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
