//! What becomes of the sums of as many channels as a register has lanes.

use super::dot::Channels;
use super::entries::Floats;
use crate::requantize::{Clamp, FloatScale, HIGH_SHIFT, HighScale, Requantize, scale_any};
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

    /// Writes the results of `DOWN` x `RIGHT` outputs, 1, 2 or 4 of them, to their places: an element a channel, where there
    /// is a place.
    unsafe fn write<const DOWN: usize, const RIGHT: usize>(
        &self,
        sums: [[V; RIGHT]; DOWN],
        place: impl Fn(usize, usize) -> Option<*mut Self::Out>,
    );
}

/// How sums are scaled before the clamp to bytes.
///
/// # Safety
/// As [`Finish`].
pub(super) trait Scale<V: Vector>: Sized {
    /// Whether the scaled sums have the zero point in them.
    const HAS_ZERO_POINT: bool = false;

    /// By the multipliers and shifts of a register's channels.
    unsafe fn new(multiplier: V, shift: V, zero_point: i32) -> Self;

    /// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)`, or what has the same int16 after saturation.
    unsafe fn apply(&self, acc: V) -> V;
}

/// By one rounding in float32, where [`is_exact_in_floats`](crate::requantize::is_exact_in_floats) holds.
impl<V: Vector> Scale<V> for FloatScale<V> {
    const HAS_ZERO_POINT: bool = true;

    #[inline(always)]
    unsafe fn new(multiplier: V, shift: V, zero_point: i32) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            // The steps of `float_factor`.
            let integers = multiplier.shift_right(V::splat(7)).to_floats();
            let power = V::splat(127 + 7).sub(shift).shift_left(V::splat(23));
            FloatScale::new(integers.mul_floats(power), zero_point)
        }
    }

    #[inline(always)]
    unsafe fn apply(&self, acc: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { FloatScale::apply(self, acc) }
    }
}

/// By high halves, where [`can_raise_shifts`](super::entries::can_raise_shifts) holds. A shift below 33 is raised to 33 and
/// the sum moved left by as much: the same quotient.
pub(super) struct RaisedScale<V: Vector> {
    /// By how much each sum moves left.
    left: V,
    scale: HighScale<V>,
}

impl<V: Vector> Scale<V> for RaisedScale<V> {
    #[inline(always)]
    unsafe fn new(multiplier: V, shift: V, _zero_point: i32) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let raised = shift.max(V::splat(HIGH_SHIFT));
            RaisedScale { left: raised.sub(shift), scale: HighScale::new(multiplier, raised) }
        }
    }

    #[inline(always)]
    unsafe fn apply(&self, acc: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { self.scale.apply(acc.shift_left(self.left)) }
    }
}

/// For every shift.
pub(super) struct AnyScale<V> {
    multiplier: V,
    shift: V,
}

impl<V: Vector> Scale<V> for AnyScale<V> {
    #[inline(always)]
    unsafe fn new(multiplier: V, shift: V, _zero_point: i32) -> Self {
        AnyScale { multiplier, shift }
    }

    #[inline(always)]
    unsafe fn apply(&self, acc: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { scale_any(acc, self.multiplier, self.shift) }
    }
}

/// Requantization.
pub(super) struct Bytes<V, C, S> {
    channels: C,
    bias: V,
    scale: S,
    clamp: Clamp<V>,
}

impl<V: Vector, C: Channels<V>, S: Scale<V>> Finish<V> for Bytes<V, C, S> {
    type Channels = C;
    type Of<'a> = Requantize<'a>;
    type Out = u8;

    #[inline(always)]
    unsafe fn new(of: &Requantize<'_>, first: usize, channels: C) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let load = |values: &[i32]| channels.load(values.as_ptr().add(first));
            Bytes {
                channels,
                bias: load(of.bias),
                scale: S::new(load(of.multiplier), load(of.shift), of.zero_point),
                clamp: Clamp::new(if S::HAS_ZERO_POINT { 0 } else { of.zero_point }, of.lo, of.hi),
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
            let at = |i: usize| self.scale.apply(sums[i / RIGHT][i % RIGHT]);
            let bytes = match DOWN * RIGHT {
                4 => self.clamp.bytes([at(0), at(1), at(2), at(3)]),
                2 => self.clamp.bytes_of_two([at(0), at(1)]),
                _ => self.clamp.bytes_of_two([at(0); 2]),
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
