//! Resize by linear and cubic interpolation: one axis after the other, each output a chain over its taps.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::float::interpolate::{self, Taps};

use crate::ops::node::{LARGEST_EXTENT, error, made, needed};
use crate::ops::resize::{ResizedAxis, resized_axes};
use crate::plan::buffers::BufferId;
use crate::plan::builder::{Builder, Stop};
use crate::plan::conversion::copy;
use crate::plan::layout::Layout;
use crate::program::Node;

/// The taps of an axis: those of output i are `starts[i]..starts[i + 1]`.
struct Weights {
    starts: Vec<usize>,
    indices: Vec<usize>,
    weights: Vec<f32>,
}

/// Channels from which on it pays to bring them together.
const MANY_CHANNELS: usize = 8;

/// A way to weigh neighbours.
struct Filter {
    is_cubic: bool,
    coefficient: f64,
    antialias: bool,
    exclude_outside: bool,
}

/// Plans a Resize whose mode is linear or cubic.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let a = &node.attributes;
    let filter = Filter {
        is_cubic: a.str("mode")? == "cubic",
        coefficient: a.f32("cubic_coeff_a")?.into(),
        antialias: a.int("antialias")? != 0,
        exclude_outside: a.int("exclude_outside")? != 0,
    };
    let mut x = b.input(needed(node, 0)?)?;
    let mut axes = resized_axes(b, node, x.shape())?;
    axes.sort_by_key(|&(d, _)| d);
    // What lies side by side is worked on together: better channels than an axis that is resized.
    let keeps_channels = axes.iter().all(|(d, axis)| *d != 1 || axis.extent == axis.n);
    if keeps_channels && x.shape().len() > 2 && x.shape()[1] >= MANY_CHANNELS {
        x = b.input_as(needed(node, 0)?, Layout::ChannelsLast)?;
    }
    let mut shape = x.shape().to_vec();
    axes.iter().for_each(|(d, axis)| shape[*d] = axis.extent);
    let rank = shape.len();
    let y = b.output(made(node, 0)?, shape, x.layout)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let mut passes = Vec::with_capacity(axes.len());
    let mut outside = Vec::new();
    for (d, axis) in &axes {
        let coordinates = axis.coordinates(node)?;
        let place = y.layout.axis(*d, rank);
        for (i, &at) in coordinates.iter().enumerate() {
            if axis.is_outside(node, at)? {
                outside.push((place, i));
            }
        }
        let weights = filter.weights(node, axis, &coordinates)?;
        if !weights.keeps_all(axis) {
            passes.push((place, weights));
        }
    }
    let mut dims = x.physical();
    let (mut from, count) = (x.buffer, passes.len());
    if count == 0 {
        // A step of its own: what lies outside is written over.
        copy(&mut b.steps, node.name.clone(), from, y.buffer);
    }
    for (index, (place, weights)) in passes.into_iter().enumerate() {
        let after = weights.starts.len() - 1;
        let (outer, n) = (dims[..place].iter().product(), dims[place]);
        let inner: usize = dims[place + 1..].iter().product();
        dims[place] = after;
        let target =
            if index + 1 == count { y.buffer } else { b.steps.temporary(dims.iter().product::<usize>() * 4) };
        push_pass(b, node, weights, [outer, n, inner], from, target);
        from = target;
    }
    if !outside.is_empty() {
        push_outside(b, node, &outside, &dims, y.buffer);
    }
    Ok(())
}

/// Pushes the step that interpolates the middle axis of `[outer, n, inner]`.
fn push_pass(
    b: &mut Builder<'_>,
    node: &Node,
    of: Weights,
    [outer, n, inner]: [usize; 3],
    from: BufferId,
    target: BufferId,
) {
    let after = of.starts.len() - 1;
    let taps = of.weights.len() as f64 / after as f64;
    let chunk = b.steps.chunk(outer * after, inner as f64 * taps * 0.05 + 2.0, 1);
    b.steps.of_node(node, b.steps.kernels.row().float.interpolate.interpolate.name).run(
        [from],
        [target],
        move |run, [x], [y]| {
            let (kernels, pool) = (run.kernels, run.pool);
            let x = cast::<f32>(x);
            let taps = Taps { starts: &of.starts, indices: &of.indices, weights: &of.weights };
            pool.slices(cast_mut::<f32>(y), chunk * inner, |i, mut y| {
                let mut row = i * chunk;
                while !y.is_empty() {
                    let first = row % after;
                    let rows = (y.len() / inner).min(after - first);
                    let (now, later) = y.split_at_mut(rows * inner);
                    let x = &x[row / after * n * inner..][..n * inner];
                    interpolate::run(kernels, x, inner, &taps, first..first + rows, now);
                    (row, y) = (row + rows, later);
                }
            });
        },
    );
}

/// Pushes the step that writes the extrapolation value over what lies outside, given by axis and index.
fn push_outside(b: &mut Builder<'_>, node: &Node, outside: &[(usize, usize)], dims: &[usize], y: BufferId) {
    let value = node.attributes.f32_or("extrapolation_value", 0.0).unwrap_or_default();
    let runs: Vec<[usize; 4]> = outside
        .iter()
        .map(|&(place, index)| {
            let inner = dims[place + 1..].iter().product::<usize>();
            [dims[..place].iter().product(), dims[place] * inner, index * inner, inner]
        })
        .collect();
    b.steps.of_node(node, "fill").run([], [y], move |_, [], [y]| {
        let y = cast_mut::<f32>(y);
        for &[outer, step, first, length] in &runs {
            for i in 0..outer {
                y[i * step + first..][..length].fill(value);
            }
        }
    });
}

impl Weights {
    /// Whether each output is the input of its place.
    fn keeps_all(&self, axis: &ResizedAxis) -> bool {
        axis.extent == axis.n
            && self.indices.iter().copied().eq(0..axis.n)
            && self.weights.iter().all(|&w| w == 1.0)
    }
}

impl Filter {
    fn weights(&self, node: &Node, axis: &ResizedAxis, coordinates: &[f64]) -> Result<Weights, Stop> {
        let mut all = Weights { starts: vec![0], indices: Vec::new(), weights: Vec::new() };
        let last = axis.n.saturating_sub(1) as f64;
        for &x in coordinates {
            let mut taps = self.taps(axis, x);
            if taps.len() > LARGEST_EXTENT {
                return Err(error(node, &format!("{} neighbours make one element", taps.len())));
            }
            if self.antialias {
                share(&mut taps);
            }
            if self.exclude_outside {
                taps.iter_mut().filter(|(i, _)| *i < 0.0 || *i > last).for_each(|(_, w)| *w = 0.0);
                share(&mut taps);
            }
            for (i, weight) in taps {
                let weight = weight as f32;
                if weight != 0.0 {
                    all.indices.push(i.clamp(0.0, last) as usize);
                    all.weights.push(weight);
                }
            }
            all.starts.push(all.weights.len());
        }
        Ok(all)
    }

    /// The neighbours of a coordinate, which may lie outside, and their weights.
    fn taps(&self, axis: &ResizedAxis, x: f64) -> Vec<(f64, f64)> {
        let below = x.floor();
        let (a, r) = (self.coefficient, x - below);
        if self.antialias {
            let scale = axis.scale.min(1.0);
            let reach = if self.is_cubic { 2.0 } else { 1.0 } / scale;
            let first = (x - reach).floor() + 1.0;
            let count = ((x + reach).ceil() - first).max(0.0) as usize;
            let weight = |i: f64| {
                let d = ((i - x) * scale).abs();
                if self.is_cubic { cubic(a, d) } else { (1.0 - d).max(0.0) }
            };
            return (0..count).map(|k| first + k as f64).map(|i| (i, weight(i))).collect();
        }
        if self.is_cubic {
            return vec![
                (below - 1.0, cubic(a, r + 1.0)),
                (below, cubic(a, r)),
                (below + 1.0, cubic(a, 1.0 - r)),
                (below + 2.0, cubic(a, 1.0 - r + 1.0)),
            ];
        }
        vec![(below, 1.0 - r), (below + 1.0, r)]
    }
}

/// Keys' cubic convolution at a distance of 0 or more.
fn cubic(a: f64, d: f64) -> f64 {
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}

/// Divides weights by their sum, unless that is 0.
fn share(taps: &mut [(f64, f64)]) {
    let sum: f64 = taps.iter().fold(0.0, |sum, (_, w)| sum + w);
    if sum != 0.0 {
        taps.iter_mut().for_each(|(_, w)| *w /= sum);
    }
}
