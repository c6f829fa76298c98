//! Weights of integer products: their order and their packing, and what they add up to.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use octavo_exec::{Arena, bytes_of_mut, cast};
use octavo_kernels::gemm;

use crate::error::Error;
use crate::ops::node::error;
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::packing::Key;
use crate::plan::transposition::transpose_bytes;
use crate::program::{Node, Tensor, magnitudes};

/// Bytes of packed weights that one thread packs at a time.
const PIECE: usize = 1 << 16;
/// Columns that are never packed apart: four units.
const COLUMNS: usize = 4 * gemm::UNIT;

/// The packed weights `[n][taps][kc]` of an integer product, which `ordered` gives for some of the columns.
pub fn pack<'w>(
    b: &Builder<'_>,
    key: Key,
    [n, taps, kc]: [usize; 3],
    ordered: impl Fn(Range<usize>) -> Cow<'w, [i8]> + Sync,
) -> Result<Arc<Arena>, Error> {
    let kernels = b.steps.kernels;
    let bytes = |columns: usize| gemm::packed_len(kernels, columns, taps, kc);
    let columns = COLUMNS * (PIECE / bytes(COLUMNS).max(1)).max(1);
    b.packing.get_by_pieces(key, bytes(n), bytes(columns), |piece, out| {
        let range = piece * columns..n.min((piece + 1) * columns);
        gemm::pack(kernels, &ordered(range.clone()), range.len(), taps, kc, out);
    })
}

/// int8 that a sum of 16 bits holds.
const SHORT_SUM: usize = 128;

/// The sum of each output's weights times minus the zero points, modulo 2^32. The zero points are one, or one for each of
/// the equal parts, one behind the other, of an output's weights.
pub fn zero_point_correction(weights: &[i8], outputs: usize, zero_points: &[i32]) -> Vec<i32> {
    if zero_points.iter().all(|&zero| zero == 0) {
        return vec![0; outputs];
    }
    let per_output = weights.len() / outputs.max(1);
    let part = (per_output / zero_points.len().max(1)).max(1);
    let short = |w: &[i8]| i32::from(w.iter().map(|&w| i16::from(w)).sum::<i16>());
    let sum = |w: &[i8]| w.chunks(SHORT_SUM).map(short).fold(0, i32::wrapping_add);
    let correction = |w: &[i8]| {
        let sums = w.chunks_exact(part).map(sum);
        let products = sums.zip(zero_points).map(|(sum, &zero)| sum.wrapping_mul(zero));
        products.fold(0, i32::wrapping_sub)
    };
    let mut corrections: Vec<i32> = weights.chunks_exact(per_output.max(1)).map(correction).collect();
    corrections.resize(outputs, 0);
    corrections
}

/// The weights of a QGemm.
pub struct Weights {
    /// Rows of the constant.
    pub k: usize,
    /// Columns of it.
    pub n: usize,
    constant: Tensor,
}

impl Weights {
    /// Some of its columns, one after the other.
    pub fn columns(&self, columns: Range<usize>) -> Vec<i8> {
        let width = columns.len();
        let mut by_column = vec![0; width * self.k];
        if !by_column.is_empty() {
            let from = &self.constant.bytes()[columns.start..];
            transpose_bytes(from, self.n, self.k, width, bytes_of_mut(&mut by_column));
        }
        by_column
    }

    /// The sum of the magnitudes of each column.
    pub fn magnitudes(&self) -> Vec<i64> {
        magnitudes(cast(self.constant.bytes()), self.n)
    }

    /// The sum of each column times minus the zero point, modulo 2^32.
    pub fn zero_point_correction(&self, zero_point: i32) -> Vec<i32> {
        let mut corrections = vec![0i32; self.n];
        if zero_point == 0 || self.n == 0 {
            return corrections;
        }
        let mut short = vec![0i16; self.n];
        for rows in cast::<i8>(self.constant.bytes()).chunks(SHORT_SUM * self.n) {
            for row in rows.chunks_exact(self.n) {
                short.iter_mut().zip(row).for_each(|(sum, &w)| *sum += i16::from(w));
            }
            for (correction, short) in corrections.iter_mut().zip(&mut short) {
                let sum = i32::from(std::mem::take(short));
                *correction = correction.wrapping_sub(sum.wrapping_mul(zero_point));
            }
        }
        corrections
    }
}

/// The constant `[K, N]` that a QGemm multiplies an input by, which must have K columns.
pub fn weights_of(b: &Builder<'_>, node: &Node, x: &Placed) -> Result<Weights, Stop> {
    let weights = b.known_input(node, 1)?;
    let &[k, n] = weights.shape() else {
        return Err(error(node, &format!("weights of shape {:?}", weights.shape())));
    };
    if x.shape().last() != Some(&k) {
        return Err(error(node, &format!("an input of shape {:?} times weights of [{k}, {n}]", x.shape())));
    }
    weights.i8s()?; // no other dtype
    Ok(Weights { k, n, constant: weights })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More of the greatest weights than a short sum holds, and all between.
    fn weights(count: usize) -> Vec<i8> {
        (0..count).map(|i| if i % 3 == 0 { (i % 256) as i8 } else { [-128, 127][i / 1000 % 2] }).collect()
    }

    #[test]
    fn corrections_are_the_sums_of_weights_times_minus_the_zero_points() {
        let (outputs, zeros) = (3, [3, 0, -7]);
        let w = weights(outputs * zeros.len() * 700);
        for zeros in [&zeros[..], &[128], &[0], &[-1], &[0, 0, 0]] {
            let plain = |w: &[i8]| {
                let part = w.len() / zeros.len();
                let products = w.iter().enumerate().map(|(i, &w)| -i64::from(w) * i64::from(zeros[i / part]));
                i32::try_from(products.sum::<i64>()).unwrap()
            };
            let plain: Vec<i32> = w.chunks(w.len() / outputs).map(plain).collect();
            assert_eq!(zero_point_correction(&w, outputs, zeros), plain, "{zeros:?}");
        }
        assert_eq!(zero_point_correction(&[], 2, &[5]), [0, 0]);
    }

    #[test]
    fn columns_and_their_corrections_are_those_of_the_matrix() {
        let (k, n) = (700, 37);
        let w = weights(k * n);
        let matrix = Weights { k, n, constant: Tensor::from_i8s(&[k, n], &w).unwrap() };
        for columns in [0..n, 3..20, 36..37, 5..5] {
            let plain: Vec<i8> =
                columns.clone().flat_map(|c| (0..k).map(|row| w[row * n + c]).collect::<Vec<_>>()).collect();
            assert_eq!(matrix.columns(columns), plain);
        }
        for zero in [0, -1, 255] {
            let sum = |c: usize| (0..k).map(|row| i32::from(w[row * n + c])).sum::<i32>();
            let plain: Vec<i32> = (0..n).map(|c| -zero * sum(c)).collect();
            assert_eq!(matrix.zero_point_correction(zero), plain);
        }
    }
}
