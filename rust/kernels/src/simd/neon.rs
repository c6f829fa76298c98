//! Two registers of 128 bits side by side: as many lanes as AVX2 has, so that what is written over them has two chains to
//! go on with while one waits.

use std::arch::aarch64::*;
use std::arch::asm;
use std::array::from_fn;
use std::marker::PhantomData;

use super::Vector;

/// Two registers of NEON, with the dot product `D`.
pub(crate) struct Qs<D = Words>(pub(crate) [int32x4_t; 2], PhantomData<D>);

/// What [`Vector::dot`] is.
///
/// # Safety
/// As [`Vector`].
pub(crate) trait Product {
    /// `sums`, and in each lane its products added.
    unsafe fn add(sums: [int32x4_t; 2], values: [int32x4_t; 2], weights: [int32x4_t; 2]) -> [int32x4_t; 2];
}

/// Of the two words of each lane.
pub(crate) struct Words;

impl Product for Words {
    #[inline(always)]
    unsafe fn add(sums: [int32x4_t; 2], values: [int32x4_t; 2], weights: [int32x4_t; 2]) -> [int32x4_t; 2] {
        // SAFETY: the caller's.
        from_fn(|i| unsafe { vaddq_s32(sums[i], dot_words(values[i], weights[i])) })
    }
}

/// Of the words of eight lanes in one register, and of as many in the other.
pub(crate) struct Apart;

impl Product for Apart {
    #[inline(always)]
    unsafe fn add(sums: [int32x4_t; 2], values: [int32x4_t; 2], weights: [int32x4_t; 2]) -> [int32x4_t; 2] {
        let mut sums = sums;
        for tap in 0..2 {
            // SAFETY: the caller's.
            unsafe {
                let (x, w) = (vreinterpretq_s16_s32(values[tap]), vreinterpretq_s16_s32(weights[tap]));
                sums[0] = vmlal_s16(sums[0], vget_low_s16(x), vget_low_s16(w));
                sums[1] = vmlal_high_s16(sums[1], x, w);
            }
        }
        sums
    }
}

/// Of the four bytes of each lane, signed both.
pub(crate) struct SignedBytes;
/// Of the four bytes of each lane, unsigned values and signed weights.
pub(crate) struct Bytes;

/// A product that is one instruction for each register.
macro_rules! dot_of_bytes {
    ($name:ident, $instruction:literal) => {
        impl Product for $name {
            #[inline(always)]
            unsafe fn add(sums: [int32x4_t; 2], values: [int32x4_t; 2], weights: [int32x4_t; 2]) -> [int32x4_t; 2] {
                let [mut low, mut high] = sums;
                // SAFETY: the caller's; the instructions touch registers alone.
                unsafe {
                    asm!(
                        concat!($instruction, " {low:v}.4s, {x0:v}.16b, {w0:v}.16b"),
                        concat!($instruction, " {high:v}.4s, {x1:v}.16b, {w1:v}.16b"),
                        low = inout(vreg) low,
                        high = inout(vreg) high,
                        x0 = in(vreg) values[0],
                        x1 = in(vreg) values[1],
                        w0 = in(vreg) weights[0],
                        w1 = in(vreg) weights[1],
                        options(pure, nomem, nostack, preserves_flags),
                    );
                }
                [low, high]
            }
        }
    };
}
dot_of_bytes!(SignedBytes, "sdot");
dot_of_bytes!(Bytes, "usdot");

impl<D> Clone for Qs<D> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Qs<D> {}

impl<D> Qs<D> {
    /// Of two registers.
    #[inline(always)]
    pub(crate) fn new(halves: [int32x4_t; 2]) -> Self {
        Qs(halves, PhantomData)
    }
}

/// The sums of the products of each lane's two words.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn dot_words(a: int32x4_t, b: int32x4_t) -> int32x4_t {
    // SAFETY: the caller's.
    unsafe {
        let (a, b) = (vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
        vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b))
    }
}

/// Methods that are one intrinsic of two registers, of a type of elements.
macro_rules! binary {
    ($($name:ident = $intrinsic:ident of $to:ident, $from:ident;)*) => {
        $(
            #[inline(always)]
            unsafe fn $name(self, other: Self) -> Self {
                // SAFETY: the caller's.
                Qs::new(from_fn(|i| unsafe { $from($intrinsic($to(self.0[i]), $to(other.0[i]))) }))
            }
        )*
    };
}

/// A register as it is.
#[inline(always)]
fn lanes(register: int32x4_t) -> int32x4_t {
    register
}

impl<D: Product> Vector for Qs<D> {
    const LANES: usize = 8;
    type Even = ();

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        // SAFETY: the caller's.
        Qs::new([unsafe { vdupq_n_s32(x) }; 2])
    }

    #[inline(always)]
    unsafe fn splat_words(x: i16) -> Self {
        // SAFETY: the caller's.
        Qs::new([unsafe { vreinterpretq_s32_s16(vdupq_n_s16(x)) }; 2])
    }

    #[inline(always)]
    unsafe fn splat_bytes(x: u8) -> Self {
        // SAFETY: the caller's.
        Qs::new([unsafe { vreinterpretq_s32_u8(vdupq_n_u8(x)) }; 2])
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self {
        // SAFETY: the caller's.
        Qs::new(from_fn(|i| unsafe { vreinterpretq_s32_u8(vld1q_u8(from.add(16 * i))) }))
    }

    #[inline(always)]
    unsafe fn words(from: *const u8) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let bytes = vld1q_u8(from);
            let words = [vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes)];
            Qs::new(from_fn(|i| vreinterpretq_s32_u16(words[i])))
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        for i in 0..2 {
            // SAFETY: the caller's.
            unsafe { self.store_part(i, to.add(16 * i)) };
        }
    }

    #[inline(always)]
    unsafe fn store_part(self, part: usize, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { vst1q_u8(to, vreinterpretq_u8_s32(self.0[part])) }
    }

    #[inline(always)]
    unsafe fn store_quarter(self, quarter: usize, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            let half = vreinterpretq_u8_s32(self.0[quarter / 2]);
            vst1_u8(to, if quarter.is_multiple_of(2) { vget_low_u8(half) } else { vget_high_u8(half) });
        }
    }

    binary! {
        add = vaddq_s32 of lanes, lanes;
        sub = vsubq_s32 of lanes, lanes;
        max = vmaxq_s32 of lanes, lanes;
        shift_left = vshlq_s32 of lanes, lanes;
        mul_low = vmulq_s32 of lanes, lanes;
        dot_words = dot_words of lanes, lanes;
        sub_words = vsubq_s16 of vreinterpretq_s16_s32, vreinterpretq_s32_s16;
        sum_words = vaddq_s16 of vreinterpretq_s16_s32, vreinterpretq_s32_s16;
        add_words = vqaddq_s16 of vreinterpretq_s16_s32, vreinterpretq_s32_s16;
        mul_low_words = vmulq_s16 of vreinterpretq_s16_s32, vreinterpretq_s32_s16;
        mul_high_words = mul_high_words of vreinterpretq_s16_s32, vreinterpretq_s32_s16;
        max_bytes = vmaxq_u8 of vreinterpretq_u8_s32, vreinterpretq_s32_u8;
        min_bytes = vminq_u8 of vreinterpretq_u8_s32, vreinterpretq_s32_u8;
        unpack_low_bytes = vzip1q_u8 of vreinterpretq_u8_s32, vreinterpretq_s32_u8;
        unpack_high_bytes = vzip2q_u8 of vreinterpretq_u8_s32, vreinterpretq_s32_u8;
        unpack_low_words = vzip1q_s16 of vreinterpretq_s16_s32, vreinterpretq_s32_s16;
        unpack_high_words = vzip2q_s16 of vreinterpretq_s16_s32, vreinterpretq_s32_s16;
        unpack_low_lanes = vzip1q_s32 of lanes, lanes;
        unpack_high_lanes = vzip2q_s32 of lanes, lanes;
        unpack_low_pairs = vzip1q_s64 of vreinterpretq_s64_s32, vreinterpretq_s32_s64;
        unpack_high_pairs = vzip2q_s64 of vreinterpretq_s64_s32, vreinterpretq_s32_s64;
        pack_words = pack_words of lanes, vreinterpretq_s32_s16;
        pack_bytes = pack_bytes of vreinterpretq_s16_s32, vreinterpretq_s32_u8;
        mul_even = mul_even of lanes, vreinterpretq_s32_s64;
        add_floats = vaddq_f32 of vreinterpretq_f32_s32, vreinterpretq_s32_f32;
        mul_floats = vmulq_f32 of vreinterpretq_f32_s32, vreinterpretq_s32_f32;
        div_floats = vdivq_f32 of vreinterpretq_f32_s32, vreinterpretq_s32_f32;
        max_floats = max_floats of vreinterpretq_f32_s32, vreinterpretq_s32_f32;
        min_floats = min_floats of vreinterpretq_f32_s32, vreinterpretq_s32_f32;
    }

    #[inline(always)]
    unsafe fn shift_right(self, by: Self) -> Self {
        // SAFETY: the caller's.
        Qs::new(from_fn(|i| unsafe { vshlq_s32(self.0[i], vnegq_s32(by.0[i])) }))
    }

    #[inline(always)]
    unsafe fn dot(self, values: Self, weights: Self) -> Self {
        // SAFETY: the caller's.
        Qs::new(unsafe { D::add(self.0, values.0, weights.0) })
    }

    #[inline(always)]
    unsafe fn odd_lanes(self) -> Self {
        // SAFETY: the caller's.
        Qs::new(from_fn(|i| unsafe { vtrn2q_s32(self.0[i], self.0[i]) }))
    }

    #[inline(always)]
    unsafe fn even() {}

    #[inline(always)]
    unsafe fn high_halves(even_products: Self, odd_products: Self, _: ()) -> Self {
        // SAFETY: the caller's.
        Qs::new(from_fn(|i| unsafe { vtrn2q_s32(even_products.0[i], odd_products.0[i]) }))
    }

    #[inline(always)]
    unsafe fn scale_even(acc: Self, multiplier: Self, shift: Self) -> Self {
        // SAFETY: the caller's.
        Qs::new(from_fn(|i| unsafe {
            let product = mul_even(acc.0[i], multiplier.0[i]);
            let shift = vandq_s64(vreinterpretq_s64_s32(shift.0[i]), vdupq_n_s64(0xffff_ffff));
            let rounded = vrshlq_s64(product, vnegq_s64(shift));
            // Held twice: to int32 in one instruction, then to the words.
            let narrow = vmovl_s32(vqmovn_s64(rounded));
            let limit = vdupq_n_s32(i32::from(i16::MAX));
            vmaxq_s32(vminq_s32(vreinterpretq_s32_s64(narrow), limit), vnegq_s32(limit))
        }))
    }

    #[inline(always)]
    unsafe fn join_even(even: Self, odd: Self) -> Self {
        // SAFETY: the caller's.
        Qs::new(from_fn(|i| unsafe { vtrn1q_s32(even.0[i], odd.0[i]) }))
    }

    #[inline(always)]
    unsafe fn to_floats(self) -> Self {
        // SAFETY: the caller's.
        Qs::new(from_fn(|i| unsafe { vreinterpretq_s32_f32(vcvtq_f32_s32(self.0[i])) }))
    }

    #[inline(always)]
    unsafe fn to_integers(self) -> Self {
        // SAFETY: the caller's.
        Qs::new(from_fn(|i| unsafe { vcvtnq_s32_f32(vreinterpretq_f32_s32(self.0[i])) }))
    }

    #[inline(always)]
    unsafe fn fma_floats(self, factor: Self, sum: Self) -> Self {
        // SAFETY: the caller's.
        Qs::new(from_fn(|i| unsafe {
            let [x, factor, sum] = [self.0[i], factor.0[i], sum.0[i]].map(|x| vreinterpretq_f32_s32(x));
            vreinterpretq_s32_f32(vfmaq_f32(sum, x, factor))
        }))
    }

    #[inline(always)]
    unsafe fn clamp_floats(self, lo: Self, hi: Self) -> Self {
        // SAFETY: the caller's.
        Qs::new(from_fn(|i| unsafe {
            let [x, lo, hi] = [self.0[i], lo.0[i], hi.0[i]].map(|x| vreinterpretq_f32_s32(x));
            let raised = vbslq_f32(vcleq_f32(x, lo), lo, x);
            vreinterpretq_s32_f32(vbslq_f32(vcgtq_f32(raised, hi), hi, raised))
        }))
    }

    #[inline(always)]
    unsafe fn where_number(self, of: Self) -> Self {
        // SAFETY: the caller's.
        Qs::new(from_fn(|i| unsafe {
            let of = vreinterpretq_f32_s32(of.0[i]);
            vandq_s32(self.0[i], vreinterpretq_s32_u32(vceqq_f32(of, of)))
        }))
    }

    #[inline(always)]
    unsafe fn pack_threes(self) -> Self {
        const ORDER: [u8; 16] = [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15];
        // SAFETY: the caller's; the order has 16 places.
        unsafe {
            let order = vld1q_u8(ORDER.as_ptr());
            let packed = |part| vreinterpretq_s32_u8(vqtbl1q_u8(vreinterpretq_u8_s32(part), order));
            Qs::new(self.0.map(packed))
        }
    }

    #[inline(always)]
    unsafe fn in_order(self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let [low, high] = self.0;
            Qs::new([vzip1q_s32(low, high), vzip2q_s32(low, high)])
        }
    }
}

/// The 64-bit products of the even lanes.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn mul_even(a: int32x4_t, b: int32x4_t) -> int64x2_t {
    // SAFETY: the caller's.
    unsafe { vmull_s32(vmovn_s64(vreinterpretq_s64_s32(a)), vmovn_s64(vreinterpretq_s64_s32(b))) }
}

/// The high halves of the products of words.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn mul_high_words(a: int16x8_t, b: int16x8_t) -> int16x8_t {
    // SAFETY: the caller's.
    unsafe {
        let (low, high) = (vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
        vuzp2q_s16(vreinterpretq_s16_s32(low), vreinterpretq_s16_s32(high))
    }
}

/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn pack_words(a: int32x4_t, b: int32x4_t) -> int16x8_t {
    // SAFETY: the caller's.
    unsafe { vqmovn_high_s32(vqmovn_s32(a), b) }
}

/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn pack_bytes(a: int16x8_t, b: int16x8_t) -> uint8x16_t {
    // SAFETY: the caller's.
    unsafe { vqmovun_high_s16(vqmovun_s16(a), b) }
}

/// As [`Vector::max_floats`]: NEON's own maximum is NaN where one is.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn max_floats(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: the caller's.
    unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
}

/// As [`Vector::min_floats`].
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn min_floats(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: the caller's.
    unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
}
