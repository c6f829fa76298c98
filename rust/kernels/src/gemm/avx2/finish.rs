//! How bytes, words and floats move between rows and a register of AVX2.

use std::arch::x86_64::*;

use crate::gemm::entries::Panel;
use crate::gemm::pack::UNIT;
use crate::gemm::tile::{Tile, finish_in_vectors};
use crate::simd::{Product, Vector, Ymm, YmmOf};

impl<P: Product> Tile for YmmOf<P> {
    #[inline(always)]
    unsafe fn widen(from: *const u8, n: usize) -> Self {
        // SAFETY: the caller's.
        unsafe {
            if n == Ymm::LANES {
                return YmmOf::new(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())));
            }
            let mut bytes = [0; Ymm::LANES];
            copy_short(from, bytes.as_mut_ptr(), n);
            YmmOf::new(_mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.as_ptr().cast())))
        }
    }

    #[inline(always)]
    unsafe fn gather<const UNITS: usize>(data: *const u8, stride: usize, rows: usize, n: usize) -> Self {
        // SAFETY: the caller's; rows beyond the last are not read, nor bytes beyond n.
        unsafe {
            if UNITS == 2 {
                return load_row(data, n);
            }
            let second = data.add((rows - 1) * stride);
            if n == UNIT {
                return YmmOf::new(_mm256_set_m128i(
                    _mm_loadu_si128(second.cast()),
                    _mm_loadu_si128(data.cast()),
                ));
            }
            let mut bytes = [0; 2 * UNIT];
            copy_short(data, bytes.as_mut_ptr(), n);
            copy_short(second, bytes[UNIT..].as_mut_ptr(), n);
            Self::load_bytes(bytes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, n: usize) -> Self {
        // SAFETY: the caller's; lanes from n on are not read.
        unsafe { YmmOf::new(_mm256_maskload_epi32(from.cast(), first_lanes(n))) }
    }

    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, n: usize) {
        // SAFETY: the caller's; lanes from n on are not written.
        unsafe {
            if n == Ymm::LANES {
                return self.store_bytes(to.cast());
            }
            _mm256_maskstore_epi32(to.cast(), first_lanes(n), self.0);
        }
    }

    #[inline(always)]
    unsafe fn scatter<const UNITS: usize>(self, data: *mut u8, stride: usize, rows: usize, n: usize) {
        // SAFETY: the caller's.
        unsafe {
            if UNITS == 2 {
                return store_row(self, data, n);
            }
            if n == UNIT {
                _mm_storeu_si128(data.cast(), _mm256_castsi256_si128(self.0));
                if rows > 1 {
                    _mm_storeu_si128(data.add(stride).cast(), _mm256_extracti128_si256::<1>(self.0));
                }
                return;
            }
            if n == UNIT / 2 {
                _mm_storel_epi64(data.cast(), _mm256_castsi256_si128(self.0));
                if rows > 1 {
                    _mm_storel_epi64(data.add(stride).cast(), _mm256_extracti128_si256::<1>(self.0));
                }
                return;
            }
            let mut bytes = [0; 2 * UNIT];
            self.store_bytes(bytes.as_mut_ptr());
            for r in 0..rows {
                copy_short(bytes[r * UNIT..].as_ptr(), data.add(r * stride), n);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_words(unit: &[Self], lo: i16, hi: i16, to: *mut i16, n: usize) {
        // SAFETY: the caller's; words beyond n are not written.
        unsafe {
            let words = unit[0].pack_words(unit[1]).0;
            let words =
                _mm256_min_epi16(_mm256_max_epi16(words, _mm256_set1_epi16(lo)), _mm256_set1_epi16(hi));
            // A pack works in each 128 bits by itself.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            if n == UNIT {
                return _mm256_storeu_si256(to.cast(), words);
            }
            let mut made = [0i16; UNIT];
            _mm256_storeu_si256(made.as_mut_ptr().cast(), words);
            made.as_ptr().copy_to_nonoverlapping(to, n);
        }
    }

    #[inline(always)]
    unsafe fn finish(
        panel: &Panel,
        row: usize,
        rows: usize,
        from: usize,
        n: usize,
        acc: *const i32,
        ld: usize,
    ) {
        // SAFETY: the caller's.
        unsafe { spilled(panel, row, rows, from, n, acc, ld) }
    }
}

/// The `n` bytes of a row of two units, more than one has.
///
/// # Safety
/// The CPU has the tier; they are readable.
#[inline(always)]
unsafe fn load_row<P: Product>(from: *const u8, n: usize) -> YmmOf<P> {
    // SAFETY: the caller's.
    unsafe {
        if n == 2 * UNIT {
            return YmmOf::load_bytes(from);
        }
        let mut bytes = [0; 2 * UNIT];
        from.copy_to_nonoverlapping(bytes.as_mut_ptr(), UNIT);
        copy_short(from.add(UNIT), bytes[UNIT..].as_mut_ptr(), n - UNIT);
        YmmOf::load_bytes(bytes.as_ptr())
    }
}

/// Stores what [`load_row`] loads.
///
/// # Safety
/// The CPU has the tier; they are writable.
#[inline(always)]
unsafe fn store_row<P: Product>(row: YmmOf<P>, to: *mut u8, n: usize) {
    // SAFETY: the caller's.
    unsafe {
        if n == 2 * UNIT {
            return row.store_bytes(to);
        }
        _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(row.0));
        let mut rest = [0; UNIT];
        _mm_storeu_si128(rest.as_mut_ptr().cast(), _mm256_extracti128_si256::<1>(row.0));
        copy_short(rest.as_ptr(), to.add(UNIT), n - UNIT);
    }
}

/// All ones in the first `n` lanes.
///
/// # Safety
/// The CPU has the tier.
#[inline(always)]
unsafe fn first_lanes(n: usize) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
}

/// Copies `n < 16` bytes, in the pieces of which `n` is the sum.
///
/// # Safety
/// They are readable and writable.
#[inline(never)]
unsafe fn copy_short(from: *const u8, to: *mut u8, n: usize) {
    let mut at = 0;
    // SAFETY: the caller's; the pieces end at n.
    unsafe {
        if n & 8 != 0 {
            to.cast::<[u8; 8]>().write(from.cast::<[u8; 8]>().read());
            at += 8;
        }
        if n & 4 != 0 {
            to.add(at).cast::<[u8; 4]>().write(from.add(at).cast::<[u8; 4]>().read());
            at += 4;
        }
        for i in at..n {
            to.add(i).write(from.add(i).read());
        }
    }
}

/// [`Tile::finish`].
///
/// # Safety
/// As it says.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn spilled(panel: &Panel, row: usize, rows: usize, from: usize, n: usize, acc: *const i32, ld: usize) {
    // SAFETY: the caller's.
    unsafe { finish_in_vectors::<Ymm>(panel, row, rows, from..from + n, acc, ld) }
}
