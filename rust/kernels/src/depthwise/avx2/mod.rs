//! Depthwise convolution on AVX2: a word is 2 taps, widened to int16, so that one vpmaddwd adds 2 products of each of
//! 8 channels. The products and their sums are exact: 2 * 255 * 128 is far inside int32.

mod slide;
mod strip;

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use crate::depthwise::general::{self, Epilogue, Lanes, TAPS_MAX};
use crate::depthwise::pack::{Layout, first_channel};
use crate::depthwise::{
    Depthwise, Entries, Floats, GROUP, HIGH_SHIFT, Tile, Tiles, ToBytes, ToFloats, can_raise_shifts,
};
use crate::isa::Entry;
use crate::requantize::Requantize;

const LAYOUT: Layout = Layout { taps: TAPS, bytes: 2 };

pub(crate) const ENTRIES: Entries = Entries {
    to_bytes: Tiles {
        layout: LAYOUT,
        all: &[
            to_bytes(own(3, 1), "avx2-u8i8-depthwise-3x3s1", bytes_3x3s1),
            to_bytes(own(3, 2), "avx2-u8i8-depthwise-3x3s2", bytes_3x3s2),
            to_bytes(own(5, 1), "avx2-u8i8-depthwise-5x5s1", bytes_5x5s1),
            to_bytes(own(5, 2), "avx2-u8i8-depthwise-5x5s2", bytes_5x5s2),
            to_bytes(None, "avx2-u8i8-depthwise-any", bytes_any),
        ],
    },
    to_floats: FLOATS,
};

/// The kernels that make float32, which the tiers above take over.
pub(crate) const FLOATS: Tiles<ToFloats> = Tiles {
    layout: LAYOUT,
    all: &[
        to_floats(own(3, 1), "avx2-u8i8f32-depthwise-3x3s1", floats_3x3s1),
        to_floats(own(3, 2), "avx2-u8i8f32-depthwise-3x3s2", floats_3x3s2),
        to_floats(own(5, 1), "avx2-u8i8f32-depthwise-5x5s1", floats_5x5s1),
        to_floats(own(5, 2), "avx2-u8i8f32-depthwise-5x5s2", floats_5x5s2),
        to_floats(None, "avx2-u8i8f32-depthwise-any", floats_any),
    ],
};

/// A square kernel and its stride.
type Shape = ([usize; 2], [usize; 2]);

const fn own(kernel: usize, stride: usize) -> Option<Shape> {
    Some(([kernel; 2], [stride; 2]))
}

const fn to_bytes(shape: Option<Shape>, name: &'static str, run: ToBytes) -> Tile<ToBytes> {
    Tile { shape, entry: Entry { name, run } }
}

const fn to_floats(shape: Option<Shape>, name: &'static str, run: ToFloats) -> Tile<ToFloats> {
    Tile { shape, entry: Entry { name, run } }
}

/// Taps of a word.
const TAPS: usize = 2;
/// Bytes of a word.
const WORD: usize = GROUP * TAPS * 2;
/// Channels of a register of sums: half a group.
const HALF: usize = 8;

/// Whether the channels are whole halves of groups, and so not too few for code that takes 8 at a time.
fn have_halves(channels: usize) -> bool {
    channels == HALF || channels >= GROUP
}

/// The first channels of the halves of groups, and where in the packed weights each half's lie, of `group_bytes` a
/// group.
fn halves(channels: usize, group_bytes: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = if channels == HALF { 1 } else { channels.div_ceil(GROUP) * 2 };
    (0..count).map(move |half| {
        (first_channel(half / 2, channels) + half % 2 * HALF, half / 2 * group_bytes + half % 2 * (WORD / 2))
    })
}

/// Runs `$module`'s code with the epilogue of the shifts, or the general code where there are too few channels or a shift can
/// neither stay nor be raised.
macro_rules! bytes {
    ($name:ident, $module:ident $(, $number:literal)*) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $name(x: &[u8], d: &Depthwise<'_, Requantize<'_>>, rows: Range<usize>, out: &mut [u8]) {
            let high = d.epilogue.shift.iter().all(|&shift| shift >= HIGH_SHIFT);
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if !have_halves(d.window.channels) || !(high || can_raise_shifts(d)) {
                    general::run::<Pairs, _>(x, d, rows, out)
                } else if high {
                    $module::run::<$($number,)* EightBytes<false>>(x, d, rows, out)
                } else {
                    $module::run::<$($number,)* EightBytes<true>>(x, d, rows, out)
                }
            }
        }
    };
}
bytes!(bytes_3x3s1, slide, 3, 1, 2, 2);
bytes!(bytes_3x3s2, slide, 3, 2, 1, 2);
bytes!(bytes_5x5s1, slide, 5, 1, 2, 2);
bytes!(bytes_5x5s2, slide, 5, 2, 1, 2);
bytes!(bytes_any, strip);

/// Runs `$module`'s code, or the general one where there are too few channels.
macro_rules! floats {
    ($name:ident, $module:ident $(, $number:literal)*) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run_to_floats`] asserts.
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $name(x: &[u8], d: &Depthwise<'_, Floats<'_>>, rows: Range<usize>, out: &mut [f32]) {
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if have_halves(d.window.channels) {
                    $module::run::<$($number,)* EightFloats>(x, d, rows, out)
                } else {
                    general::run::<Pairs, _>(x, d, rows, out)
                }
            }
        }
    };
}
floats!(floats_3x3s1, slide, 3, 1, 2, 2);
floats!(floats_3x3s2, slide, 3, 2, 1, 2);
floats!(floats_5x5s1, slide, 5, 1, 2, 2);
floats!(floats_5x5s2, slide, 5, 2, 1, 2);
floats!(floats_any, strip);

/// What becomes of the sums of 8 channels.
///
/// # Safety
/// The methods need the tier's CPU features, and are inlined into functions that are compiled for it.
trait Eight: Sized {
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
struct EightBytes<const RAISED: bool> {
    bias: __m256i,
    /// By how much each sum moves left.
    left: __m256i,
    scale: HighScale,
    zero_point: __m256i,
    lo: __m256i,
    hi: __m256i,
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
struct EightFloats {
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
}

impl Epilogue<Pairs> for Requantize<'_> {
    type Out = u8;

    #[inline(always)]
    fn start(&self) -> &[i32] {
        self.bias
    }

    #[inline(always)]
    unsafe fn finish(&self, sums: [__m256i; 2], first: usize, channels: usize, out: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            let multiplier = load_lanes(self.multiplier.as_ptr().add(first), channels);
            let shift = load_lanes(self.shift.as_ptr().add(first), channels);
            let scaled = [0, 1].map(|half| scale(sums[half], multiplier[half], shift[half]));
            // The pack leaves the channels in the order 0..4, 8..12, 4..8, 12..16.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(scaled[0], scaled[1]));
            let words = _mm256_adds_epi16(words, _mm256_set1_epi16(self.zero_point as i16));
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            let bytes = _mm_max_epu8(bytes, _mm_set1_epi8(self.lo as i8));
            store_bytes(_mm_min_epu8(bytes, _mm_set1_epi8(self.hi as i8)), out, channels);
        }
    }
}

impl Epilogue<Pairs> for Floats<'_> {
    type Out = f32;

    #[inline(always)]
    fn start(&self) -> &[i32] {
        self.acc_bias
    }

    #[inline(always)]
    unsafe fn finish(&self, sums: [__m256i; 2], first: usize, channels: usize, out: *mut f32) {
        let mut acc = [0i32; GROUP];
        // SAFETY: the caller's promise; the sums are 16 int32.
        let out = unsafe {
            _mm256_storeu_si256(acc.as_mut_ptr().cast(), sums[0]);
            _mm256_storeu_si256(acc.as_mut_ptr().add(HALF).cast(), sums[1]);
            std::slice::from_raw_parts_mut(out, channels)
        };
        for (lane, out) in out.iter_mut().enumerate() {
            let c = first + lane;
            *out = (acc[lane] as f32 * self.x_scale).mul_add(self.scale[c], self.bias[c]);
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

/// `channels` bytes, the rest 0: of fewer than 16, by pieces that overlap.
///
/// # Safety
/// The CPU has the tier; `channels` bytes at `bytes`, 1 to 16.
#[inline(always)]
unsafe fn load_bytes(bytes: *const u8, channels: usize) -> __m128i {
    // SAFETY: the caller's promise; every piece ends with the last byte or before.
    unsafe {
        let byte = |at: usize| u64::from(*bytes.add(at)) << (8 * at);
        let four = |at: usize| u64::from(bytes.add(at).cast::<u32>().read_unaligned());
        let eight = |at: usize| bytes.add(at).cast::<u64>().read_unaligned();
        match channels {
            GROUP => _mm_loadu_si128(bytes.cast()),
            HALF => _mm_loadl_epi64(bytes.cast()),
            9..GROUP => {
                let rest = eight(channels - 8) >> (8 * (GROUP - channels));
                _mm_set_epi64x(rest as i64, eight(0) as i64)
            }
            4..HALF => {
                let rest = four(channels - 4) << (8 * (channels - 4));
                _mm_cvtsi64_si128((four(0) | rest) as i64)
            }
            _ => _mm_cvtsi64_si128((byte(0) | byte(channels / 2) | byte(channels - 1)) as i64),
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
