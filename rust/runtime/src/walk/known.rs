//! What is known before a run: a node whose inputs are all known is computed while planning, by its own kernels.

use crate::error::Error;
use crate::ops::shape::MOST_ELEMENTS;
use crate::plan::arena;
use crate::plan::builder::{Builder, Planned};
use crate::plan::packing::{Blocks, Packing};
use crate::plan::uses::Uses;
use crate::program::{Node, Op, Program, Tensor, Value, ValueId};
use crate::walk::dispatch;

/// Computes the node's outputs now where all of its inputs are known; false where they are not, or where so many bytes
/// are better made by every run than kept by the plan.
pub fn evaluate(b: &mut Builder<'_>, index: usize) -> Result<bool, Error> {
    let node = &b.program.nodes[index];
    let Some(program) = alone(b, node) else { return Ok(false) };
    let (blocks, uses, pool) = (Blocks::default(), Uses::of(&program), b.packing.pool());
    let mut builder =
        Builder::of_known(&program, &uses, b.steps.kernels, Packing::new(&uses, pool, &blocks))?;
    builder.begin(0);
    if let Planned::Ends(end) = dispatch::plan(&mut builder, 0)? {
        return Err(Error::run(format!("{}: not all is known ({end:?})", node.label())));
    }
    let plan = builder.finish()?;
    let made: usize = plan.outputs().iter().map(|of| of.bytes()).sum();
    let most = most_elements(node);
    if plan.outputs().iter().any(|of| of.elements() > most) || !b.has_room_to_know(made) {
        return Ok(false);
    }
    let mut buffers =
        plan.outputs().iter().map(|of| arena::allocate(of.bytes())).collect::<Result<Vec<_>, _>>()?;
    let mut outputs: Vec<&mut [u8]> = buffers.iter_mut().map(|buffer| buffer.bytes_mut()).collect();
    plan.run(pool, &[], &mut outputs)?;
    for ((value, of), bytes) in node.outputs.iter().flatten().zip(plan.outputs()).zip(outputs) {
        b.know(*value, Tensor::new(of.dtype, of.shape.clone(), &*bytes)?)?;
    }
    Ok(true)
}

/// The most elements that the node may read, or make, before the run: more are better made by every run. Not so of stored
/// weights, which the file holds a share of already, and which take more time than the product that reads them.
fn most_elements(node: &Node) -> usize {
    if node.op == Op::Dequantize { usize::MAX } else { MOST_ELEMENTS }
}

/// A Program of this node alone, its inputs constants; `None` where one is not known, or all together are large.
fn alone(b: &Builder<'_>, node: &Node) -> Option<Program> {
    if b.is_of_known() || !node.bodies.is_empty() || node.inputs.iter().flatten().next().is_none() {
        return None;
    }
    let mut values: Vec<Value> = Vec::with_capacity(node.inputs.len() + node.outputs.len());
    let mut elements = 0;
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for input in &node.inputs {
        let Some(value) = *input else {
            inputs.push(None);
            continue;
        };
        let tensor = b.known(value)?.clone();
        elements += tensor.len();
        inputs.push(Some(ValueId(values.len() as u32)));
        values.push(Value { constant: Some(tensor), ..b.program.value(value).clone() });
    }
    if elements > most_elements(node) {
        return None;
    }
    let mut outputs = Vec::with_capacity(node.outputs.len());
    for output in &node.outputs {
        outputs.push(output.map(|_| ValueId(values.len() as u32)));
        values.extend(output.map(|value| b.program.value(value).clone()));
    }
    Some(Program {
        inputs: Vec::new(),
        outputs: outputs.iter().flatten().copied().collect(),
        nodes: vec![Node { inputs, outputs, ..node.clone() }],
        values,
        opset: b.program.opset,
        producer: String::new(),
    })
}
