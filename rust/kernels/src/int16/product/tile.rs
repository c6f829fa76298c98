//! The tiles of every tier, written once over its registers. The 16 columns of a unit are `N` registers of int32.

use std::array::from_fn;
use std::mem::MaybeUninit;

use super::entries::{PAIR_BYTES, Product, Target, UNIT, UNIT_BYTES, finish};
use crate::int16::lanes::{Lanes, Params};
use crate::unroll::unroll;

/// The numbers of a panel's columns, 4 units at most.
pub(super) type Columns = Params<{ 4 * UNIT }>;

/// The 16 columns of a unit in registers.
///
/// # Safety
/// As [`Lanes`].
pub(super) trait Unit<const N: usize>: Lanes {
    /// Stores the first `n` lanes as words in order, saturated and clamped.
    unsafe fn store_words(lanes: [Self; N], params: &Columns, to: *mut i16, n: usize);
}

/// The panel's parameters: of the `n` columns from `first` on; none of floats.
#[inline(always)]
fn columns(p: &Product<'_, '_>, first: usize, n: usize) -> Columns {
    let Target::I16(_, _, by) = p.out else { return Params::new(0, 0) };
    let mut params = Params::new(by.lo, by.hi);
    for c in 0..n {
        params.set(c, &by, first + c);
    }
    params
}

/// Computes the `ROWS` rows from `row` on of the `UNITS` units from `unit` on.
///
/// # Safety
/// The CPU has the tier of `V`; the product has been checked, and has the rows and units.
#[inline(always)]
pub(super) unsafe fn tile<V: Unit<N>, const N: usize, const UNITS: usize, const ROWS: usize>(
    p: &Product<'_, '_>,
    params: &Columns,
    row: usize,
    unit: usize,
) {
    let is_long = p.columns.together < p.columns.taps * p.pairs;
    let is_direct =
        !is_long && (params.are_short() || params.are_small()) && matches!(p.out, Target::I16(..));
    let mut long = MaybeUninit::<[[[f64; UNIT]; UNITS]; ROWS]>::uninit();
    // SAFETY: a tap of a row has `pairs` pairs of readable elements; a unit has as many of 64 bytes a tap. Long sums are
    // zeros before they are added to.
    unsafe {
        if !is_direct {
            long.write([[[0.0; UNIT]; UNITS]; ROWS]);
        }
        let mut sums = [[[V::splat(0); N]; UNITS]; ROWS];
        let mut w = p.columns.packed.as_ptr().add(unit * p.unit_bytes);
        let mut left = p.columns.together;
        for tap in 0..p.columns.taps {
            let rows: [*const u8; ROWS] = from_fn(|r| p.left.tap(row + r, tap));
            let mut pair = 0;
            while pair < p.pairs {
                let end = pair + (p.pairs - pair).min(left);
                left -= end - pair;
                while pair < end {
                    multiply_add(&mut sums, &rows, pair * PAIR_BYTES, w, p.unit_bytes);
                    w = w.add(UNIT_BYTES);
                    pair += 1;
                }
                if left == 0 {
                    left = p.columns.together;
                    if is_long {
                        // Copied, so that the sums can stay in registers.
                        spill(sums, long.as_mut_ptr());
                        sums = [[[V::splat(0); N]; UNITS]; ROWS];
                    }
                }
            }
        }
        match p.out {
            Target::I16(data, stride, _) if is_direct => {
                let data = data.add(row * stride + unit * UNIT);
                if params.are_short() {
                    store::<V, N, UNITS, ROWS, true>(sums, p, params, data, stride, unit);
                } else {
                    store::<V, N, UNITS, ROWS, false>(sums, p, params, data, stride, unit);
                }
            }
            _ => {
                spill(sums, long.as_mut_ptr());
                finish(p, row, ROWS, unit * UNIT, UNITS * UNIT, long.as_ptr().cast());
            }
        }
    }
}

/// Makes int16 of the sums and stores them; `data` is the first unit's first column. `SHORT`: by [`Params::are_short`], else
/// by [`Params::are_small`].
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn store<V: Unit<N>, const N: usize, const UNITS: usize, const ROWS: usize, const SHORT: bool>(
    sums: [[[V; N]; UNITS]; ROWS],
    p: &Product<'_, '_>,
    params: &Columns,
    data: *mut i16,
    stride: usize,
    unit: usize,
) {
    unroll!(u in UNITS, {
        let n = (p.columns.n - (unit + u) * UNIT).min(UNIT);
        // SAFETY: the caller's: there are parameters of each column, and room for the results of those that there are.
        unsafe {
            // Of one register or two. Loops rather than closures, which the compiler would not inline.
            let [first, second] = [u * UNIT, u * UNIT + (N - 1) * V::LANES];
            if SHORT {
                let by = [params.short::<V>(first), params.short::<V>(second)];
                unroll!(r in ROWS, {
                    let mut lanes = sums[r][u];
                    for i in 0..N {
                        lanes[i] = by[i].1.apply(lanes[i].add(by[i].0));
                    }
                    V::store_words(lanes, params, data.add(r * stride + u * UNIT), n);
                });
            } else {
                let by = [V::scales(params, first), V::scales(params, second)];
                unroll!(r in ROWS, {
                    let mut lanes = sums[r][u];
                    for i in 0..N {
                        lanes[i] = lanes[i].scale(&by[i]);
                    }
                    V::store_words(lanes, params, data.add(r * stride + u * UNIT), n);
                });
            }
        }
    });
}

/// Adds sums to those of 64 bits.
///
/// # Safety
/// The CPU has the tier of `V`; there are sums at `long`.
#[inline(always)]
unsafe fn spill<V: Unit<N>, const N: usize, const UNITS: usize, const ROWS: usize>(
    sums: [[[V; N]; UNITS]; ROWS],
    long: *mut [[[f64; UNIT]; UNITS]; ROWS],
) {
    for r in 0..ROWS {
        for u in 0..UNITS {
            for i in 0..N {
                // SAFETY: the caller's.
                unsafe {
                    sums[r][u][i].add_to(long.cast::<f64>().add((r * UNITS + u) * UNIT + i * V::LANES));
                }
            }
        }
    }
}

/// Adds the products of one pair of each row, at `at`, with those of each unit.
///
/// # Safety
/// The CPU has the tier of `V`; each row has the pair's 4 bytes, each unit 64 bytes at its place from `w` on.
#[inline(always)]
unsafe fn multiply_add<V: Unit<N>, const N: usize, const UNITS: usize, const ROWS: usize>(
    sums: &mut [[[V; N]; UNITS]; ROWS],
    rows: &[*const u8; ROWS],
    at: usize,
    w: *const u8,
    unit_bytes: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut weights = [[V::splat(0); N]; UNITS];
        for u in 0..UNITS {
            for i in 0..N {
                weights[u][i] = V::load_bytes(w.add(u * unit_bytes + i * V::BYTES));
            }
        }
        for r in 0..ROWS {
            let x = V::splat(rows[r].add(at).cast::<i32>().read_unaligned());
            for u in 0..UNITS {
                for i in 0..N {
                    sums[r][u][i] = sums[r][u][i].add_dot(x, weights[u][i]);
                }
            }
        }
    }
}

/// The rows of the units from `unit` on, in blocks of at most `MOST` rows that are as even as can be; `run` computes a
/// block of so many from a row on.
#[inline(always)]
pub(super) fn blocks<const MOST: usize>(
    p: &Product<'_, '_>,
    unit: usize,
    units: usize,
    mut run: impl FnMut(&Columns, usize, usize),
) {
    let first = unit * UNIT;
    let params = columns(p, first, (p.columns.n - first).min(units * UNIT));
    let count = p.m.div_ceil(MOST);
    let (low, taller) = (p.m / count, p.m % count);
    let mut row = 0;
    for block in 0..count {
        let height = low + usize::from(block < taller);
        run(&params, height, row);
        row += height;
    }
}
