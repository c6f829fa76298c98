//! Several rows of numbers side by side, so that each element of a matrix that is read serves all of them.
//!
//! What becomes of a row does not depend on those beside it.

/// Rows that are worked on together.
pub const LANES: usize = 8;

/// Rows of the same length, element by element.
pub struct Lanes(Vec<[f64; LANES]>);

impl Lanes {
    /// The rows of a matrix from `first` on; zeros behind its last one.
    pub fn of(matrix: &[f64], columns: usize, first: usize) -> Lanes {
        let mut lanes = vec![[0.0; LANES]; columns];
        for (lane, row) in matrix.chunks_exact(columns).skip(first).take(LANES).enumerate() {
            for (to, from) in lanes.iter_mut().zip(row) {
                to[lane] = *from;
            }
        }
        Lanes(lanes)
    }

    /// Copies one of the rows.
    pub fn copy_to(&self, lane: usize, row: &mut [f64]) {
        for (to, from) in row.iter_mut().zip(&self.0) {
            *to = from[lane];
        }
    }

    /// Each row times the one of `other` in the same place.
    pub fn products(&self, other: &Lanes) -> [f64; LANES] {
        let mut sums = [0.0; LANES];
        for (one, other) in self.0.iter().zip(&other.0) {
            for lane in 0..LANES {
                sums[lane] += one[lane] * other[lane];
            }
        }
        sums
    }

    /// Each row times this one.
    pub fn products_with(&self, row: &[f64]) -> [f64; LANES] {
        products(row, &self.0)
    }
}

/// Replaces each row e by the solution v of `(R R') v = e`, R upper triangular as `factor` gives it.
pub fn solve(factor: &[f64], Lanes(rows): &mut Lanes) {
    let size = rows.len();
    for (place, known) in factor.chunks_exact(size).enumerate().rev() {
        let (open, finished) = rows.split_at_mut(place + 1);
        let sums = products(&known[place + 1..], finished);
        for lane in 0..LANES {
            open[place][lane] = (open[place][lane] - sums[lane]) / known[place];
        }
    }
    for (place, known) in factor.chunks_exact(size).enumerate() {
        let (finished, open) = rows.split_at_mut(place + 1);
        let element = &mut finished[place];
        element.iter_mut().for_each(|element| *element /= known[place]);
        for (open, factor) in open.iter_mut().zip(&known[place + 1..]) {
            for lane in 0..LANES {
                open[lane] -= factor * element[lane];
            }
        }
    }
}

/// `v C v'` of each row v, C symmetric; what is below its diagonal is not read.
pub fn quadratic_form(matrix: &[f64], Lanes(rows): &Lanes) -> [f64; LANES] {
    let mut sums = [0.0; LANES];
    for (place, (row, element)) in matrix.chunks_exact(rows.len()).zip(rows).enumerate() {
        let behind = products(&row[place + 1..], &rows[place + 1..]);
        for lane in 0..LANES {
            sums[lane] += element[lane] * (row[place] * element[lane] + 2.0 * behind[lane]);
        }
    }
    sums
}

fn products(row: &[f64], rows: &[[f64; LANES]]) -> [f64; LANES] {
    let mut sums = [0.0; LANES];
    for (factor, elements) in row.iter().zip(rows) {
        for lane in 0..LANES {
            sums[lane] += factor * elements[lane];
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(place: usize) -> f64 {
        (place as f64 * 0.7).sin()
    }

    /// R and, by plain sums, R R'.
    fn matrices(size: usize) -> (Vec<f64>, Vec<f64>) {
        let at = |row: usize, column: usize| match row.cmp(&column) {
            std::cmp::Ordering::Less => wave(row * size + column),
            std::cmp::Ordering::Equal => 1.5 + 0.1 * row as f64,
            std::cmp::Ordering::Greater => 0.0,
        };
        let places = || (0..size * size).map(|place| (place / size, place % size));
        let product = |row, column| (0..size).map(|k| at(row, k) * at(column, k)).sum();
        (
            places().map(|(row, column)| at(row, column)).collect(),
            places().map(|(row, column)| product(row, column)).collect(),
        )
    }

    #[test]
    fn solutions_times_the_matrix_are_what_was_given() {
        for (size, rows) in [(1, 1), (5, 3), (12, 8), (7, 11)] {
            let (upper, whole) = matrices(size);
            let given: Vec<f64> = (0..rows * size).map(|place| wave(place + 3)).collect();
            for (row, wanted) in given.chunks_exact(size).enumerate() {
                let mut lanes = Lanes::of(&given, size, row / LANES * LANES);
                solve(&upper, &mut lanes);
                let mut solved = vec![0.0; size];
                lanes.copy_to(row % LANES, &mut solved);
                for (line, wanted) in whole.chunks_exact(size).zip(wanted) {
                    let product: f64 = line.iter().zip(&solved).map(|(a, b)| a * b).sum();
                    assert!((product - wanted).abs() < 1e-9, "{size}, {row}: {product}, {wanted}");
                }
            }
        }
    }

    #[test]
    fn forms_and_products_are_those_of_plain_sums() {
        let size = 6;
        let (_, mut whole) = matrices(size);
        let rows: Vec<f64> = (0..3 * size).map(wave).collect();
        let plain = |row: usize| -> f64 {
            let row = &rows[row * size..][..size];
            (0..size * size).map(|place| row[place / size] * whole[place] * row[place % size]).sum()
        };
        let (wanted, lanes) = ([0, 1, 2].map(plain), Lanes::of(&rows, size, 0));
        let square: f64 = rows[size..2 * size].iter().map(|x| x * x).sum();
        for place in 0..size * size {
            if place % size < place / size {
                whole[place] = f64::NAN;
            }
        }
        let found = quadratic_form(&whole, &lanes);
        assert!(wanted.iter().zip(found).all(|(wanted, found)| (wanted - found).abs() < 1e-9));
        assert_eq!(found[3..], [0.0; 5]);
        assert!((lanes.products(&lanes)[1] - square).abs() < 1e-12);
        assert!((lanes.products_with(&rows[size..2 * size])[1] - square).abs() < 1e-12);
    }
}
