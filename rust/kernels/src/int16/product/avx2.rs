//! The AVX2 tier: vpmaddwd on 256-bit registers, 16 columns two registers.

use std::arch::x86_64::*;

use super::entries::{Product, UNIT};
use super::tile::{Columns, Unit, blocks, tile};
use crate::simd::{Vector, Ymm};

/// Runs a product.
///
/// # Safety
/// The CPU has the tier; the product has been checked.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn product(p: &Product<'_, '_>) {
    for unit in 0..p.columns.n.div_ceil(UNIT) {
        blocks::<6>(p, unit, 1, |params, height, row| {
            // SAFETY: the caller's; the block's rows and the unit are the product's.
            unsafe {
                match height {
                    1 => block::<1>(p, params, row, unit),
                    2 => block::<2>(p, params, row, unit),
                    3 => block::<3>(p, params, row, unit),
                    4 => block::<4>(p, params, row, unit),
                    5 => block::<5>(p, params, row, unit),
                    6 => block::<6>(p, params, row, unit),
                    _ => unreachable!("a block of {height} rows"),
                }
            }
        });
    }
}

/// [`tile`], compiled for the tier.
///
/// # Safety
/// As it says.
#[target_feature(enable = "avx2,fma")]
unsafe fn block<const ROWS: usize>(p: &Product<'_, '_>, params: &Columns, row: usize, unit: usize) {
    // SAFETY: the caller's.
    unsafe { tile::<Ymm, 2, 1, ROWS>(p, params, row, unit) }
}

impl Unit<2> for Ymm {
    #[inline(always)]
    unsafe fn store_words([low, high]: [Self; 2], params: &Columns, to: *mut i16, n: usize) {
        // SAFETY: the caller's; words beyond n are not written.
        unsafe {
            let words = params.clamp(low.pack_words(high));
            // A pack works in each 128 bits by itself.
            let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(words.0);
            if n == UNIT {
                return _mm256_storeu_si256(to.cast(), ordered);
            }
            let mut made = [0; UNIT];
            _mm256_storeu_si256(made.as_mut_ptr().cast(), ordered);
            made.as_ptr().copy_to_nonoverlapping(to, n);
        }
    }
}
