//! Few channels: a row's pixels lie side by side in a register, each with all of its channels.
//!
//! The rows that a row of outputs sees are copied with their padding, the pixels that a step of the window apart are side
//! by side, so that a tap of neighbouring outputs is neighbouring elements; the weights are repeated as the channels are.

use super::arguments::Arguments;
use super::vector::Vector;
use crate::float::epilogue::Clamp;
use crate::geometry::Window;

/// Whether this is the better way: for fewer channels than a register has lanes, and windows no wider than the image, so
/// that a line is not much longer than a row.
pub(super) fn suits(window: &Window) -> bool {
    window.channels < 8 && (window.kernel[1] - 1) * window.dilation[1] <= window.input[1]
}

/// Registers of sums of a tile.
const WIDE: usize = 4;

/// The rows of the input that a row of outputs sees, as many lines each as the window has steps. A row stays for the rows
/// of outputs behind, which see it too. All rows of the padding are one, the first.
struct Lines<'a> {
    x: &'a [f32],
    window: &'a Window,
    elements: Vec<f32>,
    /// Elements of a line, and those of them that outputs see.
    length: usize,
    seen: usize,
    /// Rows of the image that are held, and the first that was never filled.
    held: usize,
    next: usize,
}

impl<'a> Lines<'a> {
    /// Lines with room for tiles of so many elements behind them.
    fn new(x: &'a [f32], window: &'a Window, tile: usize) -> Self {
        let reach = (window.kernel[1] - 1) * window.dilation[1] / window.stride[1];
        let seen = (window.output[1] + reach) * window.channels;
        let length = seen + tile;
        let held = window.input[0].min((window.kernel[0] - 1) * window.dilation[0] + 1);
        let elements = vec![0.0; length * window.stride[1] * (1 + held)];
        Lines { x, window, elements, length, seen, held, next: 0 }
    }

    /// Where the lines begin of a row, counted from the first of the padding.
    fn row(&self, row: usize) -> usize {
        let row = row.checked_sub(self.window.pad[0]).filter(|&row| row < self.window.input[0]);
        row.map_or(0, |row| 1 + row % self.held) * self.window.stride[1] * self.length
    }

    /// Copies what a row of outputs sees and none before has seen.
    fn fill(&mut self, y: usize) {
        let window = self.window;
        let first = y * window.stride[0];
        let end = first + (window.kernel[0] - 1) * window.dilation[0] + 1;
        let [first, end] = [first, end].map(|row| row.saturating_sub(window.pad[0]).min(window.input[0]));
        for row in self.next.max(first)..end {
            self.fill_row(row);
        }
        self.next = end;
    }

    /// Copies a row of the image. What lies beside it stays +0.
    fn fill_row(&mut self, row: usize) {
        let (window, steps) = (self.window, self.window.stride[1]);
        let (c, at) = (window.channels, self.row(row + window.pad[0]));
        let lines = &mut self.elements[at..][..self.length * steps];
        let x = &self.x[row * window.input[1] * c..][..window.input[1] * c];
        for (phase, line) in lines.chunks_exact_mut(self.length).enumerate() {
            // The first pixel of the line that is in the image, and which one of the image it is.
            let skipped = window.pad[1].saturating_sub(phase).div_ceil(steps);
            let from = (skipped * steps + phase - window.pad[1]) * c;
            let Some(line) = line[..self.seen].get_mut(skipped * c..) else { continue };
            let Some(x) = x.get(from..) else { continue };
            if steps == 1 {
                let length = x.len().min(line.len());
                line[..length].copy_from_slice(&x[..length]);
            } else {
                let from = x.chunks_exact(c).step_by(steps);
                line.chunks_exact_mut(c).zip(from).for_each(|(to, from)| to.copy_from_slice(from));
            }
        }
    }

    /// Where the elements of a row of outputs begin that each tap sees, rows first.
    fn taps(&self, y: usize, taps: &mut Vec<usize>) {
        let window = self.window;
        taps.clear();
        for i in 0..window.kernel[0] {
            let row = self.row(y * window.stride[0] + i * window.dilation[0]);
            taps.extend((0..window.kernel[1]).map(|j| {
                let step = j * window.dilation[1];
                row + step % window.stride[1] * self.length + step / window.stride[1] * window.channels
            }));
        }
    }
}

/// Rows `[channels]`, each again and again, so that a tile may begin with any of so many registers.
struct Repeated {
    elements: Vec<f32>,
    /// Elements of a row.
    length: usize,
    /// Elements after which a register begins with the first channel again.
    period: usize,
}

impl Repeated {
    fn new(rows: &[f32], channels: usize, lanes: usize) -> Repeated {
        let period = if lanes.is_multiple_of(channels) { lanes } else { channels * lanes };
        let length = period + (WIDE - 1) * lanes;
        let row = |row: &[f32]| (0..length).map(|at| row[at % channels]).collect::<Vec<_>>();
        Repeated { elements: rows.chunks_exact(channels).flat_map(row).collect(), length, period }
    }
}

/// # Safety
/// The CPU has the register's features; the bounds that [`super::run`] asserts.
#[inline(always)]
pub(super) unsafe fn kernel<V: Vector>(a: &Arguments<'_>, out: &mut [f32]) {
    let c = a.window.channels;
    let length = a.window.output[1] * c;
    if length == 0 {
        return;
    }
    let mut lines = Lines::new(a.x, a.window, WIDE * V::LANES);
    let weights = Repeated::new(a.weights, c, V::LANES);
    let bias = a.bias.map(|bias| Repeated::new(bias, c, V::LANES).elements);
    let mut taps = Vec::new();
    for (line, y) in a.rows.clone().enumerate() {
        lines.fill(y);
        lines.taps(y, &mut taps);
        let residual = a.residual.map(|residual| &residual[line * length..][..length]);
        let out = &mut out[line * length..][..length];
        let mut at = 0;
        while at < length {
            let start = at % weights.period;
            let tile = Tile {
                x: &lines.elements[at..],
                taps: &taps,
                weights: &weights.elements[start..],
                apart: weights.length,
                bias: bias.as_ref().map(|bias| &bias[start..]),
                residual: residual.map(|residual| &residual[at..]),
                clamp: a.clamp,
            };
            // SAFETY: the caller's promise; every tap's line has room for a tile behind what outputs see, and weights and
            // bias go on for a tile from each start.
            at += unsafe {
                if length - at >= WIDE * V::LANES {
                    tile.run::<V, WIDE>(&mut out[at..])
                } else {
                    tile.run::<V, 1>(&mut out[at..])
                }
            };
        }
    }
}

/// What neighbouring outputs of a row are made of.
struct Tile<'a> {
    /// The elements that taps are counted from.
    x: &'a [f32],
    taps: &'a [usize],
    /// A tap's weights are so many elements behind the last one's.
    weights: &'a [f32],
    apart: usize,
    bias: Option<&'a [f32]>,
    residual: Option<&'a [f32]>,
    clamp: Clamp,
}

impl Tile<'_> {
    /// `W` registers, as far as there are outputs; returns how many outputs those were.
    ///
    /// # Safety
    /// The CPU has the register's features; behind each tap, the first weight of each and the first bias follow `W`
    /// registers.
    #[inline(always)]
    unsafe fn run<V: Vector, const W: usize>(&self, out: &mut [f32]) -> usize {
        let count = out.len().min(W * V::LANES);
        let mut staged = [0.0; 16];
        // SAFETY: the caller's promise; whole tiles lie in the output and the residual, and what is left of one lies in
        // `staged`, as it is of one register.
        unsafe {
            let mut sums = [V::splat(0.0); W];
            let mut w = self.weights.as_ptr();
            for &tap in self.taps {
                let x = self.x.as_ptr().add(tap);
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(x.add(r * V::LANES)).fma(V::load(w.add(r * V::LANES)), *sum);
                }
                w = w.wrapping_add(self.apart);
            }
            if let Some(bias) = self.bias {
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = sum.add(V::load(bias.as_ptr().add(r * V::LANES)));
                }
            }
            let is_whole = count == W * V::LANES;
            debug_assert!(is_whole || W == 1, "only single registers are left of a row");
            if let Some(residual) = self.residual {
                let mut from = residual.as_ptr();
                if !is_whole {
                    staged[..count].copy_from_slice(&residual[..count]);
                    from = staged.as_ptr();
                }
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = sum.add(V::load(from.add(r * V::LANES)));
                }
            }
            if self.clamp != Clamp::NONE {
                let (lo, hi) = (V::splat(self.clamp.lo), V::splat(self.clamp.hi));
                sums = sums.map(|sum| sum.clamp(lo, hi));
            }
            let to = if is_whole { out.as_mut_ptr() } else { staged.as_mut_ptr() };
            for (r, sum) in sums.into_iter().enumerate() {
                sum.store(to.add(r * V::LANES));
            }
            if !is_whole {
                out[..count].copy_from_slice(&staged[..count]);
            }
        }
        count
    }
}
