//! Float MatMul of two tensors of the run. The right side is packed in the run, and both are read where they lie: a
//! transposed operand is not moved first, and where the product is transposed its rows are written in their places.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::epilogue::Epilogue;
use octavo_kernels::float::gemm::{self, Rows};
use octavo_kernels::float::scores;
use octavo_kernels::table::Kernels;

use crate::ops::behind::{TransposeBehind, transpose_behind};
use crate::ops::node::{broadcast, error, left_padded, made, needed};
use crate::ops::scores::{Softmax, softmax_of_scores};
use crate::ops::strides::{broadcast_strides, offsets};
use crate::plan::buffers::{BufferId, Strided};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::relocation::strides;
use crate::program::{DType, Node, Op, ValueId};

/// Nanoseconds of a multiply-accumulate on one thread, by which steps are cut; the order of magnitude is enough.
const NANOSECONDS_A_MAC: f64 = 0.01;
/// Nanoseconds to pack an element.
const NANOSECONDS_A_PACKED: f64 = 0.3;
/// Nanoseconds of an element's softmax.
const NANOSECONDS_A_SCORE: f64 = 1.0;
/// Bytes of rows between their product and their softmax, to stay in the first-level cache.
const SCORES_BYTES: usize = 24 << 10;

/// Most products of matrices in one step: a plan has some words for each.
const MOST_PRODUCTS: usize = 1 << 24;

/// Plans a MatMul of any ranks, with numpy's broadcasting of the leading dimensions.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let (mut left, mut right) = (View::of(b, needed(node, 0)?)?, View::of(b, needed(node, 1)?)?);
    let (is_row, is_column) = (left.shape.len() == 1, right.shape.len() == 1);
    if is_row {
        left.insert(0);
    }
    if is_column {
        right.insert(1);
    }
    let (&[ref p @ .., m, k], &[ref q @ .., inner, n]) = (&left.shape[..], &right.shape[..]) else {
        return Err(error(node, "an operand without dimensions"));
    };
    if inner != k {
        let what = format!("shapes {:?} and {:?} do not multiply", left.shape, right.shape);
        return Err(error(node, &what));
    }
    let rank = p.len().max(q.len());
    let leading = products(node, &left_padded(p, rank), &left_padded(q, rank))?;
    let mut shape = leading.clone();
    shape.extend((!is_row).then_some(m));
    shape.extend((!is_column).then_some(n));
    let (mut names, mut output) = (node.name.clone(), made(node, 0)?);
    // The output's dimensions before N, in the order in which they lie; M is number `rank`.
    let mut order: Vec<usize> = (0..=rank).collect();
    if shape.len() == rank + 2
        && let Some(TransposeBehind { index, perm, value }) = transpose_behind(b, node, rank + 2)?
    {
        b.absorb(index);
        (names, output) = (format!("{names} + {}", b.program.nodes[index].name), value);
        shape = perm.iter().map(|&d| shape[d]).collect();
        order = perm[..=rank].to_vec();
    }
    let is_whole = shape.len() == rank + 2 && order.is_sorted();
    let softmax = if is_whole { softmax_of_scores(b, node, &shape)? } else { None };
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
    let at = order.iter().position(|&d| d == rank).unwrap_or(rank);
    let dims: Vec<usize> = order.iter().filter(|&&d| d != rank).map(|&d| leading[d]).collect();
    let along = |own: &[usize], strides: &[usize]| {
        let strides = broadcast_strides(own, strides, rank);
        let strides: Vec<usize> = order.iter().filter(|&&d| d != rank).map(|&d| strides[d]).collect();
        offsets(&dims, &strides)
    };
    let matrices = strides(q, &(0..q.len()).collect::<Vec<_>>(), 1);
    let mut product = FloatProduct {
        m,
        n,
        k,
        lefts: along(p, &left.strides),
        stride: left.strides[p.len()],
        rights: along(q, &matrices),
        interleaved: dims[at..].iter().product(),
        softmax,
    };
    if k == 0 {
        // There is nothing to read, wherever it would lie.
        (product.lefts, product.stride) = (vec![0; product.lefts.len()], 0);
    }
    let from = left.buffer;
    if product.softmax.is_none() && order.is_sorted() && q.iter().all(|&d| d == 1) {
        product.join_rows();
    }
    let packed = push_packing(b, &names, &Right::of(&right, n, k));
    push(b, names, product, from, packed, y.buffer);
    Ok(())
}

/// The shape of all products of matrices, by the leading dimensions of both sides.
pub fn products(node: &Node, p: &[usize], q: &[usize]) -> Result<Vec<usize>, Stop> {
    let leading = broadcast(node, p, q)?;
    let count = leading.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
    if count.is_none_or(|count| count > MOST_PRODUCTS) {
        return Err(error(node, &format!("more than {MOST_PRODUCTS} products at once: {leading:?}")));
    }
    Ok(leading)
}

/// Whether a tensor that lies so can be left there, because one float product alone reads it: the rows of its left side
/// have their elements together.
pub fn reads_in_place(b: &Builder<'_>, value: ValueId, steps: &[usize]) -> bool {
    let Some((_, reader)) = b.only_reader(value) else { return false };
    let is_product = reader.op == Op::MatMul && b.program.value(value).dtype == DType::F32;
    let is_by_constant = reader.input(1).is_some_and(|right| b.known(right).is_some());
    is_product
        && !is_by_constant
        && (reader.input(0) != Some(value) || steps.last() == Some(&size_of::<f32>()))
}

/// An operand as it lies in a buffer.
pub struct View {
    buffer: BufferId,
    shape: Vec<usize>,
    /// For each dimension, the elements from one index to the next.
    strides: Vec<usize>,
}

impl View {
    /// A float value, where it lies.
    pub fn of(b: &mut Builder<'_>, value: ValueId) -> Result<View, Stop> {
        if let Some(Strided { buffer, shape, steps, .. }) = b.strided(value) {
            let strides = steps.iter().map(|step| step / size_of::<f32>()).collect();
            return Ok(View { buffer: *buffer, shape: shape.clone(), strides });
        }
        let x = b.input_as(value, Layout::RowMajor)?;
        let shape = x.shape().to_vec();
        let strides = strides(&shape, &(0..shape.len()).collect::<Vec<_>>(), 1);
        Ok(View { buffer: x.buffer, shape, strides })
    }

    /// One more dimension, of one index.
    fn insert(&mut self, at: usize) {
        self.shape.insert(at, 1);
        self.strides.insert(at, 0);
    }
}

/// The right sides of a product.
pub struct Right {
    buffer: BufferId,
    /// Where each matrix begins.
    offsets: Vec<usize>,
    n: usize,
    k: usize,
    /// Elements from one column to the next, and from one step of the chain to the next.
    strides: [usize; 2],
}

impl Right {
    /// The matrices `[k, n]` of a view's last two dimensions.
    pub fn of(view: &View, n: usize, k: usize) -> Right {
        let leading = view.shape.len() - 2;
        let strides = [view.strides[leading + 1], view.strides[leading]];
        Right {
            buffer: view.buffer,
            offsets: offsets(&view.shape[..leading], &view.strides[..leading]),
            n,
            k,
            strides,
        }
    }
}

/// Pushes the step that packs every right side; they lie one after the other.
pub fn push_packing(b: &mut Builder<'_>, name: &str, right: &Right) -> BufferId {
    let &Right { buffer, n, k, strides: [column, step], .. } = right;
    let offsets = right.offsets.clone();
    let len = gemm::packed_len(n, 1, k);
    let packed = b.steps.temporary(offsets.len() * len * size_of::<f32>());
    if len == 0 {
        return packed;
    }
    let chunk = b.steps.chunk(offsets.len(), len as f64 * NANOSECONDS_A_PACKED, 1);
    b.steps.step(name.to_owned(), "MatMul", "pack").run([buffer], [packed], move |run, [w], [packed]| {
        let pool = run.pool;
        let w = cast::<f32>(w);
        pool.slices(cast_mut::<f32>(packed), chunk * len, |i, packed| {
            for (&at, packed) in offsets[i * chunk..].iter().zip(packed.chunks_exact_mut(len)) {
                gemm::pack_strided(&w[at..], n, k, column, step, packed);
            }
        });
    });
    packed
}

/// Matrices `[m, k]` times packed ones of n columns. The output is `[outer, m, interleaved, n]`: the products of each
/// row's matrices lie side by side.
struct FloatProduct {
    m: usize,
    n: usize,
    k: usize,
    /// Where the left side of each of the `outer * interleaved` products begins, in elements.
    lefts: Vec<usize>,
    /// Elements from one row of a left side to the next.
    stride: usize,
    /// Which packed matrix is the right side of each.
    rights: Vec<usize>,
    interleaved: usize,
    /// What becomes of the rows, where they are not interleaved.
    softmax: Option<Softmax>,
}

impl FloatProduct {
    /// Where all products have one right side and their rows go on evenly, they are one.
    fn join_rows(&mut self) {
        let is_even = self.lefts.iter().enumerate().all(|(i, &at)| at == i * self.m * self.stride);
        if is_even {
            self.m *= self.lefts.len();
            (self.lefts, self.rights) = (vec![0], vec![0]);
        }
    }

    /// Some rows of the output, `first` of all and those after it. `mask` is what [`Softmax`] reads.
    fn rows(&self, kernels: Kernels, x: &[f32], packed: &[f32], mask: &[f32], first: usize, y: &mut [f32]) {
        let &FloatProduct { m, n, k, stride, interleaved, .. } = self;
        let width = interleaved * n;
        let len = gemm::packed_len(n, 1, k);
        let most = if self.softmax.is_some() { (SCORES_BYTES / (n * size_of::<f32>())).max(1) } else { m };
        let (mut row, mut y) = (first, y);
        while !y.is_empty() {
            let (outer, start) = (row / m, row % m);
            let count = (m - start).min(y.len() / width).min(most);
            let (part, rest) = y.split_at_mut(count * width);
            for j in 0..interleaved {
                let at = outer * interleaved + j;
                let rows = Rows::Dense { data: &x[self.lefts[at] + start * stride..], stride };
                let right = &packed[self.rights[at] * len..][..len];
                let out = &mut part[j * n..];
                gemm::run(kernels, count, &rows, right, n, k, &Epilogue::default(), out, width);
            }
            if let Some(softmax) = &self.softmax {
                scores::run(kernels, &softmax.scores(n, mask, outer, start), part);
            }
            (row, y) = (row + count, rest);
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
    let FloatProduct { m, n, k, interleaved, .. } = product;
    let products = product.lefts.len();
    let width = interleaved * n;
    let macs = [products, m, n, k].into_iter().fold(1u64, |all, factor| all.saturating_mul(factor as u64));
    let tile = gemm::select(&b.steps.kernels.row().float_gemm, m, n);
    let rows = products / interleaved * m;
    let softmax_cost = if product.softmax.is_some() { NANOSECONDS_A_SCORE } else { 0.0 };
    let nanoseconds = (width * k) as f64 * NANOSECONDS_A_MAC + width as f64 * softmax_cost;
    let chunk = b.steps.chunk_of_tiles(rows, nanoseconds, tile.rows);
    let mask = product.softmax.as_ref().and_then(Softmax::buffer);
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
