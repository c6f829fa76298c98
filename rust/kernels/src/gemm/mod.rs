//! u8 x i8 -> i32 matrix products and convolutions, with the epilogue inside the tile.
//!
//! `y[r][c] = epilogue(sum over taps t and k of left[r][t][k] * weights[c][t][k])`, accumulated modulo 2^32, so that
//! the order of summation and the tile are free. The right side is packed once ([`pack`]); the left side is read in
//! place, through offsets where the product is a convolution ([`Rows`]). A product runs panel by panel of up to 4
//! units of 16 columns; a tier has one tile a panel width.

mod activations;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512vnni;
mod epilogue;
mod pack;
mod rows;
pub(crate) mod scalar;
#[cfg(test)]
mod tests;

pub use crate::requantize::Requantize;
pub use activations::{Right, pack_activations, row_sums};
pub use epilogue::AddParams;
pub use pack::{Columns, GROUP, Layout, UNIT, pack, packed_len};
pub use rows::{OffsetTable, Offsets, PAD, Rows};

use crate::isa::{Entry, Kernels, Row};
use epilogue::{Addend, Lanes, PANEL_UNITS, Quantize, Target};
use rows::Left;

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// How the tier's tiles want the right side.
    pub layout: Layout,
    /// The tile for panels of 1, 2, 3 and 4 units.
    pub tiles: [Tile; PANEL_UNITS],
    /// [`Lanes::derive`], compiled for the tier, whose features it needs.
    derive: unsafe fn(&mut Lanes),
    /// What [`pack_activations`] runs.
    pub pack: Entry<PackActivations>,
    /// What [`row_sums`] runs.
    pub row_sums: Entry<RowSums>,
}

/// The code of [`pack_activations`]. Calling it needs the CPU features of its isa.
type PackActivations = unsafe fn(&Right, &mut [u8], &mut [i32]);
/// The code of [`row_sums`]. Calling it needs the CPU features of its isa.
type RowSums = unsafe fn(&[u8], usize, usize, i32, &mut [i32]);

/// A kernel: up to `rows x units * 16` results at a time.
#[derive(Debug)]
pub struct Tile {
    /// `<isa>-u8i8-gemm-<rows>x<columns>c<k of a dot product>`.
    pub name: &'static str,
    /// Most rows held in registers.
    pub rows: usize,
    /// Units of a panel.
    pub units: usize,
    /// The code. Calling it needs the CPU features of `name`'s isa, and a panel that [`run`] has checked.
    run: unsafe fn(&Panel),
}

/// One panel of a checked product, as the tiles take it.
struct Panel<'a> {
    left: Left,
    /// A number a row, added to its sums; empty for none.
    row_bias: &'a [i32],
    /// Rows of the product, at least 1.
    m: usize,
    /// The panel's first unit; the next is `unit_bytes` on.
    packed: *const u8,
    unit_bytes: usize,
    /// Whether another panel follows this one's units in memory, and is next.
    followed: bool,
    taps: usize,
    /// Groups of 4 k in a tap.
    groups: usize,
    /// Columns: more than fill all units but one.
    n: usize,
    lanes: &'a Lanes,
    target: Target,
}

/// QAdd with another tensor, applied to the requantized bytes.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// Row `r` is the `n` bytes at `r * stride`.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// The sum: `a` is this product's own result, `b` the residual.
    pub add: AddParams,
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
}

/// Units of the next panel where `left` are left: as wide as can be, but never 4 and then 1.
fn panel_units(left: usize) -> usize {
    if left == PANEL_UNITS + 1 { PANEL_UNITS - 1 } else { left.min(PANEL_UNITS) }
}

/// The tile that does most of a product's work on that tier: a function of the shape alone.
pub fn select(row: &'static Row, _m: usize, n: usize, _k: usize) -> &'static Tile {
    &row.gemm.tiles[panel_units(n.div_ceil(UNIT).max(1)) - 1]
}

/// Computes the `m x n` results of `rows` and `columns` into `out`.
///
/// # Panics
/// Where a slice is shorter than its contract says, or a parameter is out of its range.
pub fn run(kernels: Kernels, m: usize, rows: &Rows, columns: &Columns, out: Out) {
    run_with_row_bias(kernels, m, rows, &[], columns, out);
}

/// [`run`] with `row_bias[r]` added to every sum of row `r`, modulo 2^32; none where it is empty.
///
/// # Panics
/// As [`run`], and where there are less numbers than rows, but some.
pub fn run_with_row_bias(
    kernels: Kernels,
    m: usize,
    rows: &Rows,
    row_bias: &[i32],
    columns: &Columns,
    mut out: Out,
) {
    assert!(row_bias.is_empty() || row_bias.len() >= m, "a number a row");
    let Columns { packed, n, taps, kc } = *columns;
    let Entries { layout, tiles, derive, .. } = &kernels.row().gemm;
    assert!(n > 0 && taps > 0 && kc > 0, "an empty product");
    let (units, unit_bytes) = (n.div_ceil(UNIT), layout.unit_bytes(taps, kc));
    assert_eq!(packed.len(), units * unit_bytes, "the right side was packed for another tier or shape");
    if m == 0 {
        return;
    }
    let groups = kc.div_ceil(GROUP);
    let left = Left::new(rows, m, taps, groups * GROUP);
    let mut lanes = Lanes::ZERO;
    check(&out, m, n);
    let mut unit = 0;
    while unit < units {
        let width = panel_units(units - unit);
        let from = unit * UNIT;
        let columns = (width * UNIT).min(n - from);
        let target = target(&mut out, &mut lanes, from, columns);
        if matches!(target, Target::U8 { .. }) {
            // SAFETY: `kernels` proves that the CPU has the tier.
            unsafe { derive(&mut lanes) };
        }
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
            groups,
            n: columns,
            lanes: &lanes,
            target,
        };
        // SAFETY: `kernels` proves that the CPU has the tier. Left::new and check() have asserted that the m rows
        // of both sides lie inside their slices, and the packed length that `width` units follow `packed`.
        unsafe { (tiles[width - 1].run)(&panel) };
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
            requantize: Requantize { bias, multiplier, shift, zero_point, lo, hi },
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
            if let Some(Residual { data, stride, add }) = residual {
                assert!(fits(data.len(), *stride), "the rows of the residual leave the data");
                add.check();
            }
        }
        Out::F32 { data, stride, acc_bias, scale, bias, .. } => {
            assert!(fits(data.len(), *stride), "the rows of the output leave the data");
            assert!(m == 1 || *stride >= n, "the rows of the output overlap");
            assert!(acc_bias.len() >= n && scale.len() >= n && bias.len() >= n, "parameters of each column");
        }
    }
}

/// The target of the panel of columns `from..from + n`, whose parameters go to `lanes`.
fn target(out: &mut Out, lanes: &mut Lanes, from: usize, n: usize) -> Target {
    match out {
        Out::U8 { data, stride, requantize, residual } => {
            let high = lanes.set(requantize, from, n);
            let Requantize { zero_point, lo, hi, .. } = *requantize;
            let residual = residual.map(|Residual { data, stride, add }| {
                let data = data[from..].as_ptr();
                Addend { data, stride, add }
            });
            let quantize = Quantize { high, zero_point, lo, hi };
            let data = data[from..].as_mut_ptr();
            Target::U8 { data, stride: *stride, quantize, residual }
        }
        Out::F32 { data, stride, acc_bias, x_scale, scale, bias } => {
            lanes.set_bias(acc_bias, from, n);
            Target::F32 {
                data: data[from..].as_mut_ptr(),
                stride: *stride,
                x_scale: *x_scale,
                scale: scale[from..].as_ptr(),
                bias: bias[from..].as_ptr(),
            }
        }
    }
}
