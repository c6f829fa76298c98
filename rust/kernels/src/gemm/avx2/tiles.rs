//! The sums of a tile: rows widened to 16 bits, times the 16 columns of a unit.

use std::arch::asm;
use std::arch::x86_64::*;

use crate::gemm::tile::Accumulators;
use crate::simd::{Vector, Ymm};

/// The sums of `R` rows of a unit, 8 columns a register.
pub(super) type Sums<const R: usize> = Accumulators<Ymm, 2, 1, R>;

/// Bytes of a group of a widened row: 4 words.
pub(super) const ROW_GROUP: usize = 8;
/// Bytes of a group of widened weights: 16 columns x 4 words.
pub(super) const WIDE_GROUP: usize = 128;
/// Bytes of a group of packed weights.
pub(super) const BYTE_GROUP: usize = 64;

/// A pair of k of widened weights: 16 columns, 8 a register.
///
/// # Safety
/// The CPU has the tier, and the pair is readable.
#[inline(always)]
unsafe fn words(from: *const u8) -> [Ymm; 2] {
    // SAFETY: the caller's.
    unsafe { [Ymm::load_bytes(from), Ymm::load_bytes(from.add(32))] }
}

/// The same of packed weights.
///
/// # Safety
/// As [`words`].
#[inline(always)]
pub(super) unsafe fn widened(from: *const u8) -> [Ymm; 2] {
    // SAFETY: the caller's.
    unsafe {
        let [low, high] = [_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(16).cast())];
        [Ymm::new(_mm256_cvtepi8_epi16(low)), Ymm::new(_mm256_cvtepi8_epi16(high))]
    }
}

/// A pair of words of a row in every lane.
///
/// # Safety
/// The CPU has the tier, and 4 bytes are readable.
#[inline(always)]
unsafe fn pair(from: *const u8) -> Ymm {
    // SAFETY: the caller's.
    unsafe { Ymm::splat(from.cast::<i32>().read_unaligned()) }
}

/// Adds the products of `groups` groups of k, of both halves of a unit or the first: one vpmaddwd for each pair of k. The
/// weights are words or, where `BYTES`, as they are packed.
///
/// # Safety
/// The CPU has the tier; row `r` is the widened groups at `rows + r * stride`; the weights have as many groups.
#[inline(always)]
pub(super) unsafe fn multiply<const R: usize, const HALVES: usize, const BYTES: bool>(
    sums: &mut Sums<R>,
    rows: *const u8,
    stride: usize,
    weights: *const u8,
    groups: usize,
) {
    if R == 6 && HALVES == 2 && !BYTES {
        // SAFETY: the caller's.
        return unsafe { multiply_6(&mut *sums.as_mut_ptr().cast(), rows, stride, weights, groups) };
    }
    for at in 0..2 * groups {
        // SAFETY: the caller's.
        unsafe {
            let row = rows.add(at * ROW_GROUP / 2);
            let w = if BYTES {
                widened(weights.add(at * BYTE_GROUP / 2))
            } else {
                words(weights.add(at * WIDE_GROUP / 2))
            };
            for r in 0..R {
                let x = pair(row.add(r * stride));
                for half in 0..HALVES {
                    sums[r][0][half] = sums[r][0][half].dot(x, w[half]);
                }
            }
        }
    }
}

/// [`multiply`] by the fast inner product of Winograd (A new algorithm for inner product, IEEE Transactions on Computers C-17,
/// 1968): `(x0 + w2)(x2 + w0) + (x1 + w3)(x3 + w1)` has the four products of a group by one vpmaddwd. What it has besides,
/// `x0 x2 + x1 x3` of a row and `w0 w2 + w1 w3` of a column, the sums have lost before. A byte and a weight are below 2^9.
///
/// # Safety
/// As [`multiply`], of widened weights at `from`.
#[inline(always)]
pub(super) unsafe fn multiply_fast<const R: usize, const HALVES: usize>(
    sums: &mut Sums<R>,
    rows: *const u8,
    stride: usize,
    from: *const u8,
    groups: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        if R == 4 && HALVES == 2 {
            return multiply_fast_4(&mut *sums.as_mut_ptr().cast(), rows, stride, from, groups);
        }
        for group in 0..groups {
            let first = words(from.add(group * WIDE_GROUP));
            let second = words(from.add(group * WIDE_GROUP + WIDE_GROUP / 2));
            let row = rows.add(group * ROW_GROUP);
            for r in 0..R {
                let (x0, x2) = (pair(row.add(r * stride)), pair(row.add(r * stride + 4)));
                for half in 0..HALVES {
                    let (a, b) = (x0.sum_words(second[half]), x2.sum_words(first[half]));
                    sums[r][0][half] = sums[r][0][half].dot(a, b);
                }
            }
        }
    }
}

/// The four rows of a whole tile: all 16 registers, which the compiler would not keep in their places.
///
/// # Safety
/// As [`multiply_fast`]; at least one group.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply_fast_4(
    sums: &mut [[Ymm; 2]; 4],
    rows: *const u8,
    stride: usize,
    from: *const u8,
    groups: usize,
) {
    /// One row: its pairs 0 and 1 (in ymm12 and ymm13) with the weights of 8 columns, then of the 8 others.
    macro_rules! row {
        ($place:literal, $low:literal, $high:literal) => {
            concat!(
                "vpbroadcastd ymm12, dword ptr [",
                $place,
                "]\n",
                "vpbroadcastd ymm13, dword ptr [",
                $place,
                " + 4]\n",
                "vpaddw ymm14, ymm12, ymm10\n",
                "vpaddw ymm15, ymm13, ymm8\n",
                "vpmaddwd ymm14, ymm14, ymm15\n",
                "vpaddd ",
                $low,
                ", ",
                $low,
                ", ymm14\n",
                "vpaddw ymm12, ymm12, ymm11\n",
                "vpaddw ymm13, ymm13, ymm9\n",
                "vpmaddwd ymm12, ymm12, ymm13\n",
                "vpaddd ",
                $high,
                ", ",
                $high,
                ", ymm12\n",
            )
        };
    }
    // SAFETY: the caller's; the code reads 128 bytes of weights and 8 of each row for each group, and writes registers alone.
    unsafe {
        let [[a0, a1], [b0, b1], [c0, c1], [d0, d1]] = sums;
        asm!(
            "2:",
            "vmovdqu ymm8, ymmword ptr [{w}]",
            "vmovdqu ymm9, ymmword ptr [{w} + 32]",
            "vmovdqu ymm10, ymmword ptr [{w} + 64]",
            "vmovdqu ymm11, ymmword ptr [{w} + 96]",
            row!("{x}", "ymm0", "ymm1"),
            row!("{x} + {stride}", "ymm2", "ymm3"),
            row!("{x} + 2 * {stride}", "ymm4", "ymm5"),
            row!("{x} + {three}", "ymm6", "ymm7"),
            "add {w}, 128",
            "add {x}, 8",
            "dec {groups}",
            "jnz 2b",
            w = inout(reg) from => _,
            x = inout(reg) rows => _,
            groups = inout(reg) groups => _,
            stride = in(reg) stride,
            three = in(reg) 3 * stride,
            inout("ymm0") a0.0, inout("ymm1") a1.0, inout("ymm2") b0.0, inout("ymm3") b1.0,
            inout("ymm4") c0.0, inout("ymm5") c1.0, inout("ymm6") d0.0, inout("ymm7") d1.0,
            out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
            out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
            options(pure, readonly, nostack),
        );
    }
}

/// # Safety
/// As [`multiply`], of words; at least one group.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply_6(
    sums: &mut [[Ymm; 2]; 6],
    rows: *const u8,
    stride: usize,
    weights: *const u8,
    groups: usize,
) {
    macro_rules! row {
        ($place:literal, $low:literal, $high:literal) => {
            concat!(
                "vpbroadcastd ymm14, dword ptr [",
                $place,
                "]\n",
                "vpmaddwd ymm15, ymm14, ymm12\n",
                "vpmaddwd ymm14, ymm14, ymm13\n",
                "vpaddd ",
                $low,
                ", ",
                $low,
                ", ymm15\n",
                "vpaddd ",
                $high,
                ", ",
                $high,
                ", ymm14\n",
            )
        };
    }
    // SAFETY: the caller's; the code reads 64 bytes of weights and 4 of each row for each pair, and writes registers alone.
    unsafe {
        let [[a0, a1], [b0, b1], [c0, c1], [d0, d1], [e0, e1], [f0, f1]] = sums;
        asm!(
            "2:",
            "vmovdqu ymm12, ymmword ptr [{w}]",
            "vmovdqu ymm13, ymmword ptr [{w} + 32]",
            row!("{x}", "ymm0", "ymm1"),
            row!("{x} + {stride}", "ymm2", "ymm3"),
            row!("{x} + 2 * {stride}", "ymm4", "ymm5"),
            row!("{y}", "ymm6", "ymm7"),
            row!("{y} + {stride}", "ymm8", "ymm9"),
            row!("{y} + 2 * {stride}", "ymm10", "ymm11"),
            "add {w}, 64",
            "add {x}, 4",
            "add {y}, 4",
            "dec {pairs}",
            "jnz 2b",
            w = inout(reg) weights => _,
            x = inout(reg) rows => _,
            y = inout(reg) rows.add(3 * stride) => _,
            pairs = inout(reg) 2 * groups => _,
            stride = in(reg) stride,
            inout("ymm0") a0.0, inout("ymm1") a1.0, inout("ymm2") b0.0, inout("ymm3") b1.0,
            inout("ymm4") c0.0, inout("ymm5") c1.0, inout("ymm6") d0.0, inout("ymm7") d1.0,
            inout("ymm8") e0.0, inout("ymm9") e1.0, inout("ymm10") f0.0, inout("ymm11") f1.0,
            out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
            options(pure, readonly, nostack),
        );
    }
}
