//! Float32 kernels with the same bits on every tier.
//!
//! Each family is one plain source, `kernel`, written with `mul_add` in one fixed order per output and compiled once a
//! tier: vectors only ever hold different outputs, or the lanes that the rule itself names. The scalar tier's `mul_add`
//! is libm's `fmaf`, which is exact. Safe entries check shapes, then call the tier's code through the one table.
//!
//! The rules: a dot product is one chain of fused multiply-adds from +0; sums over the last axis alone use 16 lanes
//! folded by 8, 4, 2, 1; every other sum is one chain in index order. Subnormals are kept; NaN passes on.

pub mod binary;
pub mod depthwise;
pub mod epilogue;
pub mod gemm;
pub mod half;
pub mod interleave;
pub mod interpolate;
pub mod inverses;
pub mod math;
pub mod normalization;
pub mod pool;
pub mod power;
pub mod reduce;
pub mod scores;
pub mod softmax;
mod tiers;
pub mod transpose;
pub mod trigonometry;
pub mod unary;

#[cfg(test)]
mod contracts;
#[cfg(test)]
mod tests;

pub use tiers::Entries;
pub(crate) use tiers::{AVX2, AVX512VNNI, SCALAR};
