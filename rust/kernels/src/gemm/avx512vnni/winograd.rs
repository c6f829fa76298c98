//! Winograd's tiles by vpdpwssd.

use std::arch::x86_64::*;

use crate::gemm::entries::Panel;
use crate::gemm::pack::UNIT;
use crate::gemm::winograd::{self, PAIR_BYTES, TOGETHER, Tiles};
use crate::simd::{Vector, Ymm, Zmm};

/// # Safety
/// As [`winograd::input`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub unsafe fn input(tiles: &Tiles) {
    // SAFETY: the caller's; the tier has the features of both.
    unsafe {
        if tiles.image.channels.is_multiple_of(Zmm::BYTES / 2) {
            winograd::input::<Zmm>(tiles);
        } else {
            winograd::input::<Ymm>(tiles);
        }
    }
}

/// # Safety
/// As [`winograd::output`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub unsafe fn output(panel: &Panel, tiles: &Tiles, top: usize) {
    // SAFETY: the caller's; a unit has the weights of all points.
    unsafe { winograd::output::<Zmm, 1>(panel, tiles, top, |weights| unit(tiles, weights)) };
}

/// The products of all points with a unit's weights.
///
/// # Safety
/// As [`output`].
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
unsafe fn unit(tiles: &Tiles, weights: *const u8) {
    // SAFETY: the caller's; a point has `count` rows of pixels and of products.
    unsafe {
        for (point, (pixels, products)) in winograd::points(tiles).enumerate() {
            let weights = weights.add(point * tiles.groups * 2 * PAIR_BYTES);
            match tiles.count {
                1 => rows::<1>(tiles, pixels, weights, products),
                2 => rows::<2>(tiles, pixels, weights, products),
                3 => rows::<3>(tiles, pixels, weights, products),
                4 => rows::<4>(tiles, pixels, weights, products),
                5 => rows::<5>(tiles, pixels, weights, products),
                6 => rows::<6>(tiles, pixels, weights, products),
                7 => rows::<7>(tiles, pixels, weights, products),
                8 => rows::<8>(tiles, pixels, weights, products),
                9 => rows::<9>(tiles, pixels, weights, products),
                10 => rows::<10>(tiles, pixels, weights, products),
                11 => rows::<11>(tiles, pixels, weights, products),
                _ => rows::<TOGETHER>(tiles, pixels, weights, products),
            }
        }
    }
}

/// The products of `R` rows.
///
/// # Safety
/// As [`unit`].
#[inline(always)]
unsafe fn rows<const R: usize>(tiles: &Tiles, pixels: *const u8, weights: *const u8, products: *mut i32) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [_mm512_setzero_si512(); R];
        for pair in 0..2 * tiles.groups {
            let w = _mm512_loadu_si512(weights.add(pair * PAIR_BYTES).cast());
            for r in 0..R {
                let from = pixels.add(2 * r * tiles.channels + 4 * pair).cast::<i32>();
                let x = _mm512_set1_epi32(from.read_unaligned());
                sums[r] = _mm512_dpwssd_epi32(sums[r], w, x);
            }
        }
        for r in 0..R {
            _mm512_storeu_si512(products.add(r * UNIT).cast(), sums[r]);
        }
    }
}
