//! The tile, written once over the vectors of a tier.

use super::super::epilogue::Clamp;
use super::{Left, Panel, UNIT};

/// The 16 columns of a unit in a tier's registers.
///
/// # Safety
/// The methods need the tier's CPU features, and pointers to as many elements as they read or write. They are inlined
/// into functions that are compiled for the tier.
pub(super) trait Lanes: Copy {
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
    /// [`Clamp::apply`].
    unsafe fn clamp(self, clamp: Clamp) -> Self;
}

/// What a tap in the padding reads. Longer taps are walked in blocks of as many steps.
static ZEROS: [f32; 1024] = [0.0; 1024];

/// Runs a block for `$i` in `0..$n` as straight code: a loop that the compiler leaves rolled would keep the sums in
/// memory. `$n` is at most 16.
macro_rules! unroll {
    ($i:ident in $n:expr, $body:block) => { unroll!(@ $i, $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15) };
    (@ $i:ident, $n:expr, $body:block, $($k:literal)*) => { $(if $k < $n { let $i = $k; $body })* };
}

/// Step `k` of a tap of a row.
///
/// # Safety
/// The row is one of a checked product, and `k` at most kc.
#[inline(always)]
unsafe fn start(left: &Left, row: usize, taps: usize, tap: usize, k: usize) -> *const f32 {
    // SAFETY: offsets has `taps` elements for each row; a row, or a tap whose offset is below `reach`, has kc elements.
    unsafe {
        match *left {
            Left::Dense { data, stride } => data.add(row * stride + k),
            Left::Indirect { data, reach, offsets } => {
                let offset = *offsets.add(row * taps + tap) as usize;
                if offset < reach { data.add(offset + k) } else { ZEROS.as_ptr() }
            }
        }
    }
}

/// Rows `from..to` of the panel, `ROWS` at a time.
///
/// # Safety
/// The CPU has the tier of `L`; the panel has been checked and has `UNITS` units; `from..to` is a whole number of
/// blocks of its rows.
#[inline(always)]
pub(super) unsafe fn rows<L: Lanes, const UNITS: usize, const ROWS: usize>(
    p: &Panel,
    from: usize,
    to: usize,
) {
    for row in (from..to).step_by(ROWS) {
        // SAFETY: the caller's.
        unsafe {
            let sums = sums::<L, UNITS, ROWS>(p, row);
            finish(p, row, sums);
        }
    }
}

/// The chains of `ROWS` rows.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn sums<L: Lanes, const UNITS: usize, const ROWS: usize>(p: &Panel, row: usize) -> [[L; UNITS]; ROWS] {
    // SAFETY: each tap of a row has kc elements, of which a block takes as many as ZEROS has at most; each unit has
    // taps * kc times 16 elements.
    unsafe {
        let mut sums = [[L::splat(0.0); UNITS]; ROWS];
        let mut w = p.packed;
        for tap in 0..p.taps {
            let mut block = 0;
            while block < p.kc {
                let steps = ZEROS.len().min(p.kc - block);
                let mut x = [std::ptr::null::<f32>(); ROWS];
                unroll!(r in ROWS, { x[r] = start(&p.left, row + r, p.taps, tap, block) });
                for k in 0..steps {
                    let mut columns = [L::splat(0.0); UNITS];
                    unroll!(u in UNITS, { columns[u] = L::load(w.add(u * p.unit_stride)) });
                    unroll!(r in ROWS, {
                        let x = L::splat(*x[r].add(k));
                        unroll!(u in UNITS, { sums[r][u] = sums[r][u].add_product(x, columns[u]) });
                    });
                    w = w.add(UNIT);
                }
                block += steps;
            }
        }
        sums
    }
}

/// The epilogue of `ROWS` rows.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn finish<L: Lanes, const UNITS: usize, const ROWS: usize>(
    p: &Panel,
    row: usize,
    mut sums: [[L; UNITS]; ROWS],
) {
    // SAFETY: the rows of the output and the residual have n columns, of which all but the last unit are whole.
    unsafe {
        let part = p.n % UNIT;
        unroll!(u in UNITS, {
            let bias = L::load(p.bias.as_ptr().add(u * UNIT));
            unroll!(r in ROWS, { sums[r][u] = sums[r][u].add(bias) });
        });
        if !p.residual.is_null() {
            unroll!(r in ROWS, {
                let from = p.residual.add((row + r) * p.residual_stride);
                unroll!(u in UNITS, {
                    let is_part = u + 1 == UNITS && part != 0;
                    let from = from.add(u * UNIT);
                    let addend = if is_part { L::load_part(from, part) } else { L::load(from) };
                    sums[r][u] = sums[r][u].add(addend);
                });
            });
        }
        if let Some(clamp) = p.clamp {
            unroll!(r in ROWS, {
                unroll!(u in UNITS, { sums[r][u] = sums[r][u].clamp(clamp) });
            });
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
    ($name:ident: $lanes:ty, $units:literal, $most:literal, [$($rows:literal)*] $(, $features:literal)?) => {
        /// # Safety
        /// The CPU has the tier; the panel's bounds have been checked.
        unsafe fn $name(p: &Panel) {
            /// # Safety
            /// As [`tile::rows`].
            $(#[target_feature(enable = $features)])?
            unsafe fn rows<const ROWS: usize>(p: &Panel, from: usize, to: usize) {
                // SAFETY: the caller's.
                unsafe { tile::rows::<$lanes, $units, ROWS>(p, from, to) }
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
