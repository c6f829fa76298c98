//! The child of a fork has the pool's memory and none of its threads.
#![cfg(all(unix, not(loom)))]

mod common;

use octavo_exec::Pool;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

// From the C library, which std links.
unsafe extern "C" {
    fn fork() -> c_int;
    fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn alarm(seconds: u32) -> u32;
    fn _exit(status: c_int) -> !;
}

/// Runs `child` in a fork and asserts that it returns within 20 seconds.
fn in_fork(child: impl FnOnce()) {
    // SAFETY: the child calls only what the pool and these tests do: the C library and std make memory, threads
    // and locks of their own usable after a fork, and `_exit` leaves without running the parent's destructors.
    let process = unsafe { fork() };
    assert!(process >= 0, "fork failed");
    if process == 0 {
        // SAFETY: no arguments to get wrong; the signal ends the child if it hangs.
        unsafe { alarm(20) };
        let result = catch_unwind(AssertUnwindSafe(child));
        // SAFETY: ends the process.
        unsafe { _exit(c_int::from(result.is_err())) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid for the call.
    let waited = unsafe { waitpid(process, &raw mut status, 0) };
    assert_eq!((waited, status), (process, 0), "the child hung (14) or panicked (256)");
}

fn fill(pool: &Pool) {
    let mut out = [0; 1000];
    pool.slices(&mut out, 10, |index, piece| piece.fill(index));
    assert!(out.iter().enumerate().all(|(element, &value)| value == element / 10));
}

// One test: a fork copies the whole process, so nothing else may run beside it.
#[test]
fn children_get_answers_and_workers_of_their_own() {
    let pool = Pool::new(2);
    in_fork(|| common::await_help(&pool)); // no workers yet
    common::await_help(&pool);
    in_fork(|| fill(&pool)); // the workers spin
    std::thread::sleep(Duration::from_millis(10));
    in_fork(|| fill(&pool)); // the workers sleep
    in_fork(|| {
        let _inference = pool.begin();
        common::await_help(&pool);
        in_fork(|| {
            let _inference = pool.begin();
            common::await_help(&pool);
        });
    });

    // Another thread is in a job at the fork: in the child that job never ends.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                pool.run(8, &|_| std::thread::sleep(Duration::from_micros(100)));
            }
        });
        for _ in 0..20 {
            std::thread::sleep(Duration::from_micros(700));
            in_fork(|| {
                fill(&pool);
                let _inference = pool.begin();
                common::await_help(&pool);
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    common::await_help(&pool);

    let mut pool = Some(pool);
    in_fork(|| drop(pool.take())); // joins no thread that is not there
    common::await_help(pool.as_ref().expect("the parent's own"));
}
