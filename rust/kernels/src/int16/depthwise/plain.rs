//! Depthwise convolution by plain loops, which the compiler vectorises for each tier.

use std::ops::Range;

use crate::geometry::Window;
use crate::int16::rule::{Floats, Requantize};
use crate::isa::Entry;
use crate::requantize::words::Scale;

/// A convolution.
#[derive(Clone, Copy, Debug)]
pub struct Depthwise<'a> {
    /// How the window slides.
    pub window: Window,
    /// The weights, tap by tap, of all channels each: see [`pack`](super::pack).
    pub weights: &'a [i16],
    /// Whether some input could make a sum leave int32: see [`is_long`](super::is_long).
    pub is_long: bool,
}

type RunDepthwise = unsafe fn(&[i16], &Depthwise<'_>, &Requantize<'_>, Range<usize>, &mut [i16]);
type RunToFloats = unsafe fn(&[i16], &Depthwise<'_>, &Floats<'_>, Range<usize>, &mut [f32]);

/// One tier's kernels. Each asks for what its safe function asserts.
#[derive(Debug)]
pub struct Entries {
    /// See [`run`](super::run).
    pub depthwise: Entry<RunDepthwise>,
    /// See [`run_to_floats`](super::run_to_floats).
    pub to_floats: Entry<RunToFloats>,
}

crate::plain::fused_tiers!(Entries {
    depthwise(x: &[i16], d: &Depthwise<'_>, by: &Requantize<'_>, rows: Range<usize>, out: &mut [i16])
        = all_channels as "i16i8-depthwise";
    to_floats(x: &[i16], d: &Depthwise<'_>, by: &Floats<'_>, rows: Range<usize>, out: &mut [f32])
        = to_floats_source as "i16i8f32-depthwise";
});

/// Channels that go through together.
const BLOCK: usize = 32;

#[inline(always)]
fn all_channels<const FUSED: bool>(
    x: &[i16],
    d: &Depthwise<'_>,
    by: &Requantize<'_>,
    rows: Range<usize>,
    out: &mut [i16],
) {
    source::<FUSED>(x, d, by, rows, 0..d.window.channels, out);
}

/// Some channels of some rows.
#[inline(always)]
pub(super) fn source<const FUSED: bool>(
    x: &[i16],
    d: &Depthwise<'_>,
    by: &Requantize<'_>,
    rows: Range<usize>,
    channels: Range<usize>,
    out: &mut [i16],
) {
    each_block(x, d, rows, channels, out, |channel, sums, out| {
        let channels = channel..channel + out.len();
        let scales = by.multiplier[channels.clone()].iter().zip(&by.shift[channels.clone()]);
        let params = by.bias[channels].iter().zip(scales);
        for ((out, &sum), (&bias, (&multiplier, &shift))) in out.iter_mut().zip(sums).zip(params) {
            let scale = Scale::<FUSED>::new(multiplier, shift.unsigned_abs(), by.lo, by.hi);
            *out = scale.apply(sum + bias);
        }
    });
}

#[inline(always)]
fn to_floats_source<const FUSED: bool>(
    x: &[i16],
    d: &Depthwise<'_>,
    by: &Floats<'_>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    each_block(x, d, rows, 0..d.window.channels, out, |channel, sums, out| {
        let params = by.scale[channel..].iter().zip(&by.bias[channel..]);
        for ((out, &sum), (&scale, &bias)) in out.iter_mut().zip(sums).zip(params) {
            *out = (sum as f32 * by.x_scale).mul_add(scale, bias);
        }
    });
}

/// Gives the sums of each block of channels of each output pixel, from which on they are, and the block of the output.
#[inline(always)]
fn each_block<Y>(
    x: &[i16],
    d: &Depthwise<'_>,
    rows: Range<usize>,
    channels: Range<usize>,
    out: &mut [Y],
    mut finish: impl FnMut(usize, &[i64; BLOCK], &mut [Y]),
) {
    let window = &d.window;
    let mut pixels = out.chunks_exact_mut(window.channels.max(1));
    for oy in rows {
        let inside = window.taps_inside(0, oy);
        for (ox, pixel) in (0..window.output[1]).zip(&mut pixels) {
            let columns = window.taps_inside(1, ox);
            for (block, out) in pixel[channels.clone()].chunks_mut(BLOCK).enumerate() {
                let first = channels.start + block * BLOCK;
                let places = inside.clone().flat_map(|i| columns.clone().map(move |j| (i, j)));
                let places = places.map(|(i, j)| {
                    let tap = i * window.kernel[1] + j;
                    (window.tap(oy, ox, i, j) + first, tap * window.channels + first)
                });
                let sums = sums(x, d, places, out.len());
                finish(first, &sums, out);
            }
        }
    }
}

/// The sums of a block of `count` channels, whose taps and their weights are at these places.
#[inline(always)]
fn sums(
    x: &[i16],
    d: &Depthwise<'_>,
    places: impl Iterator<Item = (usize, usize)>,
    count: usize,
) -> [i64; BLOCK] {
    let (mut short, mut long) = ([0i32; BLOCK], [0i64; BLOCK]);
    for (at, weight) in places {
        let (x, w) = (&x[at..][..count], &d.weights[weight..][..count]);
        for c in 0..count {
            short[c] = short[c].wrapping_add(i32::from(x[c]) * i32::from(w[c]));
        }
        if d.is_long {
            for c in 0..count {
                long[c] += i64::from(std::mem::take(&mut short[c]));
            }
        }
    }
    for c in 0..count {
        long[c] += i64::from(short[c]);
    }
    long
}
