//! QMatMul: the product of two activations, with numpy's broadcasting.
//!
//! The right side is packed step by step for the u8 x i8 kernels, as `q - 128`. Both sides are read where they lie, through
//! strides, so that a Transpose in front needs no pass of its own; nor does one behind that leaves the columns last.

use std::ops::Range;

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::exponentials::weight;
use octavo_kernels::gemm::{self, Columns, Right, Rows};
use octavo_kernels::table::Kernels;

use crate::ops::attention::{self, Scores, ScoresBlock};
use crate::ops::batches::{Batches, Piece, Products, View};
use crate::ops::node::{error, made};
use crate::ops::product::{Beside, Epilogue, settle};
use crate::ops::weighed::{self, Blocks, Weighed};
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{Integers, Node, Op, ValueId};

/// Nanoseconds to pack a byte on one thread, in order of magnitude.
const NANOSECONDS_A_BYTE: f64 = 0.1;
/// A packed matrix, and the numbers behind it, begin on a cache line.
const LINE: usize = 64;

/// Whether a tensor that lies so, in a buffer with slack, can be left there, because one QMatMul alone reads it: rows
/// on the left are read byte by byte, columns or rows on the right. Digits on the left are read in one piece.
pub fn reads_in_place(b: &Builder<'_>, value: ValueId, steps: &[usize]) -> bool {
    let Some((_, reader)) = b.only_reader(value) else { return false };
    let (rows, columns) = (steps.len().wrapping_sub(2), steps.len().wrapping_sub(1));
    let is_one = |axis: usize| steps.get(axis) == Some(&1);
    let is_weighed = reader.inputs.len() > 2;
    let is_read = |(place, input): (usize, &Option<ValueId>)| {
        *input != Some(value)
            || match place {
                0 => is_one(columns) && !is_weighed,
                1 => is_one(columns) || is_one(rows),
                _ => false,
            }
    };
    reader.op == Op::QMatMul && reader.inputs.iter().enumerate().all(is_read)
}

/// A product of two activations, but for its buffers.
struct ActivationProduct {
    products: Products,
    /// Which of its tensor's own matrices the left side of each product is: where the numbers of its rows are.
    left_numbers: Vec<usize>,
    /// Bytes of a packed matrix, and with the numbers of its columns behind it.
    packed: usize,
    block: usize,
    epilogue: Epilogue,
    behind: Behind,
}

/// What follows float sums in the same step.
enum Behind {
    Nothing,
    Scores(Scores),
    /// The left side is of digits.
    Weighed(Weighed),
}

impl ActivationProduct {
    /// The bytes of an element of the output.
    fn element(&self) -> usize {
        match &self.behind {
            Behind::Nothing => self.epilogue.element(),
            Behind::Scores(_) => 1,
            Behind::Weighed(weighed) => weighed.element(),
        }
    }

    /// The rows of bytes on the left, each with its numbers, that make one of the output.
    fn digits(&self) -> usize {
        if matches!(self.behind, Behind::Weighed(_)) { 2 } else { 1 }
    }

    /// Computes rows `first..` of the output into `y`.
    fn rows(&self, kernels: Kernels, operands: &Operands<'_>, first: usize, y: &mut [u8]) {
        if let Behind::Weighed(weighed) = &self.behind {
            return self.rows_of_digits(kernels, operands, weighed, first, y);
        }
        let (products, width, element) = (&self.products, self.products.width(), self.epilogue.element());
        let (mut row, mut rest) = (first, y);
        while !rest.is_empty() {
            let piece = products.piece(row, rest.len() / (width * element));
            let (now, later) = rest.split_at_mut(piece.count * width * element);
            for place in 0..products.interleaved {
                let now = &mut now[place * products.n * element..];
                self.matrix(kernels, operands, &piece, place, 0..products.n, width, now);
            }
            self.epilogue.look_up(kernels, now);
            (row, rest) = (row + piece.count, later);
        }
    }

    /// [`ActivationProduct::rows`] of a left side of digits: the products of each digit go through a block, in which they
    /// are weighed, and quantized, while they are in the first cache.
    fn rows_of_digits(
        &self,
        kernels: Kernels,
        operands: &Operands<'_>,
        weighed: &Weighed,
        first: usize,
        y: &mut [u8],
    ) {
        let (products, element) = (&self.products, self.element());
        let (n, width) = (products.n, products.width() * element);
        let mut blocks = Blocks::EMPTY;
        let (mut row, mut rest) = (first, y);
        while !rest.is_empty() {
            let piece = products.piece(row, weighed::rows_of_a_block(n).min(rest.len() / width));
            let (now, later) = rest.split_at_mut(piece.count * width);
            for place in 0..products.interleaved {
                let (number, _) = products.of_piece(&piece, place);
                let sums = self.of_rows(operands.sums, number, &piece).as_chunks().0;
                for from in (0..n).step_by(weighed::COLUMNS) {
                    let columns = from..n.min(from + weighed::COLUMNS);
                    let now = &mut now[(place * n + from) * element..];
                    let digits = blocks.digits(sums.len(), columns.len());
                    self.matrix(kernels, operands, &piece, place, columns.clone(), columns.len(), digits);
                    weighed.finish(kernels, &mut blocks, columns.len(), sums, now, width);
                }
            }
            (row, rest) = (row + piece.count, later);
        }
    }

    /// [`ActivationProduct::rows`] where the float sums are attention's scores: they go through a block. `sums`: of the
    /// exponentials, one a row.
    fn rows_of_scores(
        &self,
        kernels: Kernels,
        operands: &Operands<'_>,
        scores: &Scores,
        first: usize,
        (y, sums): (&mut [u8], &mut [i32]),
    ) {
        // Both are of two digits.
        let n = self.products.n;
        let mut block = ScoresBlock::EMPTY;
        let (mut row, mut rest) = (first, (y, sums));
        while !rest.0.is_empty() {
            let piece = self.products.piece(row, scores.rows().min(rest.1.len() / 2));
            let (now, later) = rest.0.split_at_mut(2 * piece.count * n);
            let (sums, later_sums) = rest.1.split_at_mut(2 * piece.count);
            self.matrix(kernels, operands, &piece, 0, 0..n, n, block.bytes(piece.count * n));
            scores.finish(kernels, &mut block, operands.mask, [piece.outer, piece.start], now, sums);
            (row, rest) = (row + piece.count, (later, later_sums));
        }
    }

    /// Those of the numbers of all rows that are the numbers of a piece, of a product's left side.
    fn of_rows<'o>(&self, numbers: &'o [i32], product: usize, piece: &Piece) -> &'o [i32] {
        let first = self.left_numbers[product] * self.products.m + piece.start;
        &numbers[first * self.digits()..][..piece.count * self.digits()]
    }

    /// Computes those columns of the rows of a piece, of the product at a place among those side by side: y begins with the
    /// first, `width` elements before the next. The columns begin with a unit of the packing.
    fn matrix(
        &self,
        kernels: Kernels,
        operands: &Operands<'_>,
        piece: &Piece,
        place: usize,
        columns: Range<usize>,
        width: usize,
        y: &mut [u8],
    ) {
        let &Products { m, k, stride, ref rights, .. } = &self.products;
        let &Piece { outer, start, count } = piece;
        let Operands { x, blocks, row_bias, residual, .. } = *operands;
        let (number, left) = self.products.of_piece(piece, place);
        let block = &blocks[rights[number] * self.block..][..self.block];
        let (packed, numbers) = block.split_at(self.packed);
        let [from, to] = [columns.start, columns.end].map(|n| gemm::packed_len(kernels, n, 1, k));
        let packed = Columns { packed: &packed[from..to], n: columns.len(), taps: 1, kc: k };
        let bias = &cast::<i32>(numbers)[columns.clone()];
        let row_bias = if row_bias.is_empty() { row_bias } else { self.of_rows(row_bias, number, piece) };
        let residual = if residual.is_empty() { residual } else { &residual[(outer * m + start) * width..] };
        let beside = Beside { residual, ..Beside::NOTHING };
        let out = self.epilogue.out(bias, columns, beside, width, y);
        // Digits lie in one piece, which is rows of one digit each.
        let stride = if self.digits() == 1 { stride } else { k };
        let rows = Rows::Dense { data: &x[left..], stride };
        gemm::run_with_row_bias(kernels, count * self.digits(), &rows, row_bias, &packed, out);
    }
}

/// What a product reads while it runs: empty where there is none.
struct Operands<'a> {
    x: &'a [u8],
    blocks: &'a [u8],
    row_bias: &'a [i32],
    residual: &'a [u8],
    mask: &'a [f32],
    sums: &'a [i32],
}

impl<'a> Operands<'a> {
    /// Of what a step reads, what may be missing in the order of the fields.
    fn of(x: &'a [u8], blocks: &'a [u8], optional: [Option<&'a [u8]>; 4]) -> Operands<'a> {
        let [row_bias, residual, mask, sums] = optional.map(Option::unwrap_or_default);
        Operands { x, blocks, row_bias: cast(row_bias), residual, mask: cast(mask), sums: cast(sums) }
    }
}

/// Plans a QMatMul.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    // The left side's rows are read in groups of four bytes.
    let (mut left, right) = (View::with_slack(b, node, 0)?, View::of(b, node, 1)?);
    let sums = (node.inputs.len() > 2).then(|| weighed::sums(b, node)).transpose()?;
    if sums.is_some() {
        left = left.of_digits(node)?;
    }
    let mut batches = Batches::of(node, left, right)?;
    let &Batches { n, k, .. } = &batches;
    let a_zero = if sums.is_some() { 0 } else { node.attributes.int32("a_zero_point")? };
    let zeros = [a_zero, node.attributes.int32("b_zero_point")?];
    let mut epilogue = epilogue(node, n, reach(node, k, zeros)?)?;
    if k == 0 {
        return push_empty(b, node, &batches, &epilogue, sums.map(|sums| sums.buffer));
    }
    let Fused { name, behind, y, sums_of_scores, residual } =
        fused(b, node, &mut batches, &mut epilogue, sums.is_some())?;
    if y.elements() == 0 {
        return Ok(());
    }
    let too_large = || error(node, "its right side is too large");
    let packed = gemm::packed_len(b.steps.kernels, n, 1, k);
    let block = packed + (n * 4).next_multiple_of(LINE);
    let blocks = b.steps.temporary(batches.right.count().checked_mul(block).ok_or_else(too_large)?);
    let (products, left_numbers) = (batches.products(), batches.left_numbers());
    let product = ActivationProduct { products, left_numbers, packed, block, epilogue, behind };
    push_pack(b, node, &product, &batches.right, blocks, zeros);
    let row_bias = (zeros[1] != 128).then(|| match &sums {
        Some(sums) if are_sums_of_left(b, node) => push_scaled_sums(b, node, sums, 128 - zeros[1]),
        _ => push_row_sums(b, node, &product, &batches.left, 128 - zeros[1]),
    });
    let (left, sums) = (batches.left.buffer, sums.map(|sums| sums.buffer));
    let buffers = Buffers { left, blocks, row_bias, residual, sums, y: y.buffer, sums_of_scores };
    push_product(b, name, product, buffers);
    Ok(())
}

/// What the step of a product makes, with all that is taken into it.
struct Fused {
    name: String,
    behind: Behind,
    y: Placed,
    /// Of the exponentials that scores become.
    sums_of_scores: Option<BufferId>,
    residual: Option<BufferId>,
}

impl Fused {
    fn new(name: String, behind: Behind, y: Placed) -> Fused {
        Fused { name, behind, y, sums_of_scores: None, residual: None }
    }
}

/// Takes in what stands behind the product, and declares what that makes.
fn fused(
    b: &mut Builder<'_>,
    node: &Node,
    batches: &mut Batches,
    epilogue: &mut Epilogue,
    is_weighed: bool,
) -> Result<Fused, Stop> {
    if is_weighed {
        let (name, weighed, y) = weighed::behind(b, node, batches)?;
        return Ok(Fused::new(name, Behind::Weighed(weighed), y));
    }
    if let Some((name, value)) = batches.absorb_transpose(b, node)? {
        return Ok(Fused::new(name, Behind::Nothing, b.output(value, batches.shape(), Layout::RowMajor)?));
    }
    let shape = batches.shape();
    if matches!(epilogue, Epilogue::F32 { .. })
        && batches.is_whole()
        && let Some(scores) = attention::scores(b, node, &shape)?
    {
        let [(digits, of_digits), (sums, of_sums)] = scores.outputs.clone();
        let y = b.output(digits, of_digits, Layout::RowMajor)?;
        let sums = b.output(sums, of_sums, Layout::RowMajor)?.buffer;
        let fused = Fused::new(scores.names.clone(), Behind::Scores(scores), y);
        return Ok(Fused { sums_of_scores: Some(sums), ..fused });
    }
    let (y, residual, name) = settle(b, node, shape, Layout::RowMajor, epilogue)?;
    Ok(Fused { residual, ..Fused::new(name, Behind::Nothing, y) })
}

/// The most that a sum over k products can be, or an error where that leaves 32 bits.
fn reach(node: &Node, k: usize, zeros: [i32; 2]) -> Result<i64, Stop> {
    let [a, b] = zeros.map(|zero| Integers::UINT8.reach(i64::from(zero)));
    let sum = i64::try_from(k).ok().and_then(|k| k.checked_mul(a * b));
    sum.filter(|&sum| sum < Integers::UINT8.sum_end)
        .ok_or_else(|| error(node, &format!("its sums over K = {k} products can leave 32 bits")))
}

/// What becomes of the sums, none larger than `reach`; their bias is the packing's.
fn epilogue(node: &Node, n: usize, reach: i64) -> Result<Epilogue, Stop> {
    let a = &node.attributes;
    if !a.has("multiplier") {
        // Where rows are weighed, the sums themselves: each factor is theirs then.
        let is_weighed = !a.has("a_scale");
        let (x_scale, scale) = if is_weighed { (1.0, 1.0) } else { (a.f32("a_scale")?, a.f32("b_scale")?) };
        return Ok(Epilogue::F32 { acc_bias: vec![], x_scale, scale: vec![scale; n], bias: vec![0.0; n] });
    }
    let number = |name: &str| a.int32(name);
    Ok(Epilogue::U8 {
        bias: vec![],
        reach,
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
fn push_empty(
    b: &mut Builder<'_>,
    node: &Node,
    batches: &Batches,
    epilogue: &Epilogue,
    sums: Option<BufferId>,
) -> Result<(), Stop> {
    let y = b.output(made(node, 0)?, batches.shape(), Layout::RowMajor)?.buffer;
    if let Some(sums) = sums {
        let (scale, numbers) = (node.attributes.f32("b_scale")?, batches.left_numbers());
        let &Batches { m, n, .. } = batches;
        b.steps.of_node(node, "fill").run([sums], [y], move |_, [sums], [y]| {
            let (sums, _) = cast::<i32>(sums).as_chunks();
            let rows = numbers.iter().flat_map(|number| &sums[number * m..][..m]);
            for (&sums, y) in rows.zip(cast_mut::<f32>(y).chunks_mut(n.max(1))) {
                y.fill(0.0 * weight(scale, sums));
            }
        });
        return Ok(());
    }
    let byte = match *epilogue {
        Epilogue::U8 { zero_point, lo, hi, .. } => zero_point.max(lo).min(hi) as u8,
        Epilogue::I16 { .. } | Epilogue::F32 { .. } | Epilogue::F32ByRow { .. } => 0,
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
fn push_row_sums(
    b: &mut Builder<'_>,
    node: &Node,
    product: &ActivationProduct,
    left: &View,
    factor: i32,
) -> BufferId {
    let &Products { m, k, stride, .. } = &product.products;
    let matrices = left.matrices();
    let (m, stride) = if product.digits() == 1 { (m, stride) } else { (2 * m, k) };
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

/// Whether the sums that rows are weighed by are those of the left side's own elements.
fn are_sums_of_left(b: &Builder<'_>, node: &Node) -> bool {
    let maker = node.input(2).and_then(|sums| b.maker(sums));
    maker
        .is_some_and(|maker| maker.op == Op::QExponentials && maker.outputs == [node.input(0), node.input(2)])
}

/// [`push_row_sums`] of sums that are there.
fn push_scaled_sums(b: &mut Builder<'_>, node: &Node, sums: &Placed, factor: i32) -> BufferId {
    let to = b.steps.temporary(sums.elements() * size_of::<i32>());
    b.steps.step(format!("{} (sums of rows)", node.name), "QMatMul", "scale").run(
        [sums.buffer],
        [to],
        move |_, [sums], [to]| {
            let pairs = cast_mut::<i32>(to).iter_mut().zip(cast::<i32>(sums));
            pairs.for_each(|(to, sum)| *to = sum.wrapping_mul(factor));
        },
    );
    to
}

/// What the product itself reads and writes.
struct Buffers {
    left: BufferId,
    blocks: BufferId,
    row_bias: Option<BufferId>,
    residual: Option<BufferId>,
    sums: Option<BufferId>,
    y: BufferId,
    sums_of_scores: Option<BufferId>,
}

fn push_product(b: &mut Builder<'_>, name: String, product: ActivationProduct, buffers: Buffers) {
    let Buffers { left, blocks, row_bias, residual, sums, y, sums_of_scores } = buffers;
    let products = &product.products;
    let &Products { m, n, k, .. } = products;
    let width = products.width();
    let tile = gemm::select(&b.steps.kernels.row().gemm, m, n, k);
    let macs = width * k * product.digits();
    let chunk = b.steps.chunk_of_tiles(products.rows(), macs as f64 * b.steps.costs.mac, tile.rows);
    let bytes = chunk * width * product.element();
    let mask = match &product.behind {
        Behind::Scores(scores) => scores.mask.as_ref().map(|mask| mask.buffer),
        _ => None,
    };
    let step = b.steps.step(name, "QMatMul", tile.name).macs(products.macs()).with_slack();
    let optional = [row_bias, residual, mask, sums];
    let Some(sums_of_scores) = sums_of_scores else {
        return step.run_optional([left, blocks], optional, [y], move |run, [x, blocks], optional, [y]| {
            let (kernels, pool, operands) = (run.kernels, run.pool, Operands::of(x, blocks, optional));
            pool.slices(y, bytes, |i, y| product.rows(kernels, &operands, i * chunk, y));
        });
    };
    let writes = [y, sums_of_scores];
    step.run_optional([left, blocks], optional, writes, move |run, [x, blocks], optional, [y, sums]| {
        let (kernels, pool, operands) = (run.kernels, run.pool, Operands::of(x, blocks, optional));
        let Behind::Scores(scores) = &product.behind else { return };
        pool.pairs_of_slices((y, 2 * bytes), (cast_mut(sums), 2 * chunk), |i, y, sums| {
            product.rows_of_scores(kernels, &operands, scores, i * chunk, (y, sums));
        });
    });
}
