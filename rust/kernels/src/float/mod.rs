//! Float32 kernels with the same bits on every tier.
//!
//! Each family is one plain source, `kernel`, written with `mul_add` in one fixed order per output and compiled once a
//! tier: vectors only ever hold different outputs, or the lanes that the rule itself names. The scalar tier's `mul_add`
//! is libm's `fmaf`, which is exact. Safe entries check shapes, then call the tier's code through the one table.
//!
//! The rules: a dot product is one chain of fused multiply-adds from +0; sums over contiguous elements use 16 lanes
//! folded by 8, 4, 2, 1; every other sum is one chain in index order. Subnormals are kept; NaN passes on.

pub mod binary;
pub mod depthwise;
pub mod gemm;
pub mod math;
pub mod pool;
pub mod power;
pub mod reduce;
pub mod softmax;
mod tiers;
pub mod trigonometry;
pub mod unary;

#[cfg(test)]
mod tests;

pub use tiers::Entries;
pub(crate) use tiers::{AVX2, AVX512, SCALAR};

/// A window sliding over one NHWC image.
///
/// Output row `y`, column `x` sees the input rows `y * stride - pad + i * dilation`, `i` in `0..kernel`, and likewise
/// the columns. Positions outside the image are padding; there may be any number of them after the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Output height.
    pub oh: usize,
    /// Output width.
    pub ow: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Vertical and horizontal dilation.
    pub dilation: [usize; 2],
    /// Padding at the top and at the left.
    pub pad: [usize; 2],
}

impl Geometry {
    /// The input row that kernel row `i` sees at output row `y`, if it is inside the image.
    #[inline(always)]
    fn input_row(&self, y: usize, i: usize) -> Option<usize> {
        (y * self.stride[0] + i * self.dilation[0]).checked_sub(self.pad[0]).filter(|&row| row < self.h)
    }

    /// The input column that kernel column `j` sees at output column `x`, if it is inside the image.
    #[inline(always)]
    fn input_column(&self, x: usize, j: usize) -> Option<usize> {
        (x * self.stride[1] + j * self.dilation[1]).checked_sub(self.pad[1]).filter(|&column| column < self.w)
    }

    /// Panics unless `x` is the whole image, `rows` are output rows, and `out` holds just those rows.
    fn check(&self, x: &[f32], rows: &std::ops::Range<usize>, out: &[f32]) {
        assert_eq!(x.len(), self.h * self.w * self.c, "image");
        assert!(rows.start <= rows.end && rows.end <= self.oh, "rows");
        assert_eq!(out.len(), rows.len() * self.ow * self.c, "output rows");
    }
}
