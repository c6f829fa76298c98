//! The thread pool as a session sees it: a `Team` that survives a fork.

use crate::team::Team;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// How many threads this process can use at once: the cores of the calling thread's affinity mask, or fewer where
/// a cgroup (v1 or v2) has a quota.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The team of one process.
struct Crew {
    team: Team,
    process: u32,
}

/// A fork-join pool: the caller and `threads - 1` workers, which are started when first needed.
///
/// Workers spin for a bounded time after their last chunk (2 ms in an inference, 0.2 ms outside) and then sleep.
/// Which thread runs which chunk is not defined, so a chunk's result must not depend on it. The child of a fork
/// starts workers of its own. Dropping the pool ends its workers.
pub struct Pool {
    threads: usize,
    /// From `Box::into_raw`; replaced only in the child of a fork, where the old one is leaked.
    crew: AtomicPtr<Crew>,
    owns: PhantomData<Box<Crew>>,
}

/// While it lives, the pool's workers are awake and wait for jobs.
pub struct Inference<'a> {
    team: &'a Team,
}

impl Pool {
    /// A pool of `threads` threads, the caller included. 0 counts as 1.
    pub fn new(threads: usize) -> Pool {
        let threads = threads.max(1);
        Pool { threads, crew: AtomicPtr::new(Box::into_raw(new_crew(threads))), owns: PhantomData }
    }

    /// The number of threads, the caller included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Wakes the workers, and keeps them awake between jobs until the guard is dropped (but for a pause of 2 ms).
    /// An inference whose steps all run on one thread should do without it.
    pub fn begin(&self) -> Inference<'_> {
        let team = &self.crew_of_this_process().team;
        team.begin();
        Inference { team }
    }

    /// Runs `f(i)` for each `i` in `0..chunks`, on the caller and the workers, and returns when all are done.
    ///
    /// The caller claims chunks from the first on and a worker from the last, so that a thread keeps to one part of what
    /// is worked on. If another thread is using the pool, or this is called from inside a job, the caller runs all the
    /// chunks itself, in rising order. Allocates nothing once the workers are started.
    ///
    /// # Panics
    /// A panic of `f` is resumed on the caller; the other chunks have been run by then.
    pub fn run(&self, chunks: usize, f: &(dyn Fn(usize) + Sync)) {
        if chunks < 2 || self.threads < 2 {
            return (0..chunks).for_each(f);
        }
        let mut team = &self.crew().team;
        if team.is_asleep() {
            // To wake workers is to take their lock, which in the child of a fork can be held for ever.
            team = &self.crew_of_this_process().team;
        }
        team.run(chunks, f);
    }

    /// Splits `out` into pieces of `chunk` elements (the last may be shorter) and calls `f(index of the piece,
    /// the piece)` for each, as `run` does.
    ///
    /// # Panics
    /// If `chunk` is 0 and `out` is not empty; else as `run`.
    pub fn slices<T: Send>(&self, out: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        let pieces = Pieces::of(out, chunk);
        self.run(pieces.count, &|index| {
            // SAFETY: `out` is borrowed for the whole of `run`, which gives each index below the count out once.
            f(index, unsafe { pieces.piece(index) });
        });
    }

    /// [`Pool::slices`] of two slices side by side, each in pieces of its own length.
    ///
    /// # Panics
    /// As [`Pool::slices`], and where one has more pieces than the other.
    pub fn pairs_of_slices<T: Send, U: Send>(
        &self,
        (out, chunk): (&mut [T], usize),
        (other, other_chunk): (&mut [U], usize),
        f: impl Fn(usize, &mut [T], &mut [U]) + Sync,
    ) {
        let (pieces, others) = (Pieces::of(out, chunk), Pieces::of(other, other_chunk));
        assert_eq!(pieces.count, others.count, "as many pieces of one as of the other");
        self.run(pieces.count, &|index| {
            // SAFETY: both are borrowed for the whole of `run`, which gives each index below the counts out once.
            let (piece, other) = unsafe { (pieces.piece(index), others.piece(index)) };
            f(index, piece, other);
        });
    }

    /// [`Pool::pairs_of_slices`] of three slices.
    ///
    /// # Panics
    /// As [`Pool::slices`], and where one has more pieces than another.
    pub fn triples_of_slices<T: Send, U: Send, V: Send>(
        &self,
        (out, chunk): (&mut [T], usize),
        (other, other_chunk): (&mut [U], usize),
        (third, third_chunk): (&mut [V], usize),
        f: impl Fn(usize, &mut [T], &mut [U], &mut [V]) + Sync,
    ) {
        let (pieces, others) = (Pieces::of(out, chunk), Pieces::of(other, other_chunk));
        let thirds = Pieces::of(third, third_chunk);
        assert!(pieces.count == others.count && pieces.count == thirds.count, "as many pieces of each");
        self.run(pieces.count, &|index| {
            // SAFETY: all are borrowed for the whole of `run`, which gives each index below the counts out once.
            let (piece, other, third) =
                unsafe { (pieces.piece(index), others.piece(index), thirds.piece(index)) };
            f(index, piece, other, third);
        });
    }

    fn crew(&self) -> &Crew {
        // SAFETY: `crew` always holds a pointer from `Box::into_raw`, which is freed only by `drop`.
        unsafe { &*self.crew.load(Ordering::Acquire) }
    }

    /// The crew, newly made if this process is a fork of the one that made it. The old one's threads are not
    /// here and its locks may be held by them, so it is neither used nor dropped.
    fn crew_of_this_process(&self) -> &Crew {
        let crew = self.crew();
        if crew.process == std::process::id() {
            return crew;
        }
        let old = ptr::from_ref(crew).cast_mut();
        let new = Box::into_raw(new_crew(self.threads));
        if self.crew.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: `new` came from `Box::into_raw` above and was not published: another thread was faster.
            drop(unsafe { Box::from_raw(new) });
        }
        self.crew()
    }
}

/// A slice that is borrowed for as long as this is used, in pieces of `chunk` elements; the last may be shorter.
struct Pieces<T> {
    start: *mut T,
    len: usize,
    chunk: usize,
    count: usize,
}

// SAFETY: the pointer is used only by `piece`, whose caller sees to it that no two threads have the same piece, of a T
// that may change threads.
unsafe impl<T: Send> Sync for Pieces<T> {}

impl<T> Pieces<T> {
    fn of(out: &mut [T], chunk: usize) -> Self {
        let len = out.len();
        assert!(chunk > 0 || len == 0, "pieces of no elements");
        let count = if len == 0 { 0 } else { len.div_ceil(chunk) };
        Self { start: out.as_mut_ptr(), len, chunk, count }
    }

    /// # Safety
    /// The slice is still borrowed, the index below the count, and this piece is in nobody else's hands.
    unsafe fn piece<'a>(&self, index: usize) -> &'a mut [T] {
        let from = index * self.chunk;
        let to = self.len.min(from + self.chunk);
        // SAFETY: from < to <= len, so the piece lies in the slice; pieces of different indices do not overlap.
        unsafe { std::slice::from_raw_parts_mut(self.start.wrapping_add(from), to - from) }
    }
}

fn new_crew(threads: usize) -> Box<Crew> {
    Box::new(Crew { team: Team::new(threads - 1), process: std::process::id() })
}

impl Drop for Pool {
    fn drop(&mut self) {
        let crew = *self.crew.get_mut();
        // SAFETY: the pointer is from `Box::into_raw`, and `&mut self` proves that nobody else uses it.
        let crew = unsafe { Box::from_raw(crew) };
        if crew.process != std::process::id() {
            std::mem::forget(crew);
        }
    }
}

impl Drop for Inference<'_> {
    fn drop(&mut self) {
        self.team.end();
    }
}
