//! Depthwise convolution at MobileNetV2's shapes (3x3) and at 5x5, on every tier: multiply-adds a second.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use octavo_kernels::depthwise::{Depthwise, Window, pack, packed_len, run, select};
use octavo_kernels::isa::{self, Kernels};
use octavo_kernels::requantize::Requantize;

/// (input, channels, kernel, stride)
const SHAPES: [(usize, usize, usize, usize); 15] = [
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
    (14, 384, 7, 1),
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
        group.throughput(Throughput::Elements((out.len() * kernel * kernel) as u64));
        for isa in isa::available() {
            let k = Kernels::new(isa).expect("an available tier");
            let mut packed = vec![0; packed_len(k, channels, [kernel; 2])];
            pack(k, &weights, channels, [kernel; 2], &mut packed);
            let requantize = Requantize {
                bias: &vec![1000; channels],
                multiplier: &vec![1_500_000_000; channels],
                shift: &vec![41; channels],
                zero_point: 3,
                lo: 0,
                hi: 255,
            };
            let d = Depthwise { window, packed: &packed, requantize, x_zero_point: 128 };
            let name = select(k.row(), window.kernel, window.stride, window.dilation).name;
            let shape = format!("{input}x{input}x{channels}");
            group.bench_function(BenchmarkId::new(name, shape), |b| {
                b.iter(|| run(k, &x, &d, 0..output, &mut out));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, depthwise);
criterion_main!(benches);
