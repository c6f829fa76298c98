//! The plain depthwise kernel.

use std::ops::Range;

use super::general::{self, Lanes, TAPS_MAX};
use super::pack::Layout;
use super::{Depthwise, Entries, GROUP, Tile};
use crate::isa::Entry;
use crate::requantize::requantize;

pub(crate) const SCALAR: Entries = Entries {
    layout: Layout { taps: 1, bytes: 1 },
    tiles: &[Tile { shape: None, entry: Entry { name: "scalar-u8i8-depthwise-any", run } }],
};

/// # Safety
/// The bounds that [`super::run`] asserts.
unsafe fn run(x: &[u8], d: &Depthwise<'_>, rows: Range<usize>, out: &mut [u8]) {
    // SAFETY: plain code; the caller's promise.
    unsafe { general::run::<Plain>(x, d, rows, out) }
}

/// One tap a word, int8.
struct Plain;

impl Lanes for Plain {
    type Sums = [i32; GROUP];
    const TAPS: usize = 1;
    const WORD: usize = GROUP;

    #[inline(always)]
    unsafe fn start(bias: *const i32, channels: usize) -> Self::Sums {
        let mut sums = [0; GROUP];
        // SAFETY: the caller's promise.
        sums[..channels].copy_from_slice(unsafe { std::slice::from_raw_parts(bias, channels) });
        sums
    }

    #[inline(always)]
    unsafe fn multiply_add(
        mut sums: Self::Sums,
        taps: [*const u8; TAPS_MAX],
        weights: *const u8,
        channels: usize,
    ) -> Self::Sums {
        // SAFETY: the caller's promise; a word is 16 int8.
        let (x, weights) = unsafe {
            (
                std::slice::from_raw_parts(taps[0], channels),
                std::slice::from_raw_parts(weights.cast::<i8>(), GROUP),
            )
        };
        for (sum, (&x, &weight)) in sums.iter_mut().zip(x.iter().zip(weights)) {
            *sum = sum.wrapping_add(i32::from(x) * i32::from(weight));
        }
        sums
    }

    #[inline(always)]
    unsafe fn finish(sums: Self::Sums, d: &Depthwise<'_>, first: usize, channels: usize, out: *mut u8) {
        let r = &d.requantize;
        // SAFETY: the caller's promise.
        let out = unsafe { std::slice::from_raw_parts_mut(out, channels) };
        for (lane, out) in out.iter_mut().enumerate() {
            let c = first + lane;
            *out = requantize(sums[lane], r.multiplier[c], r.shift[c] as u32, r.zero_point, r.lo, r.hi);
        }
    }
}
