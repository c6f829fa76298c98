//! What a tier has of this family, and a convolution as its kernels take it.

use std::ops::Range;

use super::pack::Packing;
use crate::geometry::Window;
use crate::isa::Entry;
use crate::requantize::{HIGH_SHIFT, Requantize};

/// A depthwise convolution, and what becomes of its sums: [`Requantize`] makes bytes of them, [`Floats`] float32.
#[derive(Clone, Copy, Debug)]
pub struct Depthwise<'a, E> {
    /// Geometry; taps outside the image read the zero point.
    pub window: Window,
    /// The weights as the kernel that [`Tiles::select`] gives for the window has them, [`Packing::pack`].
    pub packed: &'a [u8],
    /// One value a channel; the bias of the sums already holds `-x_zero_point * sum(w)`.
    pub epilogue: E,
    /// The input's zero point.
    pub x_zero_point: u8,
}

/// What turns int32 sums into float32: for channel `c`, `fma(float32(acc + acc_bias[c]) * x_scale, scale[c], bias[c])`,
/// then `lo` where that is not above it, then `hi` where it is above that; NaN stays.
#[derive(Clone, Copy, Debug)]
pub struct Floats<'a> {
    /// One a channel, added to the sum modulo 2^32.
    pub acc_bias: &'a [i32],
    /// The input's scale.
    pub x_scale: f32,
    /// One a channel: the weights' scales.
    pub scale: &'a [f32],
    /// One a channel.
    pub bias: &'a [f32],
    /// The smallest result; not NaN.
    pub lo: f32,
    /// The largest result; not NaN.
    pub hi: f32,
}

impl Floats<'_> {
    /// The result of a channel's sum, which began with `acc_bias`.
    #[inline(always)]
    pub(super) fn of(&self, acc: i32, channel: usize) -> f32 {
        let x = (acc as f32 * self.x_scale).mul_add(self.scale[channel], self.bias[channel]);
        let x = if x <= self.lo { self.lo } else { x };
        if x > self.hi { self.hi } else { x }
    }
}

/// The code of a kernel that makes bytes. It asks for the bounds that [`run`](super::run) asserts.
pub(crate) type ToBytes = unsafe fn(&[u8], &Depthwise<'_, Requantize<'_>>, Range<usize>, &mut [u8]);
/// The code of a kernel that makes float32. It asks for the bounds that [`run_to_floats`](super::run_to_floats) asserts.
pub(crate) type ToFloats = unsafe fn(&[u8], &Depthwise<'_, Floats<'_>>, Range<usize>, &mut [f32]);

/// The convolutions that a kernel is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// All.
    Any,
    /// Those of a kernel and a stride, with taps side by side.
    Shape([usize; 2], [usize; 2]),
    /// Those of few channels, or of a number that leaves many lanes of the last group empty.
    Rows,
}

impl Takes {
    fn takes(self, window: &Window, packing: &Packing) -> bool {
        // The special kernels read some pixel of the image even where all of it is padding.
        let has_pixels = window.input[0] > 0 && window.input[1] > 0;
        match self {
            Takes::Any => true,
            Takes::Shape(kernel, stride) => {
                has_pixels && (kernel, stride) == (window.kernel, window.stride) && window.dilation == [1, 1]
            }
            Takes::Rows => has_pixels && packing.takes_rows(window),
        }
    }
}

/// A kernel with what it is made for.
#[derive(Debug)]
pub struct Tile<R> {
    pub(crate) takes: Takes,
    /// How it has its weights.
    pub packing: Packing,
    /// The kernel.
    pub entry: Entry<R>,
}

/// A tier's kernels of one result, special ones first; the last one takes every shape.
#[derive(Debug)]
pub struct Tiles<R: 'static> {
    /// The kernels.
    pub all: &'static [Tile<R>],
}

impl<R> Tiles<R> {
    /// The kernel that runs for a window: the first that takes it.
    pub fn select(&self, window: &Window) -> &'static Tile<R> {
        let takes = |tile: &&Tile<R>| tile.takes.takes(window, &tile.packing);
        self.all.iter().find(takes).expect("the last kernel takes every window")
    }

    /// The kernel for a convolution. Panics where a slice has not the length of its geometry.
    pub(super) fn checked<E, T>(
        &self,
        x: &[u8],
        d: &Depthwise<'_, E>,
        rows: &Range<usize>,
        out: &[T],
    ) -> &'static Entry<R> {
        let window = &d.window;
        window.assert_slices(x, rows, out);
        let tile = self.select(window);
        let packed = tile.packing.packed_len(window.channels, window.kernel);
        assert_eq!(d.packed.len(), packed, "the packed weights' length");
        &tile.entry
    }
}

/// One tier's depthwise kernels.
#[derive(Debug)]
pub struct Entries {
    /// Those that make bytes.
    pub to_bytes: Tiles<ToBytes>,
    /// Those that make float32.
    pub to_floats: Tiles<ToFloats>,
}

/// Whether one rounding in float32 gives the bytes of all sums.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn is_exact_in_floats(r: &Requantize<'_>) -> bool {
    let (least, most) = r.shift.iter().fold((62, 1), |(least, most), &s| (s.min(least), s.max(most)));
    crate::requantize::is_exact_in_floats(r.reach, least, most)
}

/// Whether shifts below [`HIGH_SHIFT`] can be raised to it, inside int32: a sum that moves left by as much as its shift
/// is raised has the same quotient.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    expect(dead_code, reason = "no tier of this architecture asks")
)]
pub(super) fn can_raise_shifts(d: &Depthwise<'_, Requantize<'_>>) -> bool {
    let [kh, kw] = d.window.kernel;
    let products = kh.saturating_mul(kw).saturating_mul(255 * 128).min(1 << 31) as i64;
    d.epilogue.bias.iter().zip(d.epilogue.shift).all(|(&bias, &shift)| {
        let left = (HIGH_SHIFT - shift).max(0);
        (i64::from(bias).abs() + products) << left < 1 << 31
    })
}
