//! What the kernels are written over: a tier's dot product of a few taps, on as many channels as a register has lanes.

use super::general::{GroupDot, TAPS_MAX};
use super::pack::first_channel;
use crate::simd::Vector;

/// A register of sums, or of so many bytes of taps and weights.
///
/// # Safety
/// As [`Vector`]. The lanes are those of a group.
pub(super) trait Dot: Vector {
    /// The same for a group of any number of channels.
    type Group: GroupDot;
    /// Taps of a word of packed weights.
    const TAPS: usize = Self::Group::TAPS;
    /// Bytes of a word of packed weights.
    const WORD: usize = Self::Group::WORD;

    /// The values of `LANES` channels at each of the first `count` places, channel by channel: at most `TAPS`, and whatever
    /// for the rest of the taps.
    unsafe fn interleave(taps: [*const u8; TAPS_MAX], count: usize) -> Self;

    /// The zero point for every tap of every channel.
    unsafe fn padding(zero_point: u8) -> Self;

    /// What sums begin with, and what the products with a word of weights leave out.
    #[inline(always)]
    unsafe fn begin(start: Self, _weights: Self) -> Self {
        start
    }

    /// The weights of a word as the output row below meets them: each tap one place later, after the last one of the
    /// word `before`.
    unsafe fn one_later(self, before: Self) -> Self;
}

/// The first channels of the groups from the one numbered `from` on, and where in the packed weights each group's lie, of
/// `words` words a group.
#[inline(always)]
pub(super) fn groups<D: Dot>(
    channels: usize,
    words: usize,
    from: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let count = channels.div_ceil(D::LANES);
    (from..count).map(move |group| (first_channel(group, channels, D::LANES), group * words * D::WORD))
}

/// The channels of a register that there are.
///
/// # Safety
/// The methods need the tier's CPU features, and places that are good for the channels.
pub(super) trait Channels<D>: Copy {
    /// [`Dot::interleave`] of the channels.
    unsafe fn interleave(self, taps: [*const u8; TAPS_MAX], count: usize) -> D;

    /// A value a channel.
    unsafe fn load(self, from: *const i32) -> D;

    /// Writes a byte a channel: a quarter of a register.
    unsafe fn store(self, bytes: D, quarter: usize, to: *mut u8);

    /// Writes a float32 a channel.
    unsafe fn store_floats(self, floats: D, to: *mut f32);
}

/// As many as a register has lanes.
#[derive(Clone, Copy)]
pub(super) struct All;

impl<D: Dot> Channels<D> for All {
    #[inline(always)]
    unsafe fn interleave(self, taps: [*const u8; TAPS_MAX], count: usize) -> D {
        // SAFETY: the caller's promise.
        unsafe { D::interleave(taps, count) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const i32) -> D {
        // SAFETY: the caller's promise.
        unsafe { D::load(from) }
    }

    #[inline(always)]
    unsafe fn store(self, bytes: D, quarter: usize, to: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { bytes.store_quarter(quarter, to) }
    }

    #[inline(always)]
    unsafe fn store_floats(self, floats: D, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { floats.store_bytes(to.cast()) }
    }
}
