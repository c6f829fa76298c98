//! Bytes become words before they are multiplied: a block of rows, and the weights of a unit.

use std::arch::x86_64::*;
use std::ops::Range;

use super::tiles::{BYTE_GROUP, ROW_GROUP, WIDE_GROUP, widened};
use crate::gemm::entries::Panel;
use crate::gemm::pack::GROUP;
use crate::simd::{Vector, Ymm};

/// Widens groups of `rows`, those of a panel's k from `start` on, to `to`, each row `stride` bytes behind the last. What is left
/// of a last group is whatever. Where `FAST`, `products` gets `x0 x2 + x1 x3` of all groups of each row.
///
/// # Safety
/// The CPU has the tier; the panel's bounds have been checked, and the rows and the groups are its own; `to` has room for
/// them and for one group behind them, `products` for a number of each row.
#[inline(never)]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn widen_rows<const FAST: bool>(
    panel: &Panel,
    rows: Range<usize>,
    start: usize,
    groups: usize,
    (to, stride): (*mut u8, usize),
    products: *mut i32,
) {
    let (left, kc) = (panel.left, panel.kc);
    let begin = start * GROUP;
    let count = (panel.taps * kc - begin).min(groups * GROUP);
    if count == panel.taps * kc && panel.groups <= 8 {
        // SAFETY: the caller's.
        unsafe {
            let count = rows.len();
            match panel.groups {
                1 => widen_short::<1>(panel, rows, groups, to, stride),
                2 => widen_short::<2>(panel, rows, groups, to, stride),
                3 => widen_short::<3>(panel, rows, groups, to, stride),
                4 => widen_short::<4>(panel, rows, groups, to, stride),
                5 => widen_short::<5>(panel, rows, groups, to, stride),
                6 => widen_short::<6>(panel, rows, groups, to, stride),
                7 => widen_short::<7>(panel, rows, groups, to, stride),
                _ => widen_short::<8>(panel, rows, groups, to, stride),
            }
            if FAST {
                for r in 0..count {
                    *products.add(r) = Products::of(to.add(r * stride), groups).sum();
                }
            }
        }
        return;
    }
    let (first_tap, first_at) = (begin / kc, begin % kc);
    let is_padded = first_at.is_multiple_of(GROUP);
    // Whether groups do not go on from tap to tap.
    let is_whole = kc.is_multiple_of(GROUP);
    for (r, row) in rows.enumerate() {
        // SAFETY: a tap has `kc` readable bytes, and up to a multiple of 4 of them; words behind the last of a tap are written
        // over by the next, or lie in the last group, which is written whole, or in the one behind.
        unsafe {
            let first = to.add(r * stride);
            let (mut to, mut of_row) = (first, Products::zero());
            if !is_whole {
                _mm_storel_epi64(to.add((groups - 1) * ROW_GROUP).cast(), _mm_setzero_si128());
            }
            let (mut rest, mut tap, mut at) = (count, first_tap, first_at);
            while rest > 0 {
                let here = (kc - at).min(rest);
                widen_bytes::<FAST>(left.tap(row, tap).add(at), is_padded || at == 0, here, to, &mut of_row);
                (rest, tap, at) = (rest - here, tap + 1, 0);
                to = to.add(2 * here);
            }
            if FAST {
                if !is_whole {
                    of_row = Products::of(first, groups);
                }
                *products.add(r) = of_row.sum();
            }
        }
    }
}

/// [`widen_rows`] of all k where taps are short: of so many groups each.
///
/// # Safety
/// As [`widen_rows`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn widen_short<const GROUPS: usize>(
    panel: &Panel,
    rows: Range<usize>,
    groups: usize,
    to: *mut u8,
    stride: usize,
) {
    let (left, taps, kc) = (panel.left, panel.taps, panel.kc);
    for (r, row) in rows.enumerate() {
        // SAFETY: as in `widen_rows`.
        unsafe {
            let mut to = to.add(r * stride);
            _mm_storel_epi64(to.add((groups - 1) * ROW_GROUP).cast(), _mm_setzero_si128());
            for tap in 0..taps {
                widen_bytes::<false>(left.tap(row, tap), true, GROUPS * GROUP, to, &mut Products::zero());
                to = to.add(2 * kc);
            }
        }
    }
}

/// Widens `count` bytes, and up to three more; where `FAST`, adds the products of their groups.
///
/// # Safety
/// The CPU has the tier; so many bytes are readable, and where they are `padded` up to a multiple of 4; `to` has room for
/// that multiple of words.
#[inline(always)]
unsafe fn widen_bytes<const FAST: bool>(
    from: *const u8,
    padded: bool,
    count: usize,
    to: *mut u8,
    products: &mut Products,
) {
    let mut at = 0;
    // SAFETY: the caller's.
    unsafe {
        while at + 16 <= count {
            let words = _mm256_cvtepu8_epi16(_mm_loadu_si128(from.add(at).cast()));
            _mm256_storeu_si256(to.add(2 * at).cast(), words);
            if FAST {
                products.add_four(words);
            }
            at += 16;
        }
        if at + 8 <= count {
            let words = _mm_cvtepu8_epi16(_mm_loadl_epi64(from.add(at).cast()));
            _mm_storeu_si128(to.add(2 * at).cast(), words);
            if FAST {
                products.add_two(words);
            }
            at += 8;
        }
        while at < count {
            let from = from.add(at);
            let four = if padded || at + 4 <= count {
                from.cast::<i32>().read_unaligned()
            } else {
                (0..count - at).fold(0, |four, i| four | i32::from(*from.add(i)) << (8 * i))
            };
            let words = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(four));
            _mm_storel_epi64(to.add(2 * at).cast(), words);
            if FAST {
                products.add_two(words);
            }
            at += 4;
        }
    }
}

/// `x0 x2 + x1 x3` of groups, in both lanes of each.
struct Products {
    fours: __m256i,
    twos: __m128i,
}

impl Products {
    /// # Safety
    /// The CPU has AVX2.
    #[inline(always)]
    unsafe fn zero() -> Products {
        // SAFETY: the caller's.
        unsafe { Products { fours: _mm256_setzero_si256(), twos: _mm_setzero_si128() } }
    }

    /// Of a widened row's groups.
    ///
    /// # Safety
    /// The CPU has AVX2, and the groups are readable.
    #[inline(always)]
    unsafe fn of(row: *const u8, groups: usize) -> Products {
        // SAFETY: the caller's.
        unsafe {
            let mut products = Products::zero();
            for group in (0..groups / 4 * 4).step_by(4) {
                products.add_four(_mm256_loadu_si256(row.add(group * ROW_GROUP).cast()));
            }
            for group in groups / 4 * 4..groups {
                products.add_two(_mm_loadl_epi64(row.add(group * ROW_GROUP).cast()));
            }
            products
        }
    }

    /// # Safety
    /// The CPU has AVX2.
    #[inline(always)]
    unsafe fn add_four(&mut self, words: __m256i) {
        // SAFETY: the caller's.
        unsafe {
            let other = _mm256_shuffle_epi32::<0b10_11_00_01>(words);
            self.fours = _mm256_add_epi32(self.fours, _mm256_madd_epi16(words, other));
        }
    }

    /// # Safety
    /// The CPU has AVX2.
    #[inline(always)]
    unsafe fn add_two(&mut self, words: __m128i) {
        // SAFETY: the caller's.
        unsafe {
            let other = _mm_shuffle_epi32::<0b10_11_00_01>(words);
            self.twos = _mm_add_epi32(self.twos, _mm_madd_epi16(words, other));
        }
    }

    /// Of all groups.
    ///
    /// # Safety
    /// The CPU has AVX2.
    #[inline(always)]
    unsafe fn sum(self) -> i32 {
        // SAFETY: the caller's.
        unsafe {
            let four =
                _mm_add_epi32(_mm256_castsi256_si128(self.fours), _mm256_extracti128_si256::<1>(self.fours));
            let four = _mm_add_epi32(four, self.twos);
            // Both lanes of a group have its products.
            let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            _mm_cvtsi128_si32(two)
        }
    }
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
