//! Float products and convolutions at the shapes of ResNet-50, MobileNetV2, SqueezeNet and small networks, on every
//! tier: multiply-adds a second of the tile that a session would run.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use octavo_kernels::float::epilogue::Epilogue;
use octavo_kernels::float::gemm::{Rows, pack, packed_len, run, select};
use octavo_kernels::float::unary::Unary;
use octavo_kernels::isa;
use octavo_kernels::table::Kernels;

/// (network, side of the image, columns, k of a tap, side of the kernel)
const SHAPES: [(&str, usize, usize, usize, usize); 20] = [
    ("resnet", 56, 64, 64, 3),
    ("resnet", 56, 256, 64, 1),
    ("resnet", 28, 128, 128, 3),
    ("resnet", 14, 256, 256, 3),
    ("resnet", 14, 256, 1024, 1),
    ("resnet", 7, 512, 512, 3),
    ("resnet", 7, 2048, 512, 1),
    ("resnet", 1, 1000, 2048, 1),
    ("mobilenet", 112, 96, 16, 1),
    ("mobilenet", 56, 24, 96, 1),
    ("mobilenet", 14, 96, 576, 1),
    ("mobilenet", 7, 1280, 320, 1),
    ("squeezenet", 55, 16, 64, 1),
    ("squeezenet", 55, 64, 16, 3),
    ("squeezenet", 13, 48, 384, 1),
    ("small", 32, 16, 16, 3),
    ("small", 8, 64, 64, 3),
    ("small", 48, 16, 8, 1),
    ("small", 1, 128, 640, 1),
    ("small", 1, 128, 128, 1),
];

/// The taps of a `kernel x kernel` convolution over a `side x side` image, as many pixels out as in.
fn offsets(side: usize, kc: usize, kernel: usize) -> Vec<u32> {
    let mut offsets = Vec::new();
    for (y, x) in (0..side * side).map(|pixel| (pixel / side, pixel % side)) {
        for (ky, kx) in (0..kernel * kernel).map(|tap| (tap / kernel, tap % kernel)) {
            let (y, x) = ((y + ky).wrapping_sub(kernel / 2), (x + kx).wrapping_sub(kernel / 2));
            offsets.push(if y < side && x < side { ((y * side + x) * kc) as u32 } else { u32::MAX });
        }
    }
    offsets
}

fn gemm(c: &mut Criterion) {
    let mut group = c.benchmark_group("float_gemm");
    for (network, side, n, kc, kernel) in SHAPES {
        let (m, taps) = (side * side, kernel * kernel);
        let data: Vec<f32> = (0..m * kc).map(|i| (i * 31 % 251) as f32 / 251.0 - 0.5).collect();
        let weights: Vec<f32> = (0..n * taps * kc).map(|i| (i * 17 % 255) as f32 / 255.0 - 0.5).collect();
        let offsets = offsets(side, kc, kernel);
        let rows = if kernel == 1 {
            Rows::Dense { data: &data, stride: kc }
        } else {
            Rows::Indirect { data: &data, offsets: &offsets, taps }
        };
        let bias = vec![0.1; n];
        let epilogue = Epilogue { bias: Some(&bias), residual: None, activation: Some(Unary::Relu) };
        let mut packed = vec![0.0; packed_len(n, taps, kc)];
        pack(&weights, n, taps, kc, &mut packed);
        let mut out = vec![0.0; m * n];
        group.throughput(Throughput::Elements((m * n * taps * kc) as u64));
        for kernels in isa::available().into_iter().filter_map(Kernels::new) {
            let tile = select(&kernels.row().float_gemm.floats, m, n);
            let shape = format!("{network} {m}x{n}x{kc}x{taps}");
            group.bench_function(BenchmarkId::new(tile.name, &shape), |b| {
                b.iter(|| run(kernels, m, &rows, &packed, n, kc, &epilogue, &mut out, n));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, gemm);
criterion_main!(benches);
