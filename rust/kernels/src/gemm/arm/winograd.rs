//! Winograd's tiles by smlal of words: a register of 8 words of a row serves as many k, one lane at a time.

use std::arch::aarch64::*;

use crate::gemm::entries::Panel;
use crate::gemm::pack::{GROUP, UNIT};
use crate::gemm::tile::heights;
use crate::gemm::winograd::{self, PAIR_BYTES, Tiles};
use crate::simd::Qs;
use crate::unroll::unroll;

use super::REGISTERS;

/// Most rows of a tile: 16 sums, 4 registers of weights, one of each row.
const ROWS: usize = 4;

/// # Safety
/// As [`winograd::input`].
#[target_feature(enable = "neon")]
pub(in crate::gemm) unsafe fn input(tiles: &Tiles) {
    // SAFETY: the caller's.
    unsafe { winograd::input::<Qs>(tiles) };
}

/// # Safety
/// As [`winograd::output`].
#[target_feature(enable = "neon")]
pub(in crate::gemm) unsafe fn output(panel: &Panel, tiles: &Tiles, top: usize) {
    // SAFETY: the caller's; a unit has the weights of all points.
    unsafe { winograd::output::<Qs, 2>(panel, tiles, top, |weights| unit(tiles, weights)) };
}

/// The products of all points with a unit's weights.
///
/// # Safety
/// As [`output`].
#[inline(never)]
#[target_feature(enable = "neon")]
unsafe fn unit(tiles: &Tiles, weights: *const u8) {
    let heights = heights(tiles.count, ROWS);
    // SAFETY: the caller's; a point has `count` rows of pixels and of products.
    unsafe {
        for (point, (pixels, products)) in winograd::points(tiles).enumerate() {
            let weights = weights.add(point * tiles.groups * GROUP / 2 * PAIR_BYTES);
            for (height, range) in heights.clone() {
                for t in range.step_by(height.max(1)) {
                    let (pixels, products) = (pixels.add(2 * t * tiles.channels), products.add(t * UNIT));
                    match height {
                        1 => rows::<1>(tiles, pixels, weights, products),
                        2 => rows::<2>(tiles, pixels, weights, products),
                        3 => rows::<3>(tiles, pixels, weights, products),
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
#[target_feature(enable = "neon")]
unsafe fn rows<const R: usize>(tiles: &Tiles, pixels: *const u8, weights: *const u8, products: *mut i32) {
    // SAFETY: the caller's: a row has words for each k of `groups` groups of 4, and as many as fill a register behind them; the
    // weights have as many pairs of words of 16 columns.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); REGISTERS]; R];
        for group in 0..tiles.groups {
            let from = |r: usize| pixels.cast::<i16>().add(r * tiles.channels + group * GROUP);
            let values: [int16x4_t; R] = std::array::from_fn(|r| vld1_s16(from(r)));
            let w = weights.add(group * 2 * PAIR_BYTES).cast::<i16>();
            add::<0, 1, R>(&mut sums, &values, w);
            add::<2, 3, R>(&mut sums, &values, w.byte_add(PAIR_BYTES));
        }
        for r in 0..R {
            for i in 0..REGISTERS {
                vst1q_s32(products.add(r * UNIT + 4 * i), sums[r][i]);
            }
        }
    }
}

/// Adds the products of two k.
///
/// # Safety
/// As [`rows`], of the pairs of words at `w`.
#[inline(always)]
unsafe fn add<const FIRST: i32, const SECOND: i32, const R: usize>(
    sums: &mut [[int32x4_t; REGISTERS]; R],
    values: &[int16x4_t; R],
    w: *const i16,
) {
    // SAFETY: the caller's.
    unsafe {
        unroll!(half in 2, {
            // The weights of each k of 8 columns.
            let int16x8x2_t(first, second) = vld2q_s16(w.add(half * UNIT));
            unroll!(r in R, {
                let [low, high] = [sums[r][2 * half], sums[r][2 * half + 1]];
                let low = vmlal_lane_s16::<FIRST>(low, vget_low_s16(first), values[r]);
                let high = vmlal_high_lane_s16::<FIRST>(high, first, values[r]);
                sums[r][2 * half] = vmlal_lane_s16::<SECOND>(low, vget_low_s16(second), values[r]);
                sums[r][2 * half + 1] = vmlal_high_lane_s16::<SECOND>(high, second, values[r]);
            });
        });
    }
}
