//! Softmax of uint8 in integers. The output's scale is 1/256, its zero point 0.
//!
//! With `d = max - x` and `E = table[d]`: `y = min(255, floor((512 * E + sum) / (2 * sum)))`, the sum exact.

mod plain;
#[cfg(test)]
mod tests;

use crate::isa::{Entry, Has};

pub(crate) use plain::{AVX2, AVX512VNNI, NEON, SCALAR};

/// Input, n, inner, table, output.
type Run = unsafe fn(&[u8], usize, usize, &[i32; 256], &mut [u8]);

/// One tier's softmax.
#[derive(Debug)]
pub struct Entries {
    /// See [`softmax`].
    pub softmax: Entry<Run>,
}

/// Softmax over the middle axis of `[outer, n, inner]`. The table's entries are not negative; where all that a sum
/// meets are 0, the answer is 0. Panics where the lengths are not such a shape.
pub fn softmax(k: impl Has<Entries>, x: &[u8], n: usize, inner: usize, table: &[i32; 256], out: &mut [u8]) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    let slab = n.checked_mul(inner).expect("n * inner is a number");
    assert!(if slab == 0 { x.is_empty() } else { x.len().is_multiple_of(slab) }, "[_, {n}, {inner}]");
    assert!(u32::try_from(n).is_ok(), "at most 2^32 - 1 terms keep the sum in 64 bits");
    if slab > 0 {
        // SAFETY: `k` proves the tier.
        unsafe { (k.entries().softmax.code())(x, n, inner, table, out) }
    }
}
