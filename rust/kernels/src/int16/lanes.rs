//! What tiles do with sums in a tier's registers: they go on from int32 as float64, which holds sums below `2^53` exactly;
//! formula (9d) of docs/arithmetic.md.

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::rule::Requantize;
use crate::requantize::HighScale;
use crate::requantize::words::factor;
use crate::simd::Vector;

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
    #[cfg(target_arch = "x86_64")]
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
