//! What the tiles of every tier do alike, written once over its registers: a step of the dot products, and the epilogue.
//! The 16 columns of a unit are `N` registers.

use std::ops::Range;

use super::entries::{Joining, Panel};
use super::epilogue::{Addend, Quantize, Target, finish};
use super::pack::UNIT;
use crate::requantize::{FloatScale, Limits, VectorAdd, scale_any};
use crate::simd::Vector;
use crate::unroll::unroll;

/// The accumulators of a tile.
pub(super) type Accumulators<V, const N: usize, const UNITS: usize, const ROWS: usize> =
    [[[V; N]; UNITS]; ROWS];

/// The tiles of `count` rows, at most `most` high and as even as can be, so that none is short: heights, and the rows that have
/// tiles of this height.
#[inline(always)]
pub(super) fn heights(count: usize, most: usize) -> [(usize, Range<usize>); 2] {
    let tiles = count.div_ceil(most);
    let (low, taller) = (count / tiles, count % tiles);
    let split = taller * (low + 1);
    [(low + 1, 0..split), (low, split..count)]
}

/// How a tier moves bytes between rows and a register.
///
/// # Safety
/// As [`Vector`]; the first `n` bytes of each of the rows can be read or written, and no others are.
pub(super) trait Tile: Vector {
    /// Loads `rows` rows of `n` bytes, each to a place of `UNITS * 16`: as many rows as a register has room for, or less.
    unsafe fn gather<const UNITS: usize>(data: *const u8, stride: usize, rows: usize, n: usize) -> Self;

    /// The first `n` bytes as lanes, at most as many as there are; no others are read.
    unsafe fn widen(from: *const u8, n: usize) -> Self;

    /// The first `n` lanes from memory, at most as many as there are; no others are read.
    unsafe fn load_some(from: *const f32, n: usize) -> Self;

    /// Stores the first `n` lanes, at most as many as there are.
    unsafe fn store_some(self, to: *mut f32, n: usize);

    /// Stores what [`Tile::gather`] loads.
    unsafe fn scatter<const UNITS: usize>(self, data: *mut u8, stride: usize, rows: usize, n: usize);

    /// Stores the first `n` lanes of a unit's registers as words in order, saturated, then held to `lo..=hi`.
    unsafe fn store_words(unit: &[Self], lo: i16, hi: i16, to: *mut i16, n: usize);

    /// [`finish_in_vectors`] of the columns `from..from + n`, compiled for the tier and not inlined: `rows` rows of accumulators
    /// at `acc`, `ld` apart.
    unsafe fn finish(
        panel: &Panel,
        row: usize,
        rows: usize,
        from: usize,
        n: usize,
        acc: *const i32,
        ld: usize,
    );
}

/// Adds the products of one step: 4 bytes of each row, at `at`, with 64 bytes of each unit.
///
/// # Safety
/// The CPU has the tier of `V`; each row has the step's 4 bytes, each unit 64 bytes at its place from `w` on.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn multiply_add<V: Tile, const N: usize, const UNITS: usize, const ROWS: usize>(
    acc: &mut Accumulators<V, N, UNITS, ROWS>,
    rows: &[*const u8; ROWS],
    at: usize,
    w: *const u8,
    unit_bytes: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut b = [[V::splat(0); N]; UNITS];
        for u in 0..UNITS {
            for i in 0..N {
                b[u][i] = V::load_bytes(w.add(u * unit_bytes + i * V::BYTES));
            }
        }
        for r in 0..ROWS {
            let x = V::splat(rows[r].add(at).cast::<i32>().read_unaligned());
            for u in 0..UNITS {
                for i in 0..N {
                    acc[r][u][i] = acc[r][u][i].dot(x, b[u][i]);
                }
            }
        }
    }
}

/// Adds the residuals that join the sums of a unit, whose first column is `from`.
///
/// # Safety
/// As [`epilogue`], of at most 16 columns.
#[inline(always)]
pub(super) unsafe fn add_residuals<V: Tile, const N: usize, const R: usize>(
    panel: &Panel,
    joining: Joining,
    acc: &mut Accumulators<V, N, 1, R>,
    row: usize,
    from: usize,
    n: usize,
) {
    for part in 0..N {
        let column = from + part * V::LANES;
        let here = n.saturating_sub(part * V::LANES).min(V::LANES);
        if here == 0 {
            continue;
        }
        // SAFETY: the caller's; `here` residuals of each row from the column on are the panel's.
        unsafe {
            let scale = panel.columns.residual_scale::<V>(column);
            for r in 0..R {
                let residuals = V::widen(joining.data.add((row + r) * joining.stride + column), here);
                acc[r][0][part] = acc[r][0][part].add(scale.apply(residuals));
            }
        }
    }
}

/// Makes results of the sums of rows from `row` on and of the columns `from..from + n` of the panel, and writes them.
///
/// # Safety
/// The CPU has the tier of `V`; the panel's bounds have been checked, and it has the rows and columns.
#[inline(always)]
pub(super) unsafe fn epilogue<V: Tile, const N: usize, const UNITS: usize, const ROWS: usize>(
    panel: &Panel,
    mut acc: Accumulators<V, N, UNITS, ROWS>,
    row: usize,
    from: usize,
    n: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        match &panel.target {
            Target::U8 { data, stride, quantize, residual } if quantize.in_floats => {
                scale(panel, &mut acc, from, quantize.zero_point);
                let place = Place { row, from, n };
                store(&acc, data.add(row * stride + from), *stride, quantize, residual.as_ref(), place);
            }
            Target::I16 { data, stride, lo, hi } => {
                let data = data.add(row * stride + from);
                store_int16(panel, &acc, data, *stride, [*lo as i16, *hi as i16], from, n);
            }
            _ => {
                // Copied, so that the accumulators can stay in registers.
                let acc = acc;
                V::finish(panel, row, ROWS, from, n, acc.as_ptr().cast(), UNITS * UNIT);
            }
        }
    }
}

/// What [`FloatScale`] makes of the sums.
///
/// # Safety
/// As [`epilogue`].
#[inline(always)]
unsafe fn scale<V: Tile, const N: usize, const UNITS: usize, const ROWS: usize>(
    panel: &Panel,
    acc: &mut Accumulators<V, N, UNITS, ROWS>,
    from: usize,
    zero_point: i32,
) {
    unroll!(u in UNITS, {
        for i in 0..N {
            // SAFETY: the caller's; a panel has UNITS units of columns from `from` on.
            unsafe {
                let factor: V = panel.columns.factor(from + u * UNIT + i * V::LANES);
                let scale = FloatScale::new(factor, zero_point);
                unroll!(r in ROWS, { acc[r][u][i] = scale.apply(acc[r][u][i]) });
            }
        }
    });
}

/// Makes int16 of sums, for any shift, and stores them.
///
/// # Safety
/// As [`epilogue`]; `data` is the first column of the first row.
#[inline(always)]
unsafe fn store_int16<V: Tile, const N: usize, const UNITS: usize, const ROWS: usize>(
    panel: &Panel,
    acc: &Accumulators<V, N, UNITS, ROWS>,
    data: *mut i16,
    stride: usize,
    [lo, hi]: [i16; 2],
    from: usize,
    n: usize,
) {
    unroll!(u in UNITS, {
        // SAFETY: the caller's; a panel has UNITS units of columns from `from` on, of which n are the product's.
        unsafe {
            let (mut multiplier, mut shift) = ([V::splat(0); N], [V::splat(0); N]);
            for i in 0..N {
                let at = from + u * UNIT + i * V::LANES;
                multiplier[i] = V::load(panel.columns.multiplier.as_ptr().add(at));
                shift[i] = V::load(panel.columns.shift.as_ptr().add(at));
            }
            unroll!(r in ROWS, {
                let mut unit = acc[r][u];
                for i in 0..N {
                    unit[i] = scale_any(unit[i], multiplier[i], shift[i]);
                }
                V::store_words(&unit, lo, hi, data.add(r * stride + u * UNIT), (n - u * UNIT).min(UNIT));
            });
        }
    });
}

/// [`Tile::finish`] of floats: `fma(float32(acc) * x_scale, scale, bias)`, or by rows that have scales and zero points of their
/// own, `fma(float32(acc - zero_point * sum) * x_scale, scale, bias)`, clamped. Other targets are the plain code's.
///
/// # Safety
/// As [`Tile::finish`].
#[inline(always)]
pub(super) unsafe fn finish_in_vectors<V: Tile>(
    panel: &Panel,
    row: usize,
    rows: usize,
    columns: Range<usize>,
    acc: *const i32,
    ld: usize,
) {
    let float = |x: f32| x.to_bits() as i32;
    for column in columns.clone().step_by(V::LANES) {
        let here = (columns.end - column).min(V::LANES);
        // SAFETY: the caller's; `here` columns from this one on are the panel's, the accumulators' rows have whole registers, and
        // there are numbers of each row, or of all at step 0.
        unsafe {
            let sums = acc;
            let acc = |r: usize| V::load(sums.add(r * ld + column - columns.start));
            match panel.target {
                Target::F32 { data, stride, x_scale, scale, bias } => {
                    let x_scale = V::splat(float(x_scale));
                    let (scale, bias) =
                        (V::load_some(scale.add(column), here), V::load_some(bias.add(column), here));
                    for r in 0..rows {
                        let y = acc(r).to_floats().mul_floats(x_scale).fma_floats(scale, bias);
                        y.store_some(data.add((row + r) * stride + column), here);
                    }
                }
                Target::F32ByRow(by) => {
                    let weights = V::load_some(by.sums.add(column).cast(), here);
                    let scale = V::load_some(by.scale.add(column), here);
                    let bias = V::load_some(by.bias.add(column), here);
                    for r in 0..rows {
                        let place = (row + r) * by.step;
                        let zero = V::splat(i32::from(*by.x_zero_point.add(place)));
                        let x_scale = V::splat(float(*by.x_scale.add(place)));
                        let x = acc(r).sub(zero.mul_low(weights)).to_floats().mul_floats(x_scale);
                        let mut y = x.fma_floats(scale, bias);
                        if let Some([lo, hi]) = by.clamp {
                            y = y.clamp_floats(V::splat(float(lo)), V::splat(float(hi)));
                        }
                        y.store_some(by.data.add((row + r) * by.stride + column), here);
                    }
                }
                Target::U8 { .. } | Target::I16 { .. } => {
                    return finish(&panel.target, panel.columns, row, rows, columns.clone(), sums, ld);
                }
            }
        }
    }
}

/// Where results go.
struct Place {
    row: usize,
    from: usize,
    n: usize,
}

/// Clamps, adds the residual and stores. Four registers at a time become one of bytes: a row, or as
/// many as have room.
///
/// # Safety
/// As [`epilogue`]; `data` is the first column of the first row.
#[inline(always)]
unsafe fn store<V: Tile, const N: usize, const UNITS: usize, const ROWS: usize>(
    acc: &Accumulators<V, N, UNITS, ROWS>,
    data: *mut u8,
    stride: usize,
    quantize: &Quantize,
    residual: Option<&Addend>,
    Place { row, from, n }: Place,
) {
    // SAFETY: the caller's; n columns from this one on are the panel's.
    unsafe {
        let together = 4 / N / UNITS;
        let limits = Limits::<V>::new(quantize.lo, quantize.hi);
        unroll!(step in ROWS.div_ceil(4 / N / UNITS), {
            let first = step * together;
            let rows = (ROWS - first).min(together);
            let mut quad = [acc[first][0][0]; 4];
            for (i, register) in quad.iter_mut().enumerate() {
                let unit = (i / N).min(UNITS * together - 1);
                *register = acc[(first + unit / UNITS).min(ROWS - 1)][unit % UNITS][i % N];
            }
            let mut bytes = limits.bytes(quad).in_order();
            if let Some(Addend { data, stride, add }) = residual {
                let b = V::gather::<UNITS>(data.add((row + first) * stride + from), *stride, rows, n);
                bytes = VectorAdd::new(add).apply(bytes, b);
            }
            bytes.scatter::<UNITS>(data.add(first * stride), stride, rows, n);
        });
    }
}
