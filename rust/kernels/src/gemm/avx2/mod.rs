//! The AVX2 tier: vpmaddwd on both sides widened to 16 bits, exact over the whole range of bytes.
//!
//! The weights are widened once for all rows, a block of rows once for all units of a panel, into buffers of their own;
//! where there are few rows, weights are widened where they are multiplied. Past a block of k the sums wait in memory
//! meanwhile. Where it pays, the fast inner product has half the multiplications: see [`multiply_fast`].

mod finish;
mod tiles;
mod widen;
pub(super) mod winograd;

use std::mem::MaybeUninit;
use std::ops::Range;

use super::activations::{Right, pack_source, row_sums_source};
use super::entries::{Joining, Panel, is_fast};
use super::epilogue::{ColumnParams, PANEL};
use super::pack::{GROUP, Packing, UNIT};
use super::tile::{Tile, epilogue, heights};
use crate::simd::{Vector, Ymm};
use tiles::{BYTE_GROUP, ROW_GROUP, Sums, WIDE_GROUP, multiply, multiply_fast};
use widen::{widen_rows, widen_unit};

/// [`ColumnParams::derive`] in vectors.
#[target_feature(enable = "avx2")]
pub(super) fn derive(params: &mut ColumnParams) {
    params.derive();
}

/// [`pack_source`] in vectors.
#[target_feature(enable = "avx2,fma")]
pub(super) fn pack(right: &Right, out: &mut [u8], sums: &mut [i32]) {
    pack_source(Packing::Pairs, right, out, sums);
}

/// [`row_sums_source`] in vectors.
#[target_feature(enable = "avx2,fma")]
pub(super) fn row_sums(data: &[u8], stride: usize, k: usize, factor: i32, sums: &mut [i32]) {
    row_sums_source(data, stride, k, factor, sums);
}

/// Most rows of a tile: 12 sums, 2 registers of weights, one of the left side, one of products.
const ROWS: usize = 6;
/// Most rows of a tile of the fast inner product: 8 sums, 4 registers of weights, 2 of the left side, 2 of their sums.
const FAST_ROWS: usize = 4;
/// Groups of k at a time: 16 KB of a unit's words.
const BLOCK: usize = 128;
/// The same of few rows, which read weights once: long pieces of them come faster from memory.
const FEW_BLOCK: usize = 512;
/// Rows from which it pays to widen the weights beforehand.
const MANY: usize = 8;
/// Rows whose sums can wait at a time.
const WAITING: usize = 96;
/// Bytes of widened rows at a time, which stay in the first cache beside a unit.
const ROWS_BYTES: usize = 1 << 14;

/// Bytes from one widened row to the next: an odd number of lines, so that rows do not meet in one set of a cache.
const fn row_stride(groups: usize) -> usize {
    ((groups * ROW_GROUP).div_ceil(64) | 1) * 64
}

/// Groups of k of a panel. They go on from tap to tap.
fn groups_of_k(panel: &Panel) -> usize {
    (panel.taps * panel.kc).div_ceil(GROUP)
}

/// What a panel of many rows needs beside its sides.
#[repr(C, align(64))]
struct Scratch {
    units: [[u8; BLOCK * WIDE_GROUP]; PANEL / UNIT],
    rows: [u8; ROWS_BYTES],
    behind_rows: [u8; ROW_GROUP],
    sums: [[i32; PANEL]; WAITING],
    row_products: [i32; ROWS_BYTES / 64],
}

/// What a panel of few rows needs.
#[repr(C, align(64))]
struct FewScratch {
    rows: [u8; MANY * row_stride(FEW_BLOCK)],
    behind_rows: [u8; ROW_GROUP],
    sums: [[i32; PANEL]; MANY],
}

/// Rows that have been widened over a block of k.
struct Block<'a> {
    panel: &'a Panel<'a>,
    /// The block's first row among the panel's, and how many there are.
    first: usize,
    count: usize,
    /// The widened rows.
    rows: *const u8,
    stride: usize,
    groups: usize,
    /// Sums of each row that wait, and whether these are where it begins; whether it ends in results or waits again.
    sums: *mut [i32; PANEL],
    resumes: bool,
    ends: bool,
}

/// # Safety
/// The CPU has the tier; the panel's bounds have been checked.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn panel(panel: &Panel) {
    // SAFETY: the caller's.
    unsafe { if panel.m < MANY { few_rows(panel) } else { many_rows(panel) } }
}

/// # Safety
/// As [`panel`], of less than [`MANY`] rows.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn few_rows(panel: &Panel) {
    let mut scratch = MaybeUninit::<FewScratch>::uninit();
    let scratch = scratch.as_mut_ptr();
    let all = groups_of_k(panel);
    // SAFETY: the caller's bounds; the scratch has room for so many rows of a block of k, and for a group behind them.
    unsafe {
        let rows = (&raw mut (*scratch).rows).cast::<u8>();
        let sums = (&raw mut (*scratch).sums).cast::<[i32; PANEL]>();
        if let Some(joining) = panel.joining {
            begin(panel, joining, 0..panel.m, sums);
        }
        for start in (0..all).step_by(FEW_BLOCK) {
            let groups = FEW_BLOCK.min(all - start);
            let stride = row_stride(groups);
            widen_rows::<false>(panel, 0..panel.m, start, groups, (rows, stride), std::ptr::null_mut());
            let resumes = start > 0 || panel.joining.is_some();
            let ends = start + groups == all;
            let block = Block { panel, first: 0, count: panel.m, rows, stride, groups, sums, resumes, ends };
            block.by_pairs::<true>(panel.packed.add(start * BYTE_GROUP), panel.unit_bytes);
        }
    }
}

/// # Safety
/// As [`panel`].
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn many_rows(panel: &Panel) {
    let mut scratch = MaybeUninit::<Scratch>::uninit();
    let scratch = scratch.as_mut_ptr();
    let all = groups_of_k(panel);
    // Where sums wait, the weights are widened again for as many rows as can; else once for all rows.
    let together = if all > BLOCK { WAITING } else { panel.m };
    for first in (0..panel.m).step_by(together) {
        let rows = first..panel.m.min(first + together);
        for start in (0..all).step_by(BLOCK) {
            // SAFETY: the caller's bounds; the rows and the groups are the panel's, and sums of so many rows have room.
            unsafe { rows_by_block(panel, rows.clone(), start..all.min(start + BLOCK), scratch) };
        }
    }
}

/// Adds the products of a block of k to the sums of rows, which wait from the rows' first on where there are more blocks.
///
/// # Safety
/// As [`panel`]; the rows and the groups are the panel's, of the rows at most [`WAITING`] where there are more groups.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn rows_by_block(panel: &Panel, rows: Range<usize>, k: Range<usize>, scratch: *mut Scratch) {
    let (all, groups, units) = (groups_of_k(panel), k.len(), panel.n.div_ceil(UNIT));
    let is_fast = is_fast(panel.m, units, all);
    // SAFETY: the caller's bounds; the scratch has room for all units of a block of k, and for so many rows with a group behind.
    unsafe {
        let mut products = [[Ymm::splat(0); 2]; PANEL / UNIT];
        let buffers = (&raw mut (*scratch).units).cast::<u8>();
        let words = |unit: usize| buffers.add(unit * groups * WIDE_GROUP);
        for unit in 0..units {
            let from = panel.packed.add(unit * panel.unit_bytes + k.start * BYTE_GROUP);
            products[unit] = widen_unit(from, groups, words(unit));
        }
        let (wide, row_products) =
            ((&raw mut (*scratch).rows).cast::<u8>(), (&raw mut (*scratch).row_products).cast::<i32>());
        let stride = row_stride(groups);
        let waits = all > BLOCK;
        let most =
            (ROWS_BYTES / stride).min(if waits || panel.joining.is_some() { WAITING } else { usize::MAX });
        // Whole tiles, but for the last ones.
        let most = most / (FAST_ROWS * ROWS / 2) * (FAST_ROWS * ROWS / 2);
        for first in rows.clone().step_by(most) {
            let count = most.min(rows.end - first);
            let (these, to) = (first..first + count, (wide, stride));
            if is_fast {
                widen_rows::<true>(panel, these, k.start, groups, to, row_products);
            } else {
                widen_rows::<false>(panel, these, k.start, groups, to, row_products);
            }
            let place = if waits { first - rows.start } else { 0 };
            let sums = (&raw mut (*scratch).sums).cast::<[i32; PANEL]>().add(place);
            if k.start == 0
                && let Some(joining) = panel.joining
            {
                begin(panel, joining, first..first + count, sums);
            }
            let resumes = k.start > 0 || panel.joining.is_some();
            let block =
                Block { panel, first, count, rows: wide, stride, groups, sums, resumes, ends: k.end == all };
            if is_fast {
                for unit in 0..units {
                    block.fast(unit, words(unit), products[unit], row_products);
                }
            } else {
                block.by_pairs::<false>(words(0), groups * WIDE_GROUP);
            }
        }
    }
}

impl Block<'_> {
    /// All rows of all units.
    ///
    /// # Safety
    /// The CPU has the tier; what the block holds is the panel's, whose bounds have been checked; the weights are those of the
    /// first unit and the block's groups, in words or, where `BYTES`, as they are packed, the next unit's `unit_bytes` on.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn by_pairs<const BYTES: bool>(&self, weights: *const u8, unit_bytes: usize) {
        for (height, rows) in heights(self.count, ROWS) {
            // SAFETY: the caller's.
            unsafe {
                match height {
                    1 => self.tiles_by_pairs::<1, BYTES>(rows, weights, unit_bytes),
                    2 => self.tiles_by_pairs::<2, BYTES>(rows, weights, unit_bytes),
                    3 => self.tiles_by_pairs::<3, BYTES>(rows, weights, unit_bytes),
                    4 => self.tiles_by_pairs::<4, BYTES>(rows, weights, unit_bytes),
                    5 => self.tiles_by_pairs::<5, BYTES>(rows, weights, unit_bytes),
                    6 => self.tiles_by_pairs::<ROWS, BYTES>(rows, weights, unit_bytes),
                    _ => {}
                }
            }
        }
    }

    /// All rows of a unit by the fast inner product, from the products of the columns and those of the rows.
    ///
    /// # Safety
    /// As [`Block::by_pairs`], of words.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn fast(&self, unit: usize, weights: *const u8, products: [Ymm; 2], of_rows: *const i32) {
        for (height, rows) in heights(self.count, FAST_ROWS) {
            // SAFETY: the caller's.
            unsafe {
                match (height, self.is_half(unit)) {
                    (1, false) => self.tiles_fast::<1, 2>(rows, unit, weights, products, of_rows),
                    (2, false) => self.tiles_fast::<2, 2>(rows, unit, weights, products, of_rows),
                    (3, false) => self.tiles_fast::<3, 2>(rows, unit, weights, products, of_rows),
                    (_, false) => self.tiles_fast::<FAST_ROWS, 2>(rows, unit, weights, products, of_rows),
                    (1, true) => self.tiles_fast::<1, 1>(rows, unit, weights, products, of_rows),
                    (2, true) => self.tiles_fast::<2, 1>(rows, unit, weights, products, of_rows),
                    (3, true) => self.tiles_fast::<3, 1>(rows, unit, weights, products, of_rows),
                    (_, true) => self.tiles_fast::<FAST_ROWS, 1>(rows, unit, weights, products, of_rows),
                }
            }
        }
    }

    /// # Safety
    /// As [`Block::by_pairs`]; the rows are the block's, of tiles of `R`.
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn tiles_by_pairs<const R: usize, const BYTES: bool>(
        &self,
        rows: Range<usize>,
        weights: *const u8,
        unit_bytes: usize,
    ) {
        for row in rows.step_by(R) {
            for unit in 0..self.panel.n.div_ceil(UNIT) {
                // SAFETY: the caller's.
                unsafe {
                    let mut sums = self.begin::<R>(row, unit * UNIT);
                    let (from, weights) = (self.rows.add(row * self.stride), weights.add(unit * unit_bytes));
                    if !BYTES && self.is_half(unit) {
                        multiply::<R, 1, BYTES>(&mut sums, from, self.stride, weights, self.groups);
                    } else {
                        multiply::<R, 2, BYTES>(&mut sums, from, self.stride, weights, self.groups);
                    }
                    self.end(sums, row, unit * UNIT);
                }
            }
        }
    }

    /// Whether the first half of a unit has all of its columns.
    fn is_half(&self, unit: usize) -> bool {
        self.panel.n - unit * UNIT <= UNIT / 2
    }

    /// # Safety
    /// As [`Block::tiles_by_pairs`].
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn tiles_fast<const R: usize, const HALVES: usize>(
        &self,
        rows: Range<usize>,
        unit: usize,
        weights: *const u8,
        products: [Ymm; 2],
        of_rows: *const i32,
    ) {
        for row in rows.step_by(R) {
            // SAFETY: the caller's.
            unsafe {
                let mut sums = self.begin::<R>(row, unit * UNIT);
                for r in 0..R {
                    let of_row = Ymm::splat(*of_rows.add(row + r));
                    for half in 0..2 {
                        sums[r][0][half] = sums[r][0][half].sub(of_row.add(products[half]));
                    }
                }
                let from = self.rows.add(row * self.stride);
                multiply_fast::<R, HALVES>(&mut sums, from, self.stride, weights, self.groups);
                self.end(sums, row, unit * UNIT);
            }
        }
    }

    /// The sums that wait, or what they begin with: the bias and the rows' own.
    ///
    /// # Safety
    /// As [`Block::tile_by_pairs`]; `from` is the first column of a unit.
    #[inline(always)]
    unsafe fn begin<const R: usize>(&self, row: usize, from: usize) -> Sums<R> {
        // SAFETY: the caller's; the parameters and the sums of a row have 16 lanes a unit.
        unsafe {
            if self.resumes {
                return std::array::from_fn(|r| [load((*self.sums.add(row + r)).as_ptr().add(from))]);
            }
            let bias = load(self.panel.columns.bias.as_ptr().add(from));
            let mut sums = [[bias]; R];
            if !self.panel.row_bias.is_empty() {
                for r in 0..R {
                    let number = Ymm::splat(self.panel.row_bias[self.first + row + r]);
                    sums[r][0] = [bias[0].add(number), bias[1].add(number)];
                }
            }
            sums
        }
    }

    /// Lets sums wait, or makes results of them.
    ///
    /// # Safety
    /// As [`Block::begin`].
    #[inline(always)]
    unsafe fn end<const R: usize>(&self, sums: Sums<R>, row: usize, from: usize) {
        // SAFETY: the caller's.
        unsafe {
            if self.ends {
                return epilogue(self.panel, sums, self.first + row, from, UNIT.min(self.panel.n - from));
            }
            for r in 0..R {
                let to = (*self.sums.add(row + r)).as_mut_ptr().add(from);
                for half in 0..2 {
                    sums[r][0][half].store_bytes(to.add(half * Ymm::LANES).cast());
                }
            }
        }
    }
}

/// The 16 lanes of a unit.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn load(from: *const i32) -> [Ymm; 2] {
    // SAFETY: the caller's.
    unsafe { [Ymm::load(from), Ymm::load(from.add(Ymm::LANES))] }
}

/// What the sums of rows begin with where residuals join them. A function of its own, for the registers that it takes
/// would be missed behind the products.
///
/// # Safety
/// As [`panel`]; the rows are the panel's, and there is room for them at `sums`.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn begin(panel: &Panel, joining: Joining, rows: Range<usize>, sums: *mut [i32; PANEL]) {
    let parameters = panel.columns;
    for column in (0..panel.n).step_by(Ymm::LANES) {
        let here = Ymm::LANES.min(panel.n - column);
        // SAFETY: the parameters and a row of `sums` have whole registers of lanes; `here` residuals of each row, from this
        // column on, are the panel's.
        unsafe {
            let bias = Ymm::load(parameters.bias.as_ptr().add(column));
            let scale = parameters.residual_scale::<Ymm>(column);
            for (r, row) in rows.clone().enumerate() {
                let from = joining.data.add(row * joining.stride + column);
                let row_bias = Ymm::splat(panel.row_bias.get(row).copied().unwrap_or(0));
                let first = bias.add(scale.apply(Ymm::widen(from, here))).add(row_bias);
                first.store_bytes((*sums.add(r)).as_mut_ptr().add(column).cast());
            }
        }
    }
}
