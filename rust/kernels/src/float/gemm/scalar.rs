//! The tiles in plain Rust.

use super::panel::{Floats, Panel, UNIT};
use super::stored::Stored;
use super::tile::{self, Vector};

tile::tile!(tile_1: Sixteen, Floats, 1, 4, [1 2 3 4]);
tile::tile!(nibbles_1: Sixteen, Stored<4>, 1, 4, [1 2 3 4]);
tile::tile!(bytes_1: Sixteen, Stored<8>, 1, 4, [1 2 3 4]);

#[derive(Clone, Copy)]
struct Sixteen([f32; UNIT]);

// SAFETY of each: reads and writes as many elements as the contract says.
impl Vector for Sixteen {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Sixteen([x; UNIT])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: 16 elements, the caller's promise.
        Sixteen(unsafe { from.cast::<[f32; UNIT]>().read() })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; UNIT];
        // SAFETY: `count` elements, the caller's promise.
        lanes[..count].copy_from_slice(unsafe { std::slice::from_raw_parts(from, count) });
        Sixteen(lanes)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: 16 elements, the caller's promise.
        unsafe { to.cast::<[f32; UNIT]>().write(self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        // SAFETY: `count` elements, the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(to, count) }.copy_from_slice(&self.0[..count]);
    }

    #[inline(always)]
    unsafe fn add_product(mut self, a: Self, b: Self) -> Self {
        for j in 0..UNIT {
            self.0[j] = a.0[j].mul_add(b.0[j], self.0[j]);
        }
        self
    }

    #[inline(always)]
    unsafe fn add(mut self, b: Self) -> Self {
        for j in 0..UNIT {
            self.0[j] += b.0[j];
        }
        self
    }

    #[inline(always)]
    unsafe fn sub(mut self, b: Self) -> Self {
        for j in 0..UNIT {
            self.0[j] -= b.0[j];
        }
        self
    }

    #[inline(always)]
    unsafe fn mul(mut self, b: Self) -> Self {
        for j in 0..UNIT {
            self.0[j] *= b.0[j];
        }
        self
    }

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Self {
        // SAFETY: 16 bytes, the caller's promise.
        Sixteen(unsafe { from.cast::<[u8; UNIT]>().read() }.map(f32::from))
    }

    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> (Self, Self) {
        // SAFETY: 16 bytes, the caller's promise.
        let bytes = unsafe { from.cast::<[u8; UNIT]>().read() };
        (Sixteen(bytes.map(|byte| f32::from(byte & 15))), Sixteen(bytes.map(|byte| f32::from(byte >> 4))))
    }

    #[inline(always)]
    fn soon(_from: *const u8) {}

    #[inline(always)]
    unsafe fn at_least(mut self, lo: Self) -> Self {
        for j in 0..UNIT {
            self.0[j] = if self.0[j] < lo.0[j] { lo.0[j] } else { self.0[j] };
        }
        self
    }

    #[inline(always)]
    unsafe fn at_most(mut self, hi: Self) -> Self {
        for j in 0..UNIT {
            self.0[j] = if self.0[j] > hi.0[j] { hi.0[j] } else { self.0[j] };
        }
        self
    }
}
