//! Matrix products and convolutions at the shapes of MobileNetV2, ResNet-50 and SqueezeNet, on every tile of every
//! tier: multiply-adds a second. A star marks the tile that a session would run.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use octavo_kernels::gemm::{Columns, OffsetTable, Out, PAD, Rows, UNIT, pack, packed_len, run, select};
use octavo_kernels::isa;
use octavo_kernels::requantize::Requantize;
use octavo_kernels::table::Kernels;

/// (network, side of the image, columns, k of a tap, side of the kernel)
const SHAPES: [(&str, usize, usize, usize, usize); 20] = [
    // The first layer through an image padded in x, so that a row of its window is one tap.
    ("mobilenet", 112, 32, 9, 1),
    ("mobilenet", 112, 16, 32, 1),
    ("mobilenet", 112, 96, 16, 1),
    ("mobilenet", 56, 24, 96, 1),
    ("mobilenet", 56, 144, 24, 1),
    ("mobilenet", 28, 192, 32, 1),
    ("mobilenet", 14, 384, 64, 1),
    ("mobilenet", 14, 96, 576, 1),
    ("mobilenet", 7, 960, 160, 1),
    ("mobilenet", 7, 320, 960, 1),
    ("mobilenet", 7, 1280, 320, 1),
    ("mobilenet", 1, 1000, 1280, 1),
    ("resnet", 56, 64, 64, 3),
    ("resnet", 56, 256, 64, 1),
    ("resnet", 28, 128, 128, 3),
    ("resnet", 14, 256, 1024, 1),
    ("resnet", 7, 512, 512, 3),
    ("squeezenet", 55, 16, 64, 1),
    ("squeezenet", 55, 64, 16, 3),
    ("squeezenet", 13, 48, 384, 1),
];

/// The taps of a `kernel x kernel` convolution over a `side x side` image, as many pixels out as in.
fn offsets(side: usize, kc: usize, kernel: usize) -> OffsetTable {
    let mut offsets = Vec::new();
    for (y, x) in (0..side * side).map(|pixel| (pixel / side, pixel % side)) {
        for (ky, kx) in (0..kernel * kernel).map(|tap| (tap / kernel, tap % kernel)) {
            let (y, x) = ((y + ky).wrapping_sub(kernel / 2), (x + kx).wrapping_sub(kernel / 2));
            offsets.push(if y < side && x < side { ((y * side + x) * kc) as u32 } else { PAD });
        }
    }
    OffsetTable::new(offsets, kernel * kernel)
}

/// Runs a product `units` units of columns at a time, as a tile of that width would be chosen.
fn run_by(
    kernels: Kernels,
    units: usize,
    m: usize,
    rows: &Rows,
    columns: &Columns,
    out: &mut [u8],
    r: &Requantize,
) {
    let all = columns.n.div_ceil(UNIT);
    for first in (0..all).step_by(units) {
        let from = first * UNIT;
        let columns = columns.slice(first..(first + units).min(all));
        let requantize = Requantize {
            bias: &r.bias[from..],
            multiplier: &r.multiplier[from..],
            shift: &r.shift[from..],
            ..*r
        };
        let out = Out::U8 { data: &mut out[from..], stride: r.bias.len(), requantize, residual: None };
        run(kernels, m, rows, &columns, out);
    }
}

fn gemm(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm");
    for (network, side, n, kc, kernel) in SHAPES {
        let (m, taps) = (side * side, kernel * kernel);
        let data: Vec<u8> = (0..m * kc + 3).map(|i| (i * 31 % 251) as u8).collect();
        let weights: Vec<i8> = (0..n * taps * kc).map(|i| (i * 17 % 255) as u8 as i8).collect();
        let (table, pad) = (offsets(side, kc, kernel), vec![128; kc + 3]);
        let rows = if kernel == 1 {
            Rows::Dense { data: &data, stride: kc }
        } else {
            Rows::Indirect { data: &data, offsets: table.rows(0..m), pad: &pad }
        };
        let requantize = Requantize {
            bias: &vec![1000; n],
            reach: 1000 + (taps * kc) as i64 * 255 * 127,
            multiplier: &vec![11_718_751 << 7; n],
            shift: &vec![42; n],
            zero_point: 3,
            lo: 0,
            hi: 255,
        };
        let mut out = vec![0; m * n];
        group.throughput(Throughput::Elements((m * n * taps * kc) as u64));
        for kernels in isa::available().into_iter().filter_map(Kernels::new) {
            let mut packed = vec![0; packed_len(kernels, n, taps, kc)];
            pack(kernels, &weights, n, taps, kc, &mut packed);
            let columns = Columns { packed: &packed, n, taps, kc };
            let picked = select(&kernels.row().gemm, m, n, taps * kc);
            let shape = format!("{network} {m}x{n}x{kc}x{taps}");
            for tile in &kernels.row().gemm.tiles {
                // A tier may have one tile for all widths.
                let same = tile.name == picked.name;
                if same && tile.units != picked.units || !same && tile.units > n.div_ceil(UNIT) {
                    continue;
                }
                let name = format!("{}{}", tile.name, if same { "*" } else { "" });
                group.bench_function(BenchmarkId::new(name, &shape), |b| {
                    b.iter(|| run_by(kernels, tile.units, m, &rows, &columns, &mut out, &requantize));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, gemm);
criterion_main!(benches);
