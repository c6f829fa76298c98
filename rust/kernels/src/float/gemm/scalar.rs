//! The tiles in plain Rust.

use super::panel::{Panel, UNIT};
use super::tile::{self, Vector};

tile::tile!(tile_1: Sixteen, 1, 4, [1 2 3 4]);

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
