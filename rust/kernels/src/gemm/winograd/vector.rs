//! The transforms of pixels and of sums, written once over the tiers' registers.

use super::super::entries::Panel;
use super::super::pack::UNIT;
use super::super::tile::{Accumulators, Tile, add_residuals, epilogue};
use super::tiles::{PATCH, TILE, Tiles};
use super::transform::POINTS;

/// The inverse of 9 modulo 2^32.
const NINTH: i32 = 0x38E3_8E39;

/// `B' d` of six words.
///
/// # Safety
/// The CPU has the tier of `V`.
#[inline(always)]
unsafe fn of_pixels<V: Tile>(d: [V; PATCH]) -> [V; PATCH] {
    // SAFETY: the caller's.
    unsafe {
        let four = |x: V| x.sum_words(x).sum_words(x.sum_words(x));
        let (even, odd) = (d[4].sub_words(four(d[2])), d[3].sub_words(four(d[1])));
        let (difference, other) = (d[4].sub_words(d[2]), d[3].sub_words(d[1]));
        let twice = other.sum_words(other);
        [
            four(d[0]).sub_words(d[2]).sum_words(even),
            even.sum_words(odd),
            even.sub_words(odd),
            difference.sum_words(twice),
            difference.sub_words(twice),
            four(d[1]).sub_words(d[3]).sub_words(four(d[3])).sum_words(d[5]),
        ]
    }
}

/// `A' m` of six sums, the last three halved.
///
/// # Safety
/// The CPU has the tier of `V`.
#[inline(always)]
unsafe fn of_sums<V: Tile>(m: [V; PATCH]) -> [V; TILE] {
    // SAFETY: the caller's.
    unsafe {
        let (s1, d1) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (s2, d2) = (m[3].add(m[4]), m[3].sub(m[4]));
        let twice = |x: V| x.add(x);
        [m[0].add(s2).add(twice(s1)), d1.add(d2), s1.add(twice(s2)), d1.add(twice(twice(d2.add(m[5]))))]
    }
}

/// Transforms the pixels of the tiles.
///
/// # Safety
/// The CPU has the tier of `V`; there is room at `pixels`.
#[inline(always)]
pub unsafe fn input<V: Tile>(tiles: &Tiles) {
    let words = V::BYTES / 2;
    for t in 0..tiles.count {
        let patch = tiles.image.patch(tiles.first + t);
        for c in (0..tiles.image.channels).step_by(words) {
            let here = words.min(tiles.image.channels - c);
            // SAFETY: the caller's; each pixel has `here` channels from c on, and the room is of channels rounded up to whole
            // registers.
            unsafe {
                let mut rows = [[V::splat(0); PATCH]; PATCH];
                for j in 0..PATCH {
                    let column = std::array::from_fn(|i| {
                        let from = patch[i][j].as_ptr().add(c);
                        if here == words {
                            return V::words(from);
                        }
                        let mut bytes = [0; 64];
                        from.copy_to_nonoverlapping(bytes.as_mut_ptr(), here);
                        V::words(bytes.as_ptr())
                    });
                    let column = of_pixels(column);
                    for i in 0..PATCH {
                        rows[i][j] = column[i];
                    }
                }
                for i in 0..PATCH {
                    let row = of_pixels(rows[i]);
                    for j in 0..PATCH {
                        let at = ((i * PATCH + j) * tiles.count + t) * tiles.channels + c;
                        row[j].store_bytes(tiles.pixels.add(at).cast());
                    }
                }
            }
        }
    }
}

/// Makes results of a panel: the products of each unit by `multiply`, which fills `products` from the unit's weights, then their
/// transforms and the epilogue. `top` is the first output row of the target.
///
/// # Safety
/// The CPU has the tier of `V`; the panel's bounds have been checked, and the tiles lie in its rows.
#[inline(always)]
pub unsafe fn output<V: Tile, const N: usize>(
    panel: &Panel,
    tiles: &Tiles,
    top: usize,
    multiply: impl Fn(*const u8),
) {
    let [height, width] = tiles.image.output;
    let across = width.div_ceil(TILE);
    for unit in 0..panel.n.div_ceil(UNIT) {
        let from = unit * UNIT;
        let n = UNIT.min(panel.n - from);
        // SAFETY: the panel has so many units of weights.
        multiply(unsafe { tiles.weights.add(unit * panel.unit_bytes) });
        for t in 0..tiles.count {
            let (y, x) = ((tiles.first + t) / across * TILE, (tiles.first + t) % across * TILE);
            // SAFETY: the products of 36 points; each row that is written lies inside the output.
            unsafe {
                let sums = sums::<V, N>(tiles, t);
                for (i, sums) in sums.iter().enumerate().take(height - y) {
                    let row = (y + i - top) * width + x;
                    match width - x {
                        1 => write::<V, N, 1>(panel, sums, row, from, n),
                        2 => write::<V, N, 2>(panel, sums, row, from, n),
                        3 => write::<V, N, 3>(panel, sums, row, from, n),
                        _ => write::<V, N, 4>(panel, sums, row, from, n),
                    }
                }
            }
        }
    }
}

/// The sums of a tile's outputs, row by row.
///
/// # Safety
/// As [`output`].
#[inline(always)]
unsafe fn sums<V: Tile, const N: usize>(tiles: &Tiles, t: usize) -> [[[V; N]; TILE]; TILE] {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[[V::splat(0); N]; TILE]; TILE];
        let ninth = V::splat(NINTH);
        for part in 0..N {
            let mut rows = [[V::splat(0); PATCH]; TILE];
            for j in 0..PATCH {
                let column = of_sums(std::array::from_fn(|i| {
                    let at = ((i * PATCH + j) * tiles.count + t) * UNIT + part * V::LANES;
                    V::load(tiles.products.add(at))
                }));
                for i in 0..TILE {
                    rows[i][j] = column[i];
                }
            }
            for i in 0..TILE {
                let row = of_sums(rows[i]);
                for j in 0..TILE {
                    // 576 / 9, halved for each direction that is not the first.
                    let shift = 6 - i32::from(i > 0) - i32::from(j > 0);
                    sums[i][j][part] = row[j].mul_low(ninth).shift_right(V::splat(shift));
                }
            }
        }
        sums
    }
}

/// Writes `R` outputs of a row.
///
/// # Safety
/// As [`output`]; the rows `row..row + R` are the panel's.
#[inline(always)]
unsafe fn write<V: Tile, const N: usize, const R: usize>(
    panel: &Panel,
    sums: &[[V; N]; TILE],
    row: usize,
    from: usize,
    n: usize,
) {
    // SAFETY: the caller's; the parameters have 16 lanes a unit.
    unsafe {
        let mut acc: Accumulators<V, N, 1, R> = [[[V::splat(0); N]; 1]; R];
        for part in 0..N {
            let bias = V::load(panel.columns.bias.as_ptr().add(from + part * V::LANES));
            for (acc, sums) in acc.iter_mut().zip(sums) {
                acc[0][part] = sums[part].add(bias);
            }
        }
        if let Some(joining) = panel.joining {
            add_residuals(panel, joining, &mut acc, row, from, n);
        }
        epilogue(panel, acc, row, from, n);
    }
}

/// The points, whose products a tier computes: the transformed pixels and the place of the products of each.
///
/// # Safety
/// As [`output`].
#[inline(always)]
pub unsafe fn points(tiles: &Tiles) -> impl Iterator<Item = (*const u8, *mut i32)> {
    let (pixels, products) = (tiles.pixels.cast_const(), tiles.products);
    let (step, place) = (tiles.count * tiles.channels, tiles.count * UNIT);
    // SAFETY: the caller's.
    (0..POINTS).map(move |point| unsafe { (pixels.add(point * step).cast(), products.add(point * place)) })
}
