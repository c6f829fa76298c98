//! Eight channels of sums, in one register: half a group.

use std::arch::x86_64::*;

use crate::depthwise::entries::Floats;
use crate::depthwise::pack::{GROUP, first_channel};
use crate::requantize::{Clamp, HIGH_SHIFT, HighScale, Requantize};
use crate::simd::{Vector, Ymm};

/// Taps of a word.
pub(super) const TAPS: usize = 2;
/// Bytes of a word.
pub(super) const WORD: usize = GROUP * TAPS * 2;
/// Channels of a register of sums: half a group.
pub(super) const HALF: usize = 8;

/// Whether the channels are whole halves of groups, and so not too few for code that takes 8 at a time.
pub(super) fn have_halves(channels: usize) -> bool {
    channels == HALF || channels >= GROUP
}

/// The first channels of the halves of groups, and where in the packed weights each half's lie, of `group_bytes` a
/// group.
pub(super) fn halves(channels: usize, group_bytes: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = if channels == HALF { 1 } else { channels.div_ceil(GROUP) * 2 };
    (0..count).map(move |half| {
        (first_channel(half / 2, channels) + half % 2 * HALF, half / 2 * group_bytes + half % 2 * (WORD / 2))
    })
}

/// What becomes of the sums of 8 channels.
///
/// # Safety
/// The methods need the tier's CPU features, and are inlined into functions that are compiled for it.
pub(super) trait Eight: Sized {
    /// The parameters of all channels.
    type Of<'a>;
    /// An element of the output.
    type Out;

    /// The parameters of 8 channels from `first` on, which are there.
    unsafe fn new(of: &Self::Of<'_>, first: usize) -> Self;

    /// What the sums begin with.
    unsafe fn start(&self) -> __m256i;

    /// Writes the results of `DOWN` x `RIGHT` outputs, 2 or 4 of them, to their places: 8 elements each, where there is
    /// a place.
    unsafe fn write<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[__m256i; RIGHT]; DOWN],
        place: impl Fn(usize, usize) -> Option<*mut Self::Out>,
    );
}

/// The requantization of 8 channels. A shift below 33, which there is only where `RAISED`, is raised to 33 and the sum
/// moved left by as much: the same quotient.
pub(super) struct EightBytes<const RAISED: bool> {
    bias: Ymm,
    /// By how much each sum moves left.
    left: Ymm,
    scale: HighScale<Ymm>,
    clamp: Clamp<Ymm>,
}

impl<const RAISED: bool> Eight for EightBytes<RAISED> {
    type Of<'a> = Requantize<'a>;
    type Out = u8;

    #[inline(always)]
    unsafe fn new(of: &Requantize<'_>, first: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let load = |values: &[i32]| Ymm::load(values.as_ptr().add(first));
            let given = load(of.shift);
            let shift = given.max(Ymm::splat(HIGH_SHIFT));
            EightBytes {
                bias: load(of.bias),
                left: shift.sub(given),
                scale: HighScale::new(load(of.multiplier), shift),
                clamp: Clamp::new(of.zero_point, of.lo, of.hi),
            }
        }
    }

    #[inline(always)]
    unsafe fn start(&self) -> __m256i {
        self.bias.0
    }

    #[inline(always)]
    unsafe fn write<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[__m256i; RIGHT]; DOWN],
        place: impl Fn(usize, usize) -> Option<*mut u8>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let at = |i: usize| {
                let sum = Ymm(sums[i / RIGHT][i % RIGHT]);
                self.scale.apply(if RAISED { sum.shift_left(self.left) } else { sum })
            };
            let bytes = if DOWN * RIGHT == 4 {
                self.clamp.bytes([at(0), at(1), at(2), at(3)])
            } else {
                self.clamp.bytes_of_two([at(0), at(1)])
            };
            let bytes = bytes.in_order().0;
            let (low, high) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
            let outputs = [
                _mm_cvtsi128_si64(low),
                _mm_extract_epi64::<1>(low),
                _mm_cvtsi128_si64(high),
                _mm_extract_epi64::<1>(high),
            ];
            for down in 0..DOWN {
                for right in 0..RIGHT {
                    if let Some(place) = place(down, right) {
                        place.cast::<i64>().write_unaligned(outputs[down * RIGHT + right]);
                    }
                }
            }
        }
    }
}

/// The float32 of 8 channels.
pub(super) struct EightFloats {
    acc_bias: __m256i,
    x_scale: __m256,
    scale: __m256,
    bias: __m256,
}

impl Eight for EightFloats {
    type Of<'a> = Floats<'a>;
    type Out = f32;

    #[inline(always)]
    unsafe fn new(of: &Floats<'_>, first: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            EightFloats {
                acc_bias: _mm256_loadu_si256(of.acc_bias.as_ptr().add(first).cast()),
                x_scale: _mm256_set1_ps(of.x_scale),
                scale: _mm256_loadu_ps(of.scale.as_ptr().add(first)),
                bias: _mm256_loadu_ps(of.bias.as_ptr().add(first)),
            }
        }
    }

    #[inline(always)]
    unsafe fn start(&self) -> __m256i {
        self.acc_bias
    }

    #[inline(always)]
    unsafe fn write<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[__m256i; RIGHT]; DOWN],
        place: impl Fn(usize, usize) -> Option<*mut f32>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            for down in 0..DOWN {
                for right in 0..RIGHT {
                    if let Some(place) = place(down, right) {
                        let x = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[down][right]), self.x_scale);
                        _mm256_storeu_ps(place, _mm256_fmadd_ps(x, self.scale, self.bias));
                    }
                }
            }
        }
    }
}
