//! The rule in vectors.
//!
//! Where [`is_exact_in_floats`](super::is_exact_in_floats) holds, float32 has the rule's bits: [`FloatScale`].
//! Where a shift is at least 33, the high half of the product is all that the rounding needs. A smaller one can be
//! raised to 33 where the sum has room to move left by as much: the quotient is the same.

use super::HIGH_SHIFT;
use super::floats::MAGIC;
use crate::simd::Vector;

/// `zero_point + floor((acc * M + 2^(S-1)) / 2^S)` by one rounding in float32, where [`is_exact_in_floats`](super::is_exact_in_floats) holds and a clamp
/// to bytes follows.
#[derive(Clone, Copy)]
pub(crate) struct FloatScale<V> {
    /// [`float_factor`](super::float_factor) of each lane.
    pub factor: V,
    /// [`MAGIC`] and the zero point.
    origin: V,
    /// The bits of [`MAGIC`].
    bits: V,
}

impl<V: Vector> FloatScale<V> {
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn new(factor: V, zero_point: i32) -> FloatScale<V> {
        let origin = MAGIC.0 + zero_point as f32;
        // SAFETY: the caller's.
        unsafe { FloatScale { factor, origin: V::splat(origin.to_bits() as i32), bits: V::splat(MAGIC.1) } }
    }

    /// The scaled sums.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn apply(&self, acc: V) -> V {
        // SAFETY: the caller's.
        unsafe { acc.to_floats().fma_floats(self.factor, self.origin).sub(self.bits) }
    }
}

/// The multipliers and shifts of a register's lanes, every shift at least 33.
#[derive(Clone, Copy)]
pub(crate) struct HighScale<V: Vector> {
    /// The multipliers of the even lanes.
    pub even_multiplier: V,
    /// The multipliers of the odd lanes, one lane down.
    pub odd_multiplier: V,
    /// `2^(shift - 33)`.
    pub round: V,
    /// `shift - 32`.
    pub shift: V,
    pub even: V::Even,
}

impl<V: Vector> HighScale<V> {
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn new(multiplier: V, shift: V) -> HighScale<V> {
        // SAFETY: the caller's.
        unsafe {
            HighScale {
                even_multiplier: multiplier,
                odd_multiplier: multiplier.odd_lanes(),
                round: V::splat(1).shift_left(shift.sub(V::splat(HIGH_SHIFT))),
                shift: shift.sub(V::splat(HIGH_SHIFT - 1)),
                even: V::even(),
            }
        }
    }

    /// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)`.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn apply(&self, acc: V) -> V {
        // SAFETY: the caller's.
        unsafe {
            let even = acc.mul_even(self.even_multiplier);
            let odd = acc.odd_lanes().mul_even(self.odd_multiplier);
            V::high_halves(even, odd, self.even).add(self.round).shift_right(self.shift)
        }
    }
}

/// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)` of each lane for every shift, held to the int16 that are far beyond a
/// byte.
///
/// # Safety
/// The CPU has the tier of `V`.
#[inline(always)]
pub(crate) unsafe fn scale_any<V: Vector>(acc: V, multiplier: V, shift: V) -> V {
    // SAFETY: the caller's.
    unsafe {
        let even = V::scale_even(acc, multiplier, shift);
        let odd = V::scale_even(acc.odd_lanes(), multiplier.odd_lanes(), shift.odd_lanes());
        V::join_even(even, odd)
    }
}

/// One multiplier and one shift for all lanes.
#[derive(Clone, Copy)]
pub(crate) struct UniformScale<V: Vector> {
    scale: HighScale<V>,
    /// By how much each sum moves left.
    left: V,
}

impl<V: Vector> UniformScale<V> {
    /// Of sums of at most `reach` in magnitude; `None` where the shift can neither stay nor be raised.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn new(multiplier: i32, shift: u32, reach: i64) -> Option<UniformScale<V>> {
        let left = (HIGH_SHIFT - shift as i32).max(0);
        if reach << left >= 1 << 31 {
            return None;
        }
        // SAFETY: the caller's.
        unsafe {
            let shift = V::splat(shift as i32 + left);
            Some(UniformScale { scale: HighScale::new(V::splat(multiplier), shift), left: V::splat(left) })
        }
    }

    /// `floor((acc * multiplier + 2^(shift-1)) / 2^shift)`.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn apply(&self, acc: V) -> V {
        // SAFETY: the caller's.
        unsafe { self.scale.apply(acc.shift_left(self.left)) }
    }
}

/// The smallest and the largest byte.
#[derive(Clone, Copy)]
pub(crate) struct Limits<V> {
    lo: V,
    hi: V,
}

impl<V: Vector> Limits<V> {
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn new(lo: i32, hi: i32) -> Limits<V> {
        // SAFETY: the caller's.
        unsafe { Limits { lo: V::splat_bytes(lo as u8), hi: V::splat_bytes(hi as u8) } }
    }

    /// Four registers of lanes as bytes within the limits, in the order that packs leave.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn bytes(&self, x: [V; 4]) -> V {
        // SAFETY: the caller's.
        unsafe { self.of_words(x[0].pack_words(x[1]), x[2].pack_words(x[3])) }
    }

    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    unsafe fn of_words(&self, x: V, y: V) -> V {
        // SAFETY: the caller's.
        unsafe { x.pack_bytes(y).max_bytes(self.lo).min_bytes(self.hi) }
    }
}

/// The end of a requantization: the zero point and the clamp.
#[derive(Clone, Copy)]
pub(crate) struct Clamp<V> {
    /// In each word.
    zero_point: V,
    limits: Limits<V>,
}

impl<V: Vector> Clamp<V> {
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn new(zero_point: i32, lo: i32, hi: i32) -> Clamp<V> {
        // SAFETY: the caller's.
        unsafe { Clamp { zero_point: V::splat_words(zero_point as i16), limits: Limits::new(lo, hi) } }
    }

    /// `clamp(x + zero_point, lo, hi)` of four registers, in the order that packs leave. Saturation at 16 bits changes
    /// nothing: what it cuts lies beyond both clamps.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn bytes(&self, x: [V; 4]) -> V {
        // SAFETY: the caller's.
        unsafe { self.limits.of_words(self.words(x[0], x[1]), self.words(x[2], x[3])) }
    }

    /// [`Clamp::bytes`] of two registers, which both halves of each 128 bits hold.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    pub unsafe fn bytes_of_two(&self, x: [V; 2]) -> V {
        // SAFETY: the caller's.
        unsafe {
            let words = self.words(x[0], x[1]);
            self.limits.of_words(words, words)
        }
    }

    /// Two registers as words, the zero point added.
    ///
    /// # Safety
    /// The CPU has the tier of `V`.
    #[inline(always)]
    unsafe fn words(&self, x: V, y: V) -> V {
        // SAFETY: the caller's.
        unsafe { x.pack_words(y).add_words(self.zero_point) }
    }
}
