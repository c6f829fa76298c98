//! The softmax loops, compiled for each tier.

use super::Entries;

crate::plain::plain_tiers!(Entries {
    softmax(x: &[u8], n: usize, inner: usize, table: &[i32; 256], out: &mut [u8]) = softmax_source as "u8-softmax";
});

/// Positions of the inner axis that go through together.
const LANES: usize = 32;

#[inline(always)]
fn softmax_source(x: &[u8], n: usize, inner: usize, table: &[i32; 256], out: &mut [u8]) {
    for (x, out) in x.chunks_exact(n * inner).zip(out.chunks_exact_mut(n * inner)) {
        if inner == 1 {
            contiguous(x, table, out);
        } else {
            strided(x, n, inner, table, out);
        }
    }
}

#[inline(always)]
fn contiguous(x: &[u8], table: &[i32; 256], out: &mut [u8]) {
    let max = x.iter().fold(0, |max, &x| max.max(x));
    let sum = x.iter().map(|&x| i64::from(table[usize::from(max - x)])).sum();
    if x.len() < 256 {
        for (&x, out) in x.iter().zip(out) {
            *out = share_of_few(table[usize::from(max - x)], sum);
        }
    } else {
        // By distance from the maximum, so that the division is done once for each.
        let mut shares = [0; 256];
        if x.len() <= FEW {
            for (share, &exponential) in shares.iter_mut().zip(table) {
                *share = share_of_few(exponential, sum);
            }
        } else {
            for (share, &exponential) in shares.iter_mut().zip(table) {
                *share = share_of_many(exponential, sum);
            }
        }
        for (&x, out) in x.iter().zip(out) {
            *out = shares[usize::from(max - x)];
        }
    }
}

#[inline(always)]
fn strided(x: &[u8], n: usize, inner: usize, table: &[i32; 256], out: &mut [u8]) {
    for start in (0..inner).step_by(LANES) {
        let lanes = LANES.min(inner - start);
        let mut max = [0u8; LANES];
        for i in 0..n {
            for (max, &x) in max.iter_mut().zip(&x[i * inner + start..][..lanes]) {
                *max = x.max(*max);
            }
        }
        let mut sum = [0i64; LANES];
        for i in 0..n {
            for lane in 0..lanes {
                let x = x[i * inner + start + lane];
                sum[lane] += i64::from(table[usize::from(max[lane] - x)]);
            }
        }
        for i in 0..n {
            let at = i * inner + start;
            for lane in 0..lanes {
                let exponential = table[usize::from(max[lane] - x[at + lane])];
                out[at + lane] = if n < 256 {
                    share_of_few(exponential, sum[lane])
                } else {
                    share_of_many(exponential, sum[lane])
                };
            }
        }
    }
}

/// Terms up to which [`share_of_few`] is exact.
const FEW: usize = 1 << 13;

/// `min(255, floor((512 * exponential + sum) / (2 * sum)))`; 0 where the sum is 0.
#[inline(always)]
fn share_of_many(exponential: i32, sum: i64) -> u8 {
    let share = (512 * i64::from(exponential) + sum).checked_div(2 * sum);
    share.unwrap_or(0).clamp(0, 255) as u8
}

/// [`share_of_many`] for a sum of at most [`FEW`] terms, by a division in float64, which vectorises.
///
/// Both integers are below 2^45 and so exact in float64. A quotient below an integer `k <= 256` is below it by at least
/// `1 / (2 * sum) > 2^-45`, the distance between float64 numbers there, so no rounding reaches `k`, and truncation
/// gives the floor.
#[inline(always)]
fn share_of_few(exponential: i32, sum: i64) -> u8 {
    let share = (512 * i64::from(exponential) + sum) as f64 / (2 * sum) as f64;
    // A cast from float saturates, and takes the NaN of 0 / 0 to 0.
    share as u8
}
