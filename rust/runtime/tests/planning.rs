//! Planning takes time in proportion to nodes: ten times as many take about ten times as long, not a hundred times. Not
//! on ARM, which is tried under emulation: there it takes minutes.
#![cfg(target_arch = "x86_64")]

use std::fs;

use octavo_runtime::program::{Attribute, Attributes, DType, Dim, Node, Op, Program, Tensor, Value, ValueId};
use octavo_runtime::{Options, Session, bytes_of};

/// A Program that grows.
struct Build {
    values: Vec<Value>,
    nodes: Vec<Node>,
    inputs: Vec<ValueId>,
}

impl Build {
    fn new() -> Build {
        Build { values: Vec::new(), nodes: Vec::new(), inputs: Vec::new() }
    }

    fn value(&mut self, dtype: DType, shape: Option<Vec<Dim>>, constant: Option<Tensor>) -> ValueId {
        let name = format!("v{}", self.values.len());
        self.values.push(Value { name, dtype, shape, quant: None, constant });
        ValueId(self.values.len() as u32 - 1)
    }

    fn input(&mut self, dtype: DType, length: usize) -> ValueId {
        let value = self.value(dtype, Some(vec![Dim::Fixed(length)]), None);
        self.inputs.push(value);
        value
    }

    fn node(&mut self, op: Op, inputs: &[ValueId], dtype: DType, given: &[(&str, Attribute)]) -> ValueId {
        let name = format!("n{}", self.nodes.len());
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let attributes = Attributes::new(op, &name, given);
        let output = self.value(dtype, None, None);
        let inputs = inputs.iter().copied().map(Some).collect();
        self.nodes.push(Node {
            op,
            name,
            inputs,
            outputs: vec![Some(output)],
            attributes,
            bodies: Vec::new(),
        });
        output
    }

    fn session(self, output: ValueId) -> Session {
        let Build { values, nodes, inputs } = self;
        let program =
            Program { inputs, outputs: vec![output], values, nodes, opset: 25, producer: String::new() };
        let options = Options { threads: Some(1), isa: None };
        Session::from_program(program, &options).unwrap()
    }
}

/// Each reads the one before: the lives of all buffers are short.
fn chain(nodes: usize) -> Session {
    let mut build = Build::new();
    let mut x = build.input(DType::F32, 4);
    for _ in 0..nodes {
        x = build.node(Op::Softmax, &[x], DType::F32, &[("axis", Attribute::Int(-1))]);
    }
    build.session(x)
}

/// Half of them are made first and read last: the lives of their buffers are long.
fn comb(nodes: usize) -> Session {
    let mut build = Build::new();
    let first = build.input(DType::F32, 4);
    let teeth: Vec<ValueId> = (0..nodes / 2)
        .map(|_| build.node(Op::Softmax, &[first], DType::F32, &[("axis", Attribute::Int(-1))]))
        .collect();
    let output = build.node(Op::Concat, &teeth, DType::F32, &[("axis", Attribute::Int(0))]);
    build.session(output)
}

/// Each follows from what is known before the run.
fn known(nodes: usize) -> Session {
    let mut build = Build::new();
    let one = Tensor::from_i64s(&[1], &[1]).unwrap();
    let one = build.value(DType::I64, Some(vec![Dim::Fixed(1)]), Some(one));
    let x = build.input(DType::F32, 4);
    let mut sum = build.node(Op::Shape, &[x], DType::I64, &[("start", Attribute::Int(0))]);
    for _ in 0..nodes {
        sum = build.node(Op::Add, &[sum, one], DType::I64, &[]);
    }
    build.session(sum)
}

/// The nanoseconds that this thread has run so far: other programs' do not count.
fn nanoseconds() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// The least of three times of some work on a session.
fn least(make: impl Fn() -> Session, work: impl Fn(&Session)) -> u64 {
    let time = || {
        let session = make();
        let start = nanoseconds();
        work(&session);
        nanoseconds() - start
    };
    (0..3).map(|_| time()).min().unwrap()
}

#[test]
fn ten_times_the_nodes_take_about_ten_times_as_long() {
    for (name, make) in [("chain", chain as fn(usize) -> Session), ("comb", comb), ("known", known)] {
        let of = |nodes| least(|| make(nodes), |session| drop(session.plan(&[[4]]).unwrap()));
        let (few, many) = (of(10_000), of(100_000));
        assert!(many < 40 * few, "{name}: {few} ns for 10,000 nodes, {many} for 100,000");
    }
}

/// Each stage waits for a shape that the one before computes, and knows what all before it knew.
fn stages(count: usize) -> Session {
    let mut build = Build::new();
    let mut x = build.input(DType::F32, 1);
    for _ in 0..count {
        let shape = build.node(Op::Cast, &[x], DType::I64, &[("to", Attribute::Int(DType::I64.onnx()))]);
        x = build.node(Op::Expand, &[x, shape], DType::F32, &[]);
    }
    build.session(x)
}

#[test]
fn ten_times_the_stages_take_about_ten_times_as_long() {
    let run = |session: &Session| {
        let one = bytes_of(&[1.0f32]);
        let outputs = session.run_stages(&session.plan(&[[1]]).unwrap(), &[one]).unwrap();
        assert_eq!(outputs[0].1.bytes()[..4], *one);
    };
    let (few, many) = (least(|| stages(1_000), run), least(|| stages(10_000), run));
    assert!(many < 40 * few, "{few} ns for 1,000 stages, {many} for 10,000");
}

/// Stages beside so many inputs that the first of them reads alone, and a tensor that the last of them reads.
fn stages_past(count: usize, inputs: usize, length: usize) -> Session {
    let mut build = Build::new();
    let mut x = build.input(DType::F32, 1);
    let fed: Vec<ValueId> = (0..inputs).map(|_| build.input(DType::F32, length)).collect();
    let axis = [("axis", Attribute::Int(0))];
    let kept = build.node(Op::Concat, &fed, DType::F32, &axis);
    for _ in 0..count {
        let shape = build.node(Op::Cast, &[x], DType::I64, &[("to", Attribute::Int(DType::I64.onnx()))]);
        x = build.node(Op::Expand, &[x, shape], DType::F32, &[]);
    }
    let output = build.node(Op::Concat, &[kept, x], DType::F32, &axis);
    build.session(output)
}

#[test]
fn a_stage_costs_what_it_does_and_not_what_lies_about() {
    let time = |inputs: usize, length: usize| {
        let (one, rest) = ([1.0f32], vec![2.0f32; length]);
        let fed: Vec<&[u8]> =
            std::iter::once(bytes_of(&one[..])).chain((0..inputs).map(|_| bytes_of(&rest[..]))).collect();
        let shapes: Vec<[usize; 1]> = std::iter::once([1]).chain((0..inputs).map(|_| [length])).collect();
        least(
            || stages_past(10_000, inputs, length),
            |session| {
                let outputs = session.run_stages(&session.plan(&shapes).unwrap(), &fed).unwrap();
                assert_eq!(outputs[0].0.shape, [inputs * length + 1]);
                assert_eq!(outputs[0].1.bytes()[4 * inputs * length..][..4], *bytes_of(&one[..]));
                assert_eq!(outputs[0].1.bytes()[..4], *bytes_of(&rest[..1]));
            },
        )
    };
    let plain = time(2, 1);
    for (what, found) in [("4,000 inputs", time(4_000, 1)), ("a tensor of 16 MiB", time(2, 1 << 21))] {
        assert!(found < 4 * plain, "{plain} ns for 10,000 stages, {found} beside {what}");
    }
}
