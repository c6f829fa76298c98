//! The one source of every family, compiled once a tier.

use std::ops::Range;

use super::binary::{self, Binary};
use super::gemm;
use super::reduce::{self, Reduce};
use super::unary::{self, Unary};
use super::{Geometry, depthwise, pool, softmax};
use crate::isa::Entry;

/// A tier's float kernels.
#[derive(Debug)]
#[expect(clippy::type_complexity, reason = "the signatures are the contract, each used once")]
pub struct Entries {
    /// Matrix products and convolutions.
    pub gemm: Entry<unsafe fn(&gemm::Arguments<'_>, &mut [f32])>,
    /// Depthwise convolutions.
    pub depthwise: Entry<unsafe fn(&depthwise::Arguments<'_>, &mut [f32])>,
    /// Functions of one tensor.
    pub unary: Entry<unsafe fn(Unary, &[f32], &mut [f32])>,
    /// Functions of two tensors.
    pub binary: Entry<unsafe fn(Binary, &[f32], &[f32], &mut [f32])>,
    /// Reductions of contiguous elements.
    pub reduce_last: Entry<unsafe fn(Reduce, &[f32], usize, &mut [f32])>,
    /// Reductions of strided elements.
    pub reduce_strided: Entry<unsafe fn(Reduce, &[f32], usize, usize, &mut [f32])>,
    /// Softmax and its logarithm.
    pub softmax: Entry<unsafe fn(&[f32], usize, usize, bool, &mut [f32])>,
    /// Maxima over a window.
    pub max_pool: Entry<unsafe fn(&[f32], &Geometry, Range<usize>, &mut [f32])>,
    /// Means over a window.
    pub average_pool: Entry<unsafe fn(&[f32], &Geometry, Option<[usize; 2]>, Range<usize>, &mut [f32])>,
}

macro_rules! tier {
    ($entries:ident, $code:ident, $isa:literal, $rows:literal $(, $features:literal)?) => {
        mod $code {
            use super::*;

            $(#[target_feature(enable = $features)])?
            pub(super) fn gemm(arguments: &gemm::Arguments<'_>, out: &mut [f32]) {
                gemm::kernel::<$rows>(arguments, out)
            }

            $(#[target_feature(enable = $features)])?
            pub(super) fn depthwise(arguments: &depthwise::Arguments<'_>, out: &mut [f32]) {
                depthwise::kernel(arguments, out)
            }

            $(#[target_feature(enable = $features)])?
            pub(super) fn unary(op: Unary, x: &[f32], out: &mut [f32]) {
                unary::kernel(op, x, out)
            }

            $(#[target_feature(enable = $features)])?
            pub(super) fn binary(op: Binary, a: &[f32], b: &[f32], out: &mut [f32]) {
                binary::kernel(op, a, b, out)
            }

            $(#[target_feature(enable = $features)])?
            pub(super) fn reduce_last(op: Reduce, x: &[f32], n: usize, out: &mut [f32]) {
                reduce::last_axis_kernel(op, x, n, out)
            }

            $(#[target_feature(enable = $features)])?
            pub(super) fn reduce_strided(op: Reduce, x: &[f32], n: usize, inner: usize, out: &mut [f32]) {
                reduce::strided_kernel(op, x, n, inner, out)
            }

            $(#[target_feature(enable = $features)])?
            pub(super) fn softmax(x: &[f32], n: usize, inner: usize, log: bool, out: &mut [f32]) {
                softmax::kernel(x, n, inner, log, out)
            }

            $(#[target_feature(enable = $features)])?
            pub(super) fn max_pool(x: &[f32], geometry: &Geometry, rows: Range<usize>, out: &mut [f32]) {
                pool::max_kernel(x, geometry, rows, out)
            }

            $(#[target_feature(enable = $features)])?
            pub(super) fn average_pool(
                x: &[f32],
                geometry: &Geometry,
                padding_counts: Option<[usize; 2]>,
                rows: Range<usize>,
                out: &mut [f32],
            ) {
                pool::average_kernel(x, geometry, padding_counts, rows, out)
            }
        }

        pub(crate) const $entries: Entries = Entries {
            gemm: Entry { name: concat!($isa, "-f32-gemm-", $rows, "x16"), run: $code::gemm },
            depthwise: Entry { name: concat!($isa, "-f32-depthwise"), run: $code::depthwise },
            unary: Entry { name: concat!($isa, "-f32-unary"), run: $code::unary },
            binary: Entry { name: concat!($isa, "-f32-binary"), run: $code::binary },
            reduce_last: Entry { name: concat!($isa, "-f32-reduce-last"), run: $code::reduce_last },
            reduce_strided: Entry { name: concat!($isa, "-f32-reduce-strided"), run: $code::reduce_strided },
            softmax: Entry { name: concat!($isa, "-f32-softmax"), run: $code::softmax },
            max_pool: Entry { name: concat!($isa, "-f32-max-pool"), run: $code::max_pool },
            average_pool: Entry { name: concat!($isa, "-f32-average-pool"), run: $code::average_pool },
        };
    };
}

tier!(SCALAR, scalar, "scalar", 4);
#[cfg(target_arch = "x86_64")]
tier!(AVX2, avx2, "avx2", 6, "avx2,fma");
#[cfg(target_arch = "x86_64")]
tier!(AVX512, avx512, "avx512vnni", 12, "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq");
// A row that this architecture cannot run still stands in the table.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) use SCALAR as AVX2;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) use SCALAR as AVX512;
