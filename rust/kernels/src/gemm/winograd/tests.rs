//! Every tier that has it against plain loops, byte for byte.

use super::*;
use crate::gemm::{Addition, Requantize, Residual, ResidualParams, RowScales};
use crate::isa;
use crate::table::Kernels;

/// A number of no pattern.
fn mixed(index: usize) -> u32 {
    (index as u32).wrapping_add(1).wrapping_mul(0x9E37_79B9).rotate_left(13).wrapping_mul(0x85EB_CA6B) >> 8
}

/// A convolution: height and width of the image, padding before and behind, channels, outputs.
struct Case {
    size: [usize; 2],
    pad: [usize; 4],
    kc: usize,
    n: usize,
    x: Vec<u8>,
    fill: Vec<u8>,
    weights: Vec<i8>,
}

impl Case {
    fn new(size: [usize; 2], pad: [usize; 4], kc: usize, n: usize, seed: usize) -> Case {
        let byte = |i: usize| mixed(i + seed) as u8;
        let x = (0..size[0] * size[1] * kc).map(|i| if i % 7 == 0 { 255 } else { byte(i) }).collect();
        let fill = (0..kc).map(|i| byte(i + 99)).collect();
        let weights = (0..n * 9 * kc).map(|i| byte(i + 777) as i8).collect();
        Case { size, pad, kc, n, x, fill, weights }
    }

    fn output(&self) -> [usize; 2] {
        [self.size[0] + self.pad[0] + self.pad[2] - 2, self.size[1] + self.pad[1] + self.pad[3] - 2]
    }

    fn image(&self) -> Image<'_> {
        let pad = [self.pad[0], self.pad[1]];
        Image {
            data: &self.x,
            size: self.size,
            channels: self.kc,
            pad,
            fill: &self.fill,
            output: self.output(),
        }
    }

    /// The sums, `[pixels][n]`.
    fn sums(&self) -> Vec<i64> {
        let [height, width] = self.output();
        let mut sums = Vec::new();
        for (y, x) in (0..height * width).map(|pixel| (pixel / width, pixel % width)) {
            for c in 0..self.n {
                let of_tap = |tap: usize| -> i64 {
                    let (iy, ix) =
                        ((y + tap / 3).wrapping_sub(self.pad[0]), (x + tap % 3).wrapping_sub(self.pad[1]));
                    let inside = iy < self.size[0] && ix < self.size[1];
                    let from = (iy.wrapping_mul(self.size[1]).wrapping_add(ix)).wrapping_mul(self.kc);
                    let pixel = if inside { &self.x[from..][..self.kc] } else { &self.fill[..] };
                    let weights = &self.weights[(c * 9 + tap) * self.kc..][..self.kc];
                    pixel.iter().zip(weights).map(|(&x, &w)| i64::from(x) * i64::from(w)).sum()
                };
                sums.push((0..9).map(of_tap).sum());
            }
        }
        sums
    }

    /// Runs all tiers by rows of tiles as given, into outputs that `out` makes of the whole image's values.
    fn run(
        &self,
        cuts: &[usize],
        each: impl Fn(&mut [u8], usize, &mut dyn FnMut(Out)),
    ) -> Vec<(&'static str, Vec<u8>)> {
        let [height, width] = self.output();
        let mut results = Vec::new();
        for kernels in isa::available().into_iter().filter_map(Kernels::new) {
            if kernels.row().gemm.winograd.is_none() {
                continue;
            }
            let mut packed = vec![0xA5; packed_len(self.n, self.kc)];
            pack(&self.weights, self.n, self.kc, &mut packed);
            let mut y = vec![0xA5; height * width * self.n];
            let mut scratch = vec![0x5A5A_5A5A; scratch_len(self.kc)];
            for rows in cuts.windows(2).map(|two| two[0]..two[1]).filter(|rows| !rows.is_empty()) {
                let (from, to) = (rows.start * TILE * width, (rows.end * TILE).min(height) * width);
                let part = &mut y[from * self.n..to * self.n];
                each(part, from, &mut |out| {
                    run(kernels, &self.image(), rows.clone(), &packed, self.n, &mut scratch, out);
                });
            }
            results.push((kernels.isa().name(), y));
        }
        results
    }
}

fn shapes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, size) in
        [[4, 4], [3, 3], [8, 8], [7, 9], [5, 18], [13, 13], [30, 6], [1, 1], [16, 50]].into_iter().enumerate()
    {
        for (j, pad) in [[1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 1], [2, 2, 2, 2]].into_iter().enumerate() {
            let (kc, n) = [(16, 16), (3, 5), (32, 64), (17, 33), (64, 80), (1, 1), (47, 16)][(3 * i + j) % 7];
            if size[0] + pad[0] + pad[2] > 2 && size[1] + pad[1] + pad[3] > 2 {
                cases.push(Case::new(size, pad, kc, n, 31 * i + j));
            }
        }
    }
    cases
}

#[test]
fn bytes_equal_plain_loops() {
    for case in shapes() {
        assert!(is_exact(&case.weights, case.n));
        let (n, rows) = (case.n, case.output()[0].div_ceil(TILE));
        let bias: Vec<i32> = (0..n).map(|c| mixed(c) as i32 % 9000 - 4000).collect();
        let multiplier: Vec<i32> =
            (0..n).map(|c| ((mixed(c + 5) as i32 & 0x7F_FFFF) | 0x80_0001) << 7).collect();
        let shift: Vec<i32> = (0..n).map(|c| 41 + (mixed(c + 9) % 4) as i32).collect();
        let residual: Vec<u8> = (0..case.sums().len()).map(|i| mixed(i) as u8).collect();
        let joined: Vec<i32> = (0..n).map(|c| mixed(c + 3) as i32 % (1 << 15)).collect();
        for (cuts, joins) in
            [(vec![0, rows], false), (vec![0, rows / 2, rows], true), (vec![0, 1, rows], true)]
        {
            let sums = case.sums();
            let expected: Vec<u8> = sums
                .iter()
                .enumerate()
                .map(|(at, &sum)| {
                    let c = at % n;
                    let term =
                        if joins { (i64::from(residual[at]) * i64::from(joined[c]) + 77) >> 9 } else { 0 };
                    let acc = i128::from(sum + term + i64::from(bias[c]));
                    let y = ((acc * i128::from(multiplier[c]) + (1 << (shift[c] - 1))) >> shift[c]) + 9;
                    y.clamp(3, 250) as u8
                })
                .collect();
            let found = case.run(&cuts, |y, from, call| {
                let (stride, data) = (n, &residual[from * n..]);
                let by = ResidualParams { multiplier: &joined, constant: &vec![77; n], shift: &vec![9; n] };
                let requantize = Requantize {
                    bias: &bias,
                    reach: 1 << 25,
                    multiplier: &multiplier,
                    shift: &shift,
                    zero_point: 9,
                    lo: 3,
                    hi: 250,
                };
                let residual = joins.then_some(Residual { data, stride, addition: Addition::ToSums(by) });
                call(Out::U8 { data: y, stride, requantize, residual });
            });
            for (isa, found) in found {
                let wrong = found.iter().zip(&expected).position(|(a, b)| a != b);
                assert_eq!(wrong, None, "{isa} {:?} {:?} {} to {n}, {cuts:?}", case.size, case.pad, case.kc);
            }
        }
    }
}

#[test]
fn floats_of_rows_equal_plain_loops() {
    let case = Case::new([9, 10], [1, 1, 1, 1], 20, 24, 4);
    let sums = case.sums();
    let (scale, zero) = (vec![1.0f32; 24], vec![0.0f32; 24]);
    let found = case.run(&[0, 3], |y, _, call| {
        let rows = RowScales { scale: &[1.0], zero_point: &[0] };
        let mut floats = vec![0f32; y.len()];
        let [lo, hi] = [f32::NEG_INFINITY, f32::INFINITY];
        call(Out::F32ByRow {
            data: &mut floats,
            stride: 24,
            rows,
            sums: &[0; 24],
            scale: &scale,
            bias: &zero,
            lo,
            hi,
        });
        for (at, (y, float)) in y.iter_mut().zip(floats).enumerate() {
            *y = u8::from(float == sums[at] as f32);
        }
    });
    assert!(found.iter().all(|(_, y)| y.iter().all(|&y| y == 1)));
}

#[test]
fn the_largest_sums_are_exact_up_to_the_bound_and_no_further() {
    // All pixels 255; 127 in as many places as the bound allows, and one more.
    let (kc, most) = (120, (1 << 25) / (255 * 127));
    for (count, sign) in [(most, 1), (most, -1), (most + 1, 1)] {
        let mut case = Case::new([6, 6], [0; 4], kc, 1, 0);
        case.x.fill(255);
        case.weights.fill(0);
        case.weights[..count].fill(sign * 127);
        assert_eq!(is_exact(&case.weights, 1), count == most);
        let sums = case.sums();
        let found = case.run(&[0, 1], |y, _, call| {
            let mut sums_found = vec![0f32; y.len()];
            let floats = &mut sums_found[..];
            call(Out::F32 {
                data: floats,
                stride: 1,
                acc_bias: &[0],
                x_scale: 1.0,
                scale: &[1.0],
                bias: &[0.0],
            });
            y.iter_mut().zip(sums_found).zip(&sums).for_each(|((y, a), &b)| *y = u8::from(a == b as f32));
        });
        for (isa, right) in found {
            assert_eq!(right.iter().all(|&right| right == 1), count == most, "{isa} {count} {sign}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let case = Case::new([8, 8], [1; 4], 16, 16, 0);
    let kernels =
        isa::available().into_iter().filter_map(Kernels::new).find(|k| k.row().gemm.winograd.is_some());
    let Some(kernels) = kernels else { return };
    let mut packed = vec![0; packed_len(16, 16)];
    pack(&case.weights, 16, 16, &mut packed);
    type Change<'a> = &'a dyn Fn(&mut Image<'_>, &mut Range<usize>, &mut usize, &mut usize);
    let refused = |change: Change<'_>| {
        let (mut image, mut rows, mut scratch, mut len) = (case.image(), 0..2, scratch_len(16), 64 * 16);
        change(&mut image, &mut rows, &mut scratch, &mut len);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut y = vec![0f32; len];
            let [acc_bias, scale] = [&[0; 16][..], &[0; 16]];
            let floats: Vec<f32> = scale.iter().map(|&x| x as f32).collect();
            let out =
                Out::F32 { data: &mut y, stride: 16, acc_bias, x_scale: 1.0, scale: &floats, bias: &floats };
            run(kernels, &image, rows.clone(), &packed, 16, &mut vec![0; scratch], out);
        }))
        .is_err()
    };
    assert!(!refused(&|_, _, _, _| {}));
    assert!(refused(&|image, _, _, _| image.data = &image.data[1..]));
    assert!(refused(&|image, _, _, _| image.fill = &image.fill[1..]));
    assert!(refused(&|image, _, _, _| image.channels = 15));
    assert!(refused(&|_, rows, _, _| rows.end = 3));
    assert!(refused(&|_, _, scratch, _| *scratch -= 1));
    assert!(refused(&|_, _, _, len| *len -= 1));
}
