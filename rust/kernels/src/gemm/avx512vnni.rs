//! The AVX512-VNNI tier: vpdpbusd (never its saturating form) on 512-bit registers, 16 columns a register.
//!
//! A tile holds `ROWS x UNITS` accumulators and, for each group of 4 k, the group of each unit; a row's 4 bytes are
//! broadcast by the load. Tiles are as tall as 32 registers allow. The left side is unsigned and so must be the
//! instruction's register operand: the broadcast cannot be folded into vpdpbusd.

use std::arch::asm;
use std::arch::x86_64::*;
use std::array::from_fn;

use super::activations::{Right, pack_source, row_sums_source};
use super::entries::Panel;
use super::epilogue::{AddParams, Addend, Lanes, PANEL, Quantize, Target, finish};
use super::pack::{GROUP, UNIT};

/// [`Lanes::derive`] in vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub(super) fn derive(lanes: &mut Lanes) {
    lanes.derive();
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
    // SAFETY: `lanes` has 16 lanes a unit; each unit has taps * groups groups of 64 bytes; each tap of a row has
    // `groups` groups of 4 bytes.
    unsafe {
        let bias: [__m512i; UNITS] = from_fn(|u| lanes(&panel.lanes.bias, u));
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

/// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)` for shifts of at least 33, from the products' high halves.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn scale<const UNITS: usize, const ROWS: usize>(panel: &Panel, acc: &mut Accumulators<UNITS, ROWS>) {
    unroll!(u in UNITS, {
        let multiplier = lanes(&panel.lanes.multiplier, u);
        let odd_multiplier = lanes(&panel.lanes.odd_multiplier, u);
        let round = lanes(&panel.lanes.high_round, u);
        let shift = lanes(&panel.lanes.high_shift, u);
        unroll!(r in ROWS, {
            let even = _mm512_mul_epi32(acc[r][u], multiplier);
            let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(acc[r][u]), odd_multiplier);
            acc[r][u] = _mm512_srav_epi32(_mm512_add_epi32(high_halves(even, odd), round), shift);
        });
    });
}

/// The high halves of the products of the even lanes and of the odd lanes, in the lanes' order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn high_halves(even: __m512i, odd: __m512i) -> __m512i {
    let mut high = odd;
    // One masked move: the compiler would make a permutation of two registers of it, which is slower.
    // SAFETY: the instruction is AVX-512 F and touches registers alone.
    unsafe {
        asm!(
            "vmovshdup {high}{{{even_lanes}}}, {even}",
            high = inout(zmm_reg) high,
            even = in(zmm_reg) even,
            even_lanes = in(kreg) 0x5555u16,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    high
}

/// The 16 lanes of a unit.
#[inline]
#[target_feature(enable = "avx512f")]
fn lanes(lanes: &[i32; PANEL], unit: usize) -> __m512i {
    // SAFETY: an array has 4 units of 16 lanes.
    unsafe { _mm512_loadu_si512(lanes[unit * UNIT..][..UNIT].as_ptr().cast()) }
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
    unroll!(step in ROWS.div_ceil(4 / UNITS), {
        let first = step * together;
        let at = |i: usize| acc[(first + i / UNITS).min(ROWS - 1)][i % UNITS];
        let quad = if UNITS == 3 { [at(0), at(1), at(2), at(2)] } else { [at(0), at(1), at(2), at(3)] };
        let mut bytes = bytes(quad, quantize.zero_point, quantize.lo, quantize.hi);
        // SAFETY: the caller's bounds; the masks keep every access inside the panel's columns.
        unsafe {
            if let Some(residual) = residual {
                let from = residual.data.add((row + first) * residual.stride);
                bytes = add(
                    bytes,
                    gather::<UNITS>(from, residual.stride, (ROWS - first).min(together), mask),
                    &residual.add,
                );
            }
            scatter::<UNITS>(bytes, data.add(first * stride), stride, (ROWS - first).min(together), mask);
        }
    });
}

/// `clamp(x + zero_point, lo, hi)` of four registers, in order. Saturation at 16 bits changes nothing: what it cuts
/// lies beyond both clamps.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn bytes(x: [__m512i; 4], zero_point: i32, lo: i32, hi: i32) -> __m512i {
    let zero_point = _mm512_set1_epi16(zero_point as i16);
    let first = _mm512_adds_epi16(_mm512_packs_epi32(x[0], x[1]), zero_point);
    let second = _mm512_adds_epi16(_mm512_packs_epi32(x[2], x[3]), zero_point);
    // Each 128-bit lane now holds 4 bytes of each register.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let bytes = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(first, second));
    clamp(bytes, lo, hi)
}

/// `clamp(x, lo, hi)` of bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn clamp(x: __m512i, lo: i32, hi: i32) -> __m512i {
    _mm512_min_epu8(_mm512_max_epu8(x, _mm512_set1_epi8(lo as i8)), _mm512_set1_epi8(hi as i8))
}

/// QAdd of bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn add(a: __m512i, b: __m512i, params: &AddParams) -> __m512i {
    let zero = _mm512_setzero_si512();
    let multipliers = _mm512_set1_epi32((params.b_multiplier << 16) | (params.a_multiplier & 0xFFFF));
    let constant = _mm512_set1_epi32(params.constant());
    let shift = _mm_cvtsi32_si128(params.shift as i32);
    // Pairs of 16 bits (a, b): vpmaddwd gives a * a_multiplier + b * b_multiplier, exact in 32 bits.
    let sum =
        |pairs| _mm512_sra_epi32(_mm512_add_epi32(_mm512_madd_epi16(pairs, multipliers), constant), shift);
    let half = |pairs| {
        let sums = _mm512_packs_epi32(
            sum(_mm512_unpacklo_epi8(pairs, zero)),
            sum(_mm512_unpackhi_epi8(pairs, zero)),
        );
        _mm512_adds_epi16(sums, _mm512_set1_epi16(params.y_zero_point as i16))
    };
    let sums = _mm512_packus_epi16(half(_mm512_unpacklo_epi8(a, b)), half(_mm512_unpackhi_epi8(a, b)));
    clamp(sums, params.lo, params.hi)
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
    unsafe { finish(&panel.target, panel.lanes, row, rows, 0..panel.n, acc, ld) }
}
