//! The tiles on 512-bit registers, a unit in each.

use std::arch::x86_64::*;

use super::panel::{Floats, Panel};
use super::stored::Stored;
use super::tile::{self, Vector};

tile::tile!(tile_1: Zmm, Floats, 1, 14, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], "avx512f,avx512vl,avx2,fma");
tile::tile!(tile_2: Zmm, Floats, 2, 14, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], "avx512f,avx512vl,avx2,fma");
tile::tile!(tile_3: Zmm, Floats, 3, 8, [1 2 3 4 5 6 7 8], "avx512f,avx512vl,avx2,fma");
tile::tile!(tile_4: Zmm, Floats, 4, 6, [1 2 3 4 5 6], "avx512f,avx512vl,avx2,fma");
tile::tile!(tile_8: Zmm, Floats, 8, 1, [1], "avx512f,avx512vl,avx2,fma");
tile::tile!(nibbles_1: Zmm, Stored<4>, 1, 6, [1 2 3 4 5 6], "avx512f,avx512vl,avx2,fma");
tile::tile!(nibbles_4: Zmm, Stored<4>, 4, 6, [1 2 3 4 5 6], "avx512f,avx512vl,avx2,fma");
tile::tile!(bytes_1: Zmm, Stored<8>, 1, 6, [1 2 3 4 5 6], "avx512f,avx512vl,avx2,fma");
tile::tile!(bytes_4: Zmm, Stored<8>, 4, 6, [1 2 3 4 5 6], "avx512f,avx512vl,avx2,fma");

tile::tile!(nibbles_8: Zmm, Stored<4>, 8, 1, [1], "avx512f,avx512vl,avx2,fma");
tile::tile!(bytes_8: Zmm, Stored<8>, 8, 1, [1], "avx512f,avx512vl,avx2,fma");

#[derive(Clone, Copy)]
struct Zmm(__m512);

/// The first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    (1u16 << count) - 1
}

// The CPU has the tier and the pointers reach as far as the trait says: the callers' promise.
impl Vector for Zmm {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as above.
        unsafe { Zmm(_mm512_set1_ps(x)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { Zmm(_mm512_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        // SAFETY: as above.
        unsafe { Zmm(_mm512_maskz_loadu_ps(first(count), from)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_ps(to, first(count), self.0) }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { Zmm(_mm512_fmadd_ps(a.0, b.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { Zmm(_mm512_add_ps(self.0, b.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { Zmm(_mm512_sub_ps(self.0, b.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { Zmm(_mm512_mul_ps(self.0, b.0)) }
    }

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Self {
        // SAFETY: as above.
        unsafe { Zmm(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast())))) }
    }

    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> (Self, Self) {
        // SAFETY: as above. The permutation looks at the lowest 4 bits of each index alone.
        unsafe {
            let numbers = _mm512_setr_ps(
                0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
            );
            let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()));
            let upper = _mm512_srli_epi32::<4>(bytes);
            (Zmm(_mm512_permutexvar_ps(bytes, numbers)), Zmm(_mm512_permutexvar_ps(upper, numbers)))
        }
    }

    #[inline(always)]
    fn soon(from: *const u8) {
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }

    #[inline(always)]
    unsafe fn at_least(self, lo: Self) -> Self {
        // SAFETY: as above. The second operand is the answer where one is NaN or both are zero.
        unsafe { Zmm(_mm512_max_ps(lo.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn at_most(self, hi: Self) -> Self {
        // SAFETY: as above, and so is the answer.
        unsafe { Zmm(_mm512_min_ps(hi.0, self.0)) }
    }
}
