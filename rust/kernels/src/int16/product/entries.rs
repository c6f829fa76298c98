//! What the tiers' products are called through.

use crate::int16::rule::{Floats, Requantize};
use crate::isa::Entry;
use crate::requantize::words::Scale;
use crate::rows::Left;

/// Columns of a unit.
pub const UNIT: usize = 16;
/// Elements that are multiplied together.
pub const PAIR: usize = 2;
/// Bytes of a pair of the left side, and of a column's.
pub(super) const PAIR_BYTES: usize = 4;
/// Bytes of the pairs of a unit.
pub(super) const UNIT_BYTES: usize = UNIT * PAIR_BYTES;
/// The packed right side: `n` columns of `taps x kc`.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// What [`pack`](super::pack) wrote.
    pub packed: &'a [u8],
    /// Columns.
    pub n: usize,
    /// Taps of the kernel: 1 for a matrix product.
    pub taps: usize,
    /// Elements of a tap: the input channels of a group.
    pub kc: usize,
    /// What [`together`](super::together()) says of the weights.
    pub together: usize,
}

impl<'a> Columns<'a> {
    /// The columns of a range of units; the last unit may be cut short by `n`.
    pub fn slice(&self, units: std::ops::Range<usize>) -> Columns<'a> {
        let all = self.n.div_ceil(UNIT);
        assert!(units.start < units.end && units.end <= all, "{units:?} of {all} units");
        let bytes = self.packed.len() / all;
        Columns {
            packed: &self.packed[units.start * bytes..units.end * bytes],
            n: (units.end * UNIT).min(self.n) - units.start * UNIT,
            ..*self
        }
    }
}

/// Where the results go: row `r` is the `n` values at `r * stride`; nothing else is written.
#[derive(Debug)]
pub enum Out<'a> {
    /// Requantized.
    I16 {
        /// The rows.
        data: &'a mut [i16],
        /// Elements from one row to the next.
        stride: usize,
        /// Parameters of the `n` columns.
        requantize: Requantize<'a>,
    },
    /// Floats.
    F32 {
        /// The rows.
        data: &'a mut [f32],
        /// Elements from one row to the next.
        stride: usize,
        /// Parameters of the `n` columns.
        floats: Floats<'a>,
    },
}

type RunProduct = unsafe fn(&Product<'_, '_>);

/// One tier's kernels.
#[derive(Debug)]
pub struct Entries {
    /// See [`run`](super::run). The code asks for a product that has been checked.
    pub product: Entry<RunProduct>,
}

/// A product that has been checked.
pub struct Product<'a, 'o> {
    pub(super) left: Left,
    pub(super) m: usize,
    pub(super) columns: Columns<'a>,
    /// Bytes of a unit.
    pub(super) unit_bytes: usize,
    /// Pairs of a tap.
    pub(super) pairs: usize,
    pub(super) out: Target<'o>,
}

/// [`Out`] as the kernels write it: the first row, and elements from one to the next.
pub(super) enum Target<'a> {
    I16(*mut i16, usize, Requantize<'a>),
    F32(*mut f32, usize, Floats<'a>),
}

/// Makes results of sums, which are integers, and writes them: `rows` rows from `row` on of the columns from `first` on,
/// `width` sums a row, of which some may be of no column.
///
/// # Safety
/// The product has been checked, and has the rows and the first column; there are the sums.
pub(super) unsafe fn finish(
    p: &Product<'_, '_>,
    row: usize,
    rows: usize,
    first: usize,
    width: usize,
    sums: *const f64,
) {
    let n = width.min(p.columns.n - first);
    for r in 0..rows {
        // SAFETY: the caller's.
        let sums = unsafe { std::slice::from_raw_parts(sums.add(r * width), n) };
        for (c, &sum) in (first..).zip(sums) {
            // SAFETY: the checked output has the row and the column.
            unsafe {
                match p.out {
                    Target::I16(data, stride, by) => {
                        let shift = by.shift[c].unsigned_abs();
                        let scale = Scale::<false>::new(by.multiplier[c], shift, by.lo, by.hi);
                        *data.add((row + r) * stride + c) = scale.apply(sum as i64 + by.bias[c]);
                    }
                    Target::F32(data, stride, by) => {
                        let y = (sum as f32 * by.x_scale).mul_add(by.scale[c], by.bias[c]);
                        *data.add((row + r) * stride + c) = y;
                    }
                }
            }
        }
    }
}
