//! What attention does with its scores: QExponentials, by itself or fused behind the product of the scores, after the Add
//! of a mask. A block of rows goes through all of them while it is in the first cache; the bits are those of the nodes
//! one by one.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::exponentials::{Mask, exponentials, mask};
use octavo_kernels::gemm::row_sums;
use octavo_kernels::table::Kernels;

use crate::ops::batches::Addend;
use crate::ops::behind::{Takes, masked_behind};
use crate::ops::node::{error, made, needed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{Node, Op, ValueId};

/// Scores of a block.
pub const SCORES: usize = 4096;
/// The most exponentials of a row of which the sum of either digit stays below 2^31.
const MOST: usize = i32::MAX as usize / 255;

/// Room for the scores of a block, as bytes.
#[repr(align(64))]
pub struct ScoresBlock([u8; 4 * SCORES]);

impl ScoresBlock {
    /// Nothing yet.
    pub const EMPTY: ScoresBlock = ScoresBlock([0; 4 * SCORES]);

    /// The bytes of that many scores, at most [`SCORES`].
    pub fn bytes(&mut self, scores: usize) -> &mut [u8] {
        &mut self.0[..4 * scores]
    }

    /// That many scores.
    pub fn scores(&mut self, scores: usize) -> &mut [f32] {
        cast_mut(self.bytes(scores))
    }
}

/// The shapes of what a QExponentials makes of scores of that shape: two digits each, and their sums.
fn shapes(node: &Node, scores: &[usize]) -> Result<[Vec<usize>; 2], Stop> {
    let Some((&n, leading)) = scores.split_last() else {
        return Err(error(node, "its input has no axes"));
    };
    if n > MOST {
        return Err(error(node, &format!("the sum of {n} exponentials can leave 32 bits")));
    }
    Ok([2 * n, 2].map(|last| leading.iter().copied().chain([last]).collect()))
}

/// The digits of the exponentials of some rows of n scores, and the sum of each digit of each row.
fn rows(kernels: Kernels, x: &[f32], n: usize, y: &mut [u8], sums: &mut [i32]) {
    exponentials(kernels, x, n, y);
    row_sums(kernels, y, n, n, 1, sums);
}

/// Plans a QExponentials that no product has taken in.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let [of_digits, of_sums] = shapes(node, x.shape())?;
    let n = of_digits[of_digits.len() - 1] / 2;
    let y = b.output(made(node, 0)?, of_digits, Layout::RowMajor)?.buffer;
    let sums = b.output(made(node, 1)?, of_sums, Layout::RowMajor)?;
    let chunk = b.steps.chunk(sums.elements() / 2, n as f64, 1);
    let kernel = b.steps.kernels.row().float.exponentials.exponentials.name;
    b.steps.of_node(node, kernel).run([x.buffer], [y, sums.buffer], move |run, [x], [y, sums]| {
        let (kernels, pool) = (run.kernels, run.pool);
        let (x, sums) = (cast::<f32>(x), cast_mut::<i32>(sums));
        if n == 0 {
            return sums.fill(0);
        }
        pool.pairs_of_slices((y, 2 * chunk * n), (sums, 2 * chunk), |i, y, sums| {
            rows(kernels, &x[i * chunk * n..][..y.len() / 2], n, y, sums);
        });
    });
    Ok(())
}

/// The fused nodes.
pub struct Scores {
    /// The digits of the exponentials and their sums, and the shapes of these.
    pub outputs: [(ValueId, Vec<usize>); 2],
    /// The names of the nodes.
    pub names: String,
    /// What is added to the scores.
    pub mask: Option<Addend>,
    n: usize,
}

/// The nodes behind the float scores of `node`, where they end in a QExponentials; they are marked as planned.
pub fn scores(b: &mut Builder<'_>, node: &Node, shape: &[usize]) -> Result<Option<Scores>, Stop> {
    let takes = Takes { factor: false, mask_of_columns: true };
    let Some(mut behind) = masked_behind(b, node, shape, takes)? else { return Ok(None) };
    let (last, reader) = behind.reader;
    let n = shape.last().copied().unwrap_or(0);
    if reader.op != Op::QExponentials || !(1..=SCORES).contains(&n) {
        return Ok(None);
    }
    let mask = behind.mask.map(|mask| Addend::of(b, mask, shape)).transpose()?;
    behind.indices.push(last);
    let mut names = node.name.clone();
    for index in behind.indices {
        b.absorb(index);
        names = format!("{names} + {}", b.program.nodes[index].name);
    }
    let [of_digits, of_sums] = shapes(reader, shape)?;
    let outputs = [(made(reader, 0)?, of_digits), (made(reader, 1)?, of_sums)];
    Ok(Some(Scores { outputs, names, mask, n }))
}

impl Scores {
    /// Rows of a block.
    pub fn rows(&self) -> usize {
        SCORES / self.n
    }

    /// Finishes the rows of a block, two sums each: `first` of that product and those after it. `addends`: the mask's elements.
    pub fn finish(
        &self,
        kernels: Kernels,
        block: &mut ScoresBlock,
        addends: &[f32],
        [product, first]: [usize; 2],
        y: &mut [u8],
        sums: &mut [i32],
    ) {
        let scores = block.scores(y.len() / 2);
        if let Some(addend) = &self.mask {
            let data = &addends[addend.at(product, first)..];
            mask(kernels, scores, self.n, &Mask { data, stride: addend.stride, row: addend.row });
        }
        rows(kernels, scores, self.n, y, sums);
    }
}
