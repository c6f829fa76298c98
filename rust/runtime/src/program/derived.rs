//! The multipliers and shifts of products that scales give: an artifact does not hold what follows from them.
//!
//! Formulas (7), (8) and, for a residual, (9b) of docs/arithmetic.md.

use octavo_kernels::requantize::{multiplier_shift, residual_multiplier_shift};

use super::Op;

/// What a product by weights that requantizes reads: x, w, bias, multiplier, shift, and r, its multiplier and its shift.
const INPUTS: [usize; 2] = [5, 8];
/// Which of them scales can give, in the order of [`given`].
pub(super) const PLACES: [usize; 4] = [3, 4, 6, 7];

/// Whether a node of so many inputs is such a product.
pub(super) fn requantizes(op: Op, inputs: usize) -> bool {
    matches!(op, Op::QConv | Op::QConvTranspose | Op::QGemm) && INPUTS.contains(&inputs)
}

/// The scales of a value.
#[derive(Clone, Copy)]
pub(super) struct Scales<'a> {
    pub scale: &'a [f32],
    /// Whether they are of a grid with fractional zero points, which the weights have taken in.
    pub is_grid: bool,
}

/// The multipliers and shifts of a product and, where there is one, of its residual, each of as many channels as the
/// weights have scales; `None` where scales give none.
pub(super) fn given(x: Scales, w: Scales, y: Scales, r: Option<Scales>) -> Option<Vec<Vec<i32>>> {
    let count = w.scale.len();
    let [x, w, y] = [x.of_channels(count)?, w.of_channels(count)?, y.of_channels(count)?];
    let sums: Vec<f64> = (0..count).map(|c| x[c] * w[c]).collect();
    let own = (0..count).map(|c| multiplier_shift(sums[c] / y[c]));
    let mut found = columns(own.collect::<Option<_>>()?).to_vec();
    if let Some(r) = r {
        let r = r.of_channels(count)?;
        let joined = (0..count).map(|c| residual_multiplier_shift(r[c] / sums[c]));
        found.extend(columns(joined.collect::<Option<_>>()?));
    }
    Some(found)
}

fn columns(pairs: Vec<(i32, u32)>) -> [Vec<i32>; 2] {
    [pairs.iter().map(|pair| pair.0).collect(), pairs.iter().map(|pair| pair.1 as i32).collect()]
}

impl Scales<'_> {
    /// The scale of each of so many channels; 1 for those of a grid.
    fn of_channels(self, count: usize) -> Option<Vec<f64>> {
        let is_scale = |&scale: &f32| scale > 0.0 && scale.is_finite();
        let length = self.scale.len();
        if !(length == count || length == 1) || !self.scale.iter().all(is_scale) {
            return None;
        }
        let scale = |at: usize| if self.is_grid { 1.0 } else { f64::from(self.scale[at.min(length - 1)]) };
        Some((0..count).map(scale).collect())
    }
}
