use proptest::prelude::*;

use super::*;
use crate::isa;
use crate::table::Kernels;

proptest! {
    /// Every value in every lane, unaligned starts, and a guard behind the end.
    #[test]
    fn lookup_equals_indexing(x in proptest::collection::vec(any::<u8>(), 0..400), start in 0..70usize,
                              seed in any::<u64>()) {
        let table: [u8; 256] = std::array::from_fn(|i| (seed.wrapping_mul(2 * i as u64 + 1) >> 37) as u8);
        let x = &x[start.min(x.len())..];
        let expected: Vec<u8> = x.iter().map(|&value| table[usize::from(value)]).collect();
        for isa in isa::available() {
            let k = Kernels::new(isa).expect("an available tier");
            let mut out = vec![0xa5; x.len() + 64];
            lookup(k, x, &table, &mut out[..x.len()]);
            prop_assert_eq!(&out[..x.len()], &expected[..], "{}", isa);
            prop_assert!(out[x.len()..].iter().all(|&guard| guard == 0xa5), "{}", isa);
            let mut in_place = x.to_vec();
            lookup_in_place(k, &mut in_place, &table);
            prop_assert_eq!(&in_place, &expected, "{}", isa);
        }
    }
}

/// Every value in every place of every length about a vector or two, by a table without two equal neighbours.
#[test]
fn every_length() {
    let table: [u8; 256] = std::array::from_fn(|i| (i as u8).wrapping_mul(167).wrapping_add(91));
    for isa in isa::available() {
        let k = Kernels::new(isa).expect("an available tier");
        for length in 0..200 {
            for seed in [0u8, 101, 202] {
                let x: Vec<u8> =
                    (0..length).map(|i: usize| (i as u8).wrapping_mul(59).wrapping_add(seed)).collect();
                let expected: Vec<u8> = x.iter().map(|&value| table[usize::from(value)]).collect();
                let mut out = vec![0xa5; 32 + length + 32];
                lookup(k, &x, &table, &mut out[32..32 + length]);
                assert_eq!(out[32..32 + length], expected, "{isa} {length}");
                assert_eq!(
                    out.iter().filter(|&&byte| byte == 0xa5).count(),
                    64 + expected.iter().filter(|&&byte| byte == 0xa5).count(),
                    "{isa} {length}: bytes beside it"
                );
                let mut whole = vec![0x5a; 32 + length + 32];
                whole[32..32 + length].copy_from_slice(&x);
                lookup_in_place(k, &mut whole[32..32 + length], &table);
                assert_eq!(whole[32..32 + length], expected, "{isa} {length} in place");
                assert!(
                    whole[..32].iter().chain(&whole[32 + length..]).all(|&byte| byte == 0x5a),
                    "{isa} {length}"
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "the lengths of input and output")]
fn another_length_is_refused() {
    lookup(Kernels::best(), &[0; 3], &[0; 256], &mut [0; 2]);
}

#[test]
fn every_entry_of_a_table_is_reached() {
    let x: Vec<u8> = (0..=255).rev().collect();
    let table: [u8; 256] = std::array::from_fn(|i| (i as u8).wrapping_mul(77).wrapping_add(13));
    for isa in isa::available() {
        let mut out = [0; 256];
        lookup(Kernels::new(isa).expect("an available tier"), &x, &table, &mut out);
        assert!((0..256).all(|i| out[i] == table[255 - i]), "{isa}");
    }
}
