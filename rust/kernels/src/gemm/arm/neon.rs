//! NEON: smull and smlal multiply signed bytes to words, sadalp adds the words pairwise to lanes. Two products fit in a
//! word by formula (6) of docs/arithmetic.md, unless a weight is -128: then each is added by itself.
//!
//! A register of weights has 4 columns: k 0 and 1 of each, then k 2 and 3. A row's 4 bytes are laid out as often by one
//! table lookup, from a register that holds 16 of them.

use std::arch::aarch64::*;
use std::array::from_fn;

use super::dotprod::{four_times, signed};
use super::{Multiply, REGISTERS, Sums, panel, tile};
use crate::gemm::entries::Panel;
use crate::gemm::pack::{GROUP, GROUP_BYTES, Packing, UNIT};
use crate::gemm::tile::heights;
use crate::unroll::unroll;

/// Groups of a register of a row.
const GROUPS: usize = 4;

panel!(Neon, "neon", 4: 1 by 2 2 by 2 3 by 1 4 by 1);

/// smull, smlal and sadalp.
pub(in crate::gemm) struct Neon;

impl Multiply for Neon {
    const PACKING: Packing = Packing::HalvesAndSums;

    #[inline(always)]
    unsafe fn products<const UNITS: usize, const ROWS: usize>(
        panel: &Panel,
        row: usize,
        unit: usize,
    ) -> Sums<UNITS, ROWS> {
        // SAFETY: the caller's; a flag of each unit stands behind its sums.
        unsafe {
            let flag = |u: usize| *panel.packed.add((unit + u + 1) * panel.unit_bytes - 1) != 0;
            if (0..UNITS).any(flag) {
                one_by_one::<UNITS, ROWS>(panel, row, unit)
            } else {
                products::<UNITS, ROWS, false>(panel, row, unit)
            }
        }
    }
}

/// [`products`] by weights of which one is -128. Only models that others have quantized have such.
///
/// # Safety
/// As [`products`].
#[inline(never)]
#[target_feature(enable = "neon")]
unsafe fn one_by_one<const UNITS: usize, const ROWS: usize>(
    panel: &Panel,
    row: usize,
    unit: usize,
) -> Sums<UNITS, ROWS> {
    // SAFETY: the caller's.
    unsafe { products::<UNITS, ROWS, true>(panel, row, unit) }
}

/// [`Multiply::products`]. `ONE`: each product is added by itself.
///
/// # Safety
/// As it says; without `ONE`, no weight is -128.
#[inline(always)]
unsafe fn products<const UNITS: usize, const ROWS: usize, const ONE: bool>(
    panel: &Panel,
    row: usize,
    unit: usize,
) -> Sums<UNITS, ROWS> {
    // SAFETY: the caller's: a tap has `groups` groups of 4 readable bytes; a unit has as many groups of 64 bytes a tap.
    unsafe {
        let mut sums = [[[vdupq_n_s32(0); REGISTERS]; UNITS]; ROWS];
        let places: [uint8x16_t; GROUPS] = from_fn(|group| vld1q_u8(PLACES[group].as_ptr()));
        let mut w = panel.packed.add(unit * panel.unit_bytes);
        for tap in 0..panel.taps {
            let x: [*const u8; ROWS] = from_fn(|r| panel.left.tap(row + r, tap));
            let mut values = [vdupq_n_s8(0); ROWS];
            let mut group = 0;
            while group + GROUPS <= panel.groups {
                unroll!(r in ROWS, { values[r] = signed(vld1q_u8(x[r].add(group * GROUP))) });
                unroll!(g in GROUPS, {
                    add::<UNITS, ROWS, ONE>(&mut sums, &values, places[g], w, panel.unit_bytes);
                    w = w.add(GROUP_BYTES);
                });
                group += GROUPS;
            }
            while group < panel.groups {
                unroll!(r in ROWS, { values[r] = signed(four_times(x[r].add(group * GROUP))) });
                add::<UNITS, ROWS, ONE>(&mut sums, &values, places[0], w, panel.unit_bytes);
                w = w.add(GROUP_BYTES);
                group += 1;
            }
        }
        sums
    }
}

/// Where the bytes of a group lie: the first two four times, then the others.
static PLACES: [[u8; 16]; GROUPS] = [places(0), places(4), places(8), places(12)];

const fn places(first: u8) -> [u8; 16] {
    let mut places = [0; 16];
    let mut i = 0;
    while i < 16 {
        places[i as usize] = first + i % 2 + i / 8 * 2;
        i += 1;
    }
    places
}

/// Adds the products of a group of k, whose bytes are at these places of the rows' registers.
///
/// # Safety
/// As [`products`]; there are 64 bytes of each unit, the first of which begins at `w`.
#[inline(always)]
unsafe fn add<const UNITS: usize, const ROWS: usize, const ONE: bool>(
    sums: &mut Sums<UNITS, ROWS>,
    values: &[int8x16_t; ROWS],
    places: uint8x16_t,
    w: *const u8,
    unit_bytes: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut laid_out = *values;
        unroll!(r in ROWS, { laid_out[r] = vqtbl1q_s8(values[r], places) });
        unroll!(u in UNITS, {
            unroll!(i in REGISTERS, {
                let weights = vld1q_s8(w.add(u * unit_bytes + i * 16).cast());
                unroll!(r in ROWS, {
                    let first = vmull_s8(vget_low_s8(laid_out[r]), vget_low_s8(weights));
                    sums[r][u][i] = if ONE {
                        let second = vmull_high_s8(laid_out[r], weights);
                        vpadalq_s16(vpadalq_s16(sums[r][u][i], first), second)
                    } else {
                        vpadalq_s16(sums[r][u][i], vmlal_high_s8(first, laid_out[r], weights))
                    };
                });
            });
        });
    }
}
