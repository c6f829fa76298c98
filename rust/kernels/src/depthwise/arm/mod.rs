//! Depthwise convolution on 64-bit ARM, on groups of 8 channels: the tiers differ in their dot products.

pub(super) mod dotprod;
mod dots;
pub(super) mod i8mm;
pub(super) mod neon;

use crate::simd::{Qs, Vector};

/// Channels of a group.
const LANES: usize = <Qs as Vector>::LANES;

/// Defines a tier's kernels: its features, its registers for groups of channels and those for rows, and groups of any number of
/// channels.
macro_rules! kernels {
    ($features:literal, $register:ty, $row:ty, $group:ty) => {
        use std::ops::Range;

        use crate::depthwise::arm::{bytes, floats};
        use crate::depthwise::dot::All;
        use crate::depthwise::entries::{Depthwise, Floats, can_raise_shifts, is_exact_in_floats};
        use crate::depthwise::finish::{self, AnyScale, RaisedScale, ToFloats};
        use crate::depthwise::{general, row, slide, strip};
        use crate::requantize::{FloatScale, Requantize};

        bytes!($features, $register, $group, bytes_3x3s1, slide, 3, 1, 2, 2);
        bytes!($features, $register, $group, bytes_3x3s2, slide, 3, 2, 1, 2);
        bytes!($features, $register, $group, bytes_5x5s1, slide, 5, 1, 2, 2);
        bytes!($features, $register, $group, bytes_5x5s2, slide, 5, 2, 1, 2);
        bytes!($features, $register, $group, bytes_any, strip);
        floats!($features, $register, $group, floats_3x3s1, slide, 3, 1, 2, 2);
        floats!($features, $register, $group, floats_3x3s2, slide, 3, 2, 1, 2);
        floats!($features, $register, $group, floats_5x5s1, slide, 5, 1, 2, 2);
        floats!($features, $register, $group, floats_5x5s2, slide, 5, 2, 1, 2);
        floats!($features, $register, $group, floats_any, strip);

        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
        #[target_feature(enable = $features)]
        pub(in crate::depthwise) unsafe fn bytes_row(
            x: &[u8],
            d: &Depthwise<'_, Requantize<'_>>,
            rows: Range<usize>,
            out: &mut [u8],
        ) {
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if is_exact_in_floats(&d.epilogue) {
                    row::run::<$row, finish::Bytes<_, _, FloatScale<_>>>(x, d, rows, out)
                } else {
                    row::run::<$row, finish::Bytes<_, _, AnyScale<_>>>(x, d, rows, out)
                }
            }
        }

        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run_to_floats`] asserts.
        #[target_feature(enable = $features)]
        pub(in crate::depthwise) unsafe fn floats_row(
            x: &[u8],
            d: &Depthwise<'_, Floats<'_>>,
            rows: Range<usize>,
            out: &mut [f32],
        ) {
            // SAFETY: the caller's promise.
            unsafe { row::run::<$row, ToFloats<_, _>>(x, d, rows, out) }
        }
    };
}
use kernels;

/// Runs `$module`'s code with the epilogue of the shifts, or the general code where there are too few channels or a shift
/// can neither stay nor be raised.
macro_rules! bytes {
    ($features:literal, $register:ty, $group:ty, $name:ident, $module:ident $(, $number:literal)*) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
        #[target_feature(enable = $features)]
        pub(in crate::depthwise) unsafe fn $name(
            x: &[u8],
            d: &Depthwise<'_, Requantize<'_>>,
            rows: Range<usize>,
            out: &mut [u8],
        ) {
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if d.window.channels < crate::depthwise::arm::LANES {
                    general::run::<$group, _>(x, d, rows, out)
                } else if is_exact_in_floats(&d.epilogue) {
                    $module::run::<$register, finish::Bytes<_, _, FloatScale<_>> $(, $number)*>(x, d, rows, out, All)
                } else if can_raise_shifts(d) {
                    $module::run::<$register, finish::Bytes<_, _, RaisedScale<_>> $(, $number)*>(x, d, rows, out, All)
                } else {
                    general::run::<$group, _>(x, d, rows, out)
                }
            }
        }
    };
}
use bytes;

/// Runs `$module`'s code, or the general one where there are too few channels.
macro_rules! floats {
    ($features:literal, $register:ty, $group:ty, $name:ident, $module:ident $(, $number:literal)*) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run_to_floats`] asserts.
        #[target_feature(enable = $features)]
        pub(in crate::depthwise) unsafe fn $name(
            x: &[u8],
            d: &Depthwise<'_, Floats<'_>>,
            rows: Range<usize>,
            out: &mut [f32],
        ) {
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if d.window.channels < crate::depthwise::arm::LANES {
                    general::run::<$group, _>(x, d, rows, out)
                } else {
                    $module::run::<$register, ToFloats<_, _> $(, $number)*>(x, d, rows, out, All)
                }
            }
        }
    };
}
use floats;
