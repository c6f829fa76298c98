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
    if x.len() < 256 {
        let mut exponentials = [0; 256];
        let exponentials = &mut exponentials[..x.len()];
        for (exponential, &x) in exponentials.iter_mut().zip(x) {
            *exponential = table[usize::from(max - x)];
        }
        // Below 2^8 * 2^31.
        let shares = Shares::new(exponentials.iter().map(|&exponential| i64::from(exponential)).sum());
        for (out, &exponential) in out.iter_mut().zip(&*exponentials) {
            *out = shares.of(exponential);
        }
        return;
    }
    let sum = x.iter().map(|&x| i64::from(table[usize::from(max - x)])).sum();
    // By distance from the maximum, so that each is made once.
    let mut shares = [0; 256];
    if sum < SUM_END {
        let of = Shares::new(sum);
        shares.iter_mut().zip(table).for_each(|(share, &exponential)| *share = of.of(exponential));
    } else {
        shares.iter_mut().zip(table).for_each(|(share, &exponential)| *share = share_of_many(exponential, sum));
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
/// Half is added to the numerator, an integer: what was an integer `k` is now above it by `1 / (4 * sum)`, what was below `k`
/// still is by as much, which is more than `2^-43`. Below 256, the product by the reciprocal is at most `2^-45 + 2^-46` off and
/// the sum `2^-46` more, each rounded once in float64: truncation gives the floor.
#[derive(Clone, Copy)]
struct Shares {
    /// `512 / (2 * sum)`.
    factor: f64,
    /// `(sum + 1/2) / (2 * sum)`.
    start: f64,
}

impl Shares {
    #[inline(always)]
    fn new(sum: i64) -> Shares {
        let reciprocal = 1.0 / (2 * sum) as f64;
        Shares { factor: 512.0 * reciprocal, start: (sum as f64 + 0.5) * reciprocal }
    }

    #[inline(always)]
    fn of(self, exponential: i32) -> u8 {
        // A cast from float saturates, and takes the NaN of no sum to 0.
        (f64::from(exponential) * self.factor + self.start) as u8
    }
}
