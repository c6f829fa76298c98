//! Sums and products of bytes in a tier's registers.

use super::{AddParams, MulParams, plain};
use crate::requantize::{Clamp, UniformScale, VectorAdd};
use crate::simd::Vector;

/// What becomes of two registers of bytes. A method rather than a closure, which the compiler would not inline.
trait Binary<V> {
    /// # Safety
    /// The CPU has the tier of `V`.
    unsafe fn apply(&self, a: V, b: V) -> V;
}

/// `out[i] = a[i] + b[i]`.
///
/// # Safety
/// The CPU has the tier of `V`.
#[inline(always)]
pub(super) unsafe fn add<V: Vector>(a: &[u8], b: &[u8], p: &AddParams, out: &mut [u8]) {
    if out.len() < V::BYTES {
        return plain::add_source(a, b, p, out);
    }
    // SAFETY: the caller's, and the length.
    unsafe { map(a, b, out, VectorAdd::<V>::new(p)) }
}

impl<V: Vector> Binary<V> for VectorAdd<V> {
    #[inline(always)]
    unsafe fn apply(&self, a: V, b: V) -> V {
        // SAFETY: the caller's.
        unsafe { VectorAdd::apply(self, a, b) }
    }
}

/// `out[i] = a[i] * b[i]`.
///
/// # Safety
/// The CPU has the tier of `V`.
#[inline(always)]
pub(super) unsafe fn mul<V: Vector>(a: &[u8], b: &[u8], p: &MulParams, out: &mut [u8]) {
    if out.len() < V::BYTES {
        return plain::mul_source(a, b, p, out);
    }
    // SAFETY: the caller's, and the length.
    unsafe {
        let Some(scale) = UniformScale::<V>::new(p.multiplier, p.shift, 255 * 255) else {
            return plain::mul_source(a, b, p, out);
        };
        let mul = VectorMul {
            a_zero_point: V::splat_words(p.a_zero_point as i16),
            b_zero_point: V::splat_words(p.b_zero_point as i16),
            scale,
            clamp: Clamp::new(p.y_zero_point, p.lo, p.hi),
        };
        map(a, b, out, mul);
    }
}

/// [`MulParams`] in registers.
struct VectorMul<V: Vector> {
    /// In each word.
    a_zero_point: V,
    /// In each word.
    b_zero_point: V,
    scale: UniformScale<V>,
    clamp: Clamp<V>,
}

impl<V: Vector> Binary<V> for VectorMul<V> {
    #[inline(always)]
    unsafe fn apply(&self, a: V, b: V) -> V {
        // SAFETY: the caller's.
        unsafe {
            let zero = V::splat(0);
            let [first, second] = self.scaled(a.unpack_low_bytes(zero), b.unpack_low_bytes(zero));
            let [third, fourth] = self.scaled(a.unpack_high_bytes(zero), b.unpack_high_bytes(zero));
            self.clamp.bytes([first, second, third, fourth])
        }
    }
}

impl<V: Vector> VectorMul<V> {
    /// The products of words, scaled: of the lower ones of each 128 bits, then of the upper ones.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    unsafe fn scaled(&self, a: V, b: V) -> [V; 2] {
        // SAFETY: the caller's.
        unsafe {
            let (a, b) = (a.sub_words(self.a_zero_point), b.sub_words(self.b_zero_point));
            let (low, high) = (a.mul_low_words(b), a.mul_high_words(b));
            [self.scale.apply(low.unpack_low_words(high)), self.scale.apply(low.unpack_high_words(high))]
        }
    }
}

/// `out[i]` is what becomes of `a[i]` and `b[i]`, a register at a time. The last one overlaps the one before it.
///
/// # Safety
/// The CPU has the tier of `V`; `out` is at least a register long.
#[inline(always)]
unsafe fn map<V: Vector>(a: &[u8], b: &[u8], out: &mut [u8], of: impl Binary<V>) {
    let length = out.len();
    let (a, b) = (&a[..length], &b[..length]);
    for at in (0..length).step_by(V::BYTES) {
        let at = at.min(length - V::BYTES);
        // SAFETY: the caller's; a register's bytes from `at` on lie inside the slices.
        unsafe {
            let (a, b) = (V::load_bytes(a.as_ptr().add(at)), V::load_bytes(b.as_ptr().add(at)));
            of.apply(a, b).store_bytes(out.as_mut_ptr().add(at));
        }
    }
}
