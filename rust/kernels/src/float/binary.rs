//! Functions of two tensors.

use std::ops::{Add, Div, Mul, Sub};

use super::math;
use super::power::pow;
use crate::isa::{Entry, Has};

type Run = unsafe fn(Binary, &[f32], &[f32], &mut [f32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// Functions of two tensors.
    pub binary: Entry<Run>,
}

crate::plain::plain_tiers!(Entries {
    binary(op: Binary, a: &[f32], b: &[f32], out: &mut [f32]) = kernel as "f32-binary";
});

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
pub fn run(k: impl Has<Entries>, op: Binary, a: &[f32], b: &[f32], out: &mut [f32]) {
    assert!(a.len() == out.len() || a.len() == 1, "left side");
    assert!(b.len() == out.len() || b.len() == 1, "right side");
    // SAFETY: `k` proves that the CPU has the tier's features; the code itself is safe.
    unsafe { (k.entries().binary.code())(op, a, b, out) }
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
        Binary::Pow if *b == [2.0] && a.len() == out.len() => {
            out.iter_mut().zip(a).for_each(|(y, x)| *y = x * x);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::table::Kernels;

    #[test]
    fn one_element_stands_for_all() {
        const ALL: [Binary; 8] = [
            Binary::Add,
            Binary::Sub,
            Binary::Mul,
            Binary::Div,
            Binary::Pow,
            Binary::Max,
            Binary::Min,
            Binary::PRelu,
        ];
        for k in available().into_iter().filter_map(Kernels::new) {
            for (op, length) in ALL.into_iter().flat_map(|op| (0..40).map(move |length| (op, length))) {
                let many: Vec<f32> = (0..length).map(|i| (i * 37 % 41) as f32 / 7.0 - 2.5).collect();
                for one in [-1.5, 0.0, 2.0, 2.25] {
                    let splat = vec![one; length];
                    let sides: [[&[f32]; 2]; 3] = [[&many, &[one]], [&[one], &many], [&[one], &[one]]];
                    let whole = [[&many, &splat], [&splat, &many], [&splat, &splat]];
                    for ([a, b], [whole_a, whole_b]) in sides.into_iter().zip(whole) {
                        let (mut given, mut expected) = (vec![9.0f32; length], vec![7.0f32; length]);
                        run(k, op, a, b, &mut given);
                        run(k, op, whole_a, whole_b, &mut expected);
                        let same =
                            |(g, e): (&f32, &f32)| g.to_bits() == e.to_bits() || g.is_nan() && e.is_nan();
                        assert!(given.iter().zip(&expected).all(same), "{} {op:?} {length} {one}", k.isa());
                    }
                }
            }
        }
    }

    #[test]
    fn other_lengths_are_refused() {
        let is_refused = |a: usize, b: usize, out: usize| {
            let run = || run(Kernels::best(), Binary::Add, &vec![1.0; a], &vec![1.0; b], &mut vec![0.0; out]);
            std::panic::catch_unwind(run).is_err()
        };
        assert!(!is_refused(3, 3, 3) && !is_refused(1, 3, 3) && !is_refused(3, 1, 3));
        assert!(is_refused(2, 3, 3) && is_refused(3, 2, 3) && is_refused(3, 3, 2) && is_refused(0, 3, 3));
    }
}
