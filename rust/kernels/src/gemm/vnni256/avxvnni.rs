//! The AVX-VNNI tier.

use super::{ROWS_BYTES, tier};
use crate::gemm::pack::{GROUP, UNIT};
use crate::gemm::tile::heights;

tier!(Vex, "avx2,fma,avxvnni", 1 x [1 2 3 4 5 6], 2 x [1 2 3], 4 x [1],);

/// Most rows of a tile: 12 sums, 2 registers of weights, one of the left side.
const MOST: usize = 6;

/// # Safety
/// The CPU has the tier; the panel's bounds have been checked.
pub(in crate::gemm) unsafe fn panel(panel: &Panel) {
    let units = panel.n.div_ceil(UNIT);
    // SAFETY: the caller's; a panel has 1 to 4 units, and the rows are whole tiles.
    unsafe {
        if panel.m <= 3 {
            // Of few rows, wide tiles have sums enough.
            let width = if panel.m == 1 && units == 4 { 4 } else { 2 };
            let mut unit = 0;
            while unit < units {
                let width = width.min(units - unit);
                tiles_of(panel, 0..panel.m, panel.m, unit, width);
                unit += width;
            }
            return;
        }
        let tiles = (ROWS_BYTES / (panel.taps * panel.groups * GROUP) / MOST).max(1);
        for (height, rows) in heights(panel.m, MOST) {
            let most = (tiles * height).max(1);
            for first in rows.clone().step_by(most) {
                let block = first..rows.end.min(first + most);
                for unit in 0..units {
                    tiles_of(panel, block.clone(), height, unit, 1);
                }
            }
        }
    }
}
