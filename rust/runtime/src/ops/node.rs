//! What every operator family asks of a node: its inputs and outputs, axes, shapes, and errors that name it.

use octavo_exec::{Pod, cast, cast_mut};
use octavo_kernels::table::Kernels;

use crate::error::Error;
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{DType, Node, Tensor, ValueId};

/// No moved axis becomes longer than this: a plan has a word for each index of it.
pub const LARGEST_EXTENT: usize = 1 << 28;
/// Most elements that an op makes of an input of less.
const MOST_MADE: usize = i32::MAX as usize;

/// The input's index of each index of an axis of the output, or [`FILL`](crate::plan::relocation::FILL); `None`: all of them in their order.
pub type Map = Option<Vec<usize>>;

/// Pushes a step that makes each `chunk` elements of `y` from those of `x` at the same places, and from no others.
pub fn push_map<X: Pod, Y: Pod>(
    b: &mut Builder<'_>,
    node: &Node,
    kernel: &'static str,
    x: &Placed,
    y: &Placed,
    chunk: usize,
    map: impl Fn(Kernels, &[X], &mut [Y]) + Send + Sync + 'static,
) {
    let (xb, yb) = (x.buffer, y.buffer);
    b.steps.of_node(node, kernel).run([xb], [yb], move |run, [x], [y]| {
        let (kernels, pool) = (run.kernels, run.pool);
        let x = cast::<X>(x);
        pool.slices(cast_mut::<Y>(y), chunk, |i, y| map(kernels, &x[i * chunk..][..y.len()], y));
    });
}

/// An error of this node.
pub fn error(node: &Node, what: &str) -> Stop {
    Stop::Failed(Error::run(format!("{}: {what}", node.label())))
}

/// A node's input that must be there.
pub fn needed(node: &Node, place: usize) -> Result<ValueId, Stop> {
    node.input(place).ok_or_else(|| error(node, &format!("input {place} is missing")))
}

/// A node's output that must be there.
pub fn made(node: &Node, place: usize) -> Result<ValueId, Stop> {
    node.outputs
        .get(place)
        .copied()
        .flatten()
        .ok_or_else(|| error(node, &format!("output {place} is missing")))
}

/// An error unless an input is a vector of that many elements, one a channel.
pub fn check_vector(node: &Node, place: usize, shape: &[usize], count: usize) -> Result<(), Stop> {
    if *shape == [count] {
        return Ok(());
    }
    Err(error(node, &format!("input {place} is of shape {shape:?}, it must be a vector of {count} elements")))
}

/// An axis that may count from the end, as an index.
pub fn axis(node: &Node, axis: i64, rank: usize) -> Result<usize, Stop> {
    let rank = rank as i64;
    if (-rank..rank).contains(&axis) {
        return Ok(axis.rem_euclid(rank) as usize);
    }
    Err(error(node, &format!("axis {axis} of a tensor of {rank} dimensions")))
}

/// Axes that may count from the end, as indices; none twice.
pub fn axes(node: &Node, axes: &[i64], rank: usize) -> Result<Vec<usize>, Stop> {
    let found = axes.iter().map(|&a| axis(node, a, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = found.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(error(node, &format!("an axis is listed twice: {axes:?}")));
    }
    Ok(found)
}

/// A shape with dimensions of 1 in front, up to a rank.
pub fn left_padded(shape: &[usize], rank: usize) -> Vec<usize> {
    std::iter::repeat_n(1, rank - shape.len()).chain(shape.iter().copied()).collect()
}

/// The shape that two shapes of one rank broadcast to.
pub fn broadcast(node: &Node, a: &[usize], b: &[usize]) -> Result<Vec<usize>, Stop> {
    a.iter()
        .zip(b)
        .map(|(&m, &n)| match (m, n) {
            _ if m == n => Ok(m),
            (1, n) => Ok(n),
            (m, 1) => Ok(m),
            _ => Err(error(node, &format!("shapes {a:?} and {b:?} do not broadcast"))),
        })
        .collect()
}

/// The layout for an op that works in any, given its inputs: that of the first that has channels last.
pub fn spatial_last(b: &Builder<'_>, values: &[ValueId]) -> Layout {
    let last = values.iter().filter_map(|&v| b.placed(v)).any(|x| x.layout == Layout::ChannelsLast);
    if last { Layout::ChannelsLast } else { Layout::RowMajor }
}

impl Builder<'_> {
    /// The tensor of an input that the plan depends on. Where steps have yet to compute it, or the caller feeds it,
    /// the plan ends before this node, and the rest is planned when a run knows the tensor.
    pub fn known_input(&self, node: &Node, place: usize) -> Result<Tensor, Stop> {
        let value = needed(node, place)?;
        match self.known(value) {
            Some(known) => Ok(known.clone()),
            None if self.placed(value).is_some() => Err(Stop::Waits(value)),
            None => Err(error(node, &format!("'{}' is not known before the run", self.name(value)))),
        }
    }

    /// The integers of an input that must be known before the run.
    pub fn known_ints(&self, node: &Node, place: usize) -> Result<Vec<i64>, Stop> {
        whole_numbers(node, &self.known_input(node, place)?)
    }

    /// [`Builder::known_ints`] of an input that may be left out.
    pub fn known_ints_opt(&self, node: &Node, place: usize) -> Result<Option<Vec<i64>>, Stop> {
        match node.input(place) {
            Some(_) => self.known_ints(node, place).map(Some),
            None => Ok(None),
        }
    }

    /// A shape or repeats: [`Builder::known_ints`], none negative.
    pub fn known_shape(&self, node: &Node, place: usize) -> Result<Vec<usize>, Stop> {
        let ints = self.known_ints(node, place)?;
        ints.iter()
            .map(|&n| usize::try_from(n).map_err(|_| error(node, &format!("{n} in the shape {ints:?}"))))
            .collect()
    }
}

/// The elements of an integer tensor as int64.
pub fn whole_numbers(node: &Node, tensor: &Tensor) -> Result<Vec<i64>, Stop> {
    match tensor.dtype() {
        DType::I64 => Ok(tensor.i64s()?),
        DType::I32 => Ok(tensor.i32s()?.into_iter().map(i64::from).collect()),
        other => Err(error(node, &format!("needs integers, got a tensor of {}", other.name()))),
    }
}

/// The elements of an output whose axes have these lengths. Checked before the maps are made: an axis takes a word an
/// index, and a few bytes can ask for any number of elements.
pub fn checked_elements(node: &Node, input: &[usize], lengths: &[usize]) -> Result<usize, Stop> {
    let elements = lengths.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
    let most = MOST_MADE.max(input.iter().product());
    // Only of nothing may an axis be longer, and only one that stays as it is.
    let is_short = |(&n, &from): (&usize, &usize)| n <= LARGEST_EXTENT || (n == from && elements == Some(0));
    match elements {
        Some(n) if n <= most && lengths.iter().zip(input).all(is_short) => Ok(n),
        _ => Err(error(node, &format!("an output of shape {lengths:?} needs too much memory"))),
    }
}

/// The order of a Transpose of that many dimensions.
pub fn perm(node: &Node, rank: usize) -> Result<Vec<usize>, Stop> {
    let reversed: Vec<i64> = (0..rank as i64).rev().collect();
    let perm = node.attributes.ints_or("perm", &reversed)?;
    let perm = perm.iter().map(|&p| axis(node, p, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = vec![false; rank];
    perm.iter().for_each(|&p| seen[p] = true);
    if perm.len() != rank || seen.contains(&false) {
        return Err(error(node, &format!("perm {perm:?} is not an order of {rank} dimensions")));
    }
    Ok(perm)
}
