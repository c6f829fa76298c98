//! The AVX512-VNNI tier: vpdpbusd (never its saturating form) on 512-bit registers, 16 columns a register.
//!
//! A tile holds `ROWS x UNITS` accumulators and, for each group of 4 k, the group of each unit; a row's 4 bytes are
//! broadcast by the load. Tiles are as tall as 32 registers allow. The left side is unsigned and so must be the
//! instruction's register operand: the broadcast cannot be folded into vpdpbusd.

mod even;
pub(super) mod winograd;

use std::arch::x86_64::*;
use std::array::from_fn;

use super::activations::{Right, pack_source, row_sums_source};
use super::entries::{Joining, Panel};
use super::epilogue::ColumnParams;
use super::pack::{GROUP, Packing, UNIT};
use super::tile::{self, Tile, epilogue, finish_in_vectors, heights, multiply_add};
use crate::simd::{Vector, Zmm};

/// [`ColumnParams::derive`] in vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub(super) fn derive(params: &mut ColumnParams) {
    params.derive();
}

/// [`pack_source`] in vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub(super) fn pack(right: &Right, out: &mut [u8], sums: &mut [i32]) {
    pack_source(Packing::Fours, right, out, sums);
}

/// [`row_sums_source`] in vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub(super) fn row_sums(data: &[u8], stride: usize, k: usize, factor: i32, sums: &mut [i32]) {
    row_sums_source(data, stride, k, factor, sums);
}

/// Defines a panel function: blocks of at most `$most` rows, as even as can be, so that no block is short. Those of
/// one height follow each other.
macro_rules! panel {
    ($name:ident, $units:literal, $most:literal, $($rows:literal)*) => {
        /// # Safety
        /// The CPU has the tier; the panel's bounds have been checked.
        pub(super) unsafe fn $name(panel: &Panel) {
            for (height, rows) in heights(panel.m, $most) {
                if !rows.is_empty() {
                    // SAFETY: the caller's; the two ranges are whole numbers of blocks of their height.
                    unsafe {
                        match height {
                            $($rows => tile::<$units, $rows>(panel, rows.start, rows.end),)*
                            _ => unreachable!("a block of {height} rows"),
                        }
                    }
                }
            }
        }
    };
}
panel!(panel_1, 1, 16, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
panel!(panel_2, 2, 12, 1 2 3 4 5 6 7 8 9 10 11 12);
panel!(panel_3, 3, 8, 1 2 3 4 5 6 7 8);
panel!(panel_4, 4, 6, 1 2 3 4 5 6);

type Accumulators<const UNITS: usize, const ROWS: usize> = tile::Accumulators<Zmm, 1, UNITS, ROWS>;

/// Computes the rows `from..to`, `ROWS` at a time.
///
/// # Safety
/// The CPU has the tier; `from..to` is a whole number of blocks of the panel's rows, the panel's bounds have been
/// checked, and it has `UNITS` units.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
unsafe fn tile<const UNITS: usize, const ROWS: usize>(panel: &Panel, from: usize, to: usize) {
    for row in (from..to).step_by(ROWS) {
        // SAFETY: the caller's bounds.
        unsafe {
            epilogue(panel, accumulate::<UNITS, ROWS>(panel, row), row, 0, panel.n);
        }
    }
}

/// The sums of `ROWS` rows, bias and residuals included.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn accumulate<const UNITS: usize, const ROWS: usize>(
    panel: &Panel,
    row: usize,
) -> Accumulators<UNITS, ROWS> {
    // SAFETY: the parameters have 16 lanes a unit; each unit has taps * groups groups of 64 bytes; each tap of a row has
    // `groups` groups of 4 bytes.
    unsafe {
        let bias: [[Zmm; 1]; UNITS] = from_fn(|u| [Zmm::load(panel.columns.bias.as_ptr().add(u * UNIT))]);
        let mut acc = [bias; ROWS];
        if let Some(joining) = panel.joining {
            add_residuals(panel, joining, row, &mut acc);
        }
        if UNITS == 1
            && ROWS == even::ROWS
            && panel.row_bias.is_empty()
            && let Some(stride) = panel.left.spacing(row, ROWS)
        {
            for tap in 0..panel.taps {
                let w = panel.packed.add(tap * panel.groups * UNIT * GROUP);
                even::multiply(
                    &mut *acc.as_mut_ptr().cast(),
                    panel.left.tap(row, tap),
                    stride,
                    w,
                    panel.groups,
                );
            }
            return acc;
        }
        let mut odd = [[[Zmm::splat(0)]; UNITS]; ROWS];
        let mut w = panel.packed;
        // Each of the first UNITS blocks fetches its part of the next panel, a line for each group of its own: weights
        // that an inference reads once come from beyond the second cache.
        let fetching = panel.followed && UNITS >= 3 && row < UNITS * ROWS;
        let step = if fetching { UNIT * GROUP } else { 0 };
        let mut ahead = panel.packed.wrapping_add((UNITS + row / ROWS) * panel.unit_bytes);
        for tap in 0..panel.taps {
            let a: [*const u8; ROWS] = from_fn(|r| panel.left.tap(row + r, tap));
            let mut group = 0;
            if ROWS == 1 {
                // One row has a chain of sums a unit, each of which waits for itself: every other group has its own.
                while group + 2 <= panel.groups {
                    multiply_add(&mut acc, &a, group * GROUP, w, panel.unit_bytes);
                    multiply_add(&mut odd, &a, (group + 1) * GROUP, w.add(UNIT * GROUP), panel.unit_bytes);
                    if UNITS >= 3 {
                        _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                        _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(step).cast());
                        ahead = ahead.wrapping_add(2 * step);
                    }
                    w = w.add(2 * UNIT * GROUP);
                    group += 2;
                }
            }
            while group < panel.groups {
                multiply_add(&mut acc, &a, group * GROUP, w, panel.unit_bytes);
                if UNITS >= 3 {
                    _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                    ahead = ahead.wrapping_add(step);
                }
                w = w.add(UNIT * GROUP);
                group += 1;
            }
        }
        if ROWS == 1 {
            for u in 0..UNITS {
                acc[0][u][0] = acc[0][u][0].add(odd[0][u][0]);
            }
        }
        if let Some(row_bias) = panel.row_bias.get(row..row + ROWS) {
            for r in 0..ROWS {
                for u in 0..UNITS {
                    acc[r][u][0] = acc[r][u][0].add(Zmm::splat(row_bias[r]));
                }
            }
        }
        acc
    }
}

/// Adds the residuals that join the sums: before the products, for then registers are free.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn add_residuals<const UNITS: usize, const ROWS: usize>(
    panel: &Panel,
    joining: Joining,
    row: usize,
    acc: &mut Accumulators<UNITS, ROWS>,
) {
    for u in 0..UNITS {
        let column = u * UNIT;
        let here = UNIT.min(panel.n - column);
        // SAFETY: the parameters have 16 lanes a unit; `here` residuals of each row from the column on are the panel's.
        unsafe {
            let scale = panel.columns.residual_scale::<Zmm>(column);
            for r in 0..ROWS {
                let from = joining.data.add((row + r) * joining.stride + column);
                let residuals = Zmm::widen(from, here);
                acc[r][u][0] = acc[r][u][0].add(scale.apply(residuals));
            }
        }
    }
}

impl Tile for Zmm {
    #[inline(always)]
    unsafe fn widen(from: *const u8, n: usize) -> Zmm {
        let mask = (0xffff_u32 >> (UNIT - n)) as u16;
        // SAFETY: the caller's; bytes beyond n are not read.
        unsafe { Zmm(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, from.cast()))) }
    }

    #[inline(always)]
    unsafe fn gather<const UNITS: usize>(data: *const u8, stride: usize, rows: usize, n: usize) -> Zmm {
        let mask = u64::MAX >> (64 - n);
        // SAFETY: the caller's; rows beyond the last are not read, nor bytes beyond n.
        unsafe {
            let row = |r: usize| data.add(r.min(rows - 1) * stride).cast::<i8>();
            Zmm(match UNITS {
                1 => {
                    let quarter = |r| _mm_maskz_loadu_epi8(mask as u16, row(r));
                    let low = _mm256_set_m128i(quarter(1), quarter(0));
                    let high = _mm256_set_m128i(quarter(3), quarter(2));
                    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
                }
                2 => {
                    let half = |r| _mm256_maskz_loadu_epi8(mask as u32, row(r));
                    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(half(0)), half(1))
                }
                _ => _mm512_maskz_loadu_epi8(mask, row(0)),
            })
        }
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, n: usize) -> Zmm {
        let mask = (0xffff_u32 >> (UNIT - n)) as u16;
        // SAFETY: the caller's; lanes from n on are not read.
        unsafe { Zmm(_mm512_maskz_loadu_epi32(mask, from.cast())) }
    }

    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, n: usize) {
        let mask = (0xffff_u32 >> (UNIT - n)) as u16;
        // SAFETY: the caller's; lanes from n on are not written.
        unsafe { _mm512_mask_storeu_epi32(to.cast(), mask, self.0) }
    }

    #[inline(always)]
    unsafe fn scatter<const UNITS: usize>(self, data: *mut u8, stride: usize, rows: usize, n: usize) {
        let mask = u64::MAX >> (64 - n);
        // SAFETY: the caller's; rows beyond the last are not written, nor bytes beyond n.
        unsafe {
            let row = |r: usize| data.add(r * stride).cast::<i8>();
            match UNITS {
                1 => {
                    for r in 0..rows {
                        _mm_mask_storeu_epi8(row(r), mask as u16, self.quarter(r));
                    }
                }
                2 => {
                    _mm256_mask_storeu_epi8(row(0), mask as u32, _mm512_castsi512_si256(self.0));
                    if rows > 1 {
                        let upper = _mm512_extracti64x4_epi64::<1>(self.0);
                        _mm256_mask_storeu_epi8(row(1), mask as u32, upper);
                    }
                }
                _ => _mm512_mask_storeu_epi8(row(0), mask, self.0),
            }
        }
    }

    #[inline(always)]
    unsafe fn store_words(unit: &[Zmm], lo: i16, hi: i16, to: *mut i16, n: usize) {
        // SAFETY: the caller's; words beyond n are not written.
        unsafe {
            let words = _mm512_cvtsepi32_epi16(unit[0].0);
            let words =
                _mm256_min_epi16(_mm256_max_epi16(words, _mm256_set1_epi16(lo)), _mm256_set1_epi16(hi));
            _mm256_mask_storeu_epi16(to, (0xffff_u32 >> (UNIT - n)) as u16, words);
        }
    }

    #[inline(always)]
    unsafe fn finish(
        panel: &Panel,
        row: usize,
        rows: usize,
        from: usize,
        n: usize,
        acc: *const i32,
        ld: usize,
    ) {
        // SAFETY: the caller's.
        unsafe { spilled(panel, row, rows, from, n, acc, ld) }
    }
}

/// [`Tile::finish`].
///
/// # Safety
/// As it says.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
unsafe fn spilled(panel: &Panel, row: usize, rows: usize, from: usize, n: usize, acc: *const i32, ld: usize) {
    // SAFETY: the caller's.
    unsafe { finish_in_vectors::<Zmm>(panel, row, rows, from..from + n, acc, ld) }
}
