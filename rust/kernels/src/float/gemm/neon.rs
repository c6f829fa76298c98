//! The tiles on registers of 128 bits, a unit in four of them.

use std::arch::aarch64::*;
use std::arch::asm;
use std::array::from_fn;

use super::panel::{Floats, Panel, UNIT};
use super::stored::Stored;
use super::tile::{self, Vector};

tile::tile!(tile_1: Qs, Floats, 1, 6, [1 2 3 4 5 6], "neon");
tile::tile!(tile_2: Qs, Floats, 2, 2, [1 2], "neon");
tile::tile!(nibbles_1: Qs, Stored<4>, 1, 4, [1 2 3 4], "neon");
tile::tile!(nibbles_2: Qs, Stored<4>, 2, 2, [1 2], "neon");
tile::tile!(bytes_1: Qs, Stored<8>, 1, 4, [1 2 3 4], "neon");
tile::tile!(bytes_2: Qs, Stored<8>, 2, 2, [1 2], "neon");

#[derive(Clone, Copy)]
struct Qs([float32x4_t; 4]);

/// The four lanes of each of four registers of bytes' lanes, as numbers.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn numbers(bytes: uint8x16_t) -> Qs {
    // SAFETY: the caller's.
    unsafe {
        let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
        Qs([
            vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
            vcvtq_f32_u32(vmovl_high_u16(low)),
            vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
            vcvtq_f32_u32(vmovl_high_u16(high)),
        ])
    }
}

// The CPU has the tier and the pointers reach as far as the trait says: the callers' promise.
impl Vector for Qs {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as above.
        Qs([unsafe { vdupq_n_f32(x) }; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as above.
        Qs(from_fn(|i| unsafe { vld1q_f32(from.add(4 * i)) }))
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; UNIT];
        // SAFETY: as above.
        unsafe {
            from.copy_to_nonoverlapping(lanes.as_mut_ptr(), count);
            Self::load(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        for (i, register) in self.0.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { vst1q_f32(to.add(4 * i), register) };
        }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        let mut lanes = [0.0; UNIT];
        // SAFETY: as above.
        unsafe {
            self.store(lanes.as_mut_ptr());
            lanes.as_ptr().copy_to_nonoverlapping(to, count);
        }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: as above.
        Qs(from_fn(|i| unsafe { vfmaq_f32(self.0[i], a.0[i], b.0[i]) }))
    }

    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        // SAFETY: as above.
        Qs(from_fn(|i| unsafe { vaddq_f32(self.0[i], b.0[i]) }))
    }

    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        // SAFETY: as above.
        Qs(from_fn(|i| unsafe { vsubq_f32(self.0[i], b.0[i]) }))
    }

    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        // SAFETY: as above.
        Qs(from_fn(|i| unsafe { vmulq_f32(self.0[i], b.0[i]) }))
    }

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Self {
        // SAFETY: as above.
        unsafe { numbers(vld1q_u8(from)) }
    }

    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> (Self, Self) {
        // SAFETY: as above.
        unsafe {
            let bytes = vld1q_u8(from);
            (numbers(vandq_u8(bytes, vdupq_n_u8(15))), numbers(vshrq_n_u8::<4>(bytes)))
        }
    }

    #[inline(always)]
    fn soon(from: *const u8) {
        // SAFETY: a hint, which reads nothing.
        unsafe { asm!("prfm pldl1keep, [{}]", in(reg) from, options(nostack, preserves_flags, readonly)) };
    }

    #[inline(always)]
    unsafe fn at_least(self, lo: Self) -> Self {
        // SAFETY: as above. Where one is NaN or both are zero, the answer is self.
        Qs(from_fn(|i| unsafe { vbslq_f32(vcgtq_f32(lo.0[i], self.0[i]), lo.0[i], self.0[i]) }))
    }

    #[inline(always)]
    unsafe fn at_most(self, hi: Self) -> Self {
        // SAFETY: as above, and so is the answer.
        Qs(from_fn(|i| unsafe { vbslq_f32(vcltq_f32(hi.0[i], self.0[i]), hi.0[i], self.0[i]) }))
    }
}
