//! The matrix products of bytes: usmmla, which adds the products of 8 k of 2 rows, unsigned, with 2 columns, signed. Sums
//! lie two by two until the end.

use std::arch::aarch64::*;
use std::arch::asm;
use std::array::from_fn;

use super::{Multiply, REGISTERS, Sums, panel, tile};
use crate::gemm::entries::Panel;
use crate::gemm::pack::{GROUP, Packing, UNIT};
use crate::gemm::tile::heights;
use crate::unroll::unroll;

/// Consecutive k of a step.
const STEP: usize = 2 * GROUP;
/// Pairs of columns of a unit.
const PAIRS: usize = UNIT / 2;
/// Bytes of a step of a unit.
const STEP_BYTES: usize = UNIT * STEP;

panel!(I8mm, "neon,i8mm", 6: 1 by 2 2 by 2 3 by 1 4 by 1 5 by 1 6 by 1);

/// usmmla.
pub(in crate::gemm) struct I8mm;

impl Multiply for I8mm {
    const PACKING: Packing = Packing::Eights;

    #[inline(always)]
    unsafe fn products<const UNITS: usize, const ROWS: usize>(
        panel: &Panel,
        row: usize,
        unit: usize,
    ) -> Sums<UNITS, ROWS> {
        // SAFETY: the caller's: a tap has `groups` groups of 4 readable bytes; a unit has a step of 128 bytes for each two of
        // them a tap.
        unsafe {
            // Two rows by two columns each, for each pair of rows; of an odd number the last one takes part twice.
            let mut squares = [[[vdupq_n_s32(0); PAIRS]; UNITS]; ROWS];
            let mut w = panel.packed.add(unit * panel.unit_bytes);
            for tap in 0..panel.taps {
                let x: [*const u8; ROWS] = from_fn(|r| panel.left.tap(row + r, tap));
                let mut values = [vdupq_n_u8(0); ROWS];
                let mut group = 0;
                while group + 2 <= panel.groups {
                    unroll!(pair in ROWS.div_ceil(2), {
                        let (first, second) = (x[2 * pair], x[(2 * pair + 1).min(ROWS - 1)]);
                        let (first, second) = (first.add(group * GROUP), second.add(group * GROUP));
                        values[pair] = vcombine_u8(vld1_u8(first), vld1_u8(second));
                    });
                    add::<UNITS, ROWS>(&mut squares, &values, w, panel.unit_bytes);
                    w = w.add(STEP_BYTES);
                    group += 2;
                }
                if group < panel.groups {
                    let eight = |r: usize| {
                        let four = x[r.min(ROWS - 1)].add(group * GROUP).cast::<u32>().read_unaligned();
                        vcreate_u8(u64::from(four))
                    };
                    unroll!(pair in ROWS.div_ceil(2), {
                        values[pair] = vcombine_u8(eight(2 * pair), eight(2 * pair + 1));
                    });
                    add::<UNITS, ROWS>(&mut squares, &values, w, panel.unit_bytes);
                    w = w.add(STEP_BYTES);
                }
            }
            let mut sums = [[[vdupq_n_s32(0); REGISTERS]; UNITS]; ROWS];
            unroll!(r in ROWS, {
                unroll!(u in UNITS, {
                    unroll!(i in REGISTERS, {
                        let a = vreinterpretq_s64_s32(squares[r / 2][u][2 * i]);
                        let b = vreinterpretq_s64_s32(squares[r / 2][u][2 * i + 1]);
                        let row = if r % 2 == 0 { vzip1q_s64(a, b) } else { vzip2q_s64(a, b) };
                        sums[r][u][i] = vreinterpretq_s32_s64(row);
                    });
                });
            });
            sums
        }
    }
}

/// Adds the products of a step of k.
///
/// # Safety
/// The CPU has the tier; there are 128 bytes of each unit, the first of which begins at `w`.
#[inline(always)]
unsafe fn add<const UNITS: usize, const ROWS: usize>(
    squares: &mut [[[int32x4_t; PAIRS]; UNITS]; ROWS],
    values: &[uint8x16_t; ROWS],
    w: *const u8,
    unit_bytes: usize,
) {
    unroll!(u in UNITS, {
        unroll!(i in PAIRS, {
            // SAFETY: the caller's.
            unsafe {
                let weights = vld1q_s8(w.add(u * unit_bytes + i * 16).cast());
                unroll!(pair in ROWS.div_ceil(2), {
                    squares[pair][u][i] = multiply(squares[pair][u][i], values[pair], weights);
                });
            }
        });
    });
}

/// `sums`, two by two, and the products of two rows with two columns added.
///
/// # Safety
/// The CPU has the tier.
#[inline(always)]
unsafe fn multiply(mut sums: int32x4_t, rows: uint8x16_t, columns: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's; the instruction touches registers alone.
    unsafe {
        asm!(
            "usmmla {sums:v}.4s, {rows:v}.16b, {columns:v}.16b",
            sums = inout(vreg) sums,
            rows = in(vreg) rows,
            columns = in(vreg) columns,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
