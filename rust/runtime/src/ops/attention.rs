//! What attention does with its scores, fused behind their product: the Add of a mask, Softmax, Quantize. A block of rows
//! goes through all of them while it is in the first cache; the bits are those of the nodes one by one.

use octavo_exec::cast_mut;
use octavo_kernels::float::binary::{self, Binary};
use octavo_kernels::float::softmax::{self, Sum};
use octavo_kernels::quantize;
use octavo_kernels::table::Kernels;

use crate::ops::node::{axis, left_padded, made};
use crate::plan::buffers::BufferId;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::relocation::strides;
use crate::program::{DType, Node, Op, ValueId};

/// Scores of a block.
const SCORES: usize = 4096;

/// Room for the scores of a block, as bytes.
#[repr(align(64))]
pub struct Block([u8; 4 * SCORES]);

impl Block {
    /// Nothing yet.
    pub const EMPTY: Block = Block([0; 4 * SCORES]);

    /// The bytes of that many scores.
    pub fn bytes(&mut self, scores: usize) -> &mut [u8] {
        &mut self.0[..4 * scores]
    }

    /// That many scores.
    fn scores(&mut self, scores: usize) -> &mut [f32] {
        cast_mut(self.bytes(scores))
    }
}

/// The fused nodes.
pub struct Shares {
    /// The Quantize's value.
    pub output: ValueId,
    /// The names of the nodes.
    pub names: String,
    /// What is added to the scores.
    pub mask: Option<Mask>,
    n: usize,
    scale: f32,
    zero_point: i32,
}

/// A tensor that broadcasts to the scores.
pub struct Mask {
    /// Its floats.
    pub buffer: BufferId,
    /// Elements that it moves by along each dimension of the scores but the last.
    pub steps: Vec<usize>,
    /// Elements of a row: 1, or as many as there are scores.
    row: usize,
}

/// The nodes behind the float scores of `node`, where they are those; they are marked as planned.
pub fn shares(b: &mut Builder<'_>, node: &Node, shape: &[usize]) -> Result<Option<Shares>, Stop> {
    let n = shape.last().copied().unwrap_or(0);
    let mut value = made(node, 0)?;
    let (mut names, mut done, mut mask) = (node.name.clone(), vec![], None);
    if let Some((index, add)) = b.only_reader(value)
        && add.op == Op::Add
        && let &[Some(left), Some(right)] = &add.inputs[..]
        && let Some(&Some(sum)) = add.outputs.first()
    {
        mask = Some(if left == value { right } else { left });
        (value, names) = (sum, format!("{names} + {}", add.name));
        done.push(index);
    }
    let Some((index, softmax)) = b.only_reader(value) else { return Ok(None) };
    let is_last =
        || Ok::<bool, Stop>(axis(softmax, softmax.attributes.int("axis")?, shape.len())? + 1 == shape.len());
    if softmax.op != Op::Softmax || !(1..=SCORES).contains(&n) || !is_last()? {
        return Ok(None);
    }
    let Some((last, quantize)) = b.only_reader(made(softmax, 0)?) else { return Ok(None) };
    if quantize.op != Op::Quantize {
        return Ok(None);
    }
    let mask = match mask {
        Some(mask) => match placed_mask(b, mask, shape)? {
            Some(mask) => Some(mask),
            None => return Ok(None),
        },
        None => None,
    };
    done.extend([index, last]);
    done.into_iter().for_each(|index| b.absorb(index));
    Ok(Some(Shares {
        output: made(quantize, 0)?,
        names: format!("{names} + {} + {}", softmax.name, quantize.name),
        mask,
        n,
        scale: quantize.attributes.f32("scale")?,
        zero_point: quantize.attributes.int32("zero_point")?,
    }))
}

/// The tensor as a mask of scores of that shape, if it is there already and broadcasts to no more than that.
fn placed_mask(b: &mut Builder<'_>, value: ValueId, shape: &[usize]) -> Result<Option<Mask>, Stop> {
    if b.placed(value).is_none() && b.known(value).is_none() {
        return Ok(None);
    }
    let tensor = b.tensor(value)?;
    if tensor.dtype != DType::F32 || tensor.shape.len() > shape.len() {
        return Ok(None);
    }
    let own = left_padded(&tensor.shape, shape.len());
    if own.iter().zip(shape).any(|(&own, &n)| own != 1 && own != n) {
        return Ok(None);
    }
    let buffer = b.input_as(value, Layout::RowMajor)?.buffer;
    let order: Vec<usize> = (0..own.len()).collect();
    let along =
        strides(&own, &order, 1).into_iter().zip(&own).map(|(step, &n)| if n == 1 { 0 } else { step });
    let mut steps: Vec<usize> = along.collect();
    steps.pop();
    Ok(Some(Mask { buffer, steps, row: own.last().copied().unwrap_or(1) }))
}

impl Shares {
    /// Rows of a block.
    pub fn rows(&self) -> usize {
        SCORES / self.n
    }

    /// Finishes the `y.len() / n` rows of a block; `at(r)` is the place of row r in the mask.
    pub fn finish(
        &self,
        kernels: Kernels,
        blocks: &mut [Block; 2],
        mask: &[f32],
        at: impl Fn(usize) -> usize,
        y: &mut [u8],
    ) {
        let [scores, other] = blocks;
        let (mut from, mut to) = (scores.scores(y.len()), other.scores(y.len()));
        if let Some(Mask { row, .. }) = self.mask {
            let rows = from.chunks_exact(self.n).zip(to.chunks_exact_mut(self.n));
            for (r, (scores, sums)) in rows.enumerate() {
                binary::run(kernels, Binary::Add, scores, &mask[at(r)..][..row], sums);
            }
            (from, to) = (to, from);
        }
        softmax::softmax(kernels, from, self.n, 1, Sum::Lanes, false, to);
        quantize::quantize(kernels, to, self.scale, self.zero_point, y);
    }
}
