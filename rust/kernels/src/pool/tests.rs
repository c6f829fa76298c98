use proptest::prelude::*;

use super::*;
use crate::isa;
use crate::table::Kernels;

fn tiers() -> impl Iterator<Item = Kernels> {
    isa::available().into_iter().map(|isa| Kernels::new(isa).expect("an available tier"))
}

/// One axis: (input, output, kernel, stride, dilation, padding before). The last windows may reach behind the input.
fn axis() -> impl Strategy<Value = [usize; 6]> {
    (1..12usize, 1..6usize, 1..=3usize, 1..=3usize, 0..7usize, 0..7usize).prop_map(
        |(input, kernel, stride, dilation, pad, behind)| {
            let reach = (kernel - 1) * dilation;
            let span = (input + pad + behind).saturating_sub(reach + 1);
            [input, span / stride + 1, kernel, stride, dilation, pad]
        },
    )
}

fn window() -> impl Strategy<Value = Window> {
    let channels = prop_oneof![1..=9usize, 1..=200usize];
    (axis(), axis(), channels).prop_map(|(v, h, channels)| Window {
        input: [v[0], h[0]],
        channels,
        output: [v[1], h[1]],
        kernel: [v[2], h[2]],
        stride: [v[3], h[3]],
        dilation: [v[4], h[4]],
        pad: [v[5], h[5]],
    })
}

fn image() -> impl Strategy<Value = (Window, Vec<u8>)> {
    window().prop_flat_map(|window| {
        let length = window.input[0] * window.input[1] * window.channels;
        (Just(window), proptest::collection::vec(any::<u8>(), length))
    })
}

/// The input values that one output value's window meets, and how many taps lie before `[bottom, right]`.
fn met(x: &[u8], w: &Window, oy: usize, ox: usize, c: usize, behind: [usize; 2]) -> (Vec<i64>, usize) {
    let mut values = Vec::new();
    let mut counted = 0;
    for ky in 0..w.kernel[0] {
        for kx in 0..w.kernel[1] {
            let y = (oy * w.stride[0] + ky * w.dilation[0]) as i64 - w.pad[0] as i64;
            let x_at = (ox * w.stride[1] + kx * w.dilation[1]) as i64 - w.pad[1] as i64;
            let [height, width] = w.input.map(|n| n as i64);
            counted += usize::from(y < height + behind[0] as i64 && x_at < width + behind[1] as i64);
            if (0..height).contains(&y) && (0..width).contains(&x_at) {
                values.push(i64::from(x[((y * width + x_at) as usize) * w.channels + c]));
            }
        }
    }
    (values, counted)
}

/// Compares some rows with `expected(oy, ox, c)`.
fn check_rows(
    w: &Window,
    rows: Range<usize>,
    run: impl Fn(Kernels, Range<usize>, &mut [u8]),
    expected: impl Fn(usize, usize, usize) -> u8,
) {
    let mut plain = Vec::new();
    for oy in rows.clone() {
        for ox in 0..w.output[1] {
            plain.extend((0..w.channels).map(|c| expected(oy, ox, c)));
        }
    }
    for k in tiers() {
        let mut out = vec![0xa5; plain.len()];
        run(k, rows.clone(), &mut out);
        assert_eq!(out, plain, "{} {w:?} rows {rows:?}", k.isa());
    }
}

fn plain_requantize(acc: i64, multiplier: i32, shift: u32, zero_point: i32, lo: i32, hi: i32) -> u8 {
    let scaled = i128::from(acc) * i128::from(multiplier) + (1i128 << (shift - 1));
    let y = scaled.div_euclid(1i128 << shift) + i128::from(zero_point);
    y.clamp(i128::from(lo), i128::from(hi)) as u8
}

fn zero_point() -> impl Strategy<Value = i32> {
    prop_oneof![Just(0), Just(128), Just(255), 0..=255i32]
}

fn clamp() -> impl Strategy<Value = (i32, i32)> {
    prop_oneof![Just((0, 255)), (0..=255i32, 0..=255i32).prop_map(|(a, b)| (a.min(b), a.max(b)))]
}

fn multiplier() -> impl Strategy<Value = i32> {
    prop_oneof![4 => 1i32 << 30..=i32::MAX, 1 => -i32::MAX..=-1 << 30, 1 => Just(i32::MAX), 1 => Just(1 << 30)]
}

/// Any shift, or one that takes a sum of some bytes to a byte.
fn shift() -> impl Strategy<Value = u32> {
    prop_oneof![1..=62u32, 29..=37u32]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn max_pool_takes_the_largest((w, x) in image(), first in 0..4usize) {
        let rows = first.min(w.output[0])..w.output[0];
        check_rows(&w, rows, |k, rows, out| max_pool_u8(k, &x, &w, rows, out), |oy, ox, c| {
            met(&x, &w, oy, ox, c, [0, 0]).0.into_iter().max().unwrap_or(0) as u8
        });
    }

    #[test]
    fn average_pool_equals_plain_integers(
        (w, x) in image(), x_zero_point in zero_point(), y_zero_point in zero_point(),
        multiplier in multiplier(), shift in shift(), (lo, hi) in clamp(),
        behind in proptest::option::of((0..4usize, 0..4usize).prop_map(|(bottom, right)| [bottom, right])),
    ) {
        let count = w.kernel[0] * w.kernel[1];
        // A factor of its own for each count, so that a wrong count shows.
        let factors: Vec<(i32, u32)> =
            (0..=count as i32).map(|i| (multiplier / (i + 2) + (1 << 29), (shift + i as u32) % 62 + 1)).collect();
        let average =
            Average { x_zero_point, y_zero_point, lo, hi, factors: &factors, count_include_pad: behind };
        let run = |k, rows, out: &mut [u8]| average_pool(k, &x, &w, rows, &average, out);
        check_rows(&w, 0..w.output[0], run, |oy, ox, c| {
            let (values, counted) = met(&x, &w, oy, ox, c, behind.unwrap_or([0, 0]));
            let count = if behind.is_some() { counted } else { values.len() };
            let (multiplier, shift) = factors[count];
            let acc = values.iter().map(|x| x - i64::from(x_zero_point)).sum();
            if count == 0 {
                y_zero_point.clamp(lo, hi) as u8
            } else {
                plain_requantize(acc, multiplier, shift, y_zero_point, lo, hi)
            }
        });
    }

    #[test]
    fn mean_equals_plain_integers(
        (rows, channels, x) in (0..600usize, 1..150usize).prop_flat_map(|(rows, channels)| {
            (Just(rows), Just(channels), proptest::collection::vec(prop_oneof![Just(255), any::<u8>()], rows * channels))
        }),
        x_zero_point in zero_point(), y_zero_point in zero_point(), multiplier in multiplier(),
        shift in shift(), (lo, hi) in clamp(),
    ) {
        for k in tiers() {
            let mut out = vec![0; channels];
            let mean = Mean { x_zero_point, multiplier, shift, y_zero_point, lo, hi };
            mean_rows(k, &x, channels, &mean, &mut out);
            for c in 0..channels {
                let value = |row: usize| i64::from(x[row * channels + c]) - i64::from(x_zero_point);
                let acc = (0..rows).map(value).sum();
                let expected = plain_requantize(acc, multiplier, shift, y_zero_point, lo, hi);
                prop_assert_eq!(out[c], expected, "{} channel {}", k.isa(), c);
            }
        }
    }

    #[test]
    fn a_mean_in_floats_equals_plain_integers(
        (rows, channels, x) in (0..600usize, 1..150usize).prop_flat_map(|(rows, channels)| {
            (Just(rows), Just(channels), proptest::collection::vec(prop_oneof![Just(255), any::<u8>()], rows * channels))
        }),
        x_zero_point in zero_point(), scale in prop_oneof![1e-6..1f32, Just(f32::from_bits(3)), Just(f32::MAX)],
    ) {
        for k in tiers() {
            let mut out = vec![0.0; channels];
            mean_rows_to_floats(k, &x, channels, &FloatMean { x_zero_point, scale }, &mut out);
            for c in 0..channels {
                let value = |row: usize| i64::from(x[row * channels + c]) - i64::from(x_zero_point);
                let acc: i64 = (0..rows).map(value).sum();
                // Such a sum and the product are exact in float64.
                let expected = (acc as f64 * f64::from(scale)) as f32;
                prop_assert_eq!(out[c].to_bits(), expected.to_bits(), "{} channel {}", k.isa(), c);
            }
        }
    }
}

/// Rows of nothing but 255, and of nothing but 0 below a zero point of 255: the largest sums, about every number of rows
/// that a narrower sum would hold, one whose sums float32 rounds, and the last one that int32 does.
#[test]
fn the_largest_means() {
    for (x, x_zero_point) in [(255, 0), (0, 255), (255, 7)] {
        for rows in [
            1, 2, 128, 129, 255, 256, 257, 258, 272, 511, 512, 513, 514, 65_793, 65_794, 5_000_003, 8_421_504,
        ] {
            let channels: &[usize] = if rows > 1000 { &[1] } else { &[1, 63, 64, 65, 130] };
            for &channels in channels {
                let image = vec![x; rows * channels];
                // 100 on either side of 128.
                let exponent = (rows as f64 * 2.55).log2().ceil();
                let multiplier = (2f64.powf(30.0 + exponent) / (rows as f64 * 2.55)) as i32;
                let shift = 30 + exponent as u32;
                let mean = Mean { x_zero_point, multiplier, shift, y_zero_point: 128, lo: 1, hi: 254 };
                let acc = (i64::from(x) - i64::from(x_zero_point)) * rows as i64;
                let expected = plain_requantize(acc, multiplier, shift, 128, 1, 254);
                assert!((25..=31).contains(&expected) || (225..=228).contains(&expected), "{expected}");
                for k in tiers() {
                    let mut out = vec![0; channels];
                    mean_rows(k, &image, channels, &mean, &mut out);
                    assert!(out.iter().all(|&y| y == expected), "{} {rows} rows: {out:?}", k.isa());
                    let mut out = vec![0.0; channels];
                    let mean = FloatMean { x_zero_point, scale: 0.37 };
                    mean_rows_to_floats(k, &image, channels, &mean, &mut out);
                    let expected = acc as f32 * 0.37;
                    assert!(out.iter().all(|&y| y == expected), "{} {rows} rows: {out:?}", k.isa());
                }
            }
        }
    }
}

#[test]
fn the_largest_averages() {
    for (x, x_zero_point) in [(255, 0), (0, 255)] {
        for (side, channels) in [(16, 3), (17, 65), (23, 64), (258, 2), (600, 1)] {
            let window = Window {
                input: [side; 2],
                channels,
                output: [1, 1],
                kernel: [side; 2],
                stride: [1; 2],
                dilation: [1; 2],
                pad: [0; 2],
            };
            let count = side * side;
            let exponent = (count as f64 * 2.55).log2().ceil();
            let factor = ((2f64.powf(30.0 + exponent) / (count as f64 * 2.55)) as i32, 30 + exponent as u32);
            let mut factors = vec![(1 << 30, 62); count];
            factors.push(factor);
            let average = Average {
                x_zero_point,
                y_zero_point: 128,
                lo: 0,
                hi: 255,
                factors: &factors,
                count_include_pad: None,
            };
            let image = vec![x; count * channels];
            let acc = (i64::from(x) - i64::from(x_zero_point)) * count as i64;
            let expected = plain_requantize(acc, factor.0, factor.1, 128, 0, 255);
            assert!(expected.abs_diff(128) > 96 && expected.abs_diff(128) < 101, "{expected}");
            let run = |k, rows, out: &mut [u8]| average_pool(k, &image, &window, rows, &average, out);
            check_rows(&window, 0..1, run, |_, _, _| expected);
        }
    }
}

/// Channels about every block's width, by windows with loops of their own and others.
#[test]
fn every_number_of_channels() {
    for channels in (1..=80).chain([127, 128, 129, 130]) {
        for (kernel, stride, pad) in [([3, 3], 2, 1), ([2, 2], 2, 0), ([3, 2], 1, 1), ([1, 4], 1, 2)] {
            let output = [0, 1].map(|axis| (5 + 2 * pad - kernel[axis]) / stride + 1);
            let window = Window {
                input: [5; 2],
                channels,
                output,
                kernel,
                stride: [stride; 2],
                dilation: [1; 2],
                pad: [pad; 2],
            };
            let x: Vec<u8> = (0..25 * channels).map(|i| (i * 7919 % 251) as u8).collect();
            let run = |k, rows, out: &mut [u8]| max_pool_u8(k, &x, &window, rows, out);
            check_rows(&window, 0..output[0], run, |oy, ox, c| {
                met(&x, &window, oy, ox, c, [0, 0]).0.into_iter().max().unwrap_or(0) as u8
            });
            let factors: Vec<(i32, u32)> = (0..13).map(|count| (1_200_000_000 + count, 30 + 2)).collect();
            let average = Average {
                x_zero_point: 90,
                y_zero_point: 77,
                lo: 5,
                hi: 250,
                factors: &factors,
                count_include_pad: None,
            };
            let run = |k, rows, out: &mut [u8]| average_pool(k, &x, &window, rows, &average, out);
            check_rows(&window, 0..output[0], run, |oy, ox, c| {
                let values = met(&x, &window, oy, ox, c, [0, 0]).0;
                let (multiplier, shift) = factors[values.len()];
                let acc = values.iter().map(|x| x - 90).sum();
                if values.is_empty() { 77 } else { plain_requantize(acc, multiplier, shift, 77, 5, 250) }
            });
        }
    }
}

#[test]
fn parameters_out_of_their_ranges_are_refused() {
    let fine = Mean { x_zero_point: 255, multiplier: 1 << 30, shift: 62, y_zero_point: 0, lo: 255, hi: 255 };
    let is_refused = |x: &[u8], channels: usize, mean: Mean, out: usize| {
        let run = || mean_rows(Kernels::best(), x, channels, &mean, &mut vec![0; out]);
        std::panic::catch_unwind(run).is_err()
    };
    assert!(!is_refused(&[1; 6], 3, fine, 3) && !is_refused(&[], 0, fine, 0));
    assert!(!is_refused(&[1; 6], 3, Mean { shift: 1, lo: 0, hi: 0, x_zero_point: 0, ..fine }, 3));
    assert!(is_refused(&[1; 7], 3, fine, 3) && is_refused(&[1; 6], 3, fine, 2));
    let wrong = [
        Mean { x_zero_point: -1, ..fine },
        Mean { x_zero_point: 256, ..fine },
        Mean { y_zero_point: 256, ..fine },
        Mean { multiplier: i32::MIN, ..fine },
        Mean { shift: 0, ..fine },
        Mean { shift: 63, ..fine },
        Mean { lo: -1, ..fine },
        Mean { hi: 256, ..fine },
        Mean { lo: 9, hi: 8, ..fine },
    ];
    for mean in wrong {
        assert!(is_refused(&[1; 6], 3, mean, 3), "{mean:?}");
    }
}

#[test]
fn parameters_of_a_mean_in_floats_out_of_their_ranges_are_refused() {
    let is_refused = |x: &[u8], channels: usize, x_zero_point: i32, out: usize| {
        let mean = FloatMean { x_zero_point, scale: 1.0 };
        let run = || mean_rows_to_floats(Kernels::best(), x, channels, &mean, &mut vec![0.0; out]);
        std::panic::catch_unwind(run).is_err()
    };
    assert!(!is_refused(&[1; 6], 3, 0, 3) && !is_refused(&[1; 6], 3, 255, 3) && !is_refused(&[], 0, 0, 0));
    assert!(is_refused(&[1; 7], 3, 0, 3) && is_refused(&[1; 6], 3, 0, 2));
    assert!(is_refused(&[1; 6], 3, -1, 3) && is_refused(&[1; 6], 3, 256, 3));
    assert!(!is_refused(&vec![0; 8_421_504], 1, 0, 1) && is_refused(&vec![0; 8_421_505], 1, 0, 1));
}

#[test]
#[should_panic(expected = "leaves int32")]
fn a_sum_that_leaves_int32_is_refused() {
    let mean = Mean { x_zero_point: 0, multiplier: 1 << 30, shift: 62, y_zero_point: 0, lo: 0, hi: 255 };
    mean_rows(Kernels::best(), &vec![0; 8_421_505], 1, &mean, &mut [0]);
}
