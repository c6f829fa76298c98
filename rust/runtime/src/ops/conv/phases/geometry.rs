//! The phases of a convolution: which rows each has, where their taps lie, and where they go.

use std::collections::HashMap;

use octavo_kernels::gemm::{OffsetTable, PAD};

use crate::ops::geometry::MOST_OFFSETS;
use crate::ops::node::{error, needed};
use crate::ops::spatial::{WindowAxis, coordinates};
use crate::plan::builder::{Builder, Stop};
use crate::program::{Node, Op, Tensor};

/// A convolution whose weights and axes are known.
pub struct Convolution {
    pub groups: usize,
    pub weights: Tensor,
    pub channels: usize,
    pub outputs: usize,
    pub axes: Vec<WindowAxis>,
    /// Images of the batch.
    pub images: usize,
    is_transposed: bool,
    /// Whether the weights are `[channels, outputs of a group, taps]`, not `[outputs, channels of a group, taps]`.
    by_channel: bool,
}

/// Positions of one axis of the output, from `first` on in steps of [`Convolution::step`], and the taps that make them, in
/// the order of what they see.
struct Class {
    first: usize,
    count: usize,
    taps: Vec<usize>,
}

/// A class as a window that slides over the input one element at a time.
pub struct Slide {
    /// The first position.
    pub first: usize,
    /// Positions.
    pub count: usize,
    /// Taps.
    pub taps: usize,
    /// The element that the first tap sees at the first position; less than 0 in the padding.
    pub begin: i64,
    /// Elements from a tap to the next.
    pub apart: usize,
}

/// Rows of a product: pixels of the output, and where their taps lie in an image.
pub struct Phase {
    /// The first position on the last axis.
    pub first: usize,
    /// Positions on the last axis, each a row.
    pub across: usize,
    /// Rows of an image.
    pub rows: usize,
    /// Taps of a row.
    pub taps: usize,
    /// `[rows][taps]`, in elements.
    pub offsets: Vec<u32>,
    /// Of each pixel that a row makes, beside each other, its taps' indices in the kernel.
    pub kernels: Vec<Vec<usize>>,
    /// What tells the taps from those of other phases by the same weights.
    pub number: usize,
    /// The same as a window, axis by axis.
    pub slides: Vec<Slide>,
}

/// All rows of an image.
pub struct Phases {
    /// By the classes of the axes, those of the last one fastest.
    pub list: Vec<Phase>,
    /// Pixels that each row makes, beside each other: one, or those of all classes of the last axis.
    pub together: usize,
    /// Of every line of the output, the first of its phases, and its place among the lines of these.
    pub lines: Vec<(usize, usize)>,
    /// Pixels of a line.
    pub width: usize,
    /// Pixels of the output from a row to the next.
    pub step: usize,
}

impl Convolution {
    pub fn new(b: &Builder<'_>, node: &Node) -> Result<Convolution, Stop> {
        let shape = b.tensor(needed(node, 0)?)?.shape;
        let weights = b.known_input(node, 1)?;
        let groups = node.attributes.size("group")?;
        let is_transposed = matches!(node.op, Op::ConvTranspose | Op::QConvTranspose);
        let by_channel = node.op == Op::ConvTranspose;
        let &[first, second, ref kernel @ ..] = weights.shape() else {
            return Err(error(node, &format!("weights of shape {:?}", weights.shape())));
        };
        let (channels, outputs) = if by_channel {
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
        let images = shape[0];
        Ok(Convolution { groups, weights, channels, outputs, axes, images, is_transposed, by_channel })
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> Vec<usize> {
        let mut shape = vec![self.images, self.outputs];
        shape.extend(self.axes.iter().map(|axis| axis.output));
        shape
    }

    /// Output channels of a group.
    pub fn columns(&self) -> usize {
        self.outputs / self.groups
    }

    /// Input channels of a group.
    pub fn kc(&self) -> usize {
        self.channels / self.groups
    }

    /// Elements of an image of the input.
    pub fn image(&self) -> usize {
        self.axes.iter().fold(self.channels, |all, axis| all * axis.input)
    }

    /// The multiply-accumulates, at most what the number holds.
    pub fn macs(&self, phases: &Phases) -> u64 {
        let of_phase = |phase: &Phase| (phase.rows * phase.taps * phase.kernels.len()) as u64;
        let taps: u64 = phases.list.iter().map(of_phase).sum();
        taps.saturating_mul((self.images * self.columns() * self.channels) as u64)
    }

    /// Which of these forms the weights are packed in: a Conv's, those of phases, or of phases whose rows make several pixels.
    pub fn form(&self, phases: &Phases, forms: [&'static str; 3]) -> &'static str {
        forms[usize::from(self.is_transposed) + usize::from(phases.together > 1)]
    }

    fn taps(&self) -> usize {
        self.axes.iter().map(|axis| axis.kernel).product()
    }

    /// Positions of an axis of the output from one of a class to the next.
    fn step(&self, axis: &WindowAxis) -> usize {
        if self.is_transposed { axis.stride } else { 1 }
    }

    /// The phases of an image.
    pub fn phases(&self, node: &Node) -> Result<Phases, Stop> {
        let area = self.axes.iter().try_fold(self.channels, |all, axis| all.checked_mul(axis.input));
        let pixels = self.axes.iter().try_fold(1usize, |all, axis| all.checked_mul(axis.output));
        let offsets = pixels.and_then(|pixels| pixels.checked_mul(self.taps()));
        if area.is_none_or(|area| area >= PAD as usize) || offsets.is_none_or(|n| n > MOST_OFFSETS) {
            return Err(error(node, "the image is too large"));
        }
        let mut classes: Vec<Vec<Class>> = self.axes.iter().map(|axis| self.classes(axis)).collect();
        let (last, across) = (self.axes[self.axes.len() - 1], classes.pop().unwrap_or_default());
        let together = if self.see_the_same(&last, &across) { across.len() } else { 1 };
        let counts: Vec<usize> = classes.iter().map(Vec::len).collect();
        let mut list = Vec::new();
        for index in 0..counts.iter().product() {
            let chosen = coordinates(index, &counts);
            let outer: Vec<&Class> = chosen.iter().zip(&classes).map(|(&i, all)| &all[i]).collect();
            list.extend(across.chunks(together).map(|across| self.phase(&outer, across)));
        }
        let width = last.output;
        let lines = self.lines(&counts, across.len() / together);
        Ok(Phases { list, together, lines, width, step: self.step(&last) })
    }

    /// The classes of an axis, by the first position of each.
    fn classes(&self, axis: &WindowAxis) -> Vec<Class> {
        if !self.is_transposed {
            return vec![Class { first: 0, count: axis.output, taps: (0..axis.kernel).collect() }];
        }
        let mut taps: HashMap<usize, Vec<usize>> = HashMap::new();
        for tap in (0..axis.kernel).rev() {
            taps.entry(tap * axis.dilation % axis.stride).or_default().push(tap);
        }
        (0..axis.stride.min(axis.output))
            .map(|first| Class {
                first,
                count: (axis.output - first).div_ceil(axis.stride),
                taps: taps.get(&((first + axis.pad) % axis.stride)).cloned().unwrap_or_default(),
            })
            .collect()
    }

    /// Whether the classes of the last axis fill the line, and see the same elements of the input at each of their
    /// positions: then one row makes a pixel of each. Columns of several groups do not lie side by side.
    fn see_the_same(&self, axis: &WindowAxis, classes: &[Class]) -> bool {
        let [one, others @ ..] = classes else { return false };
        let sees =
            |class: &Class| class.taps.iter().map(|&tap| axis.begin(class.first, tap)).collect::<Vec<_>>();
        self.groups == 1
            && one.count * self.step(axis) == axis.output
            && classes.len() == self.step(axis)
            && others.iter().all(|class| sees(class) == sees(one))
    }

    /// The phase of these classes of the axes, where those of the last one see the same.
    fn phase(&self, outer: &[&Class], across: &[Class]) -> Phase {
        let classes: Vec<&Class> = outer.iter().copied().chain(&across[..1]).collect();
        let extents = |of: fn(&Class) -> usize| classes.iter().map(|&class| of(class)).collect::<Vec<_>>();
        let (positions, taps) = (extents(|class| class.count), extents(|class| class.taps.len()));
        let (rows, count) = (positions.iter().product(), taps.iter().product());
        let chosen: Vec<Vec<usize>> = (0..count).map(|i| coordinates(i, &taps)).collect();
        let mut offsets = Vec::with_capacity(rows * count);
        for row in 0..rows {
            let at = coordinates(row, &positions);
            for taps in &chosen {
                let pixel = (0..at.len()).try_fold(0, |pixel, d| {
                    let (axis, class) = (&self.axes[d], classes[d]);
                    let (place, tap) = (class.first + at[d] * self.step(axis), class.taps[taps[d]]);
                    let seen = if self.is_transposed {
                        axis.source_of(place, tap)
                    } else {
                        axis.coordinate(place, tap)
                    };
                    Some(pixel * axis.input + seen?)
                });
                offsets.push(pixel.map_or(PAD, |pixel| (pixel * self.channels) as u32));
            }
        }
        let kernels = across
            .iter()
            .map(|last| {
                let class = |d: usize| outer.get(d).map_or(last, |class| class);
                let index =
                    |i: usize, taps: &[usize], d: usize| i * self.axes[d].kernel + class(d).taps[taps[d]];
                chosen.iter().map(|taps| (0..taps.len()).fold(0, |i, d| index(i, taps, d))).collect()
            })
            .collect();
        let (first, across) = (across[0].first, across[0].count);
        let slides = classes.iter().zip(&self.axes).map(|(class, axis)| self.slide(class, axis)).collect();
        Phase { first, across, rows, taps: count, offsets, kernels, number: self.number(&classes), slides }
    }

    fn slide(&self, class: &Class, axis: &WindowAxis) -> Slide {
        let begin = |tap| if self.is_transposed { axis.begin(class.first, tap) } else { -(axis.pad as i64) };
        let &Class { first, count, ref taps } = class;
        let apart = match taps[..] {
            [one, other, ..] if self.is_transposed => (begin(other) - begin(one)) as usize,
            _ => axis.dilation,
        };
        Slide { first, count, taps: taps.len(), begin: taps.first().map_or(0, |&tap| begin(tap)), apart }
    }

    /// A number for the taps of a phase, which fall by one step an axis: first taps and steps tell them.
    fn number(&self, classes: &[&Class]) -> usize {
        if !self.is_transposed {
            return 0;
        }
        classes.iter().zip(&self.axes).fold(0usize, |all, (class, axis)| {
            let k = axis.kernel;
            let (first, step) = match class.taps[..] {
                [] => (k, 0),
                [first] => (first, 0),
                [first, second, ..] => (first, first - second),
            };
            all.wrapping_mul((k + 1) * k).wrapping_add(first * k + step)
        })
    }

    /// The phases of every line of the output, and its place among their lines: `counts` are those of the classes of all
    /// axes but the last one, of which each choice has so many phases.
    fn lines(&self, counts: &[usize], phases: usize) -> Vec<(usize, usize)> {
        let outer = &self.axes[..counts.len()];
        let extents: Vec<usize> = outer.iter().map(|axis| axis.output).collect();
        let line = |index: usize| {
            let (mut class, mut row) = (0, 0);
            for ((axis, &count), at) in outer.iter().zip(counts).zip(coordinates(index, &extents)) {
                let (step, of) = (self.step(axis), at % self.step(axis));
                class = class * count + of;
                row = row * (axis.output - of).div_ceil(step) + at / step;
            }
            (class * phases, row)
        };
        (0..extents.iter().product()).map(line).collect()
    }

    /// The weights of a phase of one filter a channel, `[channels][taps]`.
    pub fn of_channels<T: Copy>(&self, weights: &[T], phase: &Phase) -> Vec<T> {
        let (taps, kernel) = (self.taps(), &phase.kernels[0]);
        (0..self.channels).flat_map(|c| kernel.iter().map(move |&tap| weights[c * taps + tap])).collect()
    }

    /// The weights of a group and of a phase, `[pixels of a row][outputs of the group][taps][channels of the group]`.
    pub fn of_phase<T: Copy>(&self, weights: &[T], group: usize, phase: &Phase) -> Vec<T> {
        let (columns, kc, taps) = (self.columns(), self.kc(), self.taps());
        let mut ordered = Vec::with_capacity(columns * kc * phase.taps * phase.kernels.len());
        for kernel in &phase.kernels {
            for column in 0..columns {
                for &tap in kernel {
                    ordered.extend((0..kc).map(|c| {
                        let filter = if self.by_channel {
                            (group * kc + c) * columns + column
                        } else {
                            (group * columns + column) * kc + c
                        };
                        weights[filter * taps + tap]
                    }));
                }
            }
        }
        ordered
    }
}

impl Phase {
    /// Where the taps of its rows lie, in bytes, for products in integers: in an input of elements of so many bytes. A phase
    /// of no taps has one that sees nothing, for a product has some.
    pub fn table(&mut self, element: u32) -> OffsetTable {
        let mut offsets = std::mem::take(&mut self.offsets);
        if self.taps == 0 {
            offsets = vec![PAD; self.rows];
        }
        for offset in offsets.iter_mut().filter(|offset| **offset != PAD) {
            *offset *= element;
        }
        OffsetTable::new(offsets, self.taps.max(1))
    }
}

impl Phases {
    /// Rows of an image.
    pub fn rows(&self) -> usize {
        self.list.iter().map(|phase| phase.rows).sum()
    }

    /// For every row in the order of the output, its number where the rows follow each other phase after phase.
    pub fn order(&self) -> Vec<usize> {
        let mut before = Vec::with_capacity(self.list.len());
        let mut rows = 0;
        for phase in &self.list {
            before.push(rows);
            rows += phase.rows;
        }
        let across = self.step.min(self.width) / self.together;
        let of_line = |&(first, line): &(usize, usize)| {
            let before = &before[first..first + across];
            (0..self.width / self.together).map(move |at| {
                let phase = at % across;
                before[phase] + line * self.list[first + phase].across + at / across
            })
        };
        self.lines.iter().flat_map(of_line).collect()
    }
}
