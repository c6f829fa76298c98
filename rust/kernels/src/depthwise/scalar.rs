//! The plain depthwise kernel.

use std::marker::PhantomData;
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
    unsafe { general::run::<Plain<i8, 1, GROUP, true>, _>(x, d, rows, out) }
}

/// # Safety
/// The bounds that [`super::run_to_floats`] asserts.
pub(super) unsafe fn to_floats(x: &[u8], d: &Depthwise<'_, Floats<'_>>, rows: Range<usize>, out: &mut [f32]) {
    // SAFETY: plain code; the caller's promise.
    unsafe { general::run::<Plain<i8, 1, GROUP, true>, _>(x, d, rows, out) }
}

/// So many taps a word, with the weights `W` of so many channels: those of a tap together, or those of a channel.
pub(super) struct Plain<W, const TAPS: usize, const LANES: usize, const APART: bool>(PhantomData<W>);

impl<W: Copy + Into<i32>, const TAPS: usize, const LANES: usize, const APART: bool> GroupDot
    for Plain<W, TAPS, LANES, APART>
{
    type Sums = [i32; LANES];
    const LANES: usize = LANES;
    const TAPS: usize = TAPS;
    const WORD: usize = TAPS * LANES * size_of::<W>();

    #[inline(always)]
    unsafe fn start(bias: *const i32, channels: usize) -> Self::Sums {
        let mut sums = [0; LANES];
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
        for (tap, place) in taps.iter().enumerate().take(TAPS) {
            // SAFETY: the caller's promise.
            let x = unsafe { std::slice::from_raw_parts(*place, channels) };
            for (lane, (sum, &x)) in sums.iter_mut().zip(x).enumerate() {
                let at = if APART { tap * LANES + lane } else { lane * TAPS + tap };
                // SAFETY: the caller's promise.
                let weight: i32 = unsafe { weights.cast::<W>().add(at).read_unaligned() }.into();
                *sum = sum.wrapping_add(i32::from(x) * weight);
            }
        }
        sums
    }
}

impl<W: Copy + Into<i32>, const TAPS: usize, const LANES: usize, const APART: bool>
    GroupFinish<Plain<W, TAPS, LANES, APART>> for Requantize<'_>
{
    type Out = u8;

    #[inline(always)]
    fn start(&self) -> &[i32] {
        self.bias
    }

    #[inline(always)]
    unsafe fn finish(&self, sums: [i32; LANES], first: usize, channels: usize, out: *mut u8) {
        // SAFETY: the caller's promise.
        let out = unsafe { std::slice::from_raw_parts_mut(out, channels) };
        for (lane, out) in out.iter_mut().enumerate() {
            let (multiplier, shift) = (self.multiplier[first + lane], self.shift[first + lane] as u32);
            *out = requantize(sums[lane], multiplier, shift, self.zero_point, self.lo, self.hi);
        }
    }
}

impl<W: Copy + Into<i32>, const TAPS: usize, const LANES: usize, const APART: bool>
    GroupFinish<Plain<W, TAPS, LANES, APART>> for Floats<'_>
{
    type Out = f32;

    #[inline(always)]
    fn start(&self) -> &[i32] {
        self.acc_bias
    }

    #[inline(always)]
    unsafe fn finish(&self, sums: [i32; LANES], first: usize, channels: usize, out: *mut f32) {
        // SAFETY: the caller's promise.
        let out = unsafe { std::slice::from_raw_parts_mut(out, channels) };
        for (lane, out) in out.iter_mut().enumerate() {
            *out = self.of(sums[lane], first + lane);
        }
    }
}
