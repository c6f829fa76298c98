//! The AVX512-VNNI tier: vpdpwssd (never its saturating form) on 512-bit registers, 16 columns a register.

use std::arch::x86_64::*;

use super::entries::{Product, UNIT};
use super::tile::{Columns, Unit, blocks, tile};
use crate::simd::Zmm;

/// Runs a product.
///
/// # Safety
/// The CPU has the tier; the product has been checked.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub(super) unsafe fn product(p: &Product<'_, '_>) {
    let units = p.columns.n.div_ceil(UNIT);
    let mut unit = 0;
    while unit < units {
        // SAFETY: the caller's; the units are the product's.
        unit += unsafe {
            match units - unit {
                4.. => panel_4(p, unit),
                2.. => panel_2(p, unit),
                _ => panel_1(p, unit),
            }
        };
    }
}

/// Defines a panel function: the rows of `$units` units from `unit` on, whose number it gives back.
macro_rules! panel {
    ($name:ident, $units:literal, $most:literal, $($rows:literal)*) => {
        /// # Safety
        /// As [`product`]; it has the units.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
        unsafe fn $name(p: &Product<'_, '_>, unit: usize) -> usize {
            blocks::<$most>(p, unit, $units, |params, height, row| {
                // SAFETY: the caller's; the block's rows are the product's.
                unsafe {
                    match height {
                        $($rows => block::<$units, $rows>(p, params, row, unit),)*
                        _ => unreachable!("a block of {height} rows"),
                    }
                }
            });
            $units
        }
    };
}
panel!(panel_1, 1, 12, 1 2 3 4 5 6 7 8 9 10 11 12);
panel!(panel_2, 2, 12, 1 2 3 4 5 6 7 8 9 10 11 12);
panel!(panel_4, 4, 6, 1 2 3 4 5 6);

/// [`tile`], compiled for the tier.
///
/// # Safety
/// As it says.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
unsafe fn block<const UNITS: usize, const ROWS: usize>(
    p: &Product<'_, '_>,
    params: &Columns,
    row: usize,
    unit: usize,
) {
    // SAFETY: the caller's.
    unsafe { tile::<Zmm, 1, UNITS, ROWS>(p, params, row, unit) }
}

impl Unit<1> for Zmm {
    #[inline(always)]
    unsafe fn store_words([lanes]: [Self; 1], params: &Columns, to: *mut i16, n: usize) {
        // SAFETY: the caller's; words beyond n are not written.
        unsafe {
            let (lo, hi) = params.bounds();
            let words = _mm512_cvtsepi32_epi16(lanes.0);
            let words =
                _mm256_min_epi16(_mm256_max_epi16(words, _mm256_set1_epi16(lo)), _mm256_set1_epi16(hi));
            if n == UNIT {
                return _mm256_storeu_si256(to.cast(), words);
            }
            _mm256_mask_storeu_epi16(to, (0xffff_u32 >> (UNIT - n)) as u16, words);
        }
    }
}
