//! What each tier has of this family: code of its registers where that gains, compiled plain loops elsewhere.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::ops::Range;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::{Average, Mean, Window, vector};
use super::{Entries, plain};

crate::plain::vector_tiers!(Entries {
    average(x: &[u8], window: &Window, rows: Range<usize>, average: &Average<'_>, out: &mut [u8])
        = vector::average as "u8-averagepool";
    mean(x: &[u8], channels: usize, mean: &Mean, out: &mut [u8]) = vector::mean as "u8-mean";
});
