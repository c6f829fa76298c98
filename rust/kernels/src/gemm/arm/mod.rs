//! The tiers of 64-bit ARM: what they share. Their tiles differ in how they multiply.
//!
//! A tile holds the sums of some rows by some units, a unit in four registers. NEON and its dot product multiply signed bytes,
//! so activations are taken as `x - 128`; what that leaves out, 128 times the sum of a column's weights, stands behind each
//! packed unit and is added with the bias.

pub(super) mod dotprod;
mod finish;
pub(super) mod i8mm;
pub(super) mod neon;
pub(super) mod winograd;

use std::arch::aarch64::*;

use super::activations::{Right, pack_source, row_sums_source};
use super::entries::Panel;
use super::epilogue::ColumnParams;
use super::pack::{Packing, UNIT};
use super::tile::{Accumulators, add_residuals, epilogue};
use crate::simd::{Qs, Vector};
use crate::unroll::unroll;

/// [`ColumnParams::derive`] in vectors.
#[target_feature(enable = "neon")]
pub(super) fn derive(params: &mut ColumnParams) {
    params.derive();
}

/// [`row_sums_source`] in vectors.
#[target_feature(enable = "neon")]
pub(super) fn row_sums(data: &[u8], stride: usize, k: usize, factor: i32, sums: &mut [i32]) {
    row_sums_source(data, stride, k, factor, sums);
}

/// [`pack_source`] in vectors, as the tier `T` has its right side.
#[target_feature(enable = "neon")]
pub(super) fn pack<T: Multiply>(right: &Right, out: &mut [u8], sums: &mut [i32]) {
    pack_source(T::PACKING, right, out, sums);
}

/// Lanes of two registers.
const LANES: usize = <Qs as Vector>::LANES;
/// Registers of a unit.
const REGISTERS: usize = 4;
/// The sums of a tile.
type Sums<const UNITS: usize, const ROWS: usize> = [[[int32x4_t; REGISTERS]; UNITS]; ROWS];

/// How a tier multiplies.
///
/// # Safety
/// The method needs the tier's CPU features. It is inlined into functions that are compiled for the tier.
pub(super) trait Multiply {
    /// How the tier has its right side.
    const PACKING: Packing;

    /// The products of `ROWS` rows from `row` on with `UNITS` units from `unit` on, summed. The panel's bounds have been checked,
    /// and it has the rows and units.
    unsafe fn products<const UNITS: usize, const ROWS: usize>(
        panel: &Panel,
        row: usize,
        unit: usize,
    ) -> Sums<UNITS, ROWS>;
}

/// The results of `ROWS` rows from `row` on by `UNITS` units from `unit` on.
///
/// # Safety
/// The CPU has the tier; the panel's bounds have been checked, and it has the rows and units.
#[inline(always)]
unsafe fn tile<T: Multiply, const UNITS: usize, const ROWS: usize>(panel: &Panel, row: usize, unit: usize) {
    // SAFETY: the caller's; parameters have 16 lanes a unit, and so have the sums behind packed weights.
    unsafe {
        let sums = T::products::<UNITS, ROWS>(panel, row, unit);
        unroll!(u in UNITS, {
            let from = (unit + u) * UNIT;
            let bias = bias::<T>(panel, unit + u);
            let mut acc: Accumulators<Qs, 2, 1, ROWS> = [[bias; 1]; ROWS];
            unroll!(r in ROWS, {
                let [a, b, c, d] = sums[r][u];
                acc[r][0] = [Qs::new([a, b]).add(bias[0]), Qs::new([c, d]).add(bias[1])];
            });
            if let Some(row_bias) = panel.row_bias.get(row..row + ROWS) {
                unroll!(r in ROWS, {
                    let number = Qs::splat(row_bias[r]);
                    acc[r][0] = [acc[r][0][0].add(number), acc[r][0][1].add(number)];
                });
            }
            let n = UNIT.min(panel.n - from);
            if let Some(joining) = panel.joining {
                add_residuals(panel, joining, &mut acc, row, from, n);
            }
            epilogue(panel, acc, row, from, n);
        });
    }
}

/// What is added to the sums of a unit whatever the rows.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn bias<T: Multiply>(panel: &Panel, unit: usize) -> [Qs; 2] {
    // SAFETY: the caller's.
    unsafe {
        let bias: *const i32 = panel.columns.bias.as_ptr().add(unit * UNIT);
        let bias = [Qs::load(bias), Qs::load(bias.add(LANES))];
        let Some(at) = T::PACKING.sums_at(panel.unit_bytes) else { return bias };
        let sums: *const i32 = panel.packed.add(unit * panel.unit_bytes + at).cast();
        [bias[0].add(Qs::load(sums)), bias[1].add(Qs::load(sums.add(LANES)))]
    }
}

/// Defines the tier's panel function: tiles of at most so many rows, as even as can be, each so many units wide. Few rows take
/// more units, or each product would wait for the one before it.
macro_rules! panel {
    ($tier:ty, $features:literal, $most:literal: $($rows:literal by $units:literal)*) => {
        /// # Safety
        /// The CPU has the tier; the panel's bounds have been checked.
        #[target_feature(enable = $features)]
        pub(in crate::gemm) unsafe fn panel(panel: &Panel) {
            /// # Safety
            /// As [`panel`]; the rows are a whole number of tiles.
            #[target_feature(enable = $features)]
            unsafe fn rows<const ROWS: usize, const UNITS: usize>(panel: &Panel, rows: std::ops::Range<usize>) {
                let units = panel.n.div_ceil(UNIT);
                for row in rows.step_by(ROWS) {
                    let mut unit = 0;
                    // SAFETY: the caller's; the panel has the units.
                    unsafe {
                        while unit + UNITS <= units {
                            tile::<$tier, UNITS, ROWS>(panel, row, unit);
                            unit += UNITS;
                        }
                        while unit < units {
                            tile::<$tier, 1, ROWS>(panel, row, unit);
                            unit += 1;
                        }
                    }
                }
            }
            for (height, range) in heights(panel.m, $most) {
                if range.is_empty() {
                    continue;
                }
                // SAFETY: the caller's; the range is a whole number of tiles of its height.
                unsafe {
                    match height {
                        $($rows => rows::<$rows, $units>(panel, range),)*
                        _ => unreachable!("a tile of {height} rows"),
                    }
                }
            }
        }
    };
}
use panel;
