use proptest::prelude::*;

use super::*;
use crate::isa;
use crate::table::Kernels;

fn plain_softmax(x: &[u8], n: usize, inner: usize, table: &[i32; 256]) -> Vec<u8> {
    let mut out = vec![0; x.len()];
    for outer in 0..x.len() / (n * inner) {
        for lane in 0..inner {
            let at = |i: usize| (outer * n + i) * inner + lane;
            let max = (0..n).map(|i| x[at(i)]).max().expect("n is not 0");
            let term = |i: usize| i128::from(table[usize::from(max - x[at(i)])]);
            let sum: i128 = (0..n).map(term).sum();
            for i in 0..n {
                out[at(i)] = if sum == 0 { 0 } else { ((512 * term(i) + sum) / (2 * sum)).min(255) as u8 };
            }
        }
    }
    out
}

fn table(scale: f64) -> [i32; 256] {
    std::array::from_fn(|d| (f64::from(1 << 22) * (-scale * d as f64).exp()).round_ties_even() as i32)
}

fn check(x: &[u8], n: usize, inner: usize, table: &[i32; 256]) {
    let expected = plain_softmax(x, n, inner, table);
    for isa in isa::available() {
        let mut out = vec![0xa5; x.len()];
        softmax(Kernels::new(isa).expect("an available tier"), x, n, inner, table, &mut out);
        assert_eq!(out, expected, "{isa}, n {n}, inner {inner}");
    }
}

proptest! {
    #[test]
    fn softmax_equals_plain_integers(
        (n, inner, x) in (1..3usize, 1..300usize, 1..40usize).prop_flat_map(|(outer, n, inner)| {
            (Just(n), Just(inner), proptest::collection::vec(any::<u8>(), outer * n * inner))
        }),
        scale in prop_oneof![Just(0.0), Just(1e-3), Just(0.05), 0.0..4.0f64],
    ) {
        check(&x, n, inner, &table(scale));
    }

    /// A table of any integers that are not negative, so that quotients fall on and beside every boundary.
    #[test]
    fn any_table(x in proptest::collection::vec(any::<u8>(), 1..40),
                 entries in proptest::collection::vec(prop_oneof![Just(0), 0..9i32, Just(i32::MAX), 0..=i32::MAX], 256)) {
        check(&x, x.len(), 1, &entries.try_into().expect("256 entries"));
    }
}

/// Sums of 2^k equal terms are exact ties at every k; a single one would be 256 and is held to 255.
#[test]
fn ties_and_the_largest_share() {
    for n in [1, 2, 3, 255, 256, 511, 512, 513, 8191, 8192, 8193, 100_000] {
        check(&vec![7; n], n, 1, &table(0.1));
        check(&vec![7; n * 3], n, 3, &table(0.1));
    }
    for n in [2, 8192, 8193] {
        check(&vec![255; n], n, 1, &[0; 256]);
        // The largest sums, with every other term one less than half of the largest one and then one more.
        for half in [i32::MAX / 2 - 1, i32::MAX / 2, i32::MAX / 2 + 1] {
            let table = std::array::from_fn(|d| if d == 0 { i32::MAX } else { half });
            let x: Vec<u8> = (0..n).map(|i| if i % 2 == 0 { 200 } else { 100 }).collect();
            check(&x, n, 1, &table);
            for inner in [2, 32, 33] {
                let x: Vec<u8> = (0..n * inner).map(|i| if i / inner % 2 == 0 { 200 } else { 100 }).collect();
                check(&x, n, inner, &table);
            }
        }
    }
}

/// One large share among many small ones, whose sum leaves int32, uint32 and what float32 counts exactly: for every form
/// of the loop, so that the share shows the sum.
#[test]
fn sums_beyond_any_narrow_integer() {
    for n in [255, 256, 257, 511, 512, 513, 1025, 2047, 8191, 8192, 8193, 20_000] {
        for small in [1, (1 << 22) - 3, 1 << 22, i32::MAX / n as i32, i32::MAX / 64] {
            let table = std::array::from_fn(|d| match d {
                0 => i32::MAX,
                1..100 => i32::MAX / 3,
                _ => small,
            });
            for inner in [1, 2, 31, 33] {
                let x = |i: usize, lane: usize| match i % n {
                    7 => 255 - (lane % 3) as u8,
                    i if i % 97 == 0 => 200,
                    _ => 3,
                };
                let x: Vec<u8> = (0..n * inner).map(|i| x(i / inner, i % inner)).collect();
                check(&x, n, inner, &table);
            }
        }
    }
}

/// Every distance from the maximum that a byte has, by tables that have not vanished where it is greatest: in each form
/// of the loop.
#[test]
fn every_distance_from_the_maximum() {
    let rising = std::array::from_fn(|d| (d as i32 + 1) << 14);
    for n in [256, 257, 300, 8192, 8193] {
        for table in [table(0.0), table(1e-3), table(0.02), rising] {
            for inner in [1, 3, 33] {
                let x: Vec<u8> = (0..n * inner).map(|i| (i / inner * 167 + i % inner) as u8).collect();
                check(&x, n, inner, &table);
            }
        }
    }
    // As few as two elements, of every distance.
    for d in 0..=255 {
        for table in [table(0.0), table(0.02), rising] {
            check(&[255 - d, 255], 2, 1, &table);
            check(&[d, 0, 0, d], 2, 2, &table);
        }
    }
}

/// Every number of lanes, a maximum in each place.
#[test]
fn every_width() {
    for inner in 1..=70 {
        for n in [1, 2, 5] {
            let x: Vec<u8> = (0..2 * n * inner).map(|i| (i * 7919 % 256) as u8).collect();
            check(&x, n, inner, &table(0.03));
        }
    }
}

#[test]
fn lengths_that_are_no_shape_are_refused() {
    let is_refused = |len: usize, n: usize, inner: usize, out: usize| {
        let run = || softmax(Kernels::best(), &vec![1; len], n, inner, &[1; 256], &mut vec![0; out]);
        std::panic::catch_unwind(run).is_err()
    };
    assert!(!is_refused(12, 2, 3, 12) && !is_refused(0, 0, 3, 0) && !is_refused(0, 2, 3, 0));
    assert!(is_refused(12, 2, 3, 11) && is_refused(11, 2, 3, 11) && is_refused(12, 0, 3, 12));
}
