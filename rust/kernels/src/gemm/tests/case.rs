//! A product's operands and parameters, and what plain loops in 64 and 128 bits make of them.

use super::*;
use crate::requantize::residual_constant;

/// What fills a case's operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fill {
    Random,
    /// 255 x 127 everywhere: the largest sums, and what vpmaddubsw would saturate.
    Largest,
    /// 255 x -128 everywhere.
    Smallest,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
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
pub(super) struct Shape {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) taps: usize,
    pub(super) kc: usize,
    /// Through offsets; with one tap, both ways exist.
    pub(super) indirect: bool,
}

/// A small deterministic generator (xorshift64*).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// A number of `from..=to`.
    pub(super) fn range(&mut self, from: i64, to: i64) -> i64 {
        from + (self.next() % (to - from + 1) as u64) as i64
    }

    /// A number of `from..=to`, each end in a sixteenth of the cases.
    pub(super) fn number(&mut self, from: i64, to: i64) -> i32 {
        let any = self.range(from, to);
        [from, to].get(self.range(0, 31) as usize / 2).copied().unwrap_or(any) as i32
    }

    /// What sums begin with: a typical number, or where they are wild the least or the greatest of all.
    pub(super) fn sum(&mut self, wild: bool) -> i32 {
        match self.range(0, 15) {
            0 if wild => i32::MIN,
            1 if wild => i32::MAX,
            _ => self.range(-5_000_000, 5_000_000) as i32,
        }
    }

    /// One of the rule's own.
    pub(super) fn multiplier(&mut self) -> i32 {
        (self.number(1 << 23, (1 << 24) - 1) | 1) << 7
    }

    /// Two bounds: half of the time some on either side.
    pub(super) fn clamp(&mut self) -> (i32, i32) {
        let lo = self.range(0, 255) * self.range(0, 1);
        let hi = if self.range(0, 1) == 0 { 255 } else { self.range(lo, 255) };
        (lo as i32, hi as i32)
    }
}

/// Operands and parameters of one product, as vectors.
pub(super) struct Case {
    pub(super) shape: Shape,
    pub(super) kind: Kind,
    /// The largest of all sums in magnitude: kernels must not rely on more.
    pub(super) reach: i64,
    pub(super) data: Vec<u8>,
    pub(super) stride: usize,
    pub(super) table: OffsetTable,
    /// The product's first row in the table.
    pub(super) first: usize,
    pub(super) pad: Vec<u8>,
    pub(super) weights: Vec<i8>,
    pub(super) bias: Vec<i32>,
    pub(super) multiplier: Vec<i32>,
    pub(super) shift: Vec<i32>,
    pub(super) zero_point: i32,
    pub(super) lo: i32,
    pub(super) hi: i32,
    /// None, or a number a row and some more.
    pub(super) row_bias: Vec<i32>,
    pub(super) residual: Vec<u8>,
    pub(super) residual_stride: usize,
    pub(super) add: AddParams,
    /// Of a residual that joins the sums.
    pub(super) residual_zero_point: i32,
    pub(super) residual_multiplier: Vec<i32>,
    pub(super) residual_constant: Vec<i32>,
    pub(super) residual_shift: Vec<i32>,
    pub(super) x_scale: f32,
    pub(super) x_scales: Vec<f32>,
    pub(super) x_zero_points: Vec<u8>,
    pub(super) clamp: [f32; 2],
    pub(super) scale: Vec<f32>,
    pub(super) float_bias: Vec<f32>,
    pub(super) out_stride: usize,
    /// Bytes or floats behind the output that must stay as they are. Where there are none, the output is as long as its
    /// allocation, so that an address sanitizer sees what is written past it.
    pub(super) guard: usize,
}

/// Offsets of `rows x taps`, up to the greatest: anywhere and often in the padding, or evenly spaced but for a few.
fn offsets(random: &mut Random, rows: usize, taps: usize, kc: usize, greatest: usize) -> Vec<u32> {
    let is_even = random.range(0, 1) == 0;
    let spacing = random.range(0, 2 * kc as i64) as usize;
    let starts: Vec<usize> = (0..taps).map(|_| random.range(0, greatest as i64) as usize).collect();
    let places = (0..rows).flat_map(|row| starts.iter().map(move |start| start + row * spacing));
    let place = |place: usize| {
        if is_even && random.range(0, 50 * taps as i64) > 0 {
            (place % (greatest + 1)) as u32
        } else if random.range(0, 3) == 0 {
            PAD
        } else {
            random.range(0, greatest as i64) as u32
        }
    };
    places.map(place).collect()
}

impl Case {
    pub(super) fn new(shape: Shape, kind: Kind, fill: Fill, seed: u64) -> Case {
        let Shape { m, n, taps, kc, indirect } = shape;
        let random = &mut Random::new(seed);
        let kc4 = kc.next_multiple_of(4);
        let stride = kc + random.range(0, 9) as usize;
        // Exactly as long as the contract asks, so that a read past it is past the allocation.
        let len = if indirect { m * kc + kc4 } else { (m - 1) * stride + kc4 };
        let byte = |random: &mut Random| if fill == Fill::Random { random.next() as u8 } else { 255 };
        let data: Vec<u8> = (0..len).map(|_| byte(random)).collect();
        let (first, behind) = (random.range(0, 2) as usize, random.range(0, 1) as usize);
        let offsets = match indirect {
            true => offsets(random, first + m + behind, taps, kc, len - kc4),
            false => Vec::new(),
        };
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

    pub(super) fn rows(&self) -> Rows<'_> {
        if self.shape.indirect {
            let rows = self.first..self.first + self.shape.m;
            Rows::Indirect { data: &self.data, offsets: self.table.rows(rows), pad: &self.pad }
        } else {
            Rows::Dense { data: &self.data, stride: self.stride }
        }
    }

    pub(super) fn packed(&self, kernels: Kernels) -> Vec<u8> {
        let Shape { n, taps, kc, .. } = self.shape;
        let mut packed = vec![0xA5; packed_len(kernels, n, taps, kc)];
        pack(kernels, &self.weights, n, taps, kc, &mut packed);
        packed
    }

    pub(super) fn requantize(&self) -> Requantize<'_> {
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

    pub(super) fn residual(&self) -> Option<Residual<'_>> {
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

    pub(super) fn columns<'a>(&self, packed: &'a [u8]) -> Columns<'a> {
        let Shape { n, taps, kc, .. } = self.shape;
        Columns { packed, n, taps, kc }
    }

    /// The bytes (or the floats' bits) that a tier makes, gaps between rows and what lies behind them included.
    pub(super) fn run(&self, kernels: Kernels) -> Vec<u32> {
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

    pub(super) fn is_float(&self) -> bool {
        matches!(self.kind, Kind::F32 | Kind::F32ByRow)
    }

    /// Which scale a row has.
    pub(super) fn scale_of(&self, row: usize) -> usize {
        if self.x_scales.len() == 1 { 0 } else { row }
    }

    /// A row of the left side.
    pub(super) fn row(&self, r: usize) -> Vec<u8> {
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
    pub(super) fn sum(&self, row: &[u8], r: usize, c: usize) -> i32 {
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
    pub(super) fn plain(&self) -> Vec<u32> {
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

    pub(super) fn plain_epilogue(&self, acc: i32, r: usize, c: usize) -> u32 {
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
pub(super) const GAP: u32 = 0x1234_56AB;
