//! Functions of one tensor.

use super::inverses;
use super::math;
use super::trigonometry;
use crate::isa::{Entry, Has};

type Run = unsafe fn(Unary, &[f32], &mut [f32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// Functions of one tensor.
    pub unary: Entry<Run>,
}

crate::plain::plain_tiers!(Entries {
    unary(op: Unary, x: &[f32], out: &mut [f32]) = kernel as "f32-unary";
});

/// A function of one element. Parameters are ONNX's attributes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// `max(x, +0)`; NaN stays.
    Relu,
    /// x from 0 on, else `alpha * x`.
    LeakyRelu {
        /** The slope. */
        alpha: f32,
    },
    /// x above 0, else `alpha * (exp(x) - 1)`.
    Elu {
        /** The factor. */
        alpha: f32,
    },
    /// gamma times [`Unary::Elu`].
    Selu {
        /** Elu's factor. */
        alpha: f32,
        /** The factor of all. */
        gamma: f32,
    },
    /// x above 0, else `alpha * (exp(x / alpha) - 1)`.
    Celu {
        /** The factor. */
        alpha: f32,
    },
    /// x above alpha, else 0; NaN stays.
    ThresholdedRelu {
        /** The threshold. */
        alpha: f32,
    },
    /// [`math::sigmoid`].
    Sigmoid,
    /// [`math::tanh`].
    Tanh,
    /// [`math::hard_sigmoid`].
    HardSigmoid {
        /** The slope. */
        alpha: f32,
        /** The offset. */
        beta: f32,
    },
    /// `x * hard_sigmoid(x)` with slope 1/6 and offset 1/2.
    HardSwish,
    /// [`math::gelu`] or [`math::gelu_tanh`].
    Gelu {
        /** Whether it is the approximation by tanh. */
        tanh: bool,
    },
    /// [`math::softplus`].
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// [`math::mish`].
    Mish,
    /// `x * sigmoid(alpha * x)`.
    Swish {
        /** The slope. */
        alpha: f32,
    },
    /// [`math::exp`].
    Exp,
    /// [`math::log`].
    Log,
    /// The square root, correctly rounded.
    Sqrt,
    /// `1 / x`, correctly rounded.
    Reciprocal,
    /// The magnitude.
    Abs,
    /// The sign flipped, zero's as well.
    Neg,
    /// [`math::sign`].
    Sign,
    /// [`math::floor`].
    Floor,
    /// [`math::ceil`].
    Ceil,
    /// [`math::round_even`].
    Round,
    /// [`math::erf`].
    Erf,
    /// The sine; 0.501 ulp. NaN for infinities.
    Sin,
    /// The cosine; 0.501 ulp. NaN for infinities.
    Cos,
    /// The tangent; 0.501 ulp. NaN for infinities.
    Tan,
    /// [`inverses::asin`].
    Asin,
    /// [`inverses::acos`].
    Acos,
    /// [`inverses::atan`].
    Atan,
    /// [`inverses::sinh`].
    Sinh,
    /// [`inverses::cosh`].
    Cosh,
    /// [`inverses::asinh`].
    Asinh,
    /// [`inverses::acosh`].
    Acosh,
    /// [`inverses::atanh`].
    Atanh,
    /// `x + bias` below -lambda, `x - bias` above lambda, else 0; 0 for NaN.
    Shrink {
        /** The half width of what becomes 0. */
        lambda: f32,
        /** What is taken off the magnitude of the rest. */
        bias: f32,
    },
    /// `min(max(x, lo), hi)`; NaN stays.
    Clip {
        /** The lower bound. */
        lo: f32,
        /** The upper bound. */
        hi: f32,
    },
}

/// `out = op(x)`, elementwise; equal lengths.
pub fn run(k: impl Has<Entries>, op: Unary, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "output");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().unary.code())(op, x, out) }
}

/// `x = op(x)`, elementwise, by way of a small block that stays in the first-level cache.
pub fn run_in_place(k: impl Has<Entries>, op: Unary, x: &mut [f32]) {
    let mut block = [0.0; 512];
    for x in x.chunks_mut(block.len()) {
        let block = &mut block[..x.len()];
        block.copy_from_slice(x);
        run(k, op, block, x);
    }
}

#[inline(always)]
fn map(x: &[f32], out: &mut [f32], f: impl Fn(f32) -> f32) {
    for (y, &x) in out.iter_mut().zip(x) {
        *y = f(x);
    }
}

#[inline(always)]
fn elu(x: f32, alpha: f32) -> f32 {
    let below = alpha * math::expm1(x);
    if x > 0.0 { x } else { below }
}

#[inline(always)]
fn celu(x: f32, alpha: f32) -> f32 {
    let below = alpha * math::expm1(x / alpha);
    if x > 0.0 { x } else { below }
}

#[inline(always)]
fn shrink(x: f32, lambda: f32, bias: f32) -> f32 {
    let above = if x > lambda { x - bias } else { 0.0 };
    if x < -lambda { x + bias } else { above }
}

#[inline(always)]
pub(super) fn kernel(op: Unary, x: &[f32], out: &mut [f32]) {
    match op {
        Unary::Relu => map(x, out, |x| if x <= 0.0 { 0.0 } else { x }),
        Unary::LeakyRelu { alpha } => map(x, out, |x| if x < 0.0 { alpha * x } else { x }),
        Unary::Elu { alpha } => map(x, out, |x| elu(x, alpha)),
        Unary::Selu { alpha, gamma } => map(x, out, |x| gamma * elu(x, alpha)),
        Unary::Celu { alpha } => map(x, out, |x| celu(x, alpha)),
        Unary::ThresholdedRelu { alpha } => map(x, out, |x| if x <= alpha { 0.0 } else { x }),
        Unary::Sigmoid => map(x, out, math::sigmoid),
        Unary::Tanh => map(x, out, math::tanh),
        Unary::HardSigmoid { alpha, beta } => map(x, out, |x| math::hard_sigmoid(x, alpha, beta)),
        Unary::HardSwish => map(x, out, |x| x * math::hard_sigmoid(x, 1.0 / 6.0, 0.5)),
        Unary::Gelu { tanh: false } => map(x, out, math::gelu),
        Unary::Gelu { tanh: true } => map(x, out, math::gelu_tanh),
        Unary::Softplus => map(x, out, math::softplus),
        Unary::Softsign => map(x, out, |x| x / (1.0 + x.abs())),
        Unary::Mish => map(x, out, math::mish),
        Unary::Swish { alpha } => map(x, out, |x| x * math::sigmoid(alpha * x)),
        Unary::Exp => map(x, out, math::exp),
        Unary::Log => map(x, out, math::log),
        Unary::Sqrt => map(x, out, f32::sqrt),
        Unary::Reciprocal => map(x, out, |x| 1.0 / x),
        Unary::Abs => map(x, out, f32::abs),
        Unary::Neg => map(x, out, |x| -x),
        Unary::Sign => map(x, out, math::sign),
        Unary::Floor => map(x, out, math::floor),
        Unary::Ceil => map(x, out, math::ceil),
        Unary::Round => map(x, out, math::round_even),
        Unary::Erf => map(x, out, math::erf),
        Unary::Sin => trigonometry::sin(x, out),
        Unary::Cos => trigonometry::cos(x, out),
        Unary::Tan => trigonometry::tan(x, out),
        Unary::Asin => map(x, out, inverses::asin),
        Unary::Acos => map(x, out, inverses::acos),
        Unary::Atan => map(x, out, inverses::atan),
        Unary::Sinh => map(x, out, inverses::sinh),
        Unary::Cosh => map(x, out, inverses::cosh),
        Unary::Asinh => map(x, out, inverses::asinh),
        Unary::Acosh => map(x, out, inverses::acosh),
        Unary::Atanh => map(x, out, inverses::atanh),
        Unary::Shrink { lambda, bias } => map(x, out, |x| shrink(x, lambda, bias)),
        Unary::Clip { lo, hi } => map(x, out, |x| math::minimum(math::maximum(x, lo), hi)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::table::Kernels;

    #[test]
    fn in_place_is_the_same() {
        for k in available().into_iter().filter_map(Kernels::new) {
            for length in (0..40).chain([511, 512, 513, 1024, 1300]) {
                let x: Vec<f32> = (0..length).map(|i| (i * 37 % 401) as f32 / 70.0 - 2.5).collect();
                let (mut out, mut in_place) = (vec![9.0; length], x.clone());
                run(k, Unary::Mish, &x, &mut out);
                run_in_place(k, Unary::Mish, &mut in_place);
                assert_eq!(out, in_place, "{} {length}", k.isa());
                assert!((0..length).all(|i| out[i] == math::mish(x[i])), "{} {length}", k.isa());
            }
        }
    }

    /// Sine, cosine and tangent go through blocks of 64, those with a large number by another way.
    #[test]
    fn a_large_angle_changes_no_other() {
        for (k, op) in available()
            .into_iter()
            .filter_map(Kernels::new)
            .flat_map(|k| [Unary::Sin, Unary::Cos, Unary::Tan].map(|op| (k, op)))
        {
            let x: Vec<f32> = (0..200).map(|i| (i * 37 % 401) as f32 * 163.0 - 30_000.0).collect();
            let mut expected = vec![9.0; 200];
            run(k, op, &x, &mut expected);
            for large in [65_535.996f32, 65_536.0, -65_536.0, 1e30, f32::NAN, f32::INFINITY] {
                let mut alone = [9.0];
                run(k, op, &[large], &mut alone);
                for at in [0, 63, 64, 127, 130, 199] {
                    let (mut x, mut y) = (x.clone(), vec![9.0f32; 200]);
                    x[at] = large;
                    run(k, op, &x, &mut y);
                    let right = |i: usize| if i == at { alone[0] } else { expected[i] };
                    let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                    assert!((0..200).all(|i| same(y[i], right(i))), "{} {op:?} {large} at {at}", k.isa());
                }
            }
        }
    }
}
