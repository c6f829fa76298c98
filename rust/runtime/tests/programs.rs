//! Random programs: what a plan fuses, cuts between threads and places in one arena gives the bits of the nodes one by
//! one, which a plan for observing runs.

use octavo_runtime::isa;
use octavo_runtime::program::{Attribute, Attributes, DType, Dim, Node, Op, Program, Tensor, Value, ValueId};
use octavo_runtime::{Options, Session, bytes_of};

/// A small deterministic generator (xorshift64*).
struct Random(u64);

impl Random {
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
}

/// A Program that grows, all of whose images have one shape.
struct Build {
    random: Random,
    channels: usize,
    values: Vec<Value>,
    nodes: Vec<Node>,
    bytes: Vec<ValueId>,
    floats: Vec<ValueId>,
}

type Given = (&'static str, Attribute);

fn int(name: &'static str, value: i64) -> Given {
    (name, Attribute::Int(value))
}

fn ints(name: &'static str, values: &[i64]) -> Given {
    (name, Attribute::Ints(values.to_vec()))
}

impl Build {
    fn value(&mut self, dtype: DType, shape: Option<Vec<Dim>>, constant: Option<Tensor>) -> ValueId {
        let name = format!("v{}", self.values.len());
        self.values.push(Value { name, dtype, shape, quant: None, constant });
        ValueId(self.values.len() as u32 - 1)
    }

    fn constant(&mut self, tensor: Tensor) -> ValueId {
        let shape = tensor.shape().iter().map(|&n| Dim::Fixed(n)).collect();
        self.value(tensor.dtype(), Some(shape), Some(tensor))
    }

    /// Numbers of a shape, each of `from..=to`.
    fn numbers(&mut self, count: usize, from: i64, to: i64) -> Vec<i64> {
        (0..count).map(|_| self.random.range(from, to)).collect()
    }

    fn i32s(&mut self, count: usize, from: i64, to: i64) -> ValueId {
        let numbers: Vec<i32> = self.numbers(count, from, to).into_iter().map(|n| n as i32).collect();
        self.constant(Tensor::from_i32s(&[count], &numbers).unwrap())
    }

    fn f32s(&mut self, shape: &[usize]) -> ValueId {
        let numbers = self.numbers(shape.iter().product(), -1000, 1000);
        let numbers: Vec<f32> = numbers.into_iter().map(|n| n as f32 / 700.0).collect();
        self.constant(Tensor::from_f32s(shape, &numbers).unwrap())
    }

    fn node(&mut self, op: Op, inputs: &[ValueId], dtype: DType, given: Vec<Given>) -> ValueId {
        let output = self.value(dtype, None, None);
        let name = format!("n{}", self.nodes.len());
        let attributes = given.into_iter().map(|(name, attribute)| (name.to_owned(), attribute));
        self.nodes.push(Node {
            op,
            attributes: Attributes::new(op, &name, attributes),
            bodies: Vec::new(),
            name,
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![Some(output)],
        });
        match dtype {
            DType::U8 => self.bytes.push(output),
            _ => self.floats.push(output),
        }
        output
    }

    /// One that is there, a late one more often.
    fn pick(&mut self, of_bytes: bool) -> ValueId {
        let late = if self.random.range(0, 1) == 0 { 3 } else { 100 };
        let all = if of_bytes { &self.bytes } else { &self.floats };
        let back = self.random.next() as usize % all.len().min(late);
        all[all.len() - 1 - back]
    }

    fn zero_point(&mut self) -> i64 {
        [0, 255, 128, 7][self.random.range(0, 3) as usize]
    }

    /// A clamp, on either side or on none.
    fn clamp(&mut self) -> [Given; 2] {
        [int("lo", self.random.range(0, 60)), int("hi", self.random.range(200, 255))]
    }

    /// A convolution that keeps the shape: strides, pads, dilations and groups.
    fn convolution(&mut self, kernel: usize, group: usize) -> Vec<Given> {
        let pad = kernel as i64 / 2;
        vec![
            ints("strides", &[1, 1]),
            ints("pads", &[pad; 4]),
            ints("dilations", &[1, 1]),
            int("group", group as i64),
        ]
    }

    fn qconv(&mut self, inputs: usize, kernel: usize, group: usize, x: ValueId) -> ValueId {
        let channels = self.channels;
        let shape = [channels, inputs / group, kernel, kernel];
        let weights: Vec<i8> =
            self.numbers(shape.iter().product(), -127, 127).into_iter().map(|n| n as i8).collect();
        let weights = self.constant(Tensor::from_i8s(&shape, &weights).unwrap());
        let bias = self.i32s(channels, -20_000, 20_000);
        let odd = self.numbers(channels, 1 << 22, (1 << 23) - 1);
        let multiplier: Vec<i32> = odd.into_iter().map(|m| m as i32 * 256 + 128).collect();
        let multiplier = self.constant(Tensor::from_i32s(&[channels], &multiplier).unwrap());
        let least = self.random.range(30, 36);
        let shift = self.i32s(channels, least, 42);
        let mut given = self.convolution(kernel, group);
        given.extend([int("x_zero_point", self.zero_point()), int("y_zero_point", self.zero_point())]);
        given.extend(self.clamp());
        self.node(Op::QConv, &[x, weights, bias, multiplier, shift], DType::U8, given)
    }

    fn qadd(&mut self, a: ValueId, b: ValueId) -> ValueId {
        let mut given = vec![
            int("a_zero_point", self.zero_point()),
            int("b_zero_point", self.zero_point()),
            int("y_zero_point", self.zero_point()),
            int("a_multiplier", self.random.range(-32_767, 32_767)),
            int("b_multiplier", self.random.range(1, 32_767)),
            int("shift", self.random.range(13, 16)),
        ];
        given.extend(self.clamp());
        self.node(Op::QAdd, &[a, b], DType::U8, given)
    }

    fn conv(&mut self, kernel: usize, group: usize, x: ValueId) -> ValueId {
        let weights = self.f32s(&[self.channels, self.channels / group, kernel, kernel]);
        let bias = self.f32s(&[self.channels]);
        let given = self.convolution(kernel, group);
        self.node(Op::Conv, &[x, weights, bias], DType::F32, given)
    }

    /// One step more.
    fn grow(&mut self) {
        let channels = self.channels;
        match self.random.range(0, 19) {
            choice @ 0..=3 => {
                let (kernel, group) = [(1, 1), (3, 1), (3, channels), (5, channels)][choice as usize];
                let x = self.pick(true);
                self.qconv(channels, kernel, group, x);
            }
            // A product and what it may take into its epilogue.
            4 | 5 => {
                let (x, other) = (self.pick(true), self.pick(true));
                let product = self.qconv(channels, 1, 1, x);
                if self.random.range(0, 1) == 0 {
                    self.qadd(product, other)
                } else {
                    self.qadd(other, product)
                };
            }
            6 => {
                let (a, b) = (self.pick(true), self.pick(true));
                self.qadd(a, b);
            }
            7 => {
                let table: Vec<u8> = self.numbers(256, 0, 255).into_iter().map(|n| n as u8).collect();
                let table = self.constant(Tensor::new(DType::U8, vec![256], &table).unwrap());
                let x = self.pick(true);
                self.node(Op::Lookup, &[x, table], DType::U8, vec![]);
            }
            8 => {
                let (a, b) = (self.pick(true), self.pick(true));
                let joined = self.node(Op::Concat, &[a, b], DType::U8, vec![int("axis", 1)]);
                self.bytes.retain(|&value| value != joined);
                self.qconv(2 * channels, 1, 1, joined);
            }
            9 => {
                let x = self.pick(true);
                let mut given = self.convolution(3, 1);
                given.pop();
                given.extend([ints("kernel_shape", &[3, 3]), int("ceil_mode", 0)]);
                self.node(Op::MaxPool, &[x], DType::U8, given);
            }
            10 => {
                let x = self.pick(true);
                let given = vec![("scale", Attribute::F32(0.05)), int("zero_point", self.zero_point())];
                self.node(Op::Dequantize, &[x], DType::F32, given);
            }
            11 => {
                let x = self.pick(false);
                let given = vec![("scale", Attribute::F32(0.07)), int("zero_point", self.zero_point())];
                self.node(Op::Quantize, &[x], DType::U8, given);
            }
            12 => {
                let (x, other) = (self.pick(false), self.pick(false));
                let group = if self.random.range(0, 1) == 0 { 1 } else { channels };
                let product = self.conv(3, group, x);
                let sum = self.node(Op::Add, &[other, product], DType::F32, vec![]);
                self.node(Op::Relu, &[sum], DType::F32, vec![]);
            }
            // An operand of another shape, which no epilogue takes.
            14 => {
                let (x, other) = (self.pick(true), self.pick(true));
                let mut given = vec![
                    ints("axes", &[2, 3]),
                    int("keepdims", 1),
                    int("x_zero_point", self.zero_point()),
                    int("y_zero_point", self.zero_point()),
                    ("ratio", Attribute::F64(0.8)),
                ];
                given.extend(self.clamp());
                let mean = self.node(Op::QReduceMean, &[other], DType::U8, given);
                self.bytes.retain(|&value| value != mean);
                let product = self.qconv(self.channels, 1, 1, x);
                self.qadd(product, mean);
            }
            // Floats of one element a channel.
            19 => {
                let (x, other) = (self.pick(false), self.pick(true));
                let given = vec![
                    ints("axes", &[2, 3]),
                    int("keepdims", 1),
                    int("x_zero_point", self.zero_point()),
                    ("x_scale", Attribute::F32(0.03)),
                ];
                let mean = self.node(Op::QReduceMean, &[other], DType::F32, given);
                self.floats.retain(|&value| value != mean);
                self.node(Op::Add, &[x, mean], DType::F32, vec![]);
            }
            // A product with itself.
            15 => {
                let x = self.pick(true);
                let product = self.qconv(self.channels, 1, 1, x);
                self.qadd(product, product);
                let x = self.pick(false);
                let product = self.conv(1, 1, x);
                self.node(Op::Add, &[product, product], DType::F32, vec![]);
            }
            // A bias of its own node, and a gate.
            16 => {
                let x = self.pick(false);
                let weights = self.f32s(&[channels, channels, 1, 1]);
                let given = self.convolution(1, 1);
                let product = self.node(Op::Conv, &[x, weights], DType::F32, given);
                let bias = self.f32s(&[channels, 1, 1]);
                self.node(Op::Add, &[product, bias], DType::F32, vec![]);
            }
            17 => {
                let x = self.pick(false);
                let product = self.conv(3, 1, x);
                let gate = self.node(Op::Sigmoid, &[product], DType::F32, vec![]);
                self.node(Op::Mul, &[gate, product], DType::F32, vec![]);
            }
            13 => {
                let x = self.pick(false);
                let product = self.conv(1, 1, x);
                self.node(Op::Sigmoid, &[product], DType::F32, vec![]);
            }
            _ => {
                let (a, b) = (self.pick(false), self.pick(false));
                self.node(Op::Mul, &[a, b], DType::F32, vec![]);
            }
        }
    }

    /// A Program of so many steps and the shape of its two images.
    fn program(seed: u64) -> (Program, [usize; 4]) {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let channels = random.range(3, 40) as usize;
        let shape =
            [random.range(1, 2) as usize, channels, random.range(1, 9) as usize, random.range(1, 9) as usize];
        let (values, nodes, bytes, floats) = (vec![], vec![], vec![], vec![]);
        let mut build = Build { random, channels, values, nodes, bytes, floats };
        let dims = Some(shape.iter().map(|&n| Dim::Fixed(n)).collect::<Vec<_>>());
        let inputs = [DType::U8, DType::F32].map(|dtype| build.value(dtype, dims.clone(), None));
        (build.bytes, build.floats) = (vec![inputs[0]], vec![inputs[1]]);
        for _ in 0..build.random.range(1, 14) {
            build.grow();
        }
        let late = build.pick(true);
        let last = build.nodes.last().and_then(|node| node.outputs[0]).unwrap();
        let mut outputs = vec![last, late, *build.floats.last().unwrap(), *build.bytes.last().unwrap()];
        outputs.sort_unstable();
        outputs.dedup();
        let program = Program {
            inputs: inputs.to_vec(),
            outputs,
            values: build.values,
            nodes: build.nodes,
            opset: 25,
            producer: "test".to_owned(),
        };
        program.validate().unwrap();
        (program, shape)
    }
}

/// The outputs' bytes.
fn run(session: &Session, shape: [usize; 4], observed: bool, inputs: &[&[u8]]) -> Vec<Vec<u8>> {
    let shapes = [shape; 2];
    let plan = if observed { session.observed_plan(&shapes) } else { session.plan(&shapes) };
    let outputs = session.run_stages(&plan.unwrap(), inputs).unwrap();
    outputs.into_iter().map(|(_, bytes)| bytes.bytes().to_vec()).collect()
}

#[test]
fn plans_give_the_bits_of_their_nodes_one_by_one() {
    let mut fused = 0;
    for seed in 0..150 {
        let (program, shape) = Build::program(seed);
        let mut random = Random(seed + 1);
        let count = shape.iter().product();
        let bytes: Vec<u8> = (0..count).map(|_| random.next() as u8).collect();
        let floats: Vec<f32> = (0..count).map(|_| random.range(-3000, 3000) as f32 / 900.0).collect();
        let inputs: [&[u8]; 2] = [&bytes, bytes_of(&floats)];
        let mut expected = None;
        for tier in isa::available() {
            for threads in [1, 2] {
                let options = Options { threads: Some(threads), isa: Some(tier.name().to_owned()) };
                let session = Session::from_program(program.clone(), &options).unwrap();
                let expected = expected.get_or_insert_with(|| run(&session, shape, true, &inputs));
                // The second run finds the arena as the first left it.
                for observed in [false, false, true] {
                    let given = run(&session, shape, observed, &inputs);
                    assert_eq!(given.len(), expected.len());
                    for (output, (given, expected)) in given.iter().zip(&*expected).enumerate() {
                        let wrong = given.iter().zip(expected).position(|(g, e)| g != e);
                        assert_eq!(
                            wrong,
                            None,
                            "{} {threads} {observed} output {output} of seed {seed}",
                            tier.name()
                        );
                    }
                }
                let steps = |observed| {
                    let plan =
                        if observed { session.observed_plan(&[shape; 2]) } else { session.plan(&[shape; 2]) };
                    plan.unwrap().steps().len()
                };
                fused += steps(true).saturating_sub(steps(false));
            }
        }
    }
    assert!(fused > 100, "too little was fused to be of any worth: {fused}");
}
