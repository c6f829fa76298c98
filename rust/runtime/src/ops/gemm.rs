//! QGemm, Gemm and MatMul.

use std::sync::Arc;

use octavo_exec::{Arena, cast, cast_mut};
use octavo_kernels::float::epilogue::Epilogue;
use octavo_kernels::float::gemm as float;
use octavo_kernels::float::gemm::stored::Form;
use octavo_kernels::gemm;
use octavo_kernels::table::Kernels;

use crate::ops::float_fusion::FusedFloats;
use crate::ops::node::{broadcast, error, left_padded, made, needed};
use crate::ops::product::{
    BesideBuffers, Group, Product, Source, epilogue, epilogue_by_row, has_row_scales, push_rows, row_scales,
    run_beside, settle,
};
use crate::ops::stored::Stored;
use crate::ops::weights::{Weights, pack, weights_of};
use crate::ops::{float_fusion, matmul};
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::conversion::relocate;
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::plan::relocation::Relocation;
use crate::plan::transposition::transpose;
use crate::program::Node;

/// Columns that one thread takes of a single row: four units.
const COLUMNS: usize = 4 * gemm::UNIT;

/// Nanoseconds of a float multiply-accumulate on one thread.
const NANOSECONDS_A_FLOAT_MAC: f64 = 0.01;
/// Nanoseconds to read a float weight that is used once.
const NANOSECONDS_A_WEIGHT: f64 = 0.06;
/// Nanoseconds to read one that is stored in integers.
const NANOSECONDS_A_STORED_WEIGHT: f64 = 0.03;
/// Columns that one thread takes of a single float row: the widest tile.
const ROW_COLUMNS: usize = 8 * float::UNIT;

/// Plans a QGemm: `[.., K]` times a constant `[K, N]`.
pub fn plan_qgemm(b: &mut Builder<'_>, index: usize) -> Result<(), Stop> {
    let node = &b.program.nodes[index];
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let weights = weights_of(b, node, &x)?;
    let Weights { k, n, .. } = weights;
    let leading = &x.shape()[..x.shape().len() - 1];
    let (mut epilogue, scales) = if has_row_scales(node) {
        let sums = weights.zero_point_correction(-1);
        (epilogue_by_row(b, node, sums, 1)?, row_scales(b, node, leading)?.map(Some))
    } else {
        let zero_point = node.attributes.int32("x_zero_point")?;
        (epilogue(b, node, weights.zero_point_correction(zero_point), &weights.magnitudes())?, [None; 2])
    };
    let key = Key { weight: needed(node, 1)?.0, form: "matrix", part: 0, parts: 1 };
    let packed = pack(b, key, [n, 1, k], |columns| weights.columns(columns).into())?;
    let mut shape = x.shape().to_vec();
    shape.pop();
    let rows: usize = shape.iter().product();
    shape.push(n);
    let from = b.with_slack(&x);
    let (y, residual, name) = settle(b, node, shape, Layout::RowMajor, &mut epilogue)?;
    let beside = [residual, scales[0], scales[1], None];
    let product = Product {
        source: Source::Dense { stride: k },
        groups: vec![Group { packed, channel: 0, column: 0 }],
        group_columns: n,
        columns: n,
        taps: 1,
        kc: k,
        epilogue,
    };
    let macs = macs([rows, n, k]);
    if rows == 1 {
        push_columns(b, name, product, macs, from, beside, &y);
    } else {
        push_rows(b, name, "QGemm", product, macs, from, beside, &y);
    }
    Ok(())
}

/// The multiply-accumulates of a product, at most what the number holds.
pub fn macs(factors: [usize; 3]) -> u64 {
    factors.into_iter().fold(1, |all, factor| all.saturating_mul(factor as u64))
}

/// Pushes the step of a product of one row, whose columns are cut between threads.
fn push_columns(
    b: &mut Builder<'_>,
    name: String,
    product: Product,
    macs: u64,
    x: BufferId,
    beside: BesideBuffers,
    y: &Placed,
) {
    let (n, k) = (product.columns, product.kc);
    if n == 0 {
        return;
    }
    let tile = gemm::select(&b.steps.kernels.row().gemm, 1, n, k);
    // One row reads every weight once, so memory, not arithmetic, sets its time.
    let chunk = b.steps.chunk(n, k as f64 * b.steps.costs.mac * 8.0, COLUMNS);
    let element = product.element();
    let target = y.buffer;
    let draft = b.steps.step(name, "QGemm", tile.name).macs(macs);
    run_beside(draft, x, beside, target, move |run, x, beside, y| {
        run.pool.slices(y, chunk * element, |i, y| {
            product.columns_of_row(run.kernels, x, beside, i * chunk, y);
        });
    });
}

/// Plans a float Gemm: `alpha * A' * B' + beta * C`; alpha, beta and the sum one rounding each after the chain.
pub fn plan_gemm(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let a = &node.attributes;
    let (alpha, beta) = (a.f32("alpha")?, a.f32("beta")?);
    let left = matrix(b, node, 0, a.int("transA")? != 0)?;
    let (right, [n, inner]) = right_side(b, node, a.int("transB")? == 0)?;
    let [m, k] = left.shape;
    if k != inner {
        return Err(error(node, &format!("the inner dimensions {k} and {inner} differ")));
    }
    let shape = vec![m, n];
    let output = made(node, 0)?;
    let addend = match node.input(2) {
        Some(value) => {
            let c = b.input_as(value, Layout::RowMajor)?;
            let from = left_padded(c.shape(), 2.max(c.shape().len()));
            if from.len() != 2 || broadcast(node, &from, &shape)? != shape {
                return Err(error(node, &format!("C of shape {:?} for {shape:?}", c.shape())));
            }
            let by_row = if from[0] > 1 { from[1] } else { 0 };
            let known = b.known(value).map(|c| c.f32s()).transpose()?;
            Some(Addend { beta, c: c.buffer, known, by_row, by_column: usize::from(from[1] > 1) })
        }
        None => None,
    };
    let bias = addend.as_ref().and_then(|addend| addend.by_column(n));
    let (fused, finish) = if alpha == 1.0 && (bias.is_some() || addend.is_none()) {
        (float_fusion::after_product(b, node, output, &shape, Layout::RowMajor, 1, bias)?, None)
    } else {
        (FusedFloats::alone(node, output, None), Some(Scale { alpha, addend }))
    };
    let y = b.output(fused.output, shape, Layout::RowMajor)?;
    let product = FloatProduct { m, n, k, left, right, y: y.buffer, fused };
    push_float(b, node, product, finish)
}

/// A matrix operand that a run finds in a buffer: rows of K, to be transposed first where the rows are not of K.
struct Matrix {
    buffer: BufferId,
    /// Rows, and K.
    shape: [usize; 2],
    is_transposed: bool,
}

fn matrix(b: &mut Builder<'_>, node: &Node, place: usize, is_transposed: bool) -> Result<Matrix, Stop> {
    let value = needed(node, place)?;
    let shape = turned_shape(node, place, &b.tensor(value)?.shape, is_transposed)?;
    let buffer = b.input_as(value, Layout::RowMajor)?.buffer;
    Ok(Matrix { buffer, shape, is_transposed })
}

/// Rows, and K.
fn turned_shape(node: &Node, place: usize, shape: &[usize], is_transposed: bool) -> Result<[usize; 2], Stop> {
    let &[rows, columns] = shape else {
        return Err(error(node, &format!("operand {place} of shape {shape:?} is no matrix")));
    };
    Ok(if is_transposed { [columns, rows] } else { [rows, columns] })
}

/// The right side of a float product.
enum Right {
    /// Packed before the run.
    Floats(Arc<Arena>),
    /// In the integers that it is stored in.
    Stored(Arc<Arena>, Form),
    /// Packed by a step of each run.
    Made(Matrix),
}

/// The right side of a product, and its rows, of K, and K.
fn right_side(b: &mut Builder<'_>, node: &Node, is_transposed: bool) -> Result<(Right, [usize; 2]), Stop> {
    let value = needed(node, 1)?;
    if let Some(stored) = Stored::of(b, node).filter(|stored| stored.is_read_by(b, node)) {
        let Form { n, k, .. } = stored.form;
        return Ok((Right::Stored(stored.packed(b)?, stored.form), [n, k]));
    }
    let Some(known) = b.known(value).cloned() else {
        let made = matrix(b, node, 1, is_transposed)?;
        let shape = made.shape;
        return Ok((Right::Made(made), shape));
    };
    let [n, k] = turned_shape(node, 1, known.shape(), is_transposed)?;
    let form = if is_transposed { "float [k, n]" } else { "float [n, k]" };
    let key = Key { weight: value.0, form, part: 0, parts: 1 };
    let block = b.packing.get(key, float::packed_len(n, 1, k) * 4, |out| {
        let values = known.f32s().unwrap_or_default();
        pack_right(&values, n, k, is_transposed, &mut vec![0.0; n * k], cast_mut(out));
    })?;
    Ok((Right::Floats(block), [n, k]))
}

struct FloatProduct {
    m: usize,
    n: usize,
    k: usize,
    left: Matrix,
    right: Right,
    y: BufferId,
    fused: FusedFloats,
}

/// What becomes of a product's rows where no epilogue does it: `alpha * y`, then the addend.
struct Scale {
    alpha: f32,
    addend: Option<Addend>,
}

/// `beta * c`, where C moves by so many elements from row to row and from column to column.
struct Addend {
    beta: f32,
    c: BufferId,
    /// C's elements, where they are known.
    known: Option<Vec<f32>>,
    by_row: usize,
    by_column: usize,
}

impl Addend {
    /// What is added to each of `n` columns, where it is known and the same in every row.
    fn by_column(&self, n: usize) -> Option<Vec<f32>> {
        let c = self.known.as_ref().filter(|c| self.by_row == 0 && !c.is_empty())?;
        Some((0..n).map(|column| self.beta * c[column * self.by_column]).collect())
    }
}

fn push_float(b: &mut Builder<'_>, node: &Node, p: FloatProduct, scale: Option<Scale>) -> Result<(), Stop> {
    let FloatProduct { m, n, k, left, right, y, fused } = p;
    if m == 0 || n == 0 {
        return Ok(());
    }
    let macs = macs([m, n, k]);
    let entries = &b.steps.kernels.row().float_gemm;
    let (name, tile_rows) = match right {
        Right::Stored(_, Form { bits: 4, .. }) => name_and_rows(float::select(&entries.nibbles, m, n)),
        Right::Stored(..) => name_and_rows(float::select(&entries.bytes, m, n)),
        _ => name_and_rows(float::select(&entries.floats, m, n)),
    };
    // One row reads every weight once, so memory, not arithmetic, sets its time; its columns are cut between threads.
    let is_row = m == 1 && scale.is_none();
    let chunk = if is_row {
        let is_stored = matches!(right, Right::Stored(..));
        let nanoseconds = if is_stored { NANOSECONDS_A_STORED_WEIGHT } else { NANOSECONDS_A_WEIGHT };
        b.steps.chunk(n, k as f64 * nanoseconds, ROW_COLUMNS)
    } else {
        b.steps.chunk_of_tiles(m, (n * k) as f64 * NANOSECONDS_A_FLOAT_MAC, tile_rows)
    };
    // The third operand: C, or the tensor of an addition behind the product.
    let c = scale.as_ref().and_then(|scale| scale.addend.as_ref()).map(|addend| addend.c);
    let adds = fused.residual.is_some();
    let c = c.or(fused.residual.map(|residual| residual.buffer));
    let finish = fused.finish;
    let from = if left.is_transposed { turned(b, &fused.names, left.buffer, k, m) } else { left.buffer };
    let scratch = match &right {
        Right::Made(made) => Some(push_packing(b, node, &fused.names, made)),
        _ => None,
    };
    b.steps.step(fused.names, node.op.name(), name).macs(macs).run_optional(
        [from],
        [c, scratch],
        [y],
        move |run, [x], [c, made], [y]| {
            let (kernels, pool) = (run.kernels, run.pool);
            let (x, c) = (cast::<f32>(x), cast::<f32>(c.unwrap_or_default()));
            let columns = match &right {
                Right::Stored(block, form) => Columns::Stored(block.bytes(), *form),
                Right::Floats(block) => Columns::Floats(cast(block.bytes())),
                Right::Made(_) => Columns::Floats(cast(made.unwrap_or_default())),
            };
            if is_row {
                pool.slices(cast_mut::<f32>(y), chunk, |i, y| {
                    let (first, n) = (i * chunk, y.len());
                    let epilogue = finish.epilogue(first, n, adds.then_some(c), n);
                    columns.from(first, n, k).multiply(kernels, x, [1, n, k], &epilogue, y);
                });
                return;
            }
            pool.slices(cast_mut::<f32>(y), chunk * n, |i, y| {
                let residual = adds.then(|| &c[i * chunk * n..]);
                let epilogue = finish.epilogue(0, n, residual, n);
                columns.multiply(kernels, &x[i * chunk * k..], [y.len() / n, n, k], &epilogue, y);
                if let Some(scale) = &scale {
                    scale.rows(y, n, i * chunk, c);
                }
            });
        },
    );
    Ok(())
}

fn name_and_rows<S>(tile: &'static float::Tile<S>) -> (&'static str, usize) {
    (tile.name, tile.rows)
}

/// The packed columns of a right side.
#[derive(Clone, Copy)]
enum Columns<'a> {
    Floats(&'a [f32]),
    Stored(&'a [u8], Form),
}

impl<'a> Columns<'a> {
    /// `n` columns from `first` on, the first of a unit.
    fn from(self, first: usize, n: usize, k: usize) -> Columns<'a> {
        match self {
            Columns::Floats(packed) => Columns::Floats(&packed[first * k..][..float::packed_len(n, 1, k)]),
            Columns::Stored(packed, form) => {
                let form = Form { n, ..form };
                let from = first / float::UNIT * form.unit_len();
                Columns::Stored(&packed[from..][..form.packed_len()], form)
            }
        }
    }

    /// m rows of k times these n columns.
    fn multiply(
        self,
        kernels: Kernels,
        x: &[f32],
        [m, n, k]: [usize; 3],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) {
        match self {
            Columns::Floats(packed) => {
                let rows = float::Rows::Dense { data: x, stride: k };
                float::run(kernels, m, &rows, packed, n, k, epilogue, y, n);
            }
            Columns::Stored(packed, form) => {
                float::run_stored(kernels, m, x, k, packed, form, epilogue, y, n)
            }
        }
    }
}

/// The step that packs a right side which each run finds in a buffer.
fn push_packing(b: &mut Builder<'_>, node: &Node, name: &str, made: &Matrix) -> BufferId {
    let &Matrix { buffer, shape: [n, k], is_transposed } = made;
    let turned = b.steps.temporary(n * k * 4);
    let packed = b.steps.temporary(float::packed_len(n, 1, k) * 4);
    let step = b.steps.step(name.to_owned(), node.op.name(), "pack");
    step.run([buffer], [turned, packed], move |_, [w], [turned, packed]| {
        pack_right(cast(w), n, k, is_transposed, cast_mut(turned), cast_mut(packed));
    });
    packed
}

/// A matrix `[rows, columns]` transposed by a step of its own.
fn turned(b: &mut Builder<'_>, name: &str, from: BufferId, rows: usize, columns: usize) -> BufferId {
    const ELEMENT: usize = size_of::<f32>();
    let to = b.steps.temporary(rows * columns * ELEMENT);
    let relocation = Relocation::strided(ELEMENT, &[columns, rows], &[ELEMENT, columns * ELEMENT]);
    relocate(&mut b.steps, name.to_owned(), "Transpose", from, to, relocation, vec![0; ELEMENT]);
    to
}

impl Scale {
    /// Finishes rows of the output from row `first` on, each operation rounded.
    fn rows(&self, y: &mut [f32], n: usize, first: usize, c: &[f32]) {
        for (row, y) in y.chunks_exact_mut(n).enumerate() {
            for (column, y) in y.iter_mut().enumerate() {
                *y *= self.alpha;
                if let Some(addend) = &self.addend {
                    *y += addend.beta * c[(first + row) * addend.by_row + column * addend.by_column];
                }
            }
        }
    }
}

/// Packs `[n, k]`, or `[k, n]` where it is transposed.
fn pack_right(w: &[f32], n: usize, k: usize, is_transposed: bool, turned: &mut [f32], out: &mut [f32]) {
    if is_transposed {
        transpose(w, n, k, n, turned);
        float::pack(turned, n, 1, k, out);
    } else {
        float::pack(w, n, 1, k, out);
    }
}

/// Plans a float MatMul: by a constant matrix, else of two tensors of the run.
pub fn plan_matmul(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let (a, w) = (needed(node, 0)?, needed(node, 1)?);
    let is_matrix = b.known(w).is_some_and(|known| known.shape().len() == 2);
    let is_stored = Stored::of(b, node).is_some_and(|stored| stored.is_read_by(b, node));
    if !(is_matrix || is_stored) || b.strided(a).is_some() || b.tensor(a)?.shape.len() < 2 {
        return matmul::plan(b, node);
    }
    let (right, [n, k]) = right_side(b, node, true)?;
    let left = b.input_as(a, Layout::RowMajor)?;
    let mut shape = left.shape().to_vec();
    if shape.pop() != Some(k) {
        let what = format!("shapes {:?} and [{k}, {n}] do not multiply", left.shape());
        return Err(error(node, &what));
    }
    // The rows of all batches are one matrix.
    let m = shape.iter().product();
    shape.push(n);
    let columns = shape.len() - 1;
    let output = made(node, 0)?;
    let fused = float_fusion::after_product(b, node, output, &shape, Layout::RowMajor, columns, None)?;
    let y = b.output(fused.output, shape, Layout::RowMajor)?;
    let product = FloatProduct {
        m,
        n,
        k,
        left: Matrix { buffer: left.buffer, shape: [m, k], is_transposed: false },
        right,
        y: y.buffer,
        fused,
    };
    push_float(b, node, product, None)
}
