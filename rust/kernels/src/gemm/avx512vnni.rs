//! The AVX512-VNNI tier: vpdpbusd (never its saturating form) on 512-bit registers, 16 columns a register.
//!
//! A tile holds `ROWS x UNITS` accumulators and, for each group of 4 k, the group of each unit; a row's 4 bytes are
//! broadcast by the load. Tiles are as tall as 32 registers allow. The left side is unsigned and so must be the
//! instruction's register operand: the broadcast cannot be folded into vpdpbusd.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::activations::{Right, pack_source, row_sums_source};
use super::entries::Panel;
use super::epilogue::{Addend, ColumnParams, Quantize, Target, finish};
use super::pack::{GROUP, UNIT};
use crate::requantize::{Clamp, HighScale, VectorAdd};
use crate::simd::{Vector, Zmm};

/// [`ColumnParams::derive`] in vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub(super) fn derive(params: &mut ColumnParams) {
    params.derive();
}

/// [`pack_source`] in vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub(super) fn pack(right: &Right, out: &mut [u8], sums: &mut [i32]) {
    pack_source::<false>(right, out, sums);
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
            let blocks = panel.m.div_ceil($most);
            let (low, taller) = (panel.m / blocks, panel.m % blocks);
            let split = taller * (low + 1);
            for (height, from, to) in [(low + 1, 0, split), (low, split, panel.m)] {
                if from < to {
                    // SAFETY: the caller's; the two ranges are whole numbers of blocks of their height.
                    unsafe {
                        match height {
                            $($rows => tile::<$units, $rows>(panel, from, to),)*
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

/// Runs a block for `$i` in `0..$n` as straight code: a loop that the compiler leaves rolled would keep the
/// accumulators in memory. `$n` is at most 16.
macro_rules! unroll {
    ($i:ident in $n:expr, $body:block) => { unroll!(@ $i, $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15) };
    (@ $i:ident, $n:expr, $body:block, $($k:literal)*) => { $(if $k < $n { let $i = $k; $body })* };
}

type Accumulators<const UNITS: usize, const ROWS: usize> = [[__m512i; UNITS]; ROWS];

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
            let mut acc = accumulate::<UNITS, ROWS>(panel, row);
            match &panel.target {
                Target::U8 { data, stride, quantize, residual } if quantize.high => {
                    scale(panel, &mut acc);
                    store(panel, &acc, data.add(row * stride), *stride, quantize, residual.as_ref(), row);
                }
                _ => spill(panel, &acc, row),
            }
        }
    }
}

/// The sums of `ROWS` rows, bias included.
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
        let bias: [__m512i; UNITS] =
            from_fn(|u| _mm512_loadu_si512(panel.columns.bias.as_ptr().add(u * UNIT).cast()));
        let mut acc = [bias; ROWS];
        let mut odd = [[_mm512_setzero_si512(); UNITS]; ROWS];
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
                    multiply_add(&mut acc, &a, group, w, panel.unit_bytes);
                    multiply_add(&mut odd, &a, group + 1, w.add(UNIT * GROUP), panel.unit_bytes);
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
                multiply_add(&mut acc, &a, group, w, panel.unit_bytes);
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
                acc[0][u] = _mm512_add_epi32(acc[0][u], odd[0][u]);
            }
        }
        if let Some(row_bias) = panel.row_bias.get(row..row + ROWS) {
            for r in 0..ROWS {
                for u in 0..UNITS {
                    acc[r][u] = _mm512_add_epi32(acc[r][u], _mm512_set1_epi32(row_bias[r]));
                }
            }
        }
        acc
    }
}

/// Adds the products of one group of 4 k.
///
/// # Safety
/// The CPU has the tier; each row has the group's 4 bytes, each unit 64 bytes at its place from `w` on.
#[inline(always)]
unsafe fn multiply_add<const UNITS: usize, const ROWS: usize>(
    acc: &mut Accumulators<UNITS, ROWS>,
    rows: &[*const u8; ROWS],
    group: usize,
    w: *const u8,
    unit_bytes: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let b: [__m512i; UNITS] = from_fn(|u| _mm512_loadu_si512(w.add(u * unit_bytes).cast()));
        for r in 0..ROWS {
            let x = _mm512_set1_epi32(rows[r].add(group * GROUP).cast::<i32>().read_unaligned());
            for u in 0..UNITS {
                acc[r][u] = _mm512_dpbusd_epi32(acc[r][u], x, b[u]);
            }
        }
    }
}

/// The sums scaled and rounded, every shift at least 33.
///
/// # Safety
/// The CPU has the tier.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn scale<const UNITS: usize, const ROWS: usize>(panel: &Panel, acc: &mut Accumulators<UNITS, ROWS>) {
    unroll!(u in UNITS, {
        // SAFETY: the caller's; a panel has UNITS units of columns.
        unsafe {
            let scale: HighScale<Zmm> = panel.columns.high_scale(u * UNIT);
            unroll!(r in ROWS, { acc[r][u] = scale.apply(Zmm(acc[r][u])).0 });
        }
    });
}

/// Adds the zero point, clamps, adds the residual and stores. Four registers at a time become one of bytes: the four
/// units of a row, two rows of two units, or four rows of one.
///
/// # Safety
/// As [`tile`]; `data` is the first row of the block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn store<const UNITS: usize, const ROWS: usize>(
    panel: &Panel,
    acc: &Accumulators<UNITS, ROWS>,
    data: *mut u8,
    stride: usize,
    quantize: &Quantize,
    residual: Option<&Addend>,
    row: usize,
) {
    let together = 4 / UNITS;
    let mask = u64::MAX >> (64 - panel.n);
    // SAFETY: the caller's bounds; the masks keep every access inside the panel's columns.
    unsafe {
        let clamp = Clamp::<Zmm>::new(quantize.zero_point, quantize.lo, quantize.hi);
        unroll!(step in ROWS.div_ceil(4 / UNITS), {
            let first = step * together;
            let at = |i: usize| Zmm(acc[(first + i / UNITS).min(ROWS - 1)][i % UNITS]);
            let quad = if UNITS == 3 { [at(0), at(1), at(2), at(2)] } else { [at(0), at(1), at(2), at(3)] };
            let mut bytes = clamp.bytes(quad).in_order();
            if let Some(residual) = residual {
                let from = residual.data.add((row + first) * residual.stride);
                let b = gather::<UNITS>(from, residual.stride, (ROWS - first).min(together), mask);
                bytes = VectorAdd::new(&residual.add).apply(bytes, Zmm(b));
            }
            scatter::<UNITS>(bytes.0, data.add(first * stride), stride, (ROWS - first).min(together), mask);
        });
    }
}

/// Loads up to `4 / UNITS` rows of `UNITS * 16` bytes into one register.
///
/// # Safety
/// The masked bytes of `rows` rows are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn gather<const UNITS: usize>(data: *const u8, stride: usize, rows: usize, mask: u64) -> __m512i {
    // SAFETY: the caller's; rows beyond the last are not read.
    unsafe {
        let row = |r: usize| data.add(r.min(rows - 1) * stride).cast::<i8>();
        match UNITS {
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
        }
    }
}

/// Stores what [`gather`] loads.
///
/// # Safety
/// The masked bytes of `rows` rows are writable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn scatter<const UNITS: usize>(x: __m512i, data: *mut u8, stride: usize, rows: usize, mask: u64) {
    // SAFETY: the caller's; rows beyond the last are not written.
    unsafe {
        let row = |r: usize| data.add(r * stride).cast::<i8>();
        match UNITS {
            1 => {
                let quarters = [
                    _mm512_castsi512_si128(x),
                    _mm512_extracti32x4_epi32::<1>(x),
                    _mm512_extracti32x4_epi32::<2>(x),
                    _mm512_extracti32x4_epi32::<3>(x),
                ];
                for r in 0..rows {
                    _mm_mask_storeu_epi8(row(r), mask as u16, quarters[r]);
                }
            }
            2 => {
                _mm256_mask_storeu_epi8(row(0), mask as u32, _mm512_castsi512_si256(x));
                if rows > 1 {
                    _mm256_mask_storeu_epi8(row(1), mask as u32, _mm512_extracti64x4_epi64::<1>(x));
                }
            }
            _ => _mm512_mask_storeu_epi8(row(0), mask, x),
        }
    }
}

/// The plain epilogue, through memory.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
unsafe fn spill<const UNITS: usize, const ROWS: usize>(
    panel: &Panel,
    acc: &Accumulators<UNITS, ROWS>,
    row: usize,
) {
    // Copied, so that the accumulators can stay in registers.
    let acc = *acc;
    // SAFETY: the caller's; a row of accumulators is UNITS * 16 values, at least n.
    unsafe { spilled(panel, row, ROWS, acc.as_ptr().cast(), UNITS * UNIT) }
}

/// # Safety
/// `acc` has `rows` rows of n values, `ld` apart; the rest as [`tile`].
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
unsafe fn spilled(panel: &Panel, row: usize, rows: usize, acc: *const i32, ld: usize) {
    // SAFETY: the caller's.
    unsafe { finish(&panel.target, panel.columns, row, rows, 0..panel.n, acc, ld) }
}
