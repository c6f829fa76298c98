//! Weights as numbers of float16: groups of rows, each group with the covariance of the columns that its rows meet.

use octavo_exec::{FloatMode, Pool};

use crate::error::Error;
use crate::rounding::curve::Curve;
use crate::rounding::step::Step;

/// Weights to be rounded to what float16 holds.
pub struct Halves<'a> {
    /// [groups, rows, columns].
    pub weights: &'a [f64],
    /// Symmetric, positive semidefinite, [groups, columns, columns].
    pub covariances: &'a [f64],
    /// What a group is.
    pub shape: [usize; 3],
}

impl Halves<'_> {
    /// The halves, as float32 [groups, rows, columns]. A group whose columns never moved has the nearest ones.
    pub fn solve(&self, pool: &Pool) -> Result<Vec<f32>, Error> {
        let [groups, rows, columns] = self.shape;
        let fits = self.weights.len() == groups * rows * columns
            && self.covariances.len() == groups * columns * columns;
        if !fits {
            return Err(Error::run("the weights and covariances do not fit together".to_owned()));
        }
        let mut halves = vec![0.0; self.weights.len()];
        if halves.is_empty() {
            return Ok(halves);
        }
        if groups == 1 {
            let curve = Curve::of(self.covariances, columns);
            let piece = rows.div_ceil(4 * pool.threads()).max(1);
            pool.slices(&mut halves, piece * columns, |index, out| {
                self.round(index * piece, curve.as_ref(), out);
            });
        } else {
            pool.slices(&mut halves, rows * columns, |group, out| {
                let covariance = &self.covariances[group * columns * columns..][..columns * columns];
                self.round(group * rows, Curve::of(covariance, columns).as_ref(), out);
            });
        }
        Ok(halves)
    }

    /// The halves of the rows from `first` on, as many as `out` has room for.
    fn round(&self, first: usize, curve: Option<&Curve>, out: &mut [f32]) {
        let _float_mode = FloatMode::set();
        let columns = self.shape[2];
        let mut steps = vec![Step::HALVES; columns];
        let mut room = vec![0.0; 4 * columns];
        for (row, out) in (first..).zip(out.chunks_exact_mut(columns)) {
            let weights = &self.weights[row * columns..][..columns];
            match curve {
                Some(curve) => {
                    curve.round(weights, &mut steps, None, &mut room);
                    for (&place, half) in curve.order.iter().zip(&room) {
                        out[place] = *half as f32;
                    }
                }
                None => {
                    for (out, weight) in out.iter_mut().zip(weights) {
                        *out = Step::HALVES.nearest(*weight) as f32;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use octavo_kernels::float::half;

    use super::*;

    fn wave(place: usize, turn: f64) -> f64 {
        (place as f64 * turn).sin()
    }

    /// Columns that have much in common.
    fn covariances([groups, _, columns]: [usize; 3]) -> Vec<f64> {
        let mut made = Vec::new();
        for place in 0..groups * columns * columns {
            let (group, row, column) =
                (place / (columns * columns), place / columns % columns, place % columns);
            let alike = 2.0 + wave(group + row, 1.7) * wave(group + column, 1.7);
            made.push(alike + f64::from(u8::from(row == column)));
        }
        made
    }

    fn nearest(weights: &[f64]) -> Vec<f32> {
        weights.iter().map(|&weight| half::to_f32(half::from_f32(weight as f32))).collect()
    }

    fn error(halves: &[f32], weights: &[f64], covariances: &[f64], [_, rows, columns]: [usize; 3]) -> f64 {
        let mut total = 0.0;
        for (row, halves) in halves.chunks_exact(columns).enumerate() {
            let weights = &weights[row * columns..];
            let e: Vec<f64> = (0..columns).map(|k| f64::from(halves[k]) - weights[k]).collect();
            let matrix = &covariances[row / rows * columns * columns..];
            total +=
                (0..columns * columns).map(|at| e[at / columns] * matrix[at] * e[at % columns]).sum::<f64>();
        }
        total
    }

    #[test]
    fn products_err_less_than_by_nearest_halves() {
        for shape in [[1, 9, 5], [1, 3, 90], [4, 1, 9], [3, 5, 12]] {
            let covariances = covariances(shape);
            let weights: Vec<f64> = (0..shape.iter().product()).map(|place| 1.3 * wave(place, 0.7)).collect();
            let problem = Halves { weights: &weights, covariances: &covariances, shape };
            let halves = problem.solve(&Pool::new(1)).unwrap();
            assert_eq!(nearest(&halves.iter().map(|&x| x.into()).collect::<Vec<_>>()), halves);
            let [made, plain] =
                [&halves, &nearest(&weights)].map(|of| error(of, &weights, &covariances, shape));
            assert!(made < 0.7 * plain, "{shape:?}: {made} {plain}");
            assert_eq!(problem.solve(&Pool::new(3)).unwrap(), halves);
        }
    }

    #[test]
    fn nearest_halves_where_columns_never_move_and_the_greatest_beyond_all() {
        let weights = [0.1, -3.0421, 1e-9, 7e4, -7e4, 65519.0];
        let problem = |covariances| Halves { weights: &weights, covariances, shape: [1, 3, 2] };
        let halves = problem(&[0.0; 4]).solve(&Pool::new(1)).unwrap();
        assert_eq!(halves[..3], nearest(&weights)[..3]);
        assert_eq!(halves[3..], [65504.0, -65504.0, 65504.0]);
        assert!(problem(&[0.0; 3]).solve(&Pool::new(1)).is_err());
        let none = Halves { weights: &[], covariances: &[0.0; 16], shape: [1, 0, 4] };
        assert!(none.solve(&Pool::new(1)).unwrap().is_empty());
    }
}
