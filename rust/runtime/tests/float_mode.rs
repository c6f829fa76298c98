//! A run's float arithmetic is IEEE 754's default on every thread, whatever mode the caller has.
#![cfg(target_arch = "x86_64")]

use std::arch::asm;

use octavo_runtime::program::{Attributes, DType, Dim, Node, Op, Program, Tensor, Value, ValueId};
use octavo_runtime::{Options, Session, bytes_of, cast, isa};

/// MXCSR of a library linked with `-ffast-math`, and rounding towards zero: flush to zero, denormals are zero.
const STRANGE: u32 = 0x1f80 | 1 << 15 | 1 << 6 | 3 << 13;

fn mode() -> u32 {
    let mut found = 0u32;
    // SAFETY: every x86-64 has SSE; the instruction stores four bytes to `found`.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut found, options(nostack, preserves_flags)) };
    found
}

fn set_mode(mode: u32) {
    // SAFETY: no reserved bit is set; between a strange mode and the one found, this test does no arithmetic itself.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack, preserves_flags, readonly)) };
}

/// `y = (x * 0.5) / 3`.
fn program(length: usize) -> Program {
    let value = |name: &str, constant: Option<f32>| Value {
        name: name.to_owned(),
        dtype: DType::F32,
        shape: Some(vec![Dim::Fixed(if constant.is_some() { 1 } else { length })]),
        quant: None,
        constant: constant.map(|number| Tensor::from_f32s(&[1], &[number]).unwrap()),
    };
    let node = |op: Op, name: &str, inputs: [u32; 2], output: u32| Node {
        op,
        name: name.to_owned(),
        inputs: inputs.map(|id| Some(ValueId(id))).to_vec(),
        outputs: vec![Some(ValueId(output))],
        attributes: Attributes::new(op, name, []),
        bodies: Vec::new(),
    };
    Program {
        inputs: vec![ValueId(0)],
        outputs: vec![ValueId(2), ValueId(4)],
        values: vec![
            value("x", None),
            value("half", Some(0.5)),
            value("halves", None),
            value("three", Some(3.0)),
            value("y", None),
        ],
        nodes: vec![node(Op::Mul, "halve", [0, 1], 2), node(Op::Div, "divide", [2, 3], 4)],
        opset: 25,
        producer: "test".to_owned(),
    }
}

#[test]
fn subnormals_and_rounding_do_not_depend_on_the_caller_s_mode() {
    let length = 200_000;
    let program = program(length);
    // The smallest normal number, whose half is subnormal; a subnormal number; a third that rounds up.
    let given = [f32::MIN_POSITIVE, f32::from_bits(0x0030_0000), 4.0];
    let x: Vec<f32> = (0..length).map(|i| given[i % 3]).collect();
    let halves = [0x0040_0000, 0x0018_0000, 0x4000_0000];
    let thirds = [0x0015_5555, 0x0008_0000, 0x3f2a_aaab];
    let found = mode();
    for tier in isa::available() {
        for threads in [1, 2] {
            let options = Options { threads: Some(threads), isa: Some(tier.name().to_owned()) };
            set_mode(STRANGE);
            // The workers start in the first run, by a thread of that mode.
            let session = Session::from_program(program.clone(), &options);
            let answers: Vec<_> = (0..20)
                .map(|_| {
                    let session = session.as_ref().unwrap();
                    let plan = session.plan(&[[length]]).unwrap();
                    session.run_stages(&plan, &[bytes_of(&x)]).unwrap()
                })
                .collect();
            let after = mode();
            set_mode(found);
            assert_eq!(after & STRANGE, STRANGE, "the caller's mode is put back");
            for answer in answers {
                for ((_, bytes), expected) in answer.iter().zip([halves, thirds]) {
                    let y = cast::<f32>(bytes.bytes());
                    let wrong = (0..length).find(|&i| y[i].to_bits() != expected[i % 3]);
                    assert_eq!(wrong, None, "{}, {threads} threads", tier.name());
                }
            }
        }
    }
}
