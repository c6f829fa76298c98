//! Depthwise convolution, uint8 x int8 -> uint8: one filter a channel, on one image in NHWC.
//!
//! Channels go through 16 at a time; each such *group* has its weights together. Where the channels are no multiple
//! of 16, the last group overlaps the one before it (channels `C-16..C`), so that it is as full as the others; only
//! fewer than 16 channels make a group that is not full.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod general;
mod pack;
mod scalar;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use crate::geometry::Window;
use crate::isa::{Entry, Kernels, Row};
use crate::requantize::Requantize;
use pack::Layout;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::ENTRIES as AVX2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512vnni::ENTRIES as AVX512VNNI;
pub(crate) use scalar::SCALAR;

/// Channels that go through together.
const GROUP: usize = 16;

/// A depthwise convolution and its requantization.
#[derive(Clone, Copy, Debug)]
pub struct Depthwise<'a> {
    /// Geometry; taps outside the image read the zero point.
    pub window: Window,
    /// The weights as [`pack`] lays them out for the same tier.
    pub packed: &'a [u8],
    /// One value a channel; the bias already holds `-x_zero_point * sum(w)`.
    pub requantize: Requantize<'a>,
    /// The input's zero point.
    pub x_zero_point: u8,
}

/// The code of a kernel. It asks for the bounds that [`run`] asserts.
pub(crate) type Run = unsafe fn(&[u8], &Depthwise<'_>, Range<usize>, &mut [u8]);

/// A kernel with the shapes it is made for.
#[derive(Debug)]
pub struct Tile {
    /// Kernel and stride; `None` takes every shape.
    pub(crate) shape: Option<([usize; 2], [usize; 2])>,
    /// The kernel.
    pub entry: Entry<Run>,
}

/// One tier's depthwise kernels.
#[derive(Debug)]
pub struct Entries {
    /// How the tier's weights are packed.
    pub(crate) layout: Layout,
    /// The kernels, special ones first; the last one takes every shape.
    pub tiles: &'static [Tile],
}

/// The smallest shift at which the high half of a product is all that the rounding needs.
const HIGH_SHIFT: i32 = 33;
/// More than the products of 25 taps can sum to.
const MOST_OF_PRODUCTS: i64 = 1 << 20;

/// Whether shifts below [`HIGH_SHIFT`] can be raised to it, inside int32: a sum that moves left by as much as its shift
/// is raised has the same quotient.
fn can_raise_shifts(r: &Requantize<'_>) -> bool {
    r.bias.iter().zip(r.shift).all(|(&bias, &shift)| {
        let left = (HIGH_SHIFT - shift).max(0);
        (i64::from(bias).abs() + MOST_OF_PRODUCTS) << left < 1 << 31
    })
}

/// The kernel that a tier runs for a shape: the first that takes it.
pub fn select(
    row: &Row,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
) -> &'static Entry<Run> {
    let takes = |tile: &&Tile| match tile.shape {
        None => true,
        Some(shape) => shape == (kernel, stride) && dilation == [1, 1],
    };
    let tile = row.depthwise.tiles.iter().find(takes);
    &tile.expect("the last kernel takes every shape").entry
}

/// The bytes of the packed weights.
pub fn packed_len(k: Kernels, channels: usize, kernel: [usize; 2]) -> usize {
    k.row().depthwise.layout.packed_len(channels, kernel)
}

/// Packs weights `[channels, kh, kw]`. Panics where a length is wrong; `out` has [`packed_len`] bytes.
pub fn pack(k: Kernels, weights: &[i8], channels: usize, kernel: [usize; 2], out: &mut [u8]) {
    k.row().depthwise.layout.pack(weights, channels, kernel, out);
}

/// Some rows of the output image, from the whole input image:
/// `requantize(bias[c] + sum(w[c] * x), ..)`. Panics where a length or the geometry breaks its bounds.
pub fn run(k: Kernels, x: &[u8], d: &Depthwise<'_>, rows: Range<usize>, out: &mut [u8]) {
    let window = &d.window;
    window.assert_slices(x, &rows, out);
    assert_eq!(d.packed.len(), packed_len(k, window.channels, window.kernel), "the packed weights' length");
    let Requantize { bias, multiplier, shift, zero_point, lo, hi } = d.requantize;
    let lengths = [bias.len(), multiplier.len(), shift.len()];
    assert_eq!(lengths, [window.channels; 3], "the lengths of bias, multiplier and shift");
    assert!((0..=255).contains(&zero_point) && 0 <= lo && lo <= hi && hi <= 255, "{:?}", d.requantize);
    debug_assert!(shift.iter().all(|shift| (1..=62).contains(shift)), "shifts are in 1..=62");
    if out.is_empty() {
        return;
    }
    // The special kernels read some pixel of the image even where all of it is padding.
    let dilation = if x.is_empty() { [0, 0] } else { window.dilation };
    let entry = select(k.row(), window.kernel, window.stride, dilation);
    // SAFETY: `k` proves the tier; the lengths are checked.
    unsafe { (entry.run)(x, d, rows, out) }
}
