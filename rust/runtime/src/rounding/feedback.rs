//! Rounding with feedback: every weight makes up for what the ones before it lost.

use crate::rounding::step::Step;

/// One row's weights as numbers of their steps, in the order in which the factor R of the columns' covariance has them.
/// The error of the row's products is the sum of squares of `e R`; its place k has no weight behind k in it, so weight k
/// is chosen to bring that place nearest to 0. `carried`: room for a row.
pub fn round(weights: &[f64], steps: &[Step], factor: &[f64], carried: &mut [f64], numbers: &mut [f64]) {
    let size = weights.len();
    carried.fill(0.0);
    for (place, row) in factor.chunks_exact(size).enumerate() {
        let step = steps[place];
        let number = step.nearest(weights[place] - carried[place] / row[place]);
        let error = step.scale * number - weights[place];
        numbers[place] = number;
        for (carried, factor) in carried[place + 1..].iter_mut().zip(&row[place + 1..]) {
            *carried += error * factor;
        }
    }
}
