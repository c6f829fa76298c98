//! Every tier here against plain loops in 64 and 128 bits, byte for byte.

use proptest::prelude::*;

use super::*;
use crate::isa::{self, Isa};
use crate::requantize::residual_constant;
use crate::table::{Kernels, TABLE};

/// What fills a case's operands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fill {
    Random,
    /// 255 x 127 everywhere: the largest sums, and what vpmaddubsw would saturate.
    Largest,
    /// 255 x -128 everywhere.
    Smallest,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// All shifts at least 33.
    High,
    /// Shifts of 1..=62.
    AnyShift,
    /// A residual that joins the bytes.
    Residual,
    ResidualAnyShift,
    /// A residual that joins the sums.
    Sums,
    SumsAnyShift,
    F32,
    /// Rows have scales and zero points: one each, or one for all.
    F32ByRow,
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    m: usize,
    n: usize,
    taps: usize,
    kc: usize,
    /// Through offsets; with one tap, both ways exist.
    indirect: bool,
}

/// A small deterministic generator (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// A number of `from..=to`.
    fn range(&mut self, from: i64, to: i64) -> i64 {
        from + (self.next() % (to - from + 1) as u64) as i64
    }

    /// A number of `from..=to`, each end in a sixteenth of the cases.
    fn number(&mut self, from: i64, to: i64) -> i32 {
        let any = self.range(from, to);
        [from, to].get(self.range(0, 31) as usize / 2).copied().unwrap_or(any) as i32
    }

    /// What sums begin with: a typical number, or where they are wild the least or the greatest of all.
    fn sum(&mut self, wild: bool) -> i32 {
        match self.range(0, 15) {
            0 if wild => i32::MIN,
            1 if wild => i32::MAX,
            _ => self.range(-5_000_000, 5_000_000) as i32,
        }
    }

    /// One of the rule's own.
    fn multiplier(&mut self) -> i32 {
        (self.number(1 << 23, (1 << 24) - 1) | 1) << 7
    }

    /// Two bounds: half of the time some on either side.
    fn clamp(&mut self) -> (i32, i32) {
        let lo = self.range(0, 255) * self.range(0, 1);
        let hi = if self.range(0, 1) == 0 { 255 } else { self.range(lo, 255) };
        (lo as i32, hi as i32)
    }
}

/// Operands and parameters of one product, as vectors.
struct Case {
    shape: Shape,
    kind: Kind,
    /// The largest of all sums in magnitude: kernels must not rely on more.
    reach: i64,
    data: Vec<u8>,
    stride: usize,
    table: OffsetTable,
    /// The product's first row in the table.
    first: usize,
    pad: Vec<u8>,
    weights: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: Vec<i32>,
    zero_point: i32,
    lo: i32,
    hi: i32,
    /// None, or a number a row and some more.
    row_bias: Vec<i32>,
    residual: Vec<u8>,
    residual_stride: usize,
    add: AddParams,
    /// Of a residual that joins the sums.
    residual_zero_point: i32,
    residual_multiplier: Vec<i32>,
    residual_constant: Vec<i32>,
    residual_shift: Vec<i32>,
    x_scale: f32,
    x_scales: Vec<f32>,
    x_zero_points: Vec<u8>,
    clamp: [f32; 2],
    scale: Vec<f32>,
    float_bias: Vec<f32>,
    out_stride: usize,
    /// Bytes or floats behind the output that must stay as they are. Where there are none, the output is as long as its
    /// allocation, so that an address sanitizer sees what is written past it.
    guard: usize,
}

impl Case {
    fn new(shape: Shape, kind: Kind, fill: Fill, seed: u64) -> Case {
        let Shape { m, n, taps, kc, indirect } = shape;
        let random = &mut Random::new(seed);
        let kc4 = kc.next_multiple_of(4);
        let stride = kc + random.range(0, 9) as usize;
        // Exactly as long as the contract asks, so that a read past it is past the allocation.
        let len = if indirect { m * kc + kc4 } else { (m - 1) * stride + kc4 };
        let byte = |random: &mut Random| if fill == Fill::Random { random.next() as u8 } else { 255 };
        let data: Vec<u8> = (0..len).map(|_| byte(random)).collect();
        let (first, behind) = (random.range(0, 2) as usize, random.range(0, 1) as usize);
        let offsets = (0..if indirect { (first + m + behind) * taps } else { 0 })
            .map(|_| if random.range(0, 3) == 0 { PAD } else { random.range(0, (len - kc4) as i64) as u32 })
            .collect();
        let pad = (0..kc4).map(|_| random.next() as u8).collect();
        let weights = (0..n * taps * kc)
            .map(|_| match fill {
                Fill::Random => random.range(-128, 127) as i8,
                Fill::Largest => 127,
                Fill::Smallest => -128,
            })
            .collect();
        // Shifts that bring typical sums near a byte, and others.
        let typical = 30 + (255.0 * 127.0 * ((taps * kc) as f64).sqrt()).log2() as i64 - 8;
        let any_shift = matches!(kind, Kind::AnyShift | Kind::ResidualAnyShift | Kind::SumsAnyShift);
        let least = if any_shift { 1 } else { 33 };
        let shift = (0..n)
            .map(|_| match random.range(0, 15) {
                0..3 => random.range(least, 62),
                3 => random.range(32, 33).max(least),
                _ => (typical + random.range(-3, 3)).clamp(least, 62),
            } as i32)
            .collect();
        let (lo, hi) = random.clamp();
        let (add_lo, add_hi) = random.clamp();
        let zero_points = [0, 255, 128, random.range(0, 255)];
        let mut zero_point = || zero_points[random.range(0, 3) as usize] as i32;
        let (zero_point, a, b, y) = (zero_point(), zero_point(), zero_point(), zero_point());
        let add_shift = random.range(1, 30) as u32;
        let add = AddParams {
            a_zero_point: a,
            b_zero_point: b,
            y_zero_point: y,
            a_multiplier: random.number(-32767, 32767),
            b_multiplier: random.number(-32767, 32767),
            shift: if random.range(0, 1) == 0 { add_shift } else { random.range(12, 17) as u32 },
            lo: add_lo,
            hi: add_hi,
        };
        let out_stride = n + random.range(0, 40) as usize;
        let residual_stride = n + random.range(0, 9) as usize;
        let residual_zero_point = zero_points[random.range(0, 3) as usize] as i32;
        let residual_multiplier: Vec<i32> = (0..n).map(|_| random.number(0, (1 << 15) - 1)).collect();
        let residual_shift: Vec<i32> = (0..n).map(|_| random.number(1, 23)).collect();
        let constants = residual_multiplier.iter().zip(&residual_shift);
        let residual_constant =
            constants.map(|(&m, &s)| residual_constant(residual_zero_point, m, s as u32)).collect();
        let row_biases = if random.range(0, 1) == 0 { 0 } else { m + random.range(0, 2) as usize };
        // Sums that are not wild have their bytes from float32, by shifts that are not below 33.
        let wild = random.range(0, 1) == 0;
        let float = |random: &mut Random| random.range(-1_000_000, 1_000_000) as f32 / 3.7e5;
        let scales = if random.range(0, 1) == 0 { 1 } else { m + random.range(0, 2) as usize };
        let case = Case {
            shape,
            kind,
            reach: 0,
            data,
            stride,
            table: OffsetTable::new(offsets, taps),
            first,
            pad,
            weights,
            bias: (0..n).map(|_| random.sum(wild)).collect(),
            multiplier: (0..n).map(|_| random.multiplier()).collect(),
            shift,
            zero_point,
            lo,
            hi,
            row_bias: (0..row_biases).map(|_| random.sum(wild)).collect(),
            residual: (0..(m - 1) * residual_stride + n).map(|_| random.next() as u8).collect(),
            residual_stride,
            add,
            residual_zero_point,
            residual_multiplier,
            residual_constant,
            residual_shift,
            x_scale: float(random),
            clamp: [[f32::NEG_INFINITY, f32::INFINITY], [0.0, f32::INFINITY], [-3e3, 5e4]]
                [random.range(0, 2) as usize],
            x_scales: (0..scales).map(|_| float(random)).collect(),
            x_zero_points: (0..scales).map(|_| zero_points[random.range(0, 3) as usize] as u8).collect(),
            scale: (0..n).map(|_| float(random)).collect(),
            float_bias: (0..n).map(|_| float(random)).collect(),
            out_stride,
            guard: random.range(0, 1) as usize * 64,
        };
        let rows: Vec<_> = (0..m).map(|r| case.row(r)).collect();
        let places = (0..m).flat_map(|r| (0..n).map(move |c| (r, c)));
        let reach = places.map(|(r, c)| i64::from(case.sum(&rows[r], r, c)).abs()).max();
        Case { reach: reach.unwrap_or(0), ..case }
    }

    fn rows(&self) -> Rows<'_> {
        if self.shape.indirect {
            let rows = self.first..self.first + self.shape.m;
            Rows::Indirect { data: &self.data, offsets: self.table.rows(rows), pad: &self.pad }
        } else {
            Rows::Dense { data: &self.data, stride: self.stride }
        }
    }

    fn packed(&self, kernels: Kernels) -> Vec<u8> {
        let Shape { n, taps, kc, .. } = self.shape;
        let mut packed = vec![0xA5; packed_len(kernels, n, taps, kc)];
        pack(kernels, &self.weights, n, taps, kc, &mut packed);
        packed
    }

    fn requantize(&self) -> Requantize<'_> {
        Requantize {
            bias: &self.bias,
            reach: self.reach,
            multiplier: &self.multiplier,
            shift: &self.shift,
            zero_point: self.zero_point,
            lo: self.lo,
            hi: self.hi,
        }
    }

    fn residual(&self) -> Option<Residual<'_>> {
        let addition = match self.kind {
            Kind::Residual | Kind::ResidualAnyShift => Addition::ToBytes(self.add),
            Kind::Sums | Kind::SumsAnyShift => Addition::ToSums(ResidualParams {
                multiplier: &self.residual_multiplier,
                constant: &self.residual_constant,
                shift: &self.residual_shift,
            }),
            _ => return None,
        };
        Some(Residual { data: &self.residual, stride: self.residual_stride, addition })
    }

    fn columns<'a>(&self, packed: &'a [u8]) -> Columns<'a> {
        let Shape { n, taps, kc, .. } = self.shape;
        Columns { packed, n, taps, kc }
    }

    /// The bytes (or the floats' bits) that a tier makes, gaps between rows and what lies behind them included.
    fn run(&self, kernels: Kernels) -> Vec<u32> {
        let (m, stride) = (self.shape.m, self.out_stride);
        let packed = self.packed(kernels);
        let columns = self.columns(&packed);
        let len = (m - 1) * stride + self.shape.n;
        if self.is_float() {
            let mut data = vec![f32::from_bits(GAP); len + self.guard];
            let (inside, scale, bias) = (&mut data[..len], &self.scale[..], &self.float_bias[..]);
            let out = if self.kind == Kind::F32ByRow {
                let rows = RowScales { scale: &self.x_scales, zero_point: &self.x_zero_points };
                let [lo, hi] = self.clamp;
                Out::F32ByRow { data: inside, stride, rows, sums: &self.bias, scale, bias, lo, hi }
            } else {
                let (acc_bias, x_scale) = (&self.bias[..], self.x_scale);
                Out::F32 { data: inside, stride, acc_bias, x_scale, scale, bias }
            };
            run_with_row_bias(kernels, m, &self.rows(), &self.row_bias, &columns, out);
            return data.iter().map(|y| y.to_bits()).collect();
        }
        let mut data = vec![GAP as u8; len + self.guard];
        let (requantize, residual) = (self.requantize(), self.residual());
        let out = Out::U8 { data: &mut data[..len], stride, requantize, residual };
        run_with_row_bias(kernels, m, &self.rows(), &self.row_bias, &columns, out);
        data.iter().map(|&y| u32::from(y)).collect()
    }

    fn is_float(&self) -> bool {
        matches!(self.kind, Kind::F32 | Kind::F32ByRow)
    }

    /// Which scale a row has.
    fn scale_of(&self, row: usize) -> usize {
        if self.x_scales.len() == 1 { 0 } else { row }
    }

    /// A row of the left side.
    fn row(&self, r: usize) -> Vec<u8> {
        let Shape { taps, kc, indirect, .. } = self.shape;
        let tap = |t: usize| match self.table.as_slice().get((self.first + r) * taps + t) {
            _ if !indirect => &self.data[r * self.stride..][..kc],
            Some(&PAD) => &self.pad[..kc],
            Some(&offset) => &self.data[offset as usize..][..kc],
            None => unreachable!(),
        };
        (0..taps).flat_map(tap).copied().collect()
    }

    /// A sum with all that joins it.
    fn sum(&self, row: &[u8], r: usize, c: usize) -> i32 {
        let weights = &self.weights[c * row.len()..][..row.len()];
        let products = row.iter().zip(weights).map(|(&a, &w)| i64::from(a) * i64::from(w));
        let row_bias = self.row_bias.get(r).copied().unwrap_or(0);
        let bias = if self.kind == Kind::F32ByRow {
            -i64::from(self.bias[c]) * i64::from(self.x_zero_points[self.scale_of(r)])
        } else {
            i64::from(self.bias[c])
        };
        let acc = (products.sum::<i64>() + bias + i64::from(row_bias)) as i32;
        if !matches!(self.kind, Kind::Sums | Kind::SumsAnyShift) {
            return acc;
        }
        let residual = i64::from(self.residual[r * self.residual_stride + c]);
        let product =
            (residual - i64::from(self.residual_zero_point)) * i64::from(self.residual_multiplier[c]);
        let shift = self.residual_shift[c];
        (i64::from(acc) + (product + (1 << (shift - 1))).div_euclid(1 << shift)) as i32
    }

    /// The same by plain loops.
    fn plain(&self) -> Vec<u32> {
        let Shape { m, n, .. } = self.shape;
        let gap = if self.is_float() { GAP } else { u32::from(GAP as u8) };
        let mut out = vec![gap; (m - 1) * self.out_stride + n + self.guard];
        for r in 0..m {
            let row = self.row(r);
            for c in 0..n {
                out[r * self.out_stride + c] = self.plain_epilogue(self.sum(&row, r, c), r, c);
            }
        }
        out
    }

    fn plain_epilogue(&self, acc: i32, r: usize, c: usize) -> u32 {
        if self.is_float() {
            let by_row = self.kind == Kind::F32ByRow;
            let x_scale = if by_row { self.x_scales[self.scale_of(r)] } else { self.x_scale };
            let y = (acc as f32 * x_scale).mul_add(self.scale[c], self.float_bias[c]);
            return if by_row { y.max(self.clamp[0]).min(self.clamp[1]) } else { y }.to_bits();
        }
        let shift = self.shift[c];
        let scaled =
            (i128::from(acc) * i128::from(self.multiplier[c]) + (1 << (shift - 1))).div_euclid(1 << shift);
        let y = (scaled + i128::from(self.zero_point)).clamp(self.lo.into(), self.hi.into()) as i64;
        let Some(Residual { data, stride, addition: Addition::ToBytes(add) }) = self.residual() else {
            return y as u32;
        };
        let b = i64::from(data[r * stride + c]) - i64::from(add.b_zero_point);
        let sum = (y - i64::from(add.a_zero_point)) * i64::from(add.a_multiplier)
            + b * i64::from(add.b_multiplier)
            + (1 << (add.shift - 1));
        (sum.div_euclid(1 << add.shift) + i64::from(add.y_zero_point)).clamp(add.lo.into(), add.hi.into())
            as u32
    }
}

/// What outputs hold before a run.
const GAP: u32 = 0x1234_56AB;

fn tiers() -> impl Iterator<Item = Kernels> {
    isa::available().into_iter().filter_map(Kernels::new)
}

/// Every tier here gives what the plain loops give.
fn check_case(shape: Shape, kind: Kind, fill: Fill, seed: u64) {
    check(&Case::new(shape, kind, fill, seed), &format!("{kind:?} {fill:?} seed {seed}"));
}

fn check(case: &Case, what: &str) {
    let (expected, shape) = (case.plain(), case.shape);
    for kernels in tiers() {
        let got = case.run(kernels);
        let first = got.iter().zip(&expected).position(|(got, expected)| got != expected);
        if let Some(at) = first {
            let (r, c) = (at / case.out_stride, at % case.out_stride);
            let (got, expected) = (got[at], expected[at]);
            panic!("{}: row {r}, column {c}: {got:#x}, not {expected:#x}; {shape:?} {what}", kernels.isa());
        }
    }
}

const KINDS: [Kind; 8] = [
    Kind::High,
    Kind::AnyShift,
    Kind::Residual,
    Kind::ResidualAnyShift,
    Kind::Sums,
    Kind::SumsAnyShift,
    Kind::F32,
    Kind::F32ByRow,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tier_equals_plain_loops(
        m in 1usize..=33, n in 1usize..=130, taps in 1usize..=9, kc in 1usize..=70,
        indirect: bool, kind in prop::sample::select(&KINDS[..]), seed: u64,
    ) {
        let taps = if indirect { taps } else { 1 };
        check_case(Shape { m, n, taps, kc, indirect }, kind, Fill::Random, seed);
    }

    #[test]
    fn long_sums_equal_plain_loops(
        m in 1usize..=9, n in 1usize..=70, kc in 300usize..=3000,
        indirect: bool, kind in prop::sample::select(&KINDS[..]), seed: u64,
    ) {
        let (taps, kc) = if indirect { (9, kc / 9) } else { (1, kc) };
        check_case(Shape { m, n, taps, kc, indirect }, kind, Fill::Random, seed);
    }
}

#[test]
fn every_height_and_width_of_every_tile() {
    let covered: Vec<&str> = tiers().map(|kernels| kernels.isa().name()).collect();
    eprintln!("tiers covered: {covered:?}");
    for m in 1..=33 {
        for n in [1, 15, 16, 17, 31, 32, 33, 48, 50, 64, 65, 80, 96, 113, 128, 130] {
            for (i, kind) in KINDS.into_iter().enumerate() {
                let shape = Shape { m, n, taps: 1 + i % 2, kc: 9, indirect: i % 2 == 1 };
                check_case(shape, kind, Fill::Random, (m * 1000 + n) as u64);
            }
        }
    }
}

#[test]
fn extremes_do_not_saturate() {
    for fill in [Fill::Largest, Fill::Smallest] {
        for kind in KINDS {
            for (taps, kc) in [(1, 1), (1, 2), (1, 64), (9, 33), (1, 4608), (9, 512), (1, 70_000)] {
                // 70,000 x 255 x 127 leaves int32: sums wrap, alike everywhere.
                check_case(Shape { m: 7, n: 65, taps, kc, indirect: taps > 1 }, kind, fill, 1);
            }
        }
    }
}

/// AVX2 takes 256 groups of 4 k at a time, wherever a tap ends.
#[test]
fn blocks_of_k_end_anywhere() {
    let shapes =
        [(1, 1020), (1, 1021), (1, 1024), (1, 1025), (1, 2048), (1, 2051), (2, 512), (3, 341), (5, 205)];
    for (taps, kc) in shapes {
        for (m, kind) in [1, 5, 6, 7, 13, 2, 12].into_iter().zip(KINDS) {
            check_case(Shape { m, n: 33, taps, kc, indirect: taps > 1 }, kind, Fill::Random, kc as u64);
        }
    }
}

/// The high half of a product is not enough for a shift below 33, wherever it stands in a panel.
#[test]
fn one_small_shift_in_any_column() {
    for n in [1, 15, 16, 17, 33, 64, 65, 80] {
        for (column, shift) in (0..n).zip([32, 31, 1, 30].into_iter().cycle()) {
            for kind in [Kind::High, Kind::Residual, Kind::Sums] {
                let shape = Shape { m: 3, n, taps: 1, kc: 4, indirect: false };
                let mut case = Case::new(shape, kind, Fill::Random, (n * 100 + column) as u64);
                case.shift.fill(33);
                case.shift[column] = shift;
                // Sums that a shift of 32 takes to a byte, and some of them near a half.
                case.weights.fill(0);
                case.bias.iter_mut().enumerate().for_each(|(c, bias)| *bias = c as i32 * 3 - 100);
                (case.zero_point, case.lo, case.hi) = (128, 0, 255);
                if kind == Kind::Residual {
                    (case.add.a_multiplier, case.add.shift, case.add.lo, case.add.hi) = (1 << 14, 14, 0, 255);
                }
                case.row_bias.clear();
                check(&case, &format!("a shift of {shift} in column {column}"));
            }
        }
    }
}

#[test]
fn a_range_of_units_gives_its_columns() {
    let mut case =
        Case::new(Shape { m: 13, n: 100, taps: 3, kc: 10, indirect: true }, Kind::High, Fill::Random, 5);
    (case.guard, case.row_bias) = (0, Vec::new());
    let expected = case.plain();
    for kernels in tiers() {
        let packed = case.packed(kernels);
        for units in [0..1, 2..7, 6..7, 1..5, 0..7] {
            let columns = case.columns(&packed).slice(units.clone());
            let from = units.start * UNIT;
            let whole = case.requantize();
            let requantize = Requantize {
                bias: &whole.bias[from..],
                multiplier: &whole.multiplier[from..],
                shift: &whole.shift[from..],
                ..whole
            };
            let mut out = vec![GAP as u8; expected.len()];
            let target =
                Out::U8 { data: &mut out[from..], stride: case.out_stride, requantize, residual: None };
            run(kernels, 13, &case.rows(), &columns, target);
            for (at, &y) in out.iter().enumerate() {
                let c = at % case.out_stride;
                let inside = (from..from + columns.n).contains(&c);
                let expected = if inside { expected[at] } else { u32::from(GAP as u8) };
                assert_eq!(u32::from(y), expected, "{} {units:?} column {c}", kernels.isa());
            }
        }
    }
}

#[test]
fn tiles_by_shape_on_any_machine() {
    let cases = [
        (Isa::Scalar, 100, 64, "scalar-u8i8-gemm-1x16c4"),
        (Isa::Avx2, 1, 1, "avx2-u8i8-gemm-6x16c2"),
        (Isa::Avx2, 3136, 1000, "avx2-u8i8-gemm-6x16c2"),
        (Isa::Avx512Vnni, 12544, 16, "avx512vnni-u8i8-gemm-16x16c4"),
        (Isa::Avx512Vnni, 12544, 24, "avx512vnni-u8i8-gemm-12x32c4"),
        (Isa::Avx512Vnni, 12544, 32, "avx512vnni-u8i8-gemm-12x32c4"),
        (Isa::Avx512Vnni, 3136, 48, "avx512vnni-u8i8-gemm-8x48c4"),
        (Isa::Avx512Vnni, 3136, 80, "avx512vnni-u8i8-gemm-8x48c4"),
        (Isa::Avx512Vnni, 3136, 96, "avx512vnni-u8i8-gemm-6x64c4"),
        (Isa::Avx512Vnni, 784, 64, "avx512vnni-u8i8-gemm-6x64c4"),
        (Isa::Avx512Vnni, 49, 1280, "avx512vnni-u8i8-gemm-6x64c4"),
        (Isa::Avx512Vnni, 1, 1000, "avx512vnni-u8i8-gemm-6x64c4"),
    ];
    for (isa, m, n, name) in cases {
        let row = TABLE.iter().find(|row| row.isa == isa).expect("a tier of the table");
        assert_eq!(select(&row.gemm, m, n, 64).name, name, "{isa} {m} x {n}");
    }
}

#[test]
fn packing_writes_every_byte() {
    for kernels in tiers() {
        let (n, taps, kc) = (18, 3, 6);
        let weights: Vec<i8> = (0..n * taps * kc).map(|i| (i % 255) as i8).collect();
        let len = packed_len(kernels, n, taps, kc);
        let (mut zeros, mut ones) = (vec![0; len], vec![0xFF; len]);
        pack(kernels, &weights, n, taps, kc, &mut zeros);
        pack(kernels, &weights, n, taps, kc, &mut ones);
        assert_eq!(zeros, ones, "{}", kernels.isa());
    }
}

#[test]
fn rows_that_leave_the_data_are_refused() {
    let kernels = Kernels::best();
    let case = Case::new(Shape { m: 5, n: 20, taps: 2, kc: 6, indirect: true }, Kind::High, Fill::Random, 3);
    let packed = case.packed(kernels);
    let refused = |rows: Rows, m: usize, out: usize| {
        let mut data = vec![0; out];
        let (requantize, columns) = (case.requantize(), case.columns(&packed));
        let columns = Columns { taps: if matches!(rows, Rows::Dense { .. }) { 1 } else { 2 }, ..columns };
        let columns = Columns { packed: &packed[..packed.len() / 2 * columns.taps], ..columns };
        let run = || {
            run(
                kernels,
                m,
                &rows,
                &columns,
                Out::U8 { data: &mut data, stride: 20, requantize, residual: None },
            )
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
    };
    let dense = |len: usize| Rows::Dense { data: &case.data[..len], stride: 6 };
    assert!(!refused(dense(32), 5, 100), "4 rows of 6 bytes, then 8");
    assert!(refused(dense(31), 5, 100), "the last row's group is cut");
    assert!(refused(dense(32), 5, 99), "the output is short");
    let largest = *case.table.as_slice().iter().filter(|&&offset| offset != PAD).max().expect("an offset");
    let indirect = |data, pad| Rows::Indirect { data, offsets: case.table.rows(0..5), pad };
    let end = largest as usize + 8;
    assert!(!refused(indirect(&case.data[..end], &case.pad), 5, 100));
    assert!(refused(indirect(&case.data[..end - 1], &case.pad), 5, 100), "an offset leaves the data");
    assert!(refused(indirect(&case.data, &case.pad[..7]), 5, 100), "the pad row is short");
    assert!(refused(indirect(&case.data, &case.pad), 6, 120), "the table has 5 rows");
}

/// Runs a case whose parameters have been changed; whether that was refused.
fn is_refused(kind: Kind, change: impl FnOnce(&mut Case)) -> bool {
    let shape = Shape { m: 3, n: 20, taps: 1, kc: 6, indirect: false };
    let mut case = Case::new(shape, kind, Fill::Random, 4);
    case.row_bias = vec![0; 3];
    let packed = case.packed(Kernels::best());
    change(&mut case);
    std::panic::catch_unwind(|| {
        let mut data = vec![0; 2 * case.out_stride + 20];
        let (requantize, residual) = (case.requantize(), case.residual());
        let out = Out::U8 { data: &mut data, stride: case.out_stride, requantize, residual };
        let columns = case.columns(&packed);
        run_with_row_bias(Kernels::best(), 3, &case.rows(), &case.row_bias, &columns, out);
    })
    .is_err()
}

#[test]
fn parameters_out_of_their_ranges_are_refused() {
    assert!(!is_refused(Kind::Residual, |_| ()));
    let accepted: [fn(&mut Case); 12] = [
        |case| case.zero_point = 0,
        |case| case.zero_point = 255,
        |case| (case.lo, case.hi) = (255, 255),
        |case| case.shift[19] = 1,
        |case| case.shift[0] = 62,
        |case| (case.add.a_zero_point, case.add.b_zero_point, case.add.y_zero_point) = (255, 255, 255),
        |case| (case.add.a_multiplier, case.add.b_multiplier) = (32767, -32767),
        |case| case.add.shift = 1,
        |case| case.add.shift = 30,
        |case| (case.add.lo, case.add.hi) = (255, 255),
        |case| (case.add.lo, case.add.hi) = (0, 0),
        |case| case.row_bias.clear(),
    ];
    for (i, change) in accepted.into_iter().enumerate() {
        assert!(!is_refused(Kind::Residual, change), "accepted {i}");
    }
    let refused: [fn(&mut Case); 26] = [
        |case| case.zero_point = -1,
        |case| case.zero_point = 256,
        |case| case.lo = -1,
        |case| case.hi = 256,
        |case| (case.lo, case.hi) = (9, 8),
        |case| case.shift[19] = 0,
        |case| case.shift[0] = 63,
        |case| case.add.a_zero_point = -1,
        |case| case.add.b_zero_point = 256,
        |case| case.add.y_zero_point = 256,
        |case| case.add.a_multiplier = 32768,
        |case| case.add.b_multiplier = -32768,
        |case| case.add.shift = 0,
        |case| case.add.shift = 31,
        |case| case.add.lo = -1,
        |case| case.add.hi = 256,
        |case| (case.add.lo, case.add.hi) = (9, 8),
        |case| case.row_bias.truncate(2),
        |case| case.bias.truncate(19),
        |case| case.multiplier.truncate(19),
        |case| case.shift.truncate(19),
        |case| case.residual.truncate(case.residual.len() - 1),
        |case| case.data.truncate(case.data.len() - 1),
        |case| case.out_stride = 19,
        |case| case.shape.n = 32 + 1,
        |case| case.shape.kc = 9,
    ];
    for (i, change) in refused.into_iter().enumerate() {
        assert!(is_refused(Kind::Residual, change), "refused {i}");
    }
}

#[test]
fn parameters_of_a_residual_that_joins_the_sums() {
    let accepted: [fn(&mut Case); 5] = [
        |_| (),
        |case| case.residual_multiplier[19] = 0,
        |case| case.residual_multiplier[0] = 32767,
        |case| case.residual_shift[19] = 1,
        |case| case.residual_shift[0] = 23,
    ];
    for (i, change) in accepted.into_iter().enumerate() {
        assert!(!is_refused(Kind::Sums, change), "accepted {i}");
    }
    let refused: [fn(&mut Case); 8] = [
        |case| case.residual_multiplier[19] = -1,
        |case| case.residual_multiplier[0] = 32768,
        |case| case.residual_shift[19] = 0,
        |case| case.residual_shift[0] = 24,
        |case| case.residual_multiplier.truncate(19),
        |case| case.residual_constant.truncate(19),
        |case| case.residual_shift.truncate(19),
        |case| case.residual.truncate(case.residual.len() - 1),
    ];
    for (i, change) in refused.into_iter().enumerate() {
        assert!(is_refused(Kind::Sums, change), "refused {i}");
    }
}
