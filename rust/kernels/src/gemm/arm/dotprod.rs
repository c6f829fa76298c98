//! The dot products of bytes: sdot, which adds the products of 4 k to each of 4 columns. A row's 16 bytes are loaded once,
//! and the instruction takes one of their four groups.

use std::arch::aarch64::*;
use std::arch::asm;
use std::array::from_fn;

use super::{Multiply, REGISTERS, Sums, panel, tile};
use crate::gemm::entries::Panel;
use crate::gemm::pack::{GROUP, GROUP_BYTES, Packing, UNIT};
use crate::gemm::tile::heights;
use crate::unroll::unroll;

/// Groups of a register of a row.
const GROUPS: usize = 4;

panel!(DotProd, "neon,dotprod", 5: 1 by 4 2 by 2 3 by 2 4 by 1 5 by 1);

/// sdot.
pub(in crate::gemm) struct DotProd;

impl Multiply for DotProd {
    const PACKING: Packing = Packing::FoursAndSums;

    #[inline(always)]
    unsafe fn products<const UNITS: usize, const ROWS: usize>(
        panel: &Panel,
        row: usize,
        unit: usize,
    ) -> Sums<UNITS, ROWS> {
        // SAFETY: the caller's: a tap has `groups` groups of 4 readable bytes; a unit has as many groups of 64 bytes a tap.
        unsafe {
            let mut sums = [[[vdupq_n_s32(0); REGISTERS]; UNITS]; ROWS];
            let mut w = panel.packed.add(unit * panel.unit_bytes);
            for tap in 0..panel.taps {
                let x: [*const u8; ROWS] = from_fn(|r| panel.left.tap(row + r, tap));
                let mut values = [vdupq_n_s8(0); ROWS];
                let mut group = 0;
                while group + GROUPS <= panel.groups {
                    unroll!(r in ROWS, { values[r] = signed(vld1q_u8(x[r].add(group * GROUP))) });
                    add::<0, UNITS, ROWS>(&mut sums, &values, w, panel.unit_bytes);
                    add::<1, UNITS, ROWS>(&mut sums, &values, w.add(GROUP_BYTES), panel.unit_bytes);
                    add::<2, UNITS, ROWS>(&mut sums, &values, w.add(2 * GROUP_BYTES), panel.unit_bytes);
                    add::<3, UNITS, ROWS>(&mut sums, &values, w.add(3 * GROUP_BYTES), panel.unit_bytes);
                    w = w.add(GROUPS * GROUP_BYTES);
                    group += GROUPS;
                }
                while group < panel.groups {
                    unroll!(r in ROWS, { values[r] = signed(four_times(x[r].add(group * GROUP))) });
                    add::<0, UNITS, ROWS>(&mut sums, &values, w, panel.unit_bytes);
                    w = w.add(GROUP_BYTES);
                    group += 1;
                }
            }
            sums
        }
    }
}

/// `x - 128`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn signed(x: uint8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(veorq_u8(x, vdupq_n_u8(0x80)))
}

/// Four bytes, as often as they fill a register.
///
/// # Safety
/// They can be read.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn four_times(from: *const u8) -> uint8x16_t {
    // SAFETY: the caller's.
    vreinterpretq_u8_u32(vdupq_n_u32(unsafe { from.cast::<u32>().read_unaligned() }))
}

/// Adds the products of a group of k: that numbered `GROUP` of the rows' registers.
///
/// # Safety
/// The CPU has the tier; there are 64 bytes of each unit, the first of which begins at `w`.
#[inline(always)]
unsafe fn add<const GROUP: usize, const UNITS: usize, const ROWS: usize>(
    sums: &mut Sums<UNITS, ROWS>,
    values: &[int8x16_t; ROWS],
    w: *const u8,
    unit_bytes: usize,
) {
    unroll!(u in UNITS, {
        unroll!(i in REGISTERS, {
            // SAFETY: the caller's.
            unsafe {
                let weights = vld1q_s8(w.add(u * unit_bytes + i * 16).cast());
                unroll!(r in ROWS, { sums[r][u][i] = dot::<GROUP>(sums[r][u][i], weights, values[r]) });
            }
        });
    });
}

/// In each lane, the products of its four weights with the four values of a group added.
///
/// # Safety
/// The CPU has the tier.
#[inline(always)]
unsafe fn dot<const GROUP: usize>(mut sums: int32x4_t, weights: int8x16_t, values: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's; the instruction touches registers alone.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {weights:v}.16b, {values:v}.4b[{group}]",
            sums = inout(vreg) sums,
            weights = in(vreg) weights,
            values = in(vreg) values,
            group = const GROUP,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
