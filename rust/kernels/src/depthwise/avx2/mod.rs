//! Depthwise convolution on AVX2: a word is 2 taps, widened to int16, so that one vpmaddwd adds 2 products of each of
//! 8 channels. The products and their sums are exact: 2 * 255 * 128 is far inside int32.

mod pairs;

use std::ops::Range;

use crate::depthwise::dot::{All, are_blocks};
use crate::depthwise::entries::{Depthwise, Floats, can_raise_shifts};
use crate::depthwise::finish::{Bytes, ToFloats};
use crate::depthwise::{general, slide, strip};
use crate::requantize::{HIGH_SHIFT, Requantize};
use crate::simd::Ymm;
use pairs::Pairs;

/// Runs `$module`'s code with the epilogue of the shifts, or the general code where there are too few channels or a shift can
/// neither stay nor be raised.
macro_rules! bytes {
    ($name:ident, $module:ident $(, $number:literal)*) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
        #[target_feature(enable = "avx2,fma")]
        pub(in crate::depthwise) unsafe fn $name(x: &[u8], d: &Depthwise<'_, Requantize<'_>>, rows: Range<usize>, out: &mut [u8]) {
            let high = d.epilogue.shift.iter().all(|&shift| shift >= HIGH_SHIFT);
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if !are_blocks::<Ymm>(d.window.channels) || !(high || can_raise_shifts(d)) {
                    general::run::<Pairs, _>(x, d, rows, out)
                } else if high {
                    $module::run::<Ymm, Bytes<_, _, false> $(, $number)*>(x, d, rows, out, All)
                } else {
                    $module::run::<Ymm, Bytes<_, _, true> $(, $number)*>(x, d, rows, out, All)
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
                if are_blocks::<Ymm>(d.window.channels) {
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
