use proptest::prelude::*;

use super::convert;
use super::depthwise::{self, Depthwise};
use super::elementwise::{self, AddParams, MulParams};
use super::pool::{self, Average, Mean};
use super::product::{self, Columns, OffsetTable, Out, PAD, Rows};
use super::rule::{Floats, Requantize, reach};
use crate::contracts::refused;
use crate::geometry::Window;
use crate::isa;
use crate::requantize::MULTIPLIER_MIN;
use crate::requantize::words::Scale;
use crate::table::Kernels;

fn tiers() -> impl Iterator<Item = Kernels> {
    isa::available().into_iter().map(|isa| Kernels::new(isa).expect("an available tier"))
}

/// The rule in integers of 128 bits.
fn plain(acc: i64, multiplier: i32, shift: u32, lo: i32, hi: i32) -> i16 {
    let scaled =
        (i128::from(acc) * i128::from(multiplier) + (1i128 << (shift - 1))).div_euclid(1i128 << shift);
    scaled.clamp(i128::from(lo), i128::from(hi)) as i16
}

fn multiplier() -> impl Strategy<Value = i32> {
    prop_oneof![
        Just(MULTIPLIER_MIN),
        Just(i32::MAX - 127),
        ((1 << 22)..(1 << 23)).prop_map(|m| 256 * m + 128)
    ]
}

fn clamp() -> impl Strategy<Value = (i32, i32)> {
    let any = (-32_767..=32_767i32, -32_767..=32_767i32).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![Just((-32_767, 32_767)), any]
}

/// Sums of any size, and those next to ties.
fn sum(shift: u32) -> impl Strategy<Value = i64> {
    const END: i64 = (1 << 38) - 1;
    let tie = 1i64 << shift.saturating_sub(8).min(37);
    let near = (-3..=3i64, 0..=64i64).prop_map(move |(off, times)| (tie * times + off).clamp(-END, END));
    prop_oneof![-END..=END, -100_000..=100_000i64, Just(END), Just(-END), near]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn both_rules_equal_plain_integers(
        (shift, acc) in (8..=62u32).prop_flat_map(|shift| (Just(shift), sum(shift))),
        multiplier in multiplier(), (lo, hi) in clamp(),
    ) {
        let wanted = plain(acc, multiplier, shift, lo, hi);
        prop_assert_eq!(Scale::<false>::new(multiplier, shift, lo, hi).apply(acc), wanted);
        prop_assert_eq!(Scale::<true>::new(multiplier, shift, lo, hi).apply(acc), wanted);
    }

    #[test]
    fn both_rules_equal_plain_integers_for_any_shift_of_an_int32(
        acc in any::<i32>(), small in -40_000..=40_000i32, shift in 1..=62u32, multiplier in multiplier(),
        (lo, hi) in clamp(),
    ) {
        for acc in [acc, small, acc >> 16] {
            let wanted = plain(i64::from(acc), multiplier, shift, lo, hi);
            prop_assert_eq!(Scale::<false>::new(multiplier, shift, lo, hi).apply_short(acc), wanted);
            prop_assert_eq!(Scale::<true>::new(multiplier, shift, lo, hi).apply_short(acc), wanted);
        }
    }

    #[test]
    fn both_rules_equal_plain_integers_for_words(
        acc in -32_768..=32_767i32, shift in 1..=62u32, multiplier in multiplier(), (lo, hi) in clamp(),
    ) {
        // At shifts up to 24 some words are a half step from an integer.
        for acc in [acc, acc << shift.saturating_sub(8).min(15) >> 16 << 8, acc >> 8] {
            let wanted = i32::from(plain(i64::from(acc), multiplier, shift, lo, hi));
            prop_assert_eq!(Scale::<false>::new(multiplier, shift, lo, hi).apply_word(acc), wanted);
            prop_assert_eq!(Scale::<true>::new(multiplier, shift, lo, hi).apply_word(acc), wanted);
        }
    }

    #[test]
    fn sums_of_two_equal_plain_integers(
        values in proptest::collection::vec((any::<i16>(), any::<i16>()), 1..90),
        a_multiplier in -32_767..=32_767i32, b_multiplier in -32_767..=32_767i32, shift in 1..=30u32,
        (lo, hi) in clamp(),
    ) {
        let (a, b): (Vec<i16>, Vec<i16>) = values.into_iter().unzip();
        let p = AddParams { a_multiplier, b_multiplier, shift, lo, hi };
        let one = |(&a, &b): (&i16, &i16)| {
            let sum = i64::from(a) * i64::from(a_multiplier) + i64::from(b) * i64::from(b_multiplier);
            ((sum + (1 << (shift - 1))) >> shift).clamp(i64::from(lo), i64::from(hi)) as i16
        };
        let wanted: Vec<i16> = a.iter().zip(&b).map(one).collect();
        for k in tiers() {
            let mut out = vec![0; a.len()];
            elementwise::add(k, &a, &b, &p, &mut out);
            prop_assert_eq!(&out, &wanted);
        }
    }
}

/// The arguments of one entry, each broken in turn.
#[test]
fn what_breaks_a_contract_is_refused() {
    let k = Kernels::best();
    let by = MulParams { multiplier: MULTIPLIER_MIN, shift: 30, lo: -3, hi: 3 };
    let mul = |by: MulParams, a: usize, out: usize| {
        refused(|| elementwise::mul(k, &vec![1; a], &[1; 4], &by, &mut vec![0; out]))
    };
    assert!(!mul(by, 4, 4) && !mul(by, 1, 4) && mul(by, 3, 4) && mul(by, 4, 3));
    assert!(mul(MulParams { shift: 0, ..by }, 4, 4) && mul(MulParams { shift: 63, ..by }, 4, 4));
    assert!(mul(MulParams { multiplier: 0, ..by }, 4, 4) && mul(MulParams { multiplier: 127, ..by }, 4, 4));
    assert!(mul(MulParams { lo: 4, ..by }, 4, 4) && mul(MulParams { lo: -32_768, ..by }, 4, 4));
    assert!(mul(MulParams { hi: 32_768, ..by }, 4, 4));
    let add = |multiplier: i32, shift: u32| {
        let p = AddParams { a_multiplier: multiplier, b_multiplier: 1, shift, lo: 0, hi: 1 };
        refused(|| elementwise::add(k, &[1], &[1], &p, &mut [0]))
    };
    assert!(!add(-32_767, 30) && add(32_768, 30) && add(1, 0) && add(1, 31));
    assert!(refused(|| convert::quantize(k, &[0.0; 3], 1.0, &mut [0; 2])));
    assert!(refused(|| convert::dequantize(k, &[0; 3], 1.0, &mut [0.0; 4])));
    assert!(refused(|| convert::requantize(k, &[0; 3], &by, &mut [0; 4])));
    let widen = |x: usize, zero_point: i32, by: MulParams| {
        refused(|| convert::widen(k, &vec![0; x], zero_point, &by, &mut [0; 4]))
    };
    assert!(!widen(4, 255, by) && widen(3, 255, by) && widen(4, 256, by) && widen(4, -1, by));
    assert!(widen(4, 0, MulParams { shift: 0, ..by }) && widen(4, 0, MulParams { hi: 32_768, ..by }));
    let narrow = |x: usize, zero_point: i32, by: MulParams| {
        refused(|| convert::narrow(k, &vec![0; x], &by, zero_point, &mut [0; 4]))
    };
    let by = MulParams { lo: 0, hi: 255, ..by };
    assert!(!narrow(4, 255, by) && narrow(5, 255, by) && narrow(4, 256, by));
    assert!(narrow(4, 0, MulParams { lo: -1, ..by }) && narrow(4, 0, MulParams { hi: 256, ..by }));
    assert!(
        narrow(4, 0, MulParams { lo: 9, hi: 8, ..by }) && narrow(4, 0, MulParams { multiplier: 1, ..by })
    );
    let image = |x: usize, pixels: std::ops::Range<usize>, out: usize| {
        refused(|| convert::quantize_channels_last(k, &vec![0.0; x], [3, 5], pixels, 1.0, &mut vec![0; out]))
    };
    assert!(!image(15, 1..5, 12) && image(14, 1..5, 12) && image(15, 1..6, 15) && image(15, 1..5, 11));
    let mean = |x: usize, shift: u32, out: usize| {
        let mean = Mean { multiplier: MULTIPLIER_MIN, shift, lo: 0, hi: 9 };
        refused(|| pool::mean_rows(k, &vec![0; x], 3, &mean, &mut vec![0; out]))
    };
    assert!(!mean(6, 8, 3) && mean(7, 8, 3) && mean(6, 7, 3) && mean(6, 8, 4));
}

fn window() -> Window {
    let (pair, three) = ([1; 2], [3; 2]);
    Window {
        input: three,
        channels: 40,
        output: three,
        kernel: three,
        stride: pair,
        dilation: pair,
        pad: pair,
    }
}

#[test]
fn depthwise_and_pools_refuse_what_does_not_fit() {
    let k = Kernels::best();
    let run = |x: usize, weights: usize, bias: usize, multiplier: usize, rows: usize, out: usize, lo: i32| {
        let (weights, bias) = (vec![1; weights], vec![0; bias]);
        let d = Depthwise { window: window(), weights: &weights, is_long: false };
        let (multiplier, shift) = (vec![MULTIPLIER_MIN; multiplier], vec![30; 40]);
        let by =
            Requantize { bias: &bias, reach: &[0; 40], multiplier: &multiplier, shift: &shift, lo, hi: 9 };
        refused(|| depthwise::run(k, &vec![1; x], &d, &by, 0..rows, &mut vec![0; out]))
    };
    assert!(!run(360, 360, 40, 40, 3, 360, 0) && !run(360, 360, 40, 40, 1, 120, 0));
    assert!(run(359, 360, 40, 40, 3, 360, 0) && run(360, 359, 40, 40, 3, 360, 0));
    assert!(run(360, 360, 39, 40, 3, 360, 0) && run(360, 360, 40, 39, 3, 360, 0));
    assert!(run(360, 360, 40, 40, 4, 480, 0) && run(360, 360, 40, 40, 3, 359, 0));
    assert!(run(360, 360, 40, 40, 3, 360, 10));
    let floats = |scale: usize, bias: usize| {
        let d = Depthwise { window: window(), weights: &[1; 360], is_long: true };
        let by = Floats { x_scale: 1.0, scale: &vec![1.0; scale], bias: &vec![1.0; bias] };
        refused(|| depthwise::run_to_floats(k, &[1; 360], &d, &by, 0..3, &mut [0.0; 360]))
    };
    assert!(!floats(40, 40) && floats(39, 40) && floats(40, 41));
    let average = |x: usize, shift: u32, hi: i32| {
        let average = Average { lo: 0, hi, factors: &[(MULTIPLIER_MIN, shift); 10], count_include_pad: None };
        refused(|| pool::average_pool(k, &vec![1; x], &window(), 0..3, &average, &mut [0; 360]))
    };
    assert!(!average(360, 8, 9) && average(361, 8, 9) && average(360, 7, 9) && average(360, 8, -1));
    assert!(refused(|| pool::max_pool(k, &[0; 360], &window(), 0..3, &mut [0; 359])));
}

/// The lengths of a product of `m` rows of 5 with 20 columns.
#[derive(Clone, Copy)]
struct Lengths {
    m: usize,
    data: usize,
    packed: usize,
    together: usize,
    bias: usize,
    shift: usize,
    out: usize,
    stride: usize,
}

#[test]
fn products_refuse_what_does_not_fit() {
    let k = Kernels::best();
    let fine = Lengths {
        m: 3,
        data: 32,
        packed: product::packed_len(20, 1, 5),
        together: 3,
        bias: 20,
        shift: 20,
        out: 60,
        stride: 20,
    };
    let run = |l: Lengths| {
        let (data, packed, bias, shift) =
            (vec![0; l.data], vec![0; l.packed], vec![0; l.bias], vec![30; l.shift]);
        let rows = Rows::Dense { data: &data, stride: 10 };
        let columns = Columns { packed: &packed, n: 20, taps: 1, kc: 5, together: l.together };
        let requantize = Requantize {
            bias: &bias,
            reach: &[0; 20],
            multiplier: &[MULTIPLIER_MIN; 20],
            shift: &shift,
            lo: 0,
            hi: 9,
        };
        let mut out = vec![0; l.out];
        refused(|| {
            product::run(k, l.m, &rows, &columns, Out::I16 { data: &mut out, stride: l.stride, requantize });
        })
    };
    assert!(!run(fine));
    assert!(run(Lengths { data: 31, ..fine }) && run(Lengths { packed: fine.packed - 1, ..fine }));
    assert!(run(Lengths { together: 0, ..fine }) && run(Lengths { bias: 19, ..fine }));
    assert!(run(Lengths { shift: 19, ..fine }) && run(Lengths { out: 59, ..fine }));
    assert!(run(Lengths { stride: 19, ..fine }) && run(Lengths { m: 4, ..fine }));
}

/// A convolution through offsets, with padding, of weights whose sums leave int32, by plain integers.
#[test]
fn products_equal_plain_integers() {
    let (m, n, taps, kc) = (9, 37, 3, 301);
    let weights: Vec<i8> =
        (0..n * taps * kc).map(|i| if i % 7 == 0 { -128 } else { (i * 37 % 255) as i8 }).collect();
    let x: Vec<i16> =
        (0..m * kc + 1).map(|i| if i % 3 == 0 { i16::MIN } else { (i * 7919) as i16 }).collect();
    let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_ne_bytes()).collect();
    let offset =
        |row: usize, tap: usize| if (row + tap).is_multiple_of(4) { PAD } else { (row * kc * 2) as u32 };
    let offsets = (0..m).flat_map(|row| (0..taps).map(move |tap| offset(row, tap))).collect();
    let table = OffsetTable::new(offsets, taps);
    let rows = Rows::Indirect { data: &bytes, offsets: table.rows(0..m), pad: &vec![0; 2 * kc + 2] };
    let mut packed = vec![1; product::packed_len(n, taps, kc)];
    product::pack(&weights, n, taps, kc, &mut packed);
    let together = product::together(&weights, taps, kc);
    assert_eq!(together, 255);
    let columns = Columns { packed: &packed, n, taps, kc, together };
    let (bias, multiplier): (Vec<i64>, Vec<i32>) =
        (0..n as i64).map(|c| (c * 1_000_003 - (1 << 24), MULTIPLIER_MIN + 256 * c as i32)).unzip();
    let shift: Vec<i32> = (0..n as i32).map(|c| 36 + c % 9).collect();
    let sum = |row: usize, c: usize| -> i64 {
        let tap = |t: usize| -> i64 {
            let at = offset(row, t);
            let x = |k: usize| if at == PAD { 0 } else { i64::from(x[at as usize / 2 + k]) };
            (0..kc).map(|k| x(k) * i64::from(weights[(c * taps + t) * kc + k])).sum()
        };
        (0..taps).map(tap).sum()
    };
    for k in tiers() {
        let (mut out, mut floats) = (vec![0; m * n], vec![0.0; m * n]);
        let reach: Vec<i64> = weights.chunks_exact(taps * kc).map(reach).collect();
        let (bias, reach, multiplier, shift) = (&bias[..], &reach[..], &multiplier[..], &shift[..]);
        let requantize = Requantize { bias, reach, multiplier, shift, lo: -32_767, hi: 32_767 };
        product::run(k, m, &rows, &columns, Out::I16 { data: &mut out, stride: n, requantize });
        let by = Floats { x_scale: 0.25, scale: &vec![0.5; n], bias: &vec![3.0; n] };
        product::run(k, m, &rows, &columns, Out::F32 { data: &mut floats, stride: n, floats: by });
        for row in 0..m {
            for c in 0..n {
                let (sum, at) = (sum(row, c), row * n + c);
                let wanted = plain(sum + bias[c], multiplier[c], shift[c].unsigned_abs(), -32_767, 32_767);
                assert_eq!(out[at], wanted, "{}: row {row}, column {c}", k.isa());
                assert_eq!(floats[at], (sum as f32 * 0.25).mul_add(0.5, 3.0), "{}: {row}, {c}", k.isa());
            }
        }
    }
}
