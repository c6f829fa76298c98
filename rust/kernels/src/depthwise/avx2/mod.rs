//! Depthwise convolution on AVX2: a word is 2 taps, widened to int16, so that one vpmaddwd adds 2 products of each of
//! 8 channels. The products and their sums are exact: 2 * 255 * 128 is far inside int32.

mod slide;

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use crate::depthwise::general::{self, Lanes, TAPS_MAX};
use crate::depthwise::pack::Layout;
use crate::depthwise::{self, Depthwise, Entries, GROUP, HIGH_SHIFT, Tile, can_raise_shifts};
use crate::isa::Entry;

pub(crate) const ENTRIES: Entries = Entries {
    layout: Layout { taps: TAPS, bytes: 2 },
    tiles: &[
        tile([3, 3], [1, 1], "avx2-u8i8-depthwise-3x3s1", run_3x3s1),
        tile([3, 3], [2, 2], "avx2-u8i8-depthwise-3x3s2", run_3x3s2),
        tile([5, 5], [1, 1], "avx2-u8i8-depthwise-5x5s1", run_5x5s1),
        tile([5, 5], [2, 2], "avx2-u8i8-depthwise-5x5s2", run_5x5s2),
        Tile { shape: None, entry: Entry { name: "avx2-u8i8-depthwise-any", run: run_any } },
    ],
};

const fn tile(kernel: [usize; 2], stride: [usize; 2], name: &'static str, run: depthwise::Run) -> Tile {
    Tile { shape: Some((kernel, stride)), entry: Entry { name, run } }
}

/// Taps of a word.
const TAPS: usize = 2;
/// Bytes of a word.
const WORD: usize = GROUP * TAPS * 2;
/// Defines a kernel for one shape: by [`slide::run`] with the numbers in brackets, where there is a whole group of
/// channels and the shifts allow it.
macro_rules! sliding {
    ($name:ident, [$($slide:literal),*]) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`depthwise::run`] asserts.
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $name(x: &[u8], d: &Depthwise<'_>, rows: Range<usize>, out: &mut [u8]) {
            let high = d.requantize.shift.iter().all(|&shift| shift >= HIGH_SHIFT);
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if d.window.channels < GROUP || !(high || can_raise_shifts(&d.requantize)) {
                    general::run::<Pairs>(x, d, rows, out)
                } else if high {
                    slide::run::<$($slide,)* false>(x, d, rows, out)
                } else {
                    slide::run::<$($slide,)* true>(x, d, rows, out)
                }
            }
        }
    };
}
sliding!(run_3x3s1, [3, 1, 2, 2]);
sliding!(run_3x3s2, [3, 2, 1, 2]);
sliding!(run_5x5s1, [5, 1, 2, 2]);
sliding!(run_5x5s2, [5, 2, 1, 2]);

/// # Safety
/// The CPU has the tier; the bounds that [`depthwise::run`] asserts.
#[target_feature(enable = "avx2,fma")]
unsafe fn run_any(x: &[u8], d: &Depthwise<'_>, rows: Range<usize>, out: &mut [u8]) {
    // SAFETY: the caller's promise.
    unsafe { general::run::<Pairs>(x, d, rows, out) }
}

/// The multipliers and shifts of 8 channels, every shift at least 33: the high half of the product, rounded.
struct HighScale {
    even: __m256i,
    /// The multipliers of the odd lanes, one lane down.
    odd: __m256i,
    round: __m256i,
    shift: __m256i,
}

impl HighScale {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(multiplier: __m256i, shift: __m256i) -> HighScale {
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
    fn apply(&self, acc: __m256i) -> __m256i {
        let even = _mm256_mul_epi32(acc, self.even);
        let odd = _mm256_mul_epi32(odd_lanes(acc), self.odd);
        let high = _mm256_blend_epi32::<0b1010_1010>(odd_lanes(even), odd);
        _mm256_srav_epi32(_mm256_add_epi32(high, self.round), self.shift)
    }
}

/// The odd lanes, one lane down. Not by a shift: the compiler would make a 64-bit multiplication of what follows.
#[inline]
#[target_feature(enable = "avx2")]
fn odd_lanes(value: __m256i) -> __m256i {
    let odd;
    // SAFETY: the instruction is AVX and touches registers alone.
    unsafe {
        asm!("vmovshdup {0}, {1}", out(ymm_reg) odd, in(ymm_reg) value,
             options(pure, nomem, nostack, preserves_flags));
    }
    odd
}

/// Two taps a word, int16; the sums of channels 0..8 and 8..16.
struct Pairs;

impl Lanes for Pairs {
    type Sums = [__m256i; 2];
    const TAPS: usize = TAPS;
    const WORD: usize = WORD;

    #[inline(always)]
    unsafe fn start(bias: *const i32, channels: usize) -> [__m256i; 2] {
        // SAFETY: the caller's promise.
        unsafe { load_lanes(bias, channels) }
    }

    #[inline(always)]
    unsafe fn multiply_add(
        sums: [__m256i; 2],
        taps: [*const u8; TAPS_MAX],
        weights: *const u8,
        channels: usize,
    ) -> [__m256i; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let (first, second) = (load_bytes(taps[0], channels), load_bytes(taps[1], channels));
            let low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(first, second));
            let high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(first, second));
            let weights = weights.cast::<__m256i>();
            [
                _mm256_add_epi32(sums[0], _mm256_madd_epi16(low, _mm256_loadu_si256(weights))),
                _mm256_add_epi32(sums[1], _mm256_madd_epi16(high, _mm256_loadu_si256(weights.add(1)))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: [__m256i; 2], d: &Depthwise<'_>, first: usize, channels: usize, out: *mut u8) {
        let r = &d.requantize;
        // SAFETY: the caller's promise.
        unsafe {
            let multiplier = load_lanes(r.multiplier.as_ptr().add(first), channels);
            let shift = load_lanes(r.shift.as_ptr().add(first), channels);
            let scaled = [0, 1].map(|half| scale(sums[half], multiplier[half], shift[half]));
            // The pack leaves the channels in the order 0..4, 8..12, 4..8, 12..16.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(scaled[0], scaled[1]));
            let words = _mm256_adds_epi16(words, _mm256_set1_epi16(r.zero_point as i16));
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            let bytes = _mm_max_epu8(bytes, _mm_set1_epi8(r.lo as i8));
            store_bytes(_mm_min_epu8(bytes, _mm_set1_epi8(r.hi as i8)), out, channels);
        }
    }
}

/// `channels` int32, the rest 0.
///
/// # Safety
/// The CPU has the tier; `channels` values at `values`, at most 16.
#[inline(always)]
unsafe fn load_lanes(values: *const i32, channels: usize) -> [__m256i; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        if channels == GROUP {
            [_mm256_loadu_si256(values.cast()), _mm256_loadu_si256(values.add(8).cast())]
        } else {
            let mut lanes = [0i32; GROUP];
            values.copy_to_nonoverlapping(lanes.as_mut_ptr(), channels);
            load_lanes(lanes.as_ptr(), GROUP)
        }
    }
}

/// `channels` bytes, the rest 0.
///
/// # Safety
/// The CPU has the tier; `channels` bytes at `bytes`, at most 16.
#[inline(always)]
unsafe fn load_bytes(bytes: *const u8, channels: usize) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe {
        if channels == GROUP {
            _mm_loadu_si128(bytes.cast())
        } else {
            let mut lanes = [0u8; GROUP];
            bytes.copy_to_nonoverlapping(lanes.as_mut_ptr(), channels);
            _mm_loadu_si128(lanes.as_ptr().cast())
        }
    }
}

/// # Safety
/// The CPU has the tier; room for `channels` bytes at `out`, at most 16.
#[inline(always)]
unsafe fn store_bytes(bytes: __m128i, out: *mut u8, channels: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if channels == GROUP {
            _mm_storeu_si128(out.cast(), bytes);
        } else {
            let mut lanes = [0u8; GROUP];
            _mm_storeu_si128(lanes.as_mut_ptr().cast(), bytes);
            lanes.as_ptr().copy_to_nonoverlapping(out, channels);
        }
    }
}

/// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)`, or what has the same int16 after saturation.
#[inline]
#[target_feature(enable = "avx2")]
fn scale(acc: __m256i, multiplier: __m256i, shift: __m256i) -> __m256i {
    let all_high = _mm256_movemask_epi8(_mm256_cmpgt_epi32(shift, _mm256_set1_epi32(HIGH_SHIFT - 1))) == -1;
    if all_high { HighScale::new(multiplier, shift).apply(acc) } else { scale_any(acc, multiplier, shift) }
}

/// For every shift, by 64-bit lanes: AVX2 has no arithmetic shift of those, so the sum is made positive for a logical
/// one by 2^62, a multiple of every 2^shift, and what that adds is taken off again.
#[inline]
#[target_feature(enable = "avx2")]
fn scale_any(acc: __m256i, multiplier: __m256i, shift: __m256i) -> __m256i {
    let in_64_bits = |acc, multiplier, shift| {
        let one = _mm256_set1_epi64x(1);
        let round = _mm256_sllv_epi64(one, _mm256_sub_epi64(shift, one));
        let lifted = _mm256_set1_epi64x(1 << 62);
        let sum = _mm256_add_epi64(_mm256_mul_epi32(acc, multiplier), round);
        let shifted = _mm256_srlv_epi64(_mm256_add_epi64(sum, lifted), shift);
        let scaled = _mm256_sub_epi64(shifted, _mm256_srlv_epi64(lifted, shift));
        let limit = _mm256_set1_epi64x(i64::from(i16::MAX));
        let below = _mm256_blendv_epi8(scaled, limit, _mm256_cmpgt_epi64(scaled, limit));
        let floor = _mm256_set1_epi64x(-i64::from(i16::MAX));
        _mm256_blendv_epi8(below, floor, _mm256_cmpgt_epi64(floor, below))
    };
    let down = |value| _mm256_srli_epi64::<32>(value);
    let low_half = _mm256_set1_epi64x(0xffff_ffff);
    let even = in_64_bits(acc, multiplier, _mm256_and_si256(shift, low_half));
    let odd = in_64_bits(down(acc), down(multiplier), down(shift));
    _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd))
}
