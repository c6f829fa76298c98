//! QConv and QConvTranspose of any geometry against plain integers: the order of weights, groups, padding, cuts between images and threads.

use octavo_runtime::program::{Attribute, Attributes, DType, Dim, Node, Op, Program, Tensor, Value, ValueId};
use octavo_runtime::{Options, Session, isa};
use proptest::prelude::*;

/// A convolution of images `[images, channels, height, width]`.
#[derive(Clone, Debug)]
struct Case {
    op: Op,
    input: [usize; 4],
    outputs: usize,
    groups: usize,
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    pads: [usize; 4],
    /// Of a QConvTranspose.
    output_padding: [usize; 2],
    zero_points: [i64; 2],
    clamp: (i64, i64),
    seed: u64,
}

/// Numbers of `from..=to`, mixed from the index and a seed.
fn numbers(count: usize, seed: u64, from: i64, to: i64) -> Vec<i64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i64
    };
    (0..count).map(|_| from + next() % (to - from + 1)).collect()
}

impl Case {
    fn weights_shape(&self) -> [usize; 4] {
        [self.outputs, self.input[1] / self.groups, self.kernel[0], self.kernel[1]]
    }

    /// Weights, bias, multipliers, shifts.
    fn parameters(&self) -> [Vec<i64>; 4] {
        [
            numbers(self.weights_shape().iter().product(), self.seed, -127, 127),
            numbers(self.outputs, self.seed + 1, -20_000, 20_000),
            numbers(self.outputs, self.seed + 2, 1 << 22, (1 << 23) - 1)
                .iter()
                .map(|m| m * 256 + 128)
                .collect(),
            numbers(self.outputs, self.seed + 3, 36, 42),
        ]
    }

    fn program(&self) -> Program {
        let [weights, bias, multiplier, shift] = self.parameters();
        let i8s: Vec<i8> = weights.iter().map(|&w| w as i8).collect();
        let i32s = |of: &[i64]| {
            let of: Vec<i32> = of.iter().map(|&x| x as i32).collect();
            Some(Tensor::from_i32s(&[of.len()], &of).unwrap())
        };
        let constants = [
            Some(Tensor::from_i8s(&self.weights_shape(), &i8s).unwrap()),
            i32s(&bias),
            i32s(&multiplier),
            i32s(&shift),
        ];
        let value = |name: &str, shape: Option<&[usize]>, constant: Option<Tensor>| Value {
            name: name.to_owned(),
            dtype: constant.as_ref().map_or(DType::U8, Tensor::dtype),
            shape: shape.map(|shape| shape.iter().map(|&n| Dim::Fixed(n)).collect()),
            quant: None,
            constant,
        };
        let mut values = vec![value("x", Some(&self.input), None)];
        for (name, constant) in ["w", "bias", "multiplier", "shift"].into_iter().zip(constants) {
            let shape = constant.as_ref().map(|tensor| tensor.shape().to_vec());
            values.push(value(name, shape.as_deref(), constant));
        }
        values.push(value("y", None, None));
        let ints = |of: &[usize]| Attribute::Ints(of.iter().map(|&n| n as i64).collect());
        let mut attributes = vec![
            ("strides", ints(&self.strides)),
            ("pads", ints(&self.pads)),
            ("dilations", ints(&self.dilations)),
            ("group", Attribute::Int(self.groups as i64)),
            ("x_zero_point", Attribute::Int(self.zero_points[0])),
            ("y_zero_point", Attribute::Int(self.zero_points[1])),
            ("lo", Attribute::Int(self.clamp.0)),
            ("hi", Attribute::Int(self.clamp.1)),
        ];
        if self.op == Op::QConvTranspose {
            attributes.push(("output_padding", ints(&self.output_padding)));
        }
        let attributes = attributes.into_iter().map(|(name, attribute)| (name.to_owned(), attribute));
        let node = Node {
            op: self.op,
            name: "conv".to_owned(),
            inputs: (0..5).map(|id| Some(ValueId(id))).collect(),
            outputs: vec![Some(ValueId(5))],
            attributes: Attributes::new(self.op, "conv", attributes),
            bodies: Vec::new(),
        };
        let (inputs, outputs, producer) = (vec![ValueId(0)], vec![ValueId(5)], "test".to_owned());
        Program { inputs, outputs, values, nodes: vec![node], opset: 25, producer }
    }

    /// The length of an axis of the output.
    fn extent(&self, axis: usize) -> usize {
        let n = self.input[2 + axis];
        let reach = (self.kernel[axis] - 1) * self.dilations[axis] + 1;
        let pads = self.pads[axis] + self.pads[axis + 2];
        match self.op {
            Op::QConvTranspose => (n - 1) * self.strides[axis] + reach + self.output_padding[axis] - pads,
            _ => (n + pads - reach) / self.strides[axis] + 1,
        }
    }

    /// The element of an axis of the input that an output sees through a tap.
    fn seen(&self, axis: usize, output: usize, tap: usize) -> Option<usize> {
        let (stride, reach) = (self.strides[axis], tap * self.dilations[axis]);
        let at = match self.op {
            Op::QConvTranspose => {
                let at = (output + self.pads[axis]).checked_sub(reach)?;
                at.is_multiple_of(stride).then_some(at / stride)?
            }
            _ => (output * stride + reach).checked_sub(self.pads[axis])?,
        };
        (at < self.input[2 + axis]).then_some(at)
    }

    fn plain(&self, x: &[i64]) -> Vec<u8> {
        let [weights, bias, multiplier, shift] = self.parameters();
        let [images, channels, height, width] = self.input;
        let kc = channels / self.groups;
        let [kh, kw] = self.kernel;
        let (rows, columns) = (self.extent(0), self.extent(1));
        let mut y = Vec::new();
        for at in 0..images * self.outputs * rows * columns {
            let (column, row) = (at % columns, at / columns % rows);
            let (output, image) =
                (at / (columns * rows) % self.outputs, at / (columns * rows * self.outputs));
            let mut acc = bias[output];
            for tap in 0..kc * kh * kw {
                let (c, i, j) = (tap / (kh * kw), tap / kw % kh, tap % kw);
                if let (Some(r), Some(s)) = (self.seen(0, row, i), self.seen(1, column, j)) {
                    let channel = output / (self.outputs / self.groups) * kc + c;
                    let x = x[((image * channels + channel) * height + r) * width + s];
                    acc += (x - self.zero_points[0]) * weights[output * kc * kh * kw + tap];
                }
            }
            let scaled = (i128::from(acc) * i128::from(multiplier[output]) + (1 << (shift[output] - 1)))
                >> shift[output];
            y.push((scaled as i64 + self.zero_points[1]).clamp(self.clamp.0, self.clamp.1) as u8);
        }
        y
    }

    fn check(&self) {
        let x = numbers(self.input.iter().product(), self.seed + 9, 0, 255);
        let expected = self.plain(&x);
        let bytes: Vec<u8> = x.iter().map(|&x| x as u8).collect();
        let program = self.program();
        for tier in isa::available() {
            for threads in [1, 3] {
                let options = Options { threads: Some(threads), isa: Some(tier.name().to_owned()) };
                let session = Session::from_program(program.clone(), &options).unwrap();
                let plan = session.plan(&[self.input]).unwrap();
                let given = session.run_stages(&plan, &[&bytes]).unwrap();
                let wrong = given[0].1.bytes().iter().zip(&expected).position(|(g, e)| g != e);
                assert_eq!((given[0].1.len(), wrong), (expected.len(), None), "{tier} {threads} {self:?}");
            }
        }
    }
}

fn cases() -> impl Strategy<Value = Case> {
    // Groups; channels and outputs of a group.
    let channels = prop_oneof![
        (Just(1usize), 1..=40usize, 1..=40usize),
        (2..=5usize, 1..=9usize, 1..=20usize),
        (2..=50usize, Just(1usize), Just(1usize)),
        (Just(1usize), 1..=4usize, 1..=20usize),
    ];
    let axis =
        (1..=7usize, prop_oneof![Just(1usize), Just(3), 1..=5usize], 1..=3usize, 1..=2usize, 0..=3usize);
    (
        channels,
        axis.clone(),
        axis,
        1..=3usize,
        (0..=255i64, 0..=255i64),
        (0..=60i64, 190..=255i64),
        any::<u32>(),
    )
        .prop_map(|((groups, kc, columns), v, h, images, zero_points, clamp, seed)| {
            // Padding behind the image lets the kernel fit at least once.
            let behind = |(n, kernel, _, dilation, before): (usize, usize, usize, usize, usize)| {
                ((kernel - 1) * dilation + 1).saturating_sub(n + before) + before / 2
            };
            Case {
                op: Op::QConv,
                input: [images, groups * kc, v.0, h.0],
                outputs: groups * columns,
                groups,
                kernel: [v.1, h.1],
                strides: [v.2, h.2],
                dilations: [v.3, h.3],
                pads: [v.4, h.4, behind(v), behind(h)],
                output_padding: [0; 2],
                zero_points: [zero_points.0, zero_points.1],
                clamp,
                seed: u64::from(seed),
            }
        })
}

/// The same of transposed convolutions, whose padding takes from the output and leaves some of it.
fn transposed() -> impl Strategy<Value = Case> {
    cases().prop_map(|case| {
        let left = |axis: usize| {
            let steps = (case.input[2 + axis] - 1) * case.strides[axis];
            steps + (case.kernel[axis] - 1) * case.dilations[axis]
        };
        let pad = |place: usize| case.pads[place].min(left(place % 2) / 2);
        let more = |axis: usize| case.seed as usize % case.strides[axis];
        Case {
            op: Op::QConvTranspose,
            pads: [pad(0), pad(1), pad(2), pad(3)],
            output_padding: [more(0), more(1)],
            ..case
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn convolutions_equal_plain_integers(case in cases()) {
        case.check();
    }

    #[test]
    fn transposed_convolutions_equal_plain_integers(case in transposed()) {
        case.check();
    }
}

/// So much work that it is cut between threads, in the middle of images.
#[test]
fn cuts_between_images_and_threads() {
    for (channels, outputs, groups, kernel) in
        [(64, 64, 64, 3), (48, 48, 48, 7), (24, 40, 1, 1), (3, 20, 1, 3)]
    {
        Case {
            op: Op::QConv,
            input: [3, channels, 27, 21],
            outputs,
            groups,
            kernel: [kernel; 2],
            strides: [1, 1],
            dilations: [1, 1],
            pads: [kernel / 2; 4],
            output_padding: [0; 2],
            zero_points: [131, 9],
            clamp: (3, 250),
            seed: kernel as u64,
        }
        .check();
    }
}

/// The same of transposed ones: lines whose rows go to their places, and images whose rows are put in order.
#[test]
fn cuts_of_transposed_convolutions() {
    for (channels, outputs, groups, kernel) in
        [(64, 64, 64, 4), (48, 48, 48, 3), (24, 40, 1, 2), (32, 20, 4, 4)]
    {
        for size in [[27, 21], [24, 6]] {
            Case {
                op: Op::QConvTranspose,
                input: [3, channels, size[0], size[1]],
                outputs,
                groups,
                kernel: [kernel; 2],
                strides: [2, 2],
                dilations: [1, 1],
                pads: [(kernel - 1) / 2; 4],
                output_padding: [kernel % 2; 2],
                zero_points: [131, 9],
                clamp: (3, 250),
                seed: kernel as u64,
            }
            .check();
        }
    }
}
