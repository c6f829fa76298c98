//! The kernels of the tiers of 256-bit registers, which differ in their dot product alone.

use std::ops::Range;

use super::dot::{All, Dot};
use super::entries::{Depthwise, Floats, can_raise_shifts, is_exact_in_floats};
use super::finish::{AnyScale, Bytes, RaisedScale, ToFloats};
use super::general::GroupFinish;
use super::{general, row, slide, strip};
use crate::requantize::{FloatScale, Requantize};

/// Defines a tier's kernels by its features and its register.
macro_rules! tier {
    ($features:literal, $register:ty) => {
        use std::ops::Range;

        use crate::depthwise::entries::{Depthwise, Floats};
        use crate::depthwise::ymm;
        use crate::requantize::Requantize;

        ymm::kernels!($features, Requantize, u8,
            bytes_3x3s1 = ymm::bytes_of_shape::<$register, 3, 1, 2>;
            bytes_3x3s2 = ymm::bytes_of_shape::<$register, 3, 2, 1>;
            bytes_5x5s1 = ymm::bytes_of_shape::<$register, 5, 1, 2>;
            bytes_5x5s2 = ymm::bytes_of_shape::<$register, 5, 2, 1>;
            bytes_any = ymm::bytes_of_any::<$register>;
            bytes_row = ymm::bytes_of_rows::<$register>;
        );
        ymm::kernels!($features, Floats, f32,
            floats_3x3s1 = ymm::floats_of_shape::<$register, 3, 1, 2>;
            floats_3x3s2 = ymm::floats_of_shape::<$register, 3, 2, 1>;
            floats_5x5s1 = ymm::floats_of_shape::<$register, 5, 1, 2>;
            floats_5x5s2 = ymm::floats_of_shape::<$register, 5, 2, 1>;
            floats_any = ymm::floats_of_any::<$register>;
            floats_row = ymm::floats_of_rows::<$register>;
        );
    };
}
pub(super) use tier;

/// Defines functions compiled for a tier.
macro_rules! kernels {
    ($features:literal, $epilogue:ident, $out:ty, $($name:ident = $source:expr;)*) => {$(
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run`] or [`crate::depthwise::run_to_floats`] asserts.
        #[target_feature(enable = $features)]
        pub(in crate::depthwise) unsafe fn $name(
            x: &[u8],
            d: &Depthwise<'_, $epilogue<'_>>,
            rows: Range<usize>,
            out: &mut [$out],
        ) {
            // SAFETY: the caller's promise.
            unsafe { $source(x, d, rows, out) }
        }
    )*};
}
pub(super) use kernels;

/// A kernel of its own, with the epilogue of the shifts, or the general code where there are too few channels or a shift can
/// neither stay nor be raised.
///
/// # Safety
/// The CPU has the tier of `D`; the bounds that [`super::run`] asserts.
#[inline(always)]
pub(super) unsafe fn bytes_of_shape<D: Dot, const KERNEL: usize, const STRIDE: usize, const DOWN: usize>(
    x: &[u8],
    d: &Depthwise<'_, Requantize<'_>>,
    rows: Range<usize>,
    out: &mut [u8],
) where
    for<'a> Requantize<'a>: GroupFinish<D::Group, Out = u8>,
{
    // SAFETY: the caller's promise, and what each asks for beside it.
    unsafe {
        if d.window.channels < D::LANES {
            general::run::<D::Group, _>(x, d, rows, out)
        } else if is_exact_in_floats(&d.epilogue) {
            slide::run::<D, Bytes<_, _, FloatScale<_>>, KERNEL, STRIDE, DOWN, 2>(x, d, rows, out, All)
        } else if can_raise_shifts(d) {
            slide::run::<D, Bytes<_, _, RaisedScale<_>>, KERNEL, STRIDE, DOWN, 2>(x, d, rows, out, All)
        } else {
            general::run::<D::Group, _>(x, d, rows, out)
        }
    }
}

/// The same of any kernel.
///
/// # Safety
/// As [`bytes_of_shape`].
#[inline(always)]
pub(super) unsafe fn bytes_of_any<D: Dot>(
    x: &[u8],
    d: &Depthwise<'_, Requantize<'_>>,
    rows: Range<usize>,
    out: &mut [u8],
) where
    for<'a> Requantize<'a>: GroupFinish<D::Group, Out = u8>,
{
    // SAFETY: the caller's promise, and what each asks for beside it.
    unsafe {
        if d.window.channels < D::LANES {
            general::run::<D::Group, _>(x, d, rows, out)
        } else if is_exact_in_floats(&d.epilogue) {
            strip::run::<D, Bytes<_, _, FloatScale<_>>>(x, d, rows, out, All)
        } else if can_raise_shifts(d) {
            strip::run::<D, Bytes<_, _, RaisedScale<_>>>(x, d, rows, out, All)
        } else {
            general::run::<D::Group, _>(x, d, rows, out)
        }
    }
}

/// Few channels.
///
/// # Safety
/// As [`bytes_of_shape`]; a window that rows take.
#[inline(always)]
pub(super) unsafe fn bytes_of_rows<D: Dot>(
    x: &[u8],
    d: &Depthwise<'_, Requantize<'_>>,
    rows: Range<usize>,
    out: &mut [u8],
) where
    for<'a> Requantize<'a>: GroupFinish<D::Group, Out = u8>,
{
    // SAFETY: the caller's promise, and what each asks for beside it.
    unsafe {
        if is_exact_in_floats(&d.epilogue) {
            row::run::<D, Bytes<_, _, FloatScale<_>>>(x, d, rows, out)
        } else {
            row::run::<D, Bytes<_, _, AnyScale<_>>>(x, d, rows, out)
        }
    }
}

/// A kernel of its own, or the general code where there are too few channels.
///
/// # Safety
/// The CPU has the tier of `D`; the bounds that [`super::run_to_floats`] asserts.
#[inline(always)]
pub(super) unsafe fn floats_of_shape<D: Dot, const KERNEL: usize, const STRIDE: usize, const DOWN: usize>(
    x: &[u8],
    d: &Depthwise<'_, Floats<'_>>,
    rows: Range<usize>,
    out: &mut [f32],
) where
    for<'a> Floats<'a>: GroupFinish<D::Group, Out = f32>,
{
    // SAFETY: the caller's promise, and what each asks for beside it.
    unsafe {
        if d.window.channels < D::LANES {
            general::run::<D::Group, _>(x, d, rows, out)
        } else {
            slide::run::<D, ToFloats<_, _>, KERNEL, STRIDE, DOWN, 2>(x, d, rows, out, All)
        }
    }
}

/// The same of any kernel.
///
/// # Safety
/// As [`floats_of_shape`].
#[inline(always)]
pub(super) unsafe fn floats_of_any<D: Dot>(
    x: &[u8],
    d: &Depthwise<'_, Floats<'_>>,
    rows: Range<usize>,
    out: &mut [f32],
) where
    for<'a> Floats<'a>: GroupFinish<D::Group, Out = f32>,
{
    // SAFETY: the caller's promise, and what each asks for beside it.
    unsafe {
        if d.window.channels < D::LANES {
            general::run::<D::Group, _>(x, d, rows, out)
        } else {
            strip::run::<D, ToFloats<_, _>>(x, d, rows, out, All)
        }
    }
}

/// Few channels.
///
/// # Safety
/// As [`floats_of_shape`]; a window that rows take.
#[inline(always)]
pub(super) unsafe fn floats_of_rows<D: Dot>(
    x: &[u8],
    d: &Depthwise<'_, Floats<'_>>,
    rows: Range<usize>,
    out: &mut [f32],
) where
    for<'a> Floats<'a>: GroupFinish<D::Group, Out = f32>,
{
    // SAFETY: the caller's promise.
    unsafe { row::run::<D, ToFloats<_, _>>(x, d, rows, out) }
}
