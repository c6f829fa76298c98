//! How far a bias has to move so that the mean behind an activation does.

/// Channels that are worked on together.
const LANES: usize = 16;
/// Steps of Newton's method.
const STEPS: usize = 3;
/// Of the units that a channel's results are counted in: the largest is below `2^BITS`.
const BITS: i32 = 17;
/// The share of results that an activation passes on is taken for this at least.
const LEAST_INSIDE: f64 = 0.02;
/// A step is no longer than this share of the results' mean magnitude.
const LONGEST: f64 = 0.1;

/// Results of a channel that a shift is found by at most: a sum of as many, each moved by twice the largest, fits in 32 bits.
pub const MOST_RESULTS: usize = (i32::MAX >> (BITS + 2)) as usize;

/// The shift of each channel's results that adds `missing` to its mean behind the activation.
///
/// results: some of a product's, before the activation, `[results, channels]`, row by row, [`MOST_RESULTS`] rows at most.
/// bounds: of the activation. Newton's method on the results as integers of a unit of each channel's own, whose sums are exact.
pub fn shifts(results: &[f32], missing: &[f64], bounds: [f64; 2]) -> Vec<f64> {
    let channels = missing.len();
    let mut found = vec![0.0; channels];
    if results.is_empty() {
        return found;
    }
    assert!(results.len() <= MOST_RESULTS * channels, "sums of so many results can leave 32 bits");
    for (block, (found, missing)) in found.chunks_mut(LANES).zip(missing.chunks(LANES)).enumerate() {
        let rows = results.chunks_exact(channels).map(|row| &row[block * LANES..][..missing.len()]);
        Channels::of(rows, bounds).newton(missing, found);
    }
    found
}

/// Some channels' results in units.
struct Channels {
    results: Vec<[i32; LANES]>,
    unit: [f64; LANES],
    low: [i32; LANES],
    high: [i32; LANES],
}

impl Channels {
    fn of<'a>(rows: impl Iterator<Item = &'a [f32]> + Clone, bounds: [f64; 2]) -> Channels {
        let mut most = [2.0_f32.powi(-100); LANES];
        for row in rows.clone() {
            for (most, result) in most.iter_mut().zip(row) {
                *most = most.max(result.abs());
            }
        }
        let unit = most.map(|most| 2.0_f64.powi(exponent(most) - BITS));
        let of_unit = unit.map(|unit| (1.0 / unit) as f32);
        let in_units = |row: &[f32]| {
            let mut units = [0; LANES];
            for (to, (result, of_unit)) in units.iter_mut().zip(row.iter().zip(of_unit)) {
                *to = nearest(result * of_unit);
            }
            units
        };
        let [low, high] = bounds.map(|bound| unit.map(|unit| counted(bound, unit)));
        Channels { results: rows.map(in_units).collect(), unit, low, high }
    }

    fn newton(&self, missing: &[f64], shift: &mut [f64]) {
        let count = self.results.len() as f64;
        let mut magnitudes = [0; LANES];
        for row in &self.results {
            for (sum, result) in magnitudes.iter_mut().zip(row) {
                *sum += result.abs();
            }
        }
        let (at_first, _) = self.moved([0; LANES]);
        for _ in 0..STEPS {
            let mut by = [0; LANES];
            for (by, (shift, unit)) in by.iter_mut().zip(shift.iter().zip(self.unit)) {
                *by = counted(*shift, unit);
            }
            let (sums, inside) = self.moved(by);
            for (lane, (shift, missing)) in shift.iter_mut().zip(missing).enumerate() {
                let unit = self.unit[lane];
                let longest = LONGEST * unit * f64::from(magnitudes[lane]) / count;
                let gained = unit * f64::from(sums[lane] - at_first[lane]) / count;
                let inside = (f64::from(inside[lane]) / count).max(LEAST_INSIDE);
                *shift += ((missing - gained) / inside).clamp(-longest, longest);
            }
        }
    }

    /// The sums behind the activation, and how many results it passes on, once all have moved.
    fn moved(&self, by: [i32; LANES]) -> ([i32; LANES], [i32; LANES]) {
        let (mut sums, mut inside) = ([0; LANES], [0; LANES]);
        for row in &self.results {
            for lane in 0..LANES {
                let (low, high) = (self.low[lane], self.high[lane]);
                let moved = (row[lane] + by[lane]).max(low).min(high);
                sums[lane] += moved;
                inside[lane] += i32::from(moved > low && moved < high);
            }
        }
        (sums, inside)
    }
}

/// In units; infinity, and what lies beyond all results, as twice the largest.
fn counted(real: f64, unit: f64) -> i32 {
    let end = f64::from(1 << (BITS + 1));
    (real / unit).round_ties_even().clamp(-end, end) as i32
}

/// The nearest integer to a result in units, ties to even, as its addition to 1.5 * 2^23 rounds it: vectors of every machine
/// can do that.
fn nearest(units: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0;
    let end = (1 << BITS) as f32;
    (units.max(-end).min(end) + SHIFT).to_bits().cast_signed() - SHIFT.to_bits().cast_signed()
}

/// The smallest power of two above a positive normal number is 2 to this.
fn exponent(real: f32) -> i32 {
    (real.to_bits() >> 23) as i32 - 126
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean behind an activation, channel by channel.
    fn means(results: &[f32], channels: usize, shift: &[f64], [low, high]: [f64; 2]) -> Vec<f64> {
        let count = (results.len() / channels) as f64;
        let of = |channel: usize| {
            let column = results.iter().skip(channel).step_by(channels);
            column.map(|x| (f64::from(*x) + shift[channel]).clamp(low, high)).sum::<f64>() / count
        };
        (0..channels).map(of).collect()
    }

    #[test]
    fn means_behind_activations_move_by_what_is_missing() {
        for channels in [1, 5, 16, 37] {
            let results: Vec<f32> = (0..MOST_RESULTS * channels)
                .map(|i| (i as f32 * 0.37).sin() * 3.0 + (i % channels) as f32 * 0.1 - 1.0)
                .collect();
            let missing: Vec<f64> = (0..channels).map(|c| 0.02 * (c as f64 - 3.0) / 8.0).collect();
            let infinity = f64::INFINITY;
            for bounds in [[0.0, infinity], [-1.0, 1.0], [0.0, 6.0], [-infinity, infinity]] {
                let found = shifts(&results, &missing, bounds);
                let before = means(&results, channels, &vec![0.0; channels], bounds);
                let after = means(&results, channels, &found, bounds);
                for ((before, after), missing) in before.iter().zip(after).zip(&missing) {
                    assert!((after - before - missing).abs() < 1e-4, "{channels} {bounds:?}");
                }
            }
        }
    }

    #[test]
    fn nearest_integers_are_those_of_the_standard_library() {
        let ends = [131_072.0, -131_072.0, 131_071.5, 0.5, 1.5, 2.5, -0.5, -1.5, 0.0, -0.0, 1e-30];
        for units in ends.into_iter().chain((0..4000).map(|i| (i as f32 - 2000.0) * 0.4375)) {
            assert_eq!(nearest(units), units.round_ties_even() as i32, "{units}");
        }
        assert_eq!([1e9, f32::NEG_INFINITY].map(nearest), [1 << BITS, -(1 << BITS)]);
    }

    #[test]
    fn sums_of_the_most_and_greatest_results_fit() {
        for sign in [1.0, -1.0] {
            let results = vec![sign * 2.0_f32.next_down(); MOST_RESULTS];
            let found = shifts(&results, &[f64::from(sign) * 0.15], [f64::NEG_INFINITY, f64::INFINITY]);
            assert!((found[0] - f64::from(sign) * 0.15).abs() < 1e-4, "{found:?}");
            let all = shifts(&results, &[f64::from(sign) * 1e9], [f64::NEG_INFINITY, f64::INFINITY]);
            assert!((all[0].abs() - 0.6).abs() < 1e-4, "three of the longest steps: {all:?}");
        }
    }

    #[test]
    fn results_that_are_no_numbers_and_none_at_all_harm_nothing() {
        let results = [f32::NAN, 1.0, f32::INFINITY, 2.0];
        assert_eq!(shifts(&results, &[0.1, 0.1], [0.0, 9.0]).len(), 2);
        assert!(shifts(&[], &[], [0.0, 1.0]).is_empty());
        assert_eq!(shifts(&[], &[1.0], [0.0, 1.0]), [0.0]);
    }
}
