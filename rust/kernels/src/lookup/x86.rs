//! Lookup by shuffles of registers that hold the table.

use std::arch::x86_64::*;

use super::plain::lookup as lookup_plain;

/// Below so many bytes, the table is not worth loading into registers.
const SHORT: usize = 64;

/// # Safety
/// The CPU has AVX2; as [`lookup_plain`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn lookup_avx2(x: *const u8, table: &[u8; 256], out: *mut u8, length: usize) {
    if length < SHORT {
        // SAFETY: the caller's promise.
        return unsafe { lookup_plain(x, table, out, length) };
    }
    // SAFETY: each 16 bytes of the table.
    let rows: [__m256i; 16] = std::array::from_fn(|row| unsafe {
        _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().add(16 * row).cast()))
    });
    let whole = length / 32 * 32;
    for at in (0..whole).step_by(32) {
        // SAFETY: 32 bytes inside the length, read before they are written.
        unsafe {
            let values = _mm256_loadu_si256(x.add(at).cast());
            _mm256_storeu_si256(out.add(at).cast(), pick(&rows, values));
        }
    }
    // SAFETY: the rest of the length.
    unsafe { lookup_plain(x.add(whole), table, out.add(whole), length - whole) };
}

/// The table's answers for 32 bytes: the low 4 bits pick in each of the 16 rows, the high ones between the rows, from
/// bit 4 up. The sign bit of a byte decides a blend, so the values move up a bit a level (what comes in from the
/// byte below never reaches the sign).
#[inline]
#[target_feature(enable = "avx2")]
fn pick(rows: &[__m256i; 16], values: __m256i) -> __m256i {
    let low = _mm256_and_si256(values, _mm256_set1_epi8(15));
    let [bit_4, bit_5, bit_6] =
        [_mm256_slli_epi16::<3>(values), _mm256_slli_epi16::<2>(values), _mm256_slli_epi16::<1>(values)];
    let two = |row: usize| {
        let (even, odd) = (_mm256_shuffle_epi8(rows[row], low), _mm256_shuffle_epi8(rows[row + 1], low));
        _mm256_blendv_epi8(even, odd, bit_4)
    };
    let four = |row: usize| _mm256_blendv_epi8(two(row), two(row + 2), bit_5);
    let eight = |row: usize| _mm256_blendv_epi8(four(row), four(row + 4), bit_6);
    _mm256_blendv_epi8(eight(0), eight(8), values)
}

/// # Safety
/// The CPU has the AVX512-VNNI tier; as [`lookup_plain`].
pub(super) unsafe fn lookup_avx512(x: *const u8, table: &[u8; 256], out: *mut u8, length: usize) {
    // The tier has CPUs without VBMI.
    // SAFETY: the caller's promise, and VBMI where it is asked for.
    unsafe {
        if is_x86_feature_detected!("avx512vbmi") {
            lookup_vbmi(x, table, out, length)
        } else {
            lookup_avx2(x, table, out, length)
        }
    }
}

/// # Safety
/// The CPU has the AVX512-VNNI tier and VBMI; as [`lookup_plain`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
unsafe fn lookup_vbmi(x: *const u8, table: &[u8; 256], out: *mut u8, length: usize) {
    // SAFETY: each 64 bytes of the table.
    let rows: [__m512i; 4] =
        std::array::from_fn(|row| unsafe { _mm512_loadu_si512(table.as_ptr().add(64 * row).cast()) });
    // The low 7 bits of a value pick in two registers, its top bit between the two answers.
    let pick = |values: __m512i| {
        let low = _mm512_permutex2var_epi8(rows[0], values, rows[1]);
        let high = _mm512_permutex2var_epi8(rows[2], values, rows[3]);
        _mm512_mask_blend_epi8(_mm512_movepi8_mask(values), low, high)
    };
    let whole = length / 64 * 64;
    for at in (0..whole).step_by(64) {
        // SAFETY: 64 bytes inside the length, read before they are written.
        unsafe { _mm512_storeu_si512(out.add(at).cast(), pick(_mm512_loadu_si512(x.add(at).cast()))) };
    }
    if whole < length {
        let rest = u64::MAX >> (64 - (length - whole));
        // SAFETY: only the rest of the length is read and written.
        unsafe {
            let values = _mm512_maskz_loadu_epi8(rest, x.add(whole).cast());
            _mm512_mask_storeu_epi8(out.add(whole).cast(), rest, pick(values));
        }
    }
}
