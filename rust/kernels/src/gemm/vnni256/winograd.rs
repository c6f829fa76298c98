//! Winograd's tiles by vpdpwssd.

use std::arch::x86_64::*;

use crate::gemm::pack::UNIT;
use crate::gemm::tile::heights;
use crate::gemm::winograd::{self, PAIR_BYTES, Tiles};
use crate::simd::Fours;

/// The products of all points with a unit's weights, at most `MOST` tiles at a time.
///
/// # Safety
/// The CPU has the tier of `P`; the tiles have been checked, and the weights are a unit's.
#[inline(always)]
pub(super) unsafe fn products<P: Fours, const MOST: usize>(tiles: &Tiles, weights: *const u8) {
    let heights = heights(tiles.count, MOST);
    // SAFETY: the caller's; a point has `count` rows of pixels and of products.
    unsafe {
        for (point, (pixels, products)) in winograd::points(tiles).enumerate() {
            let weights = weights.add(point * tiles.groups * 2 * PAIR_BYTES);
            for (height, range) in heights.clone() {
                for t in range.step_by(height.max(1)) {
                    let (pixels, products) = (pixels.add(2 * t * tiles.channels), products.add(t * UNIT));
                    match height {
                        1 => rows::<P, 1>(tiles, pixels, weights, products),
                        2 => rows::<P, 2>(tiles, pixels, weights, products),
                        3 => rows::<P, 3>(tiles, pixels, weights, products),
                        4 => rows::<P, 4>(tiles, pixels, weights, products),
                        5 => rows::<P, 5>(tiles, pixels, weights, products),
                        6 => rows::<P, 6>(tiles, pixels, weights, products),
                        7 => rows::<P, 7>(tiles, pixels, weights, products),
                        8 => rows::<P, 8>(tiles, pixels, weights, products),
                        9 => rows::<P, 9>(tiles, pixels, weights, products),
                        10 => rows::<P, 10>(tiles, pixels, weights, products),
                        11 => rows::<P, 11>(tiles, pixels, weights, products),
                        _ => rows::<P, 12>(tiles, pixels, weights, products),
                    }
                }
            }
        }
    }
}

/// The products of `R` rows.
///
/// # Safety
/// As [`products`].
#[inline(always)]
unsafe fn rows<P: Fours, const R: usize>(
    tiles: &Tiles,
    pixels: *const u8,
    weights: *const u8,
    products: *mut i32,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[_mm256_setzero_si256(); 2]; R];
        for pair in 0..2 * tiles.groups {
            let from = weights.add(pair * PAIR_BYTES).cast::<__m256i>();
            let w = [_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))];
            for r in 0..R {
                let pixel = pixels.add(2 * r * tiles.channels + 4 * pair).cast::<i32>();
                let x = _mm256_set1_epi32(pixel.read_unaligned());
                for half in 0..2 {
                    sums[r][half] = P::add_words(sums[r][half], x, w[half]);
                }
            }
        }
        for r in 0..R {
            for half in 0..2 {
                _mm256_storeu_si256(products.add(r * UNIT).cast::<__m256i>().add(half), sums[r][half]);
            }
        }
    }
}
