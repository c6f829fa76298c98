//! Coordinate descent: each number in turn is set to where the error of its row is least while the others stay.

use crate::rounding::step::{Step, add};

/// Improves one row's numbers, `sweeps` times from the first to the last. gradient: room for a row.
///
/// With `g = (s q - w) H`, the best value of weight k while the others stay is `s q_k - g_k / H_kk`.
pub fn descend(
    weights: &[f64],
    steps: &[Step],
    matrix: &[f64],
    sweeps: usize,
    gradient: &mut [f64],
    numbers: &mut [f64],
) {
    let size = weights.len();
    gradient.fill(0.0);
    for (place, row) in matrix.chunks_exact(size).enumerate() {
        add(gradient, steps[place].scale * numbers[place] - weights[place], row);
    }
    for _ in 0..sweeps {
        let mut has_moved = false;
        for (place, row) in matrix.chunks_exact(size).enumerate() {
            let (old, step) = (numbers[place], steps[place]);
            let new = step.nearest(step.scale * old - gradient[place] / row[place]);
            if new != old {
                numbers[place] = new;
                add(gradient, step.scale * (new - old), row);
                has_moved = true;
            }
        }
        if !has_moved {
            break;
        }
    }
}
