//! The vector registers that depthwise tiles are written over.

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// One register of float32 lanes, each a channel of its own.
///
/// # Safety
/// Every method needs the CPU features of its register, and is meant to be inlined into code compiled for them.
/// Pointers must be good for the lanes that are read or written.
pub(super) trait Vector: Copy {
    /// Channels of a register.
    const LANES: usize;
    /// Every lane the same.
    unsafe fn splat(value: f32) -> Self;
    /// All lanes, from any alignment.
    unsafe fn load(from: *const f32) -> Self;
    /// All lanes, to any alignment.
    unsafe fn store(self, to: *mut f32);
    /// `self * w + sum`, rounded once.
    unsafe fn fma(self, w: Self, sum: Self) -> Self;
    /// The sum, lane by lane.
    unsafe fn add(self, other: Self) -> Self;
    /// [`super::Clamp::apply`], lane by lane.
    unsafe fn clamp(self, lo: Self, hi: Self) -> Self;
}

#[cfg(target_arch = "x86_64")]
impl Vector for __m512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the trait's promise.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's promise.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's promise.
        unsafe { _mm512_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn fma(self, w: Self, sum: Self) -> Self {
        // SAFETY: the trait's promise.
        unsafe { _mm512_fmadd_ps(self, w, sum) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the trait's promise.
        unsafe { _mm512_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn clamp(self, lo: Self, hi: Self) -> Self {
        // SAFETY: the trait's promise.
        unsafe {
            let raised = _mm512_mask_mov_ps(self, _mm512_cmp_ps_mask::<_CMP_LE_OQ>(self, lo), lo);
            // Of two operands that do not compare, the minimum is the second: NaN stays.
            _mm512_min_ps(hi, raised)
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Vector for __m256 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the trait's promise.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's promise.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's promise.
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn fma(self, w: Self, sum: Self) -> Self {
        // SAFETY: the trait's promise.
        unsafe { _mm256_fmadd_ps(self, w, sum) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the trait's promise.
        unsafe { _mm256_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn clamp(self, lo: Self, hi: Self) -> Self {
        // SAFETY: the trait's promise.
        unsafe {
            let raised = _mm256_blendv_ps(self, lo, _mm256_cmp_ps::<_CMP_LE_OQ>(self, lo));
            // Of two operands that do not compare, the minimum is the second: NaN stays.
            _mm256_min_ps(hi, raised)
        }
    }
}

#[cfg(target_arch = "aarch64")]
impl Vector for [float32x4_t; 2] {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the trait's promise.
        [unsafe { vdupq_n_f32(value) }; 2]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's promise.
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's promise.
        unsafe {
            vst1q_f32(to, self[0]);
            vst1q_f32(to.add(4), self[1]);
        }
    }

    #[inline(always)]
    unsafe fn fma(self, w: Self, sum: Self) -> Self {
        // SAFETY: the trait's promise.
        unsafe { [vfmaq_f32(sum[0], self[0], w[0]), vfmaq_f32(sum[1], self[1], w[1])] }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the trait's promise.
        unsafe { [vaddq_f32(self[0], other[0]), vaddq_f32(self[1], other[1])] }
    }

    #[inline(always)]
    unsafe fn clamp(self, lo: Self, hi: Self) -> Self {
        // SAFETY: the trait's promise.
        std::array::from_fn(|i| unsafe {
            let raised = vbslq_f32(vcleq_f32(self[i], lo[i]), lo[i], self[i]);
            vbslq_f32(vcgtq_f32(raised, hi[i]), hi[i], raised)
        })
    }
}
