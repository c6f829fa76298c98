//! Integer elementwise arithmetic on uint8: add, mul, max, min.
//!
//! Operands have equal lengths, or one of them has length 1 and is a scalar for all of the other.

mod plain;
#[cfg(test)]
mod tests;
mod tiers;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vector;

use crate::isa::{Entry, Has};
pub use crate::requantize::AddParams;

pub(crate) use plain::SCALAR;
pub(crate) use tiers::{AVX2, AVX512VNNI, NEON};

/// The exact product `(a - a_zero_point) * (b - b_zero_point)`, requantized by `multiplier` and `shift`.
#[derive(Clone, Copy, Debug)]
pub struct MulParams {
    /// In `0..=255`.
    pub a_zero_point: i32,
    /// In `0..=255`.
    pub b_zero_point: i32,
    /// In `0..=255`.
    pub y_zero_point: i32,
    /// The requantization's multiplier.
    pub multiplier: i32,
    /// The requantization's shift, in `1..=62`.
    pub shift: u32,
    /// The smallest output.
    pub lo: i32,
    /// The largest output.
    pub hi: i32,
}

impl MulParams {
    fn assert_valid(&self) {
        let zero_points = [self.a_zero_point, self.b_zero_point, self.y_zero_point];
        assert!(zero_points.iter().all(|z| (0..=255).contains(z)), "{self:?}");
        assert!((1..=62).contains(&self.shift) && self.multiplier > i32::MIN, "{self:?}");
        assert!(0 <= self.lo && self.lo <= self.hi && self.hi <= 255, "{self:?}");
    }

    fn swapped(&self) -> MulParams {
        MulParams { a_zero_point: self.b_zero_point, b_zero_point: self.a_zero_point, ..*self }
    }
}

type RunAdd = unsafe fn(&[u8], &[u8], &AddParams, &mut [u8]);
type RunMul = unsafe fn(&[u8], &[u8], &MulParams, &mut [u8]);
type RunPick = unsafe fn(&[u8], &[u8], &mut [u8]);

/// One tier's elementwise kernels. Each asks for three slices of one length.
#[derive(Debug)]
pub struct Entries {
    /// See [`add`].
    pub add: Entry<RunAdd>,
    /// See [`mul`].
    pub mul: Entry<RunMul>,
    /// See [`max`].
    pub max: Entry<RunPick>,
    /// See [`min`].
    pub min: Entry<RunPick>,
}

/// How many scalars a broadcast operand is copied to; the other operand goes through in pieces of that many.
const SPLAT: usize = 512;

/// Calls `run` on pieces of equal length: the whole, or `SPLAT` at a time where an operand is a scalar. A scalar
/// `a` is passed second, and `run` is told.
fn broadcast(a: &[u8], b: &[u8], out: &mut [u8], mut run: impl FnMut(&[u8], &[u8], bool, &mut [u8])) {
    let splat = |scalar: &[u8], full: &[u8]| full.len() == out.len() && scalar.len() == 1;
    let (scalar, full, swapped) = if a.len() == b.len() {
        assert_eq!(a.len(), out.len(), "the lengths of a, b and the output");
        return run(a, b, false, out);
    } else if splat(b, a) {
        (b[0], a, false)
    } else if splat(a, b) {
        (a[0], b, true)
    } else {
        panic!("lengths {} and {} do not broadcast to {}", a.len(), b.len(), out.len());
    };
    let scalars = [scalar; SPLAT];
    for (full, out) in full.chunks(SPLAT).zip(out.chunks_mut(SPLAT)) {
        run(full, &scalars[..full.len()], swapped, out);
    }
}

/// The same sum with its operands' roles exchanged.
fn swap_operands(p: &AddParams) -> AddParams {
    AddParams {
        a_zero_point: p.b_zero_point,
        b_zero_point: p.a_zero_point,
        a_multiplier: p.b_multiplier,
        b_multiplier: p.a_multiplier,
        ..*p
    }
}

/// Adds two quantized tensors. Panics where lengths or parameters break their bounds.
pub fn add(k: impl Has<Entries>, a: &[u8], b: &[u8], p: &AddParams, out: &mut [u8]) {
    p.check();
    let swapped_params = swap_operands(p);
    broadcast(a, b, out, |a, b, swapped, out| {
        let p = if swapped { &swapped_params } else { p };
        // SAFETY: `k` proves the tier; the three slices have one length.
        unsafe { (k.entries().add.code())(a, b, p, out) }
    });
}

/// Multiplies two quantized tensors. Panics where lengths or parameters break their bounds.
pub fn mul(k: impl Has<Entries>, a: &[u8], b: &[u8], p: &MulParams, out: &mut [u8]) {
    p.assert_valid();
    let swapped_params = p.swapped();
    broadcast(a, b, out, |a, b, swapped, out| {
        let p = if swapped { &swapped_params } else { p };
        // SAFETY: `k` proves the tier; the three slices have one length.
        unsafe { (k.entries().mul.code())(a, b, p, out) }
    });
}

/// The larger of two values of one scale. Panics where the lengths do not broadcast.
pub fn max(k: impl Has<Entries>, a: &[u8], b: &[u8], out: &mut [u8]) {
    // SAFETY: `k` proves the tier; the three slices have one length.
    broadcast(a, b, out, |a, b, _, out| unsafe { (k.entries().max.code())(a, b, out) });
}

/// The smaller of two values of one scale. Panics where the lengths do not broadcast.
pub fn min(k: impl Has<Entries>, a: &[u8], b: &[u8], out: &mut [u8]) {
    // SAFETY: `k` proves the tier; the three slices have one length.
    broadcast(a, b, out, |a, b, _, out| unsafe { (k.entries().min.code())(a, b, out) });
}
