//! The lookup's plain loop.

/// # Safety
/// `x` and `out` are valid for `length` bytes, and the same or disjoint.
pub(super) unsafe fn lookup(x: *const u8, table: &[u8; 256], out: *mut u8, length: usize) {
    for i in 0..length {
        // SAFETY: `i` is below the length; a byte is read before the same byte is written.
        unsafe { *out.add(i) = table[usize::from(*x.add(i))] };
    }
}
