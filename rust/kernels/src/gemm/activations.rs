//! A right side of activations, packed while a plan runs: bytes `q`, taken as the signed `q - 128`.
//!
//! `sum (a - z_a)(q - z_b)` is the product of `a` and `q - 128`, plus `- z_a * sum (q - z_b)`, a number a column, plus
//! `(128 - z_b) * sum a`, a number a row: [`pack_activations`] and [`row_sums`] give the sums.

use super::pack::{GROUP, GROUP_BYTES, Packing, UNIT};

/// A matrix of bytes `[k, n]` as it lies in memory: element `(k, column)` is at `k * by_k + column * by_column`.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a> {
    /// The bytes, from the first element on.
    pub data: &'a [u8],
    /// Rows.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// Bytes from one k to the next.
    pub by_k: usize,
    /// Bytes from one column to the next.
    pub by_column: usize,
}

/// The text of [`row_sums`], for a tier to compile.
#[inline(always)]
pub(super) fn row_sums_source(data: &[u8], stride: usize, k: usize, factor: i32, sums: &mut [i32]) {
    for (row, sum) in sums.iter_mut().enumerate() {
        let bytes = &data[row * stride..][..k];
        let total = bytes.iter().fold(0u32, |sum, &q| sum.wrapping_add(u32::from(q)));
        *sum = factor.wrapping_mul(total as i32);
    }
}

/// The text of [`pack_activations`], for a tier to compile.
#[inline(always)]
pub(super) fn pack_source(packing: Packing, right: &Right, out: &mut [u8], sums: &mut [i32]) {
    let together = packing.together();
    for (unit, out) in out.chunks_exact_mut(packing.unit_bytes(1, right.k)).enumerate() {
        let from = unit * UNIT;
        let columns = UNIT.min(right.n - from);
        let (mut totals, mut has_least) = ([0; UNIT], false);
        let (out, behind) = out.split_at_mut(packing.tap_bytes(right.k));
        for (index, out) in out.chunks_exact_mut(together * GROUP_BYTES).enumerate() {
            for number in 0..together {
                let first = (index * together + number) * GROUP;
                let group = match (packing, columns == UNIT && first + GROUP <= right.k) {
                    (Packing::Pairs, true) => whole_group::<true>(right, first, from),
                    (Packing::Pairs, false) => part_group::<true>(right, first, from, columns),
                    (_, true) => whole_group::<false>(right, first, from),
                    (_, false) => part_group::<false>(right, first, from, columns),
                };
                match packing {
                    Packing::Pairs => add_up::<true>(&group, &mut totals),
                    _ => add_up::<false>(&group, &mut totals),
                }
                write_group(packing, &group, number, out);
                if !behind.is_empty() {
                    has_least |= group.contains(&0x80);
                }
            }
        }
        packing.write_behind(totals, has_least, behind);
        sums[from..from + columns].copy_from_slice(&totals[..columns]);
    }
}

/// The place of a column's k: column by column or, of `PAIRS`, k 0 and 1 of each column, then k 2 and 3.
#[inline(always)]
fn place<const PAIRS: bool>(column: usize, k: usize) -> usize {
    if PAIRS { 2 * (k / 2 * UNIT + column) + k % 2 } else { column * GROUP + k }
}

/// Four k of 16 columns, as `q - 128`.
#[inline(always)]
fn whole_group<const PAIRS: bool>(right: &Right, k: usize, column: usize) -> [u8; GROUP_BYTES] {
    let start = k * right.by_k + column * right.by_column;
    let mut group = [0; GROUP_BYTES];
    if right.by_column == 1 {
        let mut rows = [[0; UNIT]; GROUP];
        for (i, row) in rows.iter_mut().enumerate() {
            row.copy_from_slice(&right.data[start + i * right.by_k..][..UNIT]);
        }
        for c in 0..UNIT {
            for i in 0..GROUP {
                group[place::<PAIRS>(c, i)] = rows[i][c] ^ 0x80;
            }
        }
        return group;
    }
    if right.by_k == 1 {
        let together = if PAIRS { 2 } else { GROUP };
        for c in 0..UNIT {
            let four = &right.data[start + c * right.by_column..][..GROUP];
            for i in (0..GROUP).step_by(together) {
                group[place::<PAIRS>(c, i)..][..together].copy_from_slice(&four[i..][..together]);
            }
        }
        group.iter_mut().for_each(|q| *q ^= 0x80);
        return group;
    }
    part_group::<PAIRS>(right, k, column, UNIT)
}

/// [`whole_group`] where k or the columns end within it: 0 beyond them.
#[inline(always)]
fn part_group<const PAIRS: bool>(
    right: &Right,
    k: usize,
    column: usize,
    columns: usize,
) -> [u8; GROUP_BYTES] {
    let mut group = [0; GROUP_BYTES];
    for c in 0..columns {
        for i in 0..GROUP.min(right.k.saturating_sub(k)) {
            let at = (k + i) * right.by_k + (column + c) * right.by_column;
            group[place::<PAIRS>(c, i)] = right.data[at] ^ 0x80;
        }
    }
    group
}

/// Adds each column's four.
#[inline(always)]
fn add_up<const PAIRS: bool>(group: &[u8; GROUP_BYTES], totals: &mut [i32; UNIT]) {
    for (c, total) in totals.iter_mut().enumerate() {
        let sum = if PAIRS {
            (0..GROUP).map(|i| i32::from(group[place::<PAIRS>(c, i)] as i8)).sum()
        } else {
            group[c * GROUP..][..GROUP].iter().map(|&q| i32::from(q as i8)).sum()
        };
        *total = total.wrapping_add(sum);
    }
}

/// Lays a group out as the tier has it, among those that lie together. One of [`Packing::Pairs`] has its order already.
#[inline(always)]
fn write_group(packing: Packing, group: &[u8; GROUP_BYTES], number: usize, out: &mut [u8]) {
    if matches!(packing, Packing::Fours | Packing::FoursAndSums | Packing::Pairs) {
        return out.copy_from_slice(group);
    }
    let (fours, _) = group.as_chunks::<GROUP>();
    for (column, &four) in fours.iter().enumerate() {
        packing.write(four, column, number, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::{Columns, Out, Requantize, Rows, packed_len, run_with_row_bias};
    use crate::gemm::{pack_activations, row_sums};
    use crate::isa;
    use crate::table::Kernels;

    /// A byte of no pattern, with a fair share of 0 and 255.
    fn byte(index: usize) -> u8 {
        let mixed = (index as u32).wrapping_mul(0x9E37_79B9).rotate_left(13).wrapping_mul(0x85EB_CA6B) >> 20;
        [0, 255, mixed as u8, (mixed >> 3) as u8][mixed as usize % 4]
    }

    /// Every tier's product of `[m, k]` and a right side that lies in one of three ways, against plain loops.
    fn check(m: usize, n: usize, k: usize, zero_points: [i32; 2]) {
        let a: Vec<u8> = (0..m * k + 3).map(byte).collect();
        let gap = 2;
        for (by_k, by_column) in [(n + gap, 1), (1, k + gap), (3, 3 * k)] {
            let b: Vec<u8> = (0..(k - 1) * by_k + (n - 1) * by_column + 1).map(|i| byte(i + 77)).collect();
            let right = Right { data: &b, k, n, by_k, by_column };
            for kernels in isa::available().into_iter().filter_map(Kernels::new) {
                let mut packed = vec![0xA5; packed_len(kernels, n, 1, k)];
                let mut bias = vec![0; n];
                pack_activations(kernels, &right, &mut packed, &mut bias);
                let centre = (128 - zero_points[1]) * k as i32;
                bias.iter_mut().for_each(|sum| *sum = (*sum + centre) * -zero_points[0]);
                let mut row_bias = vec![0; m];
                row_sums(kernels, &a, k, k, 128 - zero_points[1], &mut row_bias);
                let (multiplier, shift, mut y) = (vec![(1 << 30) + 128; n], vec![43; n], vec![0; m * n]);
                let requantize = Requantize {
                    bias: &bias,
                    reach: k as i64 * 255 * 255,
                    multiplier: &multiplier,
                    shift: &shift,
                    zero_point: 120,
                    lo: 0,
                    hi: 255,
                };
                run_with_row_bias(
                    kernels,
                    m,
                    &Rows::Dense { data: &a, stride: k },
                    &row_bias,
                    &Columns { packed: &packed, n, taps: 1, kc: k },
                    Out::U8 { data: &mut y, stride: n, requantize, residual: None },
                );
                for (at, &y) in y.iter().enumerate() {
                    let (r, c) = (at / n, at % n);
                    let acc: i64 = (0..k)
                        .map(|i| {
                            let q = b[i * by_k + c * by_column];
                            i64::from(i32::from(a[r * k + i]) - zero_points[0])
                                * i64::from(i32::from(q) - zero_points[1])
                        })
                        .sum();
                    let expected = (((acc * ((1 << 30) + 128) + (1 << 42)) >> 43) + 120).clamp(0, 255);
                    let isa = kernels.isa();
                    assert_eq!(i64::from(y), expected, "{isa} {m}x{k}x{n} by {by_k}, {by_column}: {r}, {c}");
                }
            }
        }
    }

    #[test]
    fn products_of_activations_equal_plain_loops() {
        for zero_points in [[0, 128], [131, 128], [7, 0], [255, 255], [128, 90]] {
            for (m, n, k) in
                [(1, 1, 1), (1, 70, 9), (5, 16, 4), (7, 17, 33), (13, 32, 64), (20, 48, 7), (33, 130, 61)]
            {
                check(m, n, k, zero_points);
            }
        }
    }

    /// The packed bytes are those of the weights `q - 128`, whatever lies between the elements, and every byte is
    /// written; the sums do not leave int32.
    #[test]
    fn packed_activations_are_packed_weights() {
        for (n, k) in (1..=34).map(|n| (n, n * 7 % 13 + 1)).chain([(3, 300), (17, 259), (2, 70_000)]) {
            for (by_k, by_column) in [(n + 3, 1), (n, 1), (1, k + 2), (1, k), (2, 2 * k)] {
                for fill in [None, Some(0), Some(255)] {
                    let len = (k - 1) * by_k + (n - 1) * by_column + 1;
                    let data: Vec<u8> = (0..len).map(|i| fill.unwrap_or_else(|| byte(i + n))).collect();
                    let at = |k: usize, c: usize| (data[k * by_k + c * by_column] ^ 0x80) as i8;
                    let weights: Vec<i8> =
                        (0..n).flat_map(|c| (0..k).map(move |i| (i, c))).map(|(i, c)| at(i, c)).collect();
                    let total = |c: usize| weights[c * k..][..k].iter().map(|&q| i32::from(q)).sum();
                    let totals: Vec<i32> = (0..n).map(total).collect();
                    for kernels in isa::available().into_iter().filter_map(Kernels::new) {
                        let len = packed_len(kernels, n, 1, k);
                        let (mut expected, mut given) = (vec![0; len], vec![0xA5; len]);
                        crate::gemm::pack(kernels, &weights, n, 1, k, &mut expected);
                        let mut sums = vec![7; n];
                        let right = Right { data: &data, k, n, by_k, by_column };
                        pack_activations(kernels, &right, &mut given, &mut sums);
                        let isa = kernels.isa();
                        assert!(given == expected, "{isa} {k} x {n} by {by_k}, {by_column}, {fill:?}");
                        assert_eq!(sums, totals, "{isa} {k} x {n} by {by_k}, {by_column}, {fill:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn row_sums_equal_plain_integers() {
        for (m, k, gap) in
            [(1, 1, 0), (5, 3, 2), (7, 16, 0), (3, 33, 1), (2, 64, 5), (2, 300, 3), (2, 70_001, 0)]
        {
            for factor in [1, 0, -1, 128, -127, 100_000, i32::MIN] {
                for fill in [None, Some(255)] {
                    let data: Vec<u8> =
                        (0..(m - 1) * (k + gap) + k).map(|i| fill.unwrap_or_else(|| byte(i))).collect();
                    let row = |r: usize| &data[r * (k + gap)..][..k];
                    let total = |r: usize| row(r).iter().map(|&q| i64::from(q)).sum::<i64>();
                    let expected: Vec<i32> =
                        (0..m).map(|r| (i128::from(total(r)) * i128::from(factor)) as i32).collect();
                    for kernels in isa::available().into_iter().filter_map(Kernels::new) {
                        let mut sums = vec![7; m];
                        row_sums(kernels, &data, k + gap, k, factor, &mut sums);
                        assert_eq!(sums, expected, "{} {m} rows of {k}, {gap} apart", kernels.isa());
                    }
                }
            }
        }
    }

    #[test]
    fn a_matrix_that_leaves_its_data_is_refused() {
        let kernels = Kernels::best();
        let refused = |len: usize, by_k: usize, by_column: usize| {
            let data = vec![0; len];
            let right = Right { data: &data, k: 6, n: 5, by_k, by_column };
            let mut out = vec![0; packed_len(kernels, 5, 1, 6)];
            std::panic::catch_unwind(move || pack_activations(kernels, &right, &mut out, &mut [0; 5]))
                .is_err()
        };
        assert!(!refused(30, 5, 1) && !refused(30, 1, 6));
        assert!(refused(29, 5, 1) && refused(29, 1, 6) && refused(30, usize::MAX, 1));
    }
}
