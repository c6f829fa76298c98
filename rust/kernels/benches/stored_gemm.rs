//! Products of few rows by weights of 4 and 8 bits, beside those by float32 ones, on every tier: time of a product.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use octavo_kernels::float::epilogue::Epilogue;
use octavo_kernels::float::gemm::stored::{Form, Weights};
use octavo_kernels::float::gemm::{Rows, packed_len, run, run_stored, select};
use octavo_kernels::isa;
use octavo_kernels::table::Kernels;

/// Columns and steps: weights that fit in a second-level cache, in a third-level one, and in none.
const SHAPES: [[usize; 2]; 4] = [[384, 384], [1024, 1024], [768, 3072], [4096, 4096]];
const ROWS: [usize; 5] = [1, 2, 4, 8, 16];
/// Steps that share a scale.
const BLOCK: usize = 32;

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("stored_gemm");
    for [n, k] in SHAPES {
        let codes: Vec<u8> = (0..n * k).map(|i| (i * 37 % 241) as u8).collect();
        let (scales, zeros) = (vec![0.01; n * k.div_ceil(BLOCK)], vec![8; n * k.div_ceil(BLOCK)]);
        let floats = vec![0.1f32; packed_len(n, 1, k)];
        let forms = [4, 8].map(|bits| Form { bits, n, k, block: BLOCK });
        let packed = forms.map(|form| {
            let mut out = vec![0; form.packed_len()];
            let strides = [1, n];
            let weights =
                Weights { codes: &codes, strides, scales: &scales, zeros: &zeros, scale_strides: strides };
            form.pack(&weights, &mut out);
            out
        });
        for m in ROWS {
            let x: Vec<f32> = (0..m * k).map(|i| (i * 31 % 251) as f32 / 251.0 - 0.5).collect();
            let (mut out, epilogue) = (vec![0.0; m * n], Epilogue::default());
            for kernels in isa::available().into_iter().filter_map(Kernels::new).skip(1) {
                let entries = &kernels.row().float_gemm;
                let shape = format!("{m}x{n}x{k}");
                group.bench_function(BenchmarkId::new(select(&entries.floats, m, n).name, &shape), |b| {
                    let rows = Rows::Dense { data: &x, stride: k };
                    b.iter(|| run(kernels, m, &rows, &floats, n, k, &epilogue, &mut out, n));
                });
                let names = [select(&entries.nibbles, m, n).name, select(&entries.bytes, m, n).name];
                for ((form, packed), name) in forms.into_iter().zip(&packed).zip(names) {
                    group.bench_function(BenchmarkId::new(name, &shape), |b| {
                        b.iter(|| run_stored(kernels, m, &x, k, packed, form, &epilogue, &mut out, n));
                    });
                }
            }
        }
    }
    group.finish();
}

criterion_group!(benches, products);
criterion_main!(benches);
