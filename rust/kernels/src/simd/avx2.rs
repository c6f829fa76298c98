//! A 256-bit register.

use std::arch::asm;
use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::Vector;

/// A register of AVX2.
pub(crate) type Ymm = YmmOf<Words>;

/// The same with the dot product `P`.
pub(crate) struct YmmOf<P>(pub(crate) __m256i, PhantomData<P>);

/// What [`Vector::dot`] is.
///
/// # Safety
/// As [`Vector`].
pub(crate) trait Product {
    /// `sums`, and in each lane its products added.
    unsafe fn add(sums: __m256i, values: __m256i, weights: __m256i) -> __m256i;
}

/// Of the two words of each lane.
pub(crate) struct Words;

impl Product for Words {
    #[inline(always)]
    unsafe fn add(sums: __m256i, values: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(values, weights)) }
    }
}

impl<P> YmmOf<P> {
    /// The register.
    #[inline(always)]
    pub(crate) fn new(lanes: __m256i) -> Self {
        YmmOf(lanes, PhantomData)
    }
}

impl<P> Clone for YmmOf<P> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for YmmOf<P> {}

/// Methods that are one intrinsic of two registers.
macro_rules! binary {
    ($($name:ident = $intrinsic:ident;)*) => {
        $(
            #[inline(always)]
            unsafe fn $name(self, other: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { YmmOf::new($intrinsic(self.0, other.0)) }
            }
        )*
    };
}

/// Methods that are one intrinsic of two registers of floats.
macro_rules! binary_of_floats {
    ($($name:ident = $intrinsic:ident;)*) => {
        $(
            #[inline(always)]
            unsafe fn $name(self, other: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { of_floats($intrinsic(floats(self), floats(other))) }
            }
        )*
    };
}

/// The bits of a register as float32.
///
/// # Safety
/// The CPU has the tier.
#[inline(always)]
unsafe fn floats<P>(lanes: YmmOf<P>) -> __m256 {
    // SAFETY: the caller's.
    unsafe { _mm256_castsi256_ps(lanes.0) }
}

/// The bits of float32.
///
/// # Safety
/// The CPU has the tier.
#[inline(always)]
unsafe fn of_floats<P>(lanes: __m256) -> YmmOf<P> {
    // SAFETY: the caller's.
    unsafe { YmmOf::new(_mm256_castps_si256(lanes)) }
}

impl<P: Product> Vector for YmmOf<P> {
    const LANES: usize = 8;
    type Even = ();

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        // SAFETY: the caller's.
        unsafe { YmmOf::new(_mm256_set1_epi32(x)) }
    }

    #[inline(always)]
    unsafe fn splat_words(x: i16) -> Self {
        // SAFETY: the caller's.
        unsafe { YmmOf::new(_mm256_set1_epi16(x)) }
    }

    #[inline(always)]
    unsafe fn splat_bytes(x: u8) -> Self {
        // SAFETY: the caller's.
        unsafe { YmmOf::new(_mm256_set1_epi8(x as i8)) }
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self {
        // SAFETY: the caller's.
        unsafe { YmmOf::new(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn words(from: *const u8) -> Self {
        // SAFETY: the caller's.
        unsafe { YmmOf::new(_mm256_cvtepu8_epi16(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, part: usize, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            let part = if part == 0 {
                _mm256_castsi256_si128(self.0)
            } else {
                _mm256_extracti128_si256::<1>(self.0)
            };
            _mm_storeu_si128(to.cast(), part);
        }
    }

    #[inline(always)]
    unsafe fn store_quarter(self, quarter: usize, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            let (low, high) = (_mm256_castsi256_si128(self.0), _mm256_extracti128_si256::<1>(self.0));
            let eight = match quarter {
                0 => _mm_cvtsi128_si64(low),
                1 => _mm_extract_epi64::<1>(low),
                2 => _mm_cvtsi128_si64(high),
                _ => _mm_extract_epi64::<1>(high),
            };
            to.cast::<i64>().write_unaligned(eight);
        }
    }

    binary! {
        add = _mm256_add_epi32;
        sub = _mm256_sub_epi32;
        max = _mm256_max_epi32;
        shift_left = _mm256_sllv_epi32;
        shift_right = _mm256_srav_epi32;
        mul_even = _mm256_mul_epi32;
        mul_low = _mm256_mullo_epi32;
        dot_words = _mm256_madd_epi16;
        sub_words = _mm256_sub_epi16;
        sum_words = _mm256_add_epi16;
        add_words = _mm256_adds_epi16;
        mul_low_words = _mm256_mullo_epi16;
        mul_high_words = _mm256_mulhi_epi16;
        max_bytes = _mm256_max_epu8;
        min_bytes = _mm256_min_epu8;
        unpack_low_bytes = _mm256_unpacklo_epi8;
        unpack_high_bytes = _mm256_unpackhi_epi8;
        unpack_low_words = _mm256_unpacklo_epi16;
        unpack_high_words = _mm256_unpackhi_epi16;
        unpack_low_lanes = _mm256_unpacklo_epi32;
        unpack_high_lanes = _mm256_unpackhi_epi32;
        unpack_low_pairs = _mm256_unpacklo_epi64;
        unpack_high_pairs = _mm256_unpackhi_epi64;
        pack_words = _mm256_packs_epi32;
        pack_bytes = _mm256_packus_epi16;
    }

    #[inline(always)]
    unsafe fn dot(self, values: Self, weights: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { YmmOf::new(P::add(self.0, values.0, weights.0)) }
    }

    #[inline(always)]
    unsafe fn to_floats(self) -> Self {
        // SAFETY: the caller's.
        unsafe { of_floats(_mm256_cvtepi32_ps(self.0)) }
    }

    #[inline(always)]
    unsafe fn to_integers(self) -> Self {
        // SAFETY: the caller's.
        unsafe { YmmOf::new(_mm256_cvtps_epi32(floats(self))) }
    }

    binary_of_floats! {
        add_floats = _mm256_add_ps;
        mul_floats = _mm256_mul_ps;
        div_floats = _mm256_div_ps;
        max_floats = _mm256_max_ps;
        min_floats = _mm256_min_ps;
    }

    #[inline(always)]
    unsafe fn fma_floats(self, factor: Self, sum: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { of_floats(_mm256_fmadd_ps(floats(self), floats(factor), floats(sum))) }
    }

    #[inline(always)]
    unsafe fn clamp_floats(self, lo: Self, hi: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let (x, lo) = (floats(self), floats(lo));
            let raised = _mm256_blendv_ps(x, lo, _mm256_cmp_ps::<_CMP_LE_OQ>(x, lo));
            // Of two operands that do not compare, the minimum is the second: NaN stays.
            of_floats(_mm256_min_ps(floats(hi), raised))
        }
    }

    #[inline(always)]
    unsafe fn where_number(self, of: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let is_number = _mm256_cmp_ps::<_CMP_ORD_Q>(floats(of), floats(of));
            of_floats(_mm256_and_ps(floats(self), is_number))
        }
    }

    #[inline(always)]
    unsafe fn odd_lanes(self) -> Self {
        // SAFETY: the caller's.
        unsafe { YmmOf::new(odd_lanes(self.0)) }
    }

    #[inline(always)]
    unsafe fn even() {}

    #[inline(always)]
    unsafe fn high_halves(even_products: Self, odd_products: Self, _: ()) -> Self {
        // SAFETY: the caller's.
        unsafe { YmmOf::new(_mm256_blend_epi32::<0b1010_1010>(even_products.odd_lanes().0, odd_products.0)) }
    }

    /// There is no arithmetic shift of 64 bits, so the sum is made positive for a logical one by 2^62, a multiple of every
    /// 2^shift, and what that adds is taken off again.
    #[inline(always)]
    unsafe fn scale_even(acc: Self, multiplier: Self, shift: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let shift = _mm256_and_si256(shift.0, _mm256_set1_epi64x(0xffff_ffff));
            let one = _mm256_set1_epi64x(1);
            let round = _mm256_sllv_epi64(one, _mm256_sub_epi64(shift, one));
            let lifted = _mm256_set1_epi64x(1 << 62);
            let sum = _mm256_add_epi64(acc.mul_even(multiplier).0, round);
            let shifted = _mm256_srlv_epi64(_mm256_add_epi64(sum, lifted), shift);
            let scaled = _mm256_sub_epi64(shifted, _mm256_srlv_epi64(lifted, shift));
            let limit = _mm256_set1_epi64x(i64::from(i16::MAX));
            let below = _mm256_blendv_epi8(scaled, limit, _mm256_cmpgt_epi64(scaled, limit));
            let floor = _mm256_set1_epi64x(-i64::from(i16::MAX));
            YmmOf::new(_mm256_blendv_epi8(below, floor, _mm256_cmpgt_epi64(floor, below)))
        }
    }

    #[inline(always)]
    unsafe fn join_even(even: Self, odd: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { YmmOf::new(_mm256_blend_epi32::<0b1010_1010>(even.0, _mm256_slli_epi64::<32>(odd.0))) }
    }

    #[inline(always)]
    unsafe fn pack_threes(self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
            YmmOf::new(_mm256_shuffle_epi8(self.0, _mm256_broadcastsi128_si256(order)))
        }
    }

    #[inline(always)]
    unsafe fn in_order(self) -> Self {
        // SAFETY: the caller's.
        unsafe { YmmOf::new(_mm256_permutevar8x32_epi32(self.0, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))) }
    }
}

/// Not by a shift: the compiler would make a 64-bit multiplication of what follows.
#[inline]
#[target_feature(enable = "avx2")]
fn odd_lanes(value: __m256i) -> __m256i {
    let odd;
    // SAFETY: the instruction is AVX and touches registers alone.
    unsafe {
        asm!("vmovshdup {0}, {1}", out(ymm_reg) odd, in(ymm_reg) value,
             options(pure, nomem, nostack, preserves_flags));
    }
    odd
}
