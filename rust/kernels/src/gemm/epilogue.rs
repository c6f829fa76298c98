//! What a tile's accumulators become: the parameters of up to 64 columns laid out for the vector kernels, and the
//! plain epilogue that any tier can fall back on.

use std::ops::Range;

use super::pack::UNIT;
use crate::requantize::{Requantize, requantize};

/// Most units of a panel.
pub(crate) const PANEL_UNITS: usize = 4;
/// Most columns of a panel.
pub(crate) const PANEL: usize = PANEL_UNITS * UNIT;
/// The smallest shift at which a product's high half is all that the rounding needs.
const HIGH_SHIFT: i32 = 33;

/// QAdd of a product's own 8-bit result `a` and the residual `b`:
/// `clamp(y_zero_point + floor(((a - a_zero_point) * a_multiplier + (b - b_zero_point) * b_multiplier + 2^(shift-1)) / 2^shift), lo, hi)`.
#[derive(Clone, Copy, Debug)]
pub struct AddParams {
    /// Zero point of the product's own result.
    pub a_zero_point: i32,
    /// Zero point of the residual.
    pub b_zero_point: i32,
    /// Zero point of the sum.
    pub y_zero_point: i32,
    /// `|a_multiplier| < 2^15`.
    pub a_multiplier: i32,
    /// `|b_multiplier| < 2^15`.
    pub b_multiplier: i32,
    /// In `1..=30`.
    pub shift: u32,
    /// The smallest sum.
    pub lo: i32,
    /// The largest sum.
    pub hi: i32,
}

impl AddParams {
    /// The sum of two 8-bit values.
    #[inline(always)]
    pub(crate) fn apply(&self, a: u8, b: u8) -> u8 {
        let sum = i32::from(a) * self.a_multiplier + i32::from(b) * self.b_multiplier + self.constant();
        ((sum >> self.shift) + self.y_zero_point).clamp(self.lo, self.hi) as u8
    }

    /// What does not depend on the two values: their zero points' part and the rounding.
    #[inline(always)]
    pub(crate) fn constant(&self) -> i32 {
        (1 << (self.shift - 1))
            - self.a_zero_point * self.a_multiplier
            - self.b_zero_point * self.b_multiplier
    }

    /// # Panics
    /// Where a value is out of the range that the vector code is exact for.
    pub(crate) fn check(&self) {
        let bytes = 0..=255;
        assert!(
            [self.a_zero_point, self.b_zero_point, self.y_zero_point].iter().all(|z| bytes.contains(z)),
            "zero points are bytes"
        );
        assert!(
            self.a_multiplier.abs() < 1 << 15 && self.b_multiplier.abs() < 1 << 15,
            "multipliers have 16 bits"
        );
        assert!((1..=30).contains(&self.shift), "an addition's shift lies in 1..=30");
        assert!(0 <= self.lo && self.lo <= self.hi && self.hi <= 255, "lo and hi are bytes in order");
    }
}

/// The parameters of a panel's columns, zero beyond the last one. Vector kernels load them whole.
#[repr(C, align(64))]
pub(crate) struct Lanes {
    /// What the accumulators begin with.
    pub bias: [i32; PANEL],
    pub multiplier: [i32; PANEL],
    /// The next lane's multiplier: in lane `2i` that of lane `2i + 1`, for the product of the odd lanes.
    pub odd_multiplier: [i32; PANEL],
    /// `shift`, and for the high-half rule `shift - 32`.
    pub shift: [i32; PANEL],
    pub high_shift: [i32; PANEL],
    /// `2^(shift - 33)`.
    pub high_round: [i32; PANEL],
}

impl Lanes {
    pub(crate) const ZERO: Lanes = Lanes {
        bias: [0; PANEL],
        multiplier: [0; PANEL],
        odd_multiplier: [0; PANEL],
        shift: [0; PANEL],
        high_shift: [0; PANEL],
        high_round: [0; PANEL],
    };

    /// Takes the parameters of the columns `from..from + n`; the answer is whether the high-half rule is exact for
    /// all of them. [`Lanes::derive`] has to follow.
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
        least >= HIGH_SHIFT
    }

    /// Fills the lanes that follow from multipliers and shifts: all of them, so that a tier makes vectors of the loop.
    #[inline(always)]
    pub(crate) fn derive(&mut self) {
        self.odd_multiplier[..PANEL - 1].copy_from_slice(&self.multiplier[1..]);
        for lane in 0..PANEL {
            self.high_shift[lane] = (self.shift[lane] - 32).max(0);
            self.high_round[lane] = 1 << (self.shift[lane] - HIGH_SHIFT).max(0);
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
    F32 { data: *mut f32, stride: usize, x_scale: f32, scale: *const f32, bias: *const f32 },
}

/// What all columns of a requantization share.
#[derive(Clone, Copy)]
pub(crate) struct Quantize {
    /// Whether every shift of the panel is at least 33.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no tier of this architecture asks"))]
    pub high: bool,
    pub zero_point: i32,
    pub lo: i32,
    pub hi: i32,
}

/// A residual whose bounds have been checked.
#[derive(Clone, Copy)]
pub(crate) struct Addend {
    pub data: *const u8,
    pub stride: usize,
    pub add: AddParams,
}

/// Writes `rows` rows of the panel's columns `columns` from accumulators in memory, rows `ld` apart: exact for every
/// shift. The vector kernels use it, compiled for their tier, where results are not bytes or a shift is below 33.
///
/// # Safety
/// `acc` has `rows` rows of as many values as there are columns; the rows `row..row + rows` of the target lie inside
/// its slices.
#[inline(always)]
pub(crate) unsafe fn finish(
    target: &Target,
    lanes: &Lanes,
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
                    finish_u8(acc, lanes, &quantize, columns.clone(), y);
                    if let Some(Addend { data, stride, add }) = residual {
                        let b = std::slice::from_raw_parts(data.add(at(stride)), n);
                        y.iter_mut().zip(b).for_each(|(y, &b)| *y = add.apply(*y, b));
                    }
                }
                Target::F32 { data, stride, x_scale, scale, bias } => {
                    let y = std::slice::from_raw_parts_mut(data.add(at(stride)), n);
                    let scale = std::slice::from_raw_parts(scale.add(columns.start), n);
                    let bias = std::slice::from_raw_parts(bias.add(columns.start), n);
                    for c in 0..n {
                        y[c] = (acc[c] as f32 * x_scale).mul_add(scale[c], bias[c]);
                    }
                }
            }
        }
    }
}

/// One row of bytes, by the text of the rule.
#[inline(always)]
fn finish_u8(acc: &[i32], lanes: &Lanes, quantize: &Quantize, columns: Range<usize>, y: &mut [u8]) {
    let Quantize { zero_point, lo, hi, .. } = *quantize;
    let (multiplier, shift) = (&lanes.multiplier[columns.clone()], &lanes.shift[columns]);
    for c in 0..y.len() {
        y[c] = requantize(acc[c], multiplier[c], shift[c] as u32, zero_point, lo, hi);
    }
}
