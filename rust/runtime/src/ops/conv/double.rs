//! Conv of float64: products and sums rounded one by one, padding takes no part.

use octavo_exec::{cast, cast_mut};

use crate::ops::node::{check_vector, error, made, needed};
use crate::ops::spatial::WindowAxis;
use crate::ops::windows::Windows;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::Node;

/// Plans a Conv of float64 over any number of axes.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let w = b.input_as(needed(node, 1)?, Layout::RowMajor)?;
    let groups = node.attributes.size("group")?;
    let (&[images, channels, ..], &[outputs, kc, ref kernel @ ..]) = (x.shape(), w.shape()) else {
        return Err(error(node, &format!("shapes {:?} and {:?}", x.shape(), w.shape())));
    };
    if groups == 0 || kc.checked_mul(groups) != Some(channels) || outputs % groups != 0 {
        return Err(error(node, &format!("weights of {:?} in {groups} groups", w.shape())));
    }
    let bias = match node.input(2) {
        Some(value) => Some(b.input_as(value, Layout::RowMajor)?),
        None => None,
    };
    if let Some(bias) = &bias {
        check_vector(node, 2, bias.shape(), outputs)?;
    }
    let axes = WindowAxis::of_node(node, x.shape(), kernel)?;
    let mut shape = vec![images, outputs];
    shape.extend(axes.iter().map(|axis| axis.output));
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let windows = Windows::new(node, &axes)?;
    let (taps, pixels) = (kernel.iter().product::<usize>(), windows.starts.len() - 1);
    let area = x.elements() / (images * channels).max(1);
    let columns = outputs / groups;
    let chunk = b.steps.chunk(images * outputs, (windows.offsets.len() * kc) as f64, 1);
    let (xb, wb, yb) = (x.buffer, w.buffer, y.buffer);
    let bias = bias.map(|bias| bias.buffer);
    b.steps.of_node(node, "f64-conv").run_optional(
        [xb, wb],
        [bias],
        [yb],
        move |run, [x, w], [bias], [y]| {
            let pool = run.pool;
            let (x, w, bias) = (cast::<f64>(x), cast::<f64>(w), bias.map(cast::<f64>));
            pool.slices(cast_mut::<f64>(y), chunk * pixels, |i, y| {
                for (j, y) in y.chunks_exact_mut(pixels).enumerate() {
                    let (image, output) = ((i * chunk + j) / outputs, (i * chunk + j) % outputs);
                    let x = &x[(image * channels + output / columns * kc) * area..][..kc * area];
                    let w = &w[output * kc * taps..][..kc * taps];
                    for (y, own) in y.iter_mut().zip(windows.starts.windows(2)) {
                        *y = 0.0;
                        for at in own[0]..own[1] {
                            let (offset, tap) = (windows.offsets[at] as usize, windows.taps[at] as usize);
                            (0..kc).for_each(|c| *y += x[c * area + offset] * w[c * taps + tap]);
                        }
                        *y += bias.map_or(0.0, |bias| bias[output]);
                    }
                }
            });
        },
    );
    Ok(())
}
