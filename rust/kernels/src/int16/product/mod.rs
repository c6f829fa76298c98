//! i16 x i8 matrix products and convolutions, with exact sums of 64 bits and the epilogue inside the tile.
//!
//! The right side is packed once ([`pack`]), as int16 in units of 16 columns: for each two k the pairs of all columns. The
//! left side is read in place, through offsets where the product is a convolution ([`Rows`], in bytes). Sums are taken in
//! int32 over [`Columns::together`] pairs, which no input can make leave it, and added up in 64 bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod entries;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tile;

use super::rule::{Requantize, SHORT_SUM};
use crate::isa::{Entry, Has, code};
use crate::requantize::words::assert_clamp;
use crate::rows::Left;
pub use crate::rows::{OffsetTable, Offsets, PAD, Rows};
pub use entries::{Columns, Entries, Out, PAIR, Product, UNIT};
use entries::{PAIR_BYTES, Target, UNIT_BYTES};

/// Pairs whose products fit in int32 whatever the weights: `510 * 128 <= 65535`.
const PAIRS: usize = 255;

pub(crate) const SCALAR: Entries =
    Entries { product: Entry { name: "scalar-i16i8-gemm-1x16c2", code: Some(scalar::product) } };
pub(crate) const AVX2: Entries =
    Entries { product: Entry { name: "avx2-i16i8-gemm-6x16c2", code: code!("x86_64": avx2::product) } };
pub(crate) const AVX512VNNI: Entries = Entries {
    product: Entry { name: "avx512vnni-i16i8-gemm-6x64c2", code: code!("x86_64": avx512vnni::product) },
};
pub(crate) const NEON: Entries =
    Entries { product: Entry { name: "neon-i16i8-gemm-4x16c2", code: code!("aarch64": neon::product) } };

/// Bytes of the packed right side.
pub fn packed_len(n: usize, taps: usize, kc: usize) -> usize {
    n.div_ceil(UNIT) * taps * kc.div_ceil(PAIR) * UNIT_BYTES
}

/// Packs weights `[n][taps][kc]` (kc innermost) into `out`, every byte of which is written.
///
/// # Panics
/// Where `weights` is not `n * taps * kc` long or `out` is not [`packed_len`] long.
pub fn pack(weights: &[i8], n: usize, taps: usize, kc: usize, out: &mut [u8]) {
    assert_eq!(weights.len(), n * taps * kc, "weights are [n][taps][kc]");
    assert_eq!(out.len(), packed_len(n, taps, kc), "out is packed_len bytes");
    let pairs = kc.div_ceil(PAIR);
    for (index, out) in out.chunks_exact_mut(UNIT_BYTES).enumerate() {
        let (unit, tap, first) = (index / (taps * pairs), index / pairs % taps, index % pairs * PAIR);
        for (place, out) in out.chunks_exact_mut(2).enumerate() {
            let (row, k) = (unit * UNIT + place / PAIR, first + place % PAIR);
            let is_there = row < n && k < kc;
            let weight = if is_there { i16::from(weights[(row * taps + tap) * kc + k]) } else { 0 };
            out.copy_from_slice(&weight.to_ne_bytes());
        }
    }
}

/// How many pairs of k of weights `[n][taps][kc]` can be summed in int32 whatever the input: all of a row, where every
/// column's magnitudes sum to 65535 at most, formula (5a).
pub fn together(weights: &[i8], taps: usize, kc: usize) -> usize {
    let total = |w: &[i8]| w.iter().map(|w| i64::from(w.unsigned_abs())).sum::<i64>();
    let is_short = weights.chunks_exact((taps * kc).max(1)).all(|w| total(w) <= SHORT_SUM);
    if is_short { taps * kc.div_ceil(PAIR) } else { PAIRS }
}

/// Computes the `m x n` results of `rows` and `columns` into `out`. Rows are of bytes, `2 kc` of them a tap.
///
/// # Panics
/// Where a slice is shorter than its contract says, or a parameter is out of its range.
pub fn run(k: impl Has<Entries>, m: usize, rows: &Rows, columns: &Columns, out: Out) {
    let Columns { packed, n, taps, kc, together } = *columns;
    assert!(n > 0 && taps > 0 && kc > 0 && together > 0, "an empty product");
    let pairs = kc.div_ceil(PAIR);
    assert_eq!(packed.len(), packed_len(n, taps, kc), "the right side was packed for another shape");
    if m == 0 {
        return;
    }
    let left = Left::new(rows, m, taps, pairs * PAIR_BYTES);
    let out = target(out, m, n);
    let product = Product { left, m, columns: *columns, unit_bytes: taps * pairs * UNIT_BYTES, pairs, out };
    // SAFETY: `k` proves that the CPU has the tier. Left::new and target() have asserted that the m rows of both sides lie
    // inside their slices, and the packed length that every unit does.
    unsafe { (k.entries().product.code())(&product) }
}

/// Asserts that `m` rows of `n` results fit, that there are parameters for each column, and that their ranges hold.
fn target(out: Out<'_>, m: usize, n: usize) -> Target<'_> {
    let check = |len: usize, stride: usize| {
        let end = stride.checked_mul(m - 1).and_then(|start| start.checked_add(n));
        assert!(end.is_some_and(|end| end <= len), "the rows of the output leave the data");
        assert!(m == 1 || stride >= n, "the rows of the output overlap");
    };
    match out {
        Out::I16 { data, stride, requantize } => {
            check(data.len(), stride);
            let Requantize { bias, reach, multiplier, shift, lo, hi } = requantize;
            let least = bias.len().min(reach.len()).min(multiplier.len()).min(shift.len());
            assert!(least >= n, "parameters of each column");
            assert_clamp(lo, hi);
            Target::I16(data.as_mut_ptr(), stride, requantize)
        }
        Out::F32 { data, stride, floats } => {
            check(data.len(), stride);
            assert!(floats.scale.len().min(floats.bias.len()) >= n, "parameters of each column");
            Target::F32(data.as_mut_ptr(), stride, floats)
        }
    }
}
