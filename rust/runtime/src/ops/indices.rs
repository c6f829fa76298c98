//! Where the indices that a run reads point to.

use octavo_exec::Pod;

use crate::ops::node::error;
use crate::plan::builder::Stop;
use crate::plan::faults::Faults;
use crate::plan::relocation::strides;
use crate::program::Node;

/// An index within an axis, counted from its front.
fn from_front(index: i64, n: usize) -> usize {
    (if index < 0 { index + n as i64 } else { index }) as usize
}

/// The positions of an index tensor that lies within another tensor, row by row of its last axis.
pub struct Grid {
    /// The axis that the indices are of.
    pub axis: usize,
    /// How many elements it has.
    pub n: usize,
    /// The step between them.
    step: usize,
    /// The index tensor's last axis.
    pub width: usize,
    /// The step of a position along the last axis: none where that is the axis of the indices.
    across: usize,
    /// The index tensor's other axes, and the step along each.
    outer: Vec<(usize, usize)>,
}

impl Grid {
    /// Of an index tensor over a tensor of as many axes, of which each but the axis of the indices is as long or longer.
    pub fn new(node: &Node, shape: &[usize], indices: &[usize], along: usize) -> Result<Grid, Stop> {
        let rank = shape.len();
        let fits =
            indices.len() == rank && (0..rank).all(|d| d == along || indices[d] <= shape[d]) && rank > 0;
        if !fits {
            let what = format!("indices of shape {indices:?} on axis {along} of shape {shape:?}");
            return Err(error(node, &what));
        }
        let mut steps = strides(shape, &(0..rank).collect::<Vec<_>>(), 1);
        let step = std::mem::replace(&mut steps[along], 0);
        let mut outer: Vec<(usize, usize)> = indices.iter().copied().zip(steps).collect();
        let (width, across) = outer.pop().unwrap_or((1, 0));
        Ok(Grid { axis: along, n: shape[along], step, width, across, outer })
    }

    /// Calls `visit` with the place in the tensor for each index of a row; the indices are within the axis.
    pub fn row<I: Pod + Into<i64>>(&self, row: usize, indices: &[I], mut visit: impl FnMut(usize, usize)) {
        let (mut base, mut rest) = (0, row);
        for &(n, step) in self.outer.iter().rev() {
            base += rest % n * step;
            rest /= n;
        }
        for (at, &index) in indices.iter().enumerate() {
            visit(at, base + at * self.across + from_front(index.into(), self.n) * self.step);
        }
    }

    /// Reports the first index outside the axis; whether there was one.
    pub fn is_wrong<I: Pod + Into<i64>>(&self, indices: &[I], faults: &Faults) -> bool {
        let Some((at, index)) = first_outside(indices, self.n) else { return false };
        let (n, axis) = (self.n, self.axis);
        faults.report(format!("index {index} (element {at}) is outside the {n} elements of axis {axis}"));
        true
    }
}

/// Runs code with a type of this name that is that of indices.
macro_rules! with_index {
    ($dtype:expr, $name:ident => $code:expr) => {
        match $dtype {
            $crate::program::DType::I32 => {
                type $name = i32;
                $code
            }
            _ => {
                type $name = i64;
                $code
            }
        }
    };
}
pub(crate) use with_index;

/// Slices of a tensor that tuples of indices name.
pub struct Tuples {
    /// Tuples of one batch.
    count: usize,
    /// The first axis that a tuple has an index of.
    first: usize,
    /// The length and the step, in slices, of each axis that a tuple has an index of.
    axes: Vec<(usize, usize)>,
    /// Slices of one batch of the tensor.
    batch: usize,
    /// Elements of a slice.
    pub slice: usize,
}

impl Tuples {
    /// Of indices `[batches.., .., m]` over a tensor whose first axes are the same batches.
    pub fn new(node: &Node, shape: &[usize], indices: &[usize], batches: usize) -> Result<Tuples, Stop> {
        let wrong = || error(node, &format!("indices of shape {indices:?} on a tensor of shape {shape:?}"));
        let (&m, outer) = indices.split_last().ok_or_else(wrong)?;
        if batches > outer.len()
            || m == 0
            || batches + m > shape.len()
            || shape[..batches] != outer[..batches]
        {
            return Err(wrong());
        }
        let own = &shape[batches..batches + m];
        let steps = strides(own, &(0..m).collect::<Vec<_>>(), 1);
        Ok(Tuples {
            count: outer[batches..].iter().product(),
            first: batches,
            axes: own.iter().copied().zip(steps).collect(),
            batch: own.iter().product(),
            slice: shape[batches + m..].iter().product(),
        })
    }

    /// Indices of a tuple.
    pub fn width(&self) -> usize {
        self.axes.len()
    }

    /// The slice that a tuple names, whose indices are within their axes.
    pub fn slice_of(&self, tuple: usize, indices: &[i64]) -> usize {
        let own = &indices[tuple * self.axes.len()..][..self.axes.len()];
        let place = |(&index, &(n, step)): (&i64, &(usize, usize))| from_front(index, n) * step;
        tuple / self.count * self.batch + own.iter().zip(&self.axes).map(place).sum::<usize>()
    }

    /// Reports the first index outside its axis; whether there was one.
    pub fn is_wrong(&self, indices: &[i64], faults: &Faults) -> bool {
        let m = self.axes.len();
        let is_outside = |at: usize, index: i64| {
            let n = self.axes[at % m].0 as i64;
            !(-n..n).contains(&index)
        };
        let Some((at, index)) = indices.iter().copied().enumerate().find(|&(at, i)| is_outside(at, i)) else {
            return false;
        };
        let (n, axis) = (self.axes[at % m].0, self.first + at % m);
        faults.report(format!("index {index} (element {at}) is outside the {n} elements of axis {axis}"));
        true
    }
}

/// The first index that is none of `n` elements, counted from either end, and its place.
pub fn first_outside<I: Pod + Into<i64>>(indices: &[I], n: usize) -> Option<(usize, i64)> {
    let n = n as i64;
    indices.iter().map(|&index| index.into()).enumerate().find(|(_, index)| !(-n..n).contains(index))
}
