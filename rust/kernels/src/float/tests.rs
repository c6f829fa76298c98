//! Bits: every tier gives the digests in `digests.txt`, which the numpy reference gives too, and the coefficients in
//! `coefficients.txt` are the reference's own (`tests/reference/test_float_digests.py`).

use std::sync::atomic::{AtomicU32, Ordering};

use super::binary::{self, Binary};
use super::depthwise;
use super::epilogue::Epilogue;
use super::gemm::{self, Rows};
use super::normalization::{Channels, batch};
use super::pool;
use super::reduce::{self, Reduce};
use super::softmax::{Sum, softmax};
use super::unary::{self, Unary};
use super::{exponentials, inverses, math, power, trigonometry};
use crate::geometry::Window;
use crate::isa::{Isa, available};
use crate::table::Kernels;

/// CRC-32 (ISO-HDLC) of the elements as little-endian bytes, every NaN as 0x7fc00000.
fn digest(values: &[f32]) -> u32 {
    let mut crc = !0u32;
    for value in values {
        let bits = if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
        for byte in bits.to_le_bytes() {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            }
        }
    }
    !crc
}

/// Bit patterns `i * step` modulo 2^32 as floats.
fn patterns(step: u32) -> Vec<f32> {
    (0..65_536).map(|i: u32| f32::from_bits(i.wrapping_mul(step))).collect()
}

/// Numbers from 2^-11 to 256 of both signs, as many in each octave: where functions bend.
fn dense() -> Vec<f32> {
    let bits = |i: u32| 0x3a00_0000 + i.wrapping_mul(0x9e37_79b1) % 0x0980_0000;
    (0..1 << 17).map(|i: u32| f32::from_bits(bits(i) | (i & 1) << 31)).collect()
}

/// Where functions change their ways: each with its neighbours, of both signs, and NaN.
fn breakpoints(neighbours: i32) -> Vec<f32> {
    let mut points = vec![f32::NAN];
    for line in include_str!("breakpoints.txt").lines() {
        let bits = line.parse::<f32>().expect("a number").to_bits() as i32;
        for step in -neighbours..=neighbours {
            let x = f32::from_bits((bits + step).max(0) as u32);
            points.extend([x, -x]);
        }
    }
    points
}

/// Every element of some beside every one.
fn pairs(x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    x.iter().flat_map(|&a| x.iter().map(move |&b| (a, b))).unzip()
}

/// Multiples of 2^-23 in [-1, 1), mixed from the index and a seed.
fn noise(len: usize, seed: u32) -> Vec<f32> {
    (0..len as u32)
        .map(|i| {
            let mut bits = i.wrapping_add(seed.wrapping_mul(0x0001_0001)).wrapping_mul(0x9e37_79b1);
            bits ^= bits >> 15;
            bits = bits.wrapping_mul(0x85eb_ca77);
            bits ^= bits >> 13;
            ((bits >> 8) as i32 - (1 << 23)) as f32 / (1 << 23) as f32
        })
        .collect()
}

const UNARY: [(&str, Unary); 43] = [
    ("relu", Unary::Relu),
    ("leaky_relu", Unary::LeakyRelu { alpha: 0.01 }),
    ("elu", Unary::Elu { alpha: 0.75 }),
    ("selu", Unary::Selu { alpha: 1.673_263_2, gamma: 1.050_701 }),
    ("celu", Unary::Celu { alpha: 0.75 }),
    ("thresholded_relu", Unary::ThresholdedRelu { alpha: 0.75 }),
    ("sigmoid", Unary::Sigmoid),
    ("tanh", Unary::Tanh),
    ("hard_sigmoid", Unary::HardSigmoid { alpha: 0.2, beta: 0.5 }),
    ("hard_swish", Unary::HardSwish),
    ("gelu", Unary::Gelu { tanh: false }),
    ("gelu_tanh", Unary::Gelu { tanh: true }),
    ("softplus", Unary::Softplus),
    ("softsign", Unary::Softsign),
    ("mish", Unary::Mish),
    ("swish", Unary::Swish { alpha: 1.5 }),
    ("exp", Unary::Exp),
    ("log", Unary::Log),
    ("sqrt", Unary::Sqrt),
    ("reciprocal", Unary::Reciprocal),
    ("abs", Unary::Abs),
    ("neg", Unary::Neg),
    ("sign", Unary::Sign),
    ("floor", Unary::Floor),
    ("ceil", Unary::Ceil),
    ("round", Unary::Round),
    ("erf", Unary::Erf),
    ("sin", Unary::Sin),
    ("cos", Unary::Cos),
    ("tan", Unary::Tan),
    ("asin", Unary::Asin),
    ("acos", Unary::Acos),
    ("atan", Unary::Atan),
    ("sinh", Unary::Sinh),
    ("cosh", Unary::Cosh),
    ("asinh", Unary::Asinh),
    ("acosh", Unary::Acosh),
    ("atanh", Unary::Atanh),
    ("shrink", Unary::Shrink { lambda: 0.75, bias: 0.5 }),
    ("clip", Unary::Clip { lo: -0.5, hi: 6.0 }),
    ("clip_below", Unary::Clip { lo: 0.0, hi: f32::INFINITY }),
    ("clip_above", Unary::Clip { lo: f32::NEG_INFINITY, hi: 0.0 }),
    ("clip_crossed", Unary::Clip { lo: 1.0, hi: -1.0 }),
];

const BINARY: [(&str, Binary); 8] = [
    ("add", Binary::Add),
    ("sub", Binary::Sub),
    ("mul", Binary::Mul),
    ("div", Binary::Div),
    ("pow", Binary::Pow),
    ("max", Binary::Max),
    ("min", Binary::Min),
    ("prelu", Binary::PRelu),
];

const REDUCE: [(&str, Reduce); 4] =
    [("mean", Reduce::Mean), ("sum", Reduce::Sum), ("max", Reduce::Max), ("min", Reduce::Min)];

/// A 9 x 8 image of some channels, a 3 x 3 window with unequal steps.
fn image(channels: usize) -> Window {
    Window {
        input: [9, 8],
        channels,
        output: [5, 8],
        kernel: [3, 3],
        stride: [2, 1],
        dilation: [1, 2],
        pad: [1, 2],
    }
}

/// Where each tap of each output pixel begins.
fn offsets(window: &Window) -> Vec<u32> {
    let mut offsets = Vec::new();
    for (y, x) in (0..window.output[0]).flat_map(|y| (0..window.output[1]).map(move |x| (y, x))) {
        for (i, j) in (0..window.kernel[0]).flat_map(|i| (0..window.kernel[1]).map(move |j| (i, j))) {
            let inside = window.taps_inside(0, y).contains(&i) && window.taps_inside(1, x).contains(&j);
            offsets.push(if inside { window.tap(y, x, i, j) as u32 } else { u32::MAX });
        }
    }
    offsets
}

fn biased(bias: &[f32]) -> Epilogue<'_> {
    Epilogue { bias: Some(bias), ..Epilogue::default() }
}

fn products(k: Kernels) -> Vec<(String, u32)> {
    let mut digests = Vec::new();
    let (m, n, kc) = (29, 21, 600);
    let mut packed = vec![f32::NAN; gemm::packed_len(n, 1, kc)];
    gemm::pack(&noise(n * kc, 2), n, 1, kc, &mut packed);
    let mut y = vec![0.0; m * n];
    let x = noise(m * kc, 1);
    gemm::run(k, m, &Rows::Dense { data: &x, stride: kc }, &packed, n, kc, &biased(&noise(n, 3)), &mut y, n);
    digests.push(("gemm".into(), digest(&y)));

    let (g, n) = (image(5), 18);
    let mut packed = vec![f32::NAN; gemm::packed_len(n, 9, g.channels)];
    gemm::pack(&noise(n * 9 * g.channels, 2), n, 9, g.channels, &mut packed);
    let (x, offsets) = (noise(72 * g.channels, 1), offsets(&g));
    let rows = Rows::Indirect { data: &x, offsets: &offsets, taps: 9 };
    let mut y = vec![0.0; 40 * n];
    gemm::run(k, 40, &rows, &packed, n, g.channels, &biased(&noise(n, 3)), &mut y, n);
    digests.push(("conv".into(), digest(&y)));

    let g = image(19);
    let (x, w, bias) = (noise(72 * g.channels, 1), noise(9 * g.channels, 2), noise(g.channels, 3));
    let mut y = vec![0.0; 40 * g.channels];
    let (top, bottom) = y.split_at_mut(16 * g.channels);
    depthwise::run(k, &x, &w, &g, &biased(&bias), 0..2, top);
    depthwise::run(k, &x, &w, &g, &biased(&bias), 2..5, bottom);
    digests.push(("depthwise".into(), digest(&y)));
    digests
}

fn pools(k: Kernels) -> Vec<(String, u32)> {
    let g = image(19);
    let x = noise(72 * g.channels, 1);
    let mut y = vec![0.0; 40 * g.channels];
    let mut digests = Vec::new();
    pool::max_pool(k, &x, &g, 0..5, &mut y);
    digests.push(("max_pool".into(), digest(&y)));
    pool::average_pool(k, &x, &g, None, 0..5, &mut y);
    digests.push(("average_pool".into(), digest(&y)));
    pool::average_pool(k, &x, &g, Some([1, 2]), 0..5, &mut y);
    digests.push(("average_pool_padded".into(), digest(&y)));
    digests
}

/// What finite noise does not reach: subnormal products and sums, infinities, NaN, padding beside infinite weights.
fn extremes(k: Kernels) -> Vec<(String, u32)> {
    let (g, n) = (image(5), 18);
    let offsets = offsets(&g);
    let convolve = |x: &[f32], w: &[f32]| {
        let mut packed = vec![f32::NAN; gemm::packed_len(n, 9, g.channels)];
        gemm::pack(w, n, 9, g.channels, &mut packed);
        let mut y = vec![0.0; 40 * n];
        let rows = Rows::Indirect { data: x, offsets: &offsets, taps: 9 };
        gemm::run(k, 40, &rows, &packed, n, g.channels, &Epilogue::default(), &mut y, n);
        digest(&y)
    };
    let x = noise(72 * g.channels, 1);
    let subnormal = &patterns(32_749)[..x.len()];
    let mut w = noise(n * 9 * g.channels, 2);
    let mut digests = vec![("conv_subnormal".into(), convolve(subnormal, &w))];
    w.iter_mut().step_by(50).for_each(|w| *w = f32::INFINITY);
    digests.push(("conv_infinite".into(), convolve(&x, &w)));

    let g = image(19);
    let x = &patterns(0x9e37_79b1)[..72 * g.channels];
    let mut y = vec![0.0; 40 * g.channels];
    depthwise::run(k, x, &noise(9 * g.channels, 2), &g, &Epilogue::default(), 0..5, &mut y);
    digests.push(("depthwise_patterns".into(), digest(&y)));
    pool::max_pool(k, x, &g, 0..5, &mut y);
    digests.push(("max_pool_patterns".into(), digest(&y)));
    pool::average_pool(k, x, &g, None, 0..5, &mut y);
    digests.push(("average_pool_patterns".into(), digest(&y)));
    for (name, op) in REDUCE {
        let mut y = vec![0.0; 1024];
        reduce::last_axis(k, op, &patterns(0x9e37_79b1), 64, &mut y);
        digests.push((format!("reduce_{name}_patterns"), digest(&y)));
    }
    digests
}

fn normalizations(k: Kernels) -> Vec<(String, u32)> {
    let (mean, factor, bias) = (noise(19, 2), noise(19, 3), noise(19, 4));
    let channels = Channels { mean: &mean, factor: &factor, bias: &bias };
    let x = noise(2 * 19 * 35, 1);
    let mut y = vec![0.0; x.len()];
    batch(k, &x, &channels, 35, &mut y);
    let planar = digest(&y);
    batch(k, &x, &channels, 1, &mut y);
    vec![("batch_planar".into(), planar), ("batch_channels_last".into(), digest(&y))]
}

fn reductions(k: Kernels) -> Vec<(String, u32)> {
    let mut digests = Vec::new();
    for (name, op) in REDUCE {
        let mut y = vec![0.0; 5];
        reduce::last_axis(k, op, &noise(5 * 53, 1), 53, &mut y);
        digests.push((format!("reduce_{name}_last"), digest(&y)));
        let mut y = vec![0.0; 2 * 19];
        reduce::strided(k, op, &noise(2 * 11 * 19, 1), 11, 19, &mut y);
        digests.push((format!("reduce_{name}_strided"), digest(&y)));
    }
    for (name, log) in [("softmax", false), ("log_softmax", true)] {
        let x: Vec<f32> = noise(3 * 37 * 19, 1).iter().map(|x| 8.0 * x).collect();
        let mut y = vec![0.0; x.len()];
        softmax(k, &x, 37, 19, Sum::Chain, log, &mut y);
        digests.push((format!("{name}_strided"), digest(&y)));
        softmax(k, &x, 37, 1, Sum::Lanes, log, &mut y);
        digests.push((format!("{name}_last"), digest(&y)));
        softmax(k, &x, 37, 1, Sum::Chain, log, &mut y);
        digests.push((format!("{name}_contiguous"), digest(&y)));
    }
    digests
}

fn elementwise(k: Kernels) -> Vec<(String, u32)> {
    let (a, b) = (patterns(65_521), patterns(0x9e37_79b1));
    let mut y = vec![0.0; a.len()];
    let mut digests = Vec::new();
    for (name, op) in UNARY {
        unary::run(k, op, &a, &mut y);
        digests.push((name.into(), digest(&y)));
    }
    for (name, op) in BINARY {
        binary::run(k, op, &a, &b, &mut y);
        digests.push((name.into(), digest(&y)));
    }
    for power in [2.0, 0.5, -1.0, 3.0] {
        binary::run(k, Binary::Pow, &a, &[power], &mut y);
        digests.push((format!("pow_{power}"), digest(&y)));
    }
    digests
}

fn bends(k: Kernels) -> Vec<(String, u32)> {
    let (dense, points) = (dense(), breakpoints(2));
    let mut digests = Vec::new();
    for (name, op) in UNARY {
        for (kind, x) in [("dense", &dense), ("breakpoints", &points)] {
            let mut y = vec![0.0; x.len()];
            unary::run(k, op, x, &mut y);
            digests.push((format!("{name}_{kind}"), digest(&y)));
        }
    }
    let (a, b) = pairs(&breakpoints(0));
    let mut y = vec![0.0; a.len()];
    for (name, op) in BINARY {
        binary::run(k, op, &a, &b, &mut y);
        digests.push((format!("{name}_breakpoints"), digest(&y)));
    }
    digests
}

#[test]
fn coefficients_are_the_reference_s() {
    let singles = |name: &str, of: &[f32]| {
        of.iter().fold(name.to_owned(), |line, x| format!("{line} {:08x}", x.to_bits()))
    };
    let doubles = |name: &str, of: &[f64]| {
        of.iter().fold(name.to_owned(), |line, x| format!("{line} {:016x}", x.to_bits()))
    };
    let words =
        |name: &str, of: &[u64]| of.iter().fold(name.to_owned(), |line, x| format!("{line} {x:016x}"));
    let lines = [
        singles("LN2", &[math::LN2_HI, math::LN2_LO]),
        singles("EXP", &math::EXP),
        singles("EXP_OF_SCORE", &exponentials::EXP_OF_SCORE),
        singles("LOG", &math::LOG),
        singles("TANH", &math::TANH),
        singles("ERF_SMALL", &math::ERF_SMALL),
        singles("ERF_LARGE", &math::ERF_LARGE),
        doubles("LOG2", &power::LOG2),
        doubles("EXP2", &power::EXP2),
        doubles("SIN", &trigonometry::SIN),
        doubles("COS", &trigonometry::COS),
        words("TWO_OVER_PI", &trigonometry::TWO_OVER_PI),
        doubles("HALF_PI", &[trigonometry::HALF_PI_HI, trigonometry::HALF_PI_LO]),
        doubles("ATAN", &inverses::ATAN),
        doubles("ASIN", &inverses::ASIN),
        doubles("SINH", &inverses::SINH),
        doubles("TINY", &[inverses::TINY]),
    ];
    let expected: Vec<&str> = include_str!("coefficients.txt").lines().collect();
    assert_eq!(lines.each_ref(), expected[..]);
}

#[test]
fn every_tier_gives_the_reference_s_bits() {
    let expected: Vec<(String, u32)> = include_str!("digests.txt")
        .lines()
        .map(|line| line.split_once(' ').expect("a name and a digest"))
        .map(|(name, crc)| (name.into(), u32::from_str_radix(crc, 16).expect("hexadecimal")))
        .collect();
    for isa in available() {
        let k = Kernels::new(isa).expect("available");
        let digests =
            [elementwise(k), products(k), pools(k), extremes(k), normalizations(k), reductions(k), bends(k)]
                .concat();
        let wrong: Vec<_> = expected.iter().filter(|line| !digests.contains(line)).collect();
        assert_eq!(digests.len(), expected.len(), "{isa}");
        assert!(wrong.is_empty(), "{isa}: {wrong:x?}");
    }
}

/// Every float32 there is through the functions that are computed in float32; the digests hold them to the reference. The scalar
/// tier, whose multiply-adds are calls of the C library, takes 25 times as long as the others: where a function is flat it
/// tries one number in 16.
#[test]
#[ignore = "takes minutes"]
fn tiers_agree_on_every_float() {
    const BLOCKS: u32 = 1 << 16;
    const SOME: usize = 16;
    let functions = [
        Unary::Exp,
        Unary::Elu { alpha: 0.75 },
        Unary::Log,
        Unary::Softplus,
        Unary::Sigmoid,
        Unary::Tanh,
        Unary::Erf,
        Unary::Gelu { tanh: true },
        Unary::Mish,
        Unary::Round,
        Unary::Floor,
        Unary::Ceil,
    ];
    // Constant, NaN, or a straight line but for the last bits.
    let is_flat = |op, x: f32| match op {
        Unary::Round | Unary::Floor | Unary::Ceil => false,
        Unary::Log => x.is_sign_negative(),
        _ => !(2f32.powi(-32)..256.0).contains(&x.abs()),
    };
    let some = |of: &[f32], block: u32| -> Vec<f32> {
        of.iter().copied().skip(block as usize % SOME).step_by(SOME).collect()
    };
    let best = Kernels::best();
    let next = AtomicU32::new(0);
    let sweep = || {
        let mut y = vec![0.0f32; 1 << 16];
        let mut compare = |k: Kernels, op, x: &[f32], expected: &[f32]| {
            let y = &mut y[..x.len()];
            unary::run(k, op, x, y);
            let same =
                |y: f32, expected: f32| y.to_bits() == expected.to_bits() || y.is_nan() && expected.is_nan();
            // Without a way out of the loop the compiler compares many at a time.
            if !y.iter().zip(expected).fold(true, |all, (&y, &expected)| all & same(y, expected)) {
                let wrong = (0..x.len()).find(|&i| !same(y[i], expected[i]));
                assert_eq!(wrong.map(|i| (x[i], y[i], expected[i])), None, "{} {op:?}", k.isa());
            }
        };
        let mut expected = vec![0.0f32; 1 << 16];
        while let block @ 0..BLOCKS = next.fetch_add(1, Ordering::Relaxed) {
            let x: Vec<f32> = (0..1 << 16).map(|i| f32::from_bits(block << 16 | i)).collect();
            let some_x = some(&x, block);
            for op in functions {
                unary::run(best, op, &x, &mut expected);
                for k in available().into_iter().filter_map(Kernels::new).filter(|k| k.isa() != best.isa()) {
                    if k.isa() == Isa::Scalar && is_flat(op, x[0]) {
                        compare(k, op, &some_x, &some(&expected, block));
                    } else {
                        compare(k, op, &x, &expected);
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (0..threads).for_each(|_| drop(scope.spawn(sweep)));
    });
}
