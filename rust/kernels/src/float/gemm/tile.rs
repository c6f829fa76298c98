//! The tile, written once over the vectors of a tier.

use std::arch::asm;

use super::panel::{Floats, Left, Panel, UNIT};
use crate::unroll::unroll;

/// The 16 columns of a unit in a tier's registers.
///
/// # Safety
/// The methods need the tier's CPU features, and pointers to as many elements as they read or write. They are inlined
/// into functions that are compiled for the tier.
pub(super) trait Vector: Copy {
    /// The same number 16 times.
    unsafe fn splat(x: f32) -> Self;
    /// 16 elements.
    unsafe fn load(from: *const f32) -> Self;
    /// `count` elements, 1 to 15 of them, then zeros.
    unsafe fn load_part(from: *const f32, count: usize) -> Self;
    /// Writes 16 elements.
    unsafe fn store(self, to: *mut f32);
    /// Writes the first `count` elements, 1 to 15 of them.
    unsafe fn store_part(self, to: *mut f32, count: usize);
    /// `self + a * b`, rounded once.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// `self + b`.
    unsafe fn add(self, b: Self) -> Self;
    /// `self - b`.
    unsafe fn sub(self, b: Self) -> Self;
    /// `self * b`.
    unsafe fn mul(self, b: Self) -> Self;
    /// 16 bytes, as numbers.
    unsafe fn bytes(from: *const u8) -> Self;
    /// Of 16 bytes, the lower 4 bits of each and the upper ones, as numbers.
    unsafe fn nibbles(from: *const u8) -> (Self, Self);
    /// Asks for the bytes there to be brought near, if they are to be read at all.
    fn soon(from: *const u8);
    /// The greater of self and `lo`; NaN stays. No lane is -0 where `lo` is 0.
    unsafe fn at_least(self, lo: Self) -> Self;
    /// The lesser of self and `hi`; NaN stays, and so does a zero where `hi` is 0.
    unsafe fn at_most(self, hi: Self) -> Self;
}

/// What is multiplied: a left side, and a panel of weights in some form.
pub(super) trait Sides<V: Vector>: Copy {
    /// The chains of `ROWS` rows from `row` on with the columns of `UNITS` units.
    ///
    /// # Safety
    /// The CPU has the tier of `V`; the rows and the units are there.
    unsafe fn sums<const UNITS: usize, const ROWS: usize>(&self, row: usize) -> [[V; UNITS]; ROWS];
}

/// What a tap in the padding reads. Longer taps are walked in blocks of as many steps.
static ZEROS: [f32; 1024] = [0.0; 1024];

/// Rows `from..to` of the panel, `ROWS` at a time.
///
/// # Safety
/// The CPU has the tier of `V`; the panel has been checked and has `UNITS` units; `from..to` is a whole number of
/// blocks of its rows.
#[inline(always)]
pub(super) unsafe fn rows<V: Vector, S: Sides<V>, const UNITS: usize, const ROWS: usize>(
    p: &Panel<S>,
    from: usize,
    to: usize,
) {
    for row in (from..to).step_by(ROWS) {
        // SAFETY: the caller's.
        unsafe {
            let sums = p.sides.sums::<UNITS, ROWS>(row);
            finish(p, row, sums);
        }
    }
}

impl<V: Vector> Sides<V> for Floats {
    #[inline(always)]
    unsafe fn sums<const UNITS: usize, const ROWS: usize>(&self, row: usize) -> [[V; UNITS]; ROWS] {
        let &Floats { left, packed, unit_stride, taps, kc } = self;
        // SAFETY: a dense row has kc elements, at least one. An indirect row has `taps` offsets, and an offset below
        // `reach` kc elements; of a tap in the padding no more than ZEROS has are read at a time.
        unsafe {
            let mut sums = [[V::splat(0.0); UNITS]; ROWS];
            let mut x = [std::ptr::null::<f32>(); ROWS];
            match left {
                Left::Dense { data, stride } => {
                    unroll!(r in ROWS, { x[r] = opaque(data.add((row + r) * stride)) });
                    chain(sums, &x, packed, unit_stride, kc)
                }
                Left::Indirect { data, reach, offsets } => {
                    let mut offsets = offsets.add(row * taps);
                    let (mut w, mut tap, mut k) = (packed, 0, 0);
                    while tap < taps {
                        unroll!(r in ROWS, {
                            let offset = *offsets.add(r * taps) as usize;
                            let inside = data.wrapping_add(offset + k);
                            x[r] = std::hint::select_unpredictable(offset < reach, inside, ZEROS.as_ptr());
                        });
                        let steps = ZEROS.len().min(kc - k);
                        sums = chain(sums, &x, w, unit_stride, steps);
                        w = w.add(steps * UNIT);
                        k += steps;
                        if k == kc {
                            (k, tap, offsets) = (0, tap + 1, offsets.add(1));
                        }
                    }
                    sums
                }
            }
        }
    }
}

/// The same pointer. The compiler, which no longer sees that rows are a stride apart, keeps one for each: it would find
/// each from the one before at every step, a chain of additions as long as the tile is high.
#[inline(always)]
pub(super) fn opaque(mut pointer: *const f32) -> *const f32 {
    // SAFETY: no instructions.
    unsafe { asm!("/* {} */", inout(reg) pointer, options(pure, readonly, nostack, preserves_flags)) };
    pointer
}

/// The chains, carried on by some steps, at least one.
///
/// # Safety
/// The CPU has the tier of `V`; each row has `steps` elements, and each of the units, which are `unit_stride` elements
/// from each other, 16 times as many.
#[inline(always)]
pub(super) unsafe fn chain<V: Vector, const UNITS: usize, const ROWS: usize>(
    mut sums: [[V; UNITS]; ROWS],
    x: &[*const f32; ROWS],
    w: *const f32,
    unit_stride: usize,
    steps: usize,
) -> [[V; UNITS]; ROWS] {
    // SAFETY: the caller's.
    unsafe {
        let mut w = w;
        let mut k = 0;
        loop {
            let mut columns = [V::splat(0.0); UNITS];
            unroll!(u in UNITS, { columns[u] = V::load(w.add(u * unit_stride)) });
            unroll!(r in ROWS, {
                let x = V::splat(*x[r].add(k));
                unroll!(u in UNITS, { sums[r][u] = sums[r][u].add_product(x, columns[u]) });
            });
            (k, w) = (k + 1, w.add(UNIT));
            if k == steps {
                return sums;
            }
        }
    }
}

/// The epilogue of `ROWS` rows.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn finish<V: Vector, S, const UNITS: usize, const ROWS: usize>(
    p: &Panel<S>,
    row: usize,
    mut sums: [[V; UNITS]; ROWS],
) {
    // SAFETY: the rows of the output and the residual have n columns, of which all but the last unit are whole.
    unsafe {
        let part = p.n % UNIT;
        unroll!(u in UNITS, {
            let bias = V::load(p.bias.as_ptr().add(u * UNIT));
            unroll!(r in ROWS, { sums[r][u] = sums[r][u].add(bias) });
        });
        if !p.residual.is_null() {
            unroll!(r in ROWS, {
                let from = p.residual.add((row + r) * p.residual_stride);
                unroll!(u in UNITS, {
                    let is_part = u + 1 == UNITS && part != 0;
                    let from = from.add(u * UNIT);
                    let addend = if is_part { V::load_part(from, part) } else { V::load(from) };
                    sums[r][u] = sums[r][u].add(addend);
                });
            });
        }
        if let Some(clamp) = p.clamp {
            let lo = V::splat(clamp.lo);
            unroll!(r in ROWS, {
                unroll!(u in UNITS, { sums[r][u] = sums[r][u].at_least(lo) });
            });
            if clamp.hi < f32::INFINITY {
                let hi = V::splat(clamp.hi);
                unroll!(r in ROWS, {
                    unroll!(u in UNITS, { sums[r][u] = sums[r][u].at_most(hi) });
                });
            }
        }
        unroll!(r in ROWS, {
            let to = p.out.add((row + r) * p.out_stride);
            unroll!(u in UNITS, {
                let to = to.add(u * UNIT);
                if u + 1 == UNITS && part != 0 { sums[r][u].store_part(to, part) } else { sums[r][u].store(to) }
            });
        });
    }
}

/// Defines the tile `$name`: blocks of at most `$most` rows, as even as can be, so that no block is short. Those of one
/// height follow each other.
macro_rules! tile {
    ($name:ident: $lanes:ty, $sides:ty, $units:literal, $most:literal, [$($rows:literal)*] $(, $features:literal)?) => {
        /// # Safety
        /// The CPU has the tier; the panel's bounds have been checked.
        pub(super) unsafe fn $name(p: &Panel<$sides>) {
            /// # Safety
            /// As [`tile::rows`].
            $(#[target_feature(enable = $features)])?
            unsafe fn rows<const ROWS: usize>(p: &Panel<$sides>, from: usize, to: usize) {
                // SAFETY: the caller's.
                unsafe { tile::rows::<$lanes, $sides, $units, ROWS>(p, from, to) }
            }
            let m = p.to - p.from;
            let blocks = m.div_ceil($most);
            let (low, taller) = (m / blocks, m % blocks);
            let split = p.from + taller * (low + 1);
            for (height, from, to) in [(low + 1, p.from, split), (low, split, p.to)] {
                if from < to {
                    // SAFETY: the caller's; the two ranges are whole numbers of blocks of their height.
                    unsafe {
                        match height {
                            $($rows => rows::<$rows>(p, from, to),)*
                            _ => unreachable!("a block of {height} rows"),
                        }
                    }
                }
            }
        }
    };
}
pub(super) use tile;
