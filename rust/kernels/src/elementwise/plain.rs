//! The elementwise loops, which the compiler vectorises for each tier.

use super::{AddParams, Entries, MulParams};
use crate::requantize::requantize;

crate::plain::plain_tiers!(Entries {
    add(a: &[u8], b: &[u8], p: &AddParams, out: &mut [u8]) = add_source as "u8-add";
    mul(a: &[u8], b: &[u8], p: &MulParams, out: &mut [u8]) = mul_source as "u8-mul";
    max(a: &[u8], b: &[u8], out: &mut [u8]) = max_source as "u8-max";
    min(a: &[u8], b: &[u8], out: &mut [u8]) = min_source as "u8-min";
});

#[inline(always)]
pub(super) fn add_source(a: &[u8], b: &[u8], p: &AddParams, out: &mut [u8]) {
    for ((&a, &b), out) in a.iter().zip(b).zip(out) {
        *out = p.apply(a, b);
    }
}

#[inline(always)]
pub(super) fn mul_source(a: &[u8], b: &[u8], p: &MulParams, out: &mut [u8]) {
    for ((&a, &b), out) in a.iter().zip(b).zip(out) {
        let product = (i32::from(a) - p.a_zero_point) * (i32::from(b) - p.b_zero_point);
        *out = requantize(product, p.multiplier, p.shift, p.y_zero_point, p.lo, p.hi);
    }
}

#[inline(always)]
fn max_source(a: &[u8], b: &[u8], out: &mut [u8]) {
    for ((&a, &b), out) in a.iter().zip(b).zip(out) {
        *out = a.max(b);
    }
}

#[inline(always)]
fn min_source(a: &[u8], b: &[u8], out: &mut [u8]) {
    for ((&a, &b), out) in a.iter().zip(b).zip(out) {
        *out = a.min(b);
    }
}
