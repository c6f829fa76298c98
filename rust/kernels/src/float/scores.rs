//! What attention does with the products of queries and keys: a factor, a mask, a softmax, row by row where they lie.

use super::softmax;
use crate::isa::Kernels;

/// What becomes of rows of n elements, one operation after the other, each rounded.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a> {
    /// Elements of a row.
    pub n: usize,
    /// Applied first.
    pub factor: Option<Factor>,
    /// Added next.
    pub mask: Option<Mask<'a>>,
}

/// A number for all elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Factor {
    /// They are multiplied by it.
    Times(f32),
    /// They are divided by it.
    Over(f32),
}

/// What is added to each row.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    /// Row i begins at `i * stride`.
    pub data: &'a [f32],
    /// Elements from one row to the next; 0 where all have the same.
    pub stride: usize,
}

/// Makes each row the softmax of its masked products: exponentials are summed in 16 lanes.
pub fn run(k: Kernels, by: &Scores<'_>, rows: &mut [f32]) {
    assert!(by.n > 0 && rows.len().is_multiple_of(by.n), "rows");
    if let Some(Mask { data, stride }) = by.mask {
        let last = (rows.len() / by.n).saturating_sub(1).checked_mul(stride);
        assert!(last.and_then(|last| last.checked_add(by.n)).is_some_and(|end| end <= data.len()), "mask");
    }
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.scores.run)(by, rows) }
}

#[inline(always)]
pub(super) fn kernel(by: &Scores<'_>, rows: &mut [f32]) {
    for (i, row) in rows.chunks_exact_mut(by.n).enumerate() {
        match by.factor {
            Some(Factor::Times(factor)) => row.iter_mut().for_each(|x| *x *= factor),
            Some(Factor::Over(factor)) => row.iter_mut().for_each(|x| *x /= factor),
            None => {}
        }
        if let Some(Mask { data, stride }) = by.mask {
            row.iter_mut().zip(&data[i * stride..]).for_each(|(x, &m)| *x += m);
        }
        softmax::in_place(row);
    }
}
