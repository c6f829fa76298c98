//! Coordinate descent: each integer in turn is set to where the error of its row is least while the others stay.

/// Improves one row's integers, `sweeps` times from the first to the last. gradient: room for a row.
///
/// With `g = (s q - w) H`, the best value of weight k while the others stay is `s q_k - g_k / H_kk`.
pub fn descend(
    weights: &[f64],
    scale: f64,
    [low, high]: [f64; 2],
    matrix: &[f64],
    sweeps: usize,
    gradient: &mut [f64],
    integers: &mut [f64],
) {
    let size = weights.len();
    gradient.fill(0.0);
    for (row, (weight, integer)) in matrix.chunks_exact(size).zip(weights.iter().zip(&*integers)) {
        add(gradient, scale * integer - weight, row);
    }
    for _ in 0..sweeps {
        let mut has_moved = false;
        for (place, row) in matrix.chunks_exact(size).enumerate() {
            let old = integers[place];
            let wanted = scale * old - gradient[place] / row[place];
            let new = (wanted / scale).round_ties_even().clamp(low, high);
            if new != old {
                integers[place] = new;
                add(gradient, scale * (new - old), row);
                has_moved = true;
            }
        }
        if !has_moved {
            break;
        }
    }
}

fn add(sum: &mut [f64], factor: f64, row: &[f64]) {
    for (sum, element) in sum.iter_mut().zip(row) {
        *sum += factor * element;
    }
}
