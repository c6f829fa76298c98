//! The protocol between a caller and its workers.
//!
//! A job is a function and a number of chunks. The caller publishes it, takes part in it and waits for it; workers
//! that look meanwhile take part too. Nothing ever waits for a worker to arrive: if all of them sleep, the caller
//! does the job alone, so a lost wake-up costs time and never an answer.
//!
//! * `unclaimed` is the range of the chunks that nobody has claimed. A claim takes its first or its last one, while there
//!   is one. The caller takes from the front and the first worker from the back, so that each keeps to its own part of
//!   the tensors from one job to the next: what it reads is in its own cache.
//! * `unfinished` counts the chunks that are not done. Each thread subtracts what it did, once, when it finds
//!   nothing more to claim. Between its first claim and that subtraction the job cannot end, so `job` stays as
//!   it was published: this is what makes reading it sound.
//! * `busy` is held by the one caller whose job is published.

use crate::float_mode::FloatMode;
use crate::sync::{
    Arc, AtomicBool, AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, UnsafeCell, Wait, thread,
};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// How long a worker spins after its last chunk while an inference is going on ...
const SPIN_WITHIN: Duration = Duration::from_millis(2);
/// ... and when none is: long enough to meet the next one of a tight loop.
const SPIN_BETWEEN: Duration = Duration::from_micros(200);

/// What is published: the function with its lifetime erased.
#[derive(Clone, Copy)]
struct Job {
    f: *const (dyn Fn(usize) + Sync),
}

/// The chunks `front..back` that nobody has claimed, in one word.
#[derive(Clone, Copy)]
struct Unclaimed {
    front: u32,
    back: u32,
}

/// From where a thread claims.
#[derive(Clone, Copy)]
enum Side {
    Front,
    Back,
}

impl Unclaimed {
    fn of(word: u64) -> Unclaimed {
        Unclaimed { front: word as u32, back: (word >> 32) as u32 }
    }

    fn word(self) -> u64 {
        u64::from(self.back) << 32 | u64::from(self.front)
    }

    fn is_empty(self) -> bool {
        self.front >= self.back
    }

    /// What is left, and the chunk that was taken; `None` where there is none.
    fn take(self, side: Side) -> Option<(Unclaimed, u32)> {
        match side {
            _ if self.is_empty() => None,
            Side::Front => Some((Unclaimed { front: self.front + 1, ..self }, self.front)),
            Side::Back => Some((Unclaimed { back: self.back - 1, ..self }, self.back - 1)),
        }
    }
}

/// Keeps what the spinning threads read off the cache lines (pairs of them are fetched together) that others write.
#[repr(align(128))]
struct Padded<T>(T);

struct Shared {
    unclaimed: Padded<AtomicU64>,
    unfinished: Padded<AtomicUsize>,
    busy: Padded<AtomicBool>,
    /// Some worker is asleep, or none has been started: `ring` would do something.
    asleep: AtomicBool,
    /// Inferences going on.
    inferences: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    /// The first panic of the job.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    roll: Mutex<Roll>,
    bell: Condvar,
}

/// What the sleeping workers and those who wake them share.
struct Roll {
    workers: Vec<thread::JoinHandle<()>>,
    /// How often the bell was rung; a sleeper waits for a change.
    rings: usize,
    leave: bool,
}

// SAFETY: `job` is the one field that is not Sync by itself. It is written only by the holder of `busy` while
// `unfinished` is 0, and read only between a claim and the subtraction from `unfinished` (see the module's head);
// the function it points to is Sync and outlives the job, as `Team::run` waits for it.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is used only as above, on whatever thread.
unsafe impl Send for Shared {}

/// A caller's workers. They start when first needed and leave when the team is dropped.
pub struct Team {
    shared: Arc<Shared>,
    workers: usize,
}

impl Team {
    pub fn new(workers: usize) -> Self {
        let shared = Shared {
            unclaimed: Padded(AtomicU64::new(0)),
            unfinished: Padded(AtomicUsize::new(0)),
            busy: Padded(AtomicBool::new(false)),
            asleep: AtomicBool::new(true),
            inferences: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
            roll: Mutex::new(Roll { workers: Vec::new(), rings: 0, leave: false }),
            bell: Condvar::new(),
        };
        Self { shared: Arc::new(shared), workers }
    }

    /// True if the next `run` or `begin` has someone to wake or to start.
    pub fn is_asleep(&self) -> bool {
        self.shared.asleep.load(Ordering::Relaxed)
    }

    /// An inference begins: the workers wake now, and spin longer until it ends.
    pub fn begin(&self) {
        self.shared.inferences.fetch_add(1, Ordering::Relaxed);
        self.ring_if_asleep();
    }

    pub fn end(&self) {
        self.shared.inferences.fetch_sub(1, Ordering::Relaxed);
    }

    /// Runs f(i) for each i in 0..chunks and returns when all are done.
    pub fn run(&self, chunks: usize, f: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.shared;
        let Some(back) = u32::try_from(chunks).ok().filter(|_| !shared.busy.0.swap(true, Ordering::Acquire))
        else {
            (0..chunks).for_each(f);
            return;
        };
        // SAFETY: only the lifetime changes. This function returns after `unfinished` has fallen to 0, and nobody
        // calls `f` after that.
        let f = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(
                f,
            )
        };
        // SAFETY: this thread holds `busy`, and the last holder left after `unfinished` had fallen to 0: no reader.
        shared.job.with_mut(|job| unsafe { *job = Some(Job { f }) });
        shared.unfinished.0.store(chunks, Ordering::Relaxed);
        shared.unclaimed.0.store(Unclaimed { front: 0, back }.word(), Ordering::Release);
        self.ring_if_asleep();
        shared.take_part(Side::Front);
        let mut wait = Wait::new();
        while shared.unfinished.0.load(Ordering::Acquire) != 0 {
            wait.pause(|| Duration::MAX);
        }
        let panic = lock(&shared.panic).take();
        shared.busy.0.store(false, Ordering::Release);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    fn ring_if_asleep(&self) {
        if self.is_asleep() {
            self.ring();
        }
    }

    /// Wakes the sleepers; starts the workers the first time. Where a thread cannot be started there are fewer.
    #[cold]
    fn ring(&self) {
        let mut roll = lock(&self.shared.roll);
        self.shared.asleep.store(false, Ordering::Relaxed);
        roll.rings += 1;
        if roll.rings == 1 {
            for index in 0..self.workers {
                let side = if index % 2 == 0 { Side::Back } else { Side::Front };
                let shared = Arc::clone(&self.shared);
                let name = String::from("octavo");
                roll.workers.extend(thread::Builder::new().name(name).spawn(move || shared.work(side)));
            }
        }
        self.shared.bell.notify_all();
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        let workers = {
            let mut roll = lock(&self.shared.roll);
            roll.leave = true;
            self.shared.bell.notify_all();
            std::mem::take(&mut roll.workers)
        };
        for worker in workers {
            // A worker catches the panics of jobs, and has none of its own to report.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// A worker's life.
    fn work(&self, side: Side) {
        let _mode = FloatMode::set();
        loop {
            let mut wait = Wait::new();
            loop {
                if !Unclaimed::of(self.unclaimed.0.load(Ordering::Relaxed)).is_empty() {
                    self.take_part(side);
                    wait = Wait::new();
                }
                if !wait.pause(|| self.patience()) {
                    break;
                }
            }
            if !self.sleep() {
                return;
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.inferences.load(Ordering::Relaxed) == 0 { SPIN_BETWEEN } else { SPIN_WITHIN }
    }

    /// Claims chunks of the published job and runs them until none is left.
    fn take_part(&self, side: Side) {
        let mut done = 0;
        while let Some(chunk) = self.claim(side) {
            // SAFETY: a chunk is claimed and not yet subtracted from `unfinished`: the job is published and stays.
            let job = self.job.with(|job| unsafe { *job }).expect("a job is published before its chunks");
            // SAFETY: as above: `run` has not returned, so what `f` borrows is alive.
            let f = unsafe { &*job.f };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| f(chunk as usize))) {
                lock(&self.panic).get_or_insert(panic);
            }
            done += 1;
        }
        if done > 0 {
            self.unfinished.0.fetch_sub(done, Ordering::Release);
        }
    }

    fn claim(&self, side: Side) -> Option<u32> {
        let left = |word| Some(Unclaimed::of(word).take(side)?.0.word());
        let word = self.unclaimed.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, left).ok()?;
        Unclaimed::of(word).take(side).map(|(_, chunk)| chunk)
    }

    /// Sleeps until the bell rings; false if it is time to leave.
    fn sleep(&self) -> bool {
        let mut roll = lock(&self.roll);
        self.asleep.store(true, Ordering::Relaxed);
        let heard = roll.rings;
        while !roll.leave && roll.rings == heard {
            roll = self.bell.wait(roll).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        !roll.leave
    }
}

/// No code panics while it holds one of these locks, so poison carries no news.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(all(test, not(loom)))]
mod waiting {
    use super::*;

    #[test]
    fn workers_wait_longer_while_any_inference_goes_on() {
        let team = Team::new(1);
        assert_eq!(team.shared.patience(), SPIN_BETWEEN);
        team.begin();
        team.begin();
        assert_eq!(team.shared.patience(), SPIN_WITHIN);
        team.end();
        assert_eq!(team.shared.patience(), SPIN_WITHIN);
        team.end();
        assert_eq!(team.shared.patience(), SPIN_BETWEEN);
        assert!(SPIN_BETWEEN < SPIN_WITHIN);
    }

    /// A team without workers runs the chunks in their order: each after the one that panics is run as well, and of
    /// several panics it is the first that the caller meets.
    #[test]
    fn the_first_panic_is_resumed() {
        let team = Team::new(0);
        let runs = AtomicUsize::new(0);
        let job = |index: usize| {
            runs.fetch_add(1, Ordering::Relaxed);
            if index % 2 == 1 {
                resume_unwind(Box::new(index));
            }
        };
        for round in 1..=2 {
            let panic = catch_unwind(AssertUnwindSafe(|| team.run(6, &job))).expect_err("chunk 1 panics");
            assert_eq!(panic.downcast_ref(), Some(&1usize));
            assert_eq!(runs.load(Ordering::Relaxed), 6 * round);
        }
    }
}

/// Models of the protocol: loom tries every order of the threads' steps, and fails on a race, a deadlock or a
/// worker that outlives its team.
#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use crate::sync::UnsafeCell;

    /// Loom explores all orders with at most this many preemptions.
    const PREEMPTIONS: usize = 3;

    fn model(f: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(PREEMPTIONS);
        builder.check(f);
    }

    /// Cells written by the chunks without synchronisation: loom fails if two accesses could race.
    struct Out<const N: usize>([UnsafeCell<usize>; N]);

    // SAFETY: loom checks each access.
    unsafe impl<const N: usize> Sync for Out<N> {}

    impl<const N: usize> Out<N> {
        fn new() -> Self {
            Self(std::array::from_fn(|_| UnsafeCell::new(0)))
        }

        /// Adds 1 + index to the cell of this index.
        fn add(&self, index: usize) {
            // SAFETY: loom checks each access.
            self.0[index].with_mut(|cell| unsafe { *cell += 1 + index });
        }

        /// The same for all, each in a chunk of a job.
        fn add_by(&self, team: &Team) {
            team.run(N, &|index| self.add(index));
        }

        fn values(&self) -> [usize; N] {
            // SAFETY: loom checks each access.
            std::array::from_fn(|index| self.0[index].with(|cell| unsafe { *cell }))
        }
    }

    #[test]
    fn a_job_is_done_when_run_returns() {
        model(|| {
            let team = Team::new(1);
            let out = Out::<3>::new();
            out.add_by(&team);
            assert_eq!(out.values(), [1, 2, 3]);
        });
    }

    #[test]
    fn a_late_worker_takes_no_chunk_of_the_wrong_job() {
        model(|| {
            let team = Team::new(1);
            let (first, second) = (Out::<2>::new(), Out::<2>::new());
            team.begin();
            first.add_by(&team);
            assert_eq!(first.values(), [1, 2]);
            second.add_by(&team);
            team.end();
            assert_eq!((first.values(), second.values()), ([1, 2], [1, 2]));
        });
    }

    #[test]
    fn two_workers_share_a_job() {
        model(|| {
            let team = Team::new(2);
            let out = Out::<2>::new();
            out.add_by(&team);
            assert_eq!(out.values(), [1, 2]);
        });
    }

    #[test]
    fn callers_at_the_same_time_do_not_mix() {
        model(|| {
            let team = Arc::new(Team::new(1));
            let other = thread::spawn({
                let team = Arc::clone(&team);
                move || {
                    let out = Out::<2>::new();
                    out.add_by(&team);
                    assert_eq!(out.values(), [1, 2]);
                }
            });
            let out = Out::<2>::new();
            out.add_by(&team);
            assert_eq!(out.values(), [1, 2]);
            other.join().unwrap();
        });
    }

    #[test]
    fn a_panic_is_resumed_after_the_join() {
        model(|| {
            let team = Team::new(1);
            let out = Out::<2>::new();
            let result = catch_unwind(AssertUnwindSafe(|| {
                team.run(3, &|index| match index {
                    2 => resume_unwind(Box::new("chunk 2")),
                    _ => out.add(index),
                });
            }));
            assert_eq!(result.unwrap_err().downcast_ref(), Some(&"chunk 2"));
            assert_eq!(out.values(), [1, 2]);
        });
    }
}
