//! What each tier has of this family: code of its registers where that gains, compiled plain loops elsewhere.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::{AddParams, MulParams, vector};
use super::{Entries, plain};

crate::plain::vector_tiers!(Entries {
    add(a: &[u8], b: &[u8], p: &AddParams, out: &mut [u8]) = vector::add as "u8-add";
    mul(a: &[u8], b: &[u8], p: &MulParams, out: &mut [u8]) = vector::mul as "u8-mul";
});
