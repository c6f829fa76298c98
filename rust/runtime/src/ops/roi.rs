//! RoiAlign: regions of feature maps, sampled bilinearly on a grid [He et al. 2017, Mask R-CNN, 3].

use octavo_exec::{cast, cast_mut};

use crate::ops::node::{checked_elements, error, made, needed};
use crate::ops::numbers::Number;
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::Node;

/// Most samples along an axis of one output: a region is fed and could ask for any number.
const MOST_SAMPLES: f32 = 4096.0;

/// What the attributes say.
#[derive(Clone, Copy)]
struct Settings {
    /// Channels, height and width of the input.
    input: [usize; 3],
    /// Height and width of the output.
    output: [usize; 2],
    scale: f32,
    offset: f32,
    /// Samples along an axis of one output; 0: as many as input elements.
    samples: usize,
    is_max: bool,
}

/// One axis of a region.
#[derive(Clone, Copy)]
struct Span {
    start: f32,
    /// The length of one output.
    bin: f32,
    /// Samples of one output.
    samples: usize,
}

impl Settings {
    /// Along the axis of the height (0) or width (1) from one coordinate to another; `None` where it is too long.
    fn span(&self, axis: usize, from: f32, to: f32) -> Option<Span> {
        let start = from * self.scale - self.offset;
        let mut length = (to * self.scale - self.offset) - start;
        if self.offset == 0.0 && length < 1.0 {
            length = 1.0; // as it was before regions were shifted by half a pixel
        }
        let bin = length / self.output[axis] as f32;
        let samples = if self.samples > 0 { self.samples as f32 } else { bin.ceil() };
        (samples <= MOST_SAMPLES || samples.is_nan()).then_some(Span {
            start,
            bin,
            samples: samples as usize,
        })
    }
}

impl Span {
    /// The two neighbours of a sample of an output and the weight of the second; `None` beyond an axis of `n` elements.
    fn neighbours(&self, output: usize, sample: usize, n: usize) -> Option<([usize; 2], f32)> {
        let within = (sample as f32 + 0.5) * self.bin / self.samples as f32;
        let at = self.start + output as f32 * self.bin + within;
        if !(-1.0..=n as f32).contains(&at) {
            return None;
        }
        let at = if at > 0.0 { at } else { 0.0 };
        let low = at as usize;
        if low + 1 >= n {
            return Some(([n - 1, n - 1], 0.0));
        }
        Some(([low, low + 1], at - low as f32))
    }
}

/// Four elements of a channel and the weight of each.
type Sample = ([usize; 4], [f32; 4]);

/// Plans RoiAlign.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input_as(needed(node, 0)?, Layout::RowMajor)?;
    let regions = b.input_as(needed(node, 1)?, Layout::RowMajor)?;
    let images = b.input_as(needed(node, 2)?, Layout::RowMajor)?;
    let (&[_, channels, height, width], &[count, 4]) = (x.shape(), regions.shape()) else {
        let what = format!("an input of shape {:?}, regions of {:?}", x.shape(), regions.shape());
        return Err(error(node, &what));
    };
    if images.shape() != [count] {
        return Err(error(node, &format!("{count} regions, image indices of shape {:?}", images.shape())));
    }
    let attributes = &node.attributes;
    let is_shifted = attributes.str("coordinate_transformation_mode")? == "half_pixel";
    let settings = Settings {
        input: [channels, height, width],
        output: [attributes.size("output_height")?, attributes.size("output_width")?],
        scale: attributes.f32("spatial_scale")?,
        offset: if is_shifted { 0.5 } else { 0.0 },
        samples: attributes.size("sampling_ratio")?,
        is_max: attributes.str("mode")? == "max",
    };
    let shape = vec![count, channels, settings.output[0], settings.output[1]];
    checked_elements(node, x.shape(), &shape)?;
    let y = b.output(made(node, 0)?, shape, Layout::RowMajor)?;
    if height * width == 0 && y.elements() > 0 {
        return Err(error(node, &format!("an input of shape {:?} has nothing to sample", x.shape())));
    }
    push(b, node, [&x, &regions, &images, &y], settings);
    Ok(())
}

fn push(b: &mut Builder<'_>, node: &Node, [x, regions, images, y]: [&Placed; 4], settings: Settings) {
    let [channels, height, width] = settings.input;
    let batch = x.shape()[0] as i64;
    let region = channels * settings.output[0] * settings.output[1];
    let chunk = b.steps.chunk(images.elements(), region as f64 * 20.0, 1);
    let (xb, rb, ib, yb) = (x.buffer, regions.buffer, images.buffer, y.buffer);
    b.steps.of_node(node, "roi-align").run([xb, rb, ib], [yb], move |run, [x, regions, images], [y]| {
        let (pool, faults) = (run.pool, run.faults);
        let (x, images) = (cast::<f32>(x), cast::<i64>(images));
        let (regions, _) = cast::<f32>(regions).as_chunks::<4>();
        for (at, (&[x1, y1, x2, y2], image)) in regions.iter().zip(images).enumerate() {
            if !(0..batch).contains(image) {
                return faults.report(format!("region {at} is of image {image}, of {batch}"));
            }
            if settings.span(0, y1, y2).is_none() || settings.span(1, x1, x2).is_none() {
                return faults.report(format!("region {at} is too large to sample"));
            }
        }
        if y.is_empty() {
            return;
        }
        pool.slices(cast_mut::<f32>(y), chunk * region, |i, y| {
            for (at, y) in y.chunks_exact_mut(region).enumerate() {
                let at = i * chunk + at;
                let image = channels * height * width;
                let x = &x[images[at] as usize * image..][..image];
                align(x, regions[at], settings, y);
            }
        });
    });
}

/// One region of one image.
fn align(x: &[f32], [x1, y1, x2, y2]: [f32; 4], settings: Settings, y: &mut [f32]) {
    let (Some(rows), Some(columns)) = (settings.span(0, y1, y2), settings.span(1, x1, x2)) else { return };
    let ([_, height, width], [pooled_height, pooled_width]) = (settings.input, settings.output);
    let mut samples: Vec<Option<Sample>> = Vec::with_capacity(rows.samples * columns.samples);
    for bin in 0..pooled_height * pooled_width {
        let (row, column) = (bin / pooled_width, bin % pooled_width);
        samples.clear();
        for i in 0..rows.samples {
            for j in 0..columns.samples {
                let down = rows.neighbours(row, i, height);
                samples.push(down.zip(columns.neighbours(column, j, width)).map(|(down, across)| {
                    let (([top, bottom], v), ([left, right], u)) = (down, across);
                    let places = [
                        top * width + left,
                        top * width + right,
                        bottom * width + left,
                        bottom * width + right,
                    ];
                    (places, [(1.0 - v) * (1.0 - u), (1.0 - v) * u, v * (1.0 - u), v * u])
                }));
            }
        }
        let outputs = y[bin..].iter_mut().step_by(pooled_height * pooled_width);
        for (x, y) in x.chunks_exact(height * width).zip(outputs) {
            *y = if settings.is_max { greatest(x, &samples) } else { mean(x, &samples) };
        }
    }
}

fn mean(x: &[f32], samples: &[Option<Sample>]) -> f32 {
    let value = |(at, w): &Sample| w[0] * x[at[0]] + w[1] * x[at[1]] + w[2] * x[at[2]] + w[3] * x[at[3]];
    let sum = samples.iter().fold(0.0, |sum: f32, sample| sum + sample.as_ref().map_or(0.0, value));
    sum / samples.len().max(1) as f32
}

/// The greatest weighted neighbour, as ONNX has it.
fn greatest(x: &[f32], samples: &[Option<Sample>]) -> f32 {
    let value = |(at, w): &Sample| {
        (w[0] * x[at[0]]).greater(w[1] * x[at[1]]).greater(w[2] * x[at[2]]).greater(w[3] * x[at[3]])
    };
    let values = samples.iter().map(|sample| sample.as_ref().map_or(0.0, value));
    values.reduce(Number::greater).unwrap_or(0.0)
}
