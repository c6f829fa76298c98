use proptest::prelude::*;

use super::*;
use crate::isa;
use crate::table::Kernels;

fn tiers() -> impl Iterator<Item = Kernels> {
    isa::available().into_iter().map(|isa| Kernels::new(isa).expect("an available tier"))
}

/// The index into an operand that may be a scalar.
fn at(operand: &[u8], index: usize) -> i64 {
    i64::from(if operand.len() == 1 { operand[0] } else { operand[index] })
}

fn plain_add(a: &[u8], b: &[u8], p: &AddParams, length: usize) -> Vec<u8> {
    let one = |i: usize| {
        let a = (at(a, i) - i64::from(p.a_zero_point)) * i64::from(p.a_multiplier);
        let b = (at(b, i) - i64::from(p.b_zero_point)) * i64::from(p.b_multiplier);
        let y = (a + b + (1i64 << (p.shift - 1))).div_euclid(1i64 << p.shift) + i64::from(p.y_zero_point);
        y.clamp(i64::from(p.lo), i64::from(p.hi)) as u8
    };
    (0..length).map(one).collect()
}

fn plain_mul(a: &[u8], b: &[u8], p: &MulParams, length: usize) -> Vec<u8> {
    let one = |i: usize| {
        let product = (at(a, i) - i64::from(p.a_zero_point)) * (at(b, i) - i64::from(p.b_zero_point));
        let scaled = i128::from(product) * i128::from(p.multiplier) + (1i128 << (p.shift - 1));
        let y = scaled.div_euclid(1i128 << p.shift) + i128::from(p.y_zero_point);
        y.clamp(i128::from(p.lo), i128::from(p.hi)) as u8
    };
    (0..length).map(one).collect()
}

fn zero_point() -> impl Strategy<Value = i32> {
    prop_oneof![Just(0), Just(128), Just(255), 0..=255i32]
}

fn clamp() -> impl Strategy<Value = (i32, i32)> {
    prop_oneof![Just((0, 255)), (0..=255i32, 0..=255i32).prop_map(|(a, b)| (a.min(b), a.max(b)))]
}

/// Two operands of one length, or with either of them a scalar, and that length.
fn operands() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, usize)> {
    let values = |length| proptest::collection::vec(any::<u8>(), length);
    (1..700usize, 0..3usize).prop_flat_map(move |(length, scalar)| {
        let a = if scalar == 1 { 1 } else { length };
        let b = if scalar == 2 { 1 } else { length };
        (values(a), values(b), Just(length))
    })
}

proptest! {
    #[test]
    fn add_equals_plain_integers(
        (a, b, length) in operands(), a_zero_point in zero_point(), b_zero_point in zero_point(),
        y_zero_point in zero_point(), a_multiplier in -32767..=32767i32, b_multiplier in -32767..=32767i32,
        shift in 1..=30u32, (lo, hi) in clamp(),
    ) {
        let p = AddParams {
            a_zero_point, b_zero_point, y_zero_point, a_multiplier, b_multiplier, shift, lo, hi,
        };
        for k in tiers() {
            let mut out = vec![0; length];
            add(k, &a, &b, &p, &mut out);
            prop_assert_eq!(&out, &plain_add(&a, &b, &p, length), "{}", k.isa());
        }
    }

    #[test]
    fn mul_equals_plain_integers(
        (a, b, length) in operands(), a_zero_point in zero_point(), b_zero_point in zero_point(),
        y_zero_point in zero_point(),
        multiplier in prop_oneof![Just(i32::MAX), Just(-i32::MAX), 1i32 << 30..i32::MAX, -i32::MAX..-1 << 30],
        shift in 1..=62u32, (lo, hi) in clamp(),
    ) {
        let p = MulParams { a_zero_point, b_zero_point, y_zero_point, multiplier, shift, lo, hi };
        for k in tiers() {
            let mut out = vec![0; length];
            mul(k, &a, &b, &p, &mut out);
            prop_assert_eq!(&out, &plain_mul(&a, &b, &p, length), "{}", k.isa());
        }
    }

    #[test]
    fn max_and_min_pick_one_operand((a, b, length) in operands()) {
        for k in tiers() {
            let mut out = vec![0; length];
            max(k, &a, &b, &mut out);
            prop_assert!((0..length).all(|i| i64::from(out[i]) == at(&a, i).max(at(&b, i))), "{}", k.isa());
            min(k, &a, &b, &mut out);
            prop_assert!((0..length).all(|i| i64::from(out[i]) == at(&a, i).min(at(&b, i))), "{}", k.isa());
        }
    }
}

/// Every pair of values, at the shifts and zero points where rounding, sign and width change.
#[test]
fn every_pair_of_values() {
    let a: Vec<u8> = (0..=65535u32).map(|i| i as u8).collect();
    let b: Vec<u8> = (0..=65535u32).map(|i| (i >> 8) as u8).collect();
    let mut out = vec![0; a.len()];
    for k in tiers() {
        for shift in 1..=62 {
            let (lo, hi) = if shift % 2 == 0 { (0, 255) } else { (3, 250) };
            let z = [0, 128, 255][shift as usize % 3];
            let p = MulParams {
                a_zero_point: z,
                b_zero_point: 255 - z,
                y_zero_point: z,
                multiplier: i32::MAX - 7 * shift as i32,
                shift,
                lo,
                hi,
            };
            mul(k, &a, &b, &p, &mut out);
            assert_eq!(out, plain_mul(&a, &b, &p, a.len()), "{} {p:?}", k.isa());
        }
        for shift in 1..=30 {
            let z = [0, 128, 255][shift as usize % 3];
            let p = AddParams {
                a_zero_point: z,
                b_zero_point: 255 - z,
                y_zero_point: 255 - z,
                a_multiplier: 32767,
                b_multiplier: -32767 + shift as i32 % 2,
                shift,
                lo: 0,
                hi: 255,
            };
            add(k, &a, &b, &p, &mut out);
            assert_eq!(out, plain_add(&a, &b, &p, a.len()), "{} {p:?}", k.isa());
        }
    }
}

/// Lengths about the pieces in which a scalar meets the other operand.
#[test]
fn scalars_on_either_side_of_any_length() {
    let p = AddParams {
        a_zero_point: 3,
        b_zero_point: 200,
        y_zero_point: 90,
        a_multiplier: 12_345,
        b_multiplier: -4321,
        shift: 14,
        lo: 7,
        hi: 248,
    };
    let q = MulParams {
        a_zero_point: 3,
        b_zero_point: 200,
        y_zero_point: 90,
        multiplier: 0x5000_0001,
        shift: 37,
        lo: 7,
        hi: 248,
    };
    for length in (0..70).chain([511, 512, 513, 1023, 1024, 1025, 1600]) {
        let full: Vec<u8> = (0..length).map(|i| (i * 37 + i / 256 * 11) as u8).collect();
        let scalar = [171];
        for k in tiers() {
            let mut out = vec![0; length];
            for (a, b) in [(&full[..], &scalar[..]), (&scalar[..], &full[..]), (&full[..], &full[..])] {
                add(k, a, b, &p, &mut out);
                assert_eq!(out, plain_add(a, b, &p, length), "{} {length}", k.isa());
                mul(k, a, b, &q, &mut out);
                assert_eq!(out, plain_mul(a, b, &q, length), "{} {length}", k.isa());
                max(k, a, b, &mut out);
                assert!((0..length).all(|i| i64::from(out[i]) == at(a, i).max(at(b, i))), "{length}");
                min(k, a, b, &mut out);
                assert!((0..length).all(|i| i64::from(out[i]) == at(a, i).min(at(b, i))), "{length}");
            }
        }
    }
}

#[test]
fn parameters_out_of_their_ranges_are_refused() {
    let fine = MulParams {
        a_zero_point: 0,
        b_zero_point: 255,
        y_zero_point: 255,
        multiplier: -i32::MAX,
        shift: 62,
        lo: 255,
        hi: 255,
    };
    let is_refused =
        |p: MulParams| std::panic::catch_unwind(|| mul(Kernels::best(), &[1], &[2], &p, &mut [0])).is_err();
    assert!(!is_refused(fine) && !is_refused(MulParams { shift: 1, lo: 0, hi: 0, ..fine }));
    let wrong = [
        MulParams { a_zero_point: -1, ..fine },
        MulParams { a_zero_point: 256, ..fine },
        MulParams { b_zero_point: 256, ..fine },
        MulParams { y_zero_point: 256, ..fine },
        MulParams { multiplier: i32::MIN, ..fine },
        MulParams { shift: 0, ..fine },
        MulParams { shift: 63, ..fine },
        MulParams { lo: -1, ..fine },
        MulParams { hi: 256, ..fine },
        MulParams { lo: 9, hi: 8, ..fine },
    ];
    for p in wrong {
        assert!(is_refused(p), "{p:?}");
    }
    let p = AddParams {
        a_zero_point: 0,
        b_zero_point: 0,
        y_zero_point: 0,
        a_multiplier: 1,
        b_multiplier: 1,
        shift: 31,
        lo: 0,
        hi: 255,
    };
    let add = || add(Kernels::best(), &[1], &[2], &p, &mut [0]);
    assert!(std::panic::catch_unwind(add).is_err(), "an addition's parameters are checked as well");
}

#[test]
#[should_panic(expected = "do not broadcast")]
fn lengths_that_do_not_broadcast_are_refused() {
    max(Kernels::best(), &[1, 2, 3], &[1, 2], &mut [0; 3]);
}
