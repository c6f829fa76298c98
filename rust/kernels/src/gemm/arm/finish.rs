//! How bytes, words and floats move between rows and two registers of NEON.

use std::arch::aarch64::*;

use crate::gemm::entries::Panel;
use crate::gemm::pack::UNIT;
use crate::gemm::tile::{Tile, finish_in_vectors};
use crate::simd::{Qs, Vector};

const LANES: usize = <Qs as Vector>::LANES;

impl Tile for Qs {
    #[inline(always)]
    unsafe fn widen(from: *const u8, n: usize) -> Qs {
        // SAFETY: the caller's; bytes from n on are not read.
        unsafe {
            let bytes = if n == LANES {
                vld1_u8(from)
            } else {
                let mut bytes = [0; LANES];
                from.copy_to_nonoverlapping(bytes.as_mut_ptr(), n);
                vld1_u8(bytes.as_ptr())
            };
            let words = vmovl_u8(bytes);
            let lanes = [vmovl_u16(vget_low_u16(words)), vmovl_high_u16(words)];
            Qs::new(lanes.map(|lanes| vreinterpretq_s32_u32(lanes)))
        }
    }

    #[inline(always)]
    unsafe fn gather<const UNITS: usize>(data: *const u8, stride: usize, rows: usize, n: usize) -> Qs {
        const { assert!(UNITS == 1) };
        // SAFETY: the caller's; rows beyond the last are not read, nor bytes beyond n.
        unsafe {
            let second = data.add((rows - 1) * stride);
            if n == UNIT {
                let [data, second] = [data, second].map(|row| vreinterpretq_s32_u8(vld1q_u8(row)));
                return Qs::new([data, second]);
            }
            let mut bytes = [0; 2 * UNIT];
            data.copy_to_nonoverlapping(bytes.as_mut_ptr(), n);
            second.copy_to_nonoverlapping(bytes[UNIT..].as_mut_ptr(), n);
            Qs::load_bytes(bytes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, n: usize) -> Qs {
        // SAFETY: the caller's; lanes from n on are not read.
        unsafe {
            if n == LANES {
                return Qs::load_bytes(from.cast());
            }
            let mut lanes = [0f32; LANES];
            from.copy_to_nonoverlapping(lanes.as_mut_ptr(), n);
            Qs::load_bytes(lanes.as_ptr().cast())
        }
    }

    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, n: usize) {
        // SAFETY: the caller's; lanes from n on are not written.
        unsafe {
            if n == LANES {
                return self.store_bytes(to.cast());
            }
            let mut lanes = [0f32; LANES];
            self.store_bytes(lanes.as_mut_ptr().cast());
            lanes.as_ptr().copy_to_nonoverlapping(to, n);
        }
    }

    #[inline(always)]
    unsafe fn scatter<const UNITS: usize>(self, data: *mut u8, stride: usize, rows: usize, n: usize) {
        const { assert!(UNITS == 1) };
        // SAFETY: the caller's.
        unsafe {
            for r in 0..rows {
                let to = data.add(r * stride);
                if n == UNIT {
                    self.store_part(r, to);
                } else {
                    let mut bytes = [0; UNIT];
                    self.store_part(r, bytes.as_mut_ptr());
                    bytes.as_ptr().copy_to_nonoverlapping(to, n);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn store_words(unit: &[Qs], lo: i16, hi: i16, to: *mut i16, n: usize) {
        // SAFETY: the caller's; words beyond n are not written.
        unsafe {
            let held = |lanes: Qs| {
                let [low, high] = lanes.0;
                let words = vqmovn_high_s32(vqmovn_s32(low), high);
                vminq_s16(vmaxq_s16(words, vdupq_n_s16(lo)), vdupq_n_s16(hi))
            };
            let words = [held(unit[0]), held(unit[1])];
            if n == UNIT {
                vst1q_s16(to, words[0]);
                return vst1q_s16(to.add(8), words[1]);
            }
            let mut made = [0; UNIT];
            vst1q_s16(made.as_mut_ptr(), words[0]);
            vst1q_s16(made.as_mut_ptr().add(8), words[1]);
            made.as_ptr().copy_to_nonoverlapping(to, n);
        }
    }

    #[inline(always)]
    unsafe fn finish(
        panel: &Panel,
        row: usize,
        rows: usize,
        from: usize,
        n: usize,
        acc: *const i32,
        ld: usize,
    ) {
        // SAFETY: the caller's.
        unsafe { spilled(panel, row, rows, from, n, acc, ld) }
    }
}

/// [`Tile::finish`].
///
/// # Safety
/// As it says.
#[inline(never)]
#[target_feature(enable = "neon")]
unsafe fn spilled(panel: &Panel, row: usize, rows: usize, from: usize, n: usize, acc: *const i32, ld: usize) {
    // SAFETY: the caller's.
    unsafe { finish_in_vectors::<Qs>(panel, row, rows, from..from + n, acc, ld) }
}
