//! Every tile's bits against a plain chain of `mul_add`, over odd shapes.

use super::super::epilogue::{Epilogue, Residual};
use super::super::unary::{self, Unary};
use super::{ROW_BYTES, ROW_LEAST, Rows, UNIT, pack, pack_strided, packed_len, run, select};
use crate::isa::{Isa, available};
use crate::table::{Kernels, TABLE};

/// Numbers of either sign in [-1, 1], some of them zeros of either sign.
fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mix = |i: u32| (i ^ seed.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca77).rotate_left(13);
    let value = |i| match mix(i) % 11 {
        0 => 0.0,
        1 => -0.0,
        _ => mix(i).wrapping_mul(0xc2b2_ae35) as i32 as f32 / i32::MAX as f32,
    };
    (0..len as u32).map(value).collect()
}

struct Case {
    m: usize,
    n: usize,
    taps: usize,
    kc: usize,
    is_dense: bool,
    has_bias: bool,
    has_residual: bool,
    activation: Option<Unary>,
}

/// What is written where nothing should be.
const UNTOUCHED: f32 = 77.0;

/// The outputs, rows `stride` apart, by the tier and by the definition.
fn both(k: Kernels, case: &Case) -> (Vec<f32>, Vec<f32>) {
    let &Case { m, n, taps, kc, .. } = case;
    let (stride, data) = (n + 3, noise(m * (kc + 1) + kc, 1));
    let outside = |i: usize| i.is_multiple_of(5);
    // The last offset that has its elements, and the first one that has not.
    let last = data.len() - kc;
    let offset = |i: usize| match i {
        i if i.is_multiple_of(10) => u32::MAX as usize,
        i if outside(i) => last + 1,
        i if i.is_multiple_of(6) => last,
        i => i * 7 % (last + 1),
    };
    let offsets: Vec<u32> = (0..m * taps).map(|i| offset(i) as u32).collect();
    let rows = if case.is_dense {
        Rows::Dense { data: &data, stride: kc + 1 }
    } else {
        Rows::Indirect { data: &data, offsets: &offsets, taps }
    };
    let x = |row: usize, tap: usize, step: usize| {
        if case.is_dense {
            data[row * (kc + 1) + step]
        } else if outside(row * taps + tap) {
            0.0
        } else {
            data[offsets[row * taps + tap] as usize + step]
        }
    };
    let (weights, bias, residual) = (noise(n * taps * kc, 2), noise(n, 3), noise(m * stride, 4));
    let mut packed = vec![f32::NAN; packed_len(n, taps, kc)];
    pack(&weights, n, taps, kc, &mut packed);
    let epilogue = Epilogue {
        bias: case.has_bias.then_some(&bias),
        residual: case.has_residual.then_some(Residual { data: &residual, stride }),
        activation: case.activation,
    };
    let mut given = vec![UNTOUCHED; m * stride];
    // The last row ends where its columns do.
    run(k, m, &rows, &packed, n, kc, &epilogue, &mut given[..(m - 1) * stride + n], stride);
    let mut expected = vec![UNTOUCHED; m * stride];
    for (i, row) in expected.chunks_exact_mut(stride).enumerate() {
        for (j, y) in row[..n].iter_mut().enumerate() {
            let steps = (0..taps).flat_map(|tap| (0..kc).map(move |step| (tap, step)));
            *y = steps.fold(0.0, |sum, (tap, step)| {
                x(i, tap, step).mul_add(weights[(j * taps + tap) * kc + step], sum)
            });
            *y += if case.has_bias { bias[j] } else { -0.0 };
            *y += if case.has_residual { residual[i * stride + j] } else { -0.0 };
        }
        if let Some(function) = case.activation {
            let sums = row[..n].to_vec();
            unary::run(k, function, &sums, &mut row[..n]);
        }
    }
    (given, expected)
}

fn check(cases: &[Case]) {
    for k in available().into_iter().filter_map(Kernels::new) {
        for case in cases {
            let (given, expected) = both(k, case);
            let wrong = given.iter().zip(&expected).position(|(g, e)| g.to_bits() != e.to_bits());
            let Case { m, n, taps, kc, is_dense, .. } = case;
            assert_eq!(wrong, None, "{}: {m} x {n} of {taps} x {kc}, dense {is_dense}", k.isa());
        }
    }
}

/// A case without an epilogue.
fn plain(m: usize, n: usize, taps: usize, kc: usize, is_dense: bool) -> Case {
    Case { m, n, taps, kc, is_dense, has_bias: false, has_residual: false, activation: None }
}

#[test]
fn every_height_and_width() {
    let mut cases = Vec::new();
    for m in (1..=30).chain([49, 113]) {
        for n in [1, 15, 16, 17, 32, 33, 48, 63, 70] {
            cases.push(plain(m, n, 1, 3, true));
        }
        cases.push(plain(m, 141, 2, 2, false));
    }
    check(&cases);
}

#[test]
fn short_long_and_empty_chains() {
    let mut cases = Vec::new();
    for (taps, kc) in [(1, 1), (9, 1), (3, 21), (2, 1024), (2, 1025), (1, 2050), (1, 0), (0, 5)] {
        for m in [1, 4, 15] {
            cases.push(plain(m, 19, taps, kc, false));
            if taps == 1 {
                cases.push(plain(m, 19, taps, kc, true));
            }
        }
    }
    check(&cases);
}

#[test]
fn epilogues() {
    let mut cases = Vec::new();
    let clip = |lo, hi| Some(Unary::Clip { lo, hi });
    let functions = [
        None,
        Some(Unary::Relu),
        clip(0.0, 0.5),
        clip(-0.0, 0.0),
        clip(-0.5, -0.0),
        clip(0.0, 0.0),
        clip(f32::NEG_INFINITY, 0.0),
        clip(0.5, -0.5),
        clip(f32::NAN, 1.0),
        clip(0.0, f32::INFINITY),
        clip(-0.3, 0.2),
        clip(0.1, 0.4),
        clip(f32::NEG_INFINITY, f32::INFINITY),
        Some(Unary::Sigmoid),
        Some(Unary::Neg),
    ];
    for activation in functions {
        for (has_bias, has_residual) in [(false, false), (true, false), (false, true), (true, true)] {
            for (m, n) in [(1, 130), (5, 50), (29, 37)] {
                cases.push(Case { has_bias, has_residual, activation, ..plain(m, n, 2, 2, false) });
            }
        }
    }
    check(&cases);
}

/// Rows so long that they do not go through in one pass, whose last one is short; every epilogue in each.
#[test]
fn passes_over_many_rows() {
    let mut cases = Vec::new();
    for (m, n, kc) in [(193, 20, 1100), (2 * ROW_LEAST + 1, 70, 1000), (131, 400, 620)] {
        assert!((kc + n) * 4 * m > ROW_BYTES && m > ROW_LEAST, "more than one pass");
        for (is_dense, activation) in [(true, Some(Unary::Sigmoid)), (false, Some(Unary::Relu))] {
            let taps = if is_dense { 1 } else { 2 };
            let kc = kc / taps;
            cases.push(Case { m, n, taps, kc, is_dense, has_bias: true, has_residual: true, activation });
        }
    }
    check(&cases);
}

/// Weights that lie in any order are packed as those that lie column by column.
#[test]
fn strided_weights_are_packed_alike() {
    for n in (1..=34).chain([48, 50]) {
        for k in [0usize, 1, 2, 7, 33] {
            for (column, step) in [(k, 1), (k + 3, 1), (1, n), (1, n + 2), (2, 2 * n + 1), (3 * k + 1, 3)] {
                let len = (n - 1) * column + (k.max(1) - 1) * step + 1;
                let weights = noise(len, n as u32);
                let ordered: Vec<f32> = (0..n * k).map(|i| weights[i / k * column + i % k * step]).collect();
                let mut expected = vec![f32::NAN; packed_len(n, 1, k)];
                let mut given = expected.clone();
                pack(&ordered, n, 1, k, &mut expected);
                pack_strided(&weights, n, k, column, step, &mut given);
                let same = given.iter().zip(&expected).all(|(g, e)| g.to_bits() == e.to_bits());
                assert!(same, "{n} columns of {k}, {column} and {step} apart");
            }
        }
    }
}

/// NaN and infinities pass every clamp and every activation.
#[test]
fn sums_without_end_keep_their_meaning() {
    let (m, n) = (7, 37);
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.25, -0.0, 3e38];
    for k in available().into_iter().filter_map(Kernels::new) {
        let mut packed = vec![f32::NAN; packed_len(n, 1, 1)];
        pack(&vec![1.0; n], n, 1, 1, &mut packed);
        let bias: Vec<f32> = (0..n).map(|j| special[j % 6]).collect();
        let data: Vec<f32> = (0..m).map(|i| special[5 - i % 6]).collect();
        for (lo, hi) in [(0.0, f32::INFINITY), (-1.0, 0.5), (f32::NEG_INFINITY, 2.0), (0.25, 0.25)] {
            let activation = Some(Unary::Clip { lo, hi });
            let epilogue = Epilogue { bias: Some(&bias), activation, ..Epilogue::default() };
            let mut out = vec![9.0; m * n];
            run(k, m, &Rows::Dense { data: &data, stride: 1 }, &packed, n, 1, &epilogue, &mut out, n);
            for (at, &y) in out.iter().enumerate() {
                let sum = (data[at / n] + 0.0) + bias[at % n];
                let expected = if sum.is_nan() { sum } else { sum.max(lo).min(hi) };
                assert!(
                    y == expected || y.is_nan() && expected.is_nan(),
                    "{} {sum} in {lo}..{hi}: {y}",
                    k.isa()
                );
            }
        }
    }
}

#[test]
fn zeros_keep_their_signs() {
    // Weights so small that sums underflow to zeros of both signs.
    for k in available().into_iter().filter_map(Kernels::new) {
        for (function, expected) in [(None, [0.0f32, -0.0]), (Some(Unary::Relu), [0.0, 0.0])] {
            let mut packed = [0.0; UNIT];
            pack(&[1e-30, -1e-30], 2, 1, 1, &mut packed);
            let epilogue = Epilogue { activation: function, ..Epilogue::default() };
            let mut out = [9.0; 2];
            run(k, 1, &Rows::Dense { data: &[1e-30], stride: 1 }, &packed, 2, 1, &epilogue, &mut out, 2);
            assert_eq!(out.map(f32::to_bits), expected.map(f32::to_bits), "{}", k.isa());
        }
    }
}

#[test]
fn shapes_pick_tiles_by_name() {
    let picked = |isa: Isa, m, n| {
        let row = TABLE.iter().find(|row| row.isa == isa).expect("a tier of the table");
        select(&row.float_gemm.floats, m, n).name
    };
    for (m, n, avx2, avx512) in [
        (1, 1000, "avx2-f32-gemm-1x64", "avx512vnni-f32-gemm-1x128"),
        (1, 60, "avx2-f32-gemm-1x64", "avx512vnni-f32-gemm-6x64"),
        (2, 1000, "avx2-f32-gemm-3x32", "avx512vnni-f32-gemm-6x64"),
        (49, 512, "avx2-f32-gemm-6x16", "avx512vnni-f32-gemm-14x32"),
        (3025, 16, "avx2-f32-gemm-6x16", "avx512vnni-f32-gemm-14x16"),
    ] {
        assert_eq!((picked(Isa::Avx2, m, n), picked(Isa::Avx512Vnni, m, n)), (avx2, avx512), "{m} x {n}");
        assert_eq!(picked(Isa::Scalar, m, n), "scalar-f32-gemm-4x16", "{m} x {n}");
    }
}

#[test]
#[should_panic(expected = "leave the data")]
fn rows_that_leave_the_data_are_refused() {
    let rows = Rows::Dense { data: &[0.0; 7], stride: 4 };
    run(Kernels::best(), 2, &rows, &[0.0; 4 * UNIT], 1, 4, &Epilogue::default(), &mut [0.0; 2], 1);
}

#[test]
#[should_panic(expected = "residual")]
fn a_residual_too_short_is_refused() {
    let rows = Rows::Dense { data: &[0.0; 8], stride: 4 };
    let residual = Some(Residual { data: &[0.0; 1], stride: 1 });
    let epilogue = Epilogue { residual, ..Epilogue::default() };
    run(Kernels::best(), 2, &rows, &[0.0; 4 * UNIT], 1, 4, &epilogue, &mut [0.0; 2], 1);
}
