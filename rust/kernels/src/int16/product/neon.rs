//! NEON: the products of pairs of words, added pairwise; 16 columns four registers.

use super::entries::{Product, UNIT};
use super::tile::{Columns, Unit, blocks, tile};
use crate::simd::{Qs, Vector};

/// Runs a product.
///
/// # Safety
/// The CPU has the tier; the product has been checked.
#[target_feature(enable = "neon")]
pub(super) unsafe fn product(p: &Product<'_, '_>) {
    for unit in 0..p.columns.n.div_ceil(UNIT) {
        blocks::<4>(p, unit, 1, |params, height, row| {
            // SAFETY: the caller's; the block's rows and the unit are the product's.
            unsafe {
                match height {
                    1 => block::<1>(p, params, row, unit),
                    2 => block::<2>(p, params, row, unit),
                    3 => block::<3>(p, params, row, unit),
                    4 => block::<4>(p, params, row, unit),
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
#[target_feature(enable = "neon")]
unsafe fn block<const ROWS: usize>(p: &Product<'_, '_>, params: &Columns, row: usize, unit: usize) {
    // SAFETY: the caller's.
    unsafe { tile::<Qs, 2, 1, ROWS>(p, params, row, unit) }
}

impl Unit<2> for Qs {
    #[inline(always)]
    unsafe fn store_words([first, second]: [Self; 2], params: &Columns, to: *mut i16, n: usize) {
        // SAFETY: the caller's; words beyond n are not written.
        unsafe {
            // Of registers side by side, so that the words are in order.
            let [a, b] = first.0;
            let [c, d] = second.0;
            let words = params.clamp(Qs::new([a, c]).pack_words(Qs::new([b, d])));
            if n == UNIT {
                return words.store_bytes(to.cast());
            }
            let mut made = [0i16; UNIT];
            words.store_bytes(made.as_mut_ptr().cast());
            made.as_ptr().copy_to_nonoverlapping(to, n);
        }
    }
}
