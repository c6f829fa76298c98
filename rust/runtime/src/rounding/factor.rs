//! The factor R of a symmetric matrix, `R R' = H`, with zeros below its diagonal.

/// Elements of a dot product that are added side by side.
const LANES: usize = 8;

/// Rows that are worked on together: each row that is read serves all of them.
const ROWS: usize = 4;

/// Replaces the upper triangle of a positive definite matrix, `size` rows of `size`, by that of its factor. The lower one
/// is neither read nor written. False where the matrix is not positive definite in float64; what it holds is void then.
pub fn factor(matrix: &mut [f64], size: usize) -> bool {
    let mut end = size;
    while end > 0 {
        let begin = end.saturating_sub(ROWS);
        let (upper, lower) = matrix.split_at_mut(end * size);
        let rows = &mut upper[begin * size..];
        for column in (end..size).rev() {
            let known = &lower[(column - end) * size..][..size];
            for row in rows.chunks_exact_mut(size) {
                eliminate(row, known, column);
            }
        }
        if !within(rows, size, begin) {
            return false;
        }
        end = begin;
    }
    true
}

/// The elements of a row at `column`, by the finished row of that number.
fn eliminate(row: &mut [f64], known: &[f64], column: usize) {
    let product = dot(&row[column + 1..], &known[column + 1..]);
    row[column] = (row[column] - product) / known[column];
}

/// The part of some rows from `begin` on that depends on these rows alone.
fn within(rows: &mut [f64], size: usize, begin: usize) -> bool {
    for row in (0..rows.len() / size).rev() {
        let (open, finished) = rows.split_at_mut((row + 1) * size);
        let open = &mut open[row * size..];
        for (column, known) in
            (begin + row + 1..).zip(finished.chunks_exact(size)).collect::<Vec<_>>().into_iter().rev()
        {
            eliminate(open, known, column);
        }
        let place = begin + row;
        let tail = &open[place + 1..];
        let square = open[place] - dot(tail, tail);
        if !(square > 0.0 && square.is_finite()) {
            return false;
        }
        open[place] = square.sqrt();
    }
    true
}

/// The sum of products: element i in lane i mod 8, the lanes folded by 4, 2, 1.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (mut lanes, (a, a_rest), (b, b_rest)) =
        ([0.0; LANES], a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += a * b;
    }
    for half in [4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random.
    fn noise(count: usize) -> Vec<f64> {
        let mut state = 1u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1 << 24) - 0.5
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn the_factor_times_itself_is_the_matrix() {
        for size in [1, 2, 3, 4, 5, 7, 8, 9, 23, 40] {
            let roots = noise(size * (size + 3));
            let mut matrix = vec![0.0; size * size];
            for (row, a) in roots.chunks_exact(size + 3).enumerate() {
                for (column, b) in roots.chunks_exact(size + 3).enumerate() {
                    matrix[row * size + column] = dot(a, b);
                }
            }
            let mut upper = matrix.clone();
            for row in 0..size {
                upper[row * size..row * size + row].fill(f64::NAN);
            }
            assert!(factor(&mut upper, size));
            for row in 0..size {
                assert!(upper[row * size..row * size + row].iter().all(|x| x.is_nan()));
                for column in row..size {
                    let tails = [row, column].map(|of| &upper[of * size + column..(of + 1) * size]);
                    let product: f64 = tails[0].iter().zip(tails[1]).map(|(a, b)| a * b).sum();
                    assert!((product - matrix[row * size + column]).abs() < 1e-12, "{size}: {row}, {column}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_none() {
        for matrix in
            [[1.0, 2.0, 2.0, 1.0], [0.0; 4], [1.0, f64::NAN, 0.0, 1.0], [1.0, 0.0, 0.0, f64::INFINITY]]
        {
            assert!(!factor(&mut matrix.clone(), 2), "{matrix:?}");
        }
        assert!(factor(&mut [], 0));
    }

    /// In lanes, so that it is the same however wide the machine's vectors are.
    #[test]
    fn dot_products_are_summed_in_lanes() {
        for length in [0, 1, 7, 8, 9, 16, 29] {
            let (a, b) = (noise(length), noise(2 * length)[length..].to_vec());
            let mut lanes = [0.0; 8];
            for (place, (a, b)) in a.iter().zip(&b).enumerate() {
                lanes[place % 8] += a * b;
            }
            let [a4, b4, c4, d4] = [0, 1, 2, 3].map(|lane| lanes[lane] + lanes[lane + 4]);
            assert_eq!(dot(&a, &b).to_bits(), ((a4 + c4) + (b4 + d4)).to_bits());
        }
    }
}
