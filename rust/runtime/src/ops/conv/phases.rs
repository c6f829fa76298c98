//! Float convolutions over any number of spatial axes by phases: ConvTranspose, and Conv over more axes than two.
//!
//! The output positions that are made by the same taps of the kernel are a phase. A Conv has one, a ConvTranspose one
//! for each remainder of the positions by the stride. A phase is a matrix product whose rows are found through offsets;
//! the rows of several phases are put in the order of the output behind it.

use std::collections::HashMap;
use std::sync::Arc;

use octavo_exec::{Arena, cast, cast_mut};
use octavo_kernels::float::epilogue::Epilogue;
use octavo_kernels::float::gemm;

use super::float::NANOSECONDS_A_MAC;
use crate::ops::geometry::MOST_OFFSETS;
use crate::ops::node::{check_vector, error, made, needed};
use crate::ops::spatial::{WindowAxis, coordinates};
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::packing::Key;
use crate::program::{Node, Op, Tensor};

/// A convolution whose weights and axes are known.
struct Convolution {
    is_transposed: bool,
    groups: usize,
    /// `[outputs, kc, taps]`, or transposed `[channels, outputs of a group, taps]`.
    weights: Tensor,
    channels: usize,
    outputs: usize,
    axes: Vec<WindowAxis>,
}

/// Positions of one axis of the output, and the taps that make them.
struct Class {
    positions: Vec<usize>,
    taps: Vec<usize>,
}

/// Rows of a product: pixels of the output, and where their taps lie in an image.
struct Phase {
    taps: usize,
    pixels: Vec<usize>,
    offsets: Vec<u32>,
    packed: Vec<Arc<Arena>>,
}

/// Plans a ConvTranspose, or a Conv over any number of axes.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let conv = Convolution::new(b, node)?;
    let x = b.input_as(needed(node, 0)?, Layout::ChannelsLast)?;
    let bias = match node.input(2) {
        Some(_) => {
            let bias = b.known_input(node, 2)?;
            check_vector(node, 2, bias.shape(), conv.outputs)?;
            Some(bias.f32s()?)
        }
        None => None,
    };
    let mut shape = vec![x.shape()[0], conv.outputs];
    shape.extend(conv.axes.iter().map(|axis| axis.output));
    let y = b.output(made(node, 0)?, shape, Layout::ChannelsLast)?;
    if y.elements() == 0 {
        return Ok(());
    }
    let phases = conv.phases(b, node)?;
    push(b, node, &conv, phases, &x, &y, bias);
    Ok(())
}

impl Convolution {
    fn new(b: &Builder<'_>, node: &Node) -> Result<Convolution, Stop> {
        let shape = b.tensor(needed(node, 0)?)?.shape;
        let weights = b.known_input(node, 1)?;
        let groups = node.attributes.size("group")?;
        let is_transposed = node.op == Op::ConvTranspose;
        let &[first, second, ref kernel @ ..] = weights.shape() else {
            return Err(error(node, &format!("weights of shape {:?}", weights.shape())));
        };
        let (channels, outputs) = if is_transposed {
            (Some(first), second.checked_mul(groups))
        } else {
            (second.checked_mul(groups), Some(first))
        };
        let fits = groups > 0 && first.is_multiple_of(groups) && shape.get(1).copied() == channels;
        let (true, Some(channels), Some(outputs)) = (fits, channels, outputs) else {
            let what = format!("weights of {:?} in {groups} groups do not fit {shape:?}", weights.shape());
            return Err(error(node, &what));
        };
        let axes = WindowAxis::of_node(node, &shape, kernel)?;
        Ok(Convolution { is_transposed, groups, weights, channels, outputs, axes })
    }

    fn taps(&self) -> usize {
        self.axes.iter().map(|axis| axis.kernel).product()
    }

    /// The phases of an image, with their packed weights.
    fn phases(&self, b: &mut Builder<'_>, node: &Node) -> Result<Vec<Phase>, Stop> {
        let area = self.axes.iter().try_fold(self.channels, |all, axis| all.checked_mul(axis.input));
        let pixels = self.axes.iter().try_fold(1usize, |all, axis| all.checked_mul(axis.output));
        let offsets = pixels.and_then(|pixels| pixels.checked_mul(self.taps()));
        if area.is_none_or(|area| area >= u32::MAX as usize) || offsets.is_none_or(|n| n > MOST_OFFSETS) {
            return Err(error(node, "the image is too large"));
        }
        let classes: Vec<Vec<Class>> = self.axes.iter().map(|axis| self.classes(axis)).collect();
        let weights = self.weights.f32s()?;
        let count = classes.iter().map(Vec::len).product();
        (0..count)
            .map(|index| {
                let chosen = coordinates(index, &classes.iter().map(Vec::len).collect::<Vec<_>>());
                let part: Vec<&Class> = chosen.iter().zip(&classes).map(|(&i, all)| &all[i]).collect();
                self.phase(b, node, &weights, &part)
            })
            .collect()
    }

    /// The classes of an axis, by the first position of each.
    fn classes(&self, axis: &WindowAxis) -> Vec<Class> {
        if !self.is_transposed {
            return vec![Class { positions: (0..axis.output).collect(), taps: (0..axis.kernel).collect() }];
        }
        let mut taps: HashMap<usize, Vec<usize>> = HashMap::new();
        for tap in 0..axis.kernel {
            taps.entry(tap * axis.dilation % axis.stride).or_default().push(tap);
        }
        (0..axis.stride.min(axis.output))
            .map(|first| Class {
                positions: (first..axis.output).step_by(axis.stride).collect(),
                taps: taps.get(&((first + axis.pad) % axis.stride)).cloned().unwrap_or_default(),
            })
            .collect()
    }

    fn phase(
        &self,
        b: &mut Builder<'_>,
        node: &Node,
        weights: &[f32],
        classes: &[&Class],
    ) -> Result<Phase, Stop> {
        let extents = |of: fn(&Class) -> usize| classes.iter().map(|&class| of(class)).collect::<Vec<_>>();
        let (positions, taps) = (extents(|class| class.positions.len()), extents(|class| class.taps.len()));
        let rows: usize = positions.iter().product();
        let count: usize = taps.iter().product();
        let kernel: Vec<Vec<usize>> = (0..count).map(|i| coordinates(i, &taps)).collect();
        let mut phase = Phase {
            taps: count,
            pixels: Vec::with_capacity(rows),
            offsets: Vec::with_capacity(rows * count),
            packed: Vec::with_capacity(self.groups),
        };
        for row in 0..rows {
            let at = coordinates(row, &positions);
            let place = |d: usize| classes[d].positions[at[d]];
            phase.pixels.push((0..at.len()).fold(0, |pixel, d| pixel * self.axes[d].output + place(d)));
            for taps in &kernel {
                let pixel = (0..at.len()).try_fold(0, |pixel, d| {
                    let axis = &self.axes[d];
                    let tap = classes[d].taps[taps[d]];
                    let seen = if self.is_transposed {
                        axis.source_of(place(d), tap)
                    } else {
                        axis.coordinate(place(d), tap)
                    };
                    Some(pixel * axis.input + seen?)
                });
                phase.offsets.push(pixel.map_or(u32::MAX, |pixel| (pixel * self.channels) as u32));
            }
        }
        let indices: Vec<usize> = kernel
            .iter()
            .map(|taps| (0..taps.len()).fold(0, |i, d| i * self.axes[d].kernel + classes[d].taps[taps[d]]))
            .collect();
        let (columns, kc) = (self.outputs / self.groups, self.channels / self.groups);
        for group in 0..self.groups {
            let key = Key {
                weight: needed(node, 1)?.0,
                form: if self.is_transposed { "float transposed" } else { "float" },
                part: self.part(classes, group),
                parts: self.groups,
            };
            phase.packed.push(b.packing.get(key, gemm::packed_len(columns, count, kc) * 4, |out| {
                gemm::pack(&self.of_group(weights, group, &indices), columns, count, kc, cast_mut(out));
            })?);
        }
        Ok(phase)
    }

    /// A number for the group and the taps of a phase, which rise by one step an axis: first taps and steps tell them.
    fn part(&self, classes: &[&Class], group: usize) -> usize {
        if !self.is_transposed {
            return group;
        }
        let of_taps = classes.iter().zip(&self.axes).fold(0usize, |all, (class, axis)| {
            let k = axis.kernel;
            let (first, step) = match class.taps[..] {
                [] => (k, 0),
                [first] => (first, 0),
                [first, second, ..] => (first, second - first),
            };
            all.wrapping_mul((k + 1) * k).wrapping_add(first * k + step)
        });
        of_taps.wrapping_mul(self.groups).wrapping_add(group)
    }

    /// The weights of a group and of these taps, `[outputs of the group][taps][channels of the group]`.
    fn of_group(&self, weights: &[f32], group: usize, indices: &[usize]) -> Vec<f32> {
        let (columns, kc, taps) = (self.outputs / self.groups, self.channels / self.groups, self.taps());
        let mut ordered = Vec::with_capacity(columns * kc * indices.len());
        for column in 0..columns {
            for &tap in indices {
                ordered.extend((0..kc).map(|c| {
                    let filter = if self.is_transposed {
                        (group * kc + c) * columns + column
                    } else {
                        (group * columns + column) * kc + c
                    };
                    weights[filter * taps + tap]
                }));
            }
        }
        ordered
    }
}

/// Pushes the products of all phases, and what puts their rows in order where there are several.
fn push(
    b: &mut Builder<'_>,
    node: &Node,
    conv: &Convolution,
    phases: Vec<Phase>,
    x: &Placed,
    y: &Placed,
    bias: Option<Vec<f32>>,
) {
    let (channels, outputs, groups) = (conv.channels, conv.outputs, conv.groups);
    let (kc, columns) = (channels / groups, outputs / groups);
    let per_image: usize = phases.iter().map(|phase| phase.pixels.len()).sum();
    let image_in = x.elements() / x.shape()[0];
    let rows = x.shape()[0] * per_image;
    let steps: usize = phases.iter().map(|phase| phase.offsets.len()).sum();
    let macs = (steps as u64).saturating_mul((x.shape()[0] * columns * channels) as u64);
    let chunk = b.steps.chunk(rows, macs as f64 / rows as f64 * NANOSECONDS_A_MAC, 8);
    let from = x.buffer;
    let product = if phases.len() == 1 { y.buffer } else { b.steps.temporary(y.tensor.bytes()) };
    let mut places = vec![0; per_image];
    let pixels = phases.iter().flat_map(|phase| &phase.pixels);
    pixels.enumerate().for_each(|(row, &pixel)| places[pixel] = row);
    let is_alone = phases.len() == 1;
    let run_phase = move |kernels, x: &[f32], phase: &Phase, first: usize, y: &mut [f32]| {
        let m = y.len() / outputs;
        for (group, packed) in phase.packed.iter().enumerate() {
            let rows = gemm::Rows::Indirect {
                // An image of no pixels has no channels to begin at: all is padding.
                data: x.get(group * kc..).unwrap_or_default(),
                offsets: &phase.offsets[first * phase.taps..][..m * phase.taps],
                taps: phase.taps,
            };
            let column = group * columns;
            let bias = bias.as_ref().map(|bias| &bias[column..column + columns]);
            let epilogue = Epilogue { bias, ..Epilogue::default() };
            let packed = cast(packed.bytes());
            gemm::run(kernels, m, &rows, packed, columns, kc, &epilogue, &mut y[column..], outputs);
        }
    };
    b.steps
        .of_node(node, gemm::select(&b.steps.kernels.row().float_gemm.floats, rows, columns).name)
        .macs(macs)
        .run([from], [product], move |run, [x], [y]| {
            let (kernels, pool) = (run.kernels, run.pool);
            let x = cast::<f32>(x);
            pool.slices(cast_mut::<f32>(y), chunk * outputs, |i, mut y| {
                let mut row = i * chunk;
                while !y.is_empty() {
                    let (image, mut first) = (row / per_image, row % per_image);
                    for phase in &phases {
                        let m = phase.pixels.len().saturating_sub(first).min(y.len() / outputs);
                        if m > 0 {
                            let (now, later) = y.split_at_mut(m * outputs);
                            run_phase(kernels, &x[image * image_in..][..image_in], phase, first, now);
                            (row, y) = (row + m, later);
                        }
                        first = first.saturating_sub(phase.pixels.len());
                    }
                }
            });
        });
    if is_alone {
        return;
    }
    let chunk = b.steps.chunk(rows, outputs as f64 * 0.1, 8);
    let target = y.buffer;
    b.steps.of_node(node, "interleave").run([product], [target], move |run, [x], [y]| {
        let pool = run.pool;
        let x = cast::<f32>(x);
        pool.slices(cast_mut::<f32>(y), chunk * outputs, |i, y| {
            for (j, y) in y.chunks_exact_mut(outputs).enumerate() {
                let row = i * chunk + j;
                let source = row / per_image * per_image + places[row % per_image];
                y.copy_from_slice(&x[source * outputs..][..outputs]);
            }
        });
    });
}
