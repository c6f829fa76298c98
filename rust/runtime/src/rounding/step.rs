//! What a weight may become.

use octavo_kernels::float::half;

/// What a weight may become: the scale times one of these numbers, from `low` to `high`.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    pub scale: f64,
    pub low: f64,
    pub high: f64,
    numbers: Numbers<'a>,
}

/// What a scale is multiplied by.
#[derive(Clone, Copy)]
pub enum Numbers<'a> {
    /// Whole ones, counted from the zero point.
    Integers,
    /// Those of float16, which are finite.
    Halves,
    /// Those of a codebook, rising.
    Levels(&'a [f64]),
}

impl<'a> Step<'a> {
    /// The numbers of float16 themselves.
    pub const HALVES: Step<'static> =
        Step { scale: 1.0, low: -65504.0, high: 65504.0, numbers: Numbers::Halves };

    /// Numbers from `low` to `high`.
    pub fn of(numbers: Numbers<'a>, scale: f64, low: f64, high: f64) -> Step<'a> {
        Step { scale, low, high, numbers }
    }

    /// The number of times the scale that is nearest to a weight, of two levels as near the lower one; among halves, to
    /// the weight as a float32.
    pub fn nearest(self, weight: f64) -> f64 {
        let times = weight / self.scale;
        let number = match self.numbers {
            Numbers::Integers => times.round_ties_even(),
            Numbers::Halves => f64::from(half::to_f32(half::from_f32(times as f32))),
            Numbers::Levels(levels) => {
                let above = levels.partition_point(|&level| level < times).min(levels.len() - 1);
                let (low, high) = (levels[above.saturating_sub(1)], levels[above]);
                if times - low <= high - times { low } else { high }
            }
        };
        number.clamp(self.low, self.high)
    }
}

/// What scales are held in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Precision {
    /// float16.
    Half,
    /// float32.
    Single,
    /// Whole multiples of a number, from one to `most`.
    Multiple {
        /// The number, positive.
        of: f64,
        /// The greatest multiple.
        most: f64,
    },
}

impl Precision {
    /// The nearest scale that can be held; `None` where that is no positive number of full precision.
    pub fn nearest(self, scale: f64) -> Option<f64> {
        let single = scale as f32;
        let (held, least) = match self {
            Precision::Half => (half::to_f32(half::from_f32(single)), half::to_f32(0x0400)),
            Precision::Single => (single, f32::MIN_POSITIVE),
            Precision::Multiple { of, most } => {
                return Some((scale / of).round_ties_even().clamp(1.0, most) * of);
            }
        };
        (held.is_finite() && held >= least).then_some(f64::from(held))
    }
}

/// Sets the scale of each block of a row to where the error of the row is least while its integers and the other scales
/// stay. block: of each weight, counted from 0. gradient: room for a row.
///
/// With `g = (s q - w) H`, the best scale of a block b is `s_b - g_b q_b / (q_b H_bb q_b)`.
pub fn fit(
    weights: &[f64],
    steps: &mut [Step],
    blocks: &[usize],
    precision: Precision,
    matrix: &[f64],
    gradient: &mut [f64],
    integers: &[f64],
) {
    let size = weights.len();
    gradient.fill(0.0);
    for (place, row) in matrix.chunks_exact(size).enumerate() {
        add(gradient, steps[place].scale * integers[place] - weights[place], row);
    }
    let mut places: Vec<usize> = (0..size).collect();
    places.sort_by_key(|&place| blocks[place]);
    for of_block in places.chunk_by(|&a, &b| blocks[a] == blocks[b]) {
        let mut slope = 0.0;
        let mut curvature = 0.0;
        for &place in of_block {
            let row = &matrix[place * size..][..size];
            slope += gradient[place] * integers[place];
            curvature +=
                integers[place] * of_block.iter().map(|&other| row[other] * integers[other]).sum::<f64>();
        }
        let old = steps[of_block[0]].scale;
        let Some(new) = precision.nearest(old - slope / curvature).filter(|_| curvature > 0.0) else {
            continue;
        };
        for &place in of_block {
            steps[place].scale = new;
            add(gradient, (new - old) * integers[place], &matrix[place * size..][..size]);
        }
    }
}

/// Adds so many times a row.
pub fn add(sum: &mut [f64], factor: f64, row: &[f64]) {
    for (sum, element) in sum.iter_mut().zip(row) {
        *sum += factor * element;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_level_is_taken() {
        let levels = Numbers::Levels(&[-2.0, 0.0, 0.5, 3.0]);
        let step = Step::of(levels, 0.5, f64::NEG_INFINITY, f64::INFINITY);
        for (weight, level) in [
            (-9.0, -2.0),
            (-1.0, -2.0),
            (-0.51, -2.0),
            (-0.5, -2.0),
            (-0.49, 0.0),
            (0.0, 0.0),
            (0.12, 0.0),
            (0.13, 0.5),
            (0.25, 0.5),
            (0.8, 0.5),
            (0.9, 3.0),
            (1.5, 3.0),
            (9.0, 3.0),
        ] {
            assert_eq!(step.nearest(weight), level, "{weight}");
        }
        assert_eq!(Step { low: 0.0, high: 0.0, ..step }.nearest(9.0), 0.0);
        assert_eq!(Step { numbers: Numbers::Levels(&[1.0]), ..step }.nearest(-9.0), 1.0);
    }

    #[test]
    fn scales_are_held_in_full_precision_or_not_at_all() {
        assert_eq!(Precision::Single.nearest(0.1), Some(f64::from(0.1f32)));
        assert_eq!(Precision::Half.nearest(0.1), Some(0.0999755859375));
        for (precision, least, most) in [
            (Precision::Half, 2f64.powi(-14), 65504.0),
            (Precision::Single, 2f64.powi(-126), f32::MAX.into()),
        ] {
            assert_eq!(precision.nearest(least), Some(least));
            assert_eq!(precision.nearest(most), Some(most));
            for scale in [least / 2.0, 2.0 * most, 0.0, -1.0, f64::NAN] {
                assert_eq!(precision.nearest(scale), None, "{scale}");
            }
        }
    }

    /// No other scale of a block does better, the others as they are.
    #[test]
    fn each_block_in_turn_has_the_scale_of_the_least_error() {
        let wave = |place: usize| (place as f64 * 0.7).sin();
        let size = 7;
        let blocks = [1, 0, 0, 1, 2, 0, 1];
        let integers = [3.0, -2.0, 1.0, 0.0, 0.0, 4.0, -1.0];
        let weights: Vec<f64> = (0..size).map(wave).collect();
        let matrix: Vec<f64> = (0..size * size)
            .map(|place| {
                let (a, b) = (place / size, place % size);
                0.3 * (wave(a) + 1.5) * (wave(b) + 1.5) + f64::from(u8::from(a == b))
            })
            .collect();
        let error = |scales: &[f64; 3]| -> f64 {
            let e: Vec<f64> = (0..size).map(|k| scales[blocks[k]] * integers[k] - weights[k]).collect();
            (0..size * size).map(|place| e[place / size] * matrix[place] * e[place % size]).sum()
        };
        let mut steps = [Step::of(Numbers::Integers, 0.25, -7.0, 7.0); 7];
        let before = error(&[0.25; 3]);
        for _ in 0..50 {
            fit(&weights, &mut steps, &blocks, Precision::Single, &matrix, &mut [0.0; 7], &integers);
        }
        let found = [steps[1].scale, steps[0].scale, steps[4].scale];
        assert_eq!(found[2], 0.25, "a block of zeros says nothing of its scale");
        assert!(error(&found) < before);
        for block in 0..2 {
            for factor in [0.99, 1.01] {
                let mut other = found;
                other[block] *= factor;
                assert!(error(&other) > error(&found), "{block}");
            }
        }
    }
}
