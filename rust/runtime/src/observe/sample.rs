//! One sample of a value: what all of its elements were, and the least that most statistics ask of them.

use std::cell::OnceCell;

/// The elements of one value in one run, as float32.
pub struct Sample<'v> {
    values: &'v [f32],
    axes: Axes,
    summary: OnceCell<Summary>,
}

/// Where the elements lie that have one index on an axis. None where the value has no such axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axes {
    /// On axis 1, that of channels in ONNX's layout.
    pub channels: Option<Axis>,
    /// On the last axis, that of features.
    pub features: Option<Axis>,
}

/// An axis of elements in memory: `run` of them that lie side by side have one index, and the runs go through the
/// indices, `length` of them, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Elements side by side with one index.
    pub run: usize,
    /// How many indices there are.
    pub length: usize,
}

impl<'v> Sample<'v> {
    /// A sample of these elements, of which it does not matter where they lie.
    pub fn new(values: &'v [f32]) -> Sample<'v> {
        Sample::of(values, Axes::default())
    }

    /// A sample of elements that lie so.
    pub fn of(values: &'v [f32], axes: Axes) -> Sample<'v> {
        Sample { values, axes, summary: OnceCell::new() }
    }

    /// Where they lie.
    pub fn axes(&self) -> Axes {
        self.axes
    }

    /// The elements.
    pub fn values(&self) -> &'v [f32] {
        self.values
    }

    /// Their extremes and counts: the elements are looked at once, whatever number of statistics asks.
    pub fn summary(&self) -> &Summary {
        self.summary.get_or_init(|| Summary::of(self.values))
    }
}

/// The extremes and counts of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The least finite element; infinity where there is none.
    pub min: f32,
    /// The greatest finite element; minus infinity where there is none.
    pub max: f32,
    /// Elements that are NaN.
    pub nans: u64,
    /// Elements that are infinite.
    pub infinities: u64,
    /// All elements.
    pub elements: u64,
}

/// Values looked at together: the compiler makes vectors of them.
const LANES: usize = 16;

impl Summary {
    /// Looks at every element. Minimum and maximum do not depend on the order.
    fn of(values: &[f32]) -> Summary {
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
        let mut all = Summary {
            min: min.into_iter().fold(f32::INFINITY, f32::min),
            max: max.into_iter().fold(f32::NEG_INFINITY, f32::max),
            nans: 0,
            infinities: 0,
            elements: values.len() as u64,
        };
        for &x in rest.iter().filter(|x| x.is_finite()) {
            all.min = all.min.min(x);
            all.max = all.max.max(x);
        }
        let any_bad = bad.iter().any(|&n| n > 0) || rest.iter().any(|x| !x.is_finite());
        if any_bad {
            all.nans = values.iter().filter(|x| x.is_nan()).count() as u64;
            all.infinities = values.iter().filter(|x| x.is_infinite()).count() as u64;
        }
        // -0 and +0 compare equal, so which one the fold keeps would depend on the order.
        all.min += 0.0;
        all.max += 0.0;
        all
    }

    /// Whether some element is finite.
    pub fn has_finite(&self) -> bool {
        self.elements > self.nans + self.infinities
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
        let seen = Summary::of(&values);
        assert_eq!(seen, Summary { min: -30.0, max: 67.0, nans: 1, infinities: 2, elements: 100 });
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
            let all = Summary { min, max, nans: 0, infinities: 0, elements: count };
            assert_eq!(Summary::of(&values), all);
            for at in 0..length {
                let found = std::mem::replace(&mut values[at], -3.0);
                let seen = Summary::of(&values);
                assert_eq!((seen.min, seen.elements), (-3.0, count), "the least at {at} of {length}");
                values[at] = 5.0;
                assert_eq!(Summary::of(&values).max, 5.0, "the greatest at {at} of {length}");
                values[at] = f32::MIN;
                assert_eq!(Summary::of(&values).min, f32::MIN);
                values[at] = f32::NAN;
                let seen = Summary::of(&values);
                assert_eq!(
                    (seen.nans, seen.infinities, seen.elements),
                    (1, 0, count),
                    "NaN at {at} of {length}"
                );
                for end in [f32::INFINITY, f32::NEG_INFINITY] {
                    values[at] = end;
                    let seen = Summary::of(&values);
                    assert_eq!((seen.nans, seen.infinities), (0, 1), "{end} at {at} of {length}");
                    assert!(seen.max < 1.0 && seen.min >= 0.0);
                }
                values[at] = found;
            }
        }
    }

    #[test]
    fn nothing_finite_and_nothing_at_all() {
        let seen = Summary::of(&[f32::NAN; 40]);
        assert_eq!((seen.min, seen.max, seen.nans), (f32::INFINITY, f32::NEG_INFINITY, 40));
        assert!(!seen.has_finite());
        let seen = Summary::of(&[]);
        assert_eq!((seen.min, seen.max, seen.elements), (f32::INFINITY, f32::NEG_INFINITY, 0));
        assert!(!seen.has_finite() && !Summary::of(&[f32::INFINITY, f32::NAN]).has_finite());
        assert!(Summary::of(&[f32::INFINITY, 0.0, f32::NAN]).has_finite());
    }

    #[test]
    fn zeros_are_positive() {
        for values in [[-0.0; 20], [0.0; 20]] {
            let seen = Summary::of(&values);
            assert_eq!((seen.min.to_bits(), seen.max.to_bits()), (0, 0));
        }
    }
}
