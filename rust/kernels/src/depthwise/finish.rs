//! What becomes of the sums of as many channels as a register has lanes.

use super::dot::Channels;
use super::entries::Floats;
use crate::requantize::{Clamp, HIGH_SHIFT, HighScale, Requantize};
use crate::simd::Vector;

/// # Safety
/// The methods need the tier's CPU features, and are inlined into functions that are compiled for it.
pub(super) trait Finish<V>: Sized {
    /// The channels that there are.
    type Channels: Channels<V>;
    /// The parameters of all channels.
    type Of<'a>;
    /// An element of the output.
    type Out;

    /// The parameters of a register's channels from `first` on.
    unsafe fn new(of: &Self::Of<'_>, first: usize, channels: Self::Channels) -> Self;

    /// What the sums begin with.
    unsafe fn start(&self) -> V;

    /// Writes the results of `DOWN` x `RIGHT` outputs, 2 or 4 of them, to their places: an element a channel, where there
    /// is a place.
    unsafe fn write<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[V; RIGHT]; DOWN],
        place: impl Fn(usize, usize) -> Option<*mut Self::Out>,
    );
}

/// Requantization. A shift below 33, which there is only where `RAISED`, is raised to 33 and the sum moved left by as
/// much: the same quotient.
pub(super) struct Bytes<V: Vector, C, const RAISED: bool> {
    channels: C,
    bias: V,
    /// By how much each sum moves left.
    left: V,
    scale: HighScale<V>,
    clamp: Clamp<V>,
}

impl<V: Vector, C: Channels<V>, const RAISED: bool> Finish<V> for Bytes<V, C, RAISED> {
    type Channels = C;
    type Of<'a> = Requantize<'a>;
    type Out = u8;

    #[inline(always)]
    unsafe fn new(of: &Requantize<'_>, first: usize, channels: C) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let load = |values: &[i32]| channels.load(values.as_ptr().add(first));
            let given = load(of.shift);
            let shift = given.max(V::splat(HIGH_SHIFT));
            Bytes {
                channels,
                bias: load(of.bias),
                left: shift.sub(given),
                scale: HighScale::new(load(of.multiplier), shift),
                clamp: Clamp::new(of.zero_point, of.lo, of.hi),
            }
        }
    }

    #[inline(always)]
    unsafe fn start(&self) -> V {
        self.bias
    }

    #[inline(always)]
    unsafe fn write<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[V; RIGHT]; DOWN],
        place: impl Fn(usize, usize) -> Option<*mut u8>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let at = |i: usize| {
                let sum = sums[i / RIGHT][i % RIGHT];
                self.scale.apply(if RAISED { sum.shift_left(self.left) } else { sum })
            };
            let bytes = if DOWN * RIGHT == 4 {
                self.clamp.bytes([at(0), at(1), at(2), at(3)])
            } else {
                self.clamp.bytes_of_two([at(0), at(1)])
            };
            // Each output has a quarter.
            let bytes = bytes.in_order();
            for down in 0..DOWN {
                for right in 0..RIGHT {
                    if let Some(place) = place(down, right) {
                        self.channels.store(bytes, down * RIGHT + right, place);
                    }
                }
            }
        }
    }
}

/// Float32.
pub(super) struct ToFloats<V, C> {
    channels: C,
    acc_bias: V,
    x_scale: V,
    scale: V,
    bias: V,
    /// Whether `lo` and `hi` are not the infinities.
    is_clamped: bool,
    lo: V,
    hi: V,
}

impl<V: Vector, C: Channels<V>> ToFloats<V, C> {
    /// The results of sums.
    ///
    /// # Safety
    /// The CPU has the tier.
    #[inline(always)]
    pub(super) unsafe fn apply(&self, sums: V) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            let x = sums.to_floats().mul_floats(self.x_scale);
            let y = x.fma_floats(self.scale, self.bias);
            if self.is_clamped { y.clamp_floats(self.lo, self.hi) } else { y }
        }
    }
}

impl<V: Vector, C: Channels<V>> Finish<V> for ToFloats<V, C> {
    type Channels = C;
    type Of<'a> = Floats<'a>;
    type Out = f32;

    #[inline(always)]
    unsafe fn new(of: &Floats<'_>, first: usize, channels: C) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let floats = |values: &[f32]| channels.load(values.as_ptr().add(first).cast());
            let splat = |value: f32| V::splat(value.to_bits() as i32);
            ToFloats {
                channels,
                acc_bias: channels.load(of.acc_bias.as_ptr().add(first)),
                x_scale: splat(of.x_scale),
                scale: floats(of.scale),
                bias: floats(of.bias),
                is_clamped: [of.lo, of.hi] != [f32::NEG_INFINITY, f32::INFINITY],
                lo: splat(of.lo),
                hi: splat(of.hi),
            }
        }
    }

    #[inline(always)]
    unsafe fn start(&self) -> V {
        self.acc_bias
    }

    #[inline(always)]
    unsafe fn write<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[V; RIGHT]; DOWN],
        place: impl Fn(usize, usize) -> Option<*mut f32>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            for down in 0..DOWN {
                for right in 0..RIGHT {
                    if let Some(place) = place(down, right) {
                        self.channels.store_floats(self.apply(sums[down][right]), place);
                    }
                }
            }
        }
    }
}
