//! octavo-kernels: pure functions on slices. No allocation, no threads, no graph; SIMD `unsafe` lives here.

pub mod gemm;
pub mod isa;
pub mod requantize;
