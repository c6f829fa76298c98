//! Whether depthwise convolutions of bytes are ever slower than those of float32, on every tier: a grid of shapes, the
//! kernels in turns, the least time of each. Prints each shape where bytes take 5 % longer, and then fails.
//!
//! `cargo bench -p octavo-kernels --bench depthwise_beside_float`, with `-- all` for the whole grid, `-- show` for every
//! shape's times.

use std::process::ExitCode;
use std::time::Instant;

use octavo_kernels::depthwise::{Depthwise, Floats, Window, run, run_to_floats};
use octavo_kernels::float;
use octavo_kernels::float::epilogue::Epilogue;
use octavo_kernels::float::unary::Unary;
use octavo_kernels::isa::{self, Isa};
use octavo_kernels::requantize::Requantize;
use octavo_kernels::table::Kernels;

/// What bytes may take beside float32.
const MOST: f64 = 1.05;
/// Seconds of one measurement at least.
const SHORTEST: f64 = 20e-6;
/// Turns of the kernels at least, and at most where a shape seems to lose.
const TURNS: [usize; 2] = [5, 60];
/// How often a shape that seems to lose is measured anew.
const RETRIES: usize = 3;
/// Seconds after which a shape has no further turn.
const ENOUGH: f64 = 0.03;

/// Channels, kernels, dilations, strides and sides of images.
struct Grid {
    channels: &'static [usize],
    kernels: &'static [[usize; 2]],
    dilations: &'static [usize],
    strides: &'static [usize],
    sides: &'static [usize],
}

const SHORT: Grid = Grid {
    channels: &[1, 3, 8, 12, 20, 48],
    kernels: &[[3, 3], [5, 5], [7, 7], [1, 9]],
    dilations: &[1],
    strides: &[1, 2],
    sides: &[28],
};
const ALL: Grid = Grid {
    channels: &[1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 48, 64, 96, 144],
    kernels: &[
        [3, 3],
        [5, 5],
        [7, 7],
        [9, 9],
        [1, 3],
        [3, 1],
        [1, 5],
        [5, 1],
        [1, 9],
        [9, 1],
        [1, 31],
        [31, 1],
        [2, 2],
        [2, 3],
        [4, 4],
        [6, 6],
        [11, 11],
    ],
    dilations: &[1, 2],
    strides: &[1, 2, 3],
    sides: &[14, 41, 112],
};

impl Grid {
    fn windows(&self) -> Vec<Window> {
        let mut windows = Vec::new();
        for (&kernel, &side) in self.kernels.iter().flat_map(|k| self.sides.iter().map(move |s| (k, s))) {
            for (&dilation, &stride) in
                self.dilations.iter().flat_map(|d| self.strides.iter().map(move |s| (d, s)))
            {
                windows.extend(self.channels.iter().map(|&channels| {
                    let pad = kernel.map(|taps| (taps - 1) * dilation / 2);
                    let output =
                        |axis: usize| (side + 2 * pad[axis] - (kernel[axis] - 1) * dilation - 1) / stride + 1;
                    Window {
                        input: [side; 2],
                        channels,
                        output: [output(0), output(1)],
                        kernel,
                        stride: [stride; 2],
                        dilation: [dilation; 2],
                        pad,
                    }
                }));
            }
        }
        windows
    }
}

/// Whether float32 is known to be faster, so that quantizing leaves the convolution to it: the rule of
/// python/octavo/lowering/speed.py, where it is explained.
fn is_left_to_float(window: &Window) -> bool {
    let ([height, width], taps) = (window.kernel, window.kernel[0] * window.kernel[1]);
    let [down, stride] = window.stride;
    if window.channels < 8
        || (height == width && [3, 5].contains(&height) && stride < 3 && window.dilation == [1, 1])
    {
        return false;
    }
    let (words, columns, distance) = if height == 1 {
        (1, width.div_ceil(2), 2 * window.dilation[1])
    } else {
        (height.div_ceil(2), width, window.dilation[1])
    };
    let mut lines: Vec<usize> = (0..columns).map(|column| column * distance % stride).collect();
    lines.sort_unstable();
    lines.dedup();
    let made = words * lines.len();
    if height == 1 {
        return 9 * made > taps;
    }
    let is_shared = height % 2 == 1 && down == 1 && window.dilation[0] == 1;
    let met = if is_shared { 2 * taps } else { taps };
    8 * made > 3 * met || (taps < 16 && (stride > 1 && 6 * made > met || height == 2 && width > 2))
}

/// The least seconds of a float32 convolution, of one from bytes to bytes, and of one from bytes to float32.
fn seconds(k: Kernels, window: &Window) -> [f64; 3] {
    let Window { input, channels, output, kernel, .. } = *window;
    let weights: Vec<i8> =
        (0..channels * kernel[0] * kernel[1]).map(|i| (i * 17 % 255) as u8 as i8).collect();
    let x: Vec<u8> = (0..input[0] * input[1] * channels).map(|i| (i * 31 % 251) as u8).collect();
    let (bias, ones) = (vec![1000; channels], vec![1.0; channels]);
    let (multiplier, shift) = (vec![11_718_751 << 7; channels], vec![41; channels]);
    let [mut to_bytes, mut to_floats] = [vec![], vec![]];
    let entries = &k.row().depthwise;
    let tile = entries.to_bytes.select(window);
    to_bytes.resize(tile.packing.packed_len(channels, kernel), 0);
    tile.packing.pack(&weights, channels, kernel, &mut to_bytes);
    let tile = entries.to_floats.select(window);
    to_floats.resize(tile.packing.packed_len(channels, kernel), 0);
    tile.packing.pack(&weights, channels, kernel, &mut to_floats);
    let reach = 1000 + 255 * 127 * (kernel[0] * kernel[1]) as i64;
    let requantize = Requantize {
        bias: &bias,
        reach,
        multiplier: &multiplier,
        shift: &shift,
        zero_point: 3,
        lo: 0,
        hi: 255,
    };
    let bytes = Depthwise { window: *window, packed: &to_bytes, epilogue: requantize, x_zero_point: 128 };
    let floats =
        Floats { acc_bias: &bias, x_scale: 0.01, scale: &ones, bias: &ones, lo: 0.0, hi: f32::INFINITY };
    let floats = Depthwise { window: *window, packed: &to_floats, epilogue: floats, x_zero_point: 128 };

    let float_x: Vec<f32> = x.iter().map(|&x| f32::from(x)).collect();
    let float_weights: Vec<f32> = weights.iter().map(|&w| f32::from(w)).collect();
    let epilogue = Epilogue { bias: Some(&ones), residual: None, activation: Some(Unary::Relu) };
    let elements = output[0] * output[1] * channels;
    let [mut y, mut of_bytes] = [(); 2].map(|()| vec![0.0; elements]);
    let (mut out, rows) = (vec![0; elements], 0..output[0]);
    in_turns([
        &mut || float::depthwise::run(k, &float_x, &float_weights, window, &epilogue, rows.clone(), &mut y),
        &mut || run(k, &x, &bytes, rows.clone(), &mut out),
        &mut || run_to_floats(k, &x, &floats, rows.clone(), &mut of_bytes),
    ])
}

/// The least seconds of each way.
fn in_turns(mut ways: [&mut dyn FnMut(); 3]) -> [f64; 3] {
    let mut repeats = [1usize; 3];
    for (way, repeats) in ways.iter_mut().zip(&mut repeats) {
        while timed(way, *repeats) * (*repeats as f64) < SHORTEST {
            *repeats *= 2;
        }
    }
    let (start, mut least) = (Instant::now(), [f64::INFINITY; 3]);
    for turn in 1..=TURNS[1] {
        for ((way, &repeats), least) in ways.iter_mut().zip(&repeats).zip(&mut least) {
            *least = least.min(timed(way, repeats));
        }
        let seems_slow = least[1].max(least[2]) > MOST * least[0];
        if turn >= TURNS[0] && (!seems_slow || start.elapsed().as_secs_f64() > ENOUGH) {
            break;
        }
    }
    least
}

/// The seconds of one run, the mean of some.
fn timed(way: &mut dyn FnMut(), repeats: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..repeats {
        way();
    }
    start.elapsed().as_secs_f64() / repeats as f64
}

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().collect();
    let asks = |word: &str| asked.iter().any(|argument| argument == word);
    let windows = if asks("all") { ALL } else { SHORT }.windows();
    let (mut worst, mut slow, mut count) = (0.0f64, 0, 0);
    for isa in isa::available().into_iter().filter(|&isa| isa != Isa::Scalar) {
        let k = Kernels::new(isa).expect("an available tier");
        for window in windows.iter().filter(|window| !is_left_to_float(window)) {
            let mut found = seconds(k, window);
            for _ in 0..RETRIES {
                // What else the machine does may have fallen on one of them.
                let [float, bytes, floats] = found;
                if bytes.max(floats) > MOST * float {
                    let again = seconds(k, window);
                    if again[1].max(again[2]) / again[0] < bytes.max(floats) / float {
                        found = again;
                    }
                }
            }
            let [float, bytes, floats] = found;
            for (result, seconds) in [("u8", bytes), ("f32", floats)] {
                let ratio = seconds / float;
                (worst, count) = (worst.max(ratio), count + 1);
                slow += usize::from(ratio > MOST);
                if ratio > MOST || asks("show") {
                    let Window { input, channels, kernel: [h, w], stride, dilation, .. } = window;
                    println!(
                        "{isa} {h}x{w} stride {} dilation {}, {}x{}x{channels} to {result}: {:.2} us beside {:.2}, {ratio:.2}",
                        stride[0],
                        dilation[0],
                        input[0],
                        input[1],
                        seconds * 1e6,
                        float * 1e6
                    );
                }
            }
        }
    }
    println!("{slow} of {count} take more than {MOST} of float32's time; the most: {worst:.2}");
    if slow > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
