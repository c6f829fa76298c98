//! The tiles on 512-bit registers, a unit in each.

use std::arch::x86_64::*;

use super::panel::Panel;
use super::tile::{self, Vector};

tile::tile!(tile_1: Zmm, 1, 14, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], "avx512f,avx512vl,avx2,fma");
tile::tile!(tile_2: Zmm, 2, 14, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], "avx512f,avx512vl,avx2,fma");
tile::tile!(tile_3: Zmm, 3, 8, [1 2 3 4 5 6 7 8], "avx512f,avx512vl,avx2,fma");
tile::tile!(tile_4: Zmm, 4, 6, [1 2 3 4 5 6], "avx512f,avx512vl,avx2,fma");
tile::tile!(tile_8: Zmm, 8, 1, [1], "avx512f,avx512vl,avx2,fma");

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
