//! A run allocates nothing: neither jobs nor views ask for memory once the workers are started.
#![cfg(not(loom))]

use octavo_exec::{Arena, Place, Pool, Slot, Views};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: System does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are System's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn runs_and_views_allocate_nothing() {
    let pool = Pool::new(2);
    let mut arena = Arena::new(4096).unwrap();
    let input = [3; 1024];
    let inputs: [&[u8]; 1] = [&input];
    let constants: [Arena; 0] = [];
    let mut views = Views::new(&mut arena, &inputs, &mut [], &constants);
    let mut inference = || {
        let _inference = pool.begin();
        for offset in [0, 1024, 2048] {
            let read = Slot { place: Place::Input(0), offset: 0, len: 1024 };
            let ([from], [to]) = views.get([read], [Slot { place: Place::Arena, offset, len: 1024 }]);
            pool.slices(to, 100, |index, piece| piece.copy_from_slice(&from[index * 100..][..piece.len()]));
        }
    };
    inference(); // starts the worker
    std::thread::sleep(Duration::from_millis(20));
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..100 {
        inference();
        std::thread::sleep(Duration::from_micros(300)); // the worker falls asleep
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
}
