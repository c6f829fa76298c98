//! What attention has behind the products of its queries and keys, which takes it in: a factor, a mask, a softmax. The
//! bits are those of the nodes one by one.

use octavo_kernels::float::scores::{Factor, Mask, Scores};

use crate::ops::behind::{SoftmaxBehind, Takes, softmax_behind};
use crate::ops::strides::{broadcast_strides, offsets};
use crate::plan::buffers::BufferId;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::relocation::strides;
use crate::program::{Node, ValueId};

/// The nodes behind a product that end in a softmax of its rows.
pub struct Softmax {
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

impl Softmax {
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
pub fn softmax_of_scores(b: &mut Builder<'_>, node: &Node, shape: &[usize]) -> Result<Option<Softmax>, Stop> {
    let takes = Takes { factor: true, mask_of_columns: false };
    let Some(behind) = softmax_behind(b, node, shape, takes)? else { return Ok(None) };
    let SoftmaxBehind { indices, factor, mask, output } = behind;
    let addend = mask.map(|mask| addend(b, mask, shape)).transpose()?;
    Ok(Some(Softmax { indices, output, factor, addend }))
}

fn addend(b: &mut Builder<'_>, mask: ValueId, shape: &[usize]) -> Result<Addend, Stop> {
    let mask = b.input_as(mask, Layout::RowMajor)?;
    let order: Vec<usize> = (0..mask.shape().len()).collect();
    let strides = broadcast_strides(mask.shape(), &strides(mask.shape(), &order, 1), shape.len());
    let leading = shape.len() - 2;
    let offsets = offsets(&shape[..leading], &strides[..leading]);
    Ok(Addend { buffer: mask.buffer, offsets, stride: strides[leading] })
}
