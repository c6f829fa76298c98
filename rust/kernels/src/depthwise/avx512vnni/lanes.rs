//! What the kernels of this tier share: moves of lanes.

use std::arch::x86_64::*;

use crate::depthwise::entries::Depthwise;
use crate::depthwise::pack::GROUP;
use crate::requantize::Requantize;
use crate::simd::{Vector, Zmm, opaque};

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
    bytes: __m512i,
}

impl Interleave {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub(super) fn new() -> Interleave {
        let bytes = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        Interleave { bytes: opaque(_mm512_broadcast_i32x4(bytes)) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub(super) fn apply(self, rows: __m512i) -> __m512i {
        // SAFETY: the function has the tier's features.
        let rows = unsafe { Zmm(rows).in_order() };
        _mm512_shuffle_epi8(rows.0, self.bytes)
    }
}

/// A bit for each of the first `channels` lanes.
#[inline(always)]
pub(super) fn first_lanes(channels: usize) -> __mmask16 {
    (u32::MAX >> (32 - channels as u32)) as u16
}
