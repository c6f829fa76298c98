//! What attention has behind the products of its queries and keys, which takes it in: a factor, a mask, a softmax. The
//! bits are those of the nodes one by one.

use octavo_kernels::float::scores::{Factor, Mask, Scores};

use crate::ops::node::made;
use crate::ops::strides::{broadcast_strides, offsets};
use crate::plan::buffers::BufferId;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::relocation::strides;
use crate::program::{DType, Node, Op, ValueId};

/// The nodes behind a product that end in a softmax of its rows.
pub struct Softened {
    /// The nodes, to be taken into the product's step.
    pub indices: Vec<usize>,
    /// What the softmax makes.
    pub output: ValueId,
    factor: Option<Factor>,
    addend: Option<Addend>,
}

/// A tensor that broadcasts to the product, whose rows lie in one piece each.
struct Addend {
    buffer: BufferId,
    /// Where the first row of each of the product's matrices begins, and the elements from each to the next.
    offsets: Vec<usize>,
    stride: usize,
}

impl Softened {
    /// The buffer of the mask.
    pub fn buffer(&self) -> Option<BufferId> {
        self.addend.as_ref().map(|addend| addend.buffer)
    }

    /// What becomes of rows of n elements, the first of which is row `row` of a matrix. `mask`: the buffer's elements.
    pub fn scores<'a>(&self, n: usize, mask: &'a [f32], matrix: usize, row: usize) -> Scores<'a> {
        let of = |addend: &Addend| Mask {
            data: &mask[addend.offsets[matrix] + row * addend.stride..],
            stride: addend.stride,
        };
        Scores { n, factor: self.factor, mask: self.addend.as_ref().map(of) }
    }
}

/// What follows the product that a node makes, of that shape, where it ends in a softmax over the last dimension.
pub fn softmax_behind(b: &mut Builder<'_>, node: &Node, shape: &[usize]) -> Result<Option<Softened>, Stop> {
    let (mut value, mut indices) = (made(node, 0)?, Vec::new());
    let mut factor = None;
    if let Some((index, found, output)) = factor_behind(b, value) {
        (value, factor) = (output, Some(found));
        indices.push(index);
    }
    let mut mask = None;
    if let Some((index, other, output)) = mask_behind(b, value, shape) {
        (value, mask) = (output, Some(other));
        indices.push(index);
    }
    let Some((index, softmax)) = b.only_reader(value) else { return Ok(None) };
    let last = shape.len() as i64 - 1;
    if softmax.op != Op::Softmax || ![-1, last].contains(&softmax.attributes.int("axis")?) {
        return Ok(None);
    }
    indices.push(index);
    let addend = mask.map(|mask| addend(b, mask, shape)).transpose()?;
    Ok(Some(Softened { indices, output: made(softmax, 0)?, factor, addend }))
}

/// The multiplication or division by one known number that alone reads a value.
fn factor_behind(b: &Builder<'_>, value: ValueId) -> Option<(usize, Factor, ValueId)> {
    let (index, node) = b.only_reader(value)?;
    let [Some(left), Some(right)] = node.inputs[..] else { return None };
    let other = if left == value { right } else { left };
    let known = b.known(other).filter(|known| known.len() == 1 && known.shape().len() <= 1)?;
    let number = known.f32s().ok()?[0];
    let factor = match node.op {
        Op::Mul => Factor::Times(number),
        Op::Div if left == value => Factor::Over(number),
        _ => return None,
    };
    Some((index, factor, made(node, 0).ok()?))
}

/// The Add that alone reads a value of that shape, the other tensor, which broadcasts to it but is as long on the last
/// dimension, and the sum.
fn mask_behind(b: &Builder<'_>, value: ValueId, shape: &[usize]) -> Option<(usize, ValueId, ValueId)> {
    let (index, node) = b.only_reader(value)?;
    let [Some(left), Some(right)] = node.inputs[..] else { return None };
    let other = if left == value { right } else { left };
    let is_there = b.placed(other).is_some() || b.known(other).is_some();
    if node.op != Op::Add || !is_there || b.program.value(other).dtype != DType::F32 {
        return None;
    }
    let own = b.tensor(other).ok()?.shape;
    let padding = shape.len().checked_sub(own.len())?;
    let fits = own.iter().zip(&shape[padding..]).all(|(&n, &all)| n == 1 || n == all);
    (fits && own.last() == shape.last()).then_some((index, other, made(node, 0).ok()?))
}

fn addend(b: &mut Builder<'_>, mask: ValueId, shape: &[usize]) -> Result<Addend, Stop> {
    let mask = b.input_as(mask, Layout::RowMajor)?;
    let order: Vec<usize> = (0..mask.shape().len()).collect();
    let strides = broadcast_strides(mask.shape(), &strides(mask.shape(), &order, 1), shape.len());
    let leading = shape.len() - 2;
    let offsets = offsets(&shape[..leading], &strides[..leading]);
    Ok(Addend { buffer: mask.buffer, offsets, stride: strides[leading] })
}
