//! QMatMul: the product of two activations, with numpy's broadcasting.
//!
//! The right side is packed step by step for the u8 x i8 kernels, as `q - 128`. Both sides are read where they lie, through
//! strides, so that a Transpose in front needs no pass of its own; nor does one behind that leaves the columns last.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::gemm::{self, Columns, Right, Rows};
use octavo_kernels::table::Kernels;

use crate::ops::attention::{self, Probabilities, ScoresBlock};
use crate::ops::batches::{Batches, Piece, Products, View};
use crate::ops::node::{error, made};
use crate::ops::product::{Epilogue, NANOSECONDS_A_MAC, settle};
use crate::plan::buffers::BufferId;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{Integers, Node, Op, ValueId};

/// Nanoseconds to pack a byte on one thread, in order of magnitude.
const NANOSECONDS_A_BYTE: f64 = 0.1;
/// A packed matrix, and the numbers behind it, begin on a cache line.
const LINE: usize = 64;

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

/// A product of two activations, but for its buffers.
struct ActivationProduct {
    products: Products,
    /// Which of its tensor's own matrices the left side of each product is: where the sums of its rows are.
    left_numbers: Vec<usize>,
    /// Bytes of a packed matrix, and with the numbers of its columns behind it.
    packed: usize,
    block: usize,
    epilogue: Epilogue,
    /// What follows float sums.
    probabilities: Option<Probabilities>,
}

impl ActivationProduct {
    /// Computes rows `first..` of the output into `y`.
    fn rows(&self, kernels: Kernels, operands: &Operands<'_>, first: usize, y: &mut [u8]) {
        if let Some(probabilities) = &self.probabilities {
            return self.rows_of_probabilities(kernels, operands, probabilities, first, y);
        }
        let products = &self.products;
        let element = self.epilogue.element();
        let row_bytes = products.width() * element;
        let (mut row, mut rest) = (first, y);
        while !rest.is_empty() {
            let piece = products.piece(row, rest.len() / row_bytes);
            let (now, later) = rest.split_at_mut(piece.count * row_bytes);
            for place in 0..products.interleaved {
                let y = &mut now[place * products.n * element..];
                self.matrix(kernels, operands, &piece, place, y);
            }
            self.epilogue.look_up(kernels, now);
            (row, rest) = (row + piece.count, later);
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
        let n = self.products.n;
        let mut blocks = [ScoresBlock::EMPTY, ScoresBlock::EMPTY];
        let (mut row, mut rest) = (first, y);
        while !rest.is_empty() {
            let piece = self.products.piece(row, probabilities.rows().min(rest.len() / n));
            let (now, later) = rest.split_at_mut(piece.count * n);
            self.matrix(kernels, operands, &piece, 0, blocks[0].bytes(piece.count * n));
            probabilities.finish(kernels, &mut blocks, operands.mask, [piece.outer, piece.start], now);
            (row, rest) = (row + piece.count, later);
        }
    }

    /// Computes the rows of a piece, of the product at a place among those side by side: y begins with the first.
    fn matrix(&self, kernels: Kernels, operands: &Operands<'_>, piece: &Piece, place: usize, y: &mut [u8]) {
        let &Products { m, n, k, stride, ref rights, .. } = &self.products;
        let &Piece { outer, start, count } = piece;
        let Operands { x, blocks, row_bias, residual, .. } = *operands;
        let width = self.products.width();
        let (number, left) = self.products.of_piece(piece, place);
        let block = &blocks[rights[number] * self.block..][..self.block];
        let (packed, numbers) = block.split_at(self.packed);
        let columns = Columns { packed, n, taps: 1, kc: k };
        let bias = &cast::<i32>(numbers)[..n];
        let row_bias = if row_bias.is_empty() {
            row_bias
        } else {
            &row_bias[self.left_numbers[number] * m + start..][..count]
        };
        let residual = if residual.is_empty() { residual } else { &residual[(outer * m + start) * width..] };
        let out = self.epilogue.out(bias, 0..n, residual, width, y);
        let rows = Rows::Dense { data: &x[left..], stride };
        gemm::run_with_row_bias(kernels, count, &rows, row_bias, &columns, out);
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
    // The left side's rows are read in groups of four bytes.
    let (left, right) = (View::with_slack(b, node, 0)?, View::of(b, node, 1)?);
    let mut batches = Batches::of(node, left, right)?;
    let &Batches { n, k, .. } = &batches;
    let zeros = [node.attributes.int32("a_zero_point")?, node.attributes.int32("b_zero_point")?];
    check_sums(node, k, zeros)?;
    let mut epilogue = epilogue(node, n)?;
    if k == 0 {
        return push_empty(b, node, batches.shape(), &epilogue);
    }
    let turned = batches.absorb_transpose(b, node)?;
    let shape = batches.shape();
    let mut probabilities = None;
    if matches!(epilogue, Epilogue::F32 { .. }) && batches.is_whole() {
        probabilities = attention::probabilities(b, node, &shape)?;
    }
    let (y, residual, name) = match (turned, &probabilities) {
        (_, Some(Probabilities { output, names, .. })) => {
            (b.output(*output, shape, Layout::RowMajor)?, None, names.clone())
        }
        (Some((name, value)), None) => (b.output(value, shape, Layout::RowMajor)?, None, name),
        (None, None) => settle(b, node, shape, Layout::RowMajor, &mut epilogue)?,
    };
    if y.elements() == 0 {
        return Ok(());
    }
    let too_large = || error(node, "its right side is too large");
    let packed = gemm::packed_len(b.steps.kernels, n, 1, k);
    let block = packed + (n * 4).next_multiple_of(LINE);
    let blocks = b.steps.temporary(batches.right.count().checked_mul(block).ok_or_else(too_large)?);
    let (products, left_numbers) = (batches.products(), batches.left_numbers());
    let product = ActivationProduct { products, left_numbers, packed, block, epilogue, probabilities };
    push_pack(b, node, &product, &batches.right, blocks, zeros);
    let row_bias = (zeros[1] != 128).then(|| push_row_sums(b, node, &batches, 128 - zeros[1]));
    let buffers = Buffers { left: batches.left.buffer, blocks, row_bias, residual, y: y.buffer };
    push_product(b, name, product, buffers);
    Ok(())
}

/// An error where a sum over k products can leave 32 bits.
fn check_sums(node: &Node, k: usize, zeros: [i32; 2]) -> Result<(), Stop> {
    let [a, b] = zeros.map(|zero| Integers::UINT8.reach(i64::from(zero)));
    let sum = i64::try_from(k).ok().and_then(|k| k.checked_mul(a * b));
    if sum.is_none_or(|sum| sum >= Integers::UINT8.sum_end) {
        return Err(error(node, &format!("its sums over K = {k} products can leave 32 bits")));
    }
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
    right: &View,
    blocks: BufferId,
    [a_zero, b_zero]: [i32; 2],
) {
    let &ActivationProduct { products: Products { n, k, .. }, packed, block, .. } = product;
    let matrices = right.matrices();
    let [by_k, by_column] = right.steps();
    let rest = (k as i32).wrapping_mul(128 - b_zero);
    let chunk = b.steps.chunk(matrices.len(), (n * k) as f64 * NANOSECONDS_A_BYTE, 1);
    b.steps.step(format!("{} (right side)", node.name), "QMatMul", b.steps.kernels.row().gemm.pack.name).run(
        [right.buffer],
        [blocks],
        move |run, [w], [blocks]| {
            let (kernels, pool) = (run.kernels, run.pool);
            pool.slices(blocks, chunk * block, |i, blocks| {
                for (&at, block) in matrices[i * chunk..].iter().zip(blocks.chunks_exact_mut(block)) {
                    let data = &w[at..];
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
fn push_row_sums(b: &mut Builder<'_>, node: &Node, batches: &Batches, factor: i32) -> BufferId {
    let &Batches { ref left, m, k, .. } = batches;
    let matrices = left.matrices();
    let [stride, _] = left.steps();
    let to = b.steps.temporary(matrices.len() * m * 4);
    let chunk = b.steps.chunk(matrices.len(), (m * k) as f64 * NANOSECONDS_A_BYTE, 1);
    b.steps
        .step(format!("{} (sums of rows)", node.name), "QMatMul", b.steps.kernels.row().gemm.row_sums.name)
        .run([left.buffer], [to], move |run, [x], [sums]| {
            let (kernels, pool) = (run.kernels, run.pool);
            pool.slices(cast_mut::<i32>(sums), chunk * m, |i, sums| {
                for (&at, sums) in matrices[i * chunk..].iter().zip(sums.chunks_exact_mut(m)) {
                    gemm::row_sums(kernels, &x[at..], stride, k, factor, sums);
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

fn push_product(b: &mut Builder<'_>, name: String, product: ActivationProduct, buffers: Buffers) {
    let Buffers { left, blocks, row_bias, residual, y } = buffers;
    let products = &product.products;
    let &Products { m, n, k, .. } = products;
    let width = products.width();
    let tile = gemm::select(&b.steps.kernels.row().gemm, m, n, k);
    let chunk = b.steps.chunk_of_tiles(products.rows(), (width * k) as f64 * NANOSECONDS_A_MAC, tile.rows);
    let element = if product.probabilities.is_some() { 1 } else { product.epilogue.element() };
    let bytes = chunk * width * element;
    let mask = product
        .probabilities
        .as_ref()
        .and_then(|probabilities| probabilities.mask.as_ref())
        .map(|mask| mask.buffer);
    let macs = products.macs();
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
