//! The tiers of vpdpbusd (never its saturating form) on 256-bit registers: a unit of 16 columns is two of them.
//!
//! AVX-VNNI has 16 registers, which hold the sums of 6 rows x 16 columns, or of few rows x more columns; AVX-512 has 32, for
//! the sums of twice as many. What a tile reads is small beside what it multiplies, so that the units of a panel go one after
//! the other while a block of rows stays in the first cache. The left side is unsigned and so must be the instruction's
//! register operand: its broadcast cannot be folded into the product.

pub(super) mod avx512vl;
pub(super) mod avxvnni;
mod winograd;

use std::arch::x86_64::*;
use std::array::from_fn;
use std::ops::Range;

use super::entries::{Joining, Panel};
use super::pack::{GROUP, UNIT};
use super::tile::{self, Tile, epilogue, multiply_add};
use crate::simd::{Fours, Vector, YmmOf};

/// The registers of a unit.
const HALVES: usize = 2;
/// Bytes of rows that go through all units of a panel: a part of the first-level cache.
const ROWS_BYTES: usize = 1 << 14;

type Accumulators<P, const UNITS: usize, const ROWS: usize> =
    tile::Accumulators<YmmOf<P>, HALVES, UNITS, ROWS>;

/// Defines what a tier needs: by its dot product, its features, and the tiles of so many units x the rows that they may have.
macro_rules! tier {
    ($product:ident, $features:literal, $($units:literal x [$($rows:literal)*],)*) => {
        use std::ops::Range;

        use crate::gemm::activations::{Right, pack_source, row_sums_source};
        use crate::gemm::entries::Panel;
        use crate::gemm::epilogue::ColumnParams;
        use crate::gemm::pack::Packing;
        use crate::gemm::winograd::Tiles;
        use crate::simd::$product;

        /// [`ColumnParams::derive`] in vectors.
        #[target_feature(enable = $features)]
        pub(in crate::gemm) fn derive(params: &mut ColumnParams) {
            params.derive();
        }

        /// [`pack_source`] in vectors.
        #[target_feature(enable = $features)]
        pub(in crate::gemm) fn pack(right: &Right, out: &mut [u8], sums: &mut [i32]) {
            pack_source(Packing::Fours, right, out, sums);
        }

        /// [`row_sums_source`] in vectors.
        #[target_feature(enable = $features)]
        pub(in crate::gemm) fn row_sums(data: &[u8], stride: usize, k: usize, factor: i32, sums: &mut [i32]) {
            row_sums_source(data, stride, k, factor, sums);
        }

        /// # Safety
        /// As [`winograd::input`](crate::gemm::winograd::input).
        #[target_feature(enable = $features)]
        pub(in crate::gemm) unsafe fn winograd_input(tiles: &Tiles) {
            // SAFETY: the caller's.
            unsafe { crate::gemm::winograd::input::<crate::simd::Ymm>(tiles) };
        }

        /// # Safety
        /// As [`winograd::output`](crate::gemm::winograd::output).
        #[target_feature(enable = $features)]
        pub(in crate::gemm) unsafe fn winograd_output(panel: &Panel, tiles: &Tiles, top: usize) {
            // SAFETY: the caller's; a unit has the weights of all points.
            unsafe {
                crate::gemm::winograd::output::<crate::simd::Ymm, 2>(panel, tiles, top, |weights| {
                    products(tiles, weights);
                });
            }
        }

        /// The products of all points with a unit's weights.
        ///
        /// # Safety
        /// As [`winograd_output`].
        #[inline(never)]
        #[target_feature(enable = $features)]
        unsafe fn products(tiles: &Tiles, weights: *const u8) {
            // SAFETY: the caller's.
            unsafe { super::winograd::products::<$product, MOST>(tiles, weights) };
        }

        /// Tiles of `ROWS` rows of the `UNITS` units from `unit` on.
        ///
        /// # Safety
        /// As [`super::tiles`].
        #[target_feature(enable = $features)]
        unsafe fn tiles<const UNITS: usize, const ROWS: usize>(panel: &Panel, rows: Range<usize>, unit: usize) {
            // SAFETY: the caller's.
            unsafe { super::tiles::<$product, UNITS, ROWS>(panel, rows, unit) };
        }

        /// The same of a width and a height that are known when it runs.
        ///
        /// # Safety
        /// As [`super::tiles`].
        unsafe fn tiles_of(panel: &Panel, rows: Range<usize>, height: usize, unit: usize, width: usize) {
            // SAFETY: the caller's.
            unsafe {
                match (width, height) {
                    $($(($units, $rows) => tiles::<$units, $rows>(panel, rows, unit),)*)*
                    _ => unreachable!("a tile of {height} rows x {width} units"),
                }
            }
        }
    };
}
use tier;

/// The rows, `ROWS` at a time, of the `UNITS` units from `unit` on. The panel's first rows fetch the units as far into the next
/// panel, if one follows: weights that an inference reads once come from beyond the second cache.
///
/// # Safety
/// The CPU has the tier of `P`; the panel's bounds have been checked; it has the units, and the rows, which are whole tiles.
#[inline(always)]
unsafe fn tiles<P: Fours, const UNITS: usize, const ROWS: usize>(
    panel: &Panel,
    mut rows: Range<usize>,
    unit: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        if rows.start == 0 && panel.followed {
            tile::<P, UNITS, ROWS, true>(panel, 0, unit);
            rows.start = ROWS;
        }
        for row in rows.step_by(ROWS) {
            tile::<P, UNITS, ROWS, false>(panel, row, unit);
        }
    }
}

/// # Safety
/// As [`tiles`], of the tile that begins with a row. `FETCHES` says that a panel follows.
#[inline(always)]
unsafe fn tile<P: Fours, const UNITS: usize, const ROWS: usize, const FETCHES: bool>(
    panel: &Panel,
    row: usize,
    unit: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let acc = accumulate::<P, UNITS, ROWS, FETCHES>(panel, row, unit);
        let n = |from: usize, units: usize| (panel.n - from).min(units * UNIT);
        let from = unit * UNIT;
        if UNITS <= 2 {
            return epilogue(panel, acc, row, from, n(from, UNITS));
        }
        // A register of bytes has two units.
        for first in (0..UNITS).step_by(2) {
            let two: Accumulators<P, 2, ROWS> = from_fn(|r| [acc[r][first], acc[r][first + 1]]);
            let from = from + first * UNIT;
            epilogue(panel, two, row, from, n(from, 2));
        }
    }
}

/// The sums of a tile, bias and residuals included.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn accumulate<P: Fours, const UNITS: usize, const ROWS: usize, const FETCHES: bool>(
    panel: &Panel,
    row: usize,
    unit: usize,
) -> Accumulators<P, UNITS, ROWS> {
    // SAFETY: the parameters have 16 lanes a unit; each unit has taps * groups groups of 64 bytes; each tap of a row has
    // `groups` groups of 4 bytes.
    unsafe {
        let mut acc = begin(panel, row, unit);
        // Few sums wait for themselves: every other group has its own.
        let splits = UNITS * ROWS < 4;
        let mut odd = [[[YmmOf::splat(0); HALVES]; UNITS]; ROWS];
        let mut w = panel.packed.add(unit * panel.unit_bytes);
        let ahead = panel.n.div_ceil(UNIT) * panel.unit_bytes;
        for tap in 0..panel.taps {
            let a: [*const u8; ROWS] = from_fn(|r| panel.left.tap(row + r, tap));
            let mut group = 0;
            while splits && group + 2 <= panel.groups {
                multiply_add(&mut acc, &a, group * GROUP, w, panel.unit_bytes);
                multiply_add(&mut odd, &a, (group + 1) * GROUP, w.add(UNIT * GROUP), panel.unit_bytes);
                if FETCHES {
                    fetch::<UNITS>(w.wrapping_add(ahead), panel.unit_bytes);
                    fetch::<UNITS>(w.wrapping_add(ahead + UNIT * GROUP), panel.unit_bytes);
                }
                w = w.add(2 * UNIT * GROUP);
                group += 2;
            }
            while group < panel.groups {
                multiply_add(&mut acc, &a, group * GROUP, w, panel.unit_bytes);
                if FETCHES {
                    fetch::<UNITS>(w.wrapping_add(ahead), panel.unit_bytes);
                }
                w = w.add(UNIT * GROUP);
                group += 1;
            }
        }
        for r in 0..ROWS {
            for u in 0..UNITS {
                for half in 0..HALVES {
                    if splits {
                        acc[r][u][half] = acc[r][u][half].add(odd[r][u][half]);
                    }
                }
            }
        }
        acc
    }
}

/// Fetches a line of each unit. Whatever the address, that is no access.
///
/// # Safety
/// The CPU has SSE.
#[inline(always)]
unsafe fn fetch<const UNITS: usize>(from: *const u8, unit_bytes: usize) {
    for u in 0..UNITS {
        // SAFETY: the caller's.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add(u * unit_bytes).cast()) };
    }
}

/// What the sums begin with: the bias, the rows' own, and the residuals that join them.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn begin<P: Fours, const UNITS: usize, const ROWS: usize>(
    panel: &Panel,
    row: usize,
    unit: usize,
) -> Accumulators<P, UNITS, ROWS> {
    // SAFETY: the parameters have 16 lanes a unit.
    unsafe {
        let bias: [[YmmOf<P>; HALVES]; UNITS] = from_fn(|u| {
            from_fn(|half| YmmOf::load(panel.columns.bias.as_ptr().add(column::<P>(unit + u, half))))
        });
        let mut acc = [bias; ROWS];
        if let Some(row_bias) = panel.row_bias.get(row..row + ROWS) {
            for r in 0..ROWS {
                let number = YmmOf::splat(row_bias[r]);
                for u in 0..UNITS {
                    for half in 0..HALVES {
                        acc[r][u][half] = acc[r][u][half].add(number);
                    }
                }
            }
        }
        if let Some(joining) = panel.joining {
            join(panel, joining, row, unit, &mut acc);
        }
        acc
    }
}

/// The first column of a half of a unit.
#[inline(always)]
fn column<P: Fours>(unit: usize, half: usize) -> usize {
    unit * UNIT + half * YmmOf::<P>::LANES
}

/// Adds the residuals that join the sums: before the products, for then registers are free.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn join<P: Fours, const UNITS: usize, const ROWS: usize>(
    panel: &Panel,
    joining: Joining,
    row: usize,
    unit: usize,
    acc: &mut Accumulators<P, UNITS, ROWS>,
) {
    for u in 0..UNITS {
        for half in 0..HALVES {
            let column = column::<P>(unit + u, half);
            let here = panel.n.saturating_sub(column).min(YmmOf::<P>::LANES);
            if here == 0 {
                continue;
            }
            // SAFETY: the parameters have 16 lanes a unit; `here` residuals of each row from the column on are the panel's.
            unsafe {
                let scale = panel.columns.residual_scale::<YmmOf<P>>(column);
                for r in 0..ROWS {
                    let from = joining.data.add((row + r) * joining.stride + column);
                    acc[r][u][half] = acc[r][u][half].add(scale.apply(YmmOf::widen(from, here)));
                }
            }
        }
    }
}
