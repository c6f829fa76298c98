//! Weights as integers: groups of rows, each group with the covariance of the columns that its rows meet.

use octavo_exec::{FloatMode, Pool};

use crate::error::Error;
use crate::rounding::curve::Curve;
use crate::rounding::step::{Numbers, Precision, Step};

/// Weights to be rounded.
#[derive(Clone, Copy)]
pub struct Problem<'a> {
    /// [groups, rows, columns].
    pub weights: &'a [f64],
    /// Positive, [groups, rows, blocks].
    pub scales: &'a [f64],
    /// The integers that stand for 0, within the bounds, one a scale; `None` where all are 0.
    pub zeros: Option<&'a [f64]>,
    /// Symmetric, positive semidefinite, [groups, columns, columns].
    pub covariances: &'a [f64],
    /// What a group is.
    pub shape: [usize; 3],
    /// Columns that share a scale, block after block; a row's last block may be shorter.
    pub block: usize,
    /// The least and the greatest integer.
    pub bounds: [i32; 2],
    /// The multiples of their scales that weights become, rising, instead of integers; at most 256. None: integers.
    pub levels: &'a [f64],
    /// Which weights are kept, [groups, rows, columns]: others become 0. `None`: all.
    pub kept: Option<&'a [bool]>,
    /// What scales are held in that are fitted to the integers; `None` where they stay as they are.
    pub fit: Option<Fit<'a>>,
}

/// What scales are held in that are fitted to the integers.
#[derive(Clone, Copy, Debug)]
pub enum Fit<'a> {
    /// float16.
    Half,
    /// float32.
    Single,
    /// Whole multiples of one number a row, positive, [groups, rows], from one to `most`.
    Multiples {
        /// The numbers.
        of: &'a [f64],
        /// The greatest multiple.
        most: f64,
    },
}

impl Fit<'_> {
    /// That of a row.
    fn of_row(self, row: usize) -> Precision {
        match self {
            Fit::Half => Precision::Half,
            Fit::Single => Precision::Single,
            Fit::Multiples { of, most } => Precision::Multiple { of: of[row], most },
        }
    }
}

/// Weights that were rounded.
#[derive(Debug, PartialEq)]
pub struct Solution {
    /// The integers, [groups, rows, columns]; where there are levels, their places, as bytes.
    pub integers: Vec<i8>,
    /// Their scales, [groups, rows, blocks].
    pub scales: Vec<f64>,
}

impl<'a> Problem<'a> {
    /// Weights that become integers at one scale a row, all of them kept, the scales and zero points as they are.
    pub fn of(
        weights: &'a [f64],
        scales: &'a [f64],
        covariances: &'a [f64],
        shape: [usize; 3],
        bounds: [i32; 2],
    ) -> Problem<'a> {
        let block = shape[2].max(1);
        let (zeros, kept, fit) = (None, None, None);
        Problem { weights, scales, zeros, covariances, shape, block, bounds, levels: &[], kept, fit }
    }

    /// The integers and their scales. A group whose columns never moved has the nearest integers.
    pub fn solve(&self, pool: &Pool) -> Result<Solution, Error> {
        self.check()?;
        let [groups, rows, columns] = self.shape;
        let mut integers = vec![0; self.weights.len()];
        let mut scales = self.scales.to_vec();
        if integers.is_empty() {
            return Ok(Solution { integers, scales });
        }
        let blocks = columns.div_ceil(self.block);
        if groups == 1 {
            let curve = Curve::of(self.covariances, columns);
            let piece = rows.div_ceil(4 * pool.threads()).max(1);
            pool.pairs_of_slices(
                (&mut integers, piece * columns),
                (&mut scales, piece * blocks),
                |index, out, scales| {
                    self.round(index * piece, curve.as_ref(), out, scales);
                },
            );
        } else {
            pool.pairs_of_slices(
                (&mut integers, rows * columns),
                (&mut scales, rows * blocks),
                |group, out, scales| {
                    let covariance = &self.covariances[group * columns * columns..][..columns * columns];
                    self.round(group * rows, Curve::of(covariance, columns).as_ref(), out, scales);
                },
            );
        }
        Ok(Solution { integers, scales })
    }

    fn check(&self) -> Result<(), Error> {
        let [groups, rows, columns] = self.shape;
        let fits = self.block > 0
            && self.weights.len() == groups * rows * columns
            && self.scales.len() == groups * rows * columns.div_ceil(self.block)
            && self.zeros.is_none_or(|zeros| zeros.len() == self.scales.len())
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
        if let Some(Fit::Multiples { of, most }) = self.fit {
            let are_steps =
                of.len() == groups * rows && of.iter().all(|step| *step > 0.0 && step.is_finite());
            if !(are_steps && most >= 1.0 && most.is_finite()) {
                return Err(Error::run(
                    "what scales of weights are multiples of is not a positive number a row".to_owned(),
                ));
            }
        }
        let is_level = |level: f64| self.levels.is_empty() || self.levels.contains(&level);
        let kept = self.kept.is_none_or(|kept| kept.len() == self.weights.len() && is_level(0.0));
        let rising =
            self.levels.is_sorted_by(|a, b| a < b) && self.levels.iter().all(|level| level.is_finite());
        if !(kept && rising && self.levels.len() <= 256) {
            return Err(Error::run(
                "the levels of weights and those that are kept do not fit together".to_owned(),
            ));
        }
        let within = f64::from(low)..=f64::from(high);
        if !self.zeros.unwrap_or_default().iter().all(|zero| within.contains(zero)) {
            return Err(Error::run(format!("a zero point of weights is outside {low}..{high}")));
        }
        Ok(())
    }

    /// The integers of the rows from `first` on, as many as `out` has room for, and their scales.
    fn round(&self, first: usize, curve: Option<&Curve>, out: &mut [i8], scales: &mut [f64]) {
        let _float_mode = FloatMode::set();
        let ([_, _, columns], [low, high]) = (self.shape, self.bounds.map(f64::from));
        let blocks = columns.div_ceil(self.block);
        let mut room = vec![0.0; 4 * columns];
        let numbers = if self.levels.is_empty() { Numbers::Integers } else { Numbers::Levels(self.levels) };
        let rows = out.chunks_exact_mut(columns).zip(scales.chunks_exact_mut(blocks));
        for (row, (out, scales)) in (first..).zip(rows) {
            let weights = &self.weights[row * columns..][..columns];
            let zero_of =
                |place: usize| self.zeros.map_or(0.0, |zeros| zeros[row * blocks + place / self.block]);
            let step_of = |place: usize| {
                let zero = zero_of(place);
                let (low, high) = match self.kept.is_none_or(|kept| kept[row * columns + place]) {
                    false => (0.0, 0.0),
                    true if self.levels.is_empty() => (low - zero, high - zero),
                    true => (f64::NEG_INFINITY, f64::INFINITY),
                };
                Step::of(numbers, scales[place / self.block], low, high)
            };
            let held = |integer: f64| match self.levels {
                [] => integer as i8,
                levels => levels.partition_point(|&level| level < integer) as u8 as i8,
            };
            match curve {
                Some(curve) => {
                    let mut steps: Vec<Step> = curve.order.iter().map(|&place| step_of(place)).collect();
                    let fit = self.fit.map(|fit| (self.block, fit.of_row(row)));
                    curve.round(weights, &mut steps, fit, &mut room);
                    for ((&place, step), integer) in curve.order.iter().zip(steps).zip(&room) {
                        out[place] = held(integer + zero_of(place));
                        scales[place / self.block] = step.scale;
                    }
                }
                None => {
                    for (place, (out, weight)) in out.iter_mut().zip(weights).enumerate() {
                        *out = held(step_of(place).nearest(*weight) + zero_of(place));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounding::factor::dot;

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
            Problem::of(&self.weights, &self.scales, &self.covariances, self.shape, [-7, 7])
        }

        fn integers(&self, threads: usize) -> Vec<i8> {
            self.problem().solve(&Pool::new(threads)).unwrap().integers
        }

        fn nearest(&self) -> Vec<i8> {
            let scales = self.scales.iter().flat_map(|scale| vec![*scale; self.shape[2]]);
            self.weights
                .iter()
                .zip(scales)
                .map(|(weight, scale)| Step::of(Numbers::Integers, scale, -7.0, 7.0).nearest(*weight) as i8)
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
            let integers = made.integers(1);
            assert!(made.error(&integers) < 0.7 * made.error(&made.nearest()), "{shape:?}");
            assert!(integers.iter().all(|integer| (-7..=7).contains(integer)));
        }
    }

    #[test]
    fn threads_and_neighbours_do_not_show() {
        for shape in [[1, 37, 20], [6, 3, 10]] {
            let made = made(shape);
            let whole = made.integers(1);
            assert_eq!(made.integers(3), whole);
            let [groups, rows, columns] = shape;
            for row in 0..groups * rows {
                let alone = Problem {
                    weights: &made.weights[row * columns..][..columns],
                    scales: &made.scales[row..=row],
                    covariances: &made.covariances[row / rows * columns * columns..][..columns * columns],
                    shape: [1, 1, columns],
                    ..made.problem()
                };
                assert_eq!(alone.solve(&Pool::new(1)).unwrap().integers, whole[row * columns..][..columns]);
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
            assert_eq!(made.integers(1), nearest);
        }
    }

    #[test]
    fn levels_take_the_place_of_integers_and_what_is_not_kept_is_0() {
        let made = made([1, 9, 40]);
        let whole: Vec<f64> = (-7..=7).map(f64::from).collect();
        let levels = Problem { levels: &whole, ..made.problem() };
        let integers: Vec<i8> = made.integers(1).iter().map(|integer| integer + 7).collect();
        assert_eq!(levels.solve(&Pool::new(1)).unwrap().integers, integers);
        let kept: Vec<bool> = (0..360).map(|place| place % 3 != 0).collect();
        let some = Problem { kept: Some(&kept), ..levels };
        let found = some.solve(&Pool::new(2)).unwrap().integers;
        assert!(found.iter().zip(&kept).all(|(&place, &kept)| kept || place == 7));
        assert!(found.iter().filter(|&&place| place != 7).count() > 200);
        let without_zero = [1.0, 2.0];
        let falling = [0.0, 2.0, 1.0];
        for levels in [&without_zero[..], &falling] {
            assert!(Problem { levels, ..some }.solve(&Pool::new(1)).is_err());
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
        assert!(none.integers(1).is_empty());
    }
}
