//! Eight channels of sums, in one register: half a group.

use std::arch::asm;
use std::arch::x86_64::*;

use crate::depthwise::entries::{Floats, HIGH_SHIFT};
use crate::depthwise::pack::{GROUP, first_channel};
use crate::requantize::Requantize;

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
    pub(super) bias: __m256i,
    /// By how much each sum moves left.
    pub(super) left: __m256i,
    pub(super) scale: HighScale,
    pub(super) zero_point: __m256i,
    pub(super) lo: __m256i,
    pub(super) hi: __m256i,
}

impl<const RAISED: bool> Eight for EightBytes<RAISED> {
    type Of<'a> = Requantize<'a>;
    type Out = u8;

    #[inline(always)]
    unsafe fn new(of: &Requantize<'_>, first: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let load = |values: &[i32]| _mm256_loadu_si256(values.as_ptr().add(first).cast());
            let given = load(of.shift);
            let shift = _mm256_max_epi32(given, _mm256_set1_epi32(HIGH_SHIFT));
            EightBytes {
                bias: load(of.bias),
                left: _mm256_sub_epi32(shift, given),
                scale: HighScale::new(load(of.multiplier), shift),
                zero_point: _mm256_set1_epi16(of.zero_point as i16),
                lo: _mm256_set1_epi8(of.lo as i8),
                hi: _mm256_set1_epi8(of.hi as i8),
            }
        }
    }

    #[inline(always)]
    unsafe fn start(&self) -> __m256i {
        self.bias
    }

    /// Packs saturate, which the clamp at the end makes good.
    #[inline(always)]
    unsafe fn write<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[__m256i; RIGHT]; DOWN],
        place: impl Fn(usize, usize) -> Option<*mut u8>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let at = |i: usize| {
                let sum = sums[i / RIGHT][i % RIGHT];
                self.scale.apply(if RAISED { _mm256_sllv_epi32(sum, self.left) } else { sum })
            };
            let first = _mm256_adds_epi16(_mm256_packs_epi32(at(0), at(1)), self.zero_point);
            let second = if DOWN * RIGHT == 4 {
                _mm256_adds_epi16(_mm256_packs_epi32(at(2), at(3)), self.zero_point)
            } else {
                first
            };
            let bytes = _mm256_packus_epi16(first, second);
            let bytes = _mm256_min_epu8(_mm256_max_epu8(bytes, self.lo), self.hi);
            // In each half are 4 channels of each output; now the two fours of each output are neighbours.
            let bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
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
    pub(super) acc_bias: __m256i,
    pub(super) x_scale: __m256,
    pub(super) scale: __m256,
    pub(super) bias: __m256,
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

/// The multipliers and shifts of 8 channels, every shift at least 33: the high half of the product, rounded.
pub(super) struct HighScale {
    pub(super) even: __m256i,
    /// The multipliers of the odd lanes, one lane down.
    pub(super) odd: __m256i,
    pub(super) round: __m256i,
    pub(super) shift: __m256i,
}

impl HighScale {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(multiplier: __m256i, shift: __m256i) -> HighScale {
        let over = |less: i32| _mm256_sub_epi32(shift, _mm256_set1_epi32(less));
        HighScale {
            even: multiplier,
            odd: odd_lanes(multiplier),
            round: _mm256_sllv_epi32(_mm256_set1_epi32(1), over(HIGH_SHIFT)),
            shift: over(HIGH_SHIFT - 1),
        }
    }

    /// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn apply(&self, acc: __m256i) -> __m256i {
        let even = _mm256_mul_epi32(acc, self.even);
        let odd = _mm256_mul_epi32(odd_lanes(acc), self.odd);
        let high = _mm256_blend_epi32::<0b1010_1010>(odd_lanes(even), odd);
        _mm256_srav_epi32(_mm256_add_epi32(high, self.round), self.shift)
    }
}

/// The odd lanes, one lane down. Not by a shift: the compiler would make a 64-bit multiplication of what follows.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn odd_lanes(value: __m256i) -> __m256i {
    let odd;
    // SAFETY: the instruction is AVX and touches registers alone.
    unsafe {
        asm!("vmovshdup {0}, {1}", out(ymm_reg) odd, in(ymm_reg) value,
             options(pure, nomem, nostack, preserves_flags));
    }
    odd
}
