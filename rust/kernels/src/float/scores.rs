//! What attention does with the products of queries and keys: a factor, a mask, a softmax, row by row where they lie.

use super::softmax;
use crate::isa::{Entry, Has};

type Run = unsafe fn(&Scores<'_>, &mut [f32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// A factor, a mask and a softmax of rows.
    pub scores: Entry<Run>,
}

crate::plain::plain_tiers!(Entries {
    scores(by: &Scores<'_>, rows: &mut [f32]) = kernel as "f32-scores";
});

/// What becomes of rows of n elements, one operation after the other, each rounded.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a> {
    /// Elements of a row.
    pub n: usize,
    /// Applied first.
    pub factor: Option<Factor>,
    /// Added next.
    pub mask: Option<Mask<'a>>,
}

/// A number for all elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Factor {
    /// They are multiplied by it.
    Times(f32),
    /// They are divided by it.
    Over(f32),
}

/// What is added to each row.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    /// Row i begins at `i * stride`.
    pub data: &'a [f32],
    /// Elements from one row to the next; 0 where all have the same.
    pub stride: usize,
}

/// Makes each row the softmax of its masked products: exponentials are summed in 16 lanes.
pub fn run(k: impl Has<Entries>, by: &Scores<'_>, rows: &mut [f32]) {
    assert!(by.n > 0 && rows.len().is_multiple_of(by.n), "rows");
    if let Some(Mask { data, stride }) = by.mask {
        let last = (rows.len() / by.n).saturating_sub(1).checked_mul(stride);
        assert!(last.and_then(|last| last.checked_add(by.n)).is_some_and(|end| end <= data.len()), "mask");
    }
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().scores.code())(by, rows) }
}

#[inline(always)]
pub(super) fn kernel(by: &Scores<'_>, rows: &mut [f32]) {
    for (i, row) in rows.chunks_exact_mut(by.n).enumerate() {
        match by.factor {
            Some(Factor::Times(factor)) => row.iter_mut().for_each(|x| *x *= factor),
            Some(Factor::Over(factor)) => row.iter_mut().for_each(|x| *x /= factor),
            None => {}
        }
        if let Some(Mask { data, stride }) = by.mask {
            row.iter_mut().zip(&data[i * stride..]).for_each(|(x, &m)| *x += m);
        }
        softmax::in_place(row);
    }
}

#[cfg(test)]
mod tests {
    use super::super::softmax::{Sum, softmax as whole_softmax};
    use super::*;
    use crate::isa::available;
    use crate::table::Kernels;

    #[test]
    fn scores_are_a_factor_a_mask_and_a_softmax() {
        let numbers = |len: usize, seed: usize| -> Vec<f32> {
            (0..len).map(|i| ((i * 7919 + seed) % 1009) as f32 / 100.0 - 5.0).collect()
        };
        for n in (1..40).chain([64, 100]) {
            let x = numbers(5 * n, n);
            let mut mask = numbers(4 * (n + 3) + n, 77);
            mask[n / 2] = f32::NEG_INFINITY;
            for factor in [None, Some(Factor::Times(0.3)), Some(Factor::Over(7.0))] {
                for stride in [None, Some(0), Some(n), Some(n + 3)] {
                    let mut scaled: Vec<f32> = match factor {
                        None => x.clone(),
                        Some(Factor::Times(factor)) => x.iter().map(|x| x * factor).collect(),
                        Some(Factor::Over(factor)) => x.iter().map(|x| x / factor).collect(),
                    };
                    if let Some(stride) = stride {
                        scaled.iter_mut().enumerate().for_each(|(i, x)| *x += mask[i / n * stride + i % n]);
                    }
                    let mask = stride.map(|stride| Mask { data: &mask[..4 * stride + n], stride });
                    for k in available().into_iter().filter_map(Kernels::new) {
                        let mut expected = vec![0.0; 5 * n];
                        // The softmax of vectors of their own is tested by itself.
                        for (x, y) in scaled.chunks(n).zip(expected.chunks_mut(n)) {
                            whole_softmax(k, x, n, 1, Sum::Lanes, false, y);
                        }
                        let mut rows = x.clone();
                        run(k, &Scores { n, factor, mask }, &mut rows);
                        let same = rows.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
                        assert!(same, "{} {n} {factor:?} {stride:?}", k.isa());
                    }
                }
            }
        }
    }

    /// Rows all of whose elements are masked by as much, which leaves them what they were: none stays of a maximum that
    /// is no element's.
    #[test]
    fn masks_of_whole_rows() {
        for n in [1, 2, 15, 16, 17, 40] {
            let x: Vec<f32> = (0..2 * n).map(|i| (i * 37 % 41) as f32 / 7.0 - 2.5).collect();
            for far in [-1e3, -1e4, -1e9, -3e38, 3e38, f32::NEG_INFINITY] {
                let masked: Vec<f32> = x.iter().map(|x| x + far).collect();
                for k in available().into_iter().filter_map(Kernels::new) {
                    let mut expected = vec![0.0; 2 * n];
                    whole_softmax(k, &masked, n, 1, Sum::Lanes, false, &mut expected);
                    assert_eq!(far.is_finite(), expected[0] > 0.0, "{far} {n}");
                    let mut rows = x.clone();
                    run(
                        k,
                        &Scores { n, factor: None, mask: Some(Mask { data: &vec![far; n], stride: 0 }) },
                        &mut rows,
                    );
                    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                    assert!(rows.iter().zip(&expected).all(same), "{} {far} {n}", k.isa());
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "mask")]
    fn a_mask_too_short_is_refused() {
        let by = Scores { n: 3, factor: None, mask: Some(Mask { data: &[0.0; 6], stride: 4 }) };
        run(Kernels::best(), &by, &mut [1.0; 6]);
    }
}
