//! How the error of a row's products grows with those of its weights, and the weights for which it is small.

use octavo_exec::FloatMode;

use crate::rounding::descent::descend;
use crate::rounding::factor::{dot, factor};
use crate::rounding::feedback;
use crate::rounding::step::{self, Precision, Step};

/// What is added to the covariance's diagonal, as a share of its mean: columns that were not seen to move count a little.
const DAMPING: f64 = 0.01;

/// Sweeps of coordinate descent; the third still finds something.
const SWEEPS: usize = 3;

/// How often scales are fitted to the integers, and these to them.
const FITS: usize = 2;

/// Columns up to which the nearest numbers are a second start of the descent: where errors can hardly be passed on, the
/// feedback's start is not always the better one.
const FEW: usize = 64;

/// How the error of a row grows with those of its weights: the damped covariance, the columns that move most first.
pub struct Curve {
    /// The columns' places, from the one that moves most.
    pub order: Vec<usize>,
    matrix: Vec<f64>,
    factor: Vec<f64>,
}

impl Curve {
    /// None where no column moves, or the covariance is none.
    pub fn of(covariance: &[f64], size: usize) -> Option<Curve> {
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

    /// What the weights of a row become, in steps and in this order, as the first of four parts of the room. fit: how many
    /// columns share a scale, and what it is held in.
    pub fn round(
        &self,
        weights: &[f64],
        steps: &mut [Step],
        fit: Option<(usize, Precision)>,
        room: &mut [f64],
    ) {
        let size = self.order.len();
        let [numbers, ordered, scratch, others] = [0, 1, 2, 3].map(|part| part * size..(part + 1) * size);
        let [numbers, ordered, scratch, others] =
            room.get_disjoint_mut([numbers, ordered, scratch, others]).expect("the room has four parts");
        for (ordered, &place) in ordered.iter_mut().zip(&self.order) {
            *ordered = weights[place];
        }
        feedback::round(ordered, steps, &self.factor, scratch, numbers);
        descend(ordered, steps, &self.matrix, SWEEPS, scratch, numbers);
        if size <= FEW {
            for ((other, weight), step) in others.iter_mut().zip(&*ordered).zip(&*steps) {
                *other = step.nearest(*weight);
            }
            descend(ordered, steps, &self.matrix, SWEEPS, scratch, others);
            if self.error(ordered, steps, others, scratch) < self.error(ordered, steps, numbers, scratch) {
                numbers.copy_from_slice(others);
            }
        }
        if let Some((block, precision)) = fit {
            let blocks: Vec<usize> = self.order.iter().map(|place| place / block).collect();
            for _ in 0..FITS {
                step::fit(ordered, steps, &blocks, precision, &self.matrix, scratch, numbers);
                descend(ordered, steps, &self.matrix, SWEEPS, scratch, numbers);
            }
        }
    }

    /// The error of a row's products.
    fn error(&self, weights: &[f64], steps: &[Step], numbers: &[f64], room: &mut [f64]) -> f64 {
        let size = weights.len();
        for (((error, weight), number), step) in room.iter_mut().zip(weights).zip(numbers).zip(steps) {
            *error = step.scale * number - weight;
        }
        let rows = self.matrix.chunks_exact(size);
        rows.zip(&*room).map(|(row, error)| error * dot(row, room)).sum()
    }
}
