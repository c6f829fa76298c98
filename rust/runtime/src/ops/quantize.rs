//! Quantize, Dequantize, Requantize: between floats and 8-bit integers, and between two scales.

use std::ops::Range;

use octavo_exec::{Pod, cast, cast_mut};
use octavo_kernels::float::unary::{self, Unary};
use octavo_kernels::int16::convert;
use octavo_kernels::int16::elementwise::MulParams;
use octavo_kernels::lookup;
use octavo_kernels::quantize::{self, RequantizeParams};
use octavo_kernels::table::Kernels;

use crate::ops::dequantize;
use crate::ops::elementwise::mul_params_int16;
use crate::ops::node::{error, made, needed, push_map};
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::{Layout, is_same_bytes};
use crate::plan::steps::Draft;
use crate::program::{DType, Node, Op, ValueId};

/// Plans a Quantize; an image that a convolution reads next gets its channels last on the way.
pub fn plan_quantize(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input(needed(node, 0)?)?;
    let output = made(node, 0)?;
    match node.inputs.len() {
        1 => {}
        2 | 3 => return plan_to_grids(b, node, &x, output),
        _ => {
            let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
            return plan_to_columns(b, node, &x, None);
        }
    }
    let scale = node.attributes.f32("scale")?;
    if b.program.value(output).dtype == DType::I16 {
        return plan_quantize_int16(b, node, &x, output, scale);
    }
    let zero_point = node.attributes.int32("zero_point")?;
    if is_image(b, &x, output) {
        let kernel = b.steps.kernels.row().quantize.quantize_channels_last.name;
        return plan_image(b, node, &x, output, kernel, move |kernels, x, image, pixels, y| {
            let [channels, plane] = image;
            quantize::quantize_channels_last(kernels, x, channels, plane, pixels, scale, zero_point, y);
        });
    }
    let y = b.output(output, x.shape().to_vec(), x.layout)?;
    let chunk = b.steps.chunk_elements(y.elements());
    let kernel = b.steps.kernels.row().quantize.quantize.name;
    push_map(b, node, kernel, &x, &y, chunk, move |kernels, x: &[f32], y: &mut [u8]| {
        quantize::quantize(kernels, x, scale, zero_point, y);
    });
    Ok(())
}

fn plan_quantize_int16(
    b: &mut Builder<'_>,
    node: &Node,
    x: &Placed,
    output: ValueId,
    scale: f32,
) -> Result<(), Stop> {
    if is_image(b, x, output) {
        let kernel = b.steps.kernels.row().int16.convert.quantize_channels_last.name;
        return plan_image(b, node, x, output, kernel, move |kernels, x, image, pixels, y: &mut [i16]| {
            convert::quantize_channels_last(kernels, x, image, pixels, scale, y);
        });
    }
    let y = b.output(output, x.shape().to_vec(), x.layout)?;
    let chunk = b.steps.chunk_elements(y.elements());
    let kernel = b.steps.kernels.row().int16.convert.quantize.name;
    push_map(b, node, kernel, x, &y, chunk, move |kernels, x: &[f32], y: &mut [i16]| {
        convert::quantize(kernels, x, scale, y);
    });
    Ok(())
}

/// Elements of a function that are in the first-level cache when they are quantized.
pub const BLOCK: usize = 4096;

/// Plans a function of float32 and the Quantize to bytes that alone reads it, by one scale or to columns: a block goes through
/// both. False where there is no such Quantize.
pub fn plan_behind(b: &mut Builder<'_>, node: &Node, function: Unary, x: &Placed) -> Result<bool, Stop> {
    let Some((index, quantize)) = b.only_reader(made(node, 0)?) else { return Ok(false) };
    if quantize.op != Op::Quantize || b.program.value(made(quantize, 0)?).dtype != DType::U8 {
        return Ok(false);
    }
    match quantize.inputs.len() {
        1 if !is_image(b, x, made(quantize, 0)?) => plan_function_to_scale(b, node, function, x, quantize)?,
        4 if x.layout == Layout::RowMajor && x.shape().last().is_some_and(|&row| row <= BLOCK) => {
            plan_to_columns(b, quantize, x, Some((node, function)))?;
        }
        _ => return Ok(false),
    }
    b.absorb(index);
    Ok(true)
}

fn plan_function_to_scale(
    b: &mut Builder<'_>,
    node: &Node,
    function: Unary,
    x: &Placed,
    quantize: &Node,
) -> Result<(), Stop> {
    let scale = quantize.attributes.f32("scale")?;
    let zero_point = quantize.attributes.int32("zero_point")?;
    let y = b.output(made(quantize, 0)?, x.shape().to_vec(), x.layout)?;
    let chunk = b.steps.chunk_elements(y.elements());
    let (xb, yb) = (x.buffer, y.buffer);
    of_both(b, node, quantize).run([xb], [yb], move |run, [x], [y]| {
        let (kernels, pool, x) = (run.kernels, run.pool, cast::<f32>(x));
        pool.slices(y, chunk, |i, y| {
            let mut block = [0.0; BLOCK];
            for (x, y) in x[i * chunk..].chunks(BLOCK).zip(y.chunks_mut(BLOCK)) {
                let (x, block) = (&x[..y.len()], &mut block[..y.len()]);
                unary::run(kernels, function, x, block);
                quantize::quantize(kernels, block, scale, zero_point, y);
            }
        });
    });
    Ok(())
}

/// The step of a function and the Quantize behind it.
pub fn of_both<'s>(b: &'s mut Builder<'_>, node: &Node, quantize: &Node) -> Draft<'s> {
    let kernel = b.steps.kernels.row().float.unary.unary.name;
    b.steps.step(format!("{} + {}", node.name, quantize.name), node.op.name(), kernel)
}

/// Whether an image that lies row by row is wanted with its channels last.
pub fn is_image(b: &Builder<'_>, x: &Placed, output: ValueId) -> bool {
    x.layout == Layout::RowMajor && !is_same_bytes(x.shape()) && wants_channels_last(b, output)
}

/// Whether a value goes into an op that reads channels last, directly or through ops that keep the layout.
fn wants_channels_last(b: &Builder<'_>, value: ValueId) -> bool {
    let mut values = vec![value];
    while let Some(value) = values.pop() {
        for &index in b.readers(value) {
            let reader = &b.program.nodes[index];
            match reader.op {
                Op::QConv | Op::MaxPool | Op::QAveragePool => return true,
                Op::Lookup | Op::Requantize | Op::Pad => values.extend(reader.outputs.iter().flatten()),
                _ => {}
            }
        }
    }
    false
}

fn plan_image<Y: Pod>(
    b: &mut Builder<'_>,
    node: &Node,
    x: &Placed,
    output: ValueId,
    kernel: &'static str,
    quantize: impl Fn(Kernels, &[f32], [usize; 2], Range<usize>, &mut [Y]) + Send + Sync + 'static,
) -> Result<(), Stop> {
    let y = b.output(output, x.shape().to_vec(), Layout::ChannelsLast)?;
    let (images, channels) = (x.shape()[0], x.shape()[1]);
    let plane: usize = x.shape()[2..].iter().product();
    if y.elements() == 0 {
        return Ok(());
    }
    let chunk = b.steps.chunk(plane, channels as f64 * 0.2, 64);
    let (xb, yb) = (x.buffer, y.buffer);
    let image = plane * channels;
    b.steps.step(node.name.clone(), "Quantize", kernel).run([xb], [yb], move |run, [x], [y]| {
        let (kernels, pool) = (run.kernels, run.pool);
        let (x, y) = (cast::<f32>(x), cast_mut::<Y>(y));
        for n in 0..images {
            let x = &x[n * image..][..image];
            pool.slices(&mut y[n * image..][..image], chunk * channels, |i, y| {
                let pixels = i * chunk..i * chunk + y.len() / channels;
                quantize(kernels, x, [channels, plane], pixels, y);
            });
        }
    });
    Ok(())
}

/// Elements that a pattern of scales has at least, so that kernels run long.
const PATTERN: usize = 256;
/// The longest pattern that holds all channels, with the elements that lie side by side in each.
const LONGEST: usize = 4096;

/// Scales and zero points of the elements that follow each other.
struct Grids {
    /// Of `run` elements each, one after the other and then again; as long as a pattern, they begin anew within a run.
    patterns: Vec<(Vec<f32>, Vec<f32>)>,
    run: usize,
}

impl Grids {
    /// side: elements of a channel that lie side by side.
    fn new(scale: &[f32], zero: &[f32], side: usize) -> Grids {
        let repeated = |of: &[f32], each: usize, length: usize| -> Vec<f32> {
            let all = of.iter().flat_map(|&one| std::iter::repeat_n(one, each));
            all.cycle().take(length).collect()
        };
        match scale.len().checked_mul(side).filter(|&period| (1..=LONGEST).contains(&period)) {
            Some(period) => {
                let length = period * PATTERN.div_ceil(period);
                let pattern = (repeated(scale, side, length), repeated(zero, side, length));
                Grids { patterns: vec![pattern], run: length }
            }
            None => {
                let pattern = |(&s, &z): (&f32, &f32)| (vec![s; PATTERN], vec![z; PATTERN]);
                Grids { patterns: scale.iter().zip(zero).map(pattern).collect(), run: side.max(1) }
            }
        }
    }

    /// The elements from number `first` on, as many as `y` takes.
    fn quantize(&self, kernels: Kernels, x: &[f32], first: usize, y: &mut [u8]) {
        if let [(scale, zero)] = &self.patterns[..] {
            debug_assert!(first.is_multiple_of(self.run), "a pattern begins with its first scale");
            return quantize::quantize_to_grids(kernels, &x[first..][..y.len()], scale, zero, y);
        }
        let (mut at, mut left) = (first, y);
        while !left.is_empty() {
            let (scale, zero) = &self.patterns[at / self.run % self.patterns.len()];
            let (now, rest) = left.split_at_mut(left.len().min(self.run - at % self.run));
            quantize::quantize_to_grids(kernels, &x[at..][..now.len()], scale, zero, now);
            (at, left) = (at + now.len(), rest);
        }
    }
}

/// Plans a Quantize by tensors: scales and fractional zero points, one of each or one an index of an axis.
fn plan_to_grids(b: &mut Builder<'_>, node: &Node, x: &Placed, output: ValueId) -> Result<(), Stop> {
    let (scale, zero) = (b.known_input(node, 1)?.f32s()?, b.known_input(node, 2)?.f32s()?);
    let (shape, wanted) = (x.shape().to_vec(), node.scales_shape(x.shape())?);
    if wanted.as_deref() != Some(&[scale.len()]) {
        return Err(error(node, &format!("its scales are of shape [{}], not {wanted:?}", scale.len())));
    }
    let axis = if node.attributes.has("axis") { Some(node.attributes.size("axis")?) } else { None };
    if axis.is_none_or(|axis| axis == 1) && is_image(b, x, output) {
        let of_channels = |of: &[f32]| of.iter().copied().cycle().take(shape[1]).collect::<Vec<f32>>();
        let (scale, zero) = (of_channels(&scale), of_channels(&zero));
        let kernel = b.steps.kernels.row().quantize.quantize_channels_last_to_grids.name;
        return plan_image(b, node, x, output, kernel, move |kernels, x, [_, plane], pixels, y| {
            quantize::quantize_channels_last_to_grids(kernels, x, plane, pixels, &scale, &zero, y);
        });
    }
    let y = b.output(output, shape.clone(), x.layout)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let physical = x.layout.physical(&shape);
    let side = axis.map_or(1, |axis| physical[x.layout.axis(axis, shape.len()) + 1..].iter().product());
    let grids = Grids::new(&scale, &zero, side);
    let chunk = b.steps.chunk_elements(y.elements()).next_multiple_of(grids.run);
    let (xb, yb) = (x.buffer, y.buffer);
    let kernel = b.steps.kernels.row().quantize.quantize_to_grids.name;
    b.steps.step(node.name.clone(), "Quantize", kernel).run([xb], [yb], move |run, [x], [y]| {
        let (kernels, pool, x) = (run.kernels, run.pool, cast::<f32>(x));
        pool.slices(y, chunk, |i, y| grids.quantize(kernels, x, i * chunk, y));
    });
    Ok(())
}

/// What the columns of a row are made of: some that lie as they do in the input, then others.
struct Columns {
    in_place: Grid,
    others: Vec<Others>,
}

/// A scale and a zero point for each of some columns.
struct Grid {
    scale: Vec<f32>,
    zero: Vec<f32>,
}

/// Columns that are gathered together. Their grids are as many as kernels go through at a time, the last ones of nothing.
struct Others {
    from: Vec<usize>,
    grid: Grid,
}

/// How many columns are gathered together.
const TOGETHER: usize = 64;

impl Columns {
    fn new(scale: Vec<f32>, zero: Vec<f32>, from: &[usize]) -> Columns {
        let count = from.iter().enumerate().take_while(|&(place, from)| place == *from).count();
        let (mut in_place, mut others) = (Grid { scale, zero }, Vec::new());
        let rest = Grid { scale: in_place.scale.split_off(count), zero: in_place.zero.split_off(count) };
        let grids = rest.scale.chunks(TOGETHER).zip(rest.zero.chunks(TOGETHER));
        for (from, (scale, zero)) in from[count..].chunks(TOGETHER).zip(grids) {
            let mut grid = Grid { scale: scale.to_vec(), zero: zero.to_vec() };
            grid.scale.resize(TOGETHER, 1.0);
            grid.zero.resize(TOGETHER, 0.0);
            others.push(Others { from: from.to_vec(), grid });
        }
        Columns { in_place, others }
    }

    /// One row.
    fn quantize(&self, kernels: Kernels, x: &[f32], y: &mut [u8]) {
        let (in_place, others) = y.split_at_mut(self.in_place.scale.len());
        if !in_place.is_empty() {
            let Grid { scale, zero } = &self.in_place;
            quantize::quantize_to_grids(kernels, &x[..scale.len()], scale, zero, in_place);
        }
        for (Others { from, grid }, y) in self.others.iter().zip(others.chunks_mut(TOGETHER)) {
            let (mut gathered, mut made) = ([0.0; TOGETHER], [0; TOGETHER]);
            gathered.iter_mut().zip(from).for_each(|(to, &from)| *to = x[from]);
            quantize::quantize_to_grids(kernels, &gathered, &grid.scale, &grid.zero, &mut made);
            y.copy_from_slice(&made[..y.len()]);
        }
    }
}

/// Plans a Quantize to columns: of each row of the last axis, elements each by a scale and a zero point of its own. before: the
/// function that makes them of x, of rows of [`BLOCK`] elements at most.
fn plan_to_columns(
    b: &mut Builder<'_>,
    node: &Node,
    x: &Placed,
    before: Option<(&Node, Unary)>,
) -> Result<(), Stop> {
    let (scale, zero) = (b.known_input(node, 1)?.f32s()?, b.known_input(node, 2)?.f32s()?);
    let from: Vec<usize> = b.known_input(node, 3)?.i64s()?.into_iter().map(|place| place as usize).collect();
    let Some((&length, outer)) = x.shape().split_last() else {
        return Err(error(node, "its input has no axis to take columns from"));
    };
    if let Some(place) = from.iter().find(|&&place| place >= length) {
        return Err(error(node, &format!("a column is taken from {place}, of an axis of {length}")));
    }
    let (shape, width) = ([outer, &[from.len()]].concat(), from.len());
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let columns = Columns::new(scale, zero, &from);
    let rows = b.steps.chunk(y.elements() / width, width as f64 * 0.15, 1);
    let (xb, yb) = (x.buffer, y.buffer);
    let kernel = b.steps.kernels.row().quantize.quantize_to_grids.name;
    let step = match before {
        Some((function, _)) => of_both(b, function, node),
        None => b.steps.of_node(node, kernel),
    };
    let function = before.map(|(_, function)| function);
    step.run([xb], [yb], move |run, [x], [y]| {
        let (kernels, pool, x) = (run.kernels, run.pool, cast::<f32>(x));
        pool.slices(y, rows * width, |i, y| {
            let mut block = [0.0; BLOCK];
            for (row, y) in y.chunks_exact_mut(width).enumerate() {
                let mut x = &x[(i * rows + row) * length..][..length];
                if let Some(function) = function {
                    unary::run(kernels, function, x, &mut block[..length]);
                    x = &block[..length];
                }
                columns.quantize(kernels, x, y);
            }
        });
    });
    Ok(())
}

/// Plans a Dequantize by numbers, or by tensors of them.
pub fn plan_dequantize(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    if node.inputs.len() > 1 {
        return dequantize::plan_by_tensors(b, node);
    }
    let x = b.input(needed(node, 0)?)?;
    let scale = node.attributes.f32("scale")?;
    let zero_point = node.attributes.int32("zero_point")?;
    let y = b.output(made(node, 0)?, x.shape().to_vec(), x.layout)?;
    let chunk = b.steps.chunk_elements(y.elements());
    if x.dtype() == DType::I16 {
        let kernel = b.steps.kernels.row().int16.convert.dequantize.name;
        push_map(b, node, kernel, &x, &y, chunk, move |kernels, x: &[i16], y: &mut [f32]| {
            convert::dequantize(kernels, x, scale, y);
        });
        return Ok(());
    }
    let kernel = b.steps.kernels.row().quantize.dequantize.name;
    push_map(b, node, kernel, &x, &y, chunk, move |kernels, x: &[u8], y: &mut [f32]| {
        quantize::dequantize(kernels, x, scale, zero_point, y);
    });
    Ok(())
}

/// Plans a Requantize.
pub fn plan_requantize(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input(needed(node, 0)?)?;
    let a = &node.attributes;
    let zeros = [a.int32("x_zero_point")?, a.int32("y_zero_point")?];
    let y = b.output(made(node, 0)?, x.shape().to_vec(), x.layout)?;
    let chunk = b.steps.chunk_elements(y.elements());
    let row = b.steps.kernels.row();
    let by = mul_params_int16(node)?;
    match (x.dtype(), y.dtype()) {
        (DType::I16, DType::I16) => {
            push_map(b, node, row.int16.convert.requantize.name, &x, &y, chunk, move |kernels, x, y| {
                convert::requantize(kernels, x, &by, y);
            });
        }
        (DType::I16, _) => {
            push_map(b, node, row.int16.convert.narrow.name, &x, &y, chunk, move |kernels, x, y| {
                convert::narrow(kernels, x, &by, zeros[1], y);
            });
        }
        (_, DType::I16) => {
            push_map(b, node, row.int16.convert.widen.name, &x, &y, chunk, move |kernels, x, y| {
                convert::widen(kernels, x, zeros[0], &by, y);
            });
        }
        _ => {
            let MulParams { multiplier, shift, lo, hi } = by;
            let [x_zero_point, y_zero_point] = zeros;
            let params = RequantizeParams { x_zero_point, y_zero_point, multiplier, shift, lo, hi };
            let table = quantize::requantize_table(&params);
            push_map(b, node, row.lookup.lookup.name, &x, &y, chunk, move |kernels, x, y| {
                lookup::lookup(kernels, x, &table, y);
            });
        }
    }
    Ok(())
}
