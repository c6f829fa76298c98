//! Tiles of neighbouring output pixels of a row, over one register of channels.
//!
//! A tile keeps its sums in registers through the whole window. Every row of the window takes its weights once for the
//! tile; where the window is of a usual width and its taps lie side by side, each input column is also read once, for all the
//! outputs that see it.

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::float32x4_t;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};

use super::arguments::Arguments;
use super::vector::Vector;
use super::{narrow, plain};
use crate::float::epilogue::Clamp;

/// Output pixels of a tile, and of the tile for what is left of a row.
const WIDE: usize = 8;
const NARROW: usize = 4;
/// Repeats a block for each number, which it may use as a constant: the compiler unrolls no loop of so many steps, and
/// registers have no index.
macro_rules! each {
    ($index:ident in [$($number:literal)*] $block:block) => {
        $({
            const $index: usize = $number;
            $block
        })*
    };
}

/// What taps in the padding read.
static ZEROS: [f32; 16] = [0.0; 16];

/// # Safety
/// The CPU has NEON; the bounds that [`super::run`] asserts.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
pub(super) unsafe fn neon(a: &Arguments<'_>, out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe {
        match a.window.channels {
            _ if narrow::suits(a.window) => narrow::kernel::<[float32x4_t; 2]>(a, out),
            0..8 => plain::kernel(a, out),
            _ => by_shape::<[float32x4_t; 2]>(a, out),
        }
    }
}

/// # Safety
/// The CPU has AVX-512; the bounds that [`super::run`] asserts.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn avx512(a: &Arguments<'_>, out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe {
        match a.window.channels {
            _ if narrow::suits(a.window) => narrow::kernel::<__m512>(a, out),
            0..8 => plain::kernel(a, out),
            8..16 => by_shape::<__m256>(a, out),
            _ => by_shape::<__m512>(a, out),
        }
    }
}

/// # Safety
/// The CPU has AVX2 and FMA; the bounds that [`super::run`] asserts.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2(a: &Arguments<'_>, out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe {
        match a.window.channels {
            _ if narrow::suits(a.window) => narrow::kernel::<__m256>(a, out),
            0..8 => plain::kernel(a, out),
            _ => by_shape::<__m256>(a, out),
        }
    }
}

#[inline(always)]
unsafe fn by_shape<V: Vector>(a: &Arguments<'_>, out: &mut [f32]) {
    let window = a.window;
    // SAFETY: the caller's promise.
    unsafe {
        match (window.kernel[1], window.stride[1], window.dilation[1]) {
            (3, 1, 1) => rows::<V, 3, 1>(a, out),
            (3, 2, 1) => rows::<V, 3, 2>(a, out),
            (5, 1, 1) => rows::<V, 5, 1>(a, out),
            (5, 2, 1) => rows::<V, 5, 2>(a, out),
            (7, 1, 1) => rows::<V, 7, 1>(a, out),
            _ => rows::<V, 0, 0>(a, out),
        }
    }
}

/// The rows, tile by tile. `KW` and `SX` are the window's width and step in x; 0: any.
#[inline(always)]
unsafe fn rows<V: Vector, const KW: usize, const SX: usize>(a: &Arguments<'_>, out: &mut [f32]) {
    let window = a.window;
    let (channels, width) = (window.channels, window.output[1]);
    if width == 0 {
        return;
    }
    let inside = window.whole(1);
    let mut channel = 0;
    while channel < channels {
        // The last register overlaps the one before: the channels that both have are computed twice.
        channel = channel.min(channels - V::LANES);
        for (line, y) in a.rows.clone().enumerate() {
            let mut x = 0;
            while x < width {
                let left = width - x;
                let is_inside = inside.start <= x;
                let place = Place { y, x, count: left, channel, at: (line * width + x) * channels + channel };
                // SAFETY: the caller's promise; `left` pixels, and all of a tile without EDGE, are in the row.
                unsafe {
                    if is_inside && x + WIDE <= inside.end {
                        tile::<V, WIDE, KW, SX, false>(a, place, out);
                        x += WIDE;
                    } else if is_inside && x + NARROW <= inside.end {
                        tile::<V, NARROW, KW, SX, false>(a, place, out);
                        x += NARROW;
                    } else if left > NARROW {
                        tile::<V, WIDE, KW, SX, true>(a, place, out);
                        x += WIDE;
                    } else {
                        tile::<V, NARROW, KW, SX, true>(a, place, out);
                        x += NARROW;
                    }
                }
            }
        }
        channel += V::LANES;
    }
}

/// Where a tile lies in the output.
#[derive(Clone, Copy)]
struct Place {
    y: usize,
    x: usize,
    /// Pixels from x to the end of the row; less than a tile's only where it may be at an edge.
    count: usize,
    channel: usize,
    /// The first pixel's channel in the output's slice.
    at: usize,
}

/// Adds the products of a tile's input column `c` to the sums of the outputs that see it.
#[inline(always)]
unsafe fn add_column<V: Vector, const W: usize, const KW: usize, const SX: usize>(
    c: usize,
    x: V,
    taps: &[V; KW],
    sums: &mut [V; W],
) {
    for j in 0..KW {
        if c >= j && (c - j).is_multiple_of(SX) && (c - j) / SX < W {
            let sum = &mut sums[(c - j) / SX];
            // SAFETY: the caller's promise.
            *sum = unsafe { x.fma(taps[j], *sum) };
        }
    }
}

/// A column of a line of the image, as far as it lies inside.
#[inline(always)]
unsafe fn column<V: Vector, const EDGE: bool>(line: *const f32, x: isize, last: isize, pixel: isize) -> V {
    let is_outside = EDGE && !(0..=last).contains(&x);
    // SAFETY: the caller's promise: without EDGE, x lies inside.
    unsafe { V::load(if is_outside { ZEROS.as_ptr() } else { line.wrapping_offset(x * pixel) }) }
}

/// `W` neighbouring pixels. With `EDGE`, taps may lie in the padding, and
/// pixels beyond the row's end.
#[inline(always)]
unsafe fn tile<V: Vector, const W: usize, const KW: usize, const SX: usize, const EDGE: bool>(
    a: &Arguments<'_>,
    place: Place,
    out: &mut [f32],
) {
    let window = a.window;
    let pixel = window.channels as isize;
    let [kernel_rows, kernel_columns] = window.kernel;
    let step = if KW > 0 { SX } else { window.stride[1] } as isize;
    let dilation = if KW > 0 { 1 } else { window.dilation[1] } as isize;
    let first = place.x as isize * window.stride[1] as isize - window.pad[1] as isize;
    let last = window.input[1] as isize - 1;
    // SAFETY: the caller's promise: a row that is read lies inside the image, so does a column without EDGE, and with it
    // those that lie outside are read from ZEROS; weights and bias have a register from each channel on.
    unsafe {
        let mut sums = [V::splat(0.0); W];
        let mut weights = a.weights.as_ptr().add(place.channel);
        for i in 0..kernel_rows {
            let row = (place.y * window.stride[0] + i * window.dilation[0]) as isize - window.pad[0] as isize;
            let is_inside = (0..window.input[0] as isize).contains(&row);
            let line = if is_inside { row * window.input[1] as isize * pixel } else { 0 };
            let line = a.x.as_ptr().wrapping_offset(line).wrapping_add(place.channel);
            if !is_inside {
                for _ in 0..kernel_columns {
                    let w = V::load(weights);
                    weights = weights.add(window.channels);
                    for sum in &mut sums {
                        *sum = V::splat(0.0).fma(w, *sum);
                    }
                }
            } else if KW > 0 {
                let mut taps = [V::splat(0.0); KW];
                for tap in &mut taps {
                    *tap = V::load(weights);
                    weights = weights.add(window.channels);
                }
                each!(C in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18] {
                    if C < (W - 1) * SX + KW {
                        let x = column::<V, EDGE>(line, first + C as isize, last, pixel);
                        add_column::<V, W, KW, SX>(C, x, &taps, &mut sums);
                    }
                });
            } else {
                for j in 0..kernel_columns as isize {
                    let w = V::load(weights);
                    weights = weights.add(window.channels);
                    for (p, sum) in sums.iter_mut().enumerate() {
                        let x = first + p as isize * step + j * dilation;
                        *sum = column::<V, EDGE>(line, x, last, pixel).fma(w, *sum);
                    }
                }
            }
        }
        if let Some(bias) = a.bias {
            let bias = V::load(bias.as_ptr().add(place.channel));
            for sum in &mut sums {
                *sum = sum.add(bias);
            }
        }
        if let Some(residual) = a.residual {
            let residual = residual.as_ptr().add(place.at);
            for (p, sum) in sums.iter_mut().enumerate() {
                if !EDGE || p < place.count {
                    *sum = sum.add(V::load(residual.add(p * window.channels)));
                }
            }
        }
        if a.clamp != Clamp::NONE {
            let (lo, hi) = (V::splat(a.clamp.lo), V::splat(a.clamp.hi));
            for sum in &mut sums {
                *sum = sum.clamp(lo, hi);
            }
        }
        for (p, sum) in sums.into_iter().enumerate() {
            if !EDGE || p < place.count {
                sum.store(out.as_mut_ptr().add(place.at + p * window.channels));
            }
        }
    }
}
