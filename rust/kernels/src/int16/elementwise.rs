//! Sums and products of two tensors of int16, element by element.
//!
//! Operands have equal lengths, or one of them has length 1 and is a scalar for all of the other.

use crate::isa::{Entry, Has};
use crate::requantize::words::{Scale, assert_clamp, assert_factor};

/// `clamp(floor((a * a_multiplier + b * b_multiplier + 2^(shift-1)) / 2^shift), lo, hi)`.
#[derive(Clone, Copy, Debug)]
pub struct AddParams {
    /// Below `2^15` in magnitude.
    pub a_multiplier: i32,
    /// Below `2^15` in magnitude.
    pub b_multiplier: i32,
    /// In `1..=30`.
    pub shift: u32,
    /// The smallest output.
    pub lo: i32,
    /// The largest output.
    pub hi: i32,
}

/// The exact product, requantized.
#[derive(Clone, Copy, Debug)]
pub struct MulParams {
    /// The requantization's multiplier.
    pub multiplier: i32,
    /// The requantization's shift, in `1..=62`.
    pub shift: u32,
    /// The smallest output.
    pub lo: i32,
    /// The largest output.
    pub hi: i32,
}

type RunAdd = unsafe fn(&[i16], &[i16], &AddParams, &mut [i16]);
type RunMul = unsafe fn(&[i16], &[i16], &MulParams, &mut [i16]);

/// One tier's kernels. Each asks for three slices of one length.
#[derive(Debug)]
pub struct Entries {
    /// See [`add`].
    pub add: Entry<RunAdd>,
    /// See [`mul`].
    pub mul: Entry<RunMul>,
}

crate::plain::fused_tiers!(Entries {
    add(a: &[i16], b: &[i16], p: &AddParams, out: &mut [i16]) = add_source as "i16-add";
    mul(a: &[i16], b: &[i16], p: &MulParams, out: &mut [i16]) = mul_source as "i16-mul";
});

/// Adds two tensors. Panics where lengths or parameters break their bounds.
pub fn add(k: impl Has<Entries>, a: &[i16], b: &[i16], p: &AddParams, out: &mut [i16]) {
    let is_short = |multiplier: i32| multiplier.unsigned_abs() < 1 << 15;
    assert!(is_short(p.a_multiplier) && is_short(p.b_multiplier) && (1..=30).contains(&p.shift), "{p:?}");
    assert_clamp(p.lo, p.hi);
    let swapped = AddParams { a_multiplier: p.b_multiplier, b_multiplier: p.a_multiplier, ..*p };
    broadcast(a, b, out, |a, b, is_swapped, out| {
        let p = if is_swapped { &swapped } else { p };
        // SAFETY: `k` proves the tier; the three slices have one length.
        unsafe { (k.entries().add.code())(a, b, p, out) }
    });
}

/// Multiplies two tensors. Panics where lengths or parameters break their bounds.
pub fn mul(k: impl Has<Entries>, a: &[i16], b: &[i16], p: &MulParams, out: &mut [i16]) {
    assert_factor(p.multiplier, p.shift);
    assert_clamp(p.lo, p.hi);
    // SAFETY: `k` proves the tier; the three slices have one length.
    broadcast(a, b, out, |a, b, _, out| unsafe { (k.entries().mul.code())(a, b, p, out) });
}

/// Calls `run` on pieces of equal length; a scalar `a` is passed second, and `run` is told.
fn broadcast(a: &[i16], b: &[i16], out: &mut [i16], mut run: impl FnMut(&[i16], &[i16], bool, &mut [i16])) {
    const SPLAT: usize = 512;
    if a.len() == b.len() {
        assert_eq!(a.len(), out.len(), "the lengths of a, b and the output");
        return run(a, b, false, out);
    }
    let is_swapped = a.len() == 1;
    let (scalar, full) = if is_swapped { (a, b) } else { (b, a) };
    assert!(
        scalar.len() == 1 && full.len() == out.len(),
        "lengths {} and {} do not broadcast to {}",
        a.len(),
        b.len(),
        out.len()
    );
    let scalars = [scalar[0]; SPLAT];
    for (full, out) in full.chunks(SPLAT).zip(out.chunks_mut(SPLAT)) {
        run(full, &scalars[..full.len()], is_swapped, out);
    }
}

/// Formula (12). The products sum to less than `2^31`; the rounding is added behind a shift, where it has room.
#[inline(always)]
fn add_source<const FUSED: bool>(a: &[i16], b: &[i16], p: &AddParams, out: &mut [i16]) {
    for ((&a, &b), out) in a.iter().zip(b).zip(out) {
        let sum = i32::from(a) * p.a_multiplier + i32::from(b) * p.b_multiplier;
        let rounded = ((sum >> (p.shift - 1)) + 1) >> 1;
        *out = rounded.clamp(p.lo, p.hi) as i16;
    }
}

#[inline(always)]
fn mul_source<const FUSED: bool>(a: &[i16], b: &[i16], p: &MulParams, out: &mut [i16]) {
    let scale = Scale::<FUSED>::new(p.multiplier, p.shift, p.lo, p.hi);
    for ((&a, &b), out) in a.iter().zip(b).zip(out) {
        *out = scale.apply_short(i32::from(a) * i32::from(b));
    }
}
