//! Float MatMul of two tensors of the run. The right side is packed in the run, and both are read where they lie: a
//! transposed operand is not moved first, and where the product is transposed its rows are written in their places.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::epilogue::Epilogue;
use octavo_kernels::float::gemm::{self, Rows};
use octavo_kernels::float::scores;
use octavo_kernels::table::Kernels;

use crate::ops::batches::{Batches, Products, View};
use crate::ops::node::made;
use crate::ops::scores::{Softmax, softmax_of_scores};
use crate::ops::stored::Stored;
use crate::plan::buffers::BufferId;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{DType, Node, Op, ValueId};

/// Nanoseconds of a multiply-accumulate on one thread, by which steps are cut; the order of magnitude is enough.
const NANOSECONDS_A_MAC: f64 = 0.01;
/// Nanoseconds to pack an element.
const NANOSECONDS_A_PACKED: f64 = 0.3;
/// Nanoseconds of an element's softmax.
const NANOSECONDS_A_SCORE: f64 = 1.0;
/// Bytes of rows between their product and their softmax, to stay in the first-level cache.
const SCORES_BYTES: usize = 24 << 10;

/// Plans a MatMul of any ranks, with numpy's broadcasting of the leading dimensions.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let (left, right) = (View::of(b, node, 0)?, View::of(b, node, 1)?);
    let mut batches = Batches::of(node, left, right)?;
    let (mut names, mut output) = match batches.absorb_transpose(b, node)? {
        Some(turned) => turned,
        None => (node.name.clone(), made(node, 0)?),
    };
    let shape = batches.shape();
    let softmax = if batches.is_whole() { softmax_of_scores(b, node, &shape)? } else { None };
    if let Some(softmax) = &softmax {
        for &index in &softmax.indices {
            b.absorb(index);
            names = format!("{names} + {}", b.program.nodes[index].name);
        }
        output = softmax.output;
    }
    let y = b.output(output, shape, Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let mut products = batches.products();
    if softmax.is_none() {
        products.join_rows();
    }
    let packed = push_packing(b, &names, &batches);
    push(b, names, FloatProduct { products, softmax }, batches.left.buffer, packed, y.buffer);
    Ok(())
}

/// Whether a tensor that lies so can be left there, because one float product alone reads it: the rows of its left side
/// have their elements together.
pub fn reads_in_place(b: &Builder<'_>, value: ValueId, steps: &[usize]) -> bool {
    let Some((_, reader)) = b.only_reader(value) else { return false };
    let is_product = reader.op == Op::MatMul && b.program.value(value).dtype == DType::F32;
    let is_known = reader.input(1).is_some_and(|right| b.known(right).is_some());
    let is_by_constant = is_known || Stored::of(b, reader).is_some();
    is_product
        && !is_by_constant
        && (reader.input(0) != Some(value) || steps.last() == Some(&size_of::<f32>()))
}

/// Pushes the step that packs every right side; they lie one after the other.
fn push_packing(b: &mut Builder<'_>, name: &str, batches: &Batches) -> BufferId {
    let &Batches { ref right, n, k, .. } = batches;
    let len = gemm::packed_len(n, 1, k);
    let packed = b.steps.temporary(right.count() * len * size_of::<f32>());
    if len == 0 {
        return packed;
    }
    let matrices = right.matrices();
    let [step, column] = right.steps();
    let chunk = b.steps.chunk(matrices.len(), len as f64 * NANOSECONDS_A_PACKED, 1);
    b.steps.step(name.to_owned(), "MatMul", "pack").run(
        [right.buffer],
        [packed],
        move |run, [w], [packed]| {
            let pool = run.pool;
            let w = cast::<f32>(w);
            pool.slices(cast_mut::<f32>(packed), chunk * len, |i, packed| {
                for (&at, packed) in matrices[i * chunk..].iter().zip(packed.chunks_exact_mut(len)) {
                    gemm::pack_strided(&w[at..], n, k, column, step, packed);
                }
            });
        },
    );
    packed
}

/// Products by packed matrices.
struct FloatProduct {
    products: Products,
    /// What becomes of the rows, where they are not interleaved.
    softmax: Option<Softmax>,
}

impl FloatProduct {
    /// Some rows of the output, `first` of all and those after it. `mask` is what [`Softmax`] reads.
    fn rows(&self, kernels: Kernels, x: &[f32], packed: &[f32], mask: &[f32], first: usize, y: &mut [f32]) {
        let FloatProduct { products, softmax } = self;
        let &Products { m, n, k, stride, .. } = products;
        let width = products.width();
        let len = gemm::packed_len(n, 1, k);
        let most = if softmax.is_some() { (SCORES_BYTES / (n * size_of::<f32>())).max(1) } else { m };
        let (mut row, mut y) = (first, y);
        while !y.is_empty() {
            let piece = products.piece(row, most.min(y.len() / width));
            let (part, rest) = y.split_at_mut(piece.count * width);
            for place in 0..products.interleaved {
                let (number, left) = products.of_piece(&piece, place);
                let rows = Rows::Dense { data: &x[left..], stride };
                let right = &packed[products.rights[number] * len..][..len];
                let out = &mut part[place * n..];
                gemm::run(kernels, piece.count, &rows, right, n, k, &Epilogue::default(), out, width);
            }
            if let Some(softmax) = softmax {
                scores::run(kernels, &softmax.scores(n, mask, piece.outer, piece.start), part);
            }
            (row, y) = (row + piece.count, rest);
        }
    }
}

fn push(
    b: &mut Builder<'_>,
    name: String,
    product: FloatProduct,
    from: BufferId,
    packed: BufferId,
    to: BufferId,
) {
    let products = &product.products;
    let width = products.width();
    let tile = gemm::select(&b.steps.kernels.row().float_gemm.floats, products.m, products.n);
    let softmax_cost = if product.softmax.is_some() { NANOSECONDS_A_SCORE } else { 0.0 };
    let nanoseconds = (width * products.k) as f64 * NANOSECONDS_A_MAC + width as f64 * softmax_cost;
    let chunk = b.steps.chunk_of_tiles(products.rows(), nanoseconds, tile.rows);
    let mask = product.softmax.as_ref().and_then(Softmax::buffer);
    let macs = products.macs();
    b.steps.step(name, "MatMul", tile.name).macs(macs).run_optional(
        [from, packed],
        [mask],
        [to],
        move |run, [x, packed], [mask], [y]| {
            let (kernels, pool) = (run.kernels, run.pool);
            let [x, packed, mask] = [x, packed, mask.unwrap_or_default()].map(cast::<f32>);
            pool.slices(cast_mut::<f32>(y), chunk * width, |i, y| {
                product.rows(kernels, x, packed, mask, i * chunk, y);
            });
        },
    );
}
