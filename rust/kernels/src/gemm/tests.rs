//! Every tier here against plain loops in 64 and 128 bits, byte for byte.

mod case;

use case::{Case, Fill, GAP, Kind, Shape};
use proptest::prelude::*;

use super::*;
use crate::isa::{self, Isa};
use crate::table::{Kernels, TABLE};

fn tiers() -> impl Iterator<Item = Kernels> {
    isa::available().into_iter().filter_map(Kernels::new)
}

/// Every tier here gives what the plain loops give.
fn check_case(shape: Shape, kind: Kind, fill: Fill, seed: u64) {
    check(&Case::new(shape, kind, fill, seed), &format!("{kind:?} {fill:?} seed {seed}"));
}

fn check(case: &Case, what: &str) {
    let (expected, shape) = (case.plain(), case.shape);
    for kernels in tiers() {
        let got = case.run(kernels);
        let first = got.iter().zip(&expected).position(|(got, expected)| got != expected);
        if let Some(at) = first {
            let (r, c) = (at / case.out_stride, at % case.out_stride);
            let (got, expected) = (got[at], expected[at]);
            panic!("{}: row {r}, column {c}: {got:#x}, not {expected:#x}; {shape:?} {what}", kernels.isa());
        }
    }
}

const KINDS: [Kind; 8] = [
    Kind::High,
    Kind::AnyShift,
    Kind::Residual,
    Kind::ResidualAnyShift,
    Kind::Sums,
    Kind::SumsAnyShift,
    Kind::F32,
    Kind::F32ByRow,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tier_equals_plain_loops(
        m in 1usize..=33, n in 1usize..=130, taps in 1usize..=9, kc in 1usize..=70,
        indirect: bool, kind in prop::sample::select(&KINDS[..]), seed: u64,
    ) {
        let taps = if indirect { taps } else { 1 };
        check_case(Shape { m, n, taps, kc, indirect }, kind, Fill::Random, seed);
    }

    #[test]
    fn long_sums_equal_plain_loops(
        m in 1usize..=9, n in 1usize..=70, kc in 300usize..=3000,
        indirect: bool, kind in prop::sample::select(&KINDS[..]), seed: u64,
    ) {
        let (taps, kc) = if indirect { (9, kc / 9) } else { (1, kc) };
        check_case(Shape { m, n, taps, kc, indirect }, kind, Fill::Random, seed);
    }
}

#[test]
fn every_height_and_width_of_every_tile() {
    let covered: Vec<&str> = tiers().map(|kernels| kernels.isa().name()).collect();
    eprintln!("tiers covered: {covered:?}");
    for m in 1..=33 {
        for n in [1, 15, 16, 17, 31, 32, 33, 48, 50, 64, 65, 80, 96, 113, 128, 130] {
            for (i, kind) in KINDS.into_iter().enumerate() {
                let shape = Shape { m, n, taps: 1 + i % 2, kc: 9, indirect: i % 2 == 1 };
                check_case(shape, kind, Fill::Random, (m * 1000 + n) as u64);
            }
        }
    }
}

#[test]
fn extremes_do_not_saturate() {
    for fill in [Fill::Largest, Fill::Smallest] {
        for kind in KINDS {
            for (taps, kc) in [(1, 1), (1, 2), (1, 64), (9, 33), (1, 4608), (9, 512), (1, 70_000)] {
                // 70,000 x 255 x 127 leaves int32: sums wrap, alike everywhere.
                check_case(Shape { m: 7, n: 65, taps, kc, indirect: taps > 1 }, kind, fill, 1);
            }
        }
    }
}

/// AVX2 takes 256 groups of 4 k at a time, wherever a tap ends.
#[test]
fn blocks_of_k_end_anywhere() {
    let shapes =
        [(1, 1020), (1, 1021), (1, 1024), (1, 1025), (1, 2048), (1, 2051), (2, 512), (3, 341), (5, 205)];
    for (taps, kc) in shapes {
        for (m, kind) in [1, 5, 6, 7, 13, 2, 12].into_iter().zip(KINDS) {
            check_case(Shape { m, n: 33, taps, kc, indirect: taps > 1 }, kind, Fill::Random, kc as u64);
        }
    }
}

/// The high half of a product is not enough for a shift below 33, wherever it stands in a panel.
#[test]
fn one_small_shift_in_any_column() {
    for n in [1, 15, 16, 17, 33, 64, 65, 80] {
        for (column, shift) in (0..n).zip([32, 31, 1, 30].into_iter().cycle()) {
            for kind in [Kind::High, Kind::Residual, Kind::Sums] {
                let shape = Shape { m: 3, n, taps: 1, kc: 4, indirect: false };
                let mut case = Case::new(shape, kind, Fill::Random, (n * 100 + column) as u64);
                case.shift.fill(33);
                case.shift[column] = shift;
                // Sums that a shift of 32 takes to a byte, and some of them near a half.
                case.weights.fill(0);
                case.bias.iter_mut().enumerate().for_each(|(c, bias)| *bias = c as i32 * 3 - 100);
                (case.zero_point, case.lo, case.hi) = (128, 0, 255);
                if kind == Kind::Residual {
                    (case.add.a_multiplier, case.add.shift, case.add.lo, case.add.hi) = (1 << 14, 14, 0, 255);
                }
                case.row_bias.clear();
                check(&case, &format!("a shift of {shift} in column {column}"));
            }
        }
    }
}

#[test]
fn a_range_of_units_gives_its_columns() {
    let mut case =
        Case::new(Shape { m: 13, n: 100, taps: 3, kc: 10, indirect: true }, Kind::High, Fill::Random, 5);
    (case.guard, case.row_bias) = (0, Vec::new());
    let expected = case.plain();
    for kernels in tiers() {
        let packed = case.packed(kernels);
        for units in [0..1, 2..7, 6..7, 1..5, 0..7] {
            let columns = case.columns(&packed).slice(units.clone());
            let from = units.start * UNIT;
            let whole = case.requantize();
            let requantize = Requantize {
                bias: &whole.bias[from..],
                multiplier: &whole.multiplier[from..],
                shift: &whole.shift[from..],
                ..whole
            };
            let mut out = vec![GAP as u8; expected.len()];
            let target =
                Out::U8 { data: &mut out[from..], stride: case.out_stride, requantize, residual: None };
            run(kernels, 13, &case.rows(), &columns, target);
            for (at, &y) in out.iter().enumerate() {
                let c = at % case.out_stride;
                let inside = (from..from + columns.n).contains(&c);
                let expected = if inside { expected[at] } else { u32::from(GAP as u8) };
                assert_eq!(u32::from(y), expected, "{} {units:?} column {c}", kernels.isa());
            }
        }
    }
}

#[test]
fn tiles_by_shape_on_any_machine() {
    let cases = [
        (Isa::Scalar, 100, 64, "scalar-u8i8-gemm-1x16c4"),
        (Isa::Avx2, 1, 1, "avx2-u8i8-gemm-6x16c2"),
        (Isa::Avx2, 7, 1000, "avx2-u8i8-gemm-6x16c2"),
        (Isa::Avx2, 3136, 16, "avx2-u8i8-gemm-6x16c2"),
        (Isa::Avx2, 8, 32, "avx2-u8i8-gemm-4x16c4"),
        (Isa::Avx2, 3136, 1000, "avx2-u8i8-gemm-4x16c4"),
        (Isa::AvxVnni, 1, 1000, "avxvnni-u8i8-gemm-6x16c4"),
        (Isa::AvxVnni, 3136, 16, "avxvnni-u8i8-gemm-6x16c4"),
        (Isa::Avx512Vl, 3136, 16, "avx512vl-u8i8-gemm-12x16c4"),
        (Isa::Avx512Vl, 3136, 1000, "avx512vl-u8i8-gemm-6x32c4"),
        (Isa::Avx512Vnni, 12544, 16, "avx512vnni-u8i8-gemm-16x16c4"),
        (Isa::Avx512Vnni, 12544, 24, "avx512vnni-u8i8-gemm-12x32c4"),
        (Isa::Avx512Vnni, 12544, 32, "avx512vnni-u8i8-gemm-12x32c4"),
        (Isa::Avx512Vnni, 3136, 48, "avx512vnni-u8i8-gemm-8x48c4"),
        (Isa::Avx512Vnni, 3136, 80, "avx512vnni-u8i8-gemm-8x48c4"),
        (Isa::Avx512Vnni, 3136, 96, "avx512vnni-u8i8-gemm-6x64c4"),
        (Isa::Avx512Vnni, 784, 64, "avx512vnni-u8i8-gemm-6x64c4"),
        (Isa::Avx512Vnni, 49, 1280, "avx512vnni-u8i8-gemm-6x64c4"),
        (Isa::Avx512Vnni, 1, 1000, "avx512vnni-u8i8-gemm-6x64c4"),
        (Isa::Neon, 49, 1280, "neon-u8i8-gemm-4x16c2"),
        (Isa::DotProd, 1, 1000, "dotprod-u8i8-gemm-5x16c4"),
        (Isa::I8mm, 3136, 16, "i8mm-u8i8-gemm-6x16c8"),
    ];
    for (isa, m, n, name) in cases {
        let row = TABLE.iter().find(|row| row.isa == isa).expect("a tier of the table");
        assert_eq!(select(&row.gemm, m, n, 64).name, name, "{isa} {m} x {n}");
    }
}

#[test]
fn packing_writes_every_byte() {
    for kernels in tiers() {
        let (n, taps, kc) = (18, 3, 6);
        let weights: Vec<i8> = (0..n * taps * kc).map(|i| (i % 255) as i8).collect();
        let len = packed_len(kernels, n, taps, kc);
        let (mut zeros, mut ones) = (vec![0; len], vec![0xFF; len]);
        pack(kernels, &weights, n, taps, kc, &mut zeros);
        pack(kernels, &weights, n, taps, kc, &mut ones);
        assert_eq!(zeros, ones, "{}", kernels.isa());
    }
}

#[test]
fn rows_that_leave_the_data_are_refused() {
    let kernels = Kernels::best();
    let case = Case::new(Shape { m: 5, n: 20, taps: 2, kc: 6, indirect: true }, Kind::High, Fill::Random, 3);
    let packed = case.packed(kernels);
    let refused = |rows: Rows, m: usize, out: usize| {
        let mut data = vec![0; out];
        let (requantize, columns) = (case.requantize(), case.columns(&packed));
        let columns = Columns { taps: if matches!(rows, Rows::Dense { .. }) { 1 } else { 2 }, ..columns };
        let columns = Columns { packed: &packed[..packed_len(kernels, 20, columns.taps, 6)], ..columns };
        let run = || {
            run(
                kernels,
                m,
                &rows,
                &columns,
                Out::U8 { data: &mut data, stride: 20, requantize, residual: None },
            )
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
    };
    let dense = |len: usize| Rows::Dense { data: &case.data[..len], stride: 6 };
    assert!(!refused(dense(32), 5, 100), "4 rows of 6 bytes, then 8");
    assert!(refused(dense(31), 5, 100), "the last row's group is cut");
    assert!(refused(dense(32), 5, 99), "the output is short");
    let largest = *case.table.as_slice().iter().filter(|&&offset| offset != PAD).max().expect("an offset");
    let indirect = |data, pad| Rows::Indirect { data, offsets: case.table.rows(0..5), pad };
    let end = largest as usize + 8;
    assert!(!refused(indirect(&case.data[..end], &case.pad), 5, 100));
    assert!(refused(indirect(&case.data[..end - 1], &case.pad), 5, 100), "an offset leaves the data");
    assert!(refused(indirect(&case.data, &case.pad[..7]), 5, 100), "the pad row is short");
    assert!(refused(indirect(&case.data, &case.pad), 6, 120), "the table has 5 rows");
}

/// Runs a case whose parameters have been changed; whether that was refused.
fn is_refused(kind: Kind, change: impl FnOnce(&mut Case)) -> bool {
    let shape = Shape { m: 3, n: 20, taps: 1, kc: 6, indirect: false };
    let mut case = Case::new(shape, kind, Fill::Random, 4);
    case.row_bias = vec![0; 3];
    let packed = case.packed(Kernels::best());
    change(&mut case);
    std::panic::catch_unwind(|| {
        let mut data = vec![0; 2 * case.out_stride + 20];
        let (requantize, residual) = (case.requantize(), case.residual());
        let out = Out::U8 { data: &mut data, stride: case.out_stride, requantize, residual };
        let columns = case.columns(&packed);
        run_with_row_bias(Kernels::best(), 3, &case.rows(), &case.row_bias, &columns, out);
    })
    .is_err()
}

#[test]
fn parameters_out_of_their_ranges_are_refused() {
    assert!(!is_refused(Kind::Residual, |_| ()));
    let accepted: [fn(&mut Case); 12] = [
        |case| case.zero_point = 0,
        |case| case.zero_point = 255,
        |case| (case.lo, case.hi) = (255, 255),
        |case| case.shift[19] = 1,
        |case| case.shift[0] = 62,
        |case| (case.add.a_zero_point, case.add.b_zero_point, case.add.y_zero_point) = (255, 255, 255),
        |case| (case.add.a_multiplier, case.add.b_multiplier) = (32767, -32767),
        |case| case.add.shift = 1,
        |case| case.add.shift = 30,
        |case| (case.add.lo, case.add.hi) = (255, 255),
        |case| (case.add.lo, case.add.hi) = (0, 0),
        |case| case.row_bias.clear(),
    ];
    for (i, change) in accepted.into_iter().enumerate() {
        assert!(!is_refused(Kind::Residual, change), "accepted {i}");
    }
    let refused: [fn(&mut Case); 26] = [
        |case| case.zero_point = -1,
        |case| case.zero_point = 256,
        |case| case.lo = -1,
        |case| case.hi = 256,
        |case| (case.lo, case.hi) = (9, 8),
        |case| case.shift[19] = 0,
        |case| case.shift[0] = 63,
        |case| case.add.a_zero_point = -1,
        |case| case.add.b_zero_point = 256,
        |case| case.add.y_zero_point = 256,
        |case| case.add.a_multiplier = 32768,
        |case| case.add.b_multiplier = -32768,
        |case| case.add.shift = 0,
        |case| case.add.shift = 31,
        |case| case.add.lo = -1,
        |case| case.add.hi = 256,
        |case| (case.add.lo, case.add.hi) = (9, 8),
        |case| case.row_bias.truncate(2),
        |case| case.bias.truncate(19),
        |case| case.multiplier.truncate(19),
        |case| case.shift.truncate(19),
        |case| case.residual.truncate(case.residual.len() - 1),
        |case| case.data.truncate(case.data.len() - 1),
        |case| case.out_stride = 19,
        |case| case.shape.n = 32 + 1,
        |case| case.shape.kc = 9,
    ];
    for (i, change) in refused.into_iter().enumerate() {
        assert!(is_refused(Kind::Residual, change), "refused {i}");
    }
}

#[test]
fn parameters_of_a_residual_that_joins_the_sums() {
    let accepted: [fn(&mut Case); 5] = [
        |_| (),
        |case| case.residual_multiplier[19] = 0,
        |case| case.residual_multiplier[0] = 32767,
        |case| case.residual_shift[19] = 1,
        |case| case.residual_shift[0] = 23,
    ];
    for (i, change) in accepted.into_iter().enumerate() {
        assert!(!is_refused(Kind::Sums, change), "accepted {i}");
    }
    let refused: [fn(&mut Case); 8] = [
        |case| case.residual_multiplier[19] = -1,
        |case| case.residual_multiplier[0] = 32768,
        |case| case.residual_shift[19] = 0,
        |case| case.residual_shift[0] = 24,
        |case| case.residual_multiplier.truncate(19),
        |case| case.residual_constant.truncate(19),
        |case| case.residual_shift.truncate(19),
        |case| case.residual.truncate(case.residual.len() - 1),
    ];
    for (i, change) in refused.into_iter().enumerate() {
        assert!(is_refused(Kind::Sums, change), "refused {i}");
    }
}

#[test]
fn convolutions_go_through_winograds_transforms_by_shape_on_any_machine() {
    let pays = |isa: Isa, kc: usize, n: usize, output: [usize; 2]| {
        let row = TABLE.iter().find(|row| row.isa == isa).expect("a tier of the table");
        winograd::pays(&row.gemm, kc, n, output)
    };
    assert!(
        pays(Isa::Avx2, 16, 16, [32, 32])
            && pays(Isa::Avx2, 256, 256, [14, 14])
            && pays(Isa::Avx2, 64, 64, [8, 8])
    );
    // Tiles would be half padding; weights would be too large; there is one tile, or few channels.
    assert!(!pays(Isa::Avx2, 64, 64, [5, 5]) && !pays(Isa::Avx2, 512, 512, [7, 7]));
    assert!(!pays(Isa::Avx2, 64, 64, [4, 4]) && !pays(Isa::Avx2, 8, 64, [32, 32]));
    for isa in [Isa::AvxVnni, Isa::Avx512Vl] {
        assert!(pays(isa, 32, 32, [16, 16]) && pays(isa, 64, 64, [8, 8]) && !pays(isa, 16, 16, [32, 32]));
    }
    assert!(pays(Isa::Avx512Vnni, 64, 64, [56, 56]) && pays(Isa::Avx512Vnni, 128, 128, [28, 28]));
    assert!(!pays(Isa::Avx512Vnni, 32, 32, [56, 56]) && !pays(Isa::Avx512Vnni, 256, 256, [14, 14]));
    assert!(!pays(Isa::Scalar, 64, 64, [56, 56]));
    assert!(pays(Isa::Neon, 16, 16, [32, 32]) && !pays(Isa::DotProd, 16, 16, [32, 32]));
}
