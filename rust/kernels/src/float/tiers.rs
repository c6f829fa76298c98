//! The one source of every family, compiled once a tier.

use std::ops::Range;

use super::binary::{self, Binary};
use super::interpolate::{self, Taps};
use super::normalization::{self, Channels, Norm, Statistic, Vectors};
use super::reduce::{self, Reduce};
use super::scores::{self, Scores};
use super::unary::{self, Unary};
use super::{depthwise, half, interleave, pool, softmax, transpose};
use crate::geometry::Window;
use crate::isa::Entry;

/// A tier's float kernels.
#[derive(Debug)]
#[expect(clippy::type_complexity, reason = "the signatures are the contract, each used once")]
pub struct Entries {
    /// Planes to pixels.
    pub interleave: Entry<unsafe fn(&[f32], usize, usize, &mut [f32])>,
    /// Depthwise convolutions.
    pub depthwise: Entry<unsafe fn(&depthwise::Arguments<'_>, &mut [f32])>,
    /// Functions of one tensor.
    pub unary: Entry<unsafe fn(Unary, &[f32], &mut [f32])>,
    /// Halves as numbers.
    pub widen: Entry<unsafe fn(&[u16], &mut [f32])>,
    /// Numbers rounded to halves.
    pub narrow: Entry<unsafe fn(&[f32], &mut [u16])>,
    /// Functions of two tensors.
    pub binary: Entry<unsafe fn(Binary, &[f32], &[f32], &mut [f32])>,
    /// Reductions of contiguous elements.
    pub reduce_last: Entry<unsafe fn(Reduce, &[f32], usize, &mut [f32])>,
    /// Reductions of strided elements.
    pub reduce_strided: Entry<unsafe fn(Reduce, &[f32], usize, usize, &mut [f32])>,
    /// Interpolation along an axis.
    pub interpolate: Entry<unsafe fn(&[f32], usize, &Taps<'_>, Range<usize>, &mut [f32])>,
    /// Softmax and its logarithm.
    pub softmax: Entry<unsafe fn(&[f32], usize, usize, softmax::Sum, bool, &mut [f32])>,
    /// A factor, a mask and a softmax of rows.
    pub scores: Entry<unsafe fn(&Scores<'_>, &mut [f32])>,
    /// Batch normalization.
    pub batch_normalization: Entry<unsafe fn(&[f32], &Channels<'_>, usize, &mut [f32])>,
    /// Vectors normalized by their mean and deviation.
    pub vector_normalization: Entry<unsafe fn(&[f32], usize, &Vectors<'_>, &mut [f32])>,
    /// Means and deviations of vectors.
    pub vector_statistics: Entry<unsafe fn(Statistic, &[f32], usize, f32, &mut [f32])>,
    /// Vectors divided by their norms.
    pub norm_division: Entry<unsafe fn(Norm, &[f32], usize, usize, bool, &mut [f32])>,
    /// Maxima over a window.
    pub max_pool: Entry<unsafe fn(&[f32], &Window, Range<usize>, &mut [f32])>,
    /// Means over a window.
    pub average_pool: Entry<unsafe fn(&[f32], &Window, Option<[usize; 2]>, Range<usize>, &mut [f32])>,
    /// Transpositions of a matrix of elements of four bytes.
    pub transpose: Entry<unsafe fn(&[f32], usize, usize, &mut [f32])>,
}

mod plain {
    use super::*;

    crate::plain::plain_tiers!(Entries {
        interleave(planes: &[f32], stride: usize, channels: usize, out: &mut [f32])
            = interleave::kernel as "f32-interleave";
        depthwise(a: &depthwise::Arguments<'_>, out: &mut [f32]) = depthwise::plain::kernel as "f32-depthwise";
        unary(op: Unary, x: &[f32], out: &mut [f32]) = unary::kernel as "f32-unary";
        widen(x: &[u16], out: &mut [f32]) = half::widen_kernel as "f32-from-f16";
        narrow(x: &[f32], out: &mut [u16]) = half::narrow_kernel as "f16-from-f32";
        binary(op: Binary, a: &[f32], b: &[f32], out: &mut [f32]) = binary::kernel as "f32-binary";
        reduce_last(op: Reduce, x: &[f32], n: usize, out: &mut [f32]) = reduce::last_axis_kernel as "f32-reduce-last";
        reduce_strided(op: Reduce, x: &[f32], n: usize, inner: usize, out: &mut [f32])
            = reduce::strided_kernel as "f32-reduce-strided";
        interpolate(x: &[f32], inner: usize, taps: &Taps<'_>, rows: Range<usize>, out: &mut [f32])
            = interpolate::kernel as "f32-interpolate";
        softmax(x: &[f32], n: usize, inner: usize, sum: softmax::Sum, log: bool, out: &mut [f32])
            = softmax::kernel as "f32-softmax";
        scores(by: &Scores<'_>, rows: &mut [f32]) = scores::kernel as "f32-scores";
        batch_normalization(x: &[f32], channels: &Channels<'_>, run: usize, out: &mut [f32])
            = normalization::batch_kernel as "f32-batch-normalization";
        vector_normalization(x: &[f32], first: usize, by: &Vectors<'_>, out: &mut [f32])
            = normalization::vectors_kernel as "f32-vector-normalization";
        vector_statistics(which: Statistic, x: &[f32], n: usize, epsilon: f32, out: &mut [f32])
            = normalization::statistics_kernel as "f32-vector-statistics";
        norm_division(norm: Norm, x: &[f32], n: usize, inner: usize, lanes: bool, out: &mut [f32])
            = normalization::norm_kernel as "f32-norm-division";
        max_pool(x: &[f32], window: &Window, rows: Range<usize>, out: &mut [f32]) = pool::max_kernel as "f32-maxpool";
        transpose(x: &[f32], rows: usize, columns: usize, out: &mut [f32]) = transpose::kernel as "f32-transpose";
        average_pool(
            x: &[f32], window: &Window, padding_counts: Option<[usize; 2]>, rows: Range<usize>, out: &mut [f32]
        ) = pool::average_kernel as "f32-averagepool";
    });
}

#[cfg(target_arch = "x86_64")]
pub(crate) const AVX2: Entries = Entries {
    depthwise: Entry { name: "avx2-f32-depthwise", run: depthwise::x86::avx2 },
    transpose: Entry { name: "avx2-f32-transpose", run: transpose::x86::avx2 },
    ..plain::AVX2
};
pub(crate) use plain::SCALAR;
#[cfg(target_arch = "x86_64")]
pub(crate) const AVX512VNNI: Entries = Entries {
    depthwise: Entry { name: "avx512vnni-f32-depthwise", run: depthwise::x86::avx512 },
    transpose: Entry { name: "avx2-f32-transpose", run: transpose::x86::avx2 },
    ..plain::AVX512VNNI
};

// A row that this architecture cannot run still stands in the table.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) use plain::SCALAR as AVX2;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) use plain::SCALAR as AVX512VNNI;
