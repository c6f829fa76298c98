//! What becomes of the sums of as many channels as a register has lanes.

use std::arch::x86_64::*;

use super::dot::{All, Channels};
use super::entries::Floats;
use crate::requantize::{Clamp, HIGH_SHIFT, HighScale, Requantize};
use crate::simd::{Vector, Ymm};

/// # Safety
/// The methods need the tier's CPU features, and are inlined into functions that are compiled for it.
pub(super) trait Finish<V>: Sized {
    /// The channels that there are.
    type Channels: Channels<V>;
    /// The parameters of all channels.
    type Of<'a>;
    /// An element of the output.
    type Out;

    /// The parameters of a register's channels from `first` on.
    unsafe fn new(of: &Self::Of<'_>, first: usize, channels: Self::Channels) -> Self;

    /// What the sums begin with.
    unsafe fn start(&self) -> V;

    /// Writes the results of `DOWN` x `RIGHT` outputs, 2 or 4 of them, to their places: an element a channel, where there
    /// is a place.
    unsafe fn write<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[V; RIGHT]; DOWN],
        place: impl Fn(usize, usize) -> Option<*mut Self::Out>,
    );
}

/// Requantization. A shift below 33, which there is only where `RAISED`, is raised to 33 and the sum moved left by as
/// much: the same quotient.
pub(super) struct Bytes<V: Vector, C, const RAISED: bool> {
    channels: C,
    bias: V,
    /// By how much each sum moves left.
    left: V,
    scale: HighScale<V>,
    clamp: Clamp<V>,
}

impl<V: Vector, C: Channels<V>, const RAISED: bool> Finish<V> for Bytes<V, C, RAISED> {
    type Channels = C;
    type Of<'a> = Requantize<'a>;
    type Out = u8;

    #[inline(always)]
    unsafe fn new(of: &Requantize<'_>, first: usize, channels: C) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let load = |values: &[i32]| channels.load(values.as_ptr().add(first));
            let given = load(of.shift);
            let shift = given.max(V::splat(HIGH_SHIFT));
            Bytes {
                channels,
                bias: load(of.bias),
                left: shift.sub(given),
                scale: HighScale::new(load(of.multiplier), shift),
                clamp: Clamp::new(of.zero_point, of.lo, of.hi),
            }
        }
    }

    #[inline(always)]
    unsafe fn start(&self) -> V {
        self.bias
    }

    #[inline(always)]
    unsafe fn write<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[V; RIGHT]; DOWN],
        place: impl Fn(usize, usize) -> Option<*mut u8>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let at = |i: usize| {
                let sum = sums[i / RIGHT][i % RIGHT];
                self.scale.apply(if RAISED { sum.shift_left(self.left) } else { sum })
            };
            let bytes = if DOWN * RIGHT == 4 {
                self.clamp.bytes([at(0), at(1), at(2), at(3)])
            } else {
                self.clamp.bytes_of_two([at(0), at(1)])
            };
            // Each output has a quarter.
            let bytes = bytes.in_order();
            for down in 0..DOWN {
                for right in 0..RIGHT {
                    if let Some(place) = place(down, right) {
                        self.channels.store(bytes, down * RIGHT + right, place);
                    }
                }
            }
        }
    }
}

/// Float32.
pub(super) struct FloatsOfEight {
    acc_bias: Ymm,
    x_scale: __m256,
    scale: __m256,
    bias: __m256,
}

impl Finish<Ymm> for FloatsOfEight {
    type Channels = All;
    type Of<'a> = Floats<'a>;
    type Out = f32;

    #[inline(always)]
    unsafe fn new(of: &Floats<'_>, first: usize, _: All) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            FloatsOfEight {
                acc_bias: Ymm::load(of.acc_bias.as_ptr().add(first)),
                x_scale: _mm256_set1_ps(of.x_scale),
                scale: _mm256_loadu_ps(of.scale.as_ptr().add(first)),
                bias: _mm256_loadu_ps(of.bias.as_ptr().add(first)),
            }
        }
    }

    #[inline(always)]
    unsafe fn start(&self) -> Ymm {
        self.acc_bias
    }

    #[inline(always)]
    unsafe fn write<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[Ymm; RIGHT]; DOWN],
        place: impl Fn(usize, usize) -> Option<*mut f32>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            for down in 0..DOWN {
                for right in 0..RIGHT {
                    if let Some(place) = place(down, right) {
                        let x = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[down][right].0), self.x_scale);
                        _mm256_storeu_ps(place, _mm256_fmadd_ps(x, self.scale, self.bias));
                    }
                }
            }
        }
    }
}
