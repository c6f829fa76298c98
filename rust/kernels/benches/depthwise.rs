//! Depthwise convolution at MobileNetV2's shapes (3x3), at 5x5 and 7x7, on every tier: multiply-adds a second.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use octavo_kernels::depthwise::{Depthwise, Floats, Window, run, run_to_floats};
use octavo_kernels::isa;
use octavo_kernels::requantize::Requantize;
use octavo_kernels::table::Kernels;

/// (input, channels, kernel, stride)
const SHAPES: [(usize, usize, usize, usize); 17] = [
    (112, 32, 3, 1),
    (112, 96, 3, 2),
    (56, 144, 3, 1),
    (56, 144, 3, 2),
    (28, 192, 3, 1),
    (28, 192, 3, 2),
    (14, 384, 3, 1),
    (14, 576, 3, 1),
    (14, 576, 3, 2),
    (7, 960, 3, 1),
    (28, 240, 5, 1),
    (28, 240, 5, 2),
    (14, 480, 5, 1),
    (7, 960, 5, 1),
    (56, 96, 7, 1),
    (14, 384, 7, 1),
    (112, 8, 3, 1),
];

fn depthwise(c: &mut Criterion) {
    let mut group = c.benchmark_group("depthwise");
    for (input, channels, kernel, stride) in SHAPES {
        let output = input.div_ceil(stride);
        // As ONNX exporters pad for these models: the same before and after.
        let window = Window {
            input: [input; 2],
            channels,
            output: [output; 2],
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [1; 2],
            pad: [kernel / 2; 2],
        };
        let x: Vec<u8> = (0..input * input * channels).map(|i| (i * 31 % 251) as u8).collect();
        let weights: Vec<i8> = (0..channels * kernel * kernel).map(|i| (i * 17 % 255) as u8 as i8).collect();
        let mut out = vec![0; output * output * channels];
        let mut floats = vec![0.0; out.len()];
        group.throughput(Throughput::Elements((out.len() * kernel * kernel) as u64));
        for isa in isa::available() {
            let k = Kernels::new(isa).expect("an available tier");
            let entries = &k.row().depthwise;
            let (shape, side) = (format!("{input}x{input}x{channels}"), [kernel; 2]);
            let tile = entries.to_bytes.select(&window);
            let mut packed = vec![0; tile.packing.packed_len(channels, side)];
            tile.packing.pack(&weights, channels, side, &mut packed);
            let epilogue = Requantize {
                bias: &vec![1000; channels],
                reach: 1 << 24,
                multiplier: &vec![11_718_751 << 7; channels],
                shift: &vec![41; channels],
                zero_point: 3,
                lo: 0,
                hi: 255,
            };
            let d = Depthwise { window, packed: &packed, epilogue, x_zero_point: 128 };
            let name = tile.entry.name;
            group.bench_function(BenchmarkId::new(name, &shape), |b| {
                b.iter(|| run(k, &x, &d, 0..output, &mut out));
            });
            let tile = entries.to_floats.select(&window);
            let mut packed = vec![0; tile.packing.packed_len(channels, side)];
            tile.packing.pack(&weights, channels, side, &mut packed);
            let ones = vec![1.0; channels];
            let epilogue = Floats {
                acc_bias: &vec![1000; channels],
                x_scale: 0.01,
                scale: &ones,
                bias: &ones,
                lo: 0.0,
                hi: 6.0,
            };
            let d = Depthwise { window, packed: &packed, epilogue, x_zero_point: 128 };
            let name = tile.entry.name;
            group.bench_function(BenchmarkId::new(name, &shape), |b| {
                b.iter(|| run_to_floats(k, &x, &d, 0..output, &mut floats));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, depthwise);
criterion_main!(benches);
