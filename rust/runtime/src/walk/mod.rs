//! The walk over a Program's nodes: nodes in, a plan out.

mod dispatch;
mod known;

use crate::error::{Error, Operand};
use crate::plan::Plan;
use crate::plan::builder::{Builder, Planned};
use crate::program::{Node, ValueId};

/// Plans every node of the builder's, up to one that depends on what is not known yet.
pub fn plan(mut b: Builder<'_>) -> Result<Plan, Error> {
    for index in b.nodes() {
        if b.is_planned(index) {
            continue;
        }
        b.begin(index);
        let planned = match known::evaluate(&mut b, index) {
            Ok(true) => Ok(Planned::Done),
            Ok(false) => dispatch::plan(&mut b, index),
            Err(error) => Err(error),
        };
        let node = &b.program.nodes[index];
        match planned.map_err(|error| error.of_node(&node.name, || operands(&b, node)))? {
            Planned::Done => {}
            Planned::Waits(value) => return b.finish_early(value),
        }
    }
    b.finish()
}

/// What a node is given, for an error of it.
fn operands(b: &Builder<'_>, node: &Node) -> Vec<Operand> {
    let operand = |input: &Option<ValueId>| {
        let tensor = input.and_then(|value| b.tensor(value).ok());
        Operand {
            name: input.map_or(String::new(), |value| b.name(value).to_owned()),
            dtype: tensor.as_ref().map_or("", |tensor| tensor.dtype.name()),
            shape: tensor.map_or(Vec::new(), |tensor| tensor.shape),
        }
    };
    node.inputs.iter().map(operand).collect()
}
