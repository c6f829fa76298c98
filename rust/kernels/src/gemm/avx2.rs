//! The AVX2 tier: vpmaddwd on both sides widened to 16 bits, exact over the whole range of bytes.
//!
//! The weights are packed wide. A block of rows is widened once for all units of a panel into a buffer of its own, from
//! which a pair of k is broadcast by one load. Past [`BLOCK`] groups of k the accumulators wait in memory meanwhile.

use std::arch::x86_64::*;
use std::ops::Range;

use super::activations::{Right, pack_source, row_sums_source};
use super::entries::{Joining, Panel};
use super::epilogue::{ColumnParams, FloatsByRow, PANEL, Target, finish};
use super::pack::{GROUP, Packing, UNIT};
use super::tile::{self, Tile, epilogue, multiply_add};
use crate::simd::{Vector, Ymm};

/// [`ColumnParams::derive`] in vectors.
#[target_feature(enable = "avx2")]
pub(super) fn derive(params: &mut ColumnParams) {
    params.derive();
}

/// [`pack_source`] in vectors.
#[target_feature(enable = "avx2,fma")]
pub(super) fn pack(right: &Right, out: &mut [u8], sums: &mut [i32]) {
    pack_source::<true>(right, out, sums);
}

/// [`row_sums_source`] in vectors.
#[target_feature(enable = "avx2,fma")]
pub(super) fn row_sums(data: &[u8], stride: usize, k: usize, factor: i32, sums: &mut [i32]) {
    row_sums_source(data, stride, k, factor, sums);
}

/// Rows of a tile: 12 accumulators, 2 registers of weights, one of the left side, one of products.
const ROWS: usize = 6;
/// Groups of 4 k that are widened at a time: 12 KB of rows.
const BLOCK: usize = 256;

/// Rows widened to 16 bits, and their accumulators between blocks of k.
#[repr(C, align(64))]
struct Scratch {
    wide: [[u16; BLOCK * GROUP]; ROWS],
    acc: [[i32; PANEL]; ROWS],
}

/// # Safety
/// The CPU has the tier; the panel's bounds have been checked.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn panel(panel: &Panel) {
    let mut scratch = Scratch { wide: [[0; BLOCK * GROUP]; ROWS], acc: [[0; PANEL]; ROWS] };
    // Blocks of even height, so that none is short.
    let blocks = panel.m.div_ceil(ROWS);
    let mut row = 0;
    for left in (1..=blocks).rev() {
        let height = (panel.m - row).div_ceil(left);
        // SAFETY: the caller's bounds; the rows are the panel's.
        unsafe {
            match height {
                1 => rows::<1>(panel, row, &mut scratch),
                2 => rows::<2>(panel, row, &mut scratch),
                3 => rows::<3>(panel, row, &mut scratch),
                4 => rows::<4>(panel, row, &mut scratch),
                5 => rows::<5>(panel, row, &mut scratch),
                _ => rows::<ROWS>(panel, row, &mut scratch),
            }
        }
        row += height;
    }
}

/// Computes `R` rows of all units.
///
/// # Safety
/// As [`panel`]; `row + R <= m`.
#[target_feature(enable = "avx2,fma")]
unsafe fn rows<const R: usize>(panel: &Panel, row: usize, scratch: &mut Scratch) {
    let all = panel.taps * panel.groups;
    if let Some(joining) = panel.joining {
        // SAFETY: the caller's bounds.
        unsafe { begin::<R>(panel, joining, row, &mut scratch.acc) };
    }
    for start in (0..all).step_by(BLOCK) {
        let len = BLOCK.min(all - start);
        for r in 0..R {
            // SAFETY: the caller's bounds, and start + len <= all.
            unsafe { widen(panel, row + r, start, len, &mut scratch.wide[r]) };
        }
        let rows: [*const u8; R] = std::array::from_fn(|r| scratch.wide[r].as_ptr().cast());
        for unit in 0..panel.n.div_ceil(UNIT) {
            let from = unit * UNIT;
            // SAFETY: a unit has `all` groups, each two pairs of k, which are 64 bytes of weights and 4 of a row; the
            // parameters and a row of `acc` have 16 lanes a unit.
            unsafe {
                let mut w =
                    panel.packed.add(unit * panel.unit_bytes + start * Packing::WidePairs.group_bytes());
                let mut acc = if start == 0 && panel.joining.is_none() {
                    first(panel, row, from)
                } else {
                    std::array::from_fn(|r| [load(scratch.acc[r][from..].as_ptr())])
                };
                for pair in 0..2 * len {
                    multiply_add(&mut acc, &rows, 4 * pair, w, 0);
                    w = w.add(64);
                }
                if start + len < all {
                    for r in 0..R {
                        save(&acc[r][0], scratch.acc[r][from..].as_mut_ptr());
                    }
                } else {
                    epilogue(panel, acc, row, from, UNIT.min(panel.n - from));
                }
            }
        }
    }
}

/// What the sums of `R` rows begin with where residuals join them. A function of its own, for the registers that it takes
/// would be missed behind the products.
///
/// # Safety
/// As [`rows`].
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn begin<const R: usize>(panel: &Panel, joining: Joining, row: usize, acc: &mut [[i32; PANEL]; ROWS]) {
    let parameters = panel.columns;
    for column in (0..panel.n).step_by(Ymm::LANES) {
        let here = Ymm::LANES.min(panel.n - column);
        // SAFETY: the parameters and a row of `acc` have whole registers of lanes; `here` residuals of each row, from this
        // column on, are the panel's.
        unsafe {
            let bias = Ymm::load(parameters.bias.as_ptr().add(column));
            let scale = parameters.residual_scale::<Ymm>(column);
            for r in 0..R {
                let from = joining.data.add((row + r) * joining.stride + column);
                let sums = bias.add(scale.apply(widened(from, here)));
                let row_bias = Ymm::splat(panel.row_bias.get(row + r).copied().unwrap_or(0));
                sums.add(row_bias).store_bytes(acc[r].as_mut_ptr().add(column).cast());
            }
        }
    }
}

/// The first `n` bytes as lanes, at most as many as there are.
///
/// # Safety
/// They are readable.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn widened(from: *const u8, n: usize) -> Ymm {
    // SAFETY: the caller's.
    unsafe {
        if n == Ymm::LANES {
            return Ymm(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())));
        }
        let mut bytes = [0; Ymm::LANES];
        copy_short(from, bytes.as_mut_ptr(), n);
        Ymm(_mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.as_ptr().cast())))
    }
}

/// What the sums of `R` rows begin with.
///
/// # Safety
/// As [`rows`]; `from` is the first column of a unit.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn first<const R: usize>(panel: &Panel, row: usize, from: usize) -> Accumulators<R> {
    // SAFETY: the caller's; the parameters have 16 lanes a unit.
    unsafe {
        let bias = load(panel.columns.bias[from..].as_ptr());
        std::array::from_fn(|r| [plus(bias, panel.row_bias.get(row + r))])
    }
}

/// Widens `len` groups of 4 bytes of a row, from its group `start` on.
///
/// # Safety
/// As [`panel`]; the groups are the row's.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn widen(panel: &Panel, row: usize, start: usize, len: usize, wide: &mut [u16; BLOCK * GROUP]) {
    let (mut tap, mut group) = (start / panel.groups, start % panel.groups);
    let mut done = 0;
    while done < len {
        let groups = (panel.groups - group).min(len - done);
        // SAFETY: a tap has `groups` groups of 4 readable bytes, and `wide` room for `len` groups.
        unsafe {
            let from = panel.left.tap(row, tap).add(group * GROUP);
            let to = wide.as_mut_ptr().add(done * GROUP);
            let mut g = 0;
            while g + 4 <= groups {
                let bytes = _mm_loadu_si128(from.add(g * GROUP).cast());
                _mm256_storeu_si256(to.add(g * GROUP).cast(), _mm256_cvtepu8_epi16(bytes));
                g += 4;
            }
            while g < groups {
                let bytes = _mm_cvtsi32_si128(from.add(g * GROUP).cast::<i32>().read_unaligned());
                _mm_storel_epi64(to.add(g * GROUP).cast(), _mm_cvtepu8_epi16(bytes));
                g += 1;
            }
        }
        done += groups;
        (tap, group) = (tap + 1, 0);
    }
}

/// 16 accumulators.
type Sixteen = [Ymm; 2];
/// The sums of `R` rows of a unit.
type Accumulators<const R: usize> = tile::Accumulators<Ymm, 2, 1, R>;

/// 16 accumulators plus one number, if there is one.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn plus(x: Sixteen, number: Option<&i32>) -> Sixteen {
    // SAFETY: the function has the tier's features.
    number.map_or(x, |&number| unsafe { x.map(|half| half.add(Ymm::splat(number))) })
}

/// # Safety
/// 16 values are readable.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn load(from: *const i32) -> Sixteen {
    // SAFETY: the caller's.
    unsafe { [Ymm::load(from), Ymm::load(from.add(Ymm::LANES))] }
}

/// # Safety
/// 16 values are writable.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn save(x: &Sixteen, to: *mut i32) {
    // SAFETY: the caller's.
    unsafe {
        x[0].store_bytes(to.cast());
        x[1].store_bytes(to.add(Ymm::LANES).cast());
    }
}

impl Tile for Ymm {
    #[inline(always)]
    unsafe fn gather<const UNITS: usize>(data: *const u8, stride: usize, rows: usize, n: usize) -> Ymm {
        // SAFETY: the caller's; rows beyond the last are not read, nor bytes beyond n.
        unsafe {
            let second = data.add((rows - 1) * stride);
            if n == UNIT {
                return Ymm(_mm256_set_m128i(_mm_loadu_si128(second.cast()), _mm_loadu_si128(data.cast())));
            }
            let mut bytes = [0; 2 * UNIT];
            copy_short(data, bytes.as_mut_ptr(), n);
            copy_short(second, bytes[UNIT..].as_mut_ptr(), n);
            Ymm::load_bytes(bytes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn scatter<const UNITS: usize>(self, data: *mut u8, stride: usize, rows: usize, n: usize) {
        // SAFETY: the caller's.
        unsafe {
            if n == UNIT {
                _mm_storeu_si128(data.cast(), _mm256_castsi256_si128(self.0));
                if rows > 1 {
                    _mm_storeu_si128(data.add(stride).cast(), _mm256_extracti128_si256::<1>(self.0));
                }
                return;
            }
            let mut bytes = [0; 2 * UNIT];
            self.store_bytes(bytes.as_mut_ptr());
            for r in 0..rows {
                copy_short(bytes[r * UNIT..].as_ptr(), data.add(r * stride), n);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_words(unit: &[Ymm], lo: i16, hi: i16, to: *mut i16, n: usize) {
        // SAFETY: the caller's; words beyond n are not written.
        unsafe {
            let words = unit[0].pack_words(unit[1]).0;
            let words =
                _mm256_min_epi16(_mm256_max_epi16(words, _mm256_set1_epi16(lo)), _mm256_set1_epi16(hi));
            // A pack works in each 128 bits by itself.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            if n == UNIT {
                return _mm256_storeu_si256(to.cast(), words);
            }
            let mut made = [0i16; UNIT];
            _mm256_storeu_si256(made.as_mut_ptr().cast(), words);
            made.as_ptr().copy_to_nonoverlapping(to, n);
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

/// Copies `n < 16` bytes, in the pieces of which `n` is the sum.
///
/// # Safety
/// They are readable and writable.
#[inline(never)]
unsafe fn copy_short(from: *const u8, to: *mut u8, n: usize) {
    let mut at = 0;
    // SAFETY: the caller's; the pieces end at n.
    unsafe {
        if n & 8 != 0 {
            to.cast::<[u8; 8]>().write(from.cast::<[u8; 8]>().read());
            at += 8;
        }
        if n & 4 != 0 {
            to.add(at).cast::<[u8; 4]>().write(from.add(at).cast::<[u8; 4]>().read());
            at += 4;
        }
        for i in at..n {
            to.add(i).write(from.add(i).read());
        }
    }
}

/// [`Tile::finish`].
///
/// # Safety
/// As it says.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn spilled(panel: &Panel, row: usize, rows: usize, from: usize, n: usize, acc: *const i32, ld: usize) {
    // SAFETY: the caller's.
    unsafe {
        match &panel.target {
            Target::F32ByRow(by) => by_row(by, row, rows, from..from + n, acc, ld),
            target => finish(target, panel.columns, row, rows, from..from + n, acc, ld),
        }
    }
}

/// [`FloatsByRow::finish`], apart: beside it the loops of [`finish`] came out slower.
///
/// # Safety
/// As it says.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn by_row(
    by: &FloatsByRow,
    row: usize,
    rows: usize,
    columns: Range<usize>,
    acc: *const i32,
    ld: usize,
) {
    // SAFETY: the caller's.
    unsafe { by.finish(row, rows, columns, acc, ld) }
}
