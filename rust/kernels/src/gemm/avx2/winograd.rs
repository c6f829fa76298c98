//! Winograd's tiles by vpmaddwd.

use super::ROWS;
use super::tiles::{Sums, WIDE_GROUP, multiply};
use crate::gemm::entries::Panel;
use crate::gemm::pack::UNIT;
use crate::gemm::tile::heights;
use crate::gemm::winograd::{self, Tiles};
use crate::simd::{Vector, Ymm};

/// # Safety
/// As [`winograd::input`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn input(tiles: &Tiles) {
    // SAFETY: the caller's.
    unsafe { winograd::input::<Ymm>(tiles) };
}

/// # Safety
/// As [`winograd::output`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn output(panel: &Panel, tiles: &Tiles, top: usize) {
    // SAFETY: the caller's; a unit has the weights of all points.
    unsafe { winograd::output::<Ymm, 2>(panel, tiles, top, |weights| unit(tiles, weights)) };
}

/// The products of all points with a unit's weights.
///
/// # Safety
/// As [`output`].
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn unit(tiles: &Tiles, weights: *const u8) {
    let heights = heights(tiles.count, ROWS);
    // SAFETY: the caller's; a point has `count` rows of pixels and of products.
    unsafe {
        for (point, (pixels, products)) in winograd::points(tiles).enumerate() {
            let weights = weights.add(point * tiles.groups * WIDE_GROUP);
            for (height, range) in heights.clone() {
                for t in range.step_by(height.max(1)) {
                    let (pixels, products) = (pixels.add(2 * t * tiles.channels), products.add(t * UNIT));
                    match height {
                        1 => rows::<1>(tiles, pixels, weights, products),
                        2 => rows::<2>(tiles, pixels, weights, products),
                        3 => rows::<3>(tiles, pixels, weights, products),
                        4 => rows::<4>(tiles, pixels, weights, products),
                        5 => rows::<5>(tiles, pixels, weights, products),
                        _ => rows::<ROWS>(tiles, pixels, weights, products),
                    }
                }
            }
        }
    }
}

/// The products of `R` rows.
///
/// # Safety
/// As [`unit`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn rows<const R: usize>(tiles: &Tiles, pixels: *const u8, weights: *const u8, products: *mut i32) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums: Sums<R> = [[[Ymm::splat(0); 2]; 1]; R];
        multiply::<R, 2, false>(&mut sums, pixels, 2 * tiles.channels, weights, tiles.groups);
        for r in 0..R {
            for half in 0..2 {
                sums[r][0][half].store_bytes(products.add(r * UNIT + half * Ymm::LANES).cast());
            }
        }
    }
}
