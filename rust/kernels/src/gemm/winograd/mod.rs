//! Convolutions of 3x3 by steps of 1 through Winograd's F(4x4, 3x3), exact in integers.
//!
//! A tile of 4x4 outputs reads 6x6 pixels d and is `A' (G g G' . B' d B) A`: 36 multiplications a channel where there were
//! 144. Here G's rows are scaled to whole numbers, so that `B' d B` (at most 12,750) and `G g G'` (at most 6,272) are words, and
//! their products' sums are 576 times what they should be, modulo 2^32. The inverse of 9 leaves 64 times the sum, exact where the
//! sum is below 2^25 in magnitude: see [`is_exact`]. From there on it is a product's: bias, residual, epilogue.
//!
//! S. Winograd, Arithmetic complexity of computations, SIAM 1980; A. Lavin and S. Gray, Fast algorithms for convolutional neural
//! networks, CVPR 2016.

#[cfg(test)]
mod tests;
pub(super) mod tiles;
mod transform;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vector;

use std::ops::Range;

pub use tiles::{Image, TILE};
pub(super) use tiles::{TOGETHER, Tiles};
use transform::{POINTS, transform_weights};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use vector::{input, output, points};

use super::entries::{Entries, Panel};
use super::epilogue::ColumnParams;
use super::pack::{GROUP, UNIT};
use super::{Out, check, ends_of_panel, panel_units};
use crate::isa::Has;
use crate::rows::Left;

/// Channels are rounded up to this: words of the widest register.
const LANES: usize = 32;
/// Bytes of a pair of k of a unit's transformed weights.
pub(super) const PAIR_BYTES: usize = 4 * UNIT;
/// What a sum must stay below in magnitude.
const SUM_END: i64 = 1 << 25;

/// Whether the sums of all outputs stay where the transforms are exact, whatever the pixels, formula (5b) of docs/arithmetic.md:
/// the weights of each of the `n` outputs lie together.
pub fn is_exact(weights: &[i8], n: usize) -> bool {
    let sum = |weights: &[i8], sign: i64| weights.iter().map(|&w| (sign * i64::from(w)).max(0)).sum::<i64>();
    let per_output = (weights.len() / n.max(1)).max(1);
    weights.chunks_exact(per_output).all(|w| 255 * sum(w, 1).max(sum(w, -1)) < SUM_END)
}

/// Bytes of the transformed weights of `n` outputs of `kc` channels.
pub fn packed_len(n: usize, kc: usize) -> usize {
    n.div_ceil(UNIT) * unit_bytes(kc)
}

fn unit_bytes(kc: usize) -> usize {
    POINTS * kc.div_ceil(GROUP) * 2 * PAIR_BYTES
}

/// Transforms weights `[n][9][kc]` into `out`, every byte of which is written.
///
/// # Panics
/// Where `weights` is not `n * 9 * kc` long or `out` is not [`packed_len`] long.
pub fn pack(weights: &[i8], n: usize, kc: usize, out: &mut [u8]) {
    assert_eq!(weights.len(), n * 9 * kc, "weights are n x 9 x kc");
    assert_eq!(out.len(), packed_len(n, kc), "out is packed_len bytes");
    out.fill(0);
    let points = unit_bytes(kc) / POINTS;
    for (number, unit) in out.chunks_exact_mut(unit_bytes(kc)).enumerate() {
        let columns = UNIT.min(n - number * UNIT);
        for k in 0..kc {
            let mut filters = [[0; UNIT]; 9];
            for c in 0..columns {
                let row = number * UNIT + c;
                for (tap, filters) in filters.iter_mut().enumerate() {
                    filters[c] = i16::from(weights[(row * 9 + tap) * kc + k]);
                }
            }
            for (point, values) in transform_weights(&filters).iter().enumerate() {
                let pair = &mut unit[point * points + k / 2 * PAIR_BYTES..][..PAIR_BYTES];
                for (word, value) in pair[k % 2 * 2..].chunks_mut(4).zip(values) {
                    word[..2].copy_from_slice(&value.to_le_bytes());
                }
            }
        }
    }
}

/// Numbers of 32 bits that [`run`] needs room for.
pub fn scratch_len(kc: usize) -> usize {
    POINTS * TOGETHER * (kc.next_multiple_of(LANES) / 2 + UNIT)
}

/// Whether the tier has this, and it is the faster way for a convolution of so many channels, outputs and pixels: measured. The
/// pixels of its tiles may be 1.5 times the output's; its weights take eight times their bytes, at most 4.5 MB.
pub fn pays(entries: &Entries, kc: usize, n: usize, output: [usize; 2]) -> bool {
    let pixels = output[0] * output[1];
    let tiles = output[0].div_ceil(TILE) * output[1].div_ceil(TILE);
    let fits = kc * n <= 1 << 16 && tiles * TILE * TILE * 2 <= pixels * 3;
    fits && entries.winograd.as_ref().is_some_and(|code| kc.min(n) >= code.channels && tiles >= code.tiles)
}

/// Computes the outputs of some rows of tiles, of `n` columns of `kc` channels; `out` begins with the first of the rows, and its
/// rows are pixels.
///
/// # Panics
/// Where a slice is shorter than its contract says, a parameter is out of its range, or the tier lacks this.
pub fn run(
    kernels: impl Has<Entries>,
    image: &Image,
    rows: Range<usize>,
    packed: &[u8],
    n: usize,
    scratch: &mut [i32],
    mut out: Out,
) {
    let code = kernels.entries().winograd.as_ref().expect("the tier has this family");
    let (kc, across) = (image.channels, image.across());
    assert!(n > 0 && kc > 0 && image.fill.len() == kc, "an empty product, or padding of other channels");
    assert!(image.data.len() >= image.size[0] * image.size[1] * kc, "the image leaves the data");
    assert_eq!(packed.len(), packed_len(n, kc), "the weights were packed for another shape");
    assert!(scratch.len() >= scratch_len(kc), "the scratch is short");
    let top = rows.start * TILE;
    assert!(rows.end * TILE < image.output[0] + TILE, "rows of tiles beyond the output");
    let m = ((rows.end * TILE).min(image.output[0]) - top.min(image.output[0])) * image.output[1];
    if m == 0 {
        return;
    }
    check(&out, m, n);
    let mut params = ColumnParams::ZERO;
    let channels = kc.next_multiple_of(LANES);
    let (pixels, products) = scratch.split_at_mut(POINTS * TOGETHER * channels / 2);
    let last = rows.end * across;
    for first in (rows.start * across..last).step_by(TOGETHER) {
        let count = TOGETHER.min(last - first);
        let mut tiles = Tiles {
            image,
            first,
            count,
            pixels: pixels.as_mut_ptr().cast(),
            channels,
            products: products.as_mut_ptr(),
            weights: std::ptr::null(),
            groups: kc.div_ceil(GROUP),
        };
        // SAFETY: `kernels` proves that the CPU has the tier; the scratch has room, the image's length has been asserted.
        unsafe { (code.input.code())(&tiles) };
        let mut unit = 0;
        while unit < n.div_ceil(UNIT) {
            let (width, from) = (panel_units(n.div_ceil(UNIT) - unit), unit * UNIT);
            let columns = (width * UNIT).min(n - from);
            let (joining, target) = ends_of_panel(kernels, &mut out, &mut params, from, columns);
            tiles.weights = packed[unit * unit_bytes(kc)..].as_ptr();
            let panel = Panel {
                left: Left::NONE,
                row_bias: &[],
                m,
                packed: std::ptr::null(),
                unit_bytes: unit_bytes(kc),
                followed: false,
                taps: 9,
                kc: tiles.channels,
                groups: tiles.groups,
                n: columns,
                columns: &params,
                joining,
                target,
            };
            // SAFETY: as above; check() has asserted that the rows of the output, and of a residual, lie inside their slices.
            unsafe { (code.output.code())(&panel, &tiles, top) };
            unit += width;
        }
    }
}
