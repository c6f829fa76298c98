//! Averages whose sums become bytes in a tier's registers.

use std::marker::PhantomData;
use std::ops::Range;

use super::plain::{BLOCK, Finish, Plain, average_source, mean_source};
use super::{Average, Mean, Window};
use crate::requantize::{Clamp, UniformScale};
use crate::simd::Vector;

/// Average pool.
///
/// # Safety
/// The CPU has the tier of `V`.
#[inline(always)]
pub(super) unsafe fn average<V: Vector>(
    x: &[u8],
    window: &Window,
    rows: Range<usize>,
    average: &Average<'_>,
    out: &mut [u8],
) {
    // SAFETY: the caller's.
    let finish = unsafe { Registers::<V>::new() };
    average_source(x, window, rows, average, out, finish);
}

/// The mean of all rows.
///
/// # Safety
/// The CPU has the tier of `V`.
#[inline(always)]
pub(super) unsafe fn mean<V: Vector>(x: &[u8], channels: usize, mean: &Mean, out: &mut [u8]) {
    // SAFETY: the caller's.
    let finish = unsafe { Registers::<V>::new() };
    mean_source(x, channels, mean.x_zero_point, mean, out, finish);
}

/// The tier of `V`, which the CPU has.
struct Registers<V>(PhantomData<V>);

impl<V> Registers<V> {
    /// # Safety
    /// The CPU has the tier of `V`.
    unsafe fn new() -> Registers<V> {
        Registers(PhantomData)
    }
}

impl<V: Vector> Finish<Mean, u8> for Registers<V> {
    /// Four registers of sums at a time, then one; the last one overlaps the one before it.
    #[inline(always)]
    fn finish(&self, sums: &[i32; BLOCK], offset: i32, reach: i64, mean: &Mean, out: &mut [u8]) {
        let length = out.len().min(BLOCK);
        if length < V::LANES {
            return Plain.finish(sums, offset, reach, mean, out);
        }
        // SAFETY: `self` proves the tier; whole registers of sums and of as many bytes lie inside the block and the
        // output.
        unsafe {
            let Some(scale) = UniformScale::<V>::new(mean.multiplier, mean.shift, reach) else {
                return Plain.finish(sums, offset, reach, mean, out);
            };
            let clamp = Clamp::new(mean.y_zero_point, mean.lo, mean.hi);
            let (sums, out, offset) = (sums.as_ptr(), out.as_mut_ptr(), V::splat(offset));
            let mut done = 0;
            while done + V::BYTES <= length {
                let mut four = [offset; 4];
                for (register, sum) in four.iter_mut().enumerate() {
                    *sum = scale.apply(V::load(sums.add(done + register * V::LANES)).sub(offset));
                }
                clamp.bytes(four).in_order().store_bytes(out.add(done));
                done += V::BYTES;
            }
            while done < length {
                let at = done.min(length - V::LANES);
                let one = scale.apply(V::load(sums.add(at)).sub(offset));
                clamp.bytes_of_two([one, one]).in_order().store_quarter(0, out.add(at));
                done += V::LANES;
            }
        }
    }
}
