use proptest::prelude::*;

use super::*;
use crate::isa;
use crate::table::Kernels;

fn tiers() -> impl Iterator<Item = Kernels> {
    isa::available().into_iter().map(|isa| Kernels::new(isa).expect("an available tier"))
}

/// The rule as its text says it.
fn plain_quantize(x: f32, scale: f32, zero_point: i32) -> u8 {
    let quotient = x / scale;
    if quotient.is_nan() {
        return zero_point as u8;
    }
    (f64::from(quotient.round_ties_even()) + f64::from(zero_point)).clamp(0.0, 255.0) as u8
}

fn hostile() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -300.0..300.0f32,
        2 => (-600..600i32).prop_map(|halves| halves as f32 / 2.0),
        1 => any::<u32>().prop_map(f32::from_bits),
        1 => prop_oneof![
            Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(f32::MAX), Just(f32::MIN),
            Just(-0.0), Just(f32::from_bits(1)), Just(0.5), Just(-0.5), Just(8388609.0), Just(2147483648.0),
        ],
    ]
}

fn scale() -> impl Strategy<Value = f32> {
    prop_oneof![
        2 => Just(1.0f32), 2 => 1e-3..10.0f32, 1 => Just(f32::MIN_POSITIVE), 1 => Just(f32::from_bits(1)),
        1 => Just(f32::MAX),
    ]
}

/// Numbers whose quotient by the scale is a half, or next to one: where a product with the scale's inverse would round to
/// another integer.
fn beside_ties(scale: f32) -> Vec<f32> {
    let halves = (-520..=520).map(|half| half as f32 / 2.0 * scale);
    halves
        .flat_map(|x| [-2, -1, 0, 1, 2].map(|ulps| f32::from_bits(x.to_bits().wrapping_add_signed(ulps))))
        .collect()
}

fn zero_point() -> impl Strategy<Value = i32> {
    prop_oneof![Just(0), Just(128), Just(255), 0..=255i32]
}

/// The rule of a fractional zero point as its text says it.
fn plain_to_grid(x: f32, scale: f32, zero: f32) -> u8 {
    let quotient = x / scale;
    let place = if quotient.is_nan() { zero } else { quotient + zero };
    place.round_ties_even().clamp(0.0, 255.0) as u8
}

fn grids() -> impl Strategy<Value = Vec<(f32, f32)>> {
    let within = prop_oneof![Just(0.0f32), Just(127.5), Just(255.0), Just(0.5), Just(1.5), 0.0..=255.0f32];
    let beyond =
        prop_oneof![Just(-127.0f32), Just(382.5), Just(-2097152.0), Just(2097152.0), -3000.0..3000.0f32];
    let zero = prop_oneof![3 => within, 1 => beyond];
    proptest::collection::vec((scale(), zero), 1..=20)
}

proptest! {
    #[test]
    fn quantize_equals_its_rule(x in proptest::collection::vec(hostile(), 0..200), scale in scale(),
                                zero_point in zero_point()) {
        let expected: Vec<u8> = x.iter().map(|&x| plain_quantize(x, scale, zero_point)).collect();
        for k in tiers() {
            let mut out = vec![0; x.len()];
            quantize(k, &x, scale, zero_point, &mut out);
            prop_assert_eq!(&out, &expected, "{}", k.isa());
        }
    }

    #[test]
    fn ties_are_decided_by_the_true_quotient(scale in prop_oneof![1e-3..10.0f32, 1e-30..1e-20f32], zero_point in zero_point()) {
        let x = beside_ties(scale);
        let expected: Vec<u8> = x.iter().map(|&x| plain_quantize(x, scale, zero_point)).collect();
        for k in tiers() {
            let mut out = vec![0; x.len()];
            quantize(k, &x, scale, zero_point, &mut out);
            prop_assert_eq!(&out, &expected, "{}", k.isa());
            for channels in 1..=20 {
                let plane = x.len() / channels;
                let x = &x[..channels * plane];
                let mut out = vec![0; x.len()];
                quantize_channels_last(k, x, channels, plane, 0..plane, scale, zero_point, &mut out);
                let is_right = |i: usize| out[i] == expected[i % channels * plane + i / channels];
                prop_assert!((0..x.len()).all(is_right), "{} {} channels", k.isa(), channels);
            }
        }
    }

    #[test]
    fn channels_go_last(
        (channels, plane, x) in (prop_oneof![1..=10usize, 1..=40usize], 1..200usize).prop_flat_map(|(channels, plane)| {
            (Just(channels), Just(plane), proptest::collection::vec(hostile(), channels * plane))
        }),
        (start, end) in (0.0..1.0f64, 0.0..1.0f64), scale in scale(), zero_point in zero_point(),
    ) {
        let at = |fraction: f64| (fraction * (plane + 1) as f64) as usize;
        let pixels = at(start.min(end))..at(start.max(end));
        for k in tiers() {
            let mut out = vec![0; channels * pixels.len()];
            quantize_channels_last(k, &x, channels, plane, pixels.clone(), scale, zero_point, &mut out);
            for (i, p) in pixels.clone().enumerate() {
                for c in 0..channels {
                    let expected = plain_quantize(x[c * plane + p], scale, zero_point);
                    prop_assert_eq!(out[i * channels + c], expected, "{} pixel {} channel {}", k.isa(), p, c);
                }
            }
        }
    }

    #[test]
    fn values_go_to_grids(grids in grids(), mut x in proptest::collection::vec(hostile(), 0..200)) {
        x.extend(beside_ties(grids[0].0));
        let (scale, zero): (Vec<f32>, Vec<f32>) = grids.iter().copied().unzip();
        let grid = |i: usize| grids[i % grids.len()];
        let one = |(i, &x): (usize, &f32)| plain_to_grid(x, grid(i).0, grid(i).1);
        let expected: Vec<u8> = x.iter().enumerate().map(one).collect();
        for k in tiers() {
            let mut out = vec![0; x.len()];
            quantize_to_grids(k, &x, &scale, &zero, &mut out);
            prop_assert_eq!(&out, &expected, "{}", k.isa());
        }
    }

    #[test]
    fn channels_go_last_to_grids(
        grids in grids(), (start, end) in (0..100usize, 0..100usize), mut x in proptest::collection::vec(hostile(), 0..900),
    ) {
        x.extend(beside_ties(grids[0].0));
        let (channels, plane) = (grids.len(), x.len() / grids.len());
        let (scale, zero): (Vec<f32>, Vec<f32>) = grids.iter().copied().unzip();
        let (x, start) = (&x[..channels * plane], start.min(plane));
        let pixels = start..plane - end.min(plane - start);
        for k in tiers() {
            let mut out = vec![0; channels * pixels.len()];
            quantize_channels_last_to_grids(k, x, plane, pixels.clone(), &scale, &zero, &mut out);
            for (i, p) in pixels.clone().enumerate() {
                for c in 0..channels {
                    let expected = plain_to_grid(x[c * plane + p], scale[c], zero[c]);
                    prop_assert_eq!(out[i * channels + c], expected, "{} pixel {} channel {}", k.isa(), p, c);
                }
            }
        }
    }

    #[test]
    fn dequantize_equals_its_rule(x in proptest::collection::vec(any::<u8>(), 0..200), scale in scale(),
                                  zero_point in zero_point()) {
        for k in tiers() {
            let mut out = vec![0.0; x.len()];
            dequantize(k, &x, scale, zero_point, &mut out);
            for (&x, &y) in x.iter().zip(&out) {
                let expected = scale * (f32::from(x) - zero_point as f32);
                prop_assert_eq!(y.to_bits(), expected.to_bits(), "{} {}", k.isa(), x);
            }
        }
    }

    #[test]
    fn requantize_equals_plain_integers(
        x_zero_point in zero_point(),
        y_zero_point in zero_point(), shift in prop_oneof![1..=62u32, 29..=36u32],
        multiplier in prop_oneof![4 => 1i32 << 30..=i32::MAX, 1 => -i32::MAX..=-1 << 30, 1 => Just(i32::MAX)],
        (lo, hi) in (0..=255i32, 0..=255i32).prop_map(|(a, b)| (a.min(b), a.max(b))),
    ) {
        let p = RequantizeParams { x_zero_point, y_zero_point, multiplier, shift, lo, hi };
        let expected = |x: u8| {
            let product = i128::from(i32::from(x) - x_zero_point) * i128::from(multiplier);
            let y = (product + (1i128 << (shift - 1))).div_euclid(1i128 << shift) + i128::from(y_zero_point);
            y.clamp(i128::from(lo), i128::from(hi)) as u8
        };
        let table = requantize_table(&p);
        prop_assert!((0..=255u8).all(|x| table[usize::from(x)] == expected(x)), "{:?}", p);
    }
}

/// Every zero point, and the numbers about both ends of the bytes: saturation, infinities, NaN, zeros of both signs.
#[test]
fn every_zero_point_at_both_ends() {
    for zero_point in 0..=255 {
        let ends = [-zero_point, 255 - zero_point, 0].map(|end| end as f32);
        let near = [-1.0, -0.75, -0.5, -0.25, -0.0, 0.0, 0.25, 0.5, 0.75, 1.0];
        let mut x: Vec<f32> = ends.iter().flat_map(|end| near.map(|step| end + step)).collect();
        x.extend([f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -0.0]);
        x.extend([f32::from_bits(1), 0.499_999_97, 4_194_304.5, 8_388_609.0, -8_388_609.0, 3e9, -3e9]);
        // More than any tier's registers hold, in one line and in 17 planes.
        let (channels, plane) = (17, x.len());
        let x: Vec<f32> = (0..channels).flat_map(|c| x[c..].iter().chain(&x[..c]).copied()).collect();
        let bits: Vec<u8> = (0..=255).collect();
        for k in tiers() {
            let mut out = vec![0; x.len()];
            quantize(k, &x, 1.0, zero_point, &mut out);
            for (&x, &y) in x.iter().zip(&out) {
                assert_eq!(y, plain_quantize(x, 1.0, zero_point), "{} {x} {zero_point}", k.isa());
            }
            let mut last = vec![0; x.len()];
            quantize_channels_last(k, &x, channels, plane, 0..plane, 1.0, zero_point, &mut last);
            for (i, &y) in last.iter().enumerate() {
                assert_eq!(y, out[i % channels * plane + i / channels], "{} {i} {zero_point}", k.isa());
            }
            let mut numbers = vec![9.0; 256];
            dequantize(k, &bits, 0.3, zero_point, &mut numbers);
            let is_right =
                |q: usize| numbers[q].to_bits() == (0.3 * (q as f32 - zero_point as f32)).to_bits();
            assert!((0..256).all(is_right), "{} {zero_point}", k.isa());
        }
    }
}

#[test]
fn parameters_out_of_their_ranges_are_refused() {
    let refused = |run: fn()| std::panic::catch_unwind(run).is_err();
    let wrong: [fn(); 20] = [
        || quantize(Kernels::best(), &[1.0; 2], 1.0, 0, &mut [0; 3]),
        || quantize(Kernels::best(), &[1.0; 2], 1.0, -1, &mut [0; 2]),
        || quantize(Kernels::best(), &[1.0; 2], 1.0, 256, &mut [0; 2]),
        || dequantize(Kernels::best(), &[1; 2], 1.0, 0, &mut [0.0; 3]),
        || dequantize(Kernels::best(), &[1; 2], 1.0, 256, &mut [0.0; 2]),
        || quantize_channels_last(Kernels::best(), &[1.0; 6], 2, 3, 0..4, 1.0, 0, &mut [0; 8]),
        || quantize_channels_last(Kernels::best(), &[1.0; 6], 2, 3, 1..3, 1.0, 0, &mut [0; 3]),
        || quantize_channels_last(Kernels::best(), &[1.0; 5], 2, 3, 0..3, 1.0, 0, &mut [0; 6]),
        || quantize_channels_last(Kernels::best(), &[1.0; 6], 2, 3, 0..3, 1.0, 256, &mut [0; 6]),
        || quantize_channels_last(Kernels::best(), &[1.0; 6], 2, 3, 0..3, 1.0, -1, &mut [0; 6]),
        || {
            quantize_channels_last(
                Kernels::best(),
                &[1.0; 6],
                2,
                3,
                Range { start: 2, end: 1 },
                1.0,
                0,
                &mut [],
            )
        },
        || dequantize(Kernels::best(), &[1; 2], 1.0, -1, &mut [0.0; 2]),
        || requantize_by(|p| p.shift = 63),
        || requantize_by(|p| p.shift = 0),
        || requantize_by(|p| p.multiplier = i32::MIN),
        || requantize_by(|p| p.lo = -1),
        || requantize_by(|p| p.hi = 256),
        || requantize_by(|p| p.x_zero_point = 256),
        || requantize_by(|p| p.y_zero_point = -1),
        || requantize_by(|p| (p.lo, p.hi) = (9, 8)),
    ];
    for (i, wrong) in wrong.into_iter().enumerate() {
        assert!(refused(wrong), "{i}");
    }
    assert!(!refused(|| requantize_by(|_| ())));
}

/// Parameters at the ends of their ranges, but for a change.
fn requantize_by(change: fn(&mut RequantizeParams)) {
    let mut p = RequantizeParams {
        x_zero_point: 255,
        y_zero_point: 255,
        multiplier: -i32::MAX,
        shift: 62,
        lo: 0,
        hi: 255,
    };
    change(&mut p);
    requantize_table(&p);
}

/// Numbers of no pattern and of both signs.
fn number(index: usize) -> f32 {
    let mixed = (index as u32).wrapping_mul(0x9E37_79B9).rotate_left(15).wrapping_mul(0x85EB_CA6B);
    (mixed as i32 as f32) / 1e9
}

#[test]
fn scales_are_those_of_the_range() {
    let cases: &[(&[f32], f32, u8)] = &[
        (&[], 1.0, 0),
        (&[0.0, -0.0], 1.0, 0),
        (&[-0.0], 1.0, 0),
        (&[255.0], 1.0, 0),
        (&[-255.0], 1.0, 255),
        (&[3.0, 510.0], 2.0, 0),
        (&[-10.0, 245.0], 1.0, 10),
        (&[-0.5, 254.5], 1.0, 0),
        (&[-1.5, 253.5], 1.0, 2),
        (&[1e-44], f32::MIN_POSITIVE, 0),
        (&[-1e-44], f32::MIN_POSITIVE, 0),
        (&[-f32::MAX, f32::MAX], f32::MAX / 127.5, 128),
    ];
    for kernels in tiers() {
        for &(x, scale, zero_point) in cases {
            assert_eq!(scale_of(range(kernels, x)), (scale, zero_point), "{} {x:?}", kernels.isa());
        }
    }
}

#[test]
fn what_is_not_finite_has_no_scale() {
    for kernels in tiers() {
        for broken in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for length in [1, 5, 64, 131] {
                let mut x: Vec<f32> = (0..length).map(number).collect();
                x[length * 2 / 3] = broken;
                let (mut scale, mut zero_point) = ([1.0, 1.0], [9, 9]);
                let (both, mut y) = ([&x[..], &vec![1.0; length]].concat(), vec![7; 2 * length]);
                quantize_rows(kernels, &both, &mut scale, &mut zero_point, &mut y);
                assert!(scale[0].is_nan() && zero_point[0] == 0, "{} {broken}", kernels.isa());
                assert!(y[..length].iter().all(|&q| q == 0), "{} {broken}", kernels.isa());
                assert!(y[length..].iter().all(|&q| q == 255), "{} {broken}", kernels.isa());
            }
        }
        let greatest = [f32::MAX, f32::MIN];
        assert!(scale_of(range(kernels, &greatest)).0.is_finite());
    }
}

#[test]
fn rows_are_quantized_by_their_own_ranges() {
    for kernels in tiers() {
        for (rows, length) in [(0, 4), (3, 0), (1, 1), (4, 3), (2, 63), (3, 64), (5, 130), (2, 1000)] {
            let x: Vec<f32> = (0..rows * length).map(|i| number(i) * (1 + i % 7) as f32).collect();
            let (mut scales, mut zeros, mut y) = (vec![0.0; rows], vec![0; rows], vec![7; rows * length]);
            quantize_rows(kernels, &x, &mut scales, &mut zeros, &mut y);
            for row in 0..rows {
                let x = &x[row * length..][..length];
                let least = x.iter().fold(0.0f32, |a, &b| a.min(b));
                let greatest = x.iter().fold(0.0f32, |a, &b| a.max(b));
                let wanted = if greatest > least {
                    let scale = ((f64::from(greatest) - f64::from(least)) / 255.0) as f32;
                    (scale, (-f64::from(least) / f64::from(scale)).round_ties_even().min(255.0) as u8)
                } else {
                    (1.0, 0)
                };
                assert_eq!((scales[row], zeros[row]), wanted, "{} {length}", kernels.isa());
                let mut expected = vec![0; length];
                quantize(kernels, x, wanted.0, i32::from(wanted.1), &mut expected);
                assert_eq!(y[row * length..][..length], expected, "{} {length}", kernels.isa());
            }
        }
    }
}

/// In whatever parts.
#[test]
fn ranges_of_parts_make_the_range_of_the_whole() {
    for kernels in tiers() {
        let x: Vec<f32> = (0..500).map(number).collect();
        for cut in [0, 1, 17, 256, 499, 500] {
            let joined = union(range(kernels, &x[..cut]), range(kernels, &x[cut..]));
            assert_eq!(joined, range(kernels, &x));
        }
    }
}
