//! The tiles on 256-bit registers, a unit in two of them.

use std::arch::x86_64::*;

use super::panel::{Floats, Panel};
use super::stored::Stored;
use super::tile::{self, Vector};

tile::tile!(tile_1: Ymms, Floats, 1, 6, [1 2 3 4 5 6], "avx2,fma");
tile::tile!(tile_2: Ymms, Floats, 2, 3, [1 2 3], "avx2,fma");
tile::tile!(tile_4: Ymms, Floats, 4, 1, [1], "avx2,fma");
tile::tile!(nibbles_1: Ymms, Stored<4>, 1, 6, [1 2 3 4 5 6], "avx2,fma");
tile::tile!(nibbles_2: Ymms, Stored<4>, 2, 3, [1 2 3], "avx2,fma");
tile::tile!(bytes_1: Ymms, Stored<8>, 1, 6, [1 2 3 4 5 6], "avx2,fma");
tile::tile!(bytes_2: Ymms, Stored<8>, 2, 3, [1 2 3], "avx2,fma");

tile::tile!(bytes_4: Ymms, Stored<8>, 4, 1, [1], "avx2,fma");

#[derive(Clone, Copy)]
struct Ymms(__m256, __m256);

/// All bits of the first `count` of 16 lanes.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn first(count: usize) -> (__m256i, __m256i) {
    // SAFETY: the caller's.
    unsafe {
        let count = _mm256_set1_epi32(count as i32);
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let later = _mm256_add_epi32(lanes, _mm256_set1_epi32(8));
        (_mm256_cmpgt_epi32(count, lanes), _mm256_cmpgt_epi32(count, later))
    }
}

// The CPU has the tier and the pointers reach as far as the trait says: the callers' promise.
impl Vector for Ymms {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as above.
        unsafe { Ymms(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { Ymms(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        // SAFETY: as above; lanes that the mask leaves out are not touched.
        unsafe {
            let (low, high) = first(count);
            Ymms(_mm256_maskload_ps(from, low), _mm256_maskload_ps(from.wrapping_add(8), high))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        // SAFETY: as above; lanes that the mask leaves out are not touched.
        unsafe {
            let (low, high) = first(count);
            _mm256_maskstore_ps(to, low, self.0);
            _mm256_maskstore_ps(to.wrapping_add(8), high, self.1);
        }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { Ymms(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
    }

    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { Ymms(_mm256_add_ps(self.0, b.0), _mm256_add_ps(self.1, b.1)) }
    }

    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { Ymms(_mm256_sub_ps(self.0, b.0), _mm256_sub_ps(self.1, b.1)) }
    }

    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { Ymms(_mm256_mul_ps(self.0, b.0), _mm256_mul_ps(self.1, b.1)) }
    }

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Self {
        // SAFETY: as above.
        unsafe {
            let number =
                |from: *const u8| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())));
            Ymms(number(from), number(from.add(8)))
        }
    }

    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> (Self, Self) {
        // SAFETY: as above.
        unsafe {
            let lowest = _mm256_set1_epi32(15);
            let pair = |from: *const u8| {
                let bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()));
                let (low, high) = (_mm256_and_si256(bytes, lowest), _mm256_srli_epi32::<4>(bytes));
                (_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
            };
            let (first, later) = (pair(from), pair(from.add(8)));
            (Ymms(first.0, later.0), Ymms(first.1, later.1))
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
        unsafe { Ymms(_mm256_max_ps(lo.0, self.0), _mm256_max_ps(lo.1, self.1)) }
    }

    #[inline(always)]
    unsafe fn at_most(self, hi: Self) -> Self {
        // SAFETY: as above, and so is the answer.
        unsafe { Ymms(_mm256_min_ps(hi.0, self.0), _mm256_min_ps(hi.1, self.1)) }
    }
}
