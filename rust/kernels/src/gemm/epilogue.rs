//! What a tile's accumulators become: the parameters of up to 64 columns laid out for the vector kernels, and the
//! plain epilogue that any tier can fall back on.

use std::ops::Range;

use super::pack::UNIT;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::requantize::ResidualScale;
use crate::requantize::words::Scale;
use crate::requantize::{
    AddParams, RESIDUAL_MULTIPLIER_END, RESIDUAL_SHIFT_MAX, Requantize, ResidualParams, float_factor,
    is_exact_in_floats, requantize,
};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::simd::Vector;

/// Most units of a panel.
pub(crate) const PANEL_UNITS: usize = 4;
/// Most columns of a panel.
pub(crate) const PANEL: usize = PANEL_UNITS * UNIT;
/// The parameters of a panel's columns, zero beyond the last one. Vector kernels load them whole.
#[repr(C, align(64))]
pub(crate) struct ColumnParams {
    /// What the accumulators begin with.
    pub bias: [i32; PANEL],
    pub multiplier: [i32; PANEL],
    pub shift: [i32; PANEL],
    /// The multipliers and shifts as floats.
    pub factor: [f32; PANEL],
    /// What a residual that joins the sums is multiplied by, what is added then, and the shift.
    pub residual_multiplier: [i32; PANEL],
    pub residual_constant: [i32; PANEL],
    pub residual_shift: [i32; PANEL],
}

impl ColumnParams {
    pub(crate) const ZERO: ColumnParams = ColumnParams {
        bias: [0; PANEL],
        multiplier: [0; PANEL],
        shift: [0; PANEL],
        factor: [0.0; PANEL],
        residual_multiplier: [0; PANEL],
        residual_constant: [0; PANEL],
        residual_shift: [0; PANEL],
    };

    /// Takes the parameters of the columns `from..from + n`; the answer is whether float32 is exact for all of them, and then
    /// [`ColumnParams::derive`] has to follow.
    ///
    /// # Panics
    /// Where a shift is out of `1..=62`.
    pub(crate) fn set(&mut self, requantize: &Requantize, from: usize, n: usize) -> bool {
        let to = from + n;
        self.set_bias(requantize.bias, from, n);
        self.multiplier[..n].copy_from_slice(&requantize.multiplier[from..to]);
        self.shift[..n].copy_from_slice(&requantize.shift[from..to]);
        let shifts = &self.shift[..n];
        let (least, most) = shifts.iter().fold((62, 1), |(least, most), &s| (s.min(least), s.max(most)));
        assert!(least >= 1 && most <= 62, "a shift lies in 1..=62");
        is_exact_in_floats(requantize.reach, least, most)
    }

    /// Fills the lanes that follow from multipliers and shifts: all of them, so that a tier makes vectors of the loop.
    #[inline(always)]
    pub(crate) fn derive(&mut self) {
        for ((factor, &multiplier), &shift) in self.factor.iter_mut().zip(&self.multiplier).zip(&self.shift) {
            *factor = float_factor(multiplier, shift);
        }
    }

    /// The factors of a register's columns from `from` on.
    ///
    /// # Safety
    /// The CPU has the tier of `V`; `from` plus the lanes of `V` is at most [`PANEL`].
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[inline(always)]
    pub(crate) unsafe fn factor<V: Vector>(&self, from: usize) -> V {
        // SAFETY: the caller's.
        unsafe { V::load(self.factor.as_ptr().add(from).cast()) }
    }

    /// What turns the residuals of a register's columns from `from` on into parts of the sums.
    ///
    /// # Safety
    /// As [`ColumnParams::factor`].
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[inline(always)]
    pub(crate) unsafe fn residual_scale<V: Vector>(&self, from: usize) -> ResidualScale<V> {
        // SAFETY: the caller's.
        unsafe {
            ResidualScale {
                multiplier: V::load(self.residual_multiplier.as_ptr().add(from)),
                constant: V::load(self.residual_constant.as_ptr().add(from)),
                shift: V::load(self.residual_shift.as_ptr().add(from)),
            }
        }
    }

    /// Takes the parameters of a residual that joins the sums of the columns `from..from + n`.
    ///
    /// # Panics
    /// Where one is out of the range that the vector code is exact for.
    pub(crate) fn set_residual(&mut self, residual: &ResidualParams, from: usize, n: usize) {
        let (multiplier, shift) = (&residual.multiplier[from..from + n], &residual.shift[from..from + n]);
        self.residual_multiplier[..n].copy_from_slice(multiplier);
        self.residual_constant[..n].copy_from_slice(&residual.constant[from..from + n]);
        self.residual_shift[..n].copy_from_slice(shift);
        let most = multiplier.iter().fold(0, |most, &m| most | m as u32);
        assert!(most < RESIDUAL_MULTIPLIER_END as u32, "a residual's multiplier has 15 bits");
        let (least, most) = shift.iter().fold((1, 1), |(least, most), &s| (s.min(least), s.max(most)));
        assert!(least >= 1 && most <= RESIDUAL_SHIFT_MAX as i32, "a residual's shift lies in 1..=23");
    }

    /// What the sums of a row begin with: the bias, the row's own, and the residuals that join them, if any do.
    #[inline(always)]
    pub(crate) fn begin(&self, row_bias: Option<&i32>, residuals: &[u8], sums: &mut [i32; PANEL]) {
        let row_bias = row_bias.copied().unwrap_or(0);
        for (sum, bias) in sums.iter_mut().zip(&self.bias) {
            *sum = bias.wrapping_add(row_bias);
        }
        let factors = self.residual_multiplier.iter().zip(&self.residual_constant).zip(&self.residual_shift);
        for ((sum, &r), ((multiplier, &constant), shift)) in sums.iter_mut().zip(residuals).zip(factors) {
            *sum = sum.wrapping_add((i32::from(r) * multiplier).wrapping_add(constant) >> (shift & 31));
        }
    }

    /// Takes the accumulators' first values alone.
    pub(crate) fn set_bias(&mut self, bias: &[i32], from: usize, n: usize) {
        self.bias[..n].copy_from_slice(&bias[from..from + n]);
    }
}

/// Where a panel's results go, and what they are.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    U8 { data: *mut u8, stride: usize, quantize: Quantize, residual: Option<Addend> },
    I16 { data: *mut i16, stride: usize, lo: i32, hi: i32 },
    F32 { data: *mut f32, stride: usize, x_scale: f32, scale: *const f32, bias: *const f32 },
    F32ByRow(FloatsByRow),
}

/// Floats of rows that have scales and zero points of their own: formula (10a) of docs/arithmetic.md.
#[derive(Clone, Copy)]
pub(crate) struct FloatsByRow {
    pub data: *mut f32,
    pub stride: usize,
    /// Row `r` has the scale and the zero point at `r * step`.
    pub x_scale: *const f32,
    pub x_zero_point: *const u8,
    pub step: usize,
    /// Of each column's weights.
    pub sums: *const i32,
    pub scale: *const f32,
    pub bias: *const f32,
    /// The smallest and the largest result.
    pub clamp: Option<[f32; 2]>,
}

impl FloatsByRow {
    /// Makes the results of a row of accumulators, one for each of the columns.
    ///
    /// # Safety
    /// The row and the columns lie inside the target's slices.
    #[inline(always)]
    unsafe fn finish_row(&self, acc: &[i32], row: usize, columns: Range<usize>) {
        let (n, from) = (acc.len(), columns.start);
        // SAFETY: the caller's; the mutable slice has no other view while the kernel runs.
        let (y, sums, scale, bias) = unsafe {
            (
                std::slice::from_raw_parts_mut(self.data.add(row * self.stride + from), n),
                std::slice::from_raw_parts(self.sums.add(from), n),
                std::slice::from_raw_parts(self.scale.add(from), n),
                std::slice::from_raw_parts(self.bias.add(from), n),
            )
        };
        // SAFETY: there are numbers of each row, or of all at step 0.
        let (x_scale, zero) = unsafe {
            let at = row * self.step;
            (*self.x_scale.add(at), i32::from(*self.x_zero_point.add(at)))
        };
        for c in 0..n {
            let acc = acc[c].wrapping_sub(zero.wrapping_mul(sums[c]));
            y[c] = (acc as f32 * x_scale).mul_add(scale[c], bias[c]);
        }
        if let Some([lo, hi]) = self.clamp {
            for y in y {
                let least = if *y <= lo { lo } else { *y };
                *y = if least > hi { hi } else { least };
            }
        }
    }
}

/// What all columns of a requantization share.
#[derive(Clone, Copy)]
pub(crate) struct Quantize {
    /// Whether float32 is exact for the panel.
    pub in_floats: bool,
    pub zero_point: i32,
    pub lo: i32,
    pub hi: i32,
}

/// A residual that is added to the bytes, whose bounds have been checked.
#[derive(Clone, Copy)]
pub(crate) struct Addend {
    pub data: *const u8,
    pub stride: usize,
    pub add: AddParams,
}

/// Writes `rows` rows of the panel's columns `columns` from accumulators in memory, rows `ld` apart: exact for every
/// shift. The vector kernels use it, compiled for their tier, where results are not bytes or float32 is not exact.
///
/// # Safety
/// `acc` has `rows` rows of as many values as there are columns; the rows `row..row + rows` of the target lie inside
/// its slices.
#[inline(always)]
pub(crate) unsafe fn finish(
    target: &Target,
    params: &ColumnParams,
    row: usize,
    rows: usize,
    columns: Range<usize>,
    acc: *const i32,
    ld: usize,
) {
    let n = columns.len();
    for r in 0..rows {
        // SAFETY: the caller's bounds; the slices made here are n long and lie inside the target's, of which the
        // mutable one has no other view while the kernel runs.
        unsafe {
            let acc = std::slice::from_raw_parts(acc.add(r * ld), n);
            let at = |stride: usize| (row + r) * stride + columns.start;
            match *target {
                Target::U8 { data, stride, quantize, residual } => {
                    let y = std::slice::from_raw_parts_mut(data.add(at(stride)), n);
                    finish_u8(acc, params, &quantize, columns.clone(), y);
                    if let Some(Addend { data, stride, add }) = residual {
                        let b = std::slice::from_raw_parts(data.add(at(stride)), n);
                        y.iter_mut().zip(b).for_each(|(y, &b)| *y = add.apply(*y, b));
                    }
                }
                Target::I16 { data, stride, lo, hi } => {
                    let y = std::slice::from_raw_parts_mut(data.add(at(stride)), n);
                    finish_i16(acc, params, [lo, hi], columns.clone(), y);
                }
                Target::F32 { data, stride, x_scale, scale, bias } => {
                    let y = std::slice::from_raw_parts_mut(data.add(at(stride)), n);
                    let scale = std::slice::from_raw_parts(scale.add(columns.start), n);
                    let bias = std::slice::from_raw_parts(bias.add(columns.start), n);
                    for c in 0..n {
                        y[c] = (acc[c] as f32 * x_scale).mul_add(scale[c], bias[c]);
                    }
                }
                Target::F32ByRow(by) => by.finish_row(acc, row + r, columns.clone()),
            }
        }
    }
}

/// One row of int16, by formula (9d) of docs/arithmetic.md.
#[inline(always)]
fn finish_i16(acc: &[i32], params: &ColumnParams, [lo, hi]: [i32; 2], columns: Range<usize>, y: &mut [i16]) {
    let (multiplier, shift) = (&params.multiplier[columns.clone()], &params.shift[columns]);
    for c in 0..y.len() {
        y[c] = Scale::<true>::new(multiplier[c], shift[c].unsigned_abs(), lo, hi).apply_short(acc[c]);
    }
}

/// One row of bytes, by the text of the rule.
#[inline(always)]
fn finish_u8(acc: &[i32], params: &ColumnParams, quantize: &Quantize, columns: Range<usize>, y: &mut [u8]) {
    let Quantize { zero_point, lo, hi, .. } = *quantize;
    let (multiplier, shift) = (&params.multiplier[columns.clone()], &params.shift[columns]);
    for c in 0..y.len() {
        y[c] = requantize(acc[c], multiplier[c], shift[c] as u32, zero_point, lo, hi);
    }
}
