//! The i16 x i8 product behind QConv and QGemm of int16: rows of the input against packed columns, with an epilogue.

use std::ops::Range;

use octavo_exec::cast_mut;
use octavo_kernels::int16::convert;
use octavo_kernels::int16::elementwise::MulParams;
use octavo_kernels::int16::product::{self, Columns, Out, Rows};
use octavo_kernels::int16::{Floats, Requantize, reach};
use octavo_kernels::requantize::MULTIPLIER_MIN;
use octavo_kernels::table::Kernels;

use crate::ops::gemm::macs;
use crate::ops::node::{made, needed, push_map};
use crate::ops::product::{Group, Source};
use crate::ops::weights::{Weights, weights_of};
use crate::plan::buffers::{BufferId, Placed, TensorType};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::program::{DType, Node};

/// Nanoseconds of a multiply-accumulate on one thread, by which steps are cut; the order of magnitude is enough.
pub const NANOSECONDS_A_MAC: f64 = 0.008;
/// Columns that one thread takes of a single row.
const COLUMNS: usize = 4 * product::UNIT;
/// Rows that steps are cut to whole numbers of.
const ROWS: usize = 8;

/// What becomes of the sums, one number a column each.
pub enum Epilogue {
    /// Requantized, then clamped.
    I16 { bias: Vec<i64>, reach: Vec<i64>, multiplier: Vec<i32>, shift: Vec<i32>, lo: i32, hi: i32 },
    /// Floats.
    F32 { x_scale: f32, scale: Vec<f32>, bias: Vec<f32> },
}

impl Epilogue {
    /// Of a QConv or QGemm node, from its constants; `weights` are those of one output after the other.
    pub fn new(b: &Builder<'_>, node: &Node, weights: &[i8]) -> Result<Epilogue, Stop> {
        let a = &node.attributes;
        if node.inputs.len() == 4 {
            return Ok(Epilogue::F32 {
                x_scale: a.f32("x_scale")?,
                scale: b.known_input(node, 3)?.f32s()?,
                bias: b.known_input(node, 2)?.f32s()?,
            });
        }
        let bias = b.known_input(node, 2)?;
        let bias = match bias.dtype() {
            DType::I64 => bias.i64s()?,
            _ => bias.i32s()?.into_iter().map(i64::from).collect(),
        };
        // Of bytes, less their zero point, which is added behind.
        let zero_point = a.int32("y_zero_point")?;
        let each = (weights.len() / bias.len().max(1)).max(1);
        Ok(Epilogue::I16 {
            bias,
            reach: weights.chunks_exact(each).map(reach).collect(),
            multiplier: b.known_input(node, 3)?.i32s()?,
            shift: b.known_input(node, 4)?.i32s()?,
            lo: a.int32("lo")? - zero_point,
            hi: a.int32("hi")? - zero_point,
        })
    }

    /// The bytes of an output element.
    pub fn element(&self) -> usize {
        match self {
            Epilogue::I16 { .. } => 2,
            Epilogue::F32 { .. } => 4,
        }
    }

    /// Gives each column's numbers so many times, one set behind the other, for as many columns.
    pub fn repeated(self, times: usize) -> Epilogue {
        match self {
            Epilogue::I16 { bias, reach, multiplier, shift, lo, hi } => Epilogue::I16 {
                bias: bias.repeat(times),
                reach: reach.repeat(times),
                multiplier: multiplier.repeat(times),
                shift: shift.repeat(times),
                lo,
                hi,
            },
            Epilogue::F32 { x_scale, scale, bias } => {
                Epilogue::F32 { x_scale, scale: scale.repeat(times), bias: bias.repeat(times) }
            }
        }
    }

    /// The kernel's target for some columns: rows `stride` elements apart, of which `y` begins with the first one's columns.
    pub fn out<'a>(&'a self, columns: Range<usize>, stride: usize, y: &'a mut [u8]) -> Out<'a> {
        match self {
            Epilogue::I16 { bias, reach, multiplier, shift, lo, hi } => Out::I16 {
                data: cast_mut(y),
                stride,
                requantize: Requantize {
                    bias: &bias[columns.clone()],
                    reach: &reach[columns.clone()],
                    multiplier: &multiplier[columns.clone()],
                    shift: &shift[columns],
                    lo: *lo,
                    hi: *hi,
                },
            },
            Epilogue::F32 { x_scale, scale, bias } => Out::F32 {
                data: cast_mut(y),
                stride,
                floats: Floats { x_scale: *x_scale, scale: &scale[columns.clone()], bias: &bias[columns] },
            },
        }
    }
}

/// A product with everything but its buffers.
pub struct Product {
    /// Where the rows lie, in bytes.
    pub source: Source,
    /// The groups, one where there are none.
    pub groups: Vec<Group>,
    /// Columns of one group.
    pub group_columns: usize,
    /// Columns of all groups.
    pub columns: usize,
    /// Taps of a row.
    pub taps: usize,
    /// Elements of a tap.
    pub kc: usize,
    /// Pairs whose products are summed in 32 bits.
    pub together: usize,
    /// What becomes of the sums.
    pub epilogue: Epilogue,
}

impl Product {
    /// Computes rows `first..` of the output into `y`.
    fn rows(&self, kernels: Kernels, x: &[u8], first: usize, y: &mut [u8]) {
        let row_bytes = self.columns * self.epilogue.element();
        let (mut row, mut rest) = (first, y);
        while !rest.is_empty() {
            let together = match &self.source {
                Source::Indirect { table, .. } => table.len() - row % table.len(),
                Source::Dense { .. } => usize::MAX,
            };
            let m = (rest.len() / row_bytes).min(together);
            let (now, later) = rest.split_at_mut(m * row_bytes);
            self.rows_of_image(kernels, x, row, m, now);
            (row, rest) = (row + m, later);
        }
    }

    /// [`Product::rows`] within one image.
    fn rows_of_image(&self, kernels: Kernels, x: &[u8], row: usize, m: usize, y: &mut [u8]) {
        for group in &self.groups {
            let channel = group.channel * size_of::<i16>();
            let rows = match &self.source {
                Source::Dense { stride } => {
                    Rows::Dense { data: &x[row * stride + channel..], stride: *stride }
                }
                Source::Indirect { table, pad, image } => {
                    let (number, start) = (row / table.len(), row % table.len());
                    // An image of no pixels has no channels to begin at: all is padding.
                    let data = x.get(number * image + channel..).unwrap_or_default();
                    Rows::Indirect { data, offsets: table.rows(start..start + m), pad }
                }
            };
            let y = &mut y[group.column * self.epilogue.element()..];
            let columns = self.columns_of(group, self.group_columns);
            let out = self.epilogue.out(group.column..group.column + columns.n, self.columns, y);
            product::run(kernels, m, &rows, &columns, out);
        }
    }

    fn columns_of<'a>(&self, group: &'a Group, n: usize) -> Columns<'a> {
        let &Product { taps, kc, together, .. } = self;
        Columns { packed: group.packed.bytes(), n, taps, kc, together }
    }

    /// One row times some of its columns (from `column` on, a multiple of a unit), written to `y`.
    fn columns_of_row(&self, kernels: Kernels, x: &[u8], column: usize, y: &mut [u8]) {
        let n = y.len() / self.epilogue.element();
        let units = column / product::UNIT..(column + n).div_ceil(product::UNIT);
        let columns = self.columns_of(&self.groups[0], self.columns).slice(units);
        let rows = Rows::Dense { data: x, stride: x.len() };
        product::run(kernels, 1, &rows, &columns, self.epilogue.out(column..column + n, n, y));
    }
}

/// Pushes the step of a product whose rows are cut between threads.
pub fn push_rows(b: &mut Builder<'_>, node: &Node, product: Product, macs: u64, x: BufferId, y: &Placed) {
    let rows = y.elements() / product.columns.max(1);
    if rows == 0 || product.columns == 0 {
        return;
    }
    let kernel = b.steps.kernels.row().int16.product.product.name;
    let chunk = b.steps.chunk_of_tiles(rows, macs as f64 / rows as f64 * NANOSECONDS_A_MAC, ROWS);
    let row_bytes = product.columns * product.epilogue.element();
    let draft = b.steps.of_node(node, kernel).macs(macs).with_slack();
    draft.run([x], [y.buffer], move |run, [x], [y]| {
        run.pool.slices(y, chunk * row_bytes, |i, y| product.rows(run.kernels, x, i * chunk, y));
    });
}

/// The factor 1, by which integers of 16 bits stay what they are: `x (2^30 + 2^7) / 2^30`, rounded.
const UNCHANGED: MulParams =
    MulParams { multiplier: MULTIPLIER_MIN, shift: 30, lo: -INT16_MAX, hi: INT16_MAX };
const INT16_MAX: i32 = i16::MAX as i32;

/// Bytes less their zero point, as int16 in a buffer of their own.
pub fn widened(b: &mut Builder<'_>, node: &Node, x: &Placed, zero_point: i32) -> Placed {
    let tensor = TensorType { dtype: DType::I16, shape: x.shape().to_vec() };
    let wide = Placed { buffer: b.steps.temporary(tensor.bytes()), tensor, layout: x.layout };
    let chunk = b.steps.chunk_elements(x.elements());
    let kernel = b.steps.kernels.row().int16.convert.widen.name;
    push_map(b, node, kernel, x, &wide, chunk, move |kernels, x, y| {
        convert::widen(kernels, x, zero_point, &UNCHANGED, y);
    });
    wide
}

/// What the int16 kernels write of a node: its output, or where that is of bytes a buffer from which [`narrow`] makes them.
pub fn output(b: &mut Builder<'_>, node: &Node, shape: Vec<usize>, layout: Layout) -> Result<Outputs, Stop> {
    let y = b.output(made(node, 0)?, shape, layout)?;
    if y.dtype() != DType::U8 {
        return Ok(Outputs { written: y, bytes: None });
    }
    let tensor = TensorType { dtype: DType::I16, shape: y.shape().to_vec() };
    let written = Placed { buffer: b.steps.temporary(tensor.bytes()), tensor, layout };
    Ok(Outputs { written, bytes: Some(y) })
}

/// See [`output`].
pub struct Outputs {
    /// What the kernels write.
    pub written: Placed,
    /// What becomes of it.
    bytes: Option<Placed>,
}

impl Outputs {
    /// Pushes the step that makes bytes of what was written, if any are wanted. It is clamped to them already.
    pub fn narrow(&self, b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
        let Some(y) = &self.bytes else { return Ok(()) };
        let zero_point = node.attributes.int32("y_zero_point")?;
        let by = MulParams { lo: 0, hi: 255, ..UNCHANGED };
        let chunk = b.steps.chunk_elements(y.elements());
        let kernel = b.steps.kernels.row().int16.convert.narrow.name;
        push_map(b, node, kernel, &self.written, y, chunk, move |kernels, x, y| {
            convert::narrow(kernels, x, &by, zero_point, y);
        });
        Ok(())
    }
}

/// Plans a QGemm of int16: `[.., K]` times a constant `[K, N]`.
pub fn plan_qgemm(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let weights = weights_of(b, node, &x)?;
    let Weights { k, n, .. } = weights;
    let by_column = weights.columns(0..n);
    let key = Key { weight: needed(node, 1)?.0, form: "int16 matrix", part: 0, parts: 1 };
    let packed = b.packing.get(key, product::packed_len(n, 1, k), |out| {
        product::pack(&by_column, n, 1, k, out);
    })?;
    let epilogue = Epilogue::new(b, node, &by_column)?;
    let mut shape = x.shape().to_vec();
    shape.pop();
    let rows: usize = shape.iter().product();
    shape.push(n);
    let from = b.with_slack(&x);
    let outputs = output(b, node, shape, Layout::RowMajor)?;
    let y = &outputs.written;
    let product = Product {
        source: Source::Dense { stride: k * size_of::<i16>() },
        groups: vec![Group { packed, channel: 0, column: 0 }],
        group_columns: n,
        columns: n,
        taps: 1,
        kc: k,
        together: product::together(&by_column, 1, k),
        epilogue,
    };
    let macs = macs([rows, n, k]);
    if rows != 1 || n == 0 {
        push_rows(b, node, product, macs, from, y);
        return outputs.narrow(b, node);
    }
    // One row reads every weight once, so memory, not arithmetic, sets its time.
    let chunk = b.steps.chunk(n, k as f64 * NANOSECONDS_A_MAC * 8.0, COLUMNS);
    let element = product.epilogue.element();
    let kernel = b.steps.kernels.row().int16.product.product.name;
    let draft = b.steps.of_node(node, kernel).macs(macs).with_slack();
    draft.run([from], [y.buffer], move |run, [x], [y]| {
        run.pool.slices(y, chunk * element, |i, y| product.columns_of_row(run.kernels, x, i * chunk, y));
    });
    outputs.narrow(b, node)
}
