//! GridSample: elements of an image at the places that a grid gives, over two or three spatial axes.

use octavo_exec::{cast, cast_mut};

use crate::ops::node::{error, made, needed};
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::program::Node;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Padding {
    Zeros,
    Border,
    Reflection,
}

/// How places become elements and weights.
#[derive(Clone, Copy)]
struct Sampler {
    mode: Mode,
    padding: Padding,
    align_corners: bool,
}

/// The elements and weights of one place along one axis; an element outside is `None`.
type Taps = [(Option<usize>, f32); 4];

/// Plans a GridSample.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let a = &node.attributes;
    let sampler = Sampler {
        mode: match a.str("mode")? {
            "nearest" => Mode::Nearest,
            "linear" => Mode::Linear,
            _ => Mode::Cubic,
        },
        padding: match a.str("padding_mode")? {
            "zeros" => Padding::Zeros,
            "border" => Padding::Border,
            _ => Padding::Reflection,
        },
        align_corners: a.int("align_corners")? != 0,
    };
    let x = b.input_as(needed(node, 0)?, Layout::ChannelsLast)?;
    let grid = b.input_as(needed(node, 1)?, Layout::RowMajor)?;
    let (&[images, channels, ref sizes @ ..], &[same, ref places @ .., axes]) = (x.shape(), grid.shape())
    else {
        return Err(error(node, &format!("shapes {:?} and {:?}", x.shape(), grid.shape())));
    };
    if !(1..=3).contains(&axes) || sizes.len() != axes || places.len() != axes || same != images {
        return Err(error(node, &format!("an image {:?} by a grid {:?}", x.shape(), grid.shape())));
    }
    let shape = [&[images, channels], places].concat();
    let y = b.output(made(node, 0)?, shape, Layout::ChannelsLast)?;
    if y.elements() == 0 {
        return Ok(());
    }
    if sizes.contains(&0) {
        return Err(error(node, &format!("an image of no elements: {:?}", x.shape())));
    }
    let (sizes, pixels) = (sizes.to_vec(), places.iter().product::<usize>());
    let area: usize = sizes.iter().product();
    let chunk = b.steps.chunk(images * pixels, 30.0 + channels as f64, 1);
    let (xb, gb, yb) = (x.buffer, grid.buffer, y.buffer);
    b.steps.of_node(node, "f32-grid").run([xb, gb], [yb], move |run, [x, grid], [y]| {
        let pool = run.pool;
        let (x, grid) = (cast::<f32>(x), cast::<f32>(grid));
        pool.slices(cast_mut::<f32>(y), chunk * channels, |i, y| {
            for (j, y) in y.chunks_exact_mut(channels).enumerate() {
                let at = i * chunk + j;
                let x = &x[at / pixels * area * channels..][..area * channels];
                sampler.sample(x, &sizes, &grid[at * axes..][..axes], y);
            }
        });
    });
    Ok(())
}

impl Sampler {
    /// The values of all channels at a place, whose last coordinate is that of the first axis. Products and sums are
    /// rounded one by one, the taps in index order.
    fn sample(&self, x: &[f32], sizes: &[usize], place: &[f32], y: &mut [f32]) {
        let mut taps = [[(None, 0.0); 4]; 3];
        for (d, (taps, &n)) in taps.iter_mut().zip(sizes).enumerate() {
            *taps = self.taps(place[sizes.len() - 1 - d], n);
        }
        let width = match self.mode {
            Mode::Nearest => 1,
            Mode::Linear => 2,
            Mode::Cubic => 4,
        };
        y.fill(0.0);
        for index in 0..width_to(width, sizes.len()) {
            let mut rest = index;
            let mut at = Some((0, 1.0));
            for (d, &n) in sizes.iter().enumerate() {
                let step = width_to(width, sizes.len() - 1 - d);
                let (element, weight) = taps[d][rest / step];
                rest %= step;
                at = at.zip(element).map(|((offset, product), i)| {
                    (offset * n + i, if d == 0 { weight } else { product * weight })
                });
            }
            if let Some((offset, weight)) = at {
                let x = &x[offset * y.len()..][..y.len()];
                y.iter_mut().zip(x).for_each(|(sum, x)| *sum += x * weight);
            }
        }
    }

    /// The taps of a coordinate in -1..1 along an axis of n elements.
    fn taps(&self, place: f32, n: usize) -> Taps {
        let length = n as f32;
        let x = if self.align_corners {
            (place + 1.0) / 2.0 * (length - 1.0)
        } else {
            ((place + 1.0) * length - 1.0) / 2.0
        };
        let x = self.moved_inside(if self.mode == Mode::Nearest { x.round_ties_even() } else { x }, n);
        let below = x.floor();
        let r = x - below;
        let tap = |i: f32, weight: f32| (self.element(i, n), weight);
        match self.mode {
            Mode::Nearest => [tap(x, 1.0), (None, 0.0), (None, 0.0), (None, 0.0)],
            Mode::Linear => [tap(below, 1.0 - r), tap(below + 1.0, r), (None, 0.0), (None, 0.0)],
            Mode::Cubic => [
                tap(below - 1.0, outer(r + 1.0)),
                tap(below, inner(r)),
                tap(below + 1.0, inner(1.0 - r)),
                tap(below + 2.0, outer(2.0 - r)),
            ],
        }
    }

    /// The least and the greatest coordinate of an axis of n elements.
    fn borders(&self, n: usize) -> (f32, f32) {
        if self.align_corners { (0.0, (n - 1) as f32) } else { (-0.5, n as f32 - 0.5) }
    }

    /// A coordinate beyond the borders as one between them, but where the padding is of zeros.
    fn moved_inside(&self, x: f32, n: usize) -> f32 {
        let (low, high) = self.borders(n);
        let is_outside = x < low || x > high;
        match self.padding {
            Padding::Border if is_outside => x.clamp(0.0, (n - 1) as f32),
            Padding::Reflection if is_outside => reflected(x, low, high),
            _ => x,
        }
    }

    /// The element that stands for a whole coordinate, which may lie outside.
    fn element(&self, i: f32, n: usize) -> Option<usize> {
        let last = (n - 1) as f32;
        if i >= 0.0 && i <= last {
            return Some(i as usize);
        }
        match self.padding {
            Padding::Zeros => None,
            Padding::Border => Some(i.clamp(0.0, last) as usize),
            Padding::Reflection => {
                let (low, high) = self.borders(n);
                Some((reflected(i, low, high) as usize).min(n - 1))
            }
        }
    }
}

/// `width` to the power of `axes`.
fn width_to(width: usize, axes: usize) -> usize {
    (0..axes).fold(1, |all, _| all * width)
}

/// A coordinate outside, mirrored at the borders until it lies inside.
fn reflected(x: f32, low: f32, high: f32) -> f32 {
    let range = high - low;
    let (distance, near, far, sign) =
        if x < low { (low - x, low, high, 1.0) } else { (x - high, high, low, -1.0) };
    let turns = (distance / range).trunc();
    let rest = distance - turns * range;
    if turns % 2.0 == 0.0 { near + sign * rest } else { far - sign * rest }
}

/// Keys' cubic convolution, a = -0.75, at a distance of at most 1.
fn inner(d: f32) -> f32 {
    (1.25 * d - 2.25) * d * d + 1.0
}

/// Keys' cubic convolution, a = -0.75, at a distance from 1 to 2.
fn outer(d: f32) -> f32 {
    ((-0.75 * d + 3.75) * d - 6.0) * d + 3.0
}
