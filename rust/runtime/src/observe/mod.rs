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
