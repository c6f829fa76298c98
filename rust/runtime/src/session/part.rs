//! A Program with its sub-programs, each made a Program of its own that plans can be made of.

use std::collections::HashMap;
use std::sync::Arc;

use crate::plan::uses::Uses;
use crate::program::{Body, Node, Program, Value, ValueId};

/// A Program, the model's or of a body.
pub struct Part {
    pub program: Program,
    pub uses: Uses,
    /// By the number of a value here, its number in the model's; none of the model's itself.
    pub origins: Vec<u32>,
    /// How many of the inputs are a body's own: behind them is what it reads from outside.
    pub own_inputs: usize,
    /// The bodies of nodes, by the nodes' indices.
    pub bodies: HashMap<usize, Vec<Arc<Part>>>,
}

impl Part {
    /// The whole of a Program.
    pub fn whole(program: Program) -> Part {
        let own_inputs = program.inputs.len();
        Part::new(program, Vec::new(), own_inputs)
    }

    fn new(program: Program, origins: Vec<u32>, own_inputs: usize) -> Part {
        let mut bodies = HashMap::new();
        for (index, node) in program.nodes.iter().enumerate().filter(|(_, node)| !node.bodies.is_empty()) {
            let parts = node.bodies.iter().map(|body| Arc::new(part_of(&program, &origins, node, body)));
            bodies.insert(index, parts.collect());
        }
        Part { uses: Uses::of(&program), program, origins, own_inputs, bodies }
    }
}

/// A body of a node: a Program of the values that it has to do with, which are numbered anew.
fn part_of(outer: &Program, origins: &[u32], node: &Node, body: &Body) -> Part {
    let mut numbers = Numbers::default();
    let inputs: Vec<ValueId> = body.inputs.iter().map(|&id| numbers.of(id)).collect();
    let own_inputs = inputs.len();
    let captured: Vec<ValueId> = node.captured().map(|id| numbers.of(id)).collect();
    let first_inside = own_inputs + captured.len();
    let inputs = inputs.into_iter().chain(captured).collect();
    let nodes = numbers.nodes(&body.nodes);
    let outputs = numbers.ids(&body.outputs);
    let value = |(here, &id): (usize, &ValueId)| {
        let value = outer.value(id);
        // What is outside is described there: of a large value in many bodies, all but the name and the elements.
        let is_outside = value.constant.is_some() || (own_inputs..first_inside).contains(&here);
        Value {
            name: value.name.clone(),
            dtype: value.dtype,
            shape: if is_outside { None } else { value.shape.clone() },
            quant: if is_outside { None } else { value.quant.clone() },
            constant: value.constant.clone(),
        }
    };
    let program = Program {
        inputs,
        outputs,
        values: numbers.there.iter().enumerate().map(value).collect(),
        nodes,
        opset: outer.opset,
        producer: outer.producer.clone(),
    };
    let origin = |id: &ValueId| origins.get(id.index()).copied().unwrap_or(id.0);
    Part::new(program, numbers.there.iter().map(origin).collect(), own_inputs)
}

/// The numbers of values within a body.
#[derive(Default)]
struct Numbers {
    here: HashMap<ValueId, ValueId>,
    there: Vec<ValueId>,
}

impl Numbers {
    fn of(&mut self, id: ValueId) -> ValueId {
        *self.here.entry(id).or_insert_with(|| {
            self.there.push(id);
            ValueId(self.there.len() as u32 - 1)
        })
    }

    fn ids(&mut self, ids: &[ValueId]) -> Vec<ValueId> {
        ids.iter().map(|&id| self.of(id)).collect()
    }

    fn nodes(&mut self, nodes: &[Node]) -> Vec<Node> {
        let node = |node: &Node| Node {
            op: node.op,
            name: node.name.clone(),
            inputs: node.inputs.iter().map(|id| id.map(|id| self.of(id))).collect(),
            outputs: node.outputs.iter().map(|id| id.map(|id| self.of(id))).collect(),
            attributes: node.attributes.clone(),
            bodies: node.bodies.iter().map(|body| self.body(body)).collect(),
        };
        nodes.iter().map(node).collect()
    }

    fn body(&mut self, body: &Body) -> Body {
        let inputs = self.ids(&body.inputs);
        let nodes = self.nodes(&body.nodes);
        Body { inputs, outputs: self.ids(&body.outputs), nodes }
    }
}
