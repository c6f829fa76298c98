//! BatchNormalization where it could not be folded into a neighbour.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::normalization::{Channels, batch};

use crate::error::Error;
use crate::ops::{error, made, needed};
use crate::plan::builder::Builder;
use crate::plan::layout::Layout;
use crate::program::Node;

/// Plans `fma(x - mean, scale / sqrt(variance + epsilon), bias)`, each operation rounded.
pub fn plan_batch(b: &mut Builder<'_>, node: &Node) -> Result<(), Error> {
    let x = b.input(needed(node, 0)?)?;
    let epsilon = node.attributes.f32("epsilon")?;
    let channels = *x.shape().get(1).ok_or_else(|| error(node, "the input has no channels"))?;
    let mut parameters = Vec::with_capacity(4);
    for place in 1..5 {
        let values = b.known_input(node, place)?.f32s()?;
        if values.len() != channels {
            return Err(error(
                node,
                &format!("parameter {place} has {} elements for {channels} channels", values.len()),
            ));
        }
        parameters.push(values);
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
    let chunk = b.chunk(y.elements() / run, run as f64, channels);
    let (xb, yb) = (x.buffer, y.buffer);
    let kernel = b.kernels.row().float.batch_normalization.name;
    b.push(
        node.name.clone(),
        "BatchNormalization",
        kernel,
        0,
        &[xb],
        &[yb],
        Box::new(move |step| {
            let (kernels, pool) = (step.kernels, step.pool);
            let ([x], [y]) = step.get([xb], [yb]);
            let x = cast::<f32>(x);
            let channels = Channels { mean: &mean, factor: &factor, bias: &bias };
            pool.slices(cast_mut::<f32>(y), chunk * run, |i, y| {
                batch(kernels, &x[i * chunk * run..][..y.len()], &channels, run, y);
            });
        }),
    );
    Ok(())
}
