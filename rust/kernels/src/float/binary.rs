//! Functions of two tensors.

use std::ops::{Add, Div, Mul, Sub};

use super::math;
use super::power::pow;
use crate::isa::Kernels;

/// A function of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`, correctly rounded.
    Div,
    /// [`pow`].
    Pow,
    /// [`math::maximum`].
    Max,
    /// [`math::minimum`].
    Min,
    /// a from 0 on, else `a * b`: b is the slope.
    PRelu,
}

/// `out = op(a, b)`, elementwise; a and b have `out`'s length, or one of them a single element for all.
pub fn run(k: Kernels, op: Binary, a: &[f32], b: &[f32], out: &mut [f32]) {
    assert!(a.len() == out.len() || a.len() == 1, "left side");
    assert!(b.len() == out.len() || b.len() == 1, "right side");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.row().float.binary.run)(op, a, b, out) }
}

/// `$f` over both sides. A macro, for a closure that is called in several places may not be inlined, and would then be
/// compiled without the tier's features.
macro_rules! map {
    ($a:ident, $b:ident, $out:ident, $f:expr) => {
        if $a.len() == $out.len() && $b.len() == $out.len() {
            for ((y, &a), &b) in $out.iter_mut().zip($a).zip($b) {
                *y = $f(a, b);
            }
        } else if $a.len() == $out.len() {
            let b = $b[0];
            for (y, &a) in $out.iter_mut().zip($a) {
                *y = $f(a, b);
            }
        } else if $b.len() == $out.len() {
            let a = $a[0];
            for (y, &b) in $out.iter_mut().zip($b) {
                *y = $f(a, b);
            }
        } else {
            $out.fill($f($a[0], $b[0]));
        }
    };
}

#[inline(always)]
pub(super) fn kernel(op: Binary, a: &[f32], b: &[f32], out: &mut [f32]) {
    match op {
        Binary::Add => map!(a, b, out, f32::add),
        Binary::Sub => map!(a, b, out, f32::sub),
        Binary::Mul => map!(a, b, out, f32::mul),
        Binary::Div => map!(a, b, out, f32::div),
        Binary::Pow => map!(a, b, out, pow),
        Binary::Max => map!(a, b, out, math::maximum),
        Binary::Min => map!(a, b, out, math::minimum),
        Binary::PRelu => map!(a, b, out, prelu),
    }
}

#[inline(always)]
fn prelu(a: f32, slope: f32) -> f32 {
    if a < 0.0 { a * slope } else { a }
}
