//! The scalar tier: one row of one unit at a time.

use super::entries::{PAIR, PAIR_BYTES, Product, UNIT, UNIT_BYTES, finish};

/// Runs a product.
pub(super) fn product(p: &Product<'_, '_>) {
    for unit in 0..p.columns.n.div_ceil(UNIT) {
        for row in 0..p.m {
            // SAFETY: the product has been checked: the row is below m, the unit one of its own, and there are its sums.
            unsafe {
                let sums = sums(p, row, unit).map(|sum| sum as f64);
                finish(p, row, 1, unit * UNIT, UNIT, sums.as_ptr());
            }
        }
    }
}

/// The sums of a row's products with the 16 columns of a unit.
///
/// # Safety
/// `row` and `unit` are the product's, which has been checked.
unsafe fn sums(p: &Product<'_, '_>, row: usize, unit: usize) -> [i64; UNIT] {
    let (mut short, mut long, mut left) = ([0i32; UNIT], [0i64; UNIT], p.columns.together);
    for tap in 0..p.columns.taps {
        for pair in 0..p.pairs {
            // SAFETY: a tap has `pairs` pairs of readable elements; a unit has as many of 64 bytes a tap.
            let (x, w) = unsafe {
                let at = unit * p.unit_bytes + (tap * p.pairs + pair) * UNIT_BYTES;
                (
                    p.left.tap(row, tap).add(pair * PAIR_BYTES).cast::<[i16; PAIR]>().read_unaligned(),
                    p.columns.packed.as_ptr().add(at).cast::<[[i16; PAIR]; UNIT]>().read_unaligned(),
                )
            };
            for (sum, w) in short.iter_mut().zip(w) {
                *sum += i32::from(x[0]) * i32::from(w[0]) + i32::from(x[1]) * i32::from(w[1]);
            }
            left -= 1;
            if left == 0 {
                left = p.columns.together;
                for (long, short) in long.iter_mut().zip(&mut short) {
                    *long += i64::from(std::mem::take(short));
                }
            }
        }
    }
    for (long, short) in long.iter_mut().zip(short) {
        *long += i64::from(short);
    }
    long
}
