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
pub mod exponentials;
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
pub mod transpose;
pub mod trigonometry;
pub mod unary;

#[cfg(test)]
mod contracts;
#[cfg(test)]
mod tests;

/// A tier's float kernels but for its matrix products.
#[derive(Debug)]
pub struct Entries {
    /// Planes to pixels.
    pub interleave: interleave::Entries,
    /// Depthwise convolutions.
    pub depthwise: depthwise::Entries,
    /// Functions of one tensor.
    pub unary: unary::Entries,
    /// Halves and numbers.
    pub half: half::Entries,
    /// Functions of two tensors.
    pub binary: binary::Entries,
    /// Reductions.
    pub reduce: reduce::Entries,
    /// Interpolation along an axis.
    pub interpolate: interpolate::Entries,
    /// Softmax and its logarithm.
    pub softmax: softmax::Entries,
    /// Exponentials of rows and their sums.
    pub exponentials: exponentials::Entries,
    /// A factor, a mask and a softmax of rows.
    pub scores: scores::Entries,
    /// Normalizations.
    pub normalization: normalization::Entries,
    /// Pools.
    pub pool: pool::Entries,
    /// Transpositions.
    pub transpose: transpose::Entries,
}

pub(crate) const SCALAR: Entries = Entries {
    interleave: interleave::SCALAR,
    depthwise: depthwise::SCALAR,
    unary: unary::SCALAR,
    half: half::SCALAR,
    binary: binary::SCALAR,
    reduce: reduce::SCALAR,
    interpolate: interpolate::SCALAR,
    softmax: softmax::SCALAR,
    exponentials: exponentials::SCALAR,
    scores: scores::SCALAR,
    normalization: normalization::SCALAR,
    pool: pool::SCALAR,
    transpose: transpose::SCALAR,
};

pub(crate) const AVX2: Entries = Entries {
    interleave: interleave::AVX2,
    depthwise: depthwise::AVX2,
    unary: unary::AVX2,
    half: half::AVX2,
    binary: binary::AVX2,
    reduce: reduce::AVX2,
    interpolate: interpolate::AVX2,
    softmax: softmax::AVX2,
    exponentials: exponentials::AVX2,
    scores: scores::AVX2,
    normalization: normalization::AVX2,
    pool: pool::AVX2,
    transpose: transpose::AVX2,
};

pub(crate) const AVX512VNNI: Entries = Entries {
    interleave: interleave::AVX512VNNI,
    depthwise: depthwise::AVX512VNNI,
    unary: unary::AVX512VNNI,
    half: half::AVX512VNNI,
    binary: binary::AVX512VNNI,
    reduce: reduce::AVX512VNNI,
    interpolate: interpolate::AVX512VNNI,
    softmax: softmax::AVX512VNNI,
    exponentials: exponentials::AVX512VNNI,
    scores: scores::AVX512VNNI,
    normalization: normalization::AVX512VNNI,
    pool: pool::AVX512VNNI,
    transpose: transpose::AVX512VNNI,
};

pub(crate) const NEON: Entries = Entries {
    interleave: interleave::NEON,
    depthwise: depthwise::NEON,
    unary: unary::NEON,
    half: half::NEON,
    binary: binary::NEON,
    reduce: reduce::NEON,
    interpolate: interpolate::NEON,
    softmax: softmax::NEON,
    exponentials: exponentials::NEON,
    scores: scores::NEON,
    normalization: normalization::NEON,
    pool: pool::NEON,
    transpose: transpose::NEON,
};
