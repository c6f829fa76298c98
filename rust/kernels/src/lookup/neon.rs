//! Lookup by instructions that pick from four registers at a time.

use std::arch::aarch64::*;

use super::plain::lookup as lookup_plain;

/// Below so many bytes, the table is not worth loading into registers.
const SHORT: usize = 64;
/// Bytes of a register.
const REGISTER: usize = 16;

/// # Safety
/// The CPU has NEON; as [`lookup_plain`].
#[target_feature(enable = "neon")]
pub(super) unsafe fn lookup(x: *const u8, table: &[u8; 256], out: *mut u8, length: usize) {
    if length < SHORT {
        // SAFETY: the caller's promise.
        return unsafe { lookup_plain(x, table, out, length) };
    }
    // SAFETY: each 64 bytes of the table.
    let quarters: [uint8x16x4_t; 4] =
        std::array::from_fn(|quarter| unsafe { vld1q_u8_x4(table.as_ptr().add(64 * quarter)) });
    let whole = length / REGISTER * REGISTER;
    for at in (0..whole).step_by(REGISTER) {
        // SAFETY: 16 bytes inside the length, read before they are written.
        unsafe { vst1q_u8(out.add(at), pick(&quarters, vld1q_u8(x.add(at)))) };
    }
    // SAFETY: the rest of the length.
    unsafe { lookup_plain(x.add(whole), table, out.add(whole), length - whole) };
}

/// The table's answers for 16 bytes. What is beyond a quarter's 64 leaves the answer as it is.
#[inline]
#[target_feature(enable = "neon")]
fn pick(quarters: &[uint8x16x4_t; 4], values: uint8x16_t) -> uint8x16_t {
    let step = vdupq_n_u8(64);
    let mut places = values;
    let mut answer = vqtbl4q_u8(quarters[0], places);
    for &quarter in &quarters[1..] {
        places = vsubq_u8(places, step);
        answer = vqtbx4q_u8(answer, quarter, places);
    }
    answer
}
