//! BatchNormalization where it could not be folded into a neighbour, and the normalizations of vectors by what they hold.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::normalization::{
    Channels, Norm, Statistic, Vectors, batch, by_norm, statistics, vectors,
};

use crate::ops::node::{axis, check_vector, error, left_padded, made, needed, push_map};
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::{Node, Op};

/// Plans `fma(x - mean, scale / sqrt(variance + epsilon), bias)`, each operation rounded.
pub fn plan_batch(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input(needed(node, 0)?)?;
    let epsilon = node.attributes.f32("epsilon")?;
    let channels = *x.shape().get(1).ok_or_else(|| error(node, "the input has no channels"))?;
    let mut parameters = Vec::with_capacity(4);
    for place in 1..5 {
        let values = b.known_input(node, place)?;
        check_vector(node, place, values.shape(), channels)?;
        parameters.push(values.f32s()?);
    }
    let [scale, bias, mean, variance]: [Vec<f32>; 4] =
        parameters.try_into().map_err(|_| error(node, "needs four parameters"))?;
    let factor: Vec<f32> = scale.iter().zip(&variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let y = b.output(made(node, 0)?, x.shape().to_vec(), x.layout)?;
    if y.elements() == 0 {
        return Ok(());
    }
    // Elements of one channel that lie together.
    let run = match x.layout {
        Layout::ChannelsLast => 1,
        Layout::RowMajor => x.shape()[2..].iter().product(),
    };
    let chunk = b.steps.chunk(y.elements() / run, run as f64, channels);
    let (xb, yb) = (x.buffer, y.buffer);
    let kernel = b.steps.kernels.row().float.normalization.batch.name;
    b.steps.step(node.name.clone(), "BatchNormalization", kernel).run([xb], [yb], move |step, [x], [y]| {
        let (kernels, pool) = (step.kernels, step.pool);
        let x = cast::<f32>(x);
        let channels = Channels { mean: &mean, factor: &factor, bias: &bias };
        pool.slices(cast_mut::<f32>(y), chunk * run, |i, y| {
            batch(kernels, &x[i * chunk * run..][..y.len()], &channels, run, y);
        });
    });
    Ok(())
}

/// Plans LayerNormalization and RMSNormalization: the axes from `axis` on are one vector.
pub fn plan_layer(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let first = axis(node, node.attributes.int("axis")?, x.shape().len())?;
    let (outer, normalized) = x.shape().split_at(first);
    let n: usize = normalized.iter().product();
    let parameters = Parameters::of(b, node, normalized)?;
    let shape = Shape { n, run: 1, is_centred: node.op == Op::LayerNormalization };
    push_vectors(b, node, &x, shape, parameters)?;
    let which = [Statistic::Mean, Statistic::InverseDeviation];
    for (&output, which) in node.outputs.iter().skip(1).zip(which) {
        let Some(output) = output else { continue };
        let shape = outer.iter().copied().chain(normalized.iter().map(|_| 1)).collect();
        let y = b.output(output, shape, Layout::RowMajor)?;
        push_statistics(b, node, &x, n, which, &y)?;
    }
    Ok(())
}

/// Plans InstanceNormalization and GroupNormalization: some channels of an image are one vector.
pub fn plan_group(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let &[_, channels, ref spatial @ ..] = x.shape() else {
        return Err(error(node, &format!("an input of shape {:?} has no channels", x.shape())));
    };
    let groups = match node.op {
        Op::GroupNormalization => usize::try_from(node.attributes.int("num_groups")?).unwrap_or(0),
        _ => channels.max(1),
    };
    if groups == 0 || channels % groups != 0 {
        return Err(error(node, &format!("{channels} channels in {groups} groups")));
    }
    let parameters = Parameters::of(b, node, &[channels])?;
    let run = spatial.iter().product();
    push_vectors(b, node, &x, Shape { n: channels / groups * run, run, is_centred: true }, parameters)
}

/// The scale and the bias of a normalization.
struct Parameters {
    scale: Placed,
    bias: Option<Placed>,
}

impl Parameters {
    /// Inputs 1 and 2, of that shape.
    fn of(b: &mut Builder<'_>, node: &Node, shape: &[usize]) -> Result<Parameters, Stop> {
        let mut one = |value| -> Result<Placed, Stop> {
            let placed = b.input_as(value, Layout::RowMajor)?;
            let given = placed.shape();
            if given.len() > shape.len() || left_padded(given, shape.len()) != shape {
                return Err(error(node, &format!("a scale or bias of shape {given:?} for {shape:?}")));
            }
            Ok(placed)
        };
        let scale = one(needed(node, 1)?)?;
        let bias = node.input(2).map(&mut one).transpose()?;
        Ok(Parameters { scale, bias })
    }
}

/// Vectors of n elements, of which each `run` share a scale.
struct Shape {
    n: usize,
    run: usize,
    is_centred: bool,
}

fn push_vectors(
    b: &mut Builder<'_>,
    node: &Node,
    x: &Placed,
    shape: Shape,
    parameters: Parameters,
) -> Result<(), Stop> {
    let Shape { n, run, is_centred } = shape;
    let epsilon = node.attributes.f32("epsilon")?;
    let y = b.output(made(node, 0)?, x.shape().to_vec(), Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let chunk = b.steps.chunk(y.elements() / n, n as f64, 1);
    let (xb, yb, scale) = (x.buffer, y.buffer, parameters.scale.buffer);
    let bias = parameters.bias.map(|bias| bias.buffer);
    let kernel = b.steps.kernels.row().float.normalization.vectors.name;
    b.steps.of_node(node, kernel).run_optional(
        [xb, scale],
        [bias],
        [yb],
        move |step, [x, scale], [bias], [y]| {
            let (kernels, pool) = (step.kernels, step.pool);
            let (x, bias) = (cast::<f32>(x), bias.map(cast::<f32>));
            let by = Vectors { n, is_centred, epsilon, run, scale: cast(scale), bias };
            pool.slices(cast_mut::<f32>(y), chunk * n, |i, y| {
                vectors(kernels, &x[i * chunk * n..][..y.len()], i * chunk, &by, y);
            });
        },
    );
    Ok(())
}

fn push_statistics(
    b: &mut Builder<'_>,
    node: &Node,
    x: &Placed,
    n: usize,
    which: Statistic,
    y: &Placed,
) -> Result<(), Stop> {
    let epsilon = node.attributes.f32("epsilon")?;
    let (xb, yb) = (x.buffer, y.buffer);
    let chunk = b.steps.chunk(y.elements(), n as f64, 1);
    let kernel = b.steps.kernels.row().float.normalization.statistics.name;
    b.steps.of_node(node, kernel).run([xb], [yb], move |step, [x], [y]| {
        let (kernels, pool) = (step.kernels, step.pool);
        let x = cast::<f32>(x);
        pool.slices(cast_mut::<f32>(y), chunk, |i, y| {
            statistics(kernels, which, &x[i * chunk * n..][..y.len() * n], n, epsilon, y);
        });
    });
    Ok(())
}

/// Plans LpNormalization, which divides the vectors along an axis by their norms.
pub fn plan_lp(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let along = axis(node, node.attributes.int("axis")?, x.shape().len())?;
    let norm = if node.attributes.int("p")? == 1 { Norm::L1 } else { Norm::L2 };
    let y = b.output(made(node, 0)?, x.shape().to_vec(), Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let lanes = along + 1 == x.shape().len();
    let (n, inner): (usize, usize) = (x.shape()[along], x.shape()[along + 1..].iter().product());
    let chunk = b.steps.chunk(y.elements() / (n * inner), (n * inner) as f64, 1) * n * inner;
    let kernel = b.steps.kernels.row().float.normalization.norm.name;
    push_map(b, node, kernel, &x, &y, chunk, move |kernels, x: &[f32], y: &mut [f32]| {
        by_norm(kernels, norm, x, n, inner, lanes, y);
    });
    Ok(())
}
