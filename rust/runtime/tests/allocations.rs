//! A run allocates nothing once its plan is made and has run.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use octavo_runtime::{Arena, Options, Session, isa};

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

// One test: another beside it would allocate.
#[test]
fn runs_allocate_nothing() {
    let network = include_bytes!("data/small_network.octavo");
    for tier in isa::available() {
        for threads in [1, 2] {
            let options = Options { threads: Some(threads), isa: Some(tier.name().to_owned()) };
            let session = Session::new(network, &options).unwrap();
            // The larger one is cut between threads.
            for shape in [[1, 3, 8, 8], [4, 3, 48, 48]] {
                let plan = session.plan(&[shape]).unwrap();
                let input = Arena::new(4 * shape.iter().product::<usize>()).unwrap();
                let mut outputs: Vec<Arena> =
                    plan.outputs().iter().map(|output| Arena::new(output.bytes()).unwrap()).collect();
                let [scores, codes] = &mut outputs[..] else { panic!("the network has two outputs") };
                let mut run = || {
                    let plan = session.plan(&[shape]).unwrap();
                    session
                        .run(&plan, &[input.bytes()], &mut [scores.bytes_mut(), codes.bytes_mut()])
                        .unwrap();
                };
                // The first run makes the arena and starts the worker, which takes its time on a machine that is emulated.
                for _ in 0..50 {
                    let before = ALLOCATIONS.load(Ordering::Relaxed);
                    run();
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    if ALLOCATIONS.load(Ordering::Relaxed) == before {
                        break;
                    }
                }
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                (0..50).for_each(|_| run());
                let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
                assert_eq!(allocations, 0, "{} of {threads} threads, {shape:?}", tier.name());
            }
        }
    }
}
