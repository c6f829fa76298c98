//! What becomes of a dot product's sum: bias, another tensor, an activation, each rounded on its own.

use super::unary::{self, Unary};
use crate::isa::Has;

/// What follows a chain of multiply-adds, in this order. What is missing changes no bit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// One number a column, added to it.
    pub bias: Option<&'a [f32]>,
    /// A tensor added to the output.
    pub residual: Option<Residual<'a>>,
    /// The function applied last.
    pub activation: Option<Unary>,
}

/// Another tensor of as many rows and columns as the output.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// Row i begins at `i * stride`.
    pub data: &'a [f32],
    /// Elements from one row to the next.
    pub stride: usize,
}

/// `min(max(x, lo), hi)` with NaN passed on, where neither zero's sign matters: `x <= lo` gives lo, then a value above
/// hi gives hi.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamp {
    /// Not NaN, not -0.
    pub lo: f32,
    /// Not NaN, not -0.
    pub hi: f32,
}

impl Clamp {
    /// Changes nothing but NaN's payload.
    pub const NONE: Clamp = Clamp { lo: f32::NEG_INFINITY, hi: f32::INFINITY };

    /// The clamp that gives the function's bits, if there is one.
    pub fn of(function: Unary) -> Option<Clamp> {
        let is_plain = |x: f32| !x.is_nan() && x.to_bits() != (-0.0f32).to_bits();
        match function {
            Unary::Relu => Some(Clamp { lo: 0.0, hi: f32::INFINITY }),
            Unary::Clip { lo, hi } if is_plain(lo) && is_plain(hi) => Some(Clamp { lo, hi }),
            _ => None,
        }
    }

    /// The clamped number.
    #[inline(always)]
    pub(super) fn apply(self, x: f32) -> f32 {
        let x = if x <= self.lo { self.lo } else { x };
        if x > self.hi { self.hi } else { x }
    }
}

impl Epilogue<'_> {
    /// The activation as a clamp for a kernel's registers, or else the function to apply to what the kernel wrote.
    pub(super) fn split(&self) -> (Clamp, Option<Unary>) {
        match self.activation {
            None => (Clamp::NONE, None),
            Some(function) => match Clamp::of(function) {
                Some(clamp) => (clamp, None),
                None => (Clamp::NONE, Some(function)),
            },
        }
    }

    /// Panics unless every column has its bias and every row its residual.
    pub(super) fn check(&self, m: usize, n: usize) {
        assert!(self.bias.is_none_or(|bias| bias.len() == n), "bias");
        if let Some(Residual { data, stride }) = self.residual {
            let end = stride.checked_mul(m - 1).and_then(|start| start.checked_add(n));
            assert!(end.is_some_and(|end| end <= data.len()), "residual");
        }
    }
}

/// Applies a function to rows of `n` elements, `stride` from each other.
pub(super) fn apply_to_rows(
    k: impl Has<unary::Entries>,
    function: Unary,
    rows: &mut [f32],
    n: usize,
    stride: usize,
) {
    if n == stride {
        return unary::run_in_place(k, function, rows);
    }
    for row in rows.chunks_mut(stride) {
        let n = n.min(row.len());
        unary::run_in_place(k, function, &mut row[..n]);
    }
}
