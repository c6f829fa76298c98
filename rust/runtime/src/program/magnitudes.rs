//! Sums of the magnitudes of int8 weights, which bound what a product can reach.

/// Magnitudes of int8 that a sum of 16 bits holds.
const SHORT: usize = 256;

/// The sum of the magnitudes of weights: in short sums, which vectors hold many of.
fn magnitude(weights: &[i8]) -> i64 {
    let short = |part: &[i8]| part.iter().map(|w| u16::from(w.unsigned_abs())).sum::<u16>();
    weights.chunks(SHORT).map(|part| i64::from(short(part))).sum()
}

/// The sum of the magnitudes of each output's weights, which lie together.
pub fn magnitudes_by_output(weights: &[i8], outputs: usize) -> Vec<i64> {
    weights.chunks_exact((weights.len() / outputs.max(1)).max(1)).map(magnitude).collect()
}

/// The sum of the magnitudes of each column of weights `[.., n]`.
pub fn magnitudes(weights: &[i8], n: usize) -> Vec<i64> {
    let mut sums = vec![0; n];
    let mut short = vec![0u16; n];
    for rows in weights.chunks(SHORT * n) {
        for row in rows.chunks_exact(n) {
            short.iter_mut().zip(row).for_each(|(sum, w)| *sum += u16::from(w.unsigned_abs()));
        }
        for (sum, short) in sums.iter_mut().zip(&mut short) {
            *sum += i64::from(std::mem::take(short));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_are_added_in_full() {
        let (rows, n) = (1500, 3);
        let weights: Vec<i8> = (0..rows * n).map(|i| if i % 7 == 0 { 5 } else { -128 }).collect();
        let plain = |column: usize| -> i64 {
            weights.iter().skip(column).step_by(n).map(|&w| i64::from(w).abs()).sum()
        };
        assert_eq!(magnitudes(&weights, n), [plain(0), plain(1), plain(2)]);
        assert_eq!(magnitude(&weights), plain(0) + plain(1) + plain(2));
        assert_eq!(magnitude(&[]), 0);
    }
}
