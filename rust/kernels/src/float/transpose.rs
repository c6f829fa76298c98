//! Transposition of a matrix: what brings a tensor from one layout to another.

use crate::isa::{Entry, Has, code};

type Run = unsafe fn(&[f32], usize, usize, usize, &mut [f32]);

/// A tier's kernels of this family.
#[derive(Debug)]
pub struct Entries {
    /// Transpositions of a matrix of elements of four bytes.
    pub transpose: Entry<Run>,
}

pub(crate) const SCALAR: Entries =
    Entries { transpose: Entry { name: "scalar-f32-transpose", code: Some(kernel) } };
pub(crate) const AVX2: Entries =
    Entries { transpose: Entry { name: "avx2-f32-transpose", code: code!("x86_64": x86::avx2) } };
pub(crate) const AVX512VNNI: Entries = AVX2;
pub(crate) const NEON: Entries =
    Entries { transpose: Entry { name: "neon-f32-transpose", code: code!("aarch64": neon::run) } };

/// `[rows, columns]`, its rows `stride` elements apart, becomes `[columns, rows]`; every element keeps its bits.
pub fn run(k: impl Has<Entries>, x: &[f32], stride: usize, rows: usize, columns: usize, out: &mut [f32]) {
    assert_eq!(rows.checked_mul(columns), Some(out.len()), "output");
    if out.is_empty() {
        return;
    }
    let length = (rows - 1).checked_mul(stride).and_then(|length| length.checked_add(columns));
    assert!(stride >= columns && length == Some(x.len()), "input");
    // SAFETY: `k` proves that the CPU has the tier's features; the slices have the lengths of the matrix, and the output
    // is not empty.
    unsafe { (k.entries().transpose.code())(x, stride, rows, columns, out) }
}

/// In blocks that stay in the first-level cache.
#[inline(always)]
pub(super) fn kernel(x: &[f32], stride: usize, rows: usize, columns: usize, out: &mut [f32]) {
    const BLOCK: usize = 32;
    for first in (0..rows).step_by(BLOCK) {
        let last = (first + BLOCK).min(rows);
        for c in 0..columns {
            let y = &mut out[c * rows + first..c * rows + last];
            for (y, x) in y.iter_mut().zip(x[first * stride + c..].iter().step_by(stride)) {
                *y = *x;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// Rows and columns of a block.
    const BLOCK: usize = 8;

    /// # Safety
    /// The CPU has AVX2; `x` has the elements from the first to the last of the matrix, of which there are some, and
    /// `out` has `rows * columns`.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2(x: &[f32], stride: usize, rows: usize, columns: usize, out: &mut [f32]) {
        if rows < BLOCK && columns < BLOCK {
            return super::kernel(x, stride, rows, columns, out);
        }
        // The last block of a long side overlaps the one before; a short side has one block, whose lanes beyond it are
        // the next row's elements on reading, and are overwritten by the next row's on writing.
        let (tall, wide) = (rows.max(BLOCK) - BLOCK, columns.max(BLOCK) - BLOCK);
        // Two blocks side by side take up a whole line of each row, which may be gone from the cache later.
        for pair in (0..columns).step_by(2 * BLOCK) {
            for r in (0..rows).step_by(BLOCK).map(|r| r.min(tall)) {
                for c in (pair..columns.min(pair + 2 * BLOCK)).step_by(BLOCK).map(|c| c.min(wide)) {
                    let (height, width) = (BLOCK.min(rows), BLOCK.min(columns));
                    let reads_to = (r + height - 1) * stride + c + BLOCK;
                    let writes_to = (c + width - 1) * rows + r + BLOCK;
                    if reads_to <= x.len() && writes_to <= out.len() {
                        // SAFETY: the last element that is read, and the last written, are in the slices; the rest lie
                        // before them.
                        unsafe {
                            let from = x.as_ptr().add(r * stride + c);
                            block(from, stride, height, out.as_mut_ptr().add(c * rows + r), rows, width);
                        }
                    } else {
                        for (r, c) in (r..r + height).flat_map(|r| (c..c + width).map(move |c| (r, c))) {
                            out[c * rows + r] = x[r * stride + c];
                        }
                    }
                }
            }
        }
    }

    /// `height` rows of 8 elements, `from_step` apart, become `width` rows of 8, in rising order.
    ///
    /// # Safety
    /// The CPU has AVX2; the rows can be read and written.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn block(
        from: *const f32,
        from_step: usize,
        height: usize,
        to: *mut f32,
        to_step: usize,
        width: usize,
    ) {
        let mut rows = [_mm256_setzero_ps(); BLOCK];
        for (i, row) in rows.iter_mut().enumerate() {
            if i < height {
                // SAFETY: the caller's promise.
                *row = unsafe { _mm256_loadu_ps(from.add(i * from_step)) };
            }
        }
        let pairs: [__m256; 8] = [
            _mm256_unpacklo_ps(rows[0], rows[1]),
            _mm256_unpackhi_ps(rows[0], rows[1]),
            _mm256_unpacklo_ps(rows[2], rows[3]),
            _mm256_unpackhi_ps(rows[2], rows[3]),
            _mm256_unpacklo_ps(rows[4], rows[5]),
            _mm256_unpackhi_ps(rows[4], rows[5]),
            _mm256_unpacklo_ps(rows[6], rows[7]),
            _mm256_unpackhi_ps(rows[6], rows[7]),
        ];
        let fours: [__m256; 8] = [
            _mm256_shuffle_ps::<0x44>(pairs[0], pairs[2]),
            _mm256_shuffle_ps::<0xee>(pairs[0], pairs[2]),
            _mm256_shuffle_ps::<0x44>(pairs[1], pairs[3]),
            _mm256_shuffle_ps::<0xee>(pairs[1], pairs[3]),
            _mm256_shuffle_ps::<0x44>(pairs[4], pairs[6]),
            _mm256_shuffle_ps::<0xee>(pairs[4], pairs[6]),
            _mm256_shuffle_ps::<0x44>(pairs[5], pairs[7]),
            _mm256_shuffle_ps::<0xee>(pairs[5], pairs[7]),
        ];
        let columns: [__m256; 8] = [
            _mm256_permute2f128_ps::<0x20>(fours[0], fours[4]),
            _mm256_permute2f128_ps::<0x20>(fours[1], fours[5]),
            _mm256_permute2f128_ps::<0x20>(fours[2], fours[6]),
            _mm256_permute2f128_ps::<0x20>(fours[3], fours[7]),
            _mm256_permute2f128_ps::<0x31>(fours[0], fours[4]),
            _mm256_permute2f128_ps::<0x31>(fours[1], fours[5]),
            _mm256_permute2f128_ps::<0x31>(fours[2], fours[6]),
            _mm256_permute2f128_ps::<0x31>(fours[3], fours[7]),
        ];
        for (i, &column) in columns.iter().enumerate() {
            if i < width {
                // SAFETY: the caller's promise.
                unsafe { _mm256_storeu_ps(to.add(i * to_step), column) };
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    /// Rows and columns of a block.
    const BLOCK: usize = 4;

    /// # Safety
    /// The CPU has NEON; `x` has the elements from the first to the last of the matrix, of which there are some, and
    /// `out` has `rows * columns`.
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn run(x: &[f32], stride: usize, rows: usize, columns: usize, out: &mut [f32]) {
        if rows < BLOCK || columns < BLOCK {
            return super::kernel(x, stride, rows, columns, out);
        }
        // The last block of a side overlaps the one before. Four blocks side by side take up a whole line of each row.
        for group in (0..columns).step_by(4 * BLOCK) {
            for r in (0..rows).step_by(BLOCK).map(|r| r.min(rows - BLOCK)) {
                let group = group..columns.min(group + 4 * BLOCK);
                for c in group.step_by(BLOCK).map(|c| c.min(columns - BLOCK)) {
                    // SAFETY: four rows of four elements from there on are in the matrix, and so they are in its transpose.
                    unsafe {
                        block(
                            x.as_ptr().add(r * stride + c),
                            stride,
                            out.as_mut_ptr().add(c * rows + r),
                            rows,
                        );
                    }
                }
            }
        }
    }

    /// 4 rows of 4 elements, `from_step` apart, become columns.
    ///
    /// # Safety
    /// The CPU has NEON; the rows can be read and written.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn block(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        // SAFETY: the caller's promise.
        let rows: [float32x4_t; BLOCK] =
            std::array::from_fn(|i| unsafe { vld1q_f32(from.add(i * from_step)) });
        let (even, odd) = (vtrnq_f32(rows[0], rows[1]), vtrnq_f32(rows[2], rows[3]));
        let pairs = |a: float32x4_t, b: float32x4_t| {
            let (a, b) = (vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b));
            (vreinterpretq_f32_f64(vzip1q_f64(a, b)), vreinterpretq_f32_f64(vzip2q_f64(a, b)))
        };
        let ((first, third), (second, fourth)) = (pairs(even.0, odd.0), pairs(even.1, odd.1));
        for (i, column) in [first, second, third, fourth].into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { vst1q_f32(to.add(i * to_step), column) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::available;
    use crate::table::Kernels;

    #[test]
    fn every_element_comes_to_its_place() {
        let sides: Vec<usize> = (1..=17).chain([31, 32, 33, 40, 75]).collect();
        for (rows, columns) in
            sides.iter().flat_map(|&rows| sides.iter().map(move |&columns| (rows, columns)))
        {
            for stride in [columns, columns + 5] {
                let length = (rows - 1) * stride + columns;
                // Signalling NaNs among them.
                let x: Vec<f32> = (0..length as u32).map(|i| f32::from_bits(i * 0x0008_0001)).collect();
                for isa in available() {
                    const GUARD: usize = 16;
                    let mut guarded = vec![7.5f32; GUARD + rows * columns + GUARD];
                    let y = &mut guarded[GUARD..][..rows * columns];
                    run(Kernels::new(isa).expect("available"), &x, stride, rows, columns, y);
                    let is_right = |i: usize| y[i].to_bits() == x[i % rows * stride + i / rows].to_bits();
                    assert!((0..y.len()).all(is_right), "{isa}: {rows} x {columns}, {stride} apart");
                    let beside = guarded[..GUARD].iter().chain(&guarded[GUARD + rows * columns..]);
                    assert!(
                        beside.copied().all(|y| y == 7.5),
                        "{isa}: {rows} x {columns}: written beside it"
                    );
                }
            }
        }
    }
}
