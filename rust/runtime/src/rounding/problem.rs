//! Groups of rows of weights, each group with the covariance of the columns that its rows meet.

use octavo_exec::{FloatMode, Pool};

use crate::error::Error;
use crate::rounding::descent::descend;
use crate::rounding::factor::{dot, factor};
use crate::rounding::feedback;

/// What is added to the covariance's diagonal, as a share of its mean: columns that were not seen to move count a little.
const DAMPING: f64 = 0.01;

/// Sweeps of coordinate descent; the third still finds something.
const SWEEPS: usize = 3;

/// Columns up to which nearest integers are a second start of the descent: where errors can hardly be passed on, the
/// feedback's start is not always the better one.
const FEW: usize = 64;

/// Weights to be rounded.
pub struct Problem<'a> {
    /// [groups, rows, columns].
    pub weights: &'a [f64],
    /// Positive, [groups, rows].
    pub scales: &'a [f64],
    /// Symmetric, positive semidefinite, [groups, columns, columns].
    pub covariances: &'a [f64],
    /// What a group is.
    pub shape: [usize; 3],
    /// The least and the greatest integer.
    pub bounds: [i32; 2],
}

impl Problem<'_> {
    /// The integers, [groups, rows, columns]. A group whose columns never moved has the nearest ones.
    pub fn solve(&self, pool: &Pool) -> Result<Vec<i8>, Error> {
        self.check()?;
        let [groups, rows, columns] = self.shape;
        let mut integers = vec![0; self.weights.len()];
        if integers.is_empty() {
            return Ok(integers);
        }
        let all =
            Rows { weights: self.weights, scales: self.scales, columns, bounds: self.bounds.map(f64::from) };
        if groups == 1 {
            let curve = Curve::of(self.covariances, columns);
            let piece = rows.div_ceil(4 * pool.threads()).max(1);
            pool.slices(&mut integers, piece * columns, |index, out| {
                all.round(index * piece, curve.as_ref(), out);
            });
        } else {
            pool.slices(&mut integers, rows * columns, |group, out| {
                let curve =
                    Curve::of(&self.covariances[group * columns * columns..][..columns * columns], columns);
                all.round(group * rows, curve.as_ref(), out);
            });
        }
        Ok(integers)
    }

    fn check(&self) -> Result<(), Error> {
        let [groups, rows, columns] = self.shape;
        let fits = self.weights.len() == groups * rows * columns
            && self.scales.len() == groups * rows
            && self.covariances.len() == groups * columns * columns;
        let [low, high] = self.bounds;
        if !fits || low > high || low < i32::from(i8::MIN) || high > i32::from(i8::MAX) {
            return Err(Error::run(
                "the weights, scales, covariances and bounds do not fit together".to_owned(),
            ));
        }
        if !self.scales.iter().all(|scale| *scale > 0.0 && scale.is_finite()) {
            return Err(Error::run("a scale of weights is not a positive number".to_owned()));
        }
        Ok(())
    }
}

/// Rows of all groups, one after the other.
struct Rows<'a> {
    weights: &'a [f64],
    scales: &'a [f64],
    columns: usize,
    bounds: [f64; 2],
}

impl Rows<'_> {
    /// The integers of the rows from `first` on, as many as `out` has room for.
    fn round(&self, first: usize, curve: Option<&Curve>, out: &mut [i8]) {
        let _float_mode = FloatMode::set();
        let columns = self.columns;
        let mut room = vec![0.0; 4 * columns];
        for (row, out) in (first..).zip(out.chunks_exact_mut(columns)) {
            let weights = &self.weights[row * columns..][..columns];
            match curve {
                Some(curve) => curve.round(weights, self.scales[row], self.bounds, &mut room, out),
                None => {
                    for (out, weight) in out.iter_mut().zip(weights) {
                        *out = nearest(*weight, self.scales[row], self.bounds) as i8;
                    }
                }
            }
        }
    }
}

fn nearest(weight: f64, scale: f64, [low, high]: [f64; 2]) -> f64 {
    (weight / scale).round_ties_even().clamp(low, high)
}

/// How the error of a row grows with those of its weights: the damped covariance, the columns that move most first.
struct Curve {
    order: Vec<usize>,
    matrix: Vec<f64>,
    factor: Vec<f64>,
}

impl Curve {
    /// None where no column moves, or the covariance is none.
    fn of(covariance: &[f64], size: usize) -> Option<Curve> {
        let _float_mode = FloatMode::set();
        let diagonal: Vec<f64> = (0..size).map(|place| covariance[place * (size + 1)]).collect();
        let damping = DAMPING * diagonal.iter().sum::<f64>() / size as f64;
        if !(damping > 0.0 && damping.is_finite()) {
            return None;
        }
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
        let mut matrix = vec![0.0; size * size];
        for (place, &from) in order.iter().enumerate() {
            let row = &covariance[from * size..][..size];
            for (to, &column) in matrix[place * size..][..size].iter_mut().zip(&order) {
                *to = row[column];
            }
            matrix[place * (size + 1)] += damping;
        }
        let mut upper = matrix.clone();
        factor(&mut upper, size).then_some(Curve { order, matrix, factor: upper })
    }

    fn round(&self, weights: &[f64], scale: f64, bounds: [f64; 2], room: &mut [f64], out: &mut [i8]) {
        let size = self.order.len();
        let [ordered, scratch, integers, others] = [0, 1, 2, 3].map(|part| part * size..(part + 1) * size);
        let [ordered, scratch, integers, others] =
            room.get_disjoint_mut([ordered, scratch, integers, others]).expect("the room has four parts");
        for (ordered, &place) in ordered.iter_mut().zip(&self.order) {
            *ordered = weights[place];
        }
        feedback::round(ordered, scale, bounds, &self.factor, scratch, integers);
        descend(ordered, scale, bounds, &self.matrix, SWEEPS, scratch, integers);
        if size <= FEW {
            for (other, weight) in others.iter_mut().zip(&*ordered) {
                *other = nearest(*weight, scale, bounds);
            }
            descend(ordered, scale, bounds, &self.matrix, SWEEPS, scratch, others);
            if self.error(ordered, scale, others, scratch) < self.error(ordered, scale, integers, scratch) {
                integers.copy_from_slice(others);
            }
        }
        for (integer, &place) in integers.iter().zip(&self.order) {
            out[place] = *integer as i8;
        }
    }

    /// The error of a row's products.
    fn error(&self, weights: &[f64], scale: f64, integers: &[f64], room: &mut [f64]) -> f64 {
        let size = weights.len();
        for ((error, weight), integer) in room.iter_mut().zip(weights).zip(integers) {
            *error = scale * integer - weight;
        }
        let rows = self.matrix.chunks_exact(size);
        rows.zip(&*room).map(|(row, error)| error * dot(row, room)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Made {
        weights: Vec<f64>,
        scales: Vec<f64>,
        covariances: Vec<f64>,
        shape: [usize; 3],
    }

    /// Columns that have much in common, so that errors can be made up for.
    fn made(shape: [usize; 3]) -> Made {
        let [groups, rows, columns] = shape;
        let wave = |place: usize, turn: f64| (place as f64 * turn).sin();
        let mut covariances = Vec::new();
        for group in 0..groups {
            for row in 0..columns {
                let at = |column: usize| 2.0 + wave(group + row, 1.7) * wave(group + column, 1.7);
                covariances
                    .extend((0..columns).map(|column| at(column) + f64::from(u8::from(row == column))));
            }
        }
        Made {
            weights: (0..groups * rows * columns).map(|place| wave(place, 0.7) * 1.3).collect(),
            scales: (0..groups * rows).map(|row| 0.2 + 0.01 * (row % 5) as f64).collect(),
            covariances,
            shape,
        }
    }

    impl Made {
        fn problem(&self) -> Problem<'_> {
            Problem {
                weights: &self.weights,
                scales: &self.scales,
                covariances: &self.covariances,
                shape: self.shape,
                bounds: [-7, 7],
            }
        }

        fn nearest(&self) -> Vec<i8> {
            let scales = self.scales.iter().flat_map(|scale| vec![*scale; self.shape[2]]);
            self.weights
                .iter()
                .zip(scales)
                .map(|(weight, scale)| nearest(*weight, scale, [-7.0, 7.0]) as i8)
                .collect()
        }

        /// The errors of all rows together.
        fn error(&self, integers: &[i8]) -> f64 {
            let [_, rows, columns] = self.shape;
            let mut total = 0.0;
            for (row, integers) in integers.chunks_exact(columns).enumerate() {
                let covariance = &self.covariances[row / rows * columns * columns..];
                let weights = &self.weights[row * columns..];
                let error: Vec<f64> =
                    (0..columns).map(|k| self.scales[row] * f64::from(integers[k]) - weights[k]).collect();
                total += (0..columns)
                    .map(|k| error[k] * dot(&covariance[k * columns..][..columns], &error))
                    .sum::<f64>();
            }
            total
        }
    }

    #[test]
    fn products_err_less_than_by_nearest_integers() {
        for shape in [[1, 9, 5], [1, 3, 40], [1, 2, 90], [4, 1, 9], [3, 5, 12]] {
            let made = made(shape);
            let integers = made.problem().solve(&Pool::new(1)).unwrap();
            assert!(made.error(&integers) < 0.7 * made.error(&made.nearest()), "{shape:?}");
            assert!(integers.iter().all(|integer| (-7..=7).contains(integer)));
        }
    }

    #[test]
    fn threads_and_neighbours_do_not_show() {
        for shape in [[1, 37, 20], [6, 3, 10]] {
            let made = made(shape);
            let whole = made.problem().solve(&Pool::new(1)).unwrap();
            assert_eq!(made.problem().solve(&Pool::new(3)).unwrap(), whole);
            let [groups, rows, columns] = shape;
            for row in 0..groups * rows {
                let alone = Problem {
                    weights: &made.weights[row * columns..][..columns],
                    scales: &made.scales[row..=row],
                    covariances: &made.covariances[row / rows * columns * columns..][..columns * columns],
                    shape: [1, 1, columns],
                    bounds: [-7, 7],
                };
                assert_eq!(alone.solve(&Pool::new(1)).unwrap(), whole[row * columns..][..columns]);
            }
        }
    }

    /// Where columns move by themselves, or not at all, or where nothing sensible is known of them.
    #[test]
    fn nearest_integers_where_nothing_can_be_made_up_for() {
        let mut made = made([1, 6, 8]);
        let nearest = made.nearest();
        let diagonal =
            |value: f64| (0..64).map(|place| if place % 9 == 0 { value } else { 0.0 }).collect::<Vec<_>>();
        let indefinite = (0..64).map(|place| if place % 9 == 0 { 1.0 } else { -1.0 }).collect();
        for covariances in [diagonal(3.0), diagonal(0.0), diagonal(f64::NAN), diagonal(-1.0), indefinite] {
            made.covariances = covariances;
            assert_eq!(made.problem().solve(&Pool::new(1)).unwrap(), nearest);
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let mut wrong = [0, 1, 2, 3].map(|_| made([2, 3, 4]));
        wrong[0].shape = [2, 4, 3];
        wrong[1].scales.pop();
        wrong[2].scales[4] = 0.0;
        wrong[3].scales[4] = f64::INFINITY;
        for made in &wrong {
            assert!(made.problem().solve(&Pool::new(1)).is_err());
        }
        let good = made([2, 3, 4]);
        for bounds in [[1, 0], [-129, 7], [0, 128]] {
            assert!(Problem { bounds, ..good.problem() }.solve(&Pool::new(1)).is_err());
        }
        let none = made([3, 0, 4]);
        assert!(none.problem().solve(&Pool::new(1)).unwrap().is_empty());
    }
}
