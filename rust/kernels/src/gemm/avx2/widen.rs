//! Bytes become words before they are multiplied: a block of rows, and the weights of a unit.

use std::arch::x86_64::*;

use super::tiles::{BYTE_GROUP, ROW_GROUP, WIDE_GROUP, widened};
use crate::gemm::entries::Panel;
use crate::gemm::pack::GROUP;
use crate::simd::{Vector, Ymm};

/// Widens `groups` groups of a row, from its group `start` on, to `to`; where `FAST`, gives `x0 x2 + x1 x3` of all of them.
///
/// # Safety
/// The CPU has the tier; the panel's bounds have been checked, and the row and the groups are its own; `to` has room for
/// them.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn widen_row<const FAST: bool>(
    panel: &Panel,
    row: usize,
    start: usize,
    groups: usize,
    to: *mut u8,
) -> i32 {
    let (mut tap, mut group) = (start / panel.groups, start % panel.groups);
    let (mut products, mut tail) = (_mm256_setzero_si256(), _mm_setzero_si128());
    let mut done = 0;
    while done < groups {
        let here = (panel.groups - group).min(groups - done);
        // SAFETY: a tap has `panel.groups` groups of 4 readable bytes, and `to` room for `groups` groups of words.
        unsafe {
            let from = panel.left.tap(row, tap).add(group * GROUP);
            let to = to.add(done * ROW_GROUP);
            let mut g = 0;
            while g + 4 <= here {
                let words = _mm256_cvtepu8_epi16(_mm_loadu_si128(from.add(g * GROUP).cast()));
                _mm256_storeu_si256(to.add(g * ROW_GROUP).cast(), words);
                if FAST {
                    let other = _mm256_shuffle_epi32::<0b10_11_00_01>(words);
                    products = _mm256_add_epi32(products, _mm256_madd_epi16(words, other));
                }
                g += 4;
            }
            while g < here {
                let words =
                    _mm_cvtepu8_epi16(_mm_cvtsi32_si128(from.add(g * GROUP).cast::<i32>().read_unaligned()));
                _mm_storel_epi64(to.add(g * ROW_GROUP).cast(), words);
                if FAST {
                    let other = _mm_shuffle_epi32::<0b10_11_00_01>(words);
                    tail = _mm_add_epi32(tail, _mm_madd_epi16(words, other));
                }
                g += 1;
            }
        }
        done += here;
        (tap, group) = (tap + 1, 0);
    }
    // Both lanes of a group have its products.
    let four = _mm_add_epi32(_mm256_castsi256_si128(products), _mm256_extracti128_si256::<1>(products));
    let four = _mm_add_epi32(four, tail);
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(two)
}

/// Widens `groups` groups of a unit's packed weights; gives `w0 w2 + w1 w3` of each column.
///
/// # Safety
/// The CPU has the tier; `from` has so many groups, `to` room for them.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn widen_unit(from: *const u8, groups: usize, to: *mut u8) -> [Ymm; 2] {
    // SAFETY: the caller's.
    unsafe {
        let mut products = [Ymm::splat(0); 2];
        for group in 0..groups {
            let from = from.add(group * BYTE_GROUP);
            let (first, second) = (widened(from), widened(from.add(BYTE_GROUP / 2)));
            let to = to.add(group * WIDE_GROUP);
            for half in 0..2 {
                first[half].store_bytes(to.add(half * Ymm::BYTES));
                second[half].store_bytes(to.add((2 + half) * Ymm::BYTES));
                products[half] = products[half].dot(first[half], second[half]);
            }
        }
        products
    }
}
