//! What several tests of the pool need.

use octavo_exec::Pool;
use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Runs jobs until a worker has taken part in one. A single job may find the workers on their way to sleep.
///
/// # Panics
/// If no worker comes within ten seconds.
pub fn await_help(pool: &Pool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let seen = Mutex::new(HashSet::new());
    while seen.lock().unwrap().len() < 2 {
        assert!(Instant::now() < deadline, "no worker took part");
        pool.run(2, &|_| {
            seen.lock().unwrap().insert(std::thread::current().id());
            std::thread::sleep(Duration::from_millis(1));
        });
    }
}
