//! A 512-bit register.

use std::arch::asm;
use std::arch::x86_64::*;

use super::Vector;

/// A register of AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Zmm(pub(crate) __m512i);

/// Methods that are one intrinsic of two registers.
macro_rules! binary {
    ($($name:ident = $intrinsic:ident;)*) => {
        $(
            #[inline(always)]
            unsafe fn $name(self, other: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { Zmm($intrinsic(self.0, other.0)) }
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

impl Zmm {
    /// One of the four quarters.
    ///
    /// # Safety
    /// The CPU has AVX-512.
    #[inline(always)]
    pub(crate) unsafe fn quarter(self, quarter: usize) -> __m128i {
        // SAFETY: the caller's.
        unsafe {
            match quarter {
                0 => _mm512_castsi512_si128(self.0),
                1 => _mm512_extracti32x4_epi32::<1>(self.0),
                2 => _mm512_extracti32x4_epi32::<2>(self.0),
                _ => _mm512_extracti32x4_epi32::<3>(self.0),
            }
        }
    }
}

/// The bits of a register as float32.
///
/// # Safety
/// The CPU has the tier.
#[inline(always)]
unsafe fn floats(lanes: Zmm) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_castsi512_ps(lanes.0) }
}

/// The bits of float32.
///
/// # Safety
/// The CPU has the tier.
#[inline(always)]
unsafe fn of_floats(lanes: __m512) -> Zmm {
    // SAFETY: the caller's.
    unsafe { Zmm(_mm512_castps_si512(lanes)) }
}

impl Vector for Zmm {
    const LANES: usize = 16;
    type Even = __mmask16;

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        // SAFETY: the caller's.
        unsafe { Zmm(_mm512_set1_epi32(x)) }
    }

    #[inline(always)]
    unsafe fn splat_words(x: i16) -> Self {
        // SAFETY: the caller's.
        unsafe { Zmm(_mm512_set1_epi16(x)) }
    }

    #[inline(always)]
    unsafe fn splat_bytes(x: u8) -> Self {
        // SAFETY: the caller's.
        unsafe { Zmm(_mm512_set1_epi8(x as i8)) }
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self {
        // SAFETY: the caller's.
        unsafe { Zmm(_mm512_loadu_si512(from.cast())) }
    }

    #[inline(always)]
    unsafe fn words(from: *const u8) -> Self {
        // SAFETY: the caller's.
        unsafe { Zmm(_mm512_cvtepu8_epi16(_mm256_loadu_si256(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, part: usize, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            _mm_storeu_si128(to.cast(), self.quarter(part));
        }
    }

    #[inline(always)]
    unsafe fn store_quarter(self, quarter: usize, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { _mm_storeu_si128(to.cast(), self.quarter(quarter)) }
    }

    binary! {
        add = _mm512_add_epi32;
        sub = _mm512_sub_epi32;
        max = _mm512_max_epi32;
        shift_left = _mm512_sllv_epi32;
        shift_right = _mm512_srav_epi32;
        mul_even = _mm512_mul_epi32;
        mul_low = _mm512_mullo_epi32;
        dot_words = _mm512_madd_epi16;
        sub_words = _mm512_sub_epi16;
        sum_words = _mm512_add_epi16;
        add_words = _mm512_adds_epi16;
        mul_low_words = _mm512_mullo_epi16;
        mul_high_words = _mm512_mulhi_epi16;
        max_bytes = _mm512_max_epu8;
        min_bytes = _mm512_min_epu8;
        unpack_low_bytes = _mm512_unpacklo_epi8;
        unpack_high_bytes = _mm512_unpackhi_epi8;
        unpack_low_words = _mm512_unpacklo_epi16;
        unpack_high_words = _mm512_unpackhi_epi16;
        unpack_low_lanes = _mm512_unpacklo_epi32;
        unpack_high_lanes = _mm512_unpackhi_epi32;
        unpack_low_pairs = _mm512_unpacklo_epi64;
        unpack_high_pairs = _mm512_unpackhi_epi64;
        pack_words = _mm512_packs_epi32;
        pack_bytes = _mm512_packus_epi16;
    }

    /// Never the saturating form.
    #[inline(always)]
    unsafe fn dot(self, values: Self, weights: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Zmm(_mm512_dpbusd_epi32(self.0, values.0, weights.0)) }
    }

    #[inline(always)]
    unsafe fn to_floats(self) -> Self {
        // SAFETY: the caller's.
        unsafe { of_floats(_mm512_cvtepi32_ps(self.0)) }
    }

    #[inline(always)]
    unsafe fn to_integers(self) -> Self {
        // SAFETY: the caller's.
        unsafe { Zmm(_mm512_cvtps_epi32(floats(self))) }
    }

    binary_of_floats! {
        add_floats = _mm512_add_ps;
        mul_floats = _mm512_mul_ps;
        div_floats = _mm512_div_ps;
        max_floats = _mm512_max_ps;
        min_floats = _mm512_min_ps;
    }

    #[inline(always)]
    unsafe fn fma_floats(self, factor: Self, sum: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { of_floats(_mm512_fmadd_ps(floats(self), floats(factor), floats(sum))) }
    }

    #[inline(always)]
    unsafe fn clamp_floats(self, lo: Self, hi: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let (x, lo) = (floats(self), floats(lo));
            let raised = _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask::<_CMP_LE_OQ>(x, lo), lo);
            // Of two operands that do not compare, the minimum is the second: NaN stays.
            of_floats(_mm512_min_ps(floats(hi), raised))
        }
    }

    #[inline(always)]
    unsafe fn where_number(self, of: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let is_number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(floats(of), floats(of));
            of_floats(_mm512_maskz_mov_ps(is_number, floats(self)))
        }
    }

    #[inline(always)]
    unsafe fn odd_lanes(self) -> Self {
        // SAFETY: the caller's.
        unsafe { Zmm(odd_lanes(self.0)) }
    }

    #[inline(always)]
    unsafe fn even() -> __mmask16 {
        // SAFETY: the caller's.
        unsafe { even_lanes() }
    }

    #[inline(always)]
    unsafe fn high_halves(even_products: Self, odd_products: Self, even: __mmask16) -> Self {
        // SAFETY: the caller's.
        unsafe { Zmm(high_halves(even_products.0, odd_products.0, even)) }
    }

    #[inline(always)]
    unsafe fn scale_even(acc: Self, multiplier: Self, shift: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let shift = _mm512_and_si512(shift.0, _mm512_set1_epi64(0xffff_ffff));
            let one = _mm512_set1_epi64(1);
            let round = _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one));
            let sum = _mm512_add_epi64(acc.mul_even(multiplier).0, round);
            let scaled = _mm512_srav_epi64(sum, shift);
            let limit = i64::from(i16::MAX);
            let below = _mm512_min_epi64(scaled, _mm512_set1_epi64(limit));
            Zmm(_mm512_max_epi64(below, _mm512_set1_epi64(-limit)))
        }
    }

    #[inline(always)]
    unsafe fn join_even(even: Self, odd: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Zmm(_mm512_mask_blend_epi32(0xaaaa, even.0, _mm512_slli_epi64::<32>(odd.0))) }
    }

    #[inline(always)]
    unsafe fn pack_threes(self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
            Zmm(_mm512_shuffle_epi8(self.0, _mm512_broadcast_i32x4(order)))
        }
    }

    #[inline(always)]
    unsafe fn in_order(self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            Zmm(_mm512_permutexvar_epi32(opaque(order), self.0))
        }
    }
}

/// The same value, unknown to the compiler: of a permutation whose indices it knows it makes several slower ones.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn opaque(mut value: __m512i) -> __m512i {
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(zmm_reg) value, options(pure, nomem, nostack, preserves_flags)) };
    value
}

/// By a move of lanes, which more ports take than a shift.
#[inline]
#[target_feature(enable = "avx512f")]
fn odd_lanes(value: __m512i) -> __m512i {
    let odd;
    // SAFETY: the instruction is AVX-512 F and touches registers alone.
    unsafe {
        asm!("vmovshdup {0}, {1}", out(zmm_reg) odd, in(zmm_reg) value,
             options(pure, nomem, nostack, preserves_flags));
    }
    odd
}

/// A bit for each even lane, kept in a register because the compiler does not know it.
#[inline]
#[target_feature(enable = "avx512f")]
fn even_lanes() -> __mmask16 {
    let mut lanes = 0x5555;
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(kreg) lanes, options(pure, nomem, nostack, preserves_flags)) };
    lanes
}

/// By one masked move; the compiler would make a slower permutation of two registers of it.
#[inline]
#[target_feature(enable = "avx512f")]
fn high_halves(even: __m512i, odd: __m512i, even_lanes: __mmask16) -> __m512i {
    let mut high = odd;
    // SAFETY: the instruction is AVX-512 F and touches registers alone.
    unsafe {
        asm!(
            "vmovshdup {high}{{{even_lanes}}}, {even}",
            high = inout(zmm_reg) high,
            even = in(zmm_reg) even,
            even_lanes = in(kreg) even_lanes,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    high
}
