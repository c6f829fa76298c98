//! The rule against 128-bit integers, and the cases by name where roundings go wrong.

use proptest::prelude::*;

use super::*;

const LEAST: i32 = (1 << 30) + 128;
const GREATEST: i32 = i32::MAX - 127;

/// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)` in 128 bits.
fn plain(acc: i32, multiplier: i32, shift: u32) -> i128 {
    (i128::from(acc) * i128::from(multiplier) + (1 << (shift - 1))).div_euclid(1 << shift)
}

#[test]
fn powers_of_two_are_shifts() {
    for power in 0..32u32 {
        for acc in [0, 1, 2, 3, 100, 255, 12345, 1 << 20, i32::MAX, -1, -2, -3, -100, i32::MIN] {
            // 2^30 / 2^(30 + power)
            let expected = (f64::from(acc) / 2f64.powi(power as i32) + 0.5).floor() as i64;
            assert_eq!(scale_and_round(acc, 1 << 30, 30 + power), expected, "{acc} / 2^{power}");
        }
    }
}

#[test]
fn ties_go_up() {
    // Halves: M = 2^30, S = 31.
    let halves = [(1, 1), (3, 2), (5, 3), (-1, 0), (-3, -1), (-5, -2), (2, 1), (-2, -1)];
    for (acc, expected) in halves {
        assert_eq!(scale_and_round(acc, 1 << 30, 31), expected, "{acc} / 2");
    }
    // A hair below and above the tie: (3 * 2^29 -+ 1) / 2^31 of 2 is 1.5 -+ 2^-30.
    assert_eq!(scale_and_round(2, 3 * (1 << 29) - 1, 31), 1);
    assert_eq!(scale_and_round(2, 3 * (1 << 29), 31), 2);
    assert_eq!(scale_and_round(-2, 3 * (1 << 29), 31), -1);
    assert_eq!(scale_and_round(-2, 3 * (1 << 29) + 1, 31), -2);
}

#[test]
fn every_residual_is_rounded_once() {
    let multipliers = [0, 1, 3, 1 << 14, (1 << 14) + 1, 20_000, (1 << 15) - 1];
    for (multiplier, shift) in multipliers.into_iter().flat_map(|m| (1..=23).map(move |shift| (m, shift))) {
        for (zero_point, r) in [0, 1, 127, 128, 255].into_iter().flat_map(|z| (0..=255).map(move |r| (z, r)))
        {
            let product = (i64::from(r) - i64::from(zero_point)) * i64::from(multiplier);
            let expected = (product + (1 << (shift - 1))).div_euclid(1 << shift);
            let found = residual_term(r, zero_point, multiplier, shift);
            assert_eq!(i64::from(found), expected, "{r} - {zero_point} by {multiplier} / 2^{shift}");
        }
    }
}

#[test]
fn extremes_do_not_overflow() {
    for acc in [i32::MIN, i32::MIN + 1, -1, 0, 1, i32::MAX] {
        for multiplier in [1 << 30, (1 << 30) + 1, i32::MAX, -i32::MAX] {
            for shift in [1, 2, 31, 32, 33, 34, 61, 62] {
                let expected = plain(acc, multiplier, shift);
                assert_eq!(i128::from(scale_and_round(acc, multiplier, shift)), expected);
            }
        }
    }
}

#[test]
fn the_zero_point_does_not_wrap() {
    // The scaled value is beyond int32 (or at its limit) before the zero point comes.
    for zero_point in [0, 128, 255] {
        assert_eq!(requantize(i32::MAX, i32::MAX, 1, zero_point, 0, 255), 255);
        assert_eq!(requantize(i32::MIN, i32::MAX, 1, zero_point, 0, 255), 0);
        assert_eq!(requantize(i32::MAX, 1 << 30, 30, zero_point, 3, 250), 250);
        assert_eq!(requantize(i32::MIN, 1 << 30, 30, zero_point, 3, 250), 3);
    }
}

#[test]
fn the_clamp_comes_last() {
    let cases = [
        (10, 5, 0, 255, 15),
        (10, 5, 0, 12, 12),
        (-10, 5, 0, 255, 0),
        (-10, 5, 5, 255, 5),
        (0, 255, 255, 255, 255),
    ];
    for (acc, zero_point, lo, hi, expected) in cases {
        assert_eq!(
            requantize(acc, 1 << 30, 30, zero_point, lo, hi),
            expected,
            "{acc} + {zero_point} in {lo}..={hi}"
        );
    }
}

#[test]
fn multipliers_by_name() {
    let cases = [
        // An even integer of 24 bits: the odd one above it.
        (1.0, Some((LEAST, 30))),
        (0.5, Some((LEAST, 31))),
        (0.75, Some(((3 << 29) + 128, 31))),
        (1.0 - f64::EPSILON / 2.0, Some((GREATEST, 31))),
        (1.0 - 2f64.powi(-24), Some((GREATEST, 31))),
        (1.0 - 2f64.powi(-23), Some((GREATEST, 31))),
        ((1.0 - 2f64.powi(-23)).next_down(), Some((GREATEST - 256, 31))),
        (2f64.powi(-32), Some((LEAST, 62))),
        (2f64.powi(-33), Some((LEAST, 62))),
        (f64::from_bits(1), Some((LEAST, 62))),
        (2f64.powi(29), Some((LEAST, 1))),
        (2f64.powi(30) - 1.0, Some((GREATEST, 1))),
        (2f64.powi(30).next_down(), Some((GREATEST, 1))),
        (2f64.powi(30), None),
        (0.0, None),
        (-0.5, None),
        (f64::INFINITY, None),
        (f64::NAN, None),
    ];
    for (m, expected) in cases {
        assert_eq!(multiplier_shift(m), expected, "{m:e}");
    }
}

#[test]
fn a_multiplier_is_odd_and_of_24_bits() {
    for taken in [LEAST, LEAST + 256, GREATEST - 256, GREATEST] {
        assert!(is_multiplier(taken), "{taken}");
    }
    for refused in [0, 128, -LEAST, 1 << 30, LEAST - 256, LEAST + 1, LEAST + 64, LEAST + 128, i32::MAX] {
        assert!(!is_multiplier(refused), "{refused}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_integers_of_128_bits(
        acc: i32, multiplier in 1i32 << 30..=i32::MAX, shift in 1u32..=62,
        zero_point in 0i32..=255, bounds in (0i32..=255, 0i32..=255),
    ) {
        let (lo, hi) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
        let expected = plain(acc, multiplier, shift);
        prop_assert_eq!(i128::from(scale_and_round(acc, multiplier, shift)), expected);
        let clamped = (expected + i128::from(zero_point)).clamp(lo.into(), hi.into());
        prop_assert_eq!(i128::from(requantize(acc, multiplier, shift, zero_point, lo, hi)), clamped);
    }

    #[test]
    fn sums_near_a_byte_equal_integers_of_128_bits(
        acc in -1i32 << 20..1 << 20, multiplier in 1i32 << 30..=i32::MAX, shift in 40u32..=46, zero_point in 0i32..=255,
    ) {
        let expected = (plain(acc, multiplier, shift) + i128::from(zero_point)).clamp(0, 255);
        prop_assert_eq!(i128::from(requantize(acc, multiplier, shift, zero_point, 0, 255)), expected);
    }

    #[test]
    fn the_high_half_is_enough_from_shift_33_on(acc: i32, multiplier in 1i32 << 30..=i32::MAX, shift in 33u32..=62) {
        let high = ((i64::from(acc) * i64::from(multiplier)) >> 32) as i32;
        let short = (high + (1 << (shift - 33))) >> (shift - 32);
        prop_assert_eq!(i128::from(short), plain(acc, multiplier, shift));
    }

    #[test]
    fn a_multiplier_is_the_nearest(bits in 1f64.to_bits()..2f64.to_bits(), exponent in -32i32..30) {
        let m = f64::from_bits(bits) * 2f64.powi(exponent);
        let (multiplier, shift) = multiplier_shift(m).expect("a factor below 2^30");
        prop_assert!((1..=62).contains(&shift) && is_multiplier(multiplier));
        // m * 2^S in units of 2^-22, from the bits of m: 53 bits, of which 31 stand before the point.
        prop_assert_eq!(shift, (30 - exponent) as u32);
        let exact = i128::from((bits & ((1 << 52) - 1)) | 1 << 52);
        let distance = (i128::from(multiplier) << 22) - exact;
        prop_assert!((-1i128 << 29 < distance) && distance <= 1 << 29, "{} {} {}", m, multiplier, distance);
    }
}

/// The rule in the registers of each tier.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod registers {
    use super::*;
    use crate::isa::Isa;
    #[cfg(target_arch = "aarch64")]
    use crate::simd::Qs;
    use crate::simd::Vector;
    #[cfg(target_arch = "x86_64")]
    use crate::simd::{Ymm, Zmm};

    /// As many lanes as the widest register has.
    type Lanes = [i32; 16];
    /// Scales the first lanes of a register: sums, multipliers, shifts.
    type Scale = unsafe fn(&Lanes, &Lanes, &Lanes) -> Lanes;

    /// What a tier's registers compute in three ways; how many lanes count.
    macro_rules! tiers {
        ($scale:ident) => {{
            #[cfg(target_arch = "x86_64")]
            let tiers: [(Isa, Scale, usize); 2] =
                [(Isa::Avx2, $scale::<Ymm>, Ymm::LANES), (Isa::Avx512Vnni, $scale::<Zmm>, Zmm::LANES)];
            #[cfg(target_arch = "aarch64")]
            let tiers: [(Isa, Scale, usize); 1] = [(Isa::Neon, $scale::<Qs>, <Qs as Vector>::LANES)];
            tiers.into_iter().filter(|(isa, ..)| isa.is_available()).map(|(_, scale, lanes)| (scale, lanes))
        }};
    }

    /// # Safety
    /// The CPU has the tier of `V`.
    unsafe fn stored<V: Vector>(lanes: V) -> Lanes {
        let mut stored = [0; 16];
        // SAFETY: the caller's; no register has more lanes.
        unsafe { lanes.store_bytes(stored.as_mut_ptr().cast()) };
        stored
    }

    /// # Safety
    /// The CPU has the tier of `V`.
    unsafe fn high<V: Vector>(acc: &Lanes, multiplier: &Lanes, shift: &Lanes) -> Lanes {
        // SAFETY: the caller's; no register has more lanes.
        unsafe {
            let scale = HighScale::new(V::load(multiplier.as_ptr()), V::load(shift.as_ptr()));
            stored(scale.apply(V::load(acc.as_ptr())))
        }
    }

    /// # Safety
    /// The CPU has the tier of `V`.
    unsafe fn any<V: Vector>(acc: &Lanes, multiplier: &Lanes, shift: &Lanes) -> Lanes {
        // SAFETY: the caller's; no register has more lanes.
        unsafe {
            let (multiplier, shift) = (V::load(multiplier.as_ptr()), V::load(shift.as_ptr()));
            stored(scale_any(V::load(acc.as_ptr()), multiplier, shift))
        }
    }

    /// All zeros where the scale cannot be had.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    unsafe fn uniform<V: Vector>(acc: &Lanes, multiplier: &Lanes, shift: &Lanes) -> Lanes {
        let reach = acc.iter().map(|acc| i64::from(*acc).abs()).max().unwrap_or(0);
        // SAFETY: the caller's; no register has more lanes.
        unsafe {
            let scale = UniformScale::<V>::new(multiplier[0], shift[0] as u32, reach);
            scale.map_or([0; 16], |scale| stored(scale.apply(V::load(acc.as_ptr()))))
        }
    }

    /// # Safety
    /// The CPU has the tier of `V`.
    unsafe fn in_floats<V: Vector>(acc: &Lanes, multiplier: &Lanes, shift: &Lanes) -> Lanes {
        let factor: [f32; 16] = std::array::from_fn(|i| float_factor(multiplier[i], shift[i]));
        // SAFETY: the caller's; no register has more lanes.
        unsafe { stored(FloatScale::new(V::load(factor.as_ptr().cast()), ZERO).apply(V::load(acc.as_ptr()))) }
    }

    /// The zero point of what float32 makes.
    const ZERO: i32 = 200;

    /// The sums of a multiplier and a shift where a byte changes, and beside them, and the largest in magnitude.
    fn thresholds(multiplier: i32, shift: i32, reach: i64) -> Vec<i32> {
        let (m, half) = (i64::from(multiplier), (1i128 << shift) / 2);
        let of = |y: i128| {
            ((y << shift) + half).div_euclid(i128::from(m)).clamp(-i128::from(reach), i128::from(reach))
                as i64
        };
        let near = (-2 - i128::from(ZERO)..258 - i128::from(ZERO)).map(of).chain([-reach, 0, reach]);
        let around = near.flat_map(|acc| (acc - 2..=acc + 2).map(move |acc| acc.clamp(-reach, reach)));
        around.map(|acc| acc.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32).collect()
    }

    /// The largest reach of which float32 is said to be exact, if any is.
    fn largest_reach(shift: i32) -> Option<i64> {
        (0..=31).rev().map(|bits| 1i64 << bits).find(|&reach| is_exact_in_floats(reach, shift, shift))
    }

    #[test]
    fn floats_have_the_bytes_of_integers_of_128_bits() {
        let odd = [1 << 23, (1 << 24) - 1, 11_863_283, 0xAA_AAAB, (1 << 23) + (1 << 12)];
        for (shift, odd) in (1..=62).flat_map(|shift| odd.map(|odd| (shift, odd | 1))) {
            // By less, a sum of 1 is beyond 2^23.
            let Some(reach) = largest_reach(shift) else {
                assert!(shift < 9);
                continue;
            };
            for acc in thresholds(odd << 7, shift, reach).chunks(16) {
                let mut lanes = [0; 16];
                lanes[..acc.len()].copy_from_slice(acc);
                for (scale, count) in tiers!(in_floats) {
                    // SAFETY: the tier is available.
                    let found = unsafe { scale(&lanes, &[odd << 7; 16], &[shift; 16]) };
                    for i in 0..count {
                        let expected = plain(lanes[i], odd << 7, shift as u32) + i128::from(ZERO);
                        let (found, expected) = (found[i].clamp(0, 255), expected.clamp(0, 255) as i32);
                        assert_eq!(found, expected, "{} by {odd} >> {shift}", lanes[i]);
                    }
                }
            }
        }
    }

    #[test]
    fn floats_are_refused_where_they_would_differ() {
        // A product beyond 2^23 leaves the order of the bits, and a sum beyond 2^24 is rounded near a byte.
        assert!(is_exact_in_floats((1 << 23) - 1, 31, 62) && !is_exact_in_floats(1 << 23, 31, 62));
        assert!(is_exact_in_floats(1 << 24, 40, 62) && !is_exact_in_floats((1 << 24) + 1, 40, 47));
        assert!(is_exact_in_floats(1 << 31, 40, 46) && !is_exact_in_floats(1 << 31, 39, 46));
        assert!(is_exact_in_floats(0, 1, 62) && !is_exact_in_floats(1 << 31, 1, 46));
    }

    proptest! {
        #[test]
        fn the_high_half_equals_integers_of_128_bits(
            acc: Lanes, multiplier in proptest::array::uniform16(-i32::MAX..=i32::MAX),
            shift in proptest::array::uniform16(33..=62i32),
        ) {
            for (scale, lanes) in tiers!(high) {
                // SAFETY: the tier is available.
                let found = unsafe { scale(&acc, &multiplier, &shift) };
                for i in 0..lanes {
                    prop_assert_eq!(i128::from(found[i]), plain(acc[i], multiplier[i], shift[i] as u32));
                }
            }
        }

        #[test]
        fn any_shift_equals_integers_of_128_bits_held_to_16(
            acc: Lanes, multiplier in proptest::array::uniform16(-i32::MAX..=i32::MAX),
            shift in proptest::array::uniform16(1..=62i32),
        ) {
            for (scale, lanes) in tiers!(any) {
                // SAFETY: the tier is available.
                let found = unsafe { scale(&acc, &multiplier, &shift) };
                for i in 0..lanes {
                    let held = plain(acc[i], multiplier[i], shift[i] as u32).clamp(-32767, 32767);
                    prop_assert_eq!(i128::from(found[i]), held);
                }
            }
        }

        #[test]
        fn a_raised_shift_equals_integers_of_128_bits(
            acc: Lanes, bits in 0..31u32, multiplier in 1i32 << 30..=i32::MAX, shift in 1..=62i32,
        ) {
            let acc = acc.map(|acc| acc >> bits);
            let reach = acc.iter().map(|acc| i64::from(*acc).abs()).max().unwrap_or(0);
            let has_room = reach << (33 - shift).max(0) < 1 << 31;
            for (scale, lanes) in tiers!(uniform) {
                // SAFETY: the tier is available.
                let found = unsafe { scale(&acc, &[multiplier; 16], &[shift; 16]) };
                for i in 0..lanes {
                    let expected = if has_room { plain(acc[i], multiplier, shift as u32) } else { 0 };
                    prop_assert_eq!(i128::from(found[i]), expected);
                }
            }
        }
    }
}
