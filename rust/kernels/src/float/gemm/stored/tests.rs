//! Products by stored weights on every tier against a plain chain of `mul_add` of each weight dequantized by itself.

use super::super::{run_stored, select};
use super::{Form, Weights};
use crate::float::epilogue::{Epilogue, Residual};
use crate::float::unary::Unary;
use crate::isa::{Isa, available};
use crate::table::{Kernels, TABLE};

fn mix(i: usize, seed: u32) -> u32 {
    (i as u32 ^ seed.wrapping_mul(0x9e37_79b1))
        .wrapping_mul(0x85eb_ca77)
        .rotate_left(13)
        .wrapping_mul(0xc2b2_ae35)
}

fn noise(len: usize, seed: u32) -> Vec<f32> {
    (0..len).map(|i| mix(i, seed) as i32 as f32 / i32::MAX as f32).collect()
}

fn bytes(len: usize, seed: u32, bits: usize) -> Vec<u8> {
    (0..len).map(|i| (mix(i, seed) >> (32 - bits)) as u8).collect()
}

/// Weights of a form, and how they lie: column after column, or step after step.
struct Case {
    form: Form,
    codes: Vec<u8>,
    scales: Vec<f32>,
    zeros: Vec<u8>,
    by_column: bool,
}

impl Case {
    fn new(form: Form, by_column: bool) -> Case {
        let Form { bits, n, k, block } = form;
        let blocks = n * k.div_ceil(block);
        let scales = noise(blocks, 2).iter().map(|x| x.abs() + 0.001).collect();
        Case { form, codes: bytes(n * k, 1, bits), scales, zeros: bytes(blocks, 3, bits), by_column }
    }

    fn strides(&self, along: usize) -> [usize; 2] {
        if self.by_column { [along, 1] } else { [1, self.form.n] }
    }

    fn packed(&self) -> Vec<u8> {
        let Form { k, block, .. } = self.form;
        let (codes, zeros, scales) = (&self.codes, &self.zeros, &self.scales);
        let (strides, scale_strides) = (self.strides(k), self.strides(k.div_ceil(block)));
        let mut out = vec![0; self.form.packed_len()];
        self.form.pack(&Weights { codes, strides, scales, zeros, scale_strides }, &mut out);
        out
    }

    fn weight(&self, column: usize, step: usize) -> f32 {
        let Form { k, block, .. } = self.form;
        let at = |[a, b]: [usize; 2], step: usize| column * a + step * b;
        let place = at(self.strides(k.div_ceil(block)), step / block);
        let code = self.codes[at(self.strides(k), step)];
        self.scales[place] * (i32::from(code) - i32::from(self.zeros[place])) as f32
    }

    /// m rows, `k + 1` elements apart, times the weights, then the epilogue.
    fn check(&self, m: usize, epilogue: &Epilogue<'_>) {
        let Form { n, k, .. } = self.form;
        let (x, packed) = (noise(m * (k + 1), 5), self.packed());
        let mut expected = vec![0.0; m * n];
        for (at, y) in expected.iter_mut().enumerate() {
            let (row, column) = (at / n, at % n);
            *y =
                (0..k).fold(0.0, |sum, step| x[row * (k + 1) + step].mul_add(self.weight(column, step), sum));
            *y += epilogue.bias.map_or(-0.0, |bias| bias[column]);
            *y += epilogue.residual.map_or(-0.0, |residual| residual.data[row * n + column]);
            if epilogue.activation.is_some() {
                *y = y.max(0.0);
            }
        }
        for kernels in available().into_iter().filter_map(Kernels::new) {
            let mut given = vec![77.0; m * n];
            run_stored(kernels, m, &x, k + 1, &packed, self.form, epilogue, &mut given, n);
            let wrong = given.iter().zip(&expected).position(|(g, e)| g.to_bits() != e.to_bits());
            assert_eq!(wrong, None, "{}: {m} rows by {:?}", kernels.isa(), self.form);
        }
    }
}

#[test]
fn every_height_and_width() {
    for bits in [4, 8] {
        for n in [1, 15, 16, 17, 32, 63, 64, 70, 130, 150] {
            let case = Case::new(Form { bits, n, k: 9, block: 4 }, n % 2 == 0);
            for m in [1, 2, 3, 4, 6, 7, 13] {
                case.check(m, &Epilogue::default());
            }
        }
    }
}

/// Blocks shorter and longer than what is unpacked at a time, whole and not, of odd and even lengths.
#[test]
fn every_block() {
    for bits in [4, 8] {
        for (k, block) in
            [(0, 8), (1, 8), (8, 8), (31, 32), (32, 32), (33, 32), (95, 16), (130, 64), (130, 130), (77, 31)]
        {
            let case = Case::new(Form { bits, n: 35, k, block }, k % 2 == 1);
            for m in [1, 2, 5] {
                case.check(m, &Epilogue::default());
            }
        }
    }
}

#[test]
fn epilogues() {
    let case = Case::new(Form { bits: 4, n: 83, k: 40, block: 32 }, true);
    for m in [1, 3] {
        let (bias, data) = (noise(83, 6), noise(83 * m, 7));
        let residual = Some(Residual { data: &data, stride: 83 });
        case.check(m, &Epilogue { bias: Some(&bias), residual, activation: Some(Unary::Relu) });
    }
}

#[test]
fn shapes_pick_tiles_by_name() {
    let picked = |isa: Isa, m, n| {
        let row = TABLE.iter().find(|row| row.isa == isa).expect("a tier of the table");
        let entries = &row.float_gemm;
        [select(&entries.nibbles, m, n).name, select(&entries.bytes, m, n).name]
    };
    assert_eq!(picked(Isa::Scalar, 1, 1000), ["scalar-f32u4-gemm-4x16", "scalar-f32u8-gemm-4x16"]);
    assert_eq!(picked(Isa::Avx2, 1, 1000), ["avx2-f32u4-gemm-3x32", "avx2-f32u8-gemm-1x64"]);
    assert_eq!(picked(Isa::Avx2, 4, 1000), ["avx2-f32u4-gemm-6x16", "avx2-f32u8-gemm-6x16"]);
    assert_eq!(
        picked(Isa::Avx512Vnni, 1, 1000),
        ["avx512vnni-f32u4-gemm-1x128", "avx512vnni-f32u8-gemm-1x128"]
    );
    assert_eq!(
        picked(Isa::Avx512Vnni, 4, 1000),
        ["avx512vnni-f32u4-gemm-6x64", "avx512vnni-f32u8-gemm-6x64"]
    );
    assert_eq!(picked(Isa::Avx512Vnni, 1, 40), ["avx512vnni-f32u4-gemm-6x16", "avx512vnni-f32u8-gemm-6x16"]);
}

#[test]
fn a_packing_takes_what_its_form_says() {
    // 16 scales and zero points, then two steps to 16 bytes or one; the last block is one step long.
    let form = |bits| Form { bits, n: 17, k: 5, block: 4 };
    assert_eq!(form(4).unit_len(), 80 + 32 + 80 + 16);
    assert_eq!(form(8).packed_len(), 2 * (80 + 64 + 80 + 16));
}

#[test]
#[should_panic(expected = "packed weights")]
fn weights_of_another_form_are_refused() {
    let form = Form { bits: 4, n: 1, k: 8, block: 8 };
    let packed = vec![0; form.packed_len() - 1];
    run_stored(Kernels::best(), 1, &[0.0; 8], 8, &packed, form, &Epilogue::default(), &mut [0.0], 1);
}

#[test]
#[should_panic(expected = "leave the data")]
fn rows_that_leave_the_data_are_refused() {
    let form = Form { bits: 8, n: 1, k: 8, block: 8 };
    let packed = vec![0; form.packed_len()];
    run_stored(Kernels::best(), 2, &[0.0; 15], 8, &packed, form, &Epilogue::default(), &mut [0.0; 2], 1);
}

#[test]
#[should_panic(expected = "of 3 bits")]
fn bits_that_have_no_kernel_are_refused() {
    let form = Form { bits: 3, n: 1, k: 8, block: 8 };
    let packed = vec![0; form.packed_len()];
    run_stored(Kernels::best(), 1, &[0.0; 8], 8, &packed, form, &Epilogue::default(), &mut [0.0], 1);
}
