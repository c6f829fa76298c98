//! QMatMul: the product of two activations, with numpy's broadcasting.
//!
//! The right side is packed step by step for the u8 x i8 kernels, as `q - 128`. Both sides are read where they lie, through
//! strides, so that a Transpose in front needs no pass of its own; nor does one behind that leaves the columns last.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::gemm::{self, Columns, Right, Rows};
use octavo_kernels::table::Kernels;

use crate::ops::attention::{self, Probabilities, ScoresBlock, ScoresMask};
use crate::ops::behind::{TransposeBehind, transpose_behind};
use crate::ops::node::{broadcast, error, left_padded, made, needed};
use crate::ops::product::{Epilogue, NANOSECONDS_A_MAC, settle};
use crate::plan::buffers::BufferId;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::relocation::strides;
use crate::program::{Integers, Node, Op, ValueId};

/// Nanoseconds to pack a byte on one thread, in order of magnitude.
const NANOSECONDS_A_BYTE: f64 = 0.1;
/// A packed matrix, and the numbers behind it, begin on a cache line.
const LINE: usize = 64;

/// The dimensions in front of the matrices of the output, and how a side moves along them.
struct Batch {
    shape: Vec<usize>,
    left: Steps,
    right: Steps,
}

/// What one side moves by from matrix to matrix: bytes of its tensor, and matrices of its own.
struct Steps {
    bytes: Vec<usize>,
    matrices: Vec<usize>,
}

/// The place of an index among dimensions, each of which moves by its step.
fn place(mut index: usize, shape: &[usize], steps: &[usize]) -> usize {
    let mut at = 0;
    for (&n, &step) in shape.iter().zip(steps).rev() {
        at += index % n * step;
        index /= n;
    }
    at
}

/// Whether a tensor that lies so, in a buffer with slack, can be left there, because one QMatMul alone reads it: rows
/// on the left are read byte by byte, columns or rows on the right.
pub fn reads_in_place(b: &Builder<'_>, value: ValueId, steps: &[usize]) -> bool {
    let Some((_, reader)) = b.only_reader(value) else { return false };
    let (rows, columns) = (steps.len().wrapping_sub(2), steps.len().wrapping_sub(1));
    let is_one = |axis: usize| steps.get(axis) == Some(&1);
    let is_read = |(place, input): (usize, &Option<ValueId>)| {
        *input != Some(value) || is_one(columns) || (place == 1 && is_one(rows))
    };
    reader.op == Op::QMatMul && reader.inputs.iter().enumerate().all(is_read)
}

/// One operand as matrices: `[.., rows, columns]`, and the bytes from one element to the next along each.
struct Side {
    buffer: BufferId,
    shape: Vec<usize>,
    steps: Vec<usize>,
    is_vector: bool,
}

impl Side {
    /// Dimensions in front of the matrices.
    fn batch(&self) -> &[usize] {
        &self.shape[..self.shape.len() - 2]
    }

    /// The tensor's own matrices: where it is broadcast, less than the output's.
    fn matrices(&self) -> usize {
        self.batch().iter().product()
    }

    /// How the side moves along the output's dimensions: not at all where it is broadcast.
    fn steps(&self, dimensions: &[usize]) -> Steps {
        let own = strides(self.batch(), &(0..self.batch().len()).collect::<Vec<_>>(), 1);
        let along = |steps: &[usize]| {
            let moves = |&d: &usize| if self.shape[d] == 1 { 0 } else { steps[d] };
            dimensions.iter().map(moves).collect()
        };
        Steps { bytes: along(&self.steps), matrices: along(&own) }
    }
}

/// The operand at a place, of `rank` dimensions at least, where it lies if its strides suit, else as a copy.
fn side(b: &mut Builder<'_>, node: &Node, place: usize) -> Result<Side, Stop> {
    let value = needed(node, place)?;
    let (buffer, mut shape, mut steps) = match b.strided(value) {
        Some(strided) => (strided.buffer, strided.shape.clone(), strided.steps.clone()),
        None => {
            let x = b.input_as(value, Layout::RowMajor)?;
            let order: Vec<usize> = (0..x.shape().len()).collect();
            let steps = strides(x.shape(), &order, 1);
            // The left side's rows are read in groups of four bytes.
            let buffer = if place == 0 { b.with_slack(&x) } else { x.buffer };
            (buffer, x.shape().to_vec(), steps)
        }
    };
    if shape.is_empty() {
        return Err(error(node, "an operand without dimensions"));
    }
    let is_vector = shape.len() == 1;
    if is_vector {
        shape.insert(place, 1);
        steps.insert(place, 1);
    }
    Ok(Side { buffer, shape, steps, is_vector })
}

/// A product of two activations, but for its buffers.
struct ActivationProduct {
    m: usize,
    n: usize,
    k: usize,
    /// Dimensions of the output in front of M in memory, and those between M and the columns.
    outer: Batch,
    inner: Batch,
    /// Bytes from one row of the left side to the next.
    left_step: usize,
    /// Bytes of a packed matrix, and with the numbers of its columns behind it.
    packed: usize,
    block: usize,
    epilogue: Epilogue,
    /// What follows float sums.
    probabilities: Option<Probabilities>,
}

impl ActivationProduct {
    /// Computes rows `first..` of the output into `y`. A row is one of M, with the columns of all inner dimensions.
    fn rows(&self, kernels: Kernels, operands: &Operands<'_>, first: usize, y: &mut [u8]) {
        if let Some(probabilities) = &self.probabilities {
            return self.rows_of_probabilities(kernels, operands, probabilities, first, y);
        }
        let insides: usize = self.inner.shape.iter().product();
        let row_bytes = insides * self.n * self.epilogue.element();
        let (mut row, mut rest) = (first, y);
        while !rest.is_empty() {
            let here = (rest.len() / row_bytes).min(self.m - row % self.m);
            let (now, later) = rest.split_at_mut(here * row_bytes);
            for inside in 0..insides {
                let y = &mut now[inside * self.n * self.epilogue.element()..];
                self.matrix(kernels, operands, row, here, inside, y);
            }
            self.epilogue.look_up(kernels, now);
            (row, rest) = (row + here, later);
        }
    }

    /// [`ActivationProduct::rows`] where the float sums are attention's scores: they go through a block.
    fn rows_of_probabilities(
        &self,
        kernels: Kernels,
        operands: &Operands<'_>,
        probabilities: &Probabilities,
        first: usize,
        y: &mut [u8],
    ) {
        let ActivationProduct { m, n, outer, .. } = self;
        let mut blocks = [ScoresBlock::EMPTY, ScoresBlock::EMPTY];
        let (mut row, mut rest) = (first, y);
        while !rest.is_empty() {
            let here = (rest.len() / n).min(m - row % m).min(probabilities.rows());
            let (now, later) = rest.split_at_mut(here * n);
            self.matrix(kernels, operands, row, here, 0, blocks[0].bytes(here * n));
            let (start, by_row) = match &probabilities.mask {
                Some(ScoresMask { steps, .. }) => {
                    let (batch, by_row) = steps.split_at(outer.shape.len());
                    let by_row: usize = by_row.iter().sum();
                    (place(row / m, &outer.shape, batch) + row % m * by_row, by_row)
                }
                None => (0, 0),
            };
            probabilities.finish(kernels, &mut blocks, operands.mask, |r| start + r * by_row, now);
            (row, rest) = (row + here, later);
        }
    }

    /// Computes `here` rows from `row` on, all of one matrix, of one of the inner dimensions' places: y begins with the
    /// first.
    fn matrix(
        &self,
        kernels: Kernels,
        operands: &Operands<'_>,
        row: usize,
        here: usize,
        inside: usize,
        y: &mut [u8],
    ) {
        let ActivationProduct { m, n, k, outer, inner, .. } = self;
        let Operands { x, blocks, row_bias, residual, .. } = *operands;
        let width = inner.shape.iter().product::<usize>() * n;
        let at = |side: fn(&Batch) -> &[usize]| {
            place(row / m, &outer.shape, side(outer)) + place(inside, &inner.shape, side(inner))
        };
        let data = &x[at(|batch| &batch.left.bytes) + row % m * self.left_step..];
        let block = &blocks[at(|batch| &batch.right.matrices) * self.block..][..self.block];
        let (packed, numbers) = block.split_at(self.packed);
        let columns = Columns { packed, n: *n, taps: 1, kc: *k };
        let bias = &cast::<i32>(numbers)[..*n];
        let row_bias = if row_bias.is_empty() {
            row_bias
        } else {
            &row_bias[at(|batch| &batch.left.matrices) * m + row % m..][..here]
        };
        let residual = if residual.is_empty() { residual } else { &residual[row * width..] };
        let out = self.epilogue.out(bias, 0..*n, residual, width, y);
        let rows = Rows::Dense { data, stride: self.left_step };
        gemm::run_with_row_bias(kernels, here, &rows, row_bias, &columns, out);
    }
}

/// What a product reads while it runs: empty where there is none.
struct Operands<'a> {
    x: &'a [u8],
    blocks: &'a [u8],
    row_bias: &'a [i32],
    residual: &'a [u8],
    mask: &'a [f32],
}

/// Plans a QMatMul.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let (mut left, mut right) = (side(b, node, 0)?, side(b, node, 1)?);
    let (given, other) = (left.shape.clone(), right.shape.clone());
    let rank = given.len().max(other.len());
    for side in [&mut left, &mut right] {
        let missing = rank - side.shape.len();
        side.shape = left_padded(&side.shape, rank);
        side.steps.splice(0..0, vec![0; missing]);
    }
    let (m, k, n) = (left.shape[rank - 2], left.shape[rank - 1], right.shape[rank - 1]);
    if right.shape[rank - 2] != k {
        return Err(error(node, &format!("shapes {given:?} and {other:?} do not multiply")));
    }
    let zero = |name: &str| node.attributes.int32(name);
    let (a_zero, b_zero) = (zero("a_zero_point")?, zero("b_zero_point")?);
    let reach = |zero: i32| Integers::UINT8.reach(i64::from(zero));
    let sum = i64::try_from(k).ok().and_then(|k| k.checked_mul(reach(a_zero) * reach(b_zero)));
    if sum.is_none_or(|sum| sum >= Integers::UINT8.sum_end) {
        return Err(error(node, &format!("its sums over K = {k} products can leave 32 bits")));
    }
    let batch = broadcast(node, left.batch(), right.batch())?;
    let mut shape = batch.clone();
    shape.extend((!left.is_vector).then_some(m));
    shape.extend((!right.is_vector).then_some(n));

    let mut epilogue = epilogue(node, n)?;
    if k == 0 {
        return push_empty(b, node, shape, &epilogue);
    }
    // The output's dimensions as they lie: M among the others, the columns last.
    let mut order: Vec<usize> = (0..rank - 1).collect();
    let transpose = if left.is_vector || right.is_vector { None } else { transpose_behind(b, node, rank)? };
    let mut probabilities = None;
    if let (Epilogue::F32 { .. }, false, false) = (&epilogue, left.is_vector, right.is_vector) {
        probabilities = attention::probabilities(b, node, &shape)?;
    }
    let (y, residual, name) = match (transpose, &probabilities) {
        (_, Some(Probabilities { output, names, .. })) => {
            (b.output(*output, shape, Layout::RowMajor)?, None, names.clone())
        }
        (Some(TransposeBehind { index, perm, value }), None) => {
            b.absorb(index);
            order = perm[..rank - 1].to_vec();
            let name = format!("{} + {}", node.name, b.program.nodes[index].name);
            let shape = perm.iter().map(|&d| shape[d]).collect();
            (b.output(value, shape, Layout::RowMajor)?, None, name)
        }
        (None, None) => settle(b, node, shape, Layout::RowMajor, &mut epilogue)?,
    };
    let place = order.iter().position(|&d| d == rank - 2).unwrap_or(0);
    let part = |dimensions: &[usize]| Batch {
        shape: dimensions.iter().map(|&d| batch[d]).collect(),
        left: left.steps(dimensions),
        right: right.steps(dimensions),
    };
    let (outer, inner) = (part(&order[..place]), part(&order[place + 1..]));
    if y.elements() == 0 {
        return Ok(());
    }
    let too_large = || error(node, "its right side is too large");
    let packed = gemm::packed_len(b.steps.kernels, n, 1, k);
    let block = packed + (n * 4).next_multiple_of(LINE);
    let blocks = b.steps.temporary(right.matrices().checked_mul(block).ok_or_else(too_large)?);
    let left_step = left.steps[rank - 2];
    let product =
        ActivationProduct { m, n, k, outer, inner, left_step, packed, block, epilogue, probabilities };
    push_pack(b, node, &product, &right, blocks, [a_zero, b_zero]);
    let row_bias = (b_zero != 128).then(|| push_row_sums(b, node, &product, &left, 128 - b_zero));
    let buffers = Buffers { left: left.buffer, blocks, row_bias, residual, y: y.buffer };
    push_product(b, name, product, buffers, y.elements());
    Ok(())
}

/// What becomes of the sums; their bias is the packing's.
fn epilogue(node: &Node, n: usize) -> Result<Epilogue, Stop> {
    let a = &node.attributes;
    if !a.has("multiplier") {
        let scale = a.f32("b_scale")?;
        return Ok(Epilogue::F32 {
            acc_bias: vec![],
            x_scale: a.f32("a_scale")?,
            scale: vec![scale; n],
            bias: vec![0.0; n],
        });
    }
    let number = |name: &str| a.int32(name);
    Ok(Epilogue::U8 {
        bias: vec![],
        multiplier: vec![number("multiplier")?; n],
        shift: vec![number("shift")?; n],
        zero_point: number("y_zero_point")?,
        lo: number("lo")?,
        hi: number("hi")?,
        residual: None,
        table: None,
    })
}

/// A product over no elements: every sum is 0.
fn push_empty(b: &mut Builder<'_>, node: &Node, shape: Vec<usize>, epilogue: &Epilogue) -> Result<(), Stop> {
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?.buffer;
    let byte = match *epilogue {
        Epilogue::U8 { zero_point, lo, hi, .. } => zero_point.max(lo).min(hi) as u8,
        Epilogue::F32 { .. } => 0,
    };
    b.steps.of_node(node, "fill").run([], [y], move |_, [], [y]| y.fill(byte));
    Ok(())
}

/// Pushes the step that packs every matrix of the right side, with `-z_a * sum (q - z_b)` of its columns behind it:
/// formula (6c) of docs/arithmetic.md.
fn push_pack(
    b: &mut Builder<'_>,
    node: &Node,
    product: &ActivationProduct,
    right: &Side,
    blocks: BufferId,
    [a_zero, b_zero]: [i32; 2],
) {
    let &ActivationProduct { n, k, packed, block, .. } = product;
    let (batch, rank) = (right.batch().to_vec(), right.shape.len());
    let [bytes, by_k, by_column] =
        [&right.steps[..rank - 2], &right.steps[rank - 2..rank - 1], &right.steps[rank - 1..]]
            .map(<[usize]>::to_vec);
    let (by_k, by_column) = (by_k[0], by_column[0]);
    let rest = (k as i32).wrapping_mul(128 - b_zero);
    let from = right.buffer;
    let matrices = b.steps.chunk(right.matrices(), (n * k) as f64 * NANOSECONDS_A_BYTE, 1);
    b.steps.step(format!("{} (right side)", node.name), "QMatMul", b.steps.kernels.row().gemm.pack.name).run(
        [from],
        [blocks],
        move |run, [w], [blocks]| {
            let (kernels, pool) = (run.kernels, run.pool);
            pool.slices(blocks, matrices * block, |i, blocks| {
                for (j, block) in blocks.chunks_exact_mut(block).enumerate() {
                    let data = &w[place(i * matrices + j, &batch, &bytes)..];
                    let (out, numbers) = block.split_at_mut(packed);
                    let sums = &mut cast_mut::<i32>(numbers)[..n];
                    gemm::pack_activations(kernels, &Right { data, k, n, by_k, by_column }, out, sums);
                    let number = |sum: i32| sum.wrapping_add(rest).wrapping_mul(-a_zero);
                    sums.iter_mut().for_each(|sum| *sum = number(*sum));
                }
            });
        },
    );
}

/// Pushes the step that makes `factor * sum a` of every row of the left side.
fn push_row_sums(
    b: &mut Builder<'_>,
    node: &Node,
    product: &ActivationProduct,
    left: &Side,
    factor: i32,
) -> BufferId {
    let &ActivationProduct { m, k, left_step, .. } = product;
    let (batch, bytes) = (left.batch().to_vec(), left.steps[..left.batch().len()].to_vec());
    let (from, to) = (left.buffer, b.steps.temporary(left.matrices() * m * 4));
    let matrices = b.steps.chunk(left.matrices(), (m * k) as f64 * NANOSECONDS_A_BYTE, 1);
    b.steps
        .step(format!("{} (sums of rows)", node.name), "QMatMul", b.steps.kernels.row().gemm.row_sums.name)
        .run([from], [to], move |run, [x], [sums]| {
            let (kernels, pool) = (run.kernels, run.pool);
            pool.slices(cast_mut::<i32>(sums), matrices * m, |i, sums| {
                for (j, sums) in sums.chunks_exact_mut(m).enumerate() {
                    let data = &x[place(i * matrices + j, &batch, &bytes)..];
                    gemm::row_sums(kernels, data, left_step, k, factor, sums);
                }
            });
        });
    to
}

/// What the product itself reads and writes.
struct Buffers {
    left: BufferId,
    blocks: BufferId,
    row_bias: Option<BufferId>,
    residual: Option<BufferId>,
    y: BufferId,
}

fn push_product(
    b: &mut Builder<'_>,
    name: String,
    product: ActivationProduct,
    buffers: Buffers,
    elements: usize,
) {
    let ActivationProduct { m, n, k, .. } = product;
    let Buffers { left, blocks, row_bias, residual, y } = buffers;
    let width = n * product.inner.shape.iter().product::<usize>();
    let rows = elements / width;
    let tile = gemm::select(&b.steps.kernels.row().gemm, m, n, k);
    let chunk = b.steps.chunk_of_tiles(rows, (width * k) as f64 * NANOSECONDS_A_MAC, tile.rows);
    let element = if product.probabilities.is_some() { 1 } else { product.epilogue.element() };
    let bytes = chunk * width * element;
    let mask = product
        .probabilities
        .as_ref()
        .and_then(|probabilities| probabilities.mask.as_ref())
        .map(|mask| mask.buffer);
    let macs = elements as u64 * k as u64;
    b.steps.step(name, "QMatMul", tile.name).macs(macs).with_slack().run_optional(
        [left, blocks],
        [row_bias, residual, mask],
        [y],
        move |run, [x, blocks], optional, [y]| {
            let (kernels, pool) = (run.kernels, run.pool);
            let [row_bias, residual, mask] = optional.map(Option::unwrap_or_default);
            let operands = Operands { x, blocks, row_bias: cast(row_bias), residual, mask: cast(mask) };
            pool.slices(y, bytes, |i, y| product.rows(kernels, &operands, i * chunk, y));
        },
    );
}
