//! octavo-kernels: pure functions on slices. No allocation, no threads, no graph; SIMD `unsafe` lives here.

#[cfg(test)]
mod contracts;
pub mod cpu;
pub mod depthwise;
pub mod elementwise;
pub mod float;
pub mod gemm;
pub mod geometry;
pub mod int16;
pub mod isa;
pub mod lookup;
mod plain;
pub mod pool;
pub mod quantize;
pub mod requantize;
mod rows;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod simd;
pub mod softmax;
pub mod table;
mod unroll;
