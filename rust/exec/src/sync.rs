//! The locks, atomics and threads that the pool is built on, from std or, under `--cfg loom`, from loom.

#[cfg(not(loom))]
pub use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

#[cfg(loom)]
pub use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

/// `std::cell::UnsafeCell` with loom's interface, where loom checks each access for races.
#[cfg(not(loom))]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A wait in a loop: pauses at first, then also yields the core, so that a machine with more threads than cores
/// goes on working.
pub struct Wait {
    #[cfg(not(loom))]
    pauses: u32,
    #[cfg(not(loom))]
    since: std::time::Instant,
}

#[cfg(not(loom))]
impl Wait {
    /// Pauses between two looks at the clock: about a microsecond.
    const PAUSES: u32 = 64;
    /// Pure spinning until here: a system call would lengthen the answer to the next job.
    const YIELD_AFTER: std::time::Duration = std::time::Duration::from_micros(50);

    pub fn new() -> Self {
        Self { pauses: 0, since: std::time::Instant::now() }
    }

    /// One pause; false once `limit` has passed since `new`.
    #[inline]
    pub fn pause(&mut self, limit: impl Fn() -> std::time::Duration) -> bool {
        self.pause_or_yield(limit, thread::yield_now)
    }

    #[inline]
    fn pause_or_yield(&mut self, limit: impl Fn() -> std::time::Duration, yield_now: impl FnOnce()) -> bool {
        std::hint::spin_loop();
        self.pauses += 1;
        if self.pauses < Self::PAUSES {
            return true;
        }
        self.pauses = 0;
        let waited = self.since.elapsed();
        if waited > Self::YIELD_AFTER {
            yield_now();
        }
        waited < limit()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_long_wait_yields_its_core_and_a_short_one_does_not() {
        let mut wait = Wait::new();
        let mut yields = 0;
        // The time is looked at only after so many pauses, so these are pauses alone.
        for _ in 1..Wait::PAUSES {
            assert!(wait.pause_or_yield(|| Duration::ZERO, || yields += 1));
        }
        assert_eq!(yields, 0);
        std::thread::sleep(Wait::YIELD_AFTER + Duration::from_millis(1));
        assert!(wait.pause_or_yield(|| Duration::MAX, || yields += 1));
        assert_eq!(yields, 1);
        // And again at every look from now on.
        for _ in 0..3 * Wait::PAUSES {
            assert!(wait.pause_or_yield(|| Duration::MAX, || yields += 1));
        }
        assert_eq!(yields, 4);
    }

    #[test]
    fn a_wait_ends_with_its_limit_and_no_sooner() {
        let mut wait = Wait::new();
        for _ in 1..Wait::PAUSES {
            assert!(wait.pause(|| Duration::ZERO));
        }
        assert!(!wait.pause(|| Duration::ZERO));
        for _ in 0..2 * Wait::PAUSES {
            assert!(wait.pause(|| Duration::MAX));
        }
    }
}

#[cfg(loom)]
impl Wait {
    pub fn new() -> Self {
        Self {}
    }

    /// Under loom time does not pass: one turn of the others, and the limit is over.
    pub fn pause(&mut self, _limit: impl Fn() -> std::time::Duration) -> bool {
        thread::yield_now();
        false
    }
}
