//! Runs an artifact over zeros, without Python: the shapes of its outputs, and the median time of a run.
//!
//! `cargo run --release -p octavo-runtime --example run -- model.octavo [threads]`

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use octavo_runtime::program::Dim;
use octavo_runtime::{Arena, Options, Session};

const RUNS: usize = 51;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (path, threads) = match arguments.as_slice() {
        [path] => (Path::new(path), None),
        [path, threads] => match threads.to_str().and_then(|threads| threads.parse().ok()) {
            Some(threads) => (Path::new(path), Some(threads)),
            None => return usage(),
        },
        _ => return usage(),
    };
    match run(path, threads) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: run MODEL.octavo [THREADS]");
    ExitCode::from(2)
}

fn run(path: &Path, threads: Option<usize>) -> Result<(), Box<dyn std::error::Error>> {
    let session = Session::new(std::fs::read(path)?, &Options { threads, isa: None })?;
    let mut shapes = Vec::new();
    for input in session.inputs() {
        let dims = input.shape.as_deref().ok_or_else(|| format!("input '{}' has no shape", input.name))?;
        // A free dimension is 1 here.
        let size = |dim: &Dim| if let Dim::Fixed(n) = dim { *n } else { 1 };
        shapes.push(dims.iter().map(size).collect::<Vec<usize>>());
    }
    // The plan for these shapes; a session keeps those used last.
    let plan = session.plan(&shapes)?;

    // Tensors cross as bytes, aligned to their elements: an `Arena` has zeros, `cast_mut` shows it as numbers.
    let mut inputs = Vec::new();
    for (input, shape) in session.inputs().zip(&shapes) {
        inputs.push(Arena::new(input.dtype.size() * shape.iter().product::<usize>())?);
    }
    let mut outputs = Vec::new();
    for output in plan.outputs() {
        outputs.push(Arena::new(output.bytes())?);
    }
    let read: Vec<&[u8]> = inputs.iter().map(Arena::bytes).collect();
    let mut written: Vec<&mut [u8]> = outputs.iter_mut().map(Arena::bytes_mut).collect();

    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        session.run(&plan, &read, &mut written)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);

    let mut out = std::io::stdout().lock();
    for (value, output) in session.outputs().zip(plan.outputs()) {
        writeln!(out, "{:?} {} {:?}", value.name, output.dtype.name(), output.shape)?;
    }
    let (threads, isa) = (session.threads(), session.isa().name());
    let milliseconds = seconds[RUNS / 2] * 1e3;
    writeln!(out, "{milliseconds:.3} ms a run, the median of {RUNS} ({threads} threads, {isa})")?;
    Ok(())
}
