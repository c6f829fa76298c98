//! What attention has behind the products of its queries and keys, which takes it in: a factor, a mask, a softmax. The
//! bits are those of the nodes one by one.

use octavo_kernels::float::scores::{Factor, Mask, Scores};

use crate::ops::batches::Addend;
use crate::ops::behind::{MaskedBehind, Takes, masked_behind};
use crate::ops::node::{axis, made};
use crate::plan::buffers::BufferId;
use crate::plan::builder::{Builder, Stop};
use crate::program::{Node, Op, ValueId};

/// The nodes behind a product that end in a softmax of its rows.
pub struct Softmax {
    /// The nodes, to be taken into the product's step.
    pub indices: Vec<usize>,
    /// What the softmax makes.
    pub output: ValueId,
    factor: Option<Factor>,
    addend: Option<Addend>,
}

impl Softmax {
    /// The buffer of the mask.
    pub fn buffer(&self) -> Option<BufferId> {
        self.addend.as_ref().map(|addend| addend.buffer)
    }

    /// What becomes of rows of n elements, the first of which is row `row` of a matrix. `mask`: the buffer's elements.
    pub fn scores<'a>(&self, n: usize, mask: &'a [f32], matrix: usize, row: usize) -> Scores<'a> {
        let of = |addend: &Addend| Mask { data: &mask[addend.at(matrix, row)..], stride: addend.stride };
        Scores { n, factor: self.factor, mask: self.addend.as_ref().map(of) }
    }
}

/// What follows the product that a node makes, of that shape, where it ends in a softmax over the last dimension.
pub fn softmax_of_scores(b: &mut Builder<'_>, node: &Node, shape: &[usize]) -> Result<Option<Softmax>, Stop> {
    let takes = Takes { factor: true, mask_of_columns: false };
    let Some(behind) = masked_behind(b, node, shape, takes)? else { return Ok(None) };
    let MaskedBehind { mut indices, factor, mask, reader: (index, softmax) } = behind;
    if softmax.op != Op::Softmax
        || axis(softmax, softmax.attributes.int("axis")?, shape.len())? + 1 != shape.len()
    {
        return Ok(None);
    }
    indices.push(index);
    let addend = mask.map(|mask| Addend::of(b, mask, shape)).transpose()?;
    Ok(Some(Softmax { indices, output: made(softmax, 0)?, factor, addend }))
}
