//! Ops of two or more operands, element by element, with numpy's broadcasting.

use octavo_exec::{cast, cast_mut};
use octavo_kernels::elementwise::{self, AddParams, MulParams};
use octavo_kernels::float::binary::{self, Binary};
use octavo_kernels::int16::elementwise as int16;
use octavo_kernels::table::Kernels;

use crate::ops::arithmetic::{self, Pair};
use crate::ops::broadcast;
use crate::ops::fusion::add_params;
use crate::ops::node::{broadcast, made};
use crate::plan::buffers::{Placed, TensorType};
use crate::plan::builder::{Builder, Stop};
use crate::program::{DType, Node, Op};

/// What two runs of elements become.
enum Function {
    Add(AddParams),
    Mul(MulParams),
    AddInt16(int16::AddParams),
    MulInt16(int16::MulParams),
    MaxU8,
    MinU8,
    Float(Binary),
    Plain(Pair),
}

impl Function {
    fn of(node: &Node, dtype: DType) -> Result<Function, Stop> {
        Ok(match (node.op, dtype) {
            (Op::QAdd, DType::I16) => Function::AddInt16(add_params_int16(node)?),
            (Op::QMul, DType::I16) => Function::MulInt16(mul_params_int16(node)?),
            (Op::QAdd, _) => Function::Add(add_params(node)?),
            (Op::QMul, _) => Function::Mul(mul_params(node)?),
            (Op::Max, DType::U8) => Function::MaxU8,
            (Op::Min, DType::U8) => Function::MinU8,
            (op, DType::F32) => match of_two(op) {
                Some(function) => Function::Float(function),
                None => Function::Plain(arithmetic::pair(node, dtype)?),
            },
            _ => Function::Plain(arithmetic::pair(node, dtype)?),
        })
    }

    /// Runs on bytes of whole elements; one side may be a single element.
    fn run(&self, kernels: Kernels, a: &[u8], b: &[u8], y: &mut [u8]) {
        match self {
            Function::Add(params) => elementwise::add(kernels, a, b, params, y),
            Function::Mul(params) => elementwise::mul(kernels, a, b, params, y),
            Function::AddInt16(params) => int16::add(kernels, cast(a), cast(b), params, cast_mut(y)),
            Function::MulInt16(params) => int16::mul(kernels, cast(a), cast(b), params, cast_mut(y)),
            Function::MaxU8 => elementwise::max(kernels, a, b, y),
            Function::MinU8 => elementwise::min(kernels, a, b, y),
            Function::Float(op) => binary::run(kernels, *op, cast(a), cast(b), cast_mut(y)),
            Function::Plain(pair) => pair(a, b, y),
        }
    }

    fn name(&self, kernels: Kernels) -> &'static str {
        let row = kernels.row();
        match self {
            Function::Add(_) => row.elementwise.add.name,
            Function::Mul(_) => row.elementwise.mul.name,
            Function::AddInt16(_) => row.int16.elementwise.add.name,
            Function::MulInt16(_) => row.int16.elementwise.mul.name,
            Function::MaxU8 => row.elementwise.max.name,
            Function::MinU8 => row.elementwise.min.name,
            Function::Float(_) => row.float.binary.binary.name,
            Function::Plain(_) => arithmetic::NAME,
        }
    }
}

/// The float32 kernels' function of two elements, where they have the op.
pub fn of_two(op: Op) -> Option<Binary> {
    Some(match op {
        Op::Add => Binary::Add,
        Op::Sub => Binary::Sub,
        Op::Mul => Binary::Mul,
        Op::Div => Binary::Div,
        Op::Pow => Binary::Pow,
        Op::Max => Binary::Max,
        Op::Min => Binary::Min,
        Op::PRelu => Binary::PRelu,
        _ => return None,
    })
}

fn mul_params(node: &Node) -> Result<MulParams, Stop> {
    let a = &node.attributes;
    Ok(MulParams {
        a_zero_point: a.int32("a_zero_point")?,
        b_zero_point: a.int32("b_zero_point")?,
        y_zero_point: a.int32("y_zero_point")?,
        multiplier: a.int32("multiplier")?,
        shift: a.int32("shift")?.unsigned_abs(),
        lo: a.int32("lo")?,
        hi: a.int32("hi")?,
    })
}

fn add_params_int16(node: &Node) -> Result<int16::AddParams, Stop> {
    let AddParams { a_multiplier, b_multiplier, shift, lo, hi, .. } = add_params(node)?;
    Ok(int16::AddParams { a_multiplier, b_multiplier, shift, lo, hi })
}

/// The parameters of a QMul of int16, or of any Requantize, but for zero points.
pub fn mul_params_int16(node: &Node) -> Result<int16::MulParams, Stop> {
    let a = &node.attributes;
    Ok(int16::MulParams {
        multiplier: a.int32("multiplier")?,
        shift: a.int32("shift")?.unsigned_abs(),
        lo: a.int32("lo")?,
        hi: a.int32("hi")?,
    })
}

/// Plans the op: operands beyond two (Max, Min) are taken one after the other.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let operands = broadcast::operands(b, node)?;
    let output = made(node, 0)?;
    if operands.placed.len() == 1 {
        return Ok(b.alias(output, &operands.placed[0], operands.shape, operands.layout)?);
    }
    let y = b.output(output, operands.shape, operands.layout)?;
    let mut so_far = operands.placed[0].clone();
    for (index, operand) in operands.placed[1..].iter().enumerate() {
        let is_last = index + 2 == operands.placed.len();
        let target = if is_last {
            y.clone()
        } else {
            // No larger than the two need, so that one of them moves along every dimension.
            let shape = broadcast(node, so_far.shape(), operand.shape())?;
            let tensor = TensorType { dtype: y.dtype(), shape };
            Placed { buffer: b.steps.temporary(tensor.bytes()), tensor, layout: y.layout }
        };
        let function = Function::of(node, y.dtype())?;
        let kernel = function.name(b.steps.kernels);
        broadcast::push(b, node, kernel, [&so_far, operand], &target, move |kernels, [a, b], y| {
            function.run(kernels, a, b, y);
        });
        so_far = target;
    }
    Ok(())
}
