//! Products by weights that stay in integers of 4 or 8 bits: each is dequantized where it is multiplied, so that a
//! product of few rows, which memory bounds, reads an eighth or a quarter of the bytes.
//!
//! A unit is 16 columns, as of float weights. It lies as one block of bytes after the other, of as many steps as share a
//! scale: 16 scales in float32, 16 zero points of a byte, then the steps' integers, unsigned: 16 bytes a step of 8 bits,
//! 16 bytes two steps of 4, the first in the lower bits.

#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;

use super::panel::UNIT;
use super::tile::{Sides, Vector, chain, opaque};
use crate::unroll::unroll;

/// Bytes of a block's scales and zero points.
const HEAD: usize = UNIT * (size_of::<f32>() + 1);

/// The shape of stored weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Bits of an integer: 4 or 8.
    pub bits: usize,
    /// Columns.
    pub n: usize,
    /// Steps.
    pub k: usize,
    /// Steps of a column that share a scale and a zero point; the last block may be shorter.
    pub block: usize,
}

/// Stored weights: integer `codes[j * column + i * step]` of column j and step i, `j * n_scale + b * k_scale` the place of
/// the scale and the zero point of block b.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Integers of `bits` bits.
    pub codes: &'a [u8],
    /// Elements from one column, and from one step, to the next.
    pub strides: [usize; 2],
    /// What the integers are multiplied by.
    pub scales: &'a [f32],
    /// What is taken off them before.
    pub zeros: &'a [u8],
    /// Elements from one column, and from one block, to the next.
    pub scale_strides: [usize; 2],
}

/// Bytes of the integers of some steps.
const fn codes_len(bits: usize, steps: usize) -> usize {
    if bits == 4 { steps.div_ceil(2) * UNIT } else { steps * UNIT }
}

impl Form {
    /// Bytes of a unit.
    pub fn unit_len(self) -> usize {
        let (whole, last) = (self.k / self.block, self.k % self.block);
        let of_last = if last == 0 { 0 } else { HEAD + codes_len(self.bits, last) };
        whole * (HEAD + codes_len(self.bits, self.block)) + of_last
    }

    /// Bytes of all units.
    pub fn packed_len(self) -> usize {
        self.n.div_ceil(UNIT) * self.unit_len()
    }

    /// Packs weights into `out`, [`Form::packed_len`] zeroed bytes. Columns that are missing of the last unit are zeros.
    ///
    /// # Panics
    /// Where a slice is too short, or a form has no bits or blocks that there are.
    pub fn pack(self, weights: &Weights<'_>, out: &mut [u8]) {
        assert!(matches!(self.bits, 4 | 8) && self.block > 0, "the form {self:?}");
        assert_eq!(out.len(), self.packed_len(), "packed weights");
        if self.k == 0 {
            return;
        }
        for (unit, mut out) in out.chunks_exact_mut(self.unit_len()).enumerate() {
            let columns = unit * UNIT..self.n.min((unit + 1) * UNIT);
            for (number, first) in (0..self.k).step_by(self.block).enumerate() {
                let steps = self.block.min(self.k - first);
                let (block, rest) = out.split_at_mut(HEAD + codes_len(self.bits, steps));
                for (lane, column) in columns.clone().enumerate() {
                    self.pack_column(weights, column, number, first..first + steps, lane, block);
                }
                out = rest;
            }
        }
    }

    /// One column of a block, into its lane.
    fn pack_column(
        self,
        weights: &Weights<'_>,
        column: usize,
        number: usize,
        steps: std::ops::Range<usize>,
        lane: usize,
        block: &mut [u8],
    ) {
        let &Weights { codes, strides, scales, zeros, scale_strides } = weights;
        let place = column * scale_strides[0] + number * scale_strides[1];
        block[lane * 4..][..4].copy_from_slice(&scales[place].to_le_bytes());
        block[UNIT * 4 + lane] = zeros[place];
        let block = &mut block[HEAD..];
        for (at, step) in steps.enumerate() {
            let code = codes[column * strides[0] + step * strides[1]];
            if self.bits == 8 {
                block[at * UNIT + lane] = code;
            } else {
                block[at / 2 * UNIT + lane] |= (code & 15) << (at % 2 * 4);
            }
        }
    }
}

/// Dense rows, and a panel of stored weights.
#[derive(Clone, Copy, Debug)]
pub struct Stored<const BITS: usize> {
    /// The rows, `stride` elements apart.
    data: *const f32,
    stride: usize,
    /// The panel's first unit; the next is `unit_stride` bytes on.
    packed: *const u8,
    unit_stride: usize,
    k: usize,
    block: usize,
}

impl<const BITS: usize> Stored<BITS> {
    /// Rows by packed weights from that unit on.
    pub(super) fn of(x: &[f32], stride: usize, packed: &[u8], form: Form, unit: usize) -> Stored<BITS> {
        let Form { k, block, .. } = form;
        let unit_stride = form.unit_len();
        Stored {
            data: x.as_ptr(),
            stride,
            packed: packed[unit * unit_stride..].as_ptr(),
            unit_stride,
            k,
            block,
        }
    }
}

/// Bytes ahead of those that are multiplied, which are asked for meanwhile: a core by itself does not look beyond a page.
const AHEAD: usize = 2048;
/// Most steps that are dequantized before they are multiplied.
const STEPS: usize = 32;

impl<V: Vector, const BITS: usize> Sides<V> for Stored<BITS> {
    /// Weights that one row reads are multiplied as they are dequantized; those that several read lie in memory between,
    /// so that the sums of all rows have registers.
    #[inline(always)]
    unsafe fn sums<const UNITS: usize, const ROWS: usize>(&self, row: usize) -> [[V; UNITS]; ROWS] {
        let &Stored { data, stride, packed, unit_stride, k, block } = self;
        // SAFETY: each row has k elements; a unit has, of each block, what `Form` lays out.
        unsafe {
            let mut floats = [const { MaybeUninit::<[[f32; UNIT]; STEPS]>::uninit() }; UNITS];
            let to = floats.as_mut_ptr().cast::<f32>();
            let mut sums = [[V::splat(0.0); UNITS]; ROWS];
            let mut x = [std::ptr::null::<f32>(); ROWS];
            unroll!(r in ROWS, { x[r] = opaque(data.add((row + r) * stride)) });
            let (mut head, mut left) = (packed, k);
            while left > 0 {
                let steps = block.min(left);
                let codes = head.add(HEAD);
                if ROWS == 1 {
                    sums[0] = one_row::<V, BITS, UNITS>(sums[0], x[0], head, codes, unit_stride, steps);
                } else {
                    let mut at = 0;
                    while at < steps {
                        let some = STEPS.min(steps - at);
                        unroll!(u in UNITS, {
                            let (head, codes) = (head.add(u * unit_stride), codes.add(u * unit_stride + codes_len(BITS, at)));
                            dequantize::<V, BITS>(head, codes, some, to.add(u * STEPS * UNIT));
                        });
                        let mut from = x;
                        unroll!(r in ROWS, { from[r] = x[r].add(at) });
                        sums = chain(sums, &from, to, STEPS * UNIT, some);
                        at += some;
                    }
                }
                unroll!(r in ROWS, { x[r] = x[r].add(steps) });
                head = codes.add(codes_len(BITS, steps));
                left -= steps;
            }
            sums
        }
    }
}

/// The chains of one row, carried on by the steps of a block.
///
/// # Safety
/// The CPU has the tier of `V`; the row has so many elements, and each unit so many steps in its block.
#[inline(always)]
unsafe fn one_row<V: Vector, const BITS: usize, const UNITS: usize>(
    mut sums: [V; UNITS],
    x: *const f32,
    head: *const u8,
    codes: *const u8,
    unit_stride: usize,
    steps: usize,
) -> [V; UNITS] {
    // SAFETY: the caller's.
    unsafe {
        let (mut scales, mut zeros) = ([V::splat(0.0); UNITS], [V::splat(0.0); UNITS]);
        unroll!(u in UNITS, {
            let head = head.add(u * unit_stride);
            scales[u] = V::load(head.cast());
            zeros[u] = V::bytes(head.add(UNIT * 4));
        });
        if BITS == 8 {
            for step in 0..steps {
                let x = V::splat(*x.add(step));
                unroll!(u in UNITS, {
                    let from = codes.add(u * unit_stride + step * UNIT);
                    V::soon(from.wrapping_add(AHEAD));
                    sums[u] = sums[u].add_product(x, V::bytes(from).sub(zeros[u]).mul(scales[u]));
                });
            }
            return sums;
        }
        for pair in 0..steps / 2 {
            let (x, next) = (V::splat(*x.add(2 * pair)), V::splat(*x.add(2 * pair + 1)));
            unroll!(u in UNITS, {
                let from = codes.add(u * unit_stride + pair * UNIT);
                V::soon(from.wrapping_add(AHEAD));
                let (even, odd) = V::nibbles(from);
                sums[u] = sums[u].add_product(x, even.sub(zeros[u]).mul(scales[u]));
                sums[u] = sums[u].add_product(next, odd.sub(zeros[u]).mul(scales[u]));
            });
        }
        if steps % 2 == 1 {
            let (x, codes) = (V::splat(*x.add(steps - 1)), codes.add(steps / 2 * UNIT));
            unroll!(u in UNITS, {
                let (even, _) = V::nibbles(codes.add(u * unit_stride));
                sums[u] = sums[u].add_product(x, even.sub(zeros[u]).mul(scales[u]));
            });
        }
    }
    sums
}

/// The weights of some steps of a block, at least one.
///
/// # Safety
/// The CPU has the tier of `V`; `head` is that of a block, `codes` the integers of so many steps, and there is room for
/// so many times 16 elements.
#[inline(always)]
unsafe fn dequantize<V: Vector, const BITS: usize>(
    head: *const u8,
    codes: *const u8,
    steps: usize,
    to: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let (scale, zero) = (V::load(head.cast()), V::bytes(head.add(UNIT * 4)));
        if BITS == 8 {
            for step in 0..steps {
                V::bytes(codes.add(step * UNIT)).sub(zero).mul(scale).store(to.add(step * UNIT));
            }
            return;
        }
        for pair in 0..steps.div_ceil(2) {
            let (even, odd) = V::nibbles(codes.add(pair * UNIT));
            even.sub(zero).mul(scale).store(to.add(2 * pair * UNIT));
            odd.sub(zero).mul(scale).store(to.add((2 * pair + 1) * UNIT));
        }
    }
}
