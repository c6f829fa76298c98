//! Depthwise convolution on AVX-512 VNNI: a word is 4 taps, one int32 lane a channel, so that one vpdpbusd adds 4
//! products of each of 16 channels.
//!
//! 3x3 and 5x5 keep the input columns that neighbouring outputs share in registers: see `slide` and `wide`.

mod slide;
mod wide;

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use crate::depthwise::general::{self, Epilogue, Lanes, TAPS_MAX};
use crate::depthwise::pack::Layout;
use crate::depthwise::{Depthwise, Entries, GROUP, HIGH_SHIFT, Tile, Tiles, ToBytes, avx2, can_raise_shifts};
use crate::isa::Entry;
use crate::requantize::Requantize;

pub(crate) const ENTRIES: Entries = Entries {
    to_bytes: Tiles {
        layout: Layout { taps: TAPS, bytes: 1 },
        all: &[
            tile([3, 3], [1, 1], "avx512vnni-u8i8-depthwise-3x3s1", run_3x3s1),
            tile([3, 3], [2, 2], "avx512vnni-u8i8-depthwise-3x3s2", run_3x3s2),
            tile([5, 5], [1, 1], "avx512vnni-u8i8-depthwise-5x5s1", run_5x5s1),
            tile([5, 5], [2, 2], "avx512vnni-u8i8-depthwise-5x5s2", run_5x5s2),
            Tile { shape: None, entry: Entry { name: "avx512vnni-u8i8-depthwise-any", run: run_any } },
        ],
    },
    to_floats: avx2::FLOATS,
};

const fn tile(kernel: [usize; 2], stride: [usize; 2], name: &'static str, run: ToBytes) -> Tile<ToBytes> {
    Tile { shape: Some((kernel, stride)), entry: Entry { name, run } }
}

/// A convolution whose results are bytes.
type ByteDepthwise<'a> = Depthwise<'a, Requantize<'a>>;

/// Taps of a word.
const TAPS: usize = 4;
/// Bytes of a word.
const WORD: usize = GROUP * TAPS;
/// Defines a kernel for one shape: groups of channels by [`slide::run`] with the numbers in brackets, after the blocks
/// of 32 that `$wide` takes.
macro_rules! sliding {
    ($name:ident, [$($slide:literal),*], $wide:expr) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        unsafe fn $name(x: &[u8], d: &ByteDepthwise<'_>, rows: Range<usize>, out: &mut [u8]) {
            let channels = d.window.channels;
            let is_plain = channels >= GROUP && d.epilogue.shift.iter().all(|&shift| shift >= HIGH_SHIFT);
            let wide: Option<Wide> = $wide;
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if !is_plain {
                    return if can_raise_shifts(d) {
                        slide::run::<$($slide,)* false>(x, d, rows, out, 0)
                    } else {
                        general::run::<Fours, _>(x, d, rows, out)
                    };
                }
                match wide {
                    Some(wide) if d.window.output[1] >= wide::STEP => {
                        wide(x, d, rows.clone(), out);
                        let from = channels / wide::WIDE * (wide::WIDE / GROUP);
                        slide::run::<$($slide,)* true>(x, d, rows, out, from);
                    }
                    _ => slide::run::<$($slide,)* true>(x, d, rows, out, 0),
                }
            }
        }
    };
}
/// A kernel of whole blocks of 32 channels.
type Wide = unsafe fn(&[u8], &ByteDepthwise<'_>, Range<usize>, &mut [u8]);
sliding!(run_3x3s1, [3, 1, 2, 2], Some(wide::run::<1, 2>));
sliding!(run_3x3s2, [3, 2, 1, 2], Some(wide::run::<2, 1>));
sliding!(run_5x5s1, [5, 1, 2, 2], None);
sliding!(run_5x5s2, [5, 2, 1, 2], None);

/// # Safety
/// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn run_any(x: &[u8], d: &ByteDepthwise<'_>, rows: Range<usize>, out: &mut [u8]) {
    // SAFETY: the caller's promise.
    unsafe { general::run::<Fours, _>(x, d, rows, out) }
}

/// Turns 4 rows of 16 bytes into 16 lanes of 4: a transposition of 4 x 4 lanes, then one of 4 x 4 bytes in each
/// quarter.
#[derive(Clone, Copy)]
struct Interleave {
    lanes: __m512i,
    bytes: __m512i,
}

impl Interleave {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn new() -> Interleave {
        let bytes = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        Interleave { lanes: transpose_lanes(), bytes: opaque(_mm512_broadcast_i32x4(bytes)) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn apply(self, rows: __m512i) -> __m512i {
        _mm512_shuffle_epi8(_mm512_permutexvar_epi32(self.lanes, rows), self.bytes)
    }
}

/// The indices of a transposition of 4 x 4 lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn transpose_lanes() -> __m512i {
    opaque(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15))
}

/// The same value, unknown to the compiler: of a permutation whose indices it knows it makes several slower ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn opaque(mut value: __m512i) -> __m512i {
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(zmm_reg) value, options(pure, nomem, nostack, preserves_flags)) };
    value
}

/// The odd lanes, one lane down: by a move of lanes, which more ports take than a shift.
#[inline]
#[target_feature(enable = "avx512f")]
fn odd_lanes(value: __m512i) -> __m512i {
    let odd;
    // SAFETY: the instruction is AVX-512 F and touches registers alone.
    unsafe {
        asm!("vmovshdup {0}, {1}", out(zmm_reg) odd, in(zmm_reg) value,
             options(pure, nomem, nostack, preserves_flags));
    }
    odd
}

/// A bit for each even lane, kept in a register because the compiler does not know it.
#[inline]
#[target_feature(enable = "avx512f")]
fn even_lanes() -> __mmask16 {
    let mut lanes = 0x5555;
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(kreg) lanes, options(pure, nomem, nostack, preserves_flags)) };
    lanes
}

/// The high halves of the products of the even lanes and of the odd lanes, in the lanes' order.
#[inline]
#[target_feature(enable = "avx512f")]
fn high_halves(even: __m512i, odd: __m512i, even_lanes: __mmask16) -> __m512i {
    let mut high = odd;
    // One masked move; the compiler would make a slower permutation of two registers of it.
    // SAFETY: the instruction is AVX-512 F and touches registers alone.
    unsafe {
        asm!(
            "vmovshdup {high}{{{even_lanes}}}, {even}",
            high = inout(zmm_reg) high,
            even = in(zmm_reg) even,
            even_lanes = in(kreg) even_lanes,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    high
}

/// Four taps a word, int8.
struct Fours;

impl Lanes for Fours {
    type Sums = __m512i;
    const TAPS: usize = TAPS;
    const WORD: usize = WORD;

    #[inline(always)]
    unsafe fn start(bias: *const i32, channels: usize) -> __m512i {
        // SAFETY: the caller's promise; only the channels' lanes are read.
        unsafe { _mm512_maskz_loadu_epi32(first_lanes(channels), bias) }
    }

    #[inline(always)]
    unsafe fn multiply_add(
        sums: __m512i,
        taps: [*const u8; TAPS_MAX],
        weights: *const u8,
        channels: usize,
    ) -> __m512i {
        // SAFETY: the caller's promise; only the channels' bytes are read.
        unsafe {
            let load = |tap: usize| -> __m128i {
                if channels == GROUP {
                    _mm_loadu_si128(taps[tap].cast())
                } else {
                    _mm_maskz_loadu_epi8(first_lanes(channels), taps[tap].cast())
                }
            };
            let rows = _mm512_castsi128_si512(load(0));
            let rows = _mm512_inserti32x4::<1>(rows, load(1));
            let rows = _mm512_inserti32x4::<2>(rows, load(2));
            let rows = _mm512_inserti32x4::<3>(rows, load(3));
            let values = Interleave::new().apply(rows);
            _mm512_dpbusd_epi32(sums, values, _mm512_loadu_si512(weights.cast()))
        }
    }
}

impl Epilogue<Fours> for Requantize<'_> {
    type Out = u8;

    #[inline(always)]
    fn start(&self) -> &[i32] {
        self.bias
    }

    #[inline(always)]
    unsafe fn finish(&self, sums: __m512i, first: usize, channels: usize, out: *mut u8) {
        // SAFETY: the caller's promise; only the channels' lanes are read and written.
        unsafe {
            let lanes = first_lanes(channels);
            let multiplier = _mm512_maskz_loadu_epi32(lanes, self.multiplier.as_ptr().add(first));
            let shift = _mm512_maskz_loadu_epi32(lanes, self.shift.as_ptr().add(first));
            let scaled = scale_any(sums, multiplier, shift);
            let y = _mm512_add_epi32(scaled, _mm512_set1_epi32(self.zero_point));
            let y =
                _mm512_min_epi32(_mm512_max_epi32(y, _mm512_set1_epi32(self.lo)), _mm512_set1_epi32(self.hi));
            _mm_mask_storeu_epi8(out.cast(), lanes, _mm512_cvtepi32_epi8(y));
        }
    }
}

/// A bit for each of the first `channels` lanes.
#[inline(always)]
fn first_lanes(channels: usize) -> __mmask16 {
    (u32::MAX >> (32 - channels as u32)) as u16
}

/// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)` for every shift, held to the int16 that are far beyond a byte.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn scale_any(acc: __m512i, multiplier: __m512i, shift: __m512i) -> __m512i {
    let even = scale_in_64_bits(acc, multiplier, _mm512_and_si512(shift, _mm512_set1_epi64(0xffff_ffff)));
    let down = _mm512_srli_epi64::<32>;
    let odd = scale_in_64_bits(down(acc), down(multiplier), down(shift));
    _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64::<32>(odd))
}

/// The lower int32 of 8 lanes of 64 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn scale_in_64_bits(acc: __m512i, multiplier: __m512i, shift: __m512i) -> __m512i {
    let one = _mm512_set1_epi64(1);
    let round = _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one));
    let sum = _mm512_add_epi64(_mm512_mul_epi32(acc, multiplier), round);
    let scaled = _mm512_srav_epi64(sum, shift);
    let limit = i64::from(i16::MAX);
    _mm512_max_epi64(_mm512_min_epi64(scaled, _mm512_set1_epi64(limit)), _mm512_set1_epi64(-limit))
}
