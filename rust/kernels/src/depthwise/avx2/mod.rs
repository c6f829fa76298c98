//! Depthwise convolution on AVX2: a word is 2 taps, widened to int16, so that one vpmaddwd adds 2 products of each of
//! 8 channels. The products and their sums are exact: 2 * 255 * 128 is far inside int32.

mod pairs;

use std::ops::Range;

use crate::depthwise::dot::All;
use crate::depthwise::entries::{Depthwise, Floats, can_raise_shifts, is_exact_in_floats};
use crate::depthwise::finish::{AnyScale, Bytes, RaisedScale, ToFloats};
use crate::depthwise::{general, row, slide, strip};
use crate::requantize::{FloatScale, Requantize};
use crate::simd::{Vector, Ymm};
use pairs::Pairs;

/// Whether there are as many channels as a group has.
fn has_groups(channels: usize) -> bool {
    channels >= Ymm::LANES
}

/// Runs `$module`'s code with the epilogue of the shifts, or the general code where there are too few channels or a shift
/// can neither stay nor be raised.
macro_rules! bytes {
    ($name:ident, $module:ident $(, $number:literal)*) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
        #[target_feature(enable = "avx2,fma")]
        pub(in crate::depthwise) unsafe fn $name(x: &[u8], d: &Depthwise<'_, Requantize<'_>>, rows: Range<usize>, out: &mut [u8]) {
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if !has_groups(d.window.channels) {
                    general::run::<Pairs, _>(x, d, rows, out)
                } else if is_exact_in_floats(&d.epilogue) {
                    $module::run::<Ymm, Bytes<_, _, FloatScale<_>> $(, $number)*>(x, d, rows, out, All)
                } else if can_raise_shifts(d) {
                    $module::run::<Ymm, Bytes<_, _, RaisedScale<_>> $(, $number)*>(x, d, rows, out, All)
                } else {
                    general::run::<Pairs, _>(x, d, rows, out)
                }
            }
        }
    };
}
bytes!(bytes_3x3s1, slide, 3, 1, 2, 2);
bytes!(bytes_3x3s2, slide, 3, 2, 1, 2);
bytes!(bytes_5x5s1, slide, 5, 1, 2, 2);
bytes!(bytes_5x5s2, slide, 5, 2, 1, 2);
bytes!(bytes_any, strip);

/// Runs `$module`'s code, or the general one where there are too few channels.
macro_rules! floats {
    ($name:ident, $module:ident $(, $number:literal)*) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run_to_floats`] asserts.
        #[target_feature(enable = "avx2,fma")]
        pub(in crate::depthwise) unsafe fn $name(x: &[u8], d: &Depthwise<'_, Floats<'_>>, rows: Range<usize>, out: &mut [f32]) {
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if has_groups(d.window.channels) {
                    $module::run::<Ymm, ToFloats<_, _> $(, $number)*>(x, d, rows, out, All)
                } else {
                    general::run::<Pairs, _>(x, d, rows, out)
                }
            }
        }
    };
}
floats!(floats_3x3s1, slide, 3, 1, 2, 2);
floats!(floats_3x3s2, slide, 3, 2, 1, 2);
floats!(floats_5x5s1, slide, 5, 1, 2, 2);
floats!(floats_5x5s2, slide, 5, 2, 1, 2);
floats!(floats_any, strip);

/// # Safety
/// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
#[target_feature(enable = "avx2,fma")]
pub(in crate::depthwise) unsafe fn bytes_row(
    x: &[u8],
    d: &Depthwise<'_, Requantize<'_>>,
    rows: Range<usize>,
    out: &mut [u8],
) {
    // SAFETY: the caller's promise, and what each asks for beside it.
    unsafe {
        if is_exact_in_floats(&d.epilogue) {
            row::run::<Ymm, Bytes<_, _, FloatScale<_>>>(x, d, rows, out)
        } else {
            row::run::<Ymm, Bytes<_, _, AnyScale<_>>>(x, d, rows, out)
        }
    }
}

/// # Safety
/// The CPU has the tier; the bounds that [`crate::depthwise::run_to_floats`] asserts.
#[target_feature(enable = "avx2,fma")]
pub(in crate::depthwise) unsafe fn floats_row(
    x: &[u8],
    d: &Depthwise<'_, Floats<'_>>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe { row::run::<Ymm, ToFloats<_, _>>(x, d, rows, out) }
}
