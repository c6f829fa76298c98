//! u8 x i8 -> i32 matrix products and convolutions, with the epilogue inside the tile.
//!
//! `y[r][c] = epilogue(sum over taps t and k of left[r][t][k] * weights[c][t][k])`, accumulated modulo 2^32, so that
//! the order of summation and the tile are free. The right side is packed once ([`pack`]); the left side is read in
//! place, through offsets where the product is a convolution ([`Rows`]). A product runs panel by panel of up to 4
//! units of 16 columns; a tier has one tile a panel width.

mod activations;
#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod entries;
mod epilogue;
mod pack;
mod scalar;
#[cfg(test)]
mod tests;
mod tiers;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tile;
#[cfg(target_arch = "x86_64")]
mod vnni256;
pub mod winograd;

pub use crate::requantize::{AddParams, Requantize, ResidualParams};
pub use crate::rows::{OffsetTable, Offsets, PAD, Rows};
pub use activations::Right;
pub use entries::{Entries, Tile};
pub use pack::{Columns, GROUP, Packing, UNIT};
pub(crate) use tiers::{AVX2, AVX512VL, AVX512VNNI, AVXVNNI, DOTPROD, I8MM, NEON, SCALAR};

use crate::isa::Has;
use crate::requantize::words::assert_clamp;
use crate::rows::Left;
use entries::{Joining, Panel, is_fast};
use epilogue::{Addend, ColumnParams, FloatsByRow, PANEL, PANEL_UNITS, Quantize, Target};

/// Another tensor that is added.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// Row `r` is the `n` bytes at `r * stride`.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Where and how.
    pub addition: Addition<'a>,
}

/// Where a residual is added, and by which numbers.
#[derive(Clone, Copy, Debug)]
pub enum Addition<'a> {
    /// To the sums, before they are requantized.
    ToSums(ResidualParams<'a>),
    /// QAdd with the requantized bytes: `a` is this product's own result, `b` the residual.
    ToBytes(AddParams),
}

/// Where the results go: row `r` is the `n` values at `r * stride`; nothing else is written.
#[derive(Debug)]
pub enum Out<'a> {
    /// Bytes, requantized.
    U8 {
        /// The rows.
        data: &'a mut [u8],
        /// Bytes from one row to the next.
        stride: usize,
        /// Multipliers and shifts of the `n` columns; the bias holds `- x_zero_point * sum(w)` already (wrapping).
        requantize: Requantize<'a>,
        /// A second operand to add.
        residual: Option<Residual<'a>>,
    },
    /// Requantized to int16, whose zero point is 0: what joins sums or bytes joins none of these.
    I16 {
        /// The rows.
        data: &'a mut [i16],
        /// Elements from one row to the next.
        stride: usize,
        /// As of bytes.
        requantize: Requantize<'a>,
    },
    /// Floats: `fma(float32(acc + acc_bias[c]) * x_scale, scale[c], bias[c])`.
    F32 {
        /// The rows.
        data: &'a mut [f32],
        /// Elements from one row to the next.
        stride: usize,
        /// `- x_zero_point * sum(w)` of each column, added modulo 2^32.
        acc_bias: &'a [i32],
        /// The left side's scale.
        x_scale: f32,
        /// Each column's scale.
        scale: &'a [f32],
        /// Each column's bias.
        bias: &'a [f32],
    },
    /// Floats of rows with scales of their own, formula (10a):
    /// `fma(float32(acc - zero_point[r] * sums[c]) * x_scale[r], scale[c], bias[c])`, clamped: what is at most `lo` becomes
    /// that, then what is above `hi`; NaN stays.
    F32ByRow {
        /// The rows.
        data: &'a mut [f32],
        /// Elements from one row to the next.
        stride: usize,
        /// The left side's scales and zero points.
        rows: RowScales<'a>,
        /// The sum of each column's weights.
        sums: &'a [i32],
        /// Each column's scale.
        scale: &'a [f32],
        /// Each column's bias.
        bias: &'a [f32],
        /// Smallest result.
        lo: f32,
        /// Largest result.
        hi: f32,
    },
}

/// Scales and zero points of the left side's rows: one each, or one for all.
#[derive(Clone, Copy, Debug)]
pub struct RowScales<'a> {
    /// The scales.
    pub scale: &'a [f32],
    /// The zero points.
    pub zero_point: &'a [u8],
}

/// Units of the next panel where `left` are left: as wide as can be, but never 4 and then 1.
fn panel_units(left: usize) -> usize {
    if left == PANEL_UNITS + 1 { PANEL_UNITS - 1 } else { left.min(PANEL_UNITS) }
}

/// Bytes of the packed right side for this tier.
pub fn packed_len(kernels: impl Has<Entries>, n: usize, taps: usize, kc: usize) -> usize {
    kernels.entries().packing.packed_len(n, taps, kc)
}

/// Packs weights `[n][taps][kc]` (kc innermost) into `out`, every byte of which is written.
///
/// # Panics
/// Where `weights` is not `n * taps * kc` long or `out` is not [`packed_len`] long.
pub fn pack(kernels: impl Has<Entries>, weights: &[i8], n: usize, taps: usize, kc: usize, out: &mut [u8]) {
    kernels.entries().packing.pack(weights, n, taps, kc, out);
}

/// Packs `q - 128` for the tier into `out`, every byte of which is written; `sums[c]` becomes the sum of column c's
/// `q - 128`. Quick where one of the strides is 1.
///
/// # Panics
/// Where the matrix leaves its data, `out` is not [`packed_len`] long, or there are not `n` sums.
pub fn pack_activations(kernels: impl Has<Entries>, right: &Right, out: &mut [u8], sums: &mut [i32]) {
    let &Right { data, k, n, by_k, by_column } = right;
    let entries = kernels.entries();
    let last = |count: usize, step: usize| count.saturating_sub(1).checked_mul(step);
    let end = last(k, by_k).zip(last(n, by_column)).and_then(|(a, b)| a.checked_add(b));
    assert!(k > 0 && n > 0 && end.is_some_and(|end| end < data.len()), "the matrix leaves its data");
    assert_eq!(out.len(), packed_len(kernels, n, 1, k), "out is packed_len bytes");
    assert_eq!(sums.len(), n, "a sum a column");
    // SAFETY: `kernels` proves that the CPU has the tier, which is all that the code asks.
    unsafe { (entries.pack.code())(right, out, sums) };
}

/// `sums[r]` becomes `factor` times the sum, modulo 2^32, of the `k` bytes at `r * stride`.
///
/// # Panics
/// Where a row leaves the data.
pub fn row_sums(
    kernels: impl Has<Entries>,
    data: &[u8],
    stride: usize,
    k: usize,
    factor: i32,
    sums: &mut [i32],
) {
    // SAFETY: as above.
    unsafe { (kernels.entries().row_sums.code())(data, stride, k, factor, sums) };
}

/// The tile that does most of a product's work on that tier: a function of the shape alone.
pub fn select(entries: &'static Entries, m: usize, n: usize, k: usize) -> &'static Tile {
    let units = panel_units(n.div_ceil(UNIT).max(1));
    let fast = entries.fast.as_ref().filter(|_| is_fast(m, units, k.div_ceil(GROUP)));
    fast.unwrap_or(&entries.tiles[units - 1])
}

/// Computes the `m x n` results of `rows` and `columns` into `out`.
///
/// # Panics
/// Where a slice is shorter than its contract says, or a parameter is out of its range.
pub fn run(kernels: impl Has<Entries>, m: usize, rows: &Rows, columns: &Columns, out: Out) {
    run_with_row_bias(kernels, m, rows, &[], columns, out);
}

/// [`run`] with `row_bias[r]` added to every sum of row `r`, modulo 2^32; none where it is empty.
///
/// # Panics
/// As [`run`], and where there are less numbers than rows, but some.
pub fn run_with_row_bias(
    kernels: impl Has<Entries>,
    m: usize,
    rows: &Rows,
    row_bias: &[i32],
    columns: &Columns,
    mut out: Out,
) {
    assert!(row_bias.is_empty() || row_bias.len() >= m, "a number a row");
    let Columns { packed, n, taps, kc } = *columns;
    let Entries { packing, tiles, .. } = kernels.entries();
    assert!(n > 0 && taps > 0 && kc > 0, "an empty product");
    let (units, unit_bytes) = (n.div_ceil(UNIT), packing.unit_bytes(taps, kc));
    assert_eq!(packed.len(), units * unit_bytes, "the right side was packed for another tier or shape");
    if m == 0 {
        return;
    }
    let groups = kc.div_ceil(GROUP);
    let left = Left::new(rows, m, taps, groups * GROUP);
    let mut params = ColumnParams::ZERO;
    check(&out, m, n);
    let mut unit = 0;
    while unit < units {
        let width = panel_units(units - unit);
        let from = unit * UNIT;
        let columns = (width * UNIT).min(n - from);
        let (joining, target) = ends_of_panel(kernels, &mut out, &mut params, from, columns);
        let packed = packed[unit * unit_bytes..].as_ptr();
        unit += width;
        let followed = unit < units;
        let panel = Panel {
            left,
            row_bias,
            m,
            packed,
            unit_bytes,
            followed,
            taps,
            kc,
            groups,
            n: columns,
            columns: &params,
            joining,
            target,
        };
        // SAFETY: `kernels` proves that the CPU has the tier. Left::new and check() have asserted that the m rows
        // of both sides lie inside their slices, and the packed length that `width` units follow `packed`.
        unsafe { tiles[width - 1].code()(&panel) };
    }
}

/// Asserts that `m` rows of `n` results fit, that there are parameters for each column, and that their ranges hold.
fn check(out: &Out, m: usize, n: usize) {
    let fits = |len: usize, stride: usize| {
        stride.checked_mul(m - 1).and_then(|start| start.checked_add(n)).is_some_and(|end| end <= len)
    };
    match out {
        Out::U8 {
            data,
            stride,
            requantize: Requantize { bias, reach: _, multiplier, shift, zero_point, lo, hi },
            residual,
        } => {
            assert!(fits(data.len(), *stride), "the rows of the output leave the data");
            assert!(m == 1 || *stride >= n, "the rows of the output overlap");
            assert!(
                bias.len() >= n && multiplier.len() >= n && shift.len() >= n,
                "parameters of each column"
            );
            assert!((0..=255).contains(zero_point), "a zero point is a byte");
            assert!(0 <= *lo && lo <= hi && *hi <= 255, "lo and hi are bytes in order");
            if let Some(Residual { data, stride, addition }) = residual {
                assert!(fits(data.len(), *stride), "the rows of the residual leave the data");
                match addition {
                    Addition::ToBytes(add) => add.check(),
                    Addition::ToSums(ResidualParams { multiplier, constant, shift }) => assert!(
                        multiplier.len() >= n && constant.len() >= n && shift.len() >= n,
                        "a residual's parameters of each column"
                    ),
                }
            }
        }
        Out::I16 { data, stride, requantize } => {
            let Requantize { bias, multiplier, shift, zero_point, lo, hi, .. } = requantize;
            assert!(fits(data.len(), *stride), "the rows of the output leave the data");
            assert!(m == 1 || *stride >= n, "the rows of the output overlap");
            assert!(
                bias.len() >= n && multiplier.len() >= n && shift.len() >= n,
                "parameters of each column"
            );
            assert_eq!(*zero_point, 0, "the zero point of int16");
            assert_clamp(*lo, *hi);
        }
        Out::F32 { data, stride, acc_bias, scale, bias, .. } => {
            assert!(fits(data.len(), *stride), "the rows of the output leave the data");
            assert!(m == 1 || *stride >= n, "the rows of the output overlap");
            assert!(acc_bias.len() >= n && scale.len() >= n && bias.len() >= n, "parameters of each column");
        }
        Out::F32ByRow { data, stride, rows, sums, scale, bias, .. } => {
            assert!(fits(data.len(), *stride), "the rows of the output leave the data");
            assert!(m == 1 || *stride >= n, "the rows of the output overlap");
            assert!(sums.len() >= n && scale.len() >= n && bias.len() >= n, "parameters of each column");
            let count = rows.scale.len();
            assert!(count == rows.zero_point.len() && (count == 1 || count >= m), "a scale a row, or one");
        }
    }
}

/// With what the sums of the panel of columns `from..from + n` begin, beside the bias, and where they end; the parameters go to
/// `params`.
fn ends_of_panel(
    kernels: impl Has<Entries>,
    out: &mut Out,
    params: &mut ColumnParams,
    from: usize,
    n: usize,
) -> (Option<Joining>, Target) {
    let joining = joining(out, params, from, n);
    let target = target(out, params, from, n);
    if matches!(target, Target::U8 { quantize: Quantize { in_floats: true, .. }, .. }) {
        // SAFETY: `kernels` proves that the CPU has the tier.
        unsafe { kernels.entries().derive.code()(params) };
    }
    (joining, target)
}

/// The residual, if any, that joins the sums of the panel of columns `from..from + n`; its parameters go to `params`.
fn joining(out: &Out, params: &mut ColumnParams, from: usize, n: usize) -> Option<Joining> {
    let Out::U8 { residual: Some(Residual { data, stride, addition: Addition::ToSums(by) }), .. } = out
    else {
        return None;
    };
    params.set_residual(by, from, n);
    Some(Joining { data: data[from..].as_ptr(), stride: *stride })
}

/// The target of the panel of columns `from..from + n`, whose parameters go to `params`.
fn target(out: &mut Out, params: &mut ColumnParams, from: usize, n: usize) -> Target {
    match out {
        Out::U8 { data, stride, requantize, residual } => {
            let in_floats = params.set(requantize, from, n);
            let Requantize { zero_point, lo, hi, .. } = *requantize;
            let residual = residual.and_then(|Residual { data, stride, addition }| match addition {
                Addition::ToBytes(add) => Some(Addend { data: data[from..].as_ptr(), stride, add }),
                Addition::ToSums(_) => None,
            });
            let quantize = Quantize { in_floats, zero_point, lo, hi };
            let data = data[from..].as_mut_ptr();
            Target::U8 { data, stride: *stride, quantize, residual }
        }
        Out::I16 { data, stride, requantize } => {
            params.set(requantize, from, n);
            let Requantize { lo, hi, .. } = *requantize;
            Target::I16 { data: data[from..].as_mut_ptr(), stride: *stride, lo, hi }
        }
        Out::F32 { data, stride, acc_bias, x_scale, scale, bias } => {
            params.set_bias(acc_bias, from, n);
            Target::F32 {
                data: data[from..].as_mut_ptr(),
                stride: *stride,
                x_scale: *x_scale,
                scale: scale[from..].as_ptr(),
                bias: bias[from..].as_ptr(),
            }
        }
        Out::F32ByRow { data, stride, rows, sums, scale, bias, lo, hi } => {
            params.bias = [0; PANEL];
            Target::F32ByRow(FloatsByRow {
                data: data[from..].as_mut_ptr(),
                stride: *stride,
                x_scale: rows.scale.as_ptr(),
                x_zero_point: rows.zero_point.as_ptr(),
                step: usize::from(rows.scale.len() > 1),
                sums: sums[from..].as_ptr(),
                scale: scale[from..].as_ptr(),
                bias: bias[from..].as_ptr(),
                clamp: ([*lo, *hi] != [f32::NEG_INFINITY, f32::INFINITY]).then_some([*lo, *hi]),
            })
        }
    }
}
