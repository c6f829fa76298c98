//! What it costs to fork and join, how soon a worker answers, and what two threads gain on small layers.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use octavo_exec::{Pool, default_threads};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A chain of multiplications, which neither memory nor the other core changes: one takes about a nanosecond.
fn work(steps: usize) {
    let mut x = black_box(3u64);
    for _ in 0..steps {
        x = black_box(x.wrapping_mul(x));
    }
}

/// A fork and join of two chunks of nothing: the caller may well do both before the worker looks.
fn empty(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("empty job");
    for threads in [1, 2, default_threads() * 4] {
        let pool = Pool::new(threads);
        let _inference = pool.begin();
        group.bench_function(BenchmarkId::from_parameter(threads), |bencher| {
            bencher.iter(|| pool.run(2, &|_| ()));
        });
    }
    group.finish();
}

/// From the fork to the first word of the worker: the caller's chunk waits for it.
fn answer(criterion: &mut Criterion) {
    let pool = Pool::new(2);
    let _inference = pool.begin();
    criterion.bench_function("a spinning worker's answer", |bencher| {
        bencher.iter(|| {
            let barrier = std::sync::atomic::AtomicUsize::new(0);
            pool.run(2, &|_| {
                barrier.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                while barrier.load(std::sync::atomic::Ordering::Relaxed) < 2 {
                    std::hint::spin_loop();
                }
            });
        });
    });
}

/// The same work on one thread and on two, in 8 chunks, as layers of a network follow one another.
fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layer");
    group.measurement_time(Duration::from_secs(2));
    for microseconds in [3, 13, 50, 200] {
        let steps = microseconds * steps_in_a_microsecond();
        for threads in [1, 2, default_threads() * 4] {
            let pool = Pool::new(threads);
            let _inference = pool.begin();
            let name = format!("{microseconds} us on {threads}");
            group.bench_function(name, |bencher| bencher.iter(|| pool.run(8, &|_| work(steps / 8))));
        }
    }
    group.finish();
}

fn steps_in_a_microsecond() -> usize {
    let best = (0..20).map(|_| {
        let begin = Instant::now();
        work(100_000);
        begin.elapsed()
    });
    100_000 * 1000 / best.min().expect("several").as_nanos() as usize
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = empty, answer, layers
}
criterion_main!(benches);
