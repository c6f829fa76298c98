//! The softmax loops, compiled for each tier.

use super::Entries;
use crate::requantize::words::ROUND;

crate::plain::plain_tiers!(Entries {
    softmax(x: &[u8], n: usize, inner: usize, table: &[i32; 256], out: &mut [u8]) = softmax_source as "u8-softmax";
});

/// Positions of the inner axis that go through together.
const LANES: usize = 32;

#[inline(always)]
fn softmax_source(x: &[u8], n: usize, inner: usize, table: &[i32; 256], out: &mut [u8]) {
    if inner > 1 {
        for (x, out) in x.chunks_exact(n * inner).zip(out.chunks_exact_mut(n * inner)) {
            strided(x, n, inner, table, out);
        }
        return;
    }
    // From the largest distance to the smallest, so that a value is the place of its own exponential.
    let mut rising = [0; 511];
    rising.iter_mut().zip(table.iter().rev()).for_each(|(to, &exponential)| *to = exponential);
    for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        let max = x.iter().fold(0, |max, &x| max.max(x));
        let (from_max, _) = rising[255 - usize::from(max)..].split_first_chunk::<256>().expect("511 - 255");
        match n {
            0..=SHORT => short::<SHORT>(x, from_max, out),
            _ if n < 256 => short::<256>(x, from_max, out),
            _ => long(x, max, from_max, table, out),
        }
    }
}

/// Elements of a row whose exponentials take little to have room for.
const SHORT: usize = 32;

/// A row of at most `N` elements, whose exponentials lie at their values.
#[inline(always)]
fn short<const N: usize>(x: &[u8], of: &[i32; 256], out: &mut [u8]) {
    let mut exponentials = [0; N];
    let exponentials = &mut exponentials[..x.len()];
    for (exponential, &x) in exponentials.iter_mut().zip(x) {
        *exponential = of[usize::from(x)];
    }
    // Below 2^8 * 2^31.
    let shares = Shares::new(exponentials.iter().map(|&exponential| i64::from(exponential)).sum());
    for (out, &exponential) in out.iter_mut().zip(&*exponentials) {
        *out = shares.of(exponential);
    }
}

/// A longer row: the share of each distance from the maximum is made once.
#[inline(always)]
fn long(x: &[u8], max: u8, of: &[i32; 256], table: &[i32; 256], out: &mut [u8]) {
    let sum = x.iter().map(|&x| i64::from(of[usize::from(x)])).sum();
    let mut shares = [0; 256];
    if sum < SUM_END {
        let of = Shares::new(sum);
        shares.iter_mut().zip(table).for_each(|(share, &exponential)| *share = of.of(exponential));
    } else {
        shares
            .iter_mut()
            .zip(table)
            .for_each(|(share, &exponential)| *share = share_of_many(exponential, sum));
    }
    for (&x, out) in x.iter().zip(out) {
        *out = shares[usize::from(max - x)];
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
        let shares = sum.map(Shares::new);
        let are_small = sum.iter().all(|&sum| sum < SUM_END);
        for i in 0..n {
            let at = i * inner + start;
            for lane in 0..lanes {
                let exponential = table[usize::from(max[lane] - x[at + lane])];
                out[at + lane] = if are_small {
                    shares[lane].of(exponential)
                } else {
                    share_of_many(exponential, sum[lane])
                };
            }
        }
    }
}

/// Sums below this have [`Shares`].
const SUM_END: i64 = 1 << 41;

/// `min(255, floor((512 * exponential + sum) / (2 * sum)))`; 0 where the sum is 0.
#[inline(always)]
fn share_of_many(exponential: i32, sum: i64) -> u8 {
    let share = (512 * i64::from(exponential) + sum).checked_div(2 * sum);
    share.unwrap_or(0).clamp(0, 255) as u8
}

/// [`share_of_many`] for a sum below [`SUM_END`], by one division for all of its terms.
///
/// The floor is `256 * exponential / sum` rounded to nearest, ties up. Between it and a tie lies nothing, or `1 / (2 * sum)` at
/// least; `1 / (4 * sum)` is added, so that there are no ties, and what is `1 / (4 * sum)` off, more than `2^-43`, rounds alike.
/// The quotient and the product are each rounded once in float64, which makes at most `2^-45 + 2^-46` below 256; adding
/// [`ROUND`] rounds to nearest.
#[derive(Clone, Copy)]
struct Shares {
    /// `256 / sum`, or 0 for no sum.
    factor: f64,
}

impl Shares {
    #[inline(always)]
    fn new(sum: i64) -> Shares {
        Shares { factor: if sum == 0 { 0.0 } else { 256.0 / sum as f64 } }
    }

    #[inline(always)]
    fn of(self, exponential: i32) -> u8 {
        let share = (f64::from(exponential) + 1.0 / 1024.0) * self.factor + ROUND;
        (share.to_bits() as u32).min(255) as u8
    }
}
