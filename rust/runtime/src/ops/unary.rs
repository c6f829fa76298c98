//! Functions of one tensor: Lookup, and ONNX's, of which those of float32 have kernels.

use octavo_kernels::float::unary::{self, Unary};
use octavo_kernels::int16::convert;
use octavo_kernels::lookup;

use crate::ops::node::{error, made, needed, push_map};
use crate::ops::{arithmetic, broadcast, comparison, dynamic, fusion, quantize};
use crate::plan::buffers::Placed;
use crate::plan::builder::{Builder, Stop};
use crate::program::{DType, Node, Op};

/// Plans the op, in whatever layout its input has.
pub fn plan(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let x = b.input(needed(node, 0)?)?;
    let (dtype, is_predicate) = (x.dtype(), matches!(node.op, Op::Not | Op::IsNaN | Op::IsInf));
    if dtype == DType::F32 && !is_predicate {
        return plan_float(b, node, &x);
    }
    let y = b.output(made(node, 0)?, x.shape().to_vec(), x.layout)?;
    if node.op == Op::Lookup && dtype == DType::I16 {
        return plan_lookup_int16(b, node, &x, &y);
    }
    if node.op == Op::Lookup {
        let chunk = b.steps.chunk_elements(y.elements());
        let table = fusion::table(b, node)?;
        let kernel = b.steps.kernels.row().lookup.lookup.name;
        push_map(b, node, kernel, &x, &y, chunk, move |kernels, x: &[u8], y: &mut [u8]| {
            lookup::lookup(kernels, x, &table, y);
        });
        return Ok(());
    }
    let map =
        if is_predicate { comparison::predicate(node, dtype)? } else { arithmetic::single(node, dtype)? };
    broadcast::push(b, node, arithmetic::NAME, [&x], &y, move |_, [x], y| map(x, y));
    Ok(())
}

fn plan_lookup_int16(b: &mut Builder<'_>, node: &Node, x: &Placed, y: &Placed) -> Result<(), Stop> {
    let table: Box<[i16; convert::ENTRIES]> = b
        .known_input(node, 1)?
        .i16s()?
        .try_into()
        .map_err(|_| error(node, "the table must have 65536 entries"))?;
    let chunk = b.steps.chunk_elements(y.elements());
    let kernel = b.steps.kernels.row().int16.convert.lookup.name;
    push_map(b, node, kernel, x, y, chunk, move |kernels, x: &[i16], y: &mut [i16]| {
        convert::lookup(kernels, x, &table, y);
    });
    Ok(())
}

/// Plans a function of float32, with the Quantize behind it where that alone reads it.
fn plan_float(b: &mut Builder<'_>, node: &Node, x: &Placed) -> Result<(), Stop> {
    let function = function(b, node)?;
    if quantize::plan_behind(b, node, function, x)? || dynamic::plan_behind(b, node, function, x)? {
        return Ok(());
    }
    let y = b.output(made(node, 0)?, x.shape().to_vec(), x.layout)?;
    let chunk = b.steps.chunk_elements(y.elements());
    let kernel = b.steps.kernels.row().float.unary.unary.name;
    push_map(b, node, kernel, x, &y, chunk, move |kernels, x: &[f32], y: &mut [f32]| {
        unary::run(kernels, function, x, y);
    });
    Ok(())
}

/// The function of a node, with its attributes.
pub fn function(b: &Builder<'_>, node: &Node) -> Result<Unary, Stop> {
    let a = &node.attributes;
    Ok(match node.op {
        Op::Relu => Unary::Relu,
        Op::LeakyRelu => Unary::LeakyRelu { alpha: a.f32("alpha")? },
        Op::Elu => Unary::Elu { alpha: a.f32("alpha")? },
        Op::Selu => Unary::Selu { alpha: a.f32("alpha")?, gamma: a.f32("gamma")? },
        Op::Celu => Unary::Celu { alpha: a.f32("alpha")? },
        Op::ThresholdedRelu => Unary::ThresholdedRelu { alpha: a.f32("alpha")? },
        Op::Sigmoid => Unary::Sigmoid,
        Op::Tanh => Unary::Tanh,
        Op::HardSigmoid => Unary::HardSigmoid { alpha: a.f32("alpha")?, beta: a.f32("beta")? },
        Op::HardSwish => Unary::HardSwish,
        Op::Gelu => Unary::Gelu { tanh: a.str("approximate")? == "tanh" },
        Op::Softplus => Unary::Softplus,
        Op::Softsign => Unary::Softsign,
        Op::Mish => Unary::Mish,
        Op::Swish => Unary::Swish { alpha: a.f32("alpha")? },
        Op::Exp => Unary::Exp,
        Op::Log => Unary::Log,
        Op::Sqrt => Unary::Sqrt,
        Op::Reciprocal => Unary::Reciprocal,
        Op::Abs => Unary::Abs,
        Op::Neg => Unary::Neg,
        Op::Sign => Unary::Sign,
        Op::Floor => Unary::Floor,
        Op::Ceil => Unary::Ceil,
        Op::Round => Unary::Round,
        Op::Erf => Unary::Erf,
        Op::Sin => Unary::Sin,
        Op::Cos => Unary::Cos,
        Op::Tan => Unary::Tan,
        Op::Asin => Unary::Asin,
        Op::Acos => Unary::Acos,
        Op::Atan => Unary::Atan,
        Op::Sinh => Unary::Sinh,
        Op::Cosh => Unary::Cosh,
        Op::Asinh => Unary::Asinh,
        Op::Acosh => Unary::Acosh,
        Op::Atanh => Unary::Atanh,
        Op::Shrink => Unary::Shrink { lambda: a.f32("lambd")?, bias: a.f32("bias")? },
        Op::Clip => {
            Unary::Clip { lo: bound(b, node, 1, f32::NEG_INFINITY)?, hi: bound(b, node, 2, f32::INFINITY)? }
        }
        _ => return Err(error(node, "does not run in this version")),
    })
}

fn bound(b: &Builder<'_>, node: &Node, place: usize, missing: f32) -> Result<f32, Stop> {
    if node.input(place).is_none() {
        return Ok(missing);
    }
    match b.known_input(node, place)?.f32s()?[..] {
        [bound] => Ok(bound),
        _ => Err(error(node, "a bound is not a single number")),
    }
}
