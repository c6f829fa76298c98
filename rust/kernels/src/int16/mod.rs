//! Kernels of 16-bit activations: int16 at the zero point 0, whose sums of products with int8 are exact in 64 bits.
//!
//! Sums are taken in int32 as long as no input can make them leave it, and go on in 64 bits where one could.

pub mod convert;
pub mod depthwise;
pub mod elementwise;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod lanes;
pub mod pool;
pub mod product;
mod rule;
#[cfg(test)]
mod tests;

pub use rule::{Floats, Requantize, reach};

/// One tier's kernels.
#[derive(Debug)]
pub struct Entries {
    /// Matrix products and convolutions.
    pub product: product::Entries,
    /// Depthwise convolutions.
    pub depthwise: depthwise::Entries,
    /// Sums and products of two tensors.
    pub elementwise: elementwise::Entries,
    /// Pools.
    pub pool: pool::Entries,
    /// Conversions and tables.
    pub convert: convert::Entries,
}

pub(crate) const SCALAR: Entries = Entries {
    product: product::SCALAR,
    depthwise: depthwise::SCALAR,
    elementwise: elementwise::SCALAR,
    pool: pool::SCALAR,
    convert: convert::SCALAR,
};
pub(crate) const AVX2: Entries = Entries {
    product: product::AVX2,
    depthwise: depthwise::AVX2,
    elementwise: elementwise::AVX2,
    pool: pool::AVX2,
    convert: convert::AVX2,
};
pub(crate) const AVX512VNNI: Entries = Entries {
    product: product::AVX512VNNI,
    depthwise: depthwise::AVX512VNNI,
    elementwise: elementwise::AVX512VNNI,
    pool: pool::AVX512VNNI,
    convert: convert::AVX512VNNI,
};
pub(crate) const NEON: Entries = Entries {
    product: product::NEON,
    depthwise: depthwise::NEON,
    elementwise: elementwise::NEON,
    pool: pool::NEON,
    convert: convert::NEON,
};
