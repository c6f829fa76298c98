//! Table lookup: any chain of unary functions of one uint8 tensor is a 256-entry table.

#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::isa::{Entry, Has, code};

pub(crate) const SCALAR: Entries =
    Entries { lookup: Entry { name: "scalar-u8-lookup", code: Some(plain::lookup) } };
pub(crate) const AVX2: Entries =
    Entries { lookup: Entry { name: "avx2-u8-lookup", code: code!("x86_64": x86::lookup_avx2) } };
pub(crate) const AVX512VNNI: Entries =
    Entries { lookup: Entry { name: "avx512vnni-u8-lookup", code: code!("x86_64": x86::lookup_avx512) } };
pub(crate) const NEON: Entries =
    Entries { lookup: Entry { name: "neon-u8-lookup", code: code!("aarch64": neon::lookup) } };

/// Reads `length` bytes and writes as many; the two places are the same or do not overlap.
type Run = unsafe fn(*const u8, &[u8; 256], *mut u8, usize);

/// One tier's lookup.
#[derive(Debug)]
pub struct Entries {
    /// See [`lookup`].
    pub lookup: Entry<Run>,
}

/// `out[i] = table[x[i]]`. Panics where the lengths differ.
pub fn lookup(k: impl Has<Entries>, x: &[u8], table: &[u8; 256], out: &mut [u8]) {
    assert_eq!(x.len(), out.len(), "the lengths of input and output");
    // SAFETY: `k` proves the tier; both slices have that many bytes and do not overlap.
    unsafe { (k.entries().lookup.code())(x.as_ptr(), table, out.as_mut_ptr(), out.len()) }
}

/// `x[i] = table[x[i]]`.
pub fn lookup_in_place(k: impl Has<Entries>, x: &mut [u8], table: &[u8; 256]) {
    let start = x.as_mut_ptr();
    // SAFETY: `k` proves the tier; the slice has that many bytes, and is both input and output.
    unsafe { (k.entries().lookup.code())(start, table, start, x.len()) }
}
