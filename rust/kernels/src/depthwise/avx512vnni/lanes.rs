//! What the kernels of this tier share: moves of lanes.

use std::arch::asm;
use std::arch::x86_64::*;

use crate::depthwise::entries::Depthwise;
use crate::depthwise::pack::GROUP;
use crate::requantize::Requantize;

/// A convolution whose results are bytes.
pub(super) type ByteDepthwise<'a> = Depthwise<'a, Requantize<'a>>;

/// Taps of a word.
pub(super) const TAPS: usize = 4;
/// Bytes of a word.
pub(super) const WORD: usize = GROUP * TAPS;
/// Turns 4 rows of 16 bytes into 16 lanes of 4: a transposition of 4 x 4 lanes, then one of 4 x 4 bytes in each
/// quarter.
#[derive(Clone, Copy)]
pub(super) struct Interleave {
    pub(super) lanes: __m512i,
    pub(super) bytes: __m512i,
}

impl Interleave {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub(super) fn new() -> Interleave {
        let bytes = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        Interleave { lanes: transpose_lanes(), bytes: opaque(_mm512_broadcast_i32x4(bytes)) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub(super) fn apply(self, rows: __m512i) -> __m512i {
        _mm512_shuffle_epi8(_mm512_permutexvar_epi32(self.lanes, rows), self.bytes)
    }
}

/// The indices of a transposition of 4 x 4 lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn transpose_lanes() -> __m512i {
    opaque(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15))
}

/// The same value, unknown to the compiler: of a permutation whose indices it knows it makes several slower ones.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn opaque(mut value: __m512i) -> __m512i {
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(zmm_reg) value, options(pure, nomem, nostack, preserves_flags)) };
    value
}

/// The odd lanes, one lane down: by a move of lanes, which more ports take than a shift.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn odd_lanes(value: __m512i) -> __m512i {
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
pub(super) fn even_lanes() -> __mmask16 {
    let mut lanes = 0x5555;
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(kreg) lanes, options(pure, nomem, nostack, preserves_flags)) };
    lanes
}

/// The high halves of the products of the even lanes and of the odd lanes, in the lanes' order.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn high_halves(even: __m512i, odd: __m512i, even_lanes: __mmask16) -> __m512i {
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

/// A bit for each of the first `channels` lanes.
#[inline(always)]
pub(super) fn first_lanes(channels: usize) -> __mmask16 {
    (u32::MAX >> (32 - channels as u32)) as u16
}
