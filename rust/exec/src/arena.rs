//! Aligned bytes.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ptr::NonNull;

/// The alignment of an arena's first byte: a cache line, and the widest vector.
const ALIGNMENT: usize = 64;

/// Zeroed bytes whose first is aligned to 64. Their number never changes.
pub struct Arena {
    /// What was allocated: enough for `len` bytes from the first aligned one. An allocation that asks for the
    /// alignment itself would be zeroed by writing, where this one takes the system's zero pages.
    allocation: NonNull<u8>,
    bytes: NonNull<u8>,
    len: usize,
}

/// The system has no room for this many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory {
    /// How many were asked for.
    pub bytes: usize,
}

// SAFETY: an arena owns its bytes, and hands them out only as `&[u8]` by `&self` and `&mut [u8]` by `&mut self`.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// `bytes` zero bytes; the system may give them real memory only when they are first written.
    ///
    /// # Errors
    /// `OutOfMemory` where the system refuses.
    pub fn new(bytes: usize) -> Result<Arena, OutOfMemory> {
        let layout = layout(bytes).ok_or(OutOfMemory { bytes })?;
        // SAFETY: the layout's size is not 0.
        let allocation = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(OutOfMemory { bytes })?;
        let skip = allocation.as_ptr().addr().wrapping_neg() % ALIGNMENT;
        // SAFETY: skip < ALIGNMENT, and the allocation is of ALIGNMENT more bytes than are used.
        let first = unsafe { allocation.add(skip) };
        Ok(Arena { allocation, bytes: first, len: bytes })
    }

    /// A copy of `bytes`, aligned.
    ///
    /// # Errors
    /// `OutOfMemory` where the system refuses.
    pub fn from_bytes(bytes: &[u8]) -> Result<Arena, OutOfMemory> {
        let mut arena = Arena::new(bytes.len())?;
        arena.bytes_mut().copy_from_slice(bytes);
        Ok(arena)
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All the bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes start at `bytes`, in the allocation that self owns.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }

    /// All the bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `bytes`, and `&mut self` makes the borrow exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Arena {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let layout = layout(self.len).expect("the layout it was allocated with");
        // SAFETY: allocated in `new` with this same layout.
        unsafe { dealloc(self.allocation.as_ptr(), layout) }
    }
}

/// With room to move the first byte to an aligned place.
fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(ALIGNMENT)?, 1).ok()
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no memory for {} bytes", self.bytes)
    }
}

impl std::error::Error for OutOfMemory {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arenas_are_zeroed_and_aligned() {
        for len in [0, 1, 63, 64, 65, 1 << 20] {
            let arena = Arena::new(len).unwrap();
            assert_eq!(arena.len(), len);
            assert_eq!(arena.is_empty(), len == 0);
            assert_eq!(arena.bytes().as_ptr().addr() % ALIGNMENT, 0);
            assert!(arena.bytes().iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_size_beyond_the_machine_is_an_error() {
        for bytes in [usize::MAX, isize::MAX as usize, 1 << 60] {
            // Out of the optimizer's sight: it takes an allocation that nobody uses as one that succeeds.
            let arena = std::hint::black_box(Arena::new(bytes));
            assert_eq!(arena.err(), Some(OutOfMemory { bytes }));
        }
    }

    #[test]
    fn from_bytes_copies() {
        assert_eq!(Arena::from_bytes(&[1, 2, 3]).unwrap().bytes(), [1, 2, 3]);
    }
}
