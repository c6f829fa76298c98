//! Depthwise convolution on AVX-512 VNNI: a word is 4 taps, one int32 lane a channel, so that one vpdpbusd adds 4
//! products of each of 16 channels.
//!
//! 3x3 and 5x5 keep the input columns that neighbouring outputs share in registers: see `slide` and `wide`.

mod fours;
mod lanes;
mod slide;
mod wide;

use std::ops::Range;

use crate::depthwise::entries::can_raise_shifts;
use crate::depthwise::general;
use crate::depthwise::pack::GROUP;
use crate::requantize::HIGH_SHIFT;
use fours::Fours;
use lanes::ByteDepthwise;

/// Defines a kernel for one shape: groups of channels by [`slide::run`] with the numbers in brackets, after the blocks
/// of 32 that `$wide` takes.
macro_rules! sliding {
    ($name:ident, [$($slide:literal),*], $wide:expr) => {
        /// # Safety
        /// The CPU has the tier; the bounds that [`crate::depthwise::run`] asserts.
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        pub(in crate::depthwise) unsafe fn $name(x: &[u8], d: &ByteDepthwise<'_>, rows: Range<usize>, out: &mut [u8]) {
            let channels = d.window.channels;
            let is_plain = channels >= GROUP && d.epilogue.shift.iter().all(|&shift| shift >= HIGH_SHIFT);
            let wide: Option<Wide> = $wide;
            // SAFETY: the caller's promise, and what each asks for beside it.
            unsafe {
                if !is_plain {
                    return if can_raise_shifts(d) {
                        slide::run::<$($slide,)* false>(x, d, rows, out, 0)
                    } else {
                        general::run::<Fours, _>(x, d, rows, out)
                    };
                }
                match wide {
                    Some(wide) if d.window.output[1] >= wide::STEP => {
                        wide(x, d, rows.clone(), out);
                        let from = channels / wide::WIDE * (wide::WIDE / GROUP);
                        slide::run::<$($slide,)* true>(x, d, rows, out, from);
                    }
                    _ => slide::run::<$($slide,)* true>(x, d, rows, out, 0),
                }
            }
        }
    };
}
/// A kernel of whole blocks of 32 channels.
type Wide = unsafe fn(&[u8], &ByteDepthwise<'_>, Range<usize>, &mut [u8]);
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
    // SAFETY: the caller's promise.
    unsafe { general::run::<Fours, _>(x, d, rows, out) }
}
