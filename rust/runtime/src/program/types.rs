//! What a Program is made of.

use super::{Attributes, DType, Op, Tensor};
use crate::error::Error;

/// The ONNX operator set that every Program is in.
pub const OPSET: u32 = 25;
/// The artifact format that this code reads.
pub const FORMAT_VERSION: u32 = 3;
/// The most axes that a value can have.
pub const MAX_RANK: usize = 32;

/// How deep sub-programs can lie within one another.
pub const MAX_DEPTH: usize = 16;
/// What a Loop and its body have before the state that is carried: the trips, and the condition.
pub const COUNTED: usize = 2;

/// An index into [`Program::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u32);

impl ValueId {
    /// The index as such.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An axis of a value: a length, or a name for one that is known when the program runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A length.
    Fixed(usize),
    /// A name; equal names are equal lengths.
    Symbol(String),
}

/// How the integers of a value stand for reals: `real = scale * (q - zero_point)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quant {
    /// One scale, or one a channel; finite and positive.
    pub scale: Vec<f32>,
    /// As many as scales, within the dtype's range; integers but for those that a fractional Quantize makes.
    pub zero_point: Vec<f64>,
    /// The channel axis where there is one scale a channel.
    pub axis: Option<usize>,
    /// Elements of `axis` that share a scale; `None` where each has its own.
    pub block: Option<usize>,
}

/// A tensor by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The name, unique in the Program.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// Its axes; `None` where even the rank is unknown.
    pub shape: Option<Vec<Dim>>,
    /// What its integers stand for, where they stand for reals.
    pub quant: Option<Quant>,
    /// Its elements, where they are known in advance.
    pub constant: Option<Tensor>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Its name, for people.
    pub name: String,
    /// What it reads; `None` is an optional input left out.
    pub inputs: Vec<Option<ValueId>>,
    /// What it makes; `None` is an output that nobody wants.
    pub outputs: Vec<Option<ValueId>>,
    /// Its attributes by name.
    pub attributes: Attributes,
    /// Its sub-programs, in the order of [`Op::bodies`]. All that their nodes read from outside, constants apart, is among
    /// the inputs, behind those that the op itself has.
    pub bodies: Vec<Body>,
}

/// A sub-program that a node runs, as a branch of an If. Its values stand among the Program's.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// What the node gives it.
    pub inputs: Vec<ValueId>,
    /// What the node takes from it.
    pub outputs: Vec<ValueId>,
    /// In topological order.
    pub nodes: Vec<Node>,
}

impl Node {
    /// The input at a place, `None` where it was left out or the list is shorter.
    pub fn input(&self, place: usize) -> Option<ValueId> {
        self.inputs.get(place).copied().flatten()
    }

    /// The shape of the scales of a Dequantize by tensors, for an input of this shape; `None` where that lacks the axis.
    pub fn scales_shape(&self, shape: &[usize]) -> Result<Option<Vec<usize>>, Error> {
        if !self.attributes.has("axis") {
            return Ok(Some(vec![1]));
        }
        let axis = self.attributes.size("axis")?;
        let Some(&length) = shape.get(axis) else { return Ok(None) };
        if !self.attributes.has("block") {
            return Ok(Some(vec![length]));
        }
        let mut of_blocks = shape.to_vec();
        of_blocks[axis] = length.div_ceil(self.attributes.size("block")?);
        Ok(Some(of_blocks))
    }

    /// How many inputs are its op's own: behind them is what its bodies read from outside.
    pub fn own_inputs(&self) -> usize {
        match self.op {
            Op::If => 1,
            Op::Loop => self.bodies.first().map_or(COUNTED, |body| body.inputs.len()),
            _ => self.inputs.len(),
        }
    }

    /// What its bodies read from outside, constants apart.
    pub fn captured(&self) -> impl Iterator<Item = ValueId> {
        self.inputs.iter().skip(self.own_inputs()).flatten().copied()
    }

    /// How messages call the node: its op and its name.
    pub fn label(&self) -> String {
        format!("{} node {:?}", self.op.name(), self.name)
    }
}

/// A whole model: nodes in topological order over named values.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The values fed by the caller, in the model's order.
    pub inputs: Vec<ValueId>,
    /// The values given back, in the model's order.
    pub outputs: Vec<ValueId>,
    /// Every value, constants among them.
    pub values: Vec<Value>,
    /// The operations, each after those that it reads from.
    pub nodes: Vec<Node>,
    /// The ONNX operator set, [`OPSET`].
    pub opset: u32,
    /// What wrote the artifact.
    pub producer: String,
}

impl Program {
    /// The value of an id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// All nodes, each before what its bodies hold, and bodies in their order.
    pub fn all_nodes(&self) -> Vec<&Node> {
        let mut found = Vec::new();
        add_nodes(&self.nodes, &mut found);
        found
    }

    /// The elements of a node's input, where they are known in advance.
    pub fn constant(&self, node: &Node, place: usize) -> Option<&Tensor> {
        node.input(place).and_then(|id| self.value(id).constant.as_ref())
    }
}

fn add_nodes<'p>(nodes: &'p [Node], found: &mut Vec<&'p Node>) {
    for node in nodes {
        found.push(node);
        node.bodies.iter().for_each(|body| add_nodes(&body.nodes, found));
    }
}
