//! What calibration sees of a tensor while the float plan runs.

/// The extremes of one tensor in one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extremes {
    /// The least finite value; infinity where there is none.
    pub min: f32,
    /// The greatest finite value; minus infinity where there is none.
    pub max: f32,
    /// Values that are NaN.
    pub nan: u64,
    /// Values that are infinite.
    pub infinite: u64,
    /// All values.
    pub count: u64,
}

/// Values looked at together: the compiler makes vectors of them.
const LANES: usize = 16;

impl Extremes {
    /// Looks at every value. Minimum and maximum do not depend on the order.
    pub fn of(values: &[f32]) -> Extremes {
        let (blocks, rest) = values.as_chunks::<LANES>();
        let (mut min, mut max, mut bad) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES], [0u32; LANES]);
        for block in blocks {
            for lane in 0..LANES {
                let x = block[lane];
                let is_finite = x.abs() < f32::INFINITY;
                bad[lane] += u32::from(!is_finite);
                let (low, high) = if is_finite { (x, x) } else { (f32::INFINITY, f32::NEG_INFINITY) };
                min[lane] = if low < min[lane] { low } else { min[lane] };
                max[lane] = if high > max[lane] { high } else { max[lane] };
            }
        }
        let mut all = Extremes {
            min: min.into_iter().fold(f32::INFINITY, f32::min),
            max: max.into_iter().fold(f32::NEG_INFINITY, f32::max),
            nan: 0,
            infinite: 0,
            count: values.len() as u64,
        };
        for &x in rest.iter().filter(|x| x.is_finite()) {
            all.min = all.min.min(x);
            all.max = all.max.max(x);
        }
        let any_bad = bad.iter().any(|&n| n > 0) || rest.iter().any(|x| !x.is_finite());
        if any_bad {
            all.nan = values.iter().filter(|x| x.is_nan()).count() as u64;
            all.infinite = values.iter().filter(|x| x.is_infinite()).count() as u64;
        }
        // -0 and +0 compare equal, so which one the fold keeps would depend on the order.
        all.min += 0.0;
        all.max += 0.0;
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finite_extremes_with_the_others_counted_apart() {
        let mut values: Vec<f32> = (0..100).map(|i| i as f32 - 30.0).collect();
        values[5] = f32::NAN;
        values[99] = f32::INFINITY;
        values[98] = f32::NEG_INFINITY;
        let seen = Extremes::of(&values);
        assert_eq!(seen, Extremes { min: -30.0, max: 67.0, nan: 1, infinite: 2, count: 100 });
    }

    /// In vectors and in what is left of them.
    #[test]
    fn every_place_of_every_length_is_seen() {
        for length in 0..70 {
            let mut values: Vec<f32> = (0..length).map(|i| (i % 7) as f32 / 8.0).collect();
            let (min, max) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| {
                (if x < low { x } else { low }, if x > high { x } else { high })
            });
            let count = length as u64;
            let all = Extremes { min, max, nan: 0, infinite: 0, count };
            assert_eq!(Extremes::of(&values), all);
            for at in 0..length {
                let found = std::mem::replace(&mut values[at], -3.0);
                let seen = Extremes::of(&values);
                assert_eq!((seen.min, seen.count), (-3.0, count), "the least at {at} of {length}");
                values[at] = 5.0;
                assert_eq!(Extremes::of(&values).max, 5.0, "the greatest at {at} of {length}");
                values[at] = f32::MIN;
                assert_eq!(Extremes::of(&values).min, f32::MIN);
                values[at] = f32::NAN;
                let seen = Extremes::of(&values);
                assert_eq!((seen.nan, seen.infinite, seen.count), (1, 0, count), "NaN at {at} of {length}");
                for end in [f32::INFINITY, f32::NEG_INFINITY] {
                    values[at] = end;
                    let seen = Extremes::of(&values);
                    assert_eq!((seen.nan, seen.infinite), (0, 1), "{end} at {at} of {length}");
                    assert!(seen.max < 1.0 && seen.min >= 0.0);
                }
                values[at] = found;
            }
        }
    }

    #[test]
    fn nothing_finite_and_nothing_at_all() {
        let seen = Extremes::of(&[f32::NAN; 40]);
        assert_eq!((seen.min, seen.max, seen.nan), (f32::INFINITY, f32::NEG_INFINITY, 40));
        assert_eq!(Extremes::of(&[]).count, 0);
    }

    #[test]
    fn zeros_are_positive() {
        for values in [[-0.0; 20], [0.0; 20]] {
            let seen = Extremes::of(&values);
            assert_eq!((seen.min.to_bits(), seen.max.to_bits()), (0, 0));
        }
    }
}
