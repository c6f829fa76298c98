//! Matrix products and convolutions: every output is one chain of fused multiply-adds.
//!
//! Weights are packed once into panels of 16 columns, `[ceil(n / 16)][taps * kc][16]`; the last panel's missing columns
//! are zeros, computed and dropped. A tile of some rows by 16 columns keeps its sums in registers over the whole chain.

use super::epilogue::{Clamp, Epilogue, Residual, apply_to_rows};
use crate::isa::Kernels;

/// Columns of a panel.
const COLUMNS: usize = 16;
/// The chain is walked in blocks of at most this many steps, so that a row of padding can be read from `ZEROS`.
const BLOCK: usize = 512;
static ZEROS: [f32; BLOCK] = [0.0; BLOCK];
/// Bytes of rows that one pass over all panels reads, to stay in the second-level cache.
const ROW_BYTES: usize = 256 << 10;

/// Where the rows of the left side lie.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// Row i is `data[i * stride..][..kc]`: one tap.
    Dense {
        /// The matrix.
        data: &'a [f32],
        /// Elements from one row to the next.
        stride: usize,
    },
    /// Tap t of row i is `data[offsets[i * taps + t]..][..kc]`, or kc times +0 where the offset is `u32::MAX`.
    Indirect {
        /// The image.
        data: &'a [f32],
        /// `[m][taps]`, in elements.
        offsets: &'a [u32],
        /// Taps of a row.
        taps: usize,
    },
}

impl<'a> Rows<'a> {
    fn taps(&self) -> usize {
        match *self {
            Rows::Dense { .. } => 1,
            Rows::Indirect { taps, .. } => taps,
        }
    }

    /// Steps `k..k + len` of tap `tap` of row `row`.
    #[inline(always)]
    fn slice(&self, row: usize, tap: usize, k: usize, len: usize) -> &'a [f32] {
        match *self {
            Rows::Dense { data, stride } => &data[row * stride + k..][..len],
            Rows::Indirect { data, offsets, taps } => match offsets[row * taps + tap] {
                u32::MAX => &ZEROS[..len],
                offset => &data[offset as usize + k..][..len],
            },
        }
    }
}

/// What a gemm kernel reads.
#[derive(Debug)]
pub struct Arguments<'a> {
    m: usize,
    rows: &'a Rows<'a>,
    packed: &'a [f32],
    n: usize,
    kc: usize,
    bias: Option<&'a [f32]>,
    residual: Option<Residual<'a>>,
    clamp: Clamp,
    out_stride: usize,
}

/// The length of packed weights, in elements.
pub fn packed_len(n: usize, taps: usize, kc: usize) -> usize {
    n.div_ceil(COLUMNS) * taps * kc * COLUMNS
}

/// Packs weights, `[n][taps][kc]`, into `out`, [`packed_len`] long.
pub fn pack(weights: &[f32], n: usize, taps: usize, kc: usize, out: &mut [f32]) {
    let k = taps * kc;
    assert_eq!(weights.len(), n * k, "weights");
    assert_eq!(out.len(), packed_len(n, taps, kc), "packed weights");
    if k == 0 {
        return;
    }
    for (panel, out) in out.chunks_exact_mut(k * COLUMNS).enumerate() {
        for column in 0..COLUMNS {
            let source = panel * COLUMNS + column;
            for step in 0..k {
                out[step * COLUMNS + column] = if source < n { weights[source * k + step] } else { 0.0 };
            }
        }
    }
}

/// `out[i][j] = epilogue(sum over k of x[i][k] * w[j][k])`: a chain from +0 with k rising (tap, then step), then what
/// the epilogue says.
///
/// Row i of `out` begins at `i * out_stride`; its n elements are written, what lies between rows is not.
pub fn run(
    k: Kernels,
    m: usize,
    rows: &Rows<'_>,
    packed: &[f32],
    n: usize,
    kc: usize,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
    out_stride: usize,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert_eq!(packed.len(), packed_len(n, rows.taps(), kc), "packed weights");
    epilogue.check(m, n);
    assert!(out_stride >= n && out.len() >= (m - 1) * out_stride + n, "output");
    if let Rows::Indirect { offsets, taps, .. } = rows {
        assert!(offsets.len() >= m * taps, "offsets");
    }
    let (clamp, after) = epilogue.split();
    let Epilogue { bias, residual, .. } = *epilogue;
    let arguments = Arguments { m, rows, packed, n, kc, bias, residual, clamp, out_stride };
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.gemm.run)(&arguments, out) }
    if let Some(function) = after {
        apply_to_rows(k, function, &mut out[..(m - 1) * out_stride + n], n, out_stride);
    }
}

/// `sums + a * w`, lane by lane.
#[inline(always)]
fn fused(a: f32, w: &[f32; COLUMNS], mut sums: [f32; COLUMNS]) -> [f32; COLUMNS] {
    for j in 0..COLUMNS {
        sums[j] = a.mul_add(w[j], sums[j]);
    }
    sums
}

/// A tile's height, and its steps along the chain. The compiler does not unroll a loop over more than four rows by
/// itself, and then keeps the sums in memory: the rows are written out.
pub(super) trait Tile<const ROWS: usize> {
    /// Some steps of the chains: `x` are the rows' elements, `w` the panel's.
    fn steps(x: [&[f32]; ROWS], w: &[f32], sums: [[f32; COLUMNS]; ROWS]) -> [[f32; COLUMNS]; ROWS];
}

/// Tiles of every height that kernels use.
pub(super) struct Tiles;

macro_rules! tile {
    ($rows:literal: $($i:literal)+) => {
        impl Tile<$rows> for Tiles {
            #[inline(always)]
            fn steps(x: [&[f32]; $rows], w: &[f32], mut sums: [[f32; COLUMNS]; $rows]) -> [[f32; COLUMNS]; $rows] {
                let (w, _) = w.as_chunks::<COLUMNS>();
                let x = x.map(|row| &row[..w.len()]);
                for (k, w) in w.iter().enumerate() {
                    $(sums[$i] = fused(x[$i][k], w, sums[$i]);)+
                }
                sums
            }
        }
    };
}

tile!(1: 0);
tile!(2: 0 1);
tile!(4: 0 1 2 3);
tile!(6: 0 1 2 3 4 5);
tile!(12: 0 1 2 3 4 5 6 7 8 9 10 11);

/// Rows `first..first + ROWS` by one panel.
#[inline(always)]
fn tile<const ROWS: usize>(a: &Arguments<'_>, first: usize, panel: usize, out: &mut [f32])
where
    Tiles: Tile<ROWS>,
{
    let taps = a.rows.taps();
    let length = taps * a.kc * COLUMNS;
    let weights = &a.packed[panel * length..][..length];
    let mut sums = [[0.0f32; COLUMNS]; ROWS];
    for tap in 0..taps {
        for k in (0..a.kc).step_by(BLOCK) {
            let len = BLOCK.min(a.kc - k);
            let x = std::array::from_fn(|i| a.rows.slice(first + i, tap, k, len));
            sums = Tiles::steps(x, &weights[(tap * a.kc + k) * COLUMNS..][..len * COLUMNS], sums);
        }
    }
    let column = panel * COLUMNS;
    let width = COLUMNS.min(a.n - column);
    if let Some(bias) = a.bias {
        let mut padded = [0.0; COLUMNS];
        padded[..width].copy_from_slice(&bias[column..column + width]);
        for row in &mut sums {
            for j in 0..COLUMNS {
                row[j] += padded[j];
            }
        }
    }
    for (i, row) in sums.iter_mut().enumerate() {
        if let Some(Residual { data, stride }) = a.residual {
            let addend = &data[(first + i) * stride + column..][..width];
            row.iter_mut().zip(addend).for_each(|(x, &r)| *x += r);
        }
        row.iter_mut().for_each(|x| *x = a.clamp.apply(*x));
        out[(first + i) * a.out_stride + column..][..width].copy_from_slice(&row[..width]);
    }
}

/// The product in tiles of `ROWS` rows, then of fewer.
#[inline(always)]
pub(super) fn kernel<const ROWS: usize>(a: &Arguments<'_>, out: &mut [f32])
where
    Tiles: Tile<ROWS>,
{
    let row_bytes = a.rows.taps() * a.kc * size_of::<f32>();
    let chunk = (ROW_BYTES / row_bytes.max(1)).max(ROWS) / ROWS * ROWS;
    for start in (0..a.m).step_by(chunk) {
        let end = a.m.min(start + chunk);
        for panel in 0..a.n.div_ceil(COLUMNS) {
            let mut row = start;
            while row + ROWS <= end {
                tile::<ROWS>(a, row, panel, out);
                row += ROWS;
            }
            while row + 4 <= end {
                tile::<4>(a, row, panel, out);
                row += 4;
            }
            while row < end {
                tile::<1>(a, row, panel, out);
                row += 1;
            }
        }
    }
}
