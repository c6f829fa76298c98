//! What attention does with its scores, fused behind their product: the Add of a mask, Softmax, Quantize. A block of rows
//! goes through all of them while it is in the first cache; the bits are those of the nodes one by one.

use octavo_exec::cast_mut;
use octavo_kernels::float::binary::{self, Binary};
use octavo_kernels::float::softmax::{self, Sum};
use octavo_kernels::quantize;
use octavo_kernels::table::Kernels;

use crate::ops::batches::Addend;
use crate::ops::behind::{Takes, softmax_behind};
use crate::ops::node::made;
use crate::plan::builder::{Builder, Stop};
use crate::program::{Node, Op, ValueId};

/// Scores of a block.
const SCORES: usize = 4096;

/// Room for the scores of a block, as bytes.
#[repr(align(64))]
pub struct ScoresBlock([u8; 4 * SCORES]);

impl ScoresBlock {
    /// Nothing yet.
    pub const EMPTY: ScoresBlock = ScoresBlock([0; 4 * SCORES]);

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
pub struct Probabilities {
    /// The Quantize's value.
    pub output: ValueId,
    /// The names of the nodes.
    pub names: String,
    /// What is added to the scores.
    pub mask: Option<Addend>,
    n: usize,
    scale: f32,
    zero_point: i32,
}

/// The nodes behind the float scores of `node`, where they end in the Quantize of a softmax; they are marked as planned.
pub fn probabilities(
    b: &mut Builder<'_>,
    node: &Node,
    shape: &[usize],
) -> Result<Option<Probabilities>, Stop> {
    let n = shape.last().copied().unwrap_or(0);
    let takes = Takes { factor: false, mask_of_columns: true };
    let Some(mut behind) = softmax_behind(b, node, shape, takes)? else { return Ok(None) };
    let Some((last, quantize)) = b.only_reader(behind.output) else { return Ok(None) };
    if quantize.op != Op::Quantize || quantize.inputs.len() > 1 || !(1..=SCORES).contains(&n) {
        return Ok(None);
    }
    let mask = behind.mask.map(|mask| Addend::of(b, mask, shape)).transpose()?;
    behind.indices.push(last);
    let mut names = node.name.clone();
    for index in behind.indices {
        b.absorb(index);
        names = format!("{names} + {}", b.program.nodes[index].name);
    }
    Ok(Some(Probabilities {
        output: made(quantize, 0)?,
        names,
        mask,
        n,
        scale: quantize.attributes.f32("scale")?,
        zero_point: quantize.attributes.int32("zero_point")?,
    }))
}

impl Probabilities {
    /// Rows of a block.
    pub fn rows(&self) -> usize {
        SCORES / self.n
    }

    /// Finishes the `y.len() / n` rows of a block, `first` of that product and those after it.
    pub fn finish(
        &self,
        kernels: Kernels,
        blocks: &mut [ScoresBlock; 2],
        mask: &[f32],
        [product, first]: [usize; 2],
        y: &mut [u8],
    ) {
        let [scores, other] = blocks;
        let (mut from, mut to) = (scores.scores(y.len()), other.scores(y.len()));
        if let Some(addend) = &self.mask {
            let rows = from.chunks_exact(self.n).zip(to.chunks_exact_mut(self.n));
            for (r, (scores, sums)) in rows.enumerate() {
                let addends = &mask[addend.at(product, first + r)..][..addend.row];
                binary::run(kernels, Binary::Add, scores, addends, sums);
            }
            (from, to) = (to, from);
        }
        softmax::softmax(kernels, from, self.n, 1, Sum::Lanes, false, to);
        quantize::quantize(kernels, to, self.scale, self.zero_point, y);
    }
}
