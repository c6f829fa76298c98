//! The pool with real threads.
#![cfg(not(loom))]

mod common;

use octavo_exec::{Pool, default_threads};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

#[test]
fn every_chunk_runs_once() {
    for threads in [0, 1, 2, 3, 8] {
        let pool = Pool::new(threads);
        assert_eq!(pool.threads(), threads.max(1));
        for chunks in [0, 1, 2, 3, 7, 64, 1000] {
            for _ in 0..10 {
                let runs: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(chunks, &|index| {
                    runs[index].fetch_add(1, Ordering::Relaxed);
                });
                assert!(runs.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{threads} {chunks}");
            }
        }
    }
}

#[test]
fn slices_cover_the_whole_and_are_disjoint() {
    let pool = Pool::new(3);
    for len in [0, 1, 2, 3, 10, 100, 1001] {
        for chunk in [1, 2, 3, 7, 100, 5000] {
            let mut out = vec![usize::MAX; len];
            pool.slices(&mut out, chunk, |index, piece| {
                assert!(piece.len() == chunk || index == len / chunk && piece.len() == len % chunk);
                for (offset, element) in piece.iter_mut().enumerate() {
                    *element = index * chunk + offset;
                }
            });
            assert!(out.iter().copied().eq(0..len), "{len} in pieces of {chunk}");
        }
    }
    pool.slices(&mut [0u8; 0], 0, |_, _| unreachable!());
}

#[test]
fn triples_of_slices_have_the_same_pieces_of_all() {
    let pool = Pool::new(3);
    for rows in [0, 1, 2, 7, 100] {
        for chunk in [1, 3, 100] {
            let (mut wide, mut narrow, mut third) = (vec![0; 5 * rows], vec![0; rows], vec![0u8; 2 * rows]);
            let (a, b, c) =
                ((&mut wide[..], 5 * chunk), (&mut narrow[..], chunk), (&mut third[..], 2 * chunk));
            pool.triples_of_slices(a, b, c, |index, wide, narrow, third| {
                assert_eq!(wide.len(), 5 * narrow.len());
                assert_eq!(third.len(), 2 * narrow.len());
                wide.fill(index + 1);
                third.fill(index as u8 + 1);
                (0..).zip(narrow).for_each(|(offset, narrow)| *narrow = index * chunk + offset);
            });
            assert!(narrow.iter().copied().eq(0..rows), "{rows} in pieces of {chunk}");
            let expected = |each: usize| (0..each * rows).map(move |at| at / (each * chunk) + 1);
            assert!(wide.into_iter().eq(expected(5)), "{rows} in pieces of {chunk}");
            assert!(third.into_iter().map(usize::from).eq(expected(2)), "{rows} in pieces of {chunk}");
        }
    }
}

#[test]
#[should_panic(expected = "as many pieces of each")]
fn triples_of_slices_of_different_counts_are_refused() {
    Pool::new(1).triples_of_slices(
        (&mut [0u8; 10], 2),
        (&mut [0u8; 10], 2),
        (&mut [0u8; 10], 3),
        |_, _, _, _| {},
    );
}

#[test]
fn pairs_of_slices_have_the_same_pieces_of_both() {
    let pool = Pool::new(3);
    for rows in [0, 1, 2, 7, 100] {
        for chunk in [1, 3, 100] {
            let (mut wide, mut narrow) = (vec![usize::MAX; 5 * rows], vec![usize::MAX; rows]);
            pool.pairs_of_slices((&mut wide, 5 * chunk), (&mut narrow, chunk), |index, wide, narrow| {
                for (offset, (wide, narrow)) in wide.chunks_mut(5).zip(narrow).enumerate() {
                    wide.fill(index * chunk + offset);
                    *narrow = index * chunk + offset;
                }
            });
            assert!(narrow.iter().copied().eq(0..rows), "{rows} in pieces of {chunk}");
            assert!(wide.iter().copied().eq((0..5 * rows).map(|i| i / 5)), "{rows} in pieces of {chunk}");
        }
    }
}

#[test]
#[should_panic(expected = "as many pieces")]
fn a_pair_of_slices_with_other_pieces_is_refused() {
    Pool::new(1).pairs_of_slices((&mut [0u8; 10], 2), (&mut [0u8; 10], 3), |_, _, _| {});
}

#[test]
fn a_job_inside_a_job_runs() {
    let pool = Pool::new(3);
    let sum = AtomicUsize::new(0);
    pool.run(8, &|outer| {
        pool.run(8, &|inner| {
            sum.fetch_add(outer * 8 + inner, Ordering::Relaxed);
        });
    });
    assert_eq!(sum.into_inner(), 64 * 63 / 2);
}

#[test]
fn callers_at_the_same_time_all_get_their_answers() {
    let pool = Arc::new(Pool::new(3));
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let pool = Arc::clone(&pool);
            std::thread::spawn(move || {
                for round in 0..500 {
                    let _inference = pool.begin();
                    let mut out = [0usize; 97];
                    pool.slices(&mut out, 10, |index, piece| piece.fill(caller + round + index));
                    assert!(out.iter().enumerate().all(|(i, &v)| v == caller + round + i / 10));
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}

#[test]
fn a_panic_reaches_the_caller_after_the_join() {
    let pool = Pool::new(2);
    for bad in [0, 5, 63] {
        let done = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(64, &|index| {
                assert!(index != bad, "chunk {bad}");
                done.fetch_add(1, Ordering::Relaxed);
            });
        }));
        let panic = result.expect_err("the panic was lost");
        assert_eq!(panic.downcast_ref::<String>(), Some(&format!("chunk {bad}")));
        assert_eq!(done.into_inner(), 63);
    }
    let mut out = [0; 64];
    pool.slices(&mut out, 1, |index, piece| piece[0] = index);
    assert!(out.into_iter().eq(0..64), "the pool works on after a panic");
}

#[test]
fn workers_wake_after_sleep_and_between_inferences() {
    let pool = Pool::new(2);
    for pause in [0, 1, 5, 20] {
        std::thread::sleep(Duration::from_millis(pause));
        common::await_help(&pool);
        let _inference = pool.begin();
        std::thread::sleep(Duration::from_millis(pause));
        common::await_help(&pool);
    }
}

/// As many as the cores of the affinity mask, or fewer where a quota says so.
#[test]
#[cfg(target_os = "linux")]
fn default_threads_are_those_of_the_affinity_mask() {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("Linux tells of each thread");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a mask");
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        last.parse::<usize>().expect("a number") - first.parse::<usize>().expect("a number") + 1
    };
    let cores: usize = list.trim().split(',').map(count).sum();
    let has_quota = ["/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"]
        .into_iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .any(|quota| !quota.starts_with("max") && !quota.starts_with("-1"));
    assert!((1..=cores).contains(&default_threads()), "{} of {cores}", default_threads());
    assert!(has_quota || default_threads() == cores, "{} of {cores}", default_threads());
}

#[test]
fn more_threads_than_cores_share_a_job() {
    let threads = default_threads() * 4;
    for _ in 0..3 {
        let pool = Pool::new(threads);
        // Every thread takes one chunk: none goes on before all have come, and each looks for a job before it sleeps.
        let (meet, runs) = (Barrier::new(threads), AtomicUsize::new(0));
        pool.run(threads, &|_| {
            meet.wait();
            runs.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(runs.into_inner(), threads);
    }
}

#[test]
fn of_several_panics_one_is_resumed_and_none_is_left() {
    let pool = Pool::new(2);
    for _ in 0..20 {
        let panics = catch_unwind(AssertUnwindSafe(|| pool.run(8, &|index| panic!("chunk {index}"))));
        assert!(panics.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(8, &|index| {
            sum.fetch_add(index, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 28);
    }
}

#[test]
fn dropping_the_pool_ends_its_workers() {
    thread_local!(static MARK: RefCell<Option<Arc<()>>> = const { RefCell::new(None) });
    let held = Arc::new(());
    let pool = Pool::new(4);
    // Each chunk keeps its thread until all four have begun: the workers start after this job is published, and
    // look for one before they sleep.
    let meet = Barrier::new(4);
    pool.run(4, &|_| {
        MARK.set(Some(Arc::clone(&held)));
        meet.wait();
    });
    assert_eq!(Arc::strong_count(&held), 5);
    drop(pool);
    assert_eq!(Arc::strong_count(&held), 2, "workers' thread-locals end with them");
}

/// So that each finds in its own cache what it wrote a job before.
#[test]
fn the_caller_takes_the_first_chunk_and_the_worker_the_last() {
    let caller = std::thread::current().id();
    for _ in 0..20 {
        // A worker that has slept may miss a job; one that starts looks for it first.
        let (pool, meet) = (Pool::new(2), Barrier::new(2));
        let by_caller = [AtomicBool::new(false), AtomicBool::new(false)];
        pool.run(2, &|chunk| {
            meet.wait();
            by_caller[chunk].store(std::thread::current().id() == caller, Ordering::Relaxed);
        });
        assert_eq!(by_caller.map(AtomicBool::into_inner), [true, false]);
    }
}
