//! numpy's broadcasting: operands brought to one rank and layout, and the loops over their elements.

use octavo_kernels::table::Kernels;

use crate::ops::node::{broadcast, left_padded, spatial_last};
use crate::plan::buffers::{Placed, TensorType};
use crate::plan::builder::{Builder, Stop};
use crate::plan::conversion::convert_layout;
use crate::plan::layout::{Layout, is_same_bytes};
use crate::plan::relocation::strides;
use crate::program::{Node, ValueId};

/// Operands of one rank in one layout, and the shape that they broadcast to.
pub struct Operands {
    /// The operands; a dimension of 1 may stand for a longer one.
    pub placed: Vec<Placed>,
    /// What they broadcast to.
    pub shape: Vec<usize>,
    /// The layout of all.
    pub layout: Layout,
}

/// Asks for the node's inputs as operands of one broadcast.
pub fn operands(b: &mut Builder<'_>, node: &Node) -> Result<Operands, Stop> {
    let values: Vec<_> = node.inputs.iter().flatten().copied().collect();
    let mut rank = 0;
    for &value in &values {
        rank = rank.max(b.tensor(value)?.shape.len());
    }
    let layout = layout_of(b, &values, rank)?;
    let mut placed = Vec::with_capacity(values.len());
    let mut whole = vec![1; rank];
    for &value in &values {
        placed.push(operand(b, value, rank, layout)?);
        whole = broadcast(node, &whole, &left_padded(&b.tensor(value)?.shape, rank))?;
    }
    Ok(Operands { placed, shape: whole, layout })
}

/// The layout in which values of up to that rank broadcast.
///
/// Operands of less dimensions stand at the end of the logical shape, so only a row-major one can be padded in front as
/// it lies; a constant or a scalar can in any layout.
pub fn layout_of(b: &Builder<'_>, values: &[ValueId], rank: usize) -> Result<Layout, Stop> {
    for &value in values {
        let own = b.tensor(value)?.shape.len();
        if own != rank && own != 0 && b.placed(value).is_some() {
            return Ok(Layout::RowMajor);
        }
    }
    Ok(spatial_last(b, values))
}

/// A value as an operand of that rank, in that layout.
pub fn operand(b: &mut Builder<'_>, value: ValueId, rank: usize, layout: Layout) -> Result<Placed, Stop> {
    let shape = b.tensor(value)?.shape;
    if shape.len() == rank { Ok(b.input_as(value, layout)?) } else { padded(b, value, &shape, rank, layout) }
}

/// An operand of less dimensions, as if ones stood in front of its shape.
fn padded(
    b: &mut Builder<'_>,
    value: ValueId,
    shape: &[usize],
    rank: usize,
    layout: Layout,
) -> Result<Placed, Stop> {
    let placed = b.input_as(value, Layout::RowMajor)?;
    let full = left_padded(shape, rank);
    let tensor = TensorType { dtype: placed.dtype(), shape: full };
    let padded = Placed { tensor, layout: Layout::RowMajor, buffer: placed.buffer };
    // More than one dimension above 1 lies in another order when channels are last.
    let moves = layout == Layout::ChannelsLast && !is_same_bytes(padded.shape());
    if !moves {
        return Ok(Placed { layout, ..padded });
    }
    let buffer = b.steps.temporary(padded.tensor.bytes());
    let name = b.name(value).to_owned();
    convert_layout(&mut b.steps, name, &padded, layout, buffer);
    Ok(Placed { layout, buffer, ..padded })
}

/// The loops of a broadcast of N operands: outer dimensions with their byte strides, and an inner run.
struct Loops<const N: usize> {
    /// Extent, and each operand's stride; outer to inner.
    outer: Vec<(usize, [usize; N])>,
    /// Elements of the inner run, and whether each operand moves in it.
    run: usize,
    moves: [bool; N],
    /// Bytes of each operand's elements.
    sizes: [usize; N],
}

impl<const N: usize> Loops<N> {
    fn new(operands: [&Placed; N], y: &Placed) -> Loops<N> {
        let whole = y.physical();
        let shapes = operands.map(Placed::physical);
        let sizes = operands.map(|x| x.dtype().size());
        let order: Vec<usize> = (0..whole.len()).collect();
        let steps: [_; N] = std::array::from_fn(|i| strides(&shapes[i], &order, sizes[i]));
        let mut loops = Loops { outer: Vec::new(), run: 1, moves: [true; N], sizes };
        let mut at = whole.len();
        // The innermost dimensions in which the same operands move are one run.
        let mut kind = None;
        while at > 0 {
            let d = at - 1;
            if whole[d] != 1 {
                let moves: [bool; N] = std::array::from_fn(|i| shapes[i][d] != 1);
                if kind.is_some_and(|kind| kind != moves) {
                    break;
                }
                kind = Some(moves);
                loops.run *= whole[d];
            }
            at -= 1;
        }
        loops.moves = kind.unwrap_or(loops.moves);
        for d in (0..at).filter(|&d| whole[d] != 1) {
            let stride = |i: usize| if shapes[i][d] == 1 { 0 } else { steps[i][d] };
            loops.outer.push((whole[d], std::array::from_fn(stride)));
        }
        loops
    }

    /// Where the operands' runs of that number begin.
    fn starts(&self, mut index: usize) -> [usize; N] {
        let mut starts = [0; N];
        for (n, strides) in self.outer.iter().rev() {
            for (start, stride) in starts.iter_mut().zip(strides) {
                *start += index % n * stride;
            }
            index /= n;
        }
        starts
    }

    /// Bytes of the operands' parts from element `skip` of the run on.
    fn parts<'x>(&self, x: &[&'x [u8]; N], starts: [usize; N], skip: usize, count: usize) -> [&'x [u8]; N] {
        std::array::from_fn(|i| {
            let (skip, count) = if self.moves[i] { (skip, count) } else { (0, 1) };
            &x[i][starts[i] + skip * self.sizes[i]..][..count * self.sizes[i]]
        })
    }
}

/// Pushes a step that makes y's elements from the operands' at the same places.
///
/// `function` gets bytes of whole elements: as many of each operand as of y, or one that stands for all.
pub fn push<const N: usize>(
    b: &mut Builder<'_>,
    node: &Node,
    kernel: &'static str,
    operands: [&Placed; N],
    y: &Placed,
    function: impl Fn(Kernels, [&[u8]; N], &mut [u8]) + Send + Sync + 'static,
) {
    if y.elements() == 0 {
        return;
    }
    let loops = Loops::new(operands, y);
    let (sources, target) = (operands.map(|x| x.buffer), y.buffer);
    let element = y.dtype().size();
    let is_one_run = loops.outer.is_empty();
    let chunk = if is_one_run {
        b.steps.chunk_elements(loops.run)
    } else {
        b.steps.chunk(y.elements() / loops.run, loops.run as f64 * 0.1, 1)
    };
    b.steps.of_node(node, kernel).run(sources, [target], move |run, x, [y]| {
        let (kernels, pool) = (run.kernels, run.pool);
        if is_one_run {
            pool.slices(y, chunk * element, |i, y| {
                let parts = loops.parts(&x, [0; N], i * chunk, y.len() / element);
                function(kernels, parts, y);
            });
        } else {
            pool.slices(y, chunk * loops.run * element, |i, y| {
                for (index, y) in y.chunks_exact_mut(loops.run * element).enumerate() {
                    let starts = loops.starts(i * chunk + index);
                    function(kernels, loops.parts(&x, starts, 0, loops.run), y);
                }
            });
        }
    });
}
