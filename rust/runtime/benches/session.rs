//! What a session costs: to load an artifact, to plan a shape, to run small and larger images.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use octavo_runtime::{Arena, Options, Session};

const NETWORK: &[u8] = include_bytes!("../tests/data/small_network.octavo");

fn session(threads: usize) -> Session {
    Session::new(NETWORK, &Options { threads: Some(threads), isa: None }).expect("the artifact is valid")
}

fn load(criterion: &mut Criterion) {
    criterion.bench_function("load", |bencher| bencher.iter(|| session(1)));
}

/// A session keeps fewer plans than there are widths here, so each is made anew.
fn plan(criterion: &mut Criterion) {
    let session = session(1);
    let mut widths = (8..40).cycle();
    criterion.bench_function("plan", |bencher| {
        bencher.iter(|| session.plan(&[[1, 3, 32, widths.next().expect("a cycle")]]));
    });
}

fn run(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("run");
    for threads in [1, 2] {
        let session = session(threads);
        for size in [8, 32, 96] {
            let plan = session.plan(&[[1, 3, size, size]]).expect("the shape fits");
            let input = Arena::new(12 * size * size).expect("memory");
            let mut outputs: Vec<Arena> =
                plan.outputs().iter().map(|output| Arena::new(output.bytes()).expect("memory")).collect();
            let mut written: Vec<&mut [u8]> = outputs.iter_mut().map(Arena::bytes_mut).collect();
            group.bench_function(BenchmarkId::new(format!("{threads} threads"), size), |bencher| {
                bencher.iter(|| session.run(&plan, &[input.bytes()], &mut written));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, load, plan, run);
criterion_main!(benches);
