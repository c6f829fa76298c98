//! What brings the products of given columns nearer to wanted results than the weights do that stand there.
//!
//! A row's results are wanted as d beyond what its weights give over columns x. `v = E (C + l I)^-1`, with C the covariance
//! of x and E that of d and x, is what the row is to be changed by: ridge regression, whose l keeps it from following
//! chance. Each row's l, and whether it is changed at all, is found by cross-validation: v of one half of the columns is
//! judged on the other.
//!
//! Everything is float64 in one order, without fused operations: the same numbers on every machine.

use octavo_exec::{FloatMode, Pool};

use crate::error::Error;
use crate::rounding::factor::factor;
use crate::rounding::lanes::{LANES, Lanes, quadratic_form, solve};

/// The ridges that are tried, as shares of the mean variance of a column's elements.
const RIDGES: [f64; 4] = [0.003, 0.03, 0.3, 3.0];

/// What share of the error without it a change may leave on the other half, to be made.
const MARGIN: f64 = 0.98;

/// What is known of some columns and of what is wanted of them, group by group.
#[derive(Clone, Copy)]
pub struct Moments<'a> {
    /// How many columns they are of.
    pub count: usize,
    /// The means of the columns, [groups, columns].
    pub means: &'a [f64],
    /// Their covariances, symmetric, positive semidefinite, [groups, columns, columns].
    pub covariances: &'a [f64],
    /// The means of what is wanted, [groups, rows].
    pub wanted_means: &'a [f64],
    /// The variances of what is wanted, [groups, rows].
    pub wanted_variances: &'a [f64],
    /// The covariances of what is wanted with the columns, [groups, rows, columns].
    pub cross_covariances: &'a [f64],
}

/// Rows of weights that are to be changed.
pub struct Regression<'a> {
    /// What is known of each half of the columns.
    pub halves: [Moments<'a>; 2],
    /// Groups, rows, columns.
    pub shape: [usize; 3],
}

impl Regression<'_> {
    /// What each row is to be changed by, [groups, rows, columns]; zeros where it stays as it is.
    pub fn solve(&self, pool: &Pool) -> Result<Vec<f64>, Error> {
        self.check()?;
        let [groups, rows, columns] = self.shape;
        let mut changes = vec![0.0; groups * rows * columns];
        if changes.is_empty() {
            return Ok(changes);
        }
        if groups == 1 {
            self.group(0).solve(pool, &mut changes);
        } else {
            pool.slices(&mut changes, rows * columns, |group, out| {
                self.group(group).solve(&Pool::new(1), out);
            });
        }
        Ok(changes)
    }

    fn group(&self, index: usize) -> Group<'_> {
        let [_, rows, columns] = self.shape;
        let halves = self.halves.map(|half| Moments {
            count: half.count,
            means: part(half.means, index, columns),
            covariances: part(half.covariances, index, columns * columns),
            wanted_means: part(half.wanted_means, index, rows),
            wanted_variances: part(half.wanted_variances, index, rows),
            cross_covariances: part(half.cross_covariances, index, rows * columns),
        });
        Group { halves, rows, columns }
    }

    fn check(&self) -> Result<(), Error> {
        let [groups, rows, columns] = self.shape;
        let fits = self.halves.iter().all(|half| {
            half.count > 0
                && half.means.len() == groups * columns
                && half.covariances.len() == groups * columns * columns
                && half.wanted_means.len() == groups * rows
                && half.wanted_variances.len() == groups * rows
                && half.cross_covariances.len() == groups * rows * columns
        });
        if fits {
            Ok(())
        } else {
            Err(Error::run("the moments of the two halves do not fit together".to_owned()))
        }
    }
}

fn part(of: &[f64], index: usize, length: usize) -> &[f64] {
    &of[index * length..][..length]
}

/// Rows that meet the same columns.
struct Group<'a> {
    halves: [Moments<'a>; 2],
    rows: usize,
    columns: usize,
}

impl Group<'_> {
    fn solve(&self, pool: &Pool, changes: &mut [f64]) {
        let chosen = self.chosen(pool);
        if chosen.iter().all(Option::is_none) {
            return;
        }
        let (covariance, cross) = self.of_all();
        for (index, ridge) in RIDGES.iter().enumerate() {
            if !chosen.contains(&Some(index)) {
                continue;
            }
            let Some(factor) = ridged(&covariance, self.columns, *ridge) else { continue };
            pool.slices(changes, LANES * self.columns, |block, changes| {
                let _float_mode = FloatMode::set();
                let first = block * LANES;
                let chosen = &chosen[first..][..changes.len() / self.columns];
                if chosen.contains(&Some(index)) {
                    let mut lanes = Lanes::of(&cross, self.columns, first);
                    solve(&factor, &mut lanes);
                    for (lane, row) in changes.chunks_exact_mut(self.columns).enumerate() {
                        if chosen[lane] == Some(index) {
                            lanes.copy_to(lane, row);
                        }
                    }
                }
            });
        }
    }

    /// The ridge of each row by its number; None where the row had better stay as it is.
    fn chosen(&self, pool: &Pool) -> Vec<Option<usize>> {
        let mut errors = vec![[0.0; RIDGES.len() + 1]; self.rows];
        for [fit, judge] in [[0, 1], [1, 0]].map(|pair| pair.map(|half| &self.halves[half])) {
            for (row, errors) in errors.iter_mut().enumerate() {
                let shift = judge.wanted_means[row] - fit.wanted_means[row];
                errors[RIDGES.len()] += judge.wanted_variances[row] + shift * shift;
            }
            for (index, ridge) in RIDGES.iter().enumerate() {
                let factor = ridged(fit.covariances, self.columns, *ridge);
                pool.slices(&mut errors, LANES, |block, errors| {
                    let _float_mode = FloatMode::set();
                    match &factor {
                        Some(factor) => self.judge(fit, judge, factor, block * LANES, index, errors),
                        None => errors.iter_mut().for_each(|errors| errors[index] = f64::INFINITY),
                    }
                });
            }
        }
        errors.iter().map(least).collect()
    }

    /// Adds the errors over the columns of `judge` of rows that are changed by what `fit` says.
    fn judge(
        &self,
        fit: &Moments<'_>,
        judge: &Moments<'_>,
        factor: &[f64],
        first: usize,
        index: usize,
        errors: &mut [[f64; RIDGES.len() + 1]],
    ) {
        let mut changes = Lanes::of(fit.cross_covariances, self.columns, first);
        solve(factor, &mut changes);
        let squares = quadratic_form(judge.covariances, &changes);
        let products = changes.products(&Lanes::of(judge.cross_covariances, self.columns, first));
        let drift: Vec<f64> = judge.means.iter().zip(fit.means).map(|(judge, fit)| judge - fit).collect();
        let drifts = changes.products_with(&drift);
        for (lane, errors) in errors.iter_mut().enumerate() {
            let row = first + lane;
            let shift = judge.wanted_means[row] - fit.wanted_means[row] - drifts[lane];
            errors[index] +=
                judge.wanted_variances[row] - 2.0 * products[lane] + squares[lane] + shift * shift;
        }
    }

    /// The covariance of all columns, and that of what is wanted with them.
    fn of_all(&self) -> (Vec<f64>, Vec<f64>) {
        let [one, other] = &self.halves;
        let [ones, others] = [one, other].map(|half| half.count as f64);
        let shares = [ones / (ones + others), others / (ones + others)];
        let apart = shares[0] * shares[1];
        let drift: Vec<f64> = one.means.iter().zip(other.means).map(|(one, other)| one - other).collect();
        let wanted = one.wanted_means.iter().zip(other.wanted_means).map(|(one, other)| one - other);
        let joined = |pair: [&[f64]; 2], drifts: &[f64]| -> Vec<f64> {
            let rows = pair[0].chunks_exact(self.columns).zip(pair[1].chunks_exact(self.columns)).zip(drifts);
            rows.flat_map(|((one, other), of_row)| {
                let elements = one.iter().zip(other).zip(&drift);
                elements.map(move |((one, other), of_column)| {
                    shares[0] * one + shares[1] * other + apart * of_row * of_column
                })
            })
            .collect()
        };
        let covariance = joined([one.covariances, other.covariances], &drift);
        let wanted: Vec<f64> = wanted.collect();
        (covariance, joined([one.cross_covariances, other.cross_covariances], &wanted))
    }
}

/// The ridge with the least error, if it leaves little enough of the last, which is that without a change.
fn least(errors: &[f64; RIDGES.len() + 1]) -> Option<usize> {
    let [ridges @ .., without] = errors;
    let best = (0..ridges.len()).min_by(|&a, &b| ridges[a].total_cmp(&ridges[b]))?;
    (ridges[best] < MARGIN * without).then_some(best)
}

/// The factor of a covariance with this ridge; None where no column moves, or the covariance is none.
fn ridged(covariance: &[f64], size: usize, ridge: f64) -> Option<Vec<f64>> {
    let _float_mode = FloatMode::set();
    let trace: f64 = (0..size).map(|place| covariance[place * (size + 1)]).sum();
    let added = ridge * (trace / size as f64);
    if !(added > 0.0 && added.is_finite()) {
        return None;
    }
    let mut upper = covariance.to_vec();
    for place in 0..size {
        upper[place * (size + 1)] += added;
    }
    factor(&mut upper, size).then_some(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns and what is wanted over them, half by half.
    struct Seen {
        columns: [Vec<Vec<f64>>; 2],
        wanted: [Vec<Vec<f64>>; 2],
    }

    #[derive(Clone)]
    struct Owned(usize, Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>);

    impl Owned {
        fn moments(&self) -> Moments<'_> {
            Moments {
                count: self.0,
                means: &self.1,
                covariances: &self.2,
                wanted_means: &self.3,
                wanted_variances: &self.4,
                cross_covariances: &self.5,
            }
        }
    }

    /// Numbers that look random.
    fn noise(place: usize) -> f64 {
        ((place as f64 * 12.9898).sin() * 43_758.545_3).fract()
    }

    const LENGTH: usize = 5;
    const TRUE: [f64; LENGTH] = [0.5, -0.25, 0.0, 1.0, 0.125];

    /// Rows that are wanted to change by `TRUE`, and rows that are wanted to give noise, in turn.
    fn seen(rows: usize) -> Seen {
        let columns = [0, 1].map(|half| -> Vec<Vec<f64>> {
            let column =
                |index: usize| (0..LENGTH).map(move |k| 3.0 + noise(half * 7919 + index * LENGTH + k));
            (0..90 + 30 * half).map(|index| column(index).collect()).collect()
        });
        let wanted = [0, 1].map(|half| {
            let of = |index: usize, column: &Vec<f64>| -> Vec<f64> {
                let changed: f64 = column.iter().zip(TRUE).map(|(x, v)| x * v).sum();
                let plain = |row: usize| noise(500_000 + half * 104_729 + index * rows + row);
                (0..rows).map(|row| if row % 2 == 0 { 2.0 + changed } else { plain(row) }).collect()
            };
            columns[half].iter().enumerate().map(|(index, column)| of(index, column)).collect()
        });
        Seen { columns, wanted }
    }

    fn means(of: &[Vec<f64>]) -> Vec<f64> {
        (0..of[0].len()).map(|k| of.iter().map(|x| x[k]).sum::<f64>() / of.len() as f64).collect()
    }

    fn covariance(a: &[Vec<f64>], b: &[Vec<f64>], i: usize, j: usize) -> f64 {
        let (a_means, b_means) = (means(a), means(b));
        let products = a.iter().zip(b).map(|(a, b)| (a[i] - a_means[i]) * (b[j] - b_means[j]));
        products.sum::<f64>() / a.len() as f64
    }

    impl Seen {
        fn halves(&self) -> [Owned; 2] {
            [0, 1].map(|half| {
                let (x, y) = (&self.columns[half], &self.wanted[half]);
                let rows = y[0].len();
                let covariances =
                    (0..LENGTH * LENGTH).map(|at| covariance(x, x, at / LENGTH, at % LENGTH)).collect();
                let cross = (0..rows * LENGTH).map(|at| covariance(y, x, at / LENGTH, at % LENGTH)).collect();
                let variances = (0..rows).map(|row| covariance(y, y, row, row)).collect();
                Owned(x.len(), means(x), covariances, means(y), variances, cross)
            })
        }

        /// How far a row's change is from solving the normal equations over all columns, with the least ridge.
        fn distance(&self, row: usize, change: &[f64]) -> f64 {
            let [x, y] = [&self.columns, &self.wanted].map(|pair| pair.concat());
            let ridge =
                RIDGES[0] * (0..LENGTH).map(|k| covariance(&x, &x, k, k)).sum::<f64>() / LENGTH as f64;
            let left = |i: usize| -> f64 {
                (0..LENGTH).map(|j| covariance(&x, &x, i, j) * change[j]).sum::<f64>() + ridge * change[i]
            };
            (0..LENGTH).map(|i| (left(i) - covariance(&y, &x, row, i)).abs()).fold(0.0, f64::max)
        }
    }

    fn solved(halves: &[Owned; 2], shape: [usize; 3], threads: usize) -> Vec<f64> {
        let halves = [halves[0].moments(), halves[1].moments()];
        Regression { halves, shape }.solve(&Pool::new(threads)).unwrap()
    }

    #[test]
    fn rows_change_by_what_is_wanted_and_others_stay() {
        let seen = seen(11);
        let changes = solved(&seen.halves(), [1, 11, LENGTH], 1);
        for (row, change) in changes.chunks_exact(LENGTH).enumerate() {
            if row % 2 == 0 {
                assert!(seen.distance(row, change) < 1e-12, "{row}: {change:?}");
                assert!(change.iter().zip(TRUE).all(|(found, wanted)| (found - wanted).abs() < 0.02));
            } else {
                assert_eq!(change, [0.0; LENGTH], "{row}");
            }
        }
    }

    /// The shift between the halves is an error too: by itself it is no reason for a change.
    #[test]
    fn what_holds_in_one_half_alone_is_not_followed() {
        let mut halves = seen(2).halves();
        halves[1].5 = halves[1].5.iter().map(|covariance| -covariance).collect();
        assert_eq!(solved(&halves, [1, 2, LENGTH], 1), [0.0; 2 * LENGTH]);
        for (half, mean) in [(0, 1e3), (1, -1e3)] {
            let mut halves = seen(2).halves();
            assert_ne!(solved(&halves, [1, 2, LENGTH], 1)[..LENGTH], [0.0; LENGTH]);
            halves[half].1.fill(mean);
            assert_eq!(solved(&halves, [1, 2, LENGTH], 1)[..LENGTH], [0.0; LENGTH]);
        }
    }

    #[test]
    fn threads_groups_and_neighbours_do_not_show() {
        let (many, few) = (seen(19).halves(), seen(4).halves());
        let whole = solved(&many, [1, 19, LENGTH], 1);
        assert_eq!(solved(&many, [1, 19, LENGTH], 3), whole);
        let twice = |a: &Vec<f64>| [a.clone(), a.clone()].concat();
        let groups = few.clone().map(|half| {
            Owned(half.0, twice(&half.1), twice(&half.2), twice(&half.3), twice(&half.4), twice(&half.5))
        });
        let one = solved(&few, [1, 4, LENGTH], 1);
        assert_eq!(solved(&groups, [2, 4, LENGTH], 2), twice(&one));
        for row in 0..4 {
            let alone = few.clone().map(|half| {
                let cross = half.5[row * LENGTH..][..LENGTH].to_vec();
                Owned(half.0, half.1, half.2, vec![half.3[row]], vec![half.4[row]], cross)
            });
            assert_eq!(solved(&alone, [1, 1, LENGTH], 1), one[row * LENGTH..][..LENGTH]);
        }
    }

    #[test]
    fn nothing_changes_where_nothing_is_known() {
        for value in [0.0, f64::NAN, -1.0] {
            let mut halves = seen(2).halves();
            halves.iter_mut().for_each(|half| half.2.fill(value));
            assert_eq!(solved(&halves, [1, 2, LENGTH], 1), [0.0; 2 * LENGTH], "{value}");
        }
        let none = [0, 1].map(|_| Owned(1, vec![], vec![], vec![], vec![], vec![]));
        assert!(solved(&none, [1, 0, 0], 1).is_empty());
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let good = seen(2).halves();
        let mut wrong = [0, 1, 2].map(|_| good.clone());
        wrong[0][0].0 = 0;
        wrong[1][1].2.pop();
        wrong[2][0].5.push(0.0);
        for halves in &wrong {
            let halves = [halves[0].moments(), halves[1].moments()];
            assert!(Regression { halves, shape: [1, 2, LENGTH] }.solve(&Pool::new(1)).is_err());
        }
    }
}
