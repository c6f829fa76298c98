//! The u8 x i8 product behind QConv and QGemm: rows of the input against packed columns, with an epilogue.

use std::ops::Range;
use std::sync::Arc;

use octavo_exec::{Arena, cast, cast_mut};
use octavo_kernels::float::epilogue::Clamp;
use octavo_kernels::gemm::{
    self, AddParams, Columns, OffsetTable, Out, Requantize, Residual, ResidualParams, RowScales, Rows,
};
use octavo_kernels::lookup;
use octavo_kernels::requantize::{MULTIPLIER_MIN, residual_constant, residual_term, scale_and_round};
use octavo_kernels::table::Kernels;

use crate::ops::node::{error, made, needed};
use crate::ops::{float_fusion, fusion};
use crate::plan::buffers::{BufferId, Placed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::cost::Costs;
use crate::plan::layout::Layout;
use crate::plan::steps::{Context, Draft};
use crate::program::{DType, Node, ValueId};

/// What no int32 is larger than in magnitude.
const ANY_SUM: i64 = 1 << 31;

/// Where the product's rows lie in the input.
pub enum Source {
    /// Row `r` begins at `r * stride`.
    Dense {
        /// Bytes from one row to the next.
        stride: usize,
    },
    /// Each image's rows are found through one table.
    Indirect {
        /// The taps' offsets of every output pixel of an image.
        table: OffsetTable,
        /// What a tap in the padding reads, unless each image has its own.
        pad: Vec<u8>,
        /// Bytes of an image.
        image: usize,
    },
}

/// One group's weights and the columns that it makes.
pub struct Group {
    /// The packed weights.
    pub packed: Arc<Arena>,
    /// The first of its channels in a pixel of the input.
    pub channel: usize,
    /// The first of its columns.
    pub column: usize,
}

/// What becomes of an accumulator.
pub enum Epilogue {
    /// Bytes, requantized, the residual added before or after that; then the table looked up.
    U8 {
        /// With the zero point's correction in it.
        bias: Vec<i32>,
        /// No sum, with all that joins it, is larger in magnitude.
        reach: i64,
        /// One a column.
        multiplier: Vec<i32>,
        /// One a column.
        shift: Vec<i32>,
        /// Of the output.
        zero_point: i32,
        /// Smallest output.
        lo: i32,
        /// Largest output.
        hi: i32,
        /// How a residual is added.
        residual: Option<Addition>,
        /// Lookup of the result.
        table: Option<Box<[u8; 256]>>,
    },
    /// Requantized to int16.
    I16 {
        /// With the zero point's correction in it.
        bias: Vec<i32>,
        /// One a column.
        multiplier: Vec<i32>,
        /// One a column.
        shift: Vec<i32>,
        /// Smallest output.
        lo: i32,
        /// Largest output.
        hi: i32,
    },
    /// Floats.
    F32 {
        /// The zero point's correction.
        acc_bias: Vec<i32>,
        /// Of the input.
        x_scale: f32,
        /// One a column.
        scale: Vec<f32>,
        /// One a column.
        bias: Vec<f32>,
    },
    /// Floats of rows whose scales and zero points a run finds.
    F32ByRow {
        /// The sum of each column's weights.
        sums: Vec<i32>,
        /// One a column.
        scale: Vec<f32>,
        /// One a column.
        bias: Vec<f32>,
        /// How many rows share a scale and a zero point.
        rows: usize,
        /// The function behind, where it is a clamp.
        clamp: Clamp,
    },
}

/// What a product reads beside its rows and its weights: empty where there is none of it.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    /// The tensor that is added.
    pub residual: &'a [u8],
    /// Of rows, in the order of the rows.
    pub scales: &'a [f32],
    /// As many.
    pub zero_points: &'a [u8],
    /// What taps in the padding read, image by image.
    pub pads: &'a [u8],
}

impl<'a> Beside<'a> {
    /// Nothing.
    pub const NOTHING: Beside<'static> = Beside { residual: &[], scales: &[], zero_points: &[], pads: &[] };

    /// Of what a step reads, in the order of the fields.
    pub fn of(optional: [Option<&'a [u8]>; 4]) -> Beside<'a> {
        let [residual, scales, zero_points, pads] = optional.map(Option::unwrap_or_default);
        Beside { residual, scales: cast(scales), zero_points, pads }
    }

    /// The same of rows from one on, where `each` in a row share a scale: those of the row and, unless they share it, of the
    /// rows behind it.
    fn at_row(self, row: usize, each: usize) -> Beside<'a> {
        if self.scales.is_empty() {
            return self;
        }
        let first = row / each;
        let to = if each == 1 { self.scales.len() } else { first + 1 };
        Beside { scales: &self.scales[first..to], zero_points: &self.zero_points[first..to], ..self }
    }

    /// The same where the tensor that is added begins at an element.
    pub fn at_element(self, element: usize) -> Beside<'a> {
        if self.residual.is_empty() {
            return self;
        }
        Beside { residual: &self.residual[element..], ..self }
    }
}

/// How a product adds another tensor.
pub enum Addition {
    /// To its sums, by numbers of each column.
    ToSums {
        /// One a column.
        multiplier: Vec<i32>,
        /// With the zero point's part and the rounding in it.
        constant: Vec<i32>,
        /// One a column.
        shift: Vec<i32>,
    },
    /// QAdd with its bytes.
    ToBytes(AddParams),
}

impl Addition {
    /// For the kernel, of some columns.
    fn of(&self, columns: Range<usize>) -> gemm::Addition<'_> {
        match self {
            Addition::ToBytes(add) => gemm::Addition::ToBytes(*add),
            Addition::ToSums { multiplier, constant, shift } => gemm::Addition::ToSums(ResidualParams {
                multiplier: &multiplier[columns.clone()],
                constant: &constant[columns.clone()],
                shift: &shift[columns],
            }),
        }
    }
}

impl Epilogue {
    /// The bytes of an output element.
    pub fn element(&self) -> usize {
        match self {
            Epilogue::U8 { .. } => 1,
            Epilogue::I16 { .. } => 2,
            Epilogue::F32 { .. } | Epilogue::F32ByRow { .. } => 4,
        }
    }

    /// What the sums of some columns begin with; nothing where that is beside.
    pub fn bias(&self, columns: Range<usize>) -> &[i32] {
        match self {
            Epilogue::U8 { bias, .. } | Epilogue::I16 { bias, .. } => &bias[columns],
            Epilogue::F32 { acc_bias, .. } => &acc_bias[columns],
            Epilogue::F32ByRow { .. } => &[],
        }
    }

    /// The kernel's target for some columns: rows `stride` elements apart, of which `y` begins with the first one's
    /// columns, and so does what is `beside`; `bias` is what their sums begin with, if that is not beside.
    pub fn out<'a>(
        &'a self,
        bias: &'a [i32],
        columns: Range<usize>,
        beside: Beside<'a>,
        stride: usize,
        y: &'a mut [u8],
    ) -> Out<'a> {
        match self {
            Epilogue::U8 { reach, multiplier, shift, zero_point, lo, hi, residual: addition, .. } => {
                Out::U8 {
                    data: y,
                    stride,
                    requantize: Requantize {
                        bias,
                        reach: *reach,
                        multiplier: &multiplier[columns.clone()],
                        shift: &shift[columns.clone()],
                        zero_point: *zero_point,
                        lo: *lo,
                        hi: *hi,
                    },
                    residual: addition.as_ref().map(|addition| Residual {
                        data: beside.residual,
                        stride,
                        addition: addition.of(columns),
                    }),
                }
            }
            Epilogue::I16 { multiplier, shift, lo, hi, .. } => Out::I16 {
                data: cast_mut(y),
                stride,
                requantize: Requantize {
                    bias,
                    reach: ANY_SUM,
                    multiplier: &multiplier[columns.clone()],
                    shift: &shift[columns],
                    zero_point: 0,
                    lo: *lo,
                    hi: *hi,
                },
            },
            Epilogue::F32 { x_scale, scale, bias: float_bias, .. } => Out::F32 {
                data: cast_mut(y),
                stride,
                acc_bias: bias,
                x_scale: *x_scale,
                scale: &scale[columns.clone()],
                bias: &float_bias[columns],
            },
            Epilogue::F32ByRow { sums, scale, bias, clamp, .. } => Out::F32ByRow {
                data: cast_mut(y),
                stride,
                rows: RowScales { scale: beside.scales, zero_point: beside.zero_points },
                sums: &sums[columns.clone()],
                scale: &scale[columns.clone()],
                bias: &bias[columns],
                lo: clamp.lo,
                hi: clamp.hi,
            },
        }
    }

    /// Gives each column's numbers so many times, one set behind the other, for as many columns; gives back so what the sums
    /// begin with, which is not kept.
    pub fn repeated(&mut self, times: usize) -> Vec<i32> {
        match self {
            Epilogue::U8 { bias, multiplier, shift, .. } | Epilogue::I16 { bias, multiplier, shift, .. } => {
                (*multiplier, *shift) = (multiplier.repeat(times), shift.repeat(times));
                std::mem::take(bias).repeat(times)
            }
            Epilogue::F32 { acc_bias, scale, bias, .. } => {
                (*scale, *bias) = (scale.repeat(times), bias.repeat(times));
                std::mem::take(acc_bias).repeat(times)
            }
            Epilogue::F32ByRow { .. } => unreachable!("a QConvTranspose has no scales of rows"),
        }
    }

    /// Looks the results up where a Lookup was fused.
    pub fn look_up(&self, kernels: Kernels, y: &mut [u8]) {
        if let Epilogue::U8 { table: Some(table), .. } = self {
            lookup::lookup_in_place(kernels, y, table);
        }
    }
}

/// A product with everything but its buffers.
pub struct Product {
    /// Where the rows lie.
    pub source: Source,
    /// The groups, one where there are none.
    pub groups: Vec<Group>,
    /// Columns of one group.
    pub group_columns: usize,
    /// Columns of all groups.
    pub columns: usize,
    /// Taps of a row.
    pub taps: usize,
    /// Bytes of a tap.
    pub kc: usize,
    /// What becomes of the accumulators.
    pub epilogue: Epilogue,
}

impl Product {
    /// The bytes of an output element.
    pub fn element(&self) -> usize {
        self.epilogue.element()
    }

    /// What a row takes on one thread, of so many that take `macs` together.
    fn nanoseconds(&self, macs: u64, rows: usize, costs: &Costs) -> f64 {
        let computed = self.groups.len() * self.group_columns.next_multiple_of(gemm::UNIT);
        macs as f64 / rows as f64 * costs.mac + computed as f64 * costs.element
    }

    /// Computes rows `first..` of the output into `y`.
    pub fn rows(&self, kernels: Kernels, x: &[u8], beside: Beside<'_>, first: usize, y: &mut [u8]) {
        let row_bytes = self.columns * self.element();
        let mut row = first;
        let mut rest = y;
        while !rest.is_empty() {
            let m = (rest.len() / row_bytes).min(self.rows_together(row));
            let (now, later) = rest.split_at_mut(m * row_bytes);
            self.rows_of_image(kernels, x, beside, row, m, now);
            (row, rest) = (row + m, later);
        }
    }

    /// How many rows from one on can go through the kernel at once: those of the image, or of the sample.
    fn rows_together(&self, row: usize) -> usize {
        match (&self.source, self.rows_of_scale()) {
            (Source::Indirect { table, .. }, _) => table.len() - row % table.len(),
            (Source::Dense { .. }, 1) => usize::MAX,
            (Source::Dense { .. }, each) => each - row % each,
        }
    }

    /// How many rows share a scale that a run finds.
    fn rows_of_scale(&self) -> usize {
        if let Epilogue::F32ByRow { rows, .. } = self.epilogue { rows } else { 1 }
    }

    /// [`Product::rows`] within one image.
    fn rows_of_image(
        &self,
        kernels: Kernels,
        x: &[u8],
        beside: Beside<'_>,
        row: usize,
        m: usize,
        y: &mut [u8],
    ) {
        for group in &self.groups {
            let rows = match &self.source {
                Source::Dense { stride } => {
                    Rows::Dense { data: &x[row * stride + group.channel..], stride: *stride }
                }
                Source::Indirect { table, pad, image } => {
                    let (number, start) = (row / table.len(), row % table.len());
                    Rows::Indirect {
                        // An image of no pixels has no channels to begin at: all is padding.
                        data: x.get(number * image + group.channel..).unwrap_or_default(),
                        offsets: table.rows(start..start + m),
                        pad: beside.pads.chunks_exact(pad.len()).nth(number).unwrap_or(pad),
                    }
                }
            };
            let columns =
                Columns { packed: group.packed.bytes(), n: self.group_columns, taps: self.taps, kc: self.kc };
            self.columns_of(kernels, m, &rows, &columns, group.column, beside, row, y);
        }
        self.epilogue.look_up(kernels, y);
    }

    /// One row times some of its columns (from `column` on, a multiple of a unit), written to `y`.
    pub fn columns_of_row(
        &self,
        kernels: Kernels,
        x: &[u8],
        beside: Beside<'_>,
        column: usize,
        y: &mut [u8],
    ) {
        let rows = Rows::Dense { data: x, stride: x.len() };
        let n = y.len() / self.element();
        let all =
            Columns { packed: self.groups[0].packed.bytes(), n: self.columns, taps: self.taps, kc: self.kc };
        let units = column / gemm::UNIT..(column + n).div_ceil(gemm::UNIT);
        let columns = all.slice(units);
        let beside = beside.at_element(column);
        self.write(kernels, 1, &rows, &columns, column, beside, n, y);
        self.epilogue.look_up(kernels, y);
    }

    fn columns_of(
        &self,
        kernels: Kernels,
        m: usize,
        rows: &Rows<'_>,
        columns: &Columns<'_>,
        column: usize,
        beside: Beside<'_>,
        row: usize,
        y: &mut [u8],
    ) {
        let beside = beside.at_row(row, self.rows_of_scale()).at_element(row * self.columns + column);
        let y = &mut y[column * self.element()..];
        self.write(kernels, m, rows, columns, column, beside, self.columns, y);
    }

    /// Runs the kernel on columns `column..column + columns.n`, which begin at the first element of `y`.
    fn write(
        &self,
        kernels: Kernels,
        m: usize,
        rows: &Rows<'_>,
        columns: &Columns<'_>,
        column: usize,
        beside: Beside<'_>,
        stride: usize,
        y: &mut [u8],
    ) {
        let range = column..column + columns.n;
        let out = self.epilogue.out(self.epilogue.bias(range.clone()), range, beside, stride, y);
        gemm::run(kernels, m, rows, columns, out);
    }
}

/// The place, among the inputs of a QConv or QGemm whose rows have scales that a run finds, of these; behind it are the zero
/// points.
const ROW_SCALES: usize = 4;

/// Whether a QConv or QGemm has scales that a run finds.
pub fn has_row_scales(node: &Node) -> bool {
    node.inputs.len() == ROW_SCALES + 2
}

/// The scales and the zero points that a run finds, which must be of a shape.
pub fn row_scales(b: &mut Builder<'_>, node: &Node, shape: &[usize]) -> Result<[BufferId; 2], Stop> {
    let mut buffers = [BufferId(0); 2];
    for (place, buffer) in (ROW_SCALES..).zip(&mut buffers) {
        let found = b.input_as(needed(node, place)?, Layout::RowMajor)?;
        if found.shape() != shape {
            let what = if place == ROW_SCALES { "scales" } else { "zero points" };
            let text = format!("its {what} have the shape {:?}, not {shape:?}", found.shape());
            return Err(error(node, &text));
        }
        *buffer = found.buffer;
    }
    Ok(buffers)
}

/// The epilogue of a QConv or QGemm whose rows have scales that a run finds, `rows` of them one; `sums` are those of each
/// column's weights.
pub fn epilogue_by_row(b: &Builder<'_>, node: &Node, sums: Vec<i32>, rows: usize) -> Result<Epilogue, Stop> {
    let (bias, scale) = (b.known_input(node, 2)?.f32s()?, b.known_input(node, 3)?.f32s()?);
    Ok(Epilogue::F32ByRow { sums, scale, bias, rows, clamp: Clamp::NONE })
}

/// The most that a sum of products of bytes with an output's weights, and its bias, can be in magnitude, for any output:
/// `magnitudes` are the sums of those of each output's weights.
fn reach(magnitudes: &[i64], bias: &[i32]) -> i64 {
    let of_output = |(&sum, &bias): (&i64, &i32)| 255 * sum + i64::from(bias).abs();
    magnitudes.iter().zip(bias).map(of_output).max().unwrap_or(0).min(ANY_SUM)
}

/// Beyond this, and a zero point more, is no byte.
const BEYOND_BYTES: i64 = 512;

/// Gives a column without weights, which is a constant, numbers that are as good and not extreme: its own bias may be as large as
/// there are, by a multiplier as small, and keep all columns from the arithmetic of floats.
fn temper(magnitudes: &[i64], bias: &mut [i32], multiplier: &mut [i32], shift: &mut [i32]) {
    let columns = bias.iter_mut().zip(multiplier).zip(shift);
    for (((bias, multiplier), shift), _) in columns.zip(magnitudes).filter(|(_, sum)| **sum == 0) {
        let y = scale_and_round(*bias, *multiplier, shift.unsigned_abs());
        *bias = y.clamp(-BEYOND_BYTES, BEYOND_BYTES) as i32;
        (*multiplier, *shift) = (MULTIPLIER_MIN, 30); // 1 + 2^-23
    }
}

/// The epilogue of a QConv or QGemm node from its constants, before anything is fused: of each output's weights the correction
/// for the zero point and the sum of the magnitudes.
pub fn epilogue(
    b: &Builder<'_>,
    node: &Node,
    correction: Vec<i32>,
    magnitudes: &[i64],
) -> Result<Epilogue, Stop> {
    let a = &node.attributes;
    if node.inputs.len() == 4 {
        return Ok(Epilogue::F32 {
            acc_bias: correction,
            x_scale: a.f32("x_scale")?,
            scale: b.known_input(node, 3)?.f32s()?,
            bias: b.known_input(node, 2)?.f32s()?,
        });
    }
    let bias = b.known_input(node, 2)?.i32s()?;
    let mut bias: Vec<i32> = bias.iter().zip(&correction).map(|(&b, &c)| b.wrapping_add(c)).collect();
    let (mut multiplier, mut shift) = (b.known_input(node, 3)?.i32s()?, b.known_input(node, 4)?.i32s()?);
    let (lo, hi) = (a.int32("lo")?, a.int32("hi")?);
    if b.program.value(made(node, 0)?).dtype == DType::I16 {
        return Ok(Epilogue::I16 { bias, multiplier, shift, lo, hi });
    }
    if node.input(5).is_none() {
        temper(magnitudes, &mut bias, &mut multiplier, &mut shift);
    }
    Ok(Epilogue::U8 {
        reach: reach(magnitudes, &bias),
        bias,
        multiplier,
        shift,
        zero_point: a.int32("y_zero_point")?,
        lo,
        hi,
        residual: None,
        table: None,
    })
}

/// How a QConv or QGemm node adds a residual of its own, which is its input 5, and the most that this adds in magnitude.
fn addition(b: &Builder<'_>, node: &Node) -> Result<(Addition, i64), Stop> {
    let zero_point = node.attributes.int32("r_zero_point")?;
    let (multiplier, shift) = (b.known_input(node, 6)?.i32s()?, b.known_input(node, 7)?.i32s()?);
    let constant = |(&m, &s): (&i32, &i32)| residual_constant(zero_point, m, s.unsigned_abs());
    let constant = multiplier.iter().zip(&shift).map(constant).collect();
    let most = |(&m, &s): (&i32, &i32)| {
        [0, 255].map(|r| residual_term(r, zero_point, m, s.unsigned_abs()).unsigned_abs()).into_iter().max()
    };
    let most = multiplier.iter().zip(&shift).filter_map(most).max().map_or(0, i64::from);
    Ok((Addition::ToSums { multiplier, constant, shift }, most))
}

/// The residual of a node, which must be of the shape of its results.
fn residual_of(
    b: &mut Builder<'_>,
    node: &Node,
    value: ValueId,
    shape: &[usize],
    layout: Layout,
) -> Result<BufferId, Stop> {
    let found = b.tensor(value)?.shape;
    if found != shape {
        return Err(error(node, &format!("its residual has the shape {found:?}, its results {shape:?}")));
    }
    Ok(b.input_as(value, layout)?.buffer)
}

/// Declares the output of a product with what is fused behind it; gives back the residual's buffer and the names.
pub fn settle(
    b: &mut Builder<'_>,
    node: &Node,
    shape: Vec<usize>,
    layout: Layout,
    epilogue: &mut Epilogue,
) -> Result<(Placed, Option<BufferId>, String), Stop> {
    let output = made(node, 0)?;
    if let Epilogue::F32ByRow { clamp, .. } = epilogue {
        let (clamped, names, found) = float_fusion::clamp_after(b, node, output);
        *clamp = found;
        return Ok((b.output(clamped, shape, layout)?, None, names));
    }
    let Epilogue::U8 { reach, residual, table, .. } = epilogue else {
        return Ok((b.output(output, shape, layout)?, None, node.name.clone()));
    };
    let mut other = None;
    if let Some(value) = node.input(5) {
        other = Some(residual_of(b, node, value, &shape, layout)?);
        let (joining, most) = addition(b, node)?;
        *residual = Some(joining);
        *reach = (*reach + most).min(ANY_SUM);
    }
    let fused = fusion::after_product(b, node, output, &shape, layout, other.is_some())?;
    *table = fused.table;
    if let Some((params, placed)) = fused.residual {
        *residual = Some(Addition::ToBytes(params));
        other = Some(placed.buffer);
    }
    Ok((b.output(fused.output, shape, layout)?, other, fused.names))
}

/// The buffers of what there is [`Beside`] a product, in the order of its fields.
pub type BesideBuffers = [Option<BufferId>; 4];

/// Pushes the step of a product whose rows are cut between threads.
pub fn push_rows(
    b: &mut Builder<'_>,
    name: String,
    op: &'static str,
    product: Product,
    macs: u64,
    x: BufferId,
    beside: BesideBuffers,
    y: &Placed,
) {
    let rows = y.elements() / product.columns.max(1);
    if rows == 0 || product.columns == 0 {
        return;
    }
    let k = product.taps * product.kc;
    let tile = gemm::select(&b.steps.kernels.row().gemm, rows, product.group_columns, k);
    let chunk = b.steps.chunk_of_tiles(rows, product.nanoseconds(macs, rows, &b.steps.costs), tile.rows);
    let row_bytes = product.columns * product.element();
    let target = y.buffer;
    let draft = b.steps.step(name, op, tile.name).macs(macs);
    run_beside(draft, x, beside, target, move |run, x, beside, y| {
        run.pool.slices(y, chunk * row_bytes, |i, y| product.rows(run.kernels, x, beside, i * chunk, y));
    });
}

/// Gives a step its code, which takes the rows with slack, what there is beside them, and the results.
pub(super) fn run_beside(
    draft: Draft<'_>,
    x: BufferId,
    beside: BesideBuffers,
    y: BufferId,
    code: impl Fn(Context<'_>, &[u8], Beside<'_>, &mut [u8]) + Send + Sync + 'static,
) {
    let [residual, found @ ..] = beside;
    // Each buffer that a step might read costs a small layer time, whether it is there or not.
    if found.iter().all(Option::is_none) {
        draft.with_slack().run_optional([x], [residual], [y], move |run, [x], [residual], [y]| {
            code(run, x, Beside { residual: residual.unwrap_or_default(), ..Beside::NOTHING }, y);
        });
    } else {
        draft.with_slack().run_optional([x], beside, [y], move |run, [x], beside, [y]| {
            code(run, x, Beside::of(beside), y);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reach_is_that_of_the_output_with_the_largest_sums() {
        assert_eq!(reach(&[9], &[0]), 255 * 9);
        assert_eq!(reach(&[9, 9], &[3, -70]), 255 * 9 + 70);
        assert_eq!(reach(&[9, 10], &[-254, 0]), 255 * 10);
        assert_eq!(reach(&[127], &[i32::MIN]), 1 << 31);
        assert_eq!(reach(&[], &[]), 0);
    }

    #[test]
    fn a_column_without_weights_keeps_its_byte() {
        let numbers =
            [i32::MIN, -70_000, -513, -512, -300, -1, 0, 1, 127, 255, 256, 511, 512, 513, 1 << 20, i32::MAX];
        for (number, shift) in
            numbers.into_iter().flat_map(|number| (1..=62).map(move |shift| (number, shift)))
        {
            for odd in [1 << 23, 11_863_283, (1 << 24) - 1] {
                let (mut bias, mut multiplier, mut shifts) = ([number; 2], [(odd | 1) << 7; 2], [shift; 2]);
                temper(&[0, 1], &mut bias, &mut multiplier, &mut shifts);
                let byte = |at: usize, zero: i32| {
                    octavo_kernels::requantize::requantize(
                        bias[at],
                        multiplier[at],
                        shifts[at] as u32,
                        zero,
                        0,
                        255,
                    )
                };
                // The second has a weight, and keeps its numbers.
                assert_eq!((bias[1], multiplier[1], shifts[1]), (number, (odd | 1) << 7, shift));
                for zero in [0, 1, 128, 255] {
                    assert_eq!(byte(0, zero), byte(1, zero), "{number} by {odd} >> {shift}, from {zero}");
                }
                assert!(reach(&[0], &bias[..1]) <= BEYOND_BYTES);
            }
        }
    }
}
