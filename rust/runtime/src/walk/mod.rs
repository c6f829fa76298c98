//! The walk over a Program's nodes: nodes in, a plan out.

mod dispatch;
mod known;

use crate::error::{Error, Operand};
use crate::ops::stored;
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
        let planned = plan_node(&mut b, index);
        let node = &b.program.nodes[index];
        match planned.map_err(|error| error.of_node(&node.name, || operands(&b, node)))? {
            Planned::Done => {}
            Planned::Ends(end) => return b.finish_early(end),
        }
    }
    b.finish()
}

/// Plans one node, after the weights that it alone says the form of.
fn plan_node(b: &mut Builder<'_>, index: usize) -> Result<Planned, Error> {
    if stored::is_left_to_readers(b, index) {
        return Ok(Planned::Done);
    }
    for index in stored::needed_first(b, index).into_iter().chain([index]) {
        if known::evaluate(b, index)? {
            continue;
        }
        if let Planned::Ends(end) = dispatch::plan(b, index)? {
            return Ok(Planned::Ends(end));
        }
    }
    Ok(Planned::Done)
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
