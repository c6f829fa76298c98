//! The tier of AVX-512 VNNI on 256-bit registers.

use super::tier;
use crate::gemm::pack::UNIT;
use crate::gemm::tile::heights;

tier!(
    Evex,
    "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni",
    1 x [1 2 3 4 5 6 7 8 9 10 11 12],
    2 x [1 2 3 4 5 6],
    4 x [1 2 3],
);

/// Most rows of a tile of one unit: 24 sums, 2 registers of weights, one of the left side.
const MOST: usize = 12;

/// # Safety
/// The CPU has the tier; the panel's bounds have been checked.
pub(in crate::gemm) unsafe fn panel(panel: &Panel) {
    let units = panel.n.div_ceil(UNIT);
    let mut unit = 0;
    while unit < units {
        // Of few rows, wide tiles have sums enough.
        let width = match units - unit {
            4 if panel.m <= 3 => 4,
            1 => 1,
            _ => 2,
        };
        for (height, rows) in heights(panel.m, MOST / width) {
            if height > 0 && !rows.is_empty() {
                // SAFETY: the caller's; a panel has 1 to 4 units, and the rows are whole tiles.
                unsafe { tiles_of(panel, rows, height, unit, width) };
            }
        }
        unit += width;
    }
}
