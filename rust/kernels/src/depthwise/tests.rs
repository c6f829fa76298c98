use proptest::prelude::*;

use super::*;
use crate::isa;
use crate::requantize::{MULTIPLIER_MIN, is_multiplier};
use crate::table::Kernels;

/// A convolution with its operands.
#[derive(Clone, Debug)]
struct Case {
    window: Window,
    x: Vec<u8>,
    weights: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: Vec<i32>,
    zero_point: i32,
    clamp: (i32, i32),
    float_clamp: (f32, f32),
    x_zero_point: u8,
}

/// The largest multiplier.
const MULTIPLIER_MAX: i32 = ((1 << 24) - 1) << 7;
/// No clamp of floats.
const NO_CLAMP: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

impl Case {
    /// Random values for a geometry, from a seed.
    fn new(window: Window, seed: u64) -> Case {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        let mut next = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as i32
        };
        let [h, w] = window.input;
        let channels = window.channels;
        let x_zero_point = [0, 128, 255, (next() & 255) as u8][(next() & 3) as usize];
        // Extremes half of the time, so that sums reach their bounds.
        let x = (0..h * w * channels).map(|_| if next() & 1 == 0 { 255 } else { next() as u8 }).collect();
        let weights: Vec<i8> = (0..channels * window.kernel[0] * window.kernel[1])
            .map(|_| [127, -127, (next() % 128) as i8, -(next() % 128) as i8][(next() & 3) as usize])
            .collect();
        // Any at all, around the smallest one of the high half, or those of real networks.
        let shifts = [1..63, 26..38, 36..48, 36..48][next() as usize & 3].clone();
        let mut case = Case {
            window,
            x,
            bias: (0..channels).map(|_| next() % 200_000 - 100_000).collect(),
            multiplier: (0..channels)
                .map(|_| match next() & 15 {
                    0 => MULTIPLIER_MIN,
                    1 => MULTIPLIER_MAX,
                    _ => (1 << 30) + (next() & 0x3fff_ff00) + 128,
                })
                .collect(),
            shift: (0..channels).map(|_| shifts.start + next() % (shifts.end - shifts.start)).collect(),
            zero_point: [0, 128, 255, next() & 255][(next() & 3) as usize],
            clamp: [(0, 255), (next() & 127, 128 + (next() & 127))][(next() & 1) as usize],
            float_clamp: [NO_CLAMP, (0.0, f32::INFINITY), (-2.5, 3.0), NO_CLAMP][(next() & 3) as usize],
            x_zero_point,
            weights,
        };
        case.correct_bias();
        case
    }

    fn correct_bias(&mut self) {
        let taps = self.window.kernel[0] * self.window.kernel[1];
        for (bias, weights) in self.bias.iter_mut().zip(self.weights.chunks(taps)) {
            let sum: i32 = weights.iter().map(|&w| i32::from(w)).sum();
            *bias -= i32::from(self.x_zero_point) * sum;
        }
    }

    /// What no sum is larger than; as much as can be where multipliers are not the rule's, for which float32 is not exact.
    fn reach(&self) -> i64 {
        if !self.multiplier.iter().all(|&m| is_multiplier(m)) {
            return 1 << 31;
        }
        let taps = self.window.kernel[0] * self.window.kernel[1];
        let of_channel = |(weights, &bias): (&[i8], &i32)| {
            i64::from(bias).abs() + weights.iter().map(|&w| 255 * i64::from(w).abs()).sum::<i64>()
        };
        self.weights.chunks(taps).zip(&self.bias).map(of_channel).max().unwrap_or(0)
    }

    /// One output's sum, in plain integers.
    fn sum(&self, oy: usize, ox: usize, c: usize) -> i64 {
        let w = &self.window;
        let mut acc = i64::from(self.bias[c]);
        for ky in 0..w.kernel[0] {
            for kx in 0..w.kernel[1] {
                let y = (oy * w.stride[0] + ky * w.dilation[0]) as i64 - w.pad[0] as i64;
                let x = (ox * w.stride[1] + kx * w.dilation[1]) as i64 - w.pad[1] as i64;
                let [height, width] = w.input.map(|n| n as i64);
                let value = if (0..height).contains(&y) && (0..width).contains(&x) {
                    self.x[((y * width + x) as usize) * w.channels + c]
                } else {
                    self.x_zero_point
                };
                let weight = self.weights[(c * w.kernel[0] + ky) * w.kernel[1] + kx];
                acc += i64::from(value) * i64::from(weight);
            }
        }
        acc
    }

    /// The byte of a sum, in plain integers.
    fn byte(&self, sum: i64, c: usize) -> u8 {
        let scaled = i128::from(sum) * i128::from(self.multiplier[c]) + (1i128 << (self.shift[c] - 1));
        let y = scaled.div_euclid(1i128 << self.shift[c]) + i128::from(self.zero_point);
        y.clamp(self.clamp.0.into(), self.clamp.1.into()) as u8
    }

    /// Every available tier against plain integers on some rows.
    fn check(&self, rows: Range<usize>) {
        let w = &self.window;
        let mut sums = Vec::new();
        for oy in rows.clone() {
            for ox in 0..w.output[1] {
                sums.extend((0..w.channels).map(|c| self.sum(oy, ox, c)));
            }
        }
        let channel = |i: usize| i % w.channels;
        let bytes: Vec<u8> = sums.iter().enumerate().map(|(i, &sum)| self.byte(sum, channel(i))).collect();
        let scale: Vec<f32> = self.multiplier.iter().map(|&m| m as f32 * 2e-12).collect();
        let bias: Vec<f32> = self.shift.iter().map(|&shift| shift as f32 / 3.0 - 9.0).collect();
        let (lo, hi) = self.float_clamp;
        let epilogue = Floats { acc_bias: &self.bias, x_scale: 0.037, scale: &scale, bias: &bias, lo, hi };
        let float = |(i, &sum): (usize, &i64)| {
            // A float32 times a float32 is exact in float64; then it is rounded once.
            let x = (f64::from(sum as f32) * f64::from(0.037f32)) as f32;
            x.mul_add(scale[channel(i)], bias[channel(i)]).clamp(lo, hi)
        };
        let floats: Vec<f32> = sums.iter().enumerate().map(float).collect();
        for isa in isa::available() {
            let k = Kernels::new(isa).expect("an available tier");
            let place = format!("{isa} {w:?} rows {rows:?}");
            let (window, x_zero_point) = (*w, self.x_zero_point);
            let tile = k.row().depthwise.to_bytes.select(w);
            let mut packed = vec![0xa5; tile.packing.packed_len(w.channels, w.kernel)];
            tile.packing.pack(&self.weights, w.channels, w.kernel, &mut packed);
            let requantize = Requantize {
                bias: &self.bias,
                reach: self.reach(),
                multiplier: &self.multiplier,
                shift: &self.shift,
                zero_point: self.zero_point,
                lo: self.clamp.0,
                hi: self.clamp.1,
            };
            let d = Depthwise { window, packed: &packed, epilogue: requantize, x_zero_point };
            between_guards(&place, 0xa5, &bytes, |out| run(k, &self.x, &d, rows.clone(), out));
            let tile = k.row().depthwise.to_floats.select(w);
            let mut packed = vec![0xa5; tile.packing.packed_len(w.channels, w.kernel)];
            tile.packing.pack(&self.weights, w.channels, w.kernel, &mut packed);
            let d = Depthwise { window, packed: &packed, epilogue, x_zero_point };
            between_guards(&place, -7.5, &floats, |out| run_to_floats(k, &self.x, &d, rows.clone(), out));
        }
    }
}

/// What a kernel writes: in a tight allocation, so that an address sanitizer sees each element too many; then between
/// guards.
fn between_guards<T: Copy + PartialEq + std::fmt::Debug>(
    place: &str,
    guard: T,
    expected: &[T],
    run: impl Fn(&mut [T]),
) {
    for guards in [0, 32] {
        let mut out = vec![guard; guards + expected.len() + guards];
        run(&mut out[guards..][..expected.len()]);
        let (before, out) = out.split_at(guards);
        let (out, behind) = out.split_at(expected.len());
        let first = (0..out.len()).find(|&i| out[i] != expected[i]);
        assert!(first.is_none(), "{place} differs first at {:?}", first.map(|i| (i, out[i], expected[i])));
        assert!(before.iter().chain(behind).all(|&x| x == guard), "{place}: elements beside it");
    }
}

fn square(input: usize, channels: usize, kernel: usize, stride: usize, pad: [usize; 2]) -> Window {
    Window {
        input: [input; 2],
        channels,
        output: [(input + pad[0] + pad[1] - kernel) / stride + 1; 2],
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        pad: [pad[0]; 2],
    }
}

/// The shapes with code of their own, at every position of channels, edges and rows against their tiles.
#[test]
fn special_shapes() {
    for kernel in [3, 5] {
        for stride in [1, 2] {
            for input in [kernel, 7, 8, 14, 19] {
                for channels in [1, 3, 7, 8, 15, 16, 17, 24, 31, 32, 40, 64, 100, 144] {
                    for pad in [[0, 0], [kernel / 2; 2], [0, 1], [kernel - 1, 0]] {
                        let seed = (input * 1000 + channels * 10 + pad[0] + stride) as u64;
                        let case = Case::new(square(input, channels, kernel, stride, pad), seed);
                        let rows = case.window.output[0];
                        let some = (channels % 3).min(rows - 1);
                        case.check(some..rows);
                    }
                }
            }
        }
    }
}

/// Every shift, in every lane, with tiny multipliers' and huge multipliers' sums; by few channels, which no special
/// kernel takes, as well.
#[test]
fn every_shift() {
    for (shift, channels) in (1..=62).flat_map(|shift| [(shift, 37), (shift, 12), (shift, 5)]) {
        let mut case = Case::new(square(4, channels, 3, 1, [1, 1]), shift as u64);
        case.shift = (0..channels as i32).map(|c| if c % 5 == 0 { 33 + c % 30 } else { shift }).collect();
        case.check(0..4);
        case.shift = vec![shift; channels];
        case.multiplier[..2].copy_from_slice(&[MULTIPLIER_MIN, MULTIPLIER_MAX]);
        case.bias[..2].copy_from_slice(&[i32::MAX - 300_000, i32::MIN + 300_000]);
        case.check(0..4);
        // Sums small enough for results between the clamps.
        case.bias.fill(7);
        case.x.fill(case.x_zero_point);
        case.correct_bias();
        (case.zero_point, case.clamp) = (100, (0, 255));
        case.check(0..4);
    }
}

/// Every number of channels below three groups, in one shape of each kernel.
#[test]
fn every_number_of_channels() {
    for channels in 1..=50 {
        for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (2, 1), (7, 3)] {
            let window = square(7, channels, kernel, stride, [kernel / 2; 2]);
            Case::new(window, (channels * 100 + kernel) as u64).check(0..window.output[0]);
        }
    }
}

/// Rows longer than a strip, dilations that fill one and go beyond it, kernels of one row and of one column.
#[test]
fn rows_beyond_a_strip() {
    for (kernel, dilation, stride) in [
        ([3, 3], [1, 2], [1, 1]),
        ([3, 3], [2, 120], [1, 1]),
        ([3, 3], [1, 126], [1, 1]),
        ([3, 3], [1, 127], [2, 1]),
        ([1, 5], [1, 1], [1, 1]),
        ([1, 4], [1, 3], [1, 2]),
        ([1, 3], [1, 254], [1, 1]),
        ([1, 3], [1, 255], [1, 1]),
        ([5, 1], [3, 1], [2, 3]),
        ([7, 7], [1, 1], [1, 1]),
        ([7, 7], [1, 1], [2, 2]),
        ([4, 4], [1, 1], [4, 4]),
    ] {
        for (width, channels) in [(700, 8), (259, 24), (33, 16), (5, 40)] {
            let output = |n: usize, axis: usize| {
                (n + 2 * 9usize).saturating_sub((kernel[axis] - 1) * dilation[axis] + 1) / stride[axis] + 1
            };
            let window = Window {
                input: [6, width],
                channels,
                output: [output(6, 0).min(3), output(width, 1)],
                kernel,
                stride,
                dilation,
                pad: [9, 9],
            };
            Case::new(window, (width + channels) as u64).check(0..window.output[0]);
        }
    }
}

/// Images larger than the strips of rows in which wide kernels go through them, from their first row on and from another.
#[test]
fn images_of_several_strips_of_rows() {
    for (stride, rows, width, channels) in [(1, 130, 70, 64), (2, 131, 69, 80), (1, 9, 1100, 97)] {
        let output = [rows, width].map(|n: usize| (n - 1) / stride + 1);
        let window = Window {
            input: [rows, width],
            channels,
            output,
            kernel: [3, 3],
            stride: [stride; 2],
            dilation: [1; 2],
            pad: [1; 2],
        };
        let mut case = Case::new(window, (rows + channels) as u64);
        case.shift = (0..channels as i32).map(|c| 38 + c % 10).collect();
        case.check(0..output[0]);
        case.check(3..output[0] - 1);
    }
}

/// The largest sums of either sign that 25 taps make, behind any zero point.
#[test]
fn the_largest_sums() {
    for (value, weight) in [(255, 127), (255, -127), (255, -128), (0, 127), (0, -128)] {
        for (kernel, x_zero_point) in [(3, 0), (5, 0), (3, 255), (5, 255), (5, 7), (9, 255)] {
            let mut case = Case::new(square(9, 35, kernel, 1, [kernel / 2; 2]), kernel as u64);
            case.x.fill(value);
            case.weights.fill(weight);
            case.x_zero_point = x_zero_point;
            case.bias.fill(0);
            case.correct_bias();
            // Quotients of some dozens, by shifts of either kind.
            case.multiplier = (0..35).map(|c| MULTIPLIER_MIN + 256 * c).collect();
            for shift in [43, 45, 32] {
                case.shift.fill(shift);
                (case.zero_point, case.clamp) = (128, (0, 255));
                case.check(0..9);
            }
        }
    }
}

/// A shift below 33 can be raised only where bias and products, moved left as much, stay inside int32: biases on either
/// side of that bound.
#[test]
fn raised_shifts_at_their_bound() {
    for (kernel, stride) in [(3, 1), (5, 2)] {
        // The products' largest magnitude, and what it would be if no weight were -128.
        let [products, less] = [128, 127].map(|weight| (kernel * kernel * 255 * weight) as i64);
        let distances = [
            -1,
            0,
            1,
            300_000,
            600_000,
            less,
            less + 1,
            products - 1,
            products,
            products + 1,
            1 << 20,
            1 << 21,
        ];
        for shift in 24..33 {
            for (distance, sign) in distances.into_iter().flat_map(|distance| [(distance, 1), (distance, -1)])
            {
                let mut case = Case::new(square(8, 33, kernel, stride, [1, 1]), shift as u64);
                case.x.fill(255);
                case.x_zero_point = 0;
                case.weights.fill(if sign > 0 { 127 } else { -128 });
                case.shift.fill(shift);
                let bias = ((1i64 << 31 >> (33 - shift)) - distance).clamp(0, 1 << 30) * sign;
                case.bias.fill(bias as i32);
                case.bias[17] = 0;
                // What the quotient is does not matter if the sum is right: a large zero point shows its sign.
                (case.zero_point, case.clamp) = (128, (0, 255));
                case.check(0..2);
            }
        }
    }
}

/// Sums whose product with the multiplier is an exact half: ties go up, for negative sums too.
#[test]
fn ties_go_up() {
    let mut case = Case::new(square(3, 32, 3, 1, [1, 1]), 1);
    case.weights.fill(0);
    case.bias = (0..32).map(|c| c - 16).collect();
    case.multiplier = (0..32).map(|c| if c % 3 == 0 { -(1 << 30) } else { 1 << 30 }).collect();
    case.shift = (0..32).map(|c| 31 + c % 4).collect();
    case.zero_point = 100;
    case.clamp = (0, 255);
    case.check(0..3);
}

/// Floats are clamped as Relu and Clip are: zeros of either sign become the bound that they meet, NaN stays.
#[test]
fn zeros_and_nan_meet_a_clamp_of_floats() {
    for (kernel, channels) in [3, 5, 7].into_iter().flat_map(|k| [5, 8, 12, 16, 40].map(|c| (k, c))) {
        let window = square(9, channels, kernel, 1 + channels % 2, [kernel / 2; 2]);
        let (x, weights) = (vec![3; 81 * channels], vec![0; channels * kernel * kernel]);
        // Sums of 0 times a negative scale are -0; that and a bias of -0 is -0.
        let bias: Vec<f32> = (0..channels).map(|c| [-0.0, f32::NAN, -1.0, 7.0, 0.0][c % 5]).collect();
        for ((lo, hi), expected) in [
            ((0.0, f32::INFINITY), [0.0, f32::NAN, 0.0, 7.0, 0.0]),
            ((-0.5, 6.0), [-0.0, f32::NAN, -0.5, 6.0, 0.0]),
            (NO_CLAMP, [-0.0, f32::NAN, -1.0, 7.0, 0.0]),
        ] {
            let (acc_bias, scale) = (vec![0; channels], vec![-1.0; channels]);
            let epilogue = Floats { acc_bias: &acc_bias, x_scale: 1.0, scale: &scale, bias: &bias, lo, hi };
            for isa in isa::available() {
                let k = Kernels::new(isa).expect("an available tier");
                let packing = k.row().depthwise.to_floats.select(&window).packing;
                let mut packed = vec![0; packing.packed_len(channels, window.kernel)];
                packing.pack(&weights, channels, window.kernel, &mut packed);
                let d = Depthwise { window, packed: &packed, epilogue, x_zero_point: 0 };
                let mut out = vec![9.0; window.output[0] * window.output[1] * channels];
                run_to_floats(k, &x, &d, 0..window.output[0], &mut out);
                for (i, y) in out.iter().enumerate() {
                    let expected = expected[i % channels % 5];
                    let is_right = y.to_bits() == expected.to_bits() || y.is_nan() && expected.is_nan();
                    assert!(is_right, "{isa} {kernel} {channels} {lo}..{hi}: {y} at {i}, not {expected}");
                }
            }
        }
    }
}

/// One axis: (input, output, kernel, stride, dilation, padding before). Padding may exceed the kernel, and the last
/// windows may lie behind the input.
fn axis() -> impl Strategy<Value = [usize; 6]> {
    (1..15usize, 1..=7usize, 1..=3usize, 1..=3usize, 0..9usize, 0..9usize).prop_map(
        |(input, kernel, stride, dilation, pad, behind)| {
            let span = (input + pad + behind).saturating_sub((kernel - 1) * dilation + 1);
            [input, span / stride + 1, kernel, stride, dilation, pad]
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn any_geometry(v in axis(), h in axis(), channels in prop_oneof![1..=20usize, 1..=200usize],
                    seed in any::<u64>(), first in 0..4usize) {
        let window = Window {
            input: [v[0], h[0]], channels, output: [v[1], h[1]], kernel: [v[2], h[2]], stride: [v[3], h[3]],
            dilation: [v[4], h[4]], pad: [v[5], h[5]],
        };
        Case::new(window, seed).check(first.min(v[1])..v[1]);
    }

    #[test]
    fn special_kernels_in_any_frame(
        kernel in prop_oneof![Just(3usize), Just(5usize)], stride in 1..=3usize, input in (1..20usize, 1..20usize),
        pad in (0..7usize, 0..7usize), behind in (0..7usize, 0..7usize), channels in 1..=200usize,
        dilation in prop_oneof![4 => Just([1usize, 1]), 1 => Just([1, 2]), 1 => Just([2, 1]), 1 => Just([2, 2])],
        seed in any::<u64>(), first in 0..4usize,
    ) {
        let output = |n: usize, pad: usize, behind: usize, dilation: usize| {
            (n + pad + behind).saturating_sub((kernel - 1) * dilation + 1) / stride + 1
        };
        let window = Window {
            input: [input.0, input.1],
            channels,
            output: [output(input.0, pad.0, behind.0, dilation[0]), output(input.1, pad.1, behind.1, dilation[1])],
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation,
            pad: [pad.0, pad.1],
        };
        Case::new(window, seed).check(first.min(window.output[0])..window.output[0]);
    }
}

/// More taps than are listed at a time, and more groups than wait for them.
#[test]
fn kernels_and_channels_beyond_a_block() {
    let kernels = [[9, 9], [1, 70], [70, 1], [9, 8], [2, 2], [31, 31], [32, 2], [33, 2], [1, 300]];
    for (kernel, channels) in kernels.into_iter().zip([33, 16, 5, 300, 530, 16, 8, 24, 40]) {
        let window = Window {
            input: [11, 11],
            channels,
            output: [3, 4],
            kernel,
            stride: [2, 3],
            dilation: [1, 1],
            pad: [kernel[0] / 2, kernel[1] / 2],
        };
        Case::new(window, kernel[0] as u64).check(0..3);
    }
}

/// Nothing but padding: the bias decides.
#[test]
fn an_image_without_pixels() {
    for input in [[0, 5], [5, 0], [0, 0]] {
        for kernel in [3, 5] {
            let mut window = square(5, 40, kernel, 1, [kernel / 2; 2]);
            window.input = input;
            Case::new(window, 7).check(0..5);
        }
    }
}

/// What a tier runs for a window, on any machine.
#[test]
fn kernels_by_name() {
    let window = |channels, kernel, stride, dilation| Window {
        kernel,
        stride,
        dilation,
        ..square(20, channels, 3, 1, [1; 2])
    };
    let names = |window: &Window| {
        crate::table::TABLE.each_ref().map(|row| {
            let (bytes, floats) =
                (row.depthwise.to_bytes.select(window), row.depthwise.to_floats.select(window));
            assert_eq!(bytes.entry.name.replace("u8i8", "u8i8f32"), floats.entry.name);
            assert_eq!(bytes.packing, floats.packing);
            bytes.entry.name
        })
    };
    let of = |form: &str| {
        ["avx2", "avx512vnni", "neon", "dotprod", "i8mm"].map(|isa| format!("{isa}-u8i8-depthwise-{form}"))
    };
    let check = |window: Window, form: &str| {
        let [scalar, avx2, avx512, neon, dotprod, i8mm] = names(&window);
        assert_eq!(scalar, "scalar-u8i8-depthwise-any");
        assert_eq!([avx2, avx512, neon, dotprod, i8mm], of(form), "{window:?}");
    };
    check(window(64, [7, 7], [1, 1], [1, 1]), "any");
    for dilation in [[2, 2], [1, 2], [2, 1]] {
        check(window(64, [3, 3], [1, 1], dilation), "any");
    }
    check(window(64, [3, 5], [1, 1], [1, 1]), "any");
    check(window(64, [3, 3], [1, 2], [1, 1]), "any");
    for (kernel, stride, form) in [(3, 1, "3x3s1"), (3, 2, "3x3s2"), (5, 1, "5x5s1"), (5, 2, "5x5s2")] {
        check(window(64, [kernel; 2], [stride; 2], [1, 1]), form);
        check(Window { input: [0, 5], ..window(64, [kernel; 2], [stride; 2], [1, 1]) }, "any");
    }
    for channels in 1..8 {
        for kernel in [[3, 3], [5, 5], [7, 7], [1, 31], [31, 1]] {
            check(window(channels, kernel, [1, 2], [1, 2]), "row");
        }
        check(Window { input: [5, 0], ..window(channels, [3, 3], [1, 1], [1, 1]) }, "any");
        // More columns than there is room for.
        check(window(channels, [3, 3], [1, 1], [1, 5000]), "any");
    }
    check(window(8, [3, 3], [1, 1], [1, 1]), "3x3s1");
}

#[test]
#[should_panic(expected = "the input's length")]
fn a_short_image_is_refused() {
    let mut case = Case::new(square(5, 16, 3, 1, [1, 1]), 3);
    case.x.pop();
    case.check(0..0);
}
