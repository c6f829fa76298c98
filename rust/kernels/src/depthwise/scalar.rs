//! The plain depthwise kernel.

use std::ops::Range;

use super::entries::{Depthwise, Floats};
use super::general::{self, GroupDot, GroupFinish, TAPS_MAX};
use super::pack::GROUP;
use crate::requantize::{Requantize, requantize};

/// # Safety
/// The bounds that [`super::run`] asserts.
pub(super) unsafe fn to_bytes(
    x: &[u8],
    d: &Depthwise<'_, Requantize<'_>>,
    rows: Range<usize>,
    out: &mut [u8],
) {
    // SAFETY: plain code; the caller's promise.
    unsafe { general::run::<Plain, _>(x, d, rows, out) }
}

/// # Safety
/// The bounds that [`super::run_to_floats`] asserts.
pub(super) unsafe fn to_floats(x: &[u8], d: &Depthwise<'_, Floats<'_>>, rows: Range<usize>, out: &mut [f32]) {
    // SAFETY: plain code; the caller's promise.
    unsafe { general::run::<Plain, _>(x, d, rows, out) }
}

/// One tap a word, int8.
struct Plain;

impl GroupDot for Plain {
    type Sums = [i32; GROUP];
    const LANES: usize = GROUP;
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
}

impl GroupFinish<Plain> for Requantize<'_> {
    type Out = u8;

    #[inline(always)]
    fn start(&self) -> &[i32] {
        self.bias
    }

    #[inline(always)]
    unsafe fn finish(&self, sums: [i32; GROUP], first: usize, channels: usize, out: *mut u8) {
        // SAFETY: the caller's promise.
        let out = unsafe { std::slice::from_raw_parts_mut(out, channels) };
        for (lane, out) in out.iter_mut().enumerate() {
            let (multiplier, shift) = (self.multiplier[first + lane], self.shift[first + lane] as u32);
            *out = requantize(sums[lane], multiplier, shift, self.zero_point, self.lo, self.hi);
        }
    }
}

impl GroupFinish<Plain> for Floats<'_> {
    type Out = f32;

    #[inline(always)]
    fn start(&self) -> &[i32] {
        self.acc_bias
    }

    #[inline(always)]
    unsafe fn finish(&self, sums: [i32; GROUP], first: usize, channels: usize, out: *mut f32) {
        // SAFETY: the caller's promise.
        let out = unsafe { std::slice::from_raw_parts_mut(out, channels) };
        for (lane, out) in out.iter_mut().enumerate() {
            *out = self.of(sums[lane], first + lane);
        }
    }
}
