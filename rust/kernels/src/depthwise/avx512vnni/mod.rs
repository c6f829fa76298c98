//! Depthwise convolution on AVX-512 VNNI: a word is 4 taps, one int32 lane a channel, so that one vpdpbusd adds 4
//! products of each of 16 channels.

mod fours;
mod wide;

use std::ops::Range;

use crate::depthwise::dot::All;
use crate::depthwise::entries::{Depthwise, Floats, can_raise_shifts, is_exact_in_floats};
use crate::depthwise::finish::{AnyScale, Bytes, RaisedScale, ToFloats};
use crate::depthwise::pack::GROUP;
use crate::depthwise::{general, row, slide, strip};
use crate::requantize::FloatScale;
use crate::simd::Zmm;
use fours::{First, Fours};
use wide::ByteDepthwise;

/// A kernel of whole blocks of 32 channels.
type Wide = unsafe fn(&[u8], &ByteDepthwise<'_>, Range<usize>, &mut [u8]);

/// What becomes of the sums of 16 channels where one rounding in float32 gives the bytes.
type Plain = Bytes<Zmm, All, FloatScale<Zmm>>;
/// What becomes of the sums of up to 16 channels whose shifts can be raised.
type Raised = Bytes<Zmm, First, RaisedScale<Zmm>>;

/// Whether [`Plain`] takes the channels.
fn is_plain(d: &ByteDepthwise<'_>) -> bool {
    d.window.channels >= GROUP && is_exact_in_floats(&d.epilogue)
}

/// The channels of the only or of every group.
fn of_group(d: &ByteDepthwise<'_>) -> First {
    First::new(d.window.channels.min(GROUP))
}

/// Defines a kernel for one shape: groups of channels by [`slide::run`] with the numbers in brackets, after the blocks
/// of 32 that `$wide` takes.
macro_rules! sliding {
    ($name:ident, [$($slide:literal),*], $wide:expr) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        pub(in crate::depthwise) unsafe fn $name(x: &[u8], d: &ByteDepthwise<'_>, rows: Range<usize>, out: &mut [u8]) {
            let wide: Option<Wide> = $wide;
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if !is_plain(d) {
                    return if can_raise_shifts(d) {
                        slide::run::<Zmm, Raised, $($slide),*>(x, d, rows, out, of_group(d))
                    } else {
                        general::run::<Fours, _>(x, d, rows, out)
                    };
                }
                let mut from = 0;
                if let Some(wide) = wide && d.window.output[1] >= wide::STEP {
                    wide(x, d, rows.clone(), out);
                    from = d.window.channels / wide::WIDE * (wide::WIDE / GROUP);
                }
                slide::run_from::<Zmm, Plain, $($slide),*>(x, d, rows, out, All, from);
            }
        }
    };
}
sliding!(run_3x3s1, [3, 1, 2, 2], Some(wide::run::<1, 2>));
sliding!(run_3x3s2, [3, 2, 1, 2], Some(wide::run::<2, 1>));
sliding!(run_5x5s1, [5, 1, 2, 2], None);
sliding!(run_5x5s2, [5, 2, 1, 2], None);

/// # Safety
/// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in crate::depthwise) unsafe fn run_any(
    x: &[u8],
    d: &ByteDepthwise<'_>,
    rows: Range<usize>,
    out: &mut [u8],
) {
    // SAFETY: the caller's promise, and what each asks for beside it.
    unsafe {
        if is_plain(d) {
            strip::run::<Zmm, Plain>(x, d, rows, out, All)
        } else if can_raise_shifts(d) {
            strip::run::<Zmm, Raised>(x, d, rows, out, of_group(d))
        } else {
            general::run::<Fours, _>(x, d, rows, out)
        }
    }
}

/// Runs `$module`'s code for whole groups, or for the only one.
macro_rules! floats {
    ($name:ident, $module:ident $(, $number:literal)*) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run_to_floats`] asserts.
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        pub(in crate::depthwise) unsafe fn $name(x: &[u8], d: &Depthwise<'_, Floats<'_>>, rows: Range<usize>, out: &mut [f32]) {
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if d.window.channels >= GROUP {
                    $module::run::<Zmm, ToFloats<_, _> $(, $number)*>(x, d, rows, out, All)
                } else {
                    $module::run::<Zmm, ToFloats<_, _> $(, $number)*>(x, d, rows, out, First::new(d.window.channels))
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
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in crate::depthwise) unsafe fn bytes_row(
    x: &[u8],
    d: &ByteDepthwise<'_>,
    rows: Range<usize>,
    out: &mut [u8],
) {
    // SAFETY: the caller's promise, and what each asks for beside it.
    unsafe {
        if is_exact_in_floats(&d.epilogue) {
            row::run::<Zmm, Bytes<_, _, FloatScale<_>>>(x, d, rows, out)
        } else {
            row::run::<Zmm, Bytes<_, _, AnyScale<_>>>(x, d, rows, out)
        }
    }
}

/// # Safety
/// The CPU has the tier; the bounds that [`crate::depthwise::run_to_floats`] asserts.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in crate::depthwise) unsafe fn floats_row(
    x: &[u8],
    d: &Depthwise<'_, Floats<'_>>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe { row::run::<Zmm, ToFloats<_, _>>(x, d, rows, out) }
}
