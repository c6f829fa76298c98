use proptest::prelude::*;

use super::*;
use crate::isa::{self, Kernels};

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

fn zero_point() -> impl Strategy<Value = i32> {
    prop_oneof![Just(0), Just(128), Just(255), 0..=255i32]
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
    fn channels_go_last(
        (channels, plane, x) in (1..7usize, 1..300usize).prop_flat_map(|(channels, plane)| {
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
        x in proptest::collection::vec(any::<u8>(), 0..300), x_zero_point in zero_point(),
        y_zero_point in zero_point(), multiplier in 1i32 << 30..=i32::MAX, shift in 1..=62u32,
        (lo, hi) in (0..=255i32, 0..=255i32).prop_map(|(a, b)| (a.min(b), a.max(b))),
    ) {
        let p = RequantizeParams { x_zero_point, y_zero_point, multiplier, shift, lo, hi };
        let expected = |x: u8| {
            let product = i128::from(i32::from(x) - x_zero_point) * i128::from(multiplier);
            let y = (product + (1i128 << (shift - 1))).div_euclid(1i128 << shift) + i128::from(y_zero_point);
            y.clamp(i128::from(lo), i128::from(hi)) as u8
        };
        for k in tiers() {
            let mut out = vec![0; x.len()];
            requantize(k, &x, &p, &mut out);
            prop_assert!(x.iter().zip(&out).all(|(&x, &y)| y == expected(x)), "{} {:?}", k.isa(), p);
        }
    }
}
