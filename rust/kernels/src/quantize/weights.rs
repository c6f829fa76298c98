//! Integers of any width, as weights are stored, to float32.

/// How integers lie in bytes: one after the other, the lowest bits of a byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    /// Bits an integer: 1 to 8, 16 or 32.
    pub bits: usize,
    /// Whether the highest bit is a sign.
    pub is_signed: bool,
}

/// The integers from number `first` on, as many as `out` takes.
///
/// # Panics
/// Where the bytes do not hold them.
pub fn unpack(bytes: &[u8], width: Width, first: usize, out: &mut [i32]) {
    let Width { bits, is_signed } = width;
    let spare = 32 - bits as u32;
    for (at, out) in (first * bits..).step_by(bits).zip(out) {
        // Three of four bytes are behind the last element at most: only those that hold it are read.
        let (from, to) = (at / 8, (at + bits).div_ceil(8));
        let word = bytes[from..to].iter().rev().fold(0u32, |word, &byte| word << 8 | u32::from(byte));
        let raised = (word >> (at % 8)) << spare;
        *out = if is_signed { raised as i32 >> spare } else { (raised >> spare) as i32 };
    }
}

/// `scale * float32(q - zero_point)` of one scale and zero point.
pub fn dequantize_by_one(q: &[i32], scale: f32, zero_point: i32, out: &mut [f32]) {
    for (out, &q) in out.iter_mut().zip(q) {
        *out = scale * (i64::from(q) - i64::from(zero_point)) as f32;
    }
}

/// The same of a scale and a zero point each.
pub fn dequantize_by_each(q: &[i32], scale: &[f32], zero_point: &[i32], out: &mut [f32]) {
    for (((out, &q), &scale), &zero_point) in out.iter_mut().zip(q).zip(scale).zip(zero_point) {
        *out = scale * (i64::from(q) - i64::from(zero_point)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the sum of the bits' powers of two.
    #[test]
    fn every_width_from_every_place() {
        let bytes: Vec<u8> = (0..24u32).map(|i| (i * 167 + 41) as u8).collect();
        let bit = |at: usize| i64::from(bytes[at / 8] >> (at % 8) & 1);
        for bits in [1, 2, 3, 4, 5, 6, 7, 8, 16, 32] {
            let count = bytes.len() * 8 / bits;
            for is_signed in [false, true] {
                if bits == 32 && !is_signed {
                    continue;
                }
                let expected: Vec<i64> = (0..count)
                    .map(|i| {
                        let power = |k: usize| if is_signed && k == bits - 1 { -(1i64 << k) } else { 1 << k };
                        (0..bits).map(|k| bit(i * bits + k) * power(k)).sum()
                    })
                    .collect();
                for first in 0..count {
                    let mut out = vec![0; count - first];
                    unpack(&bytes, Width { bits, is_signed }, first, &mut out);
                    let found: Vec<i64> = out.into_iter().map(i64::from).collect();
                    assert_eq!(found, expected[first..], "{bits} bits from {first}");
                }
            }
        }
    }

    #[test]
    fn differences_are_exact_before_they_are_rounded() {
        let mut out = [0.0; 2];
        dequantize_by_one(&[i32::MIN, i32::MAX], 0.5, 1, &mut out);
        assert_eq!(out, [-1073741824.5f64 as f32, 1073741823.0f64 as f32]);
        dequantize_by_each(&[3, -7], &[0.25, 2.0], &[5, -8], &mut out);
        assert_eq!(out, [-0.5, 2.0]);
    }
}
