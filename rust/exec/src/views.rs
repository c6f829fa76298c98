//! Slices of the arena, the inputs, the outputs and the constants, several at a time.

use crate::Arena;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Whose bytes a slot lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The arena.
    Arena,
    /// The caller's input of this index: read only.
    Input(u16),
    /// The caller's output of this index.
    Output(u16),
    /// The constant of this index: read only.
    Constant(u16),
}

/// Bytes `offset .. offset + len` of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Whose bytes.
    pub place: Place,
    /// The first byte.
    pub offset: usize,
    /// How many bytes.
    pub len: usize,
}

/// All the memory of one run. Constants are `C`: anything that is bytes.
pub struct Views<'a, C: AsRef<[u8]> = Arena> {
    arena: NonNull<[u8]>,
    inputs: &'a [&'a [u8]],
    /// The caller's outputs, read as raw pointers: through a `&mut` each slice would end the one before it.
    outputs: *const [*mut [u8]],
    constants: &'a [C],
    borrows: PhantomData<(&'a mut Arena, &'a mut [&'a mut [u8]])>,
}

// SAFETY: a Views stands for the borrows that it was made of, which are Send where C is Sync.
unsafe impl<C: AsRef<[u8]> + Sync> Send for Views<'_, C> {}

impl<'a, C: AsRef<[u8]>> Views<'a, C> {
    /// Borrows the memory for a run.
    pub fn new(
        arena: &'a mut Arena,
        inputs: &'a [&'a [u8]],
        outputs: &'a mut [&mut [u8]],
        constants: &'a [C],
    ) -> Self {
        let outputs = std::ptr::from_mut(outputs) as *const [*mut [u8]];
        Self { arena: NonNull::from(arena.bytes_mut()), inputs, outputs, constants, borrows: PhantomData }
    }

    /// The slots' bytes, to read and to write, all at once.
    ///
    /// # Panics
    /// If a slot leaves its place, writes to an input or a constant, or if a written slot shares a byte with
    /// another slot. Each of these is a bug of the plan.
    pub fn get<const R: usize, const W: usize>(
        &mut self,
        reads: [Slot; R],
        writes: [Slot; W],
    ) -> ([&[u8]; R], [&mut [u8]; W]) {
        let (reads, [], writes) = self.get_optional(reads, [], writes);
        (reads, writes)
    }

    /// As [`Views::get`], where some slots to read may be missing.
    #[expect(clippy::type_complexity, reason = "three groups of slices")]
    pub fn get_optional<const R: usize, const O: usize, const W: usize>(
        &mut self,
        reads: [Slot; R],
        optional: [Option<Slot>; O],
        writes: [Slot; W],
    ) -> ([&[u8]; R], [Option<&[u8]>; O], [&mut [u8]; W]) {
        for (index, write) in writes.iter().enumerate() {
            for other in reads.iter().chain(optional.iter().flatten()).chain(&writes[..index]) {
                assert!(!write.overlaps(other), "{write:?} is written while {other:?} is used");
            }
        }
        let read = |slot: Slot| {
            let start = match slot.place {
                Place::Arena => slot.start(self.arena.as_ptr()),
                Place::Output(index) => slot.start(self.output(index)),
                Place::Input(index) => slot.start_of(self.inputs[usize::from(index)]),
                Place::Constant(index) => slot.start_of(self.constants[usize::from(index)].as_ref()),
            };
            // SAFETY: `start` checked that the bytes lie in their place, which is borrowed for 'a; no written slot
            // shares a byte with this one (checked above), and while the result lives `self` stays borrowed, so
            // that no other slice can be had that does.
            unsafe { std::slice::from_raw_parts(start, slot.len) }
        };
        let write = |slot: Slot| {
            let start = match slot.place {
                Place::Arena => slot.start(self.arena.as_ptr()),
                Place::Output(index) => slot.start(self.output(index)),
                Place::Input(_) | Place::Constant(_) => panic!("{slot:?} cannot be written"),
            };
            // SAFETY: as for reads, and the arena and the outputs are borrowed exclusively.
            unsafe { std::slice::from_raw_parts_mut(start, slot.len) }
        };
        (reads.map(read), optional.map(|slot| slot.map(read)), writes.map(write))
    }

    fn output(&self, index: u16) -> *mut [u8] {
        // SAFETY: `outputs` is the `&'a mut [&'a mut [u8]]` given to `new`, still borrowed; a reference and a raw
        // pointer have the same layout, and the copy read here keeps the reference's right to the bytes.
        unsafe { (&*self.outputs)[usize::from(index)] }
    }
}

impl Slot {
    fn overlaps(&self, other: &Slot) -> bool {
        // Saturating: a slot that leaves the address space is found by the bounds check.
        let (end, other_end) = (self.offset.saturating_add(self.len), other.offset.saturating_add(other.len));
        self.place == other.place && self.offset.max(other.offset) < end.min(other_end)
    }

    /// The slot's first byte, after checking that all its bytes are among `place`.
    fn start(self, place: *mut [u8]) -> *mut u8 {
        self.check(place.len());
        place.cast::<u8>().wrapping_add(self.offset)
    }

    fn start_of(self, place: &[u8]) -> *const u8 {
        self.check(place.len());
        place.as_ptr().wrapping_add(self.offset)
    }

    fn check(self, len: usize) {
        let inside = self.offset.checked_add(self.len).is_some_and(|end| end <= len);
        assert!(inside, "{self:?} leaves its place of {len} bytes");
    }
}
