//! What holds for sub-programs: what they are given and give, and what their nodes can read.

use std::collections::HashSet;

use super::faults::{Checked, bad, wrong};
use super::{Body, COUNTED, DType, Node, Op, Program, ValueId};
use crate::error::Error;

/// A node has the bodies of its op, and these are given as much as they take.
pub(super) fn shape(node: &Node) -> Checked {
    let names = node.op.bodies();
    if node.bodies.len() != names.len() {
        return Err(wrong(format_args!(
            "the {} has {} bodies, not {names:?}",
            node.label(),
            node.bodies.len()
        )));
    }
    for (name, body) in names.iter().zip(&node.bodies) {
        let taken = body.inputs.len();
        let is_given = match node.op {
            Op::Loop => (COUNTED..=node.inputs.len()).contains(&taken),
            _ => taken == 0,
        };
        if !is_given {
            return Err(wrong(format_args!("the {} cannot give {name:?} its {taken} inputs", node.label())));
        }
    }
    Ok(())
}

/// Every value comes from one place, and before it is read, in bodies too. `defined` tells of each value whether it has been
/// made or given so far, anywhere. Gives the values that can be read outside of all bodies.
pub(super) fn order(program: &Program, defined: &mut [bool]) -> Result<HashSet<ValueId>, Error> {
    let constants = program.values.iter().enumerate().filter(|(_, value)| value.constant.is_some());
    let mut outermost: HashSet<ValueId> = constants.map(|(at, _)| ValueId(at as u32)).collect();
    outermost.extend(&program.inputs);
    Order { program, defined }.nodes(&program.nodes, &mut outermost, None)?;
    Ok(outermost)
}

struct Order<'p> {
    program: &'p Program,
    defined: &'p mut [bool],
}

impl Order<'_> {
    /// Checks the nodes of a body of the node around them, which see these values beside the constants.
    fn nodes(&mut self, nodes: &[Node], visible: &mut HashSet<ValueId>, around: Option<&Node>) -> Checked {
        for node in nodes {
            for &id in node.inputs.iter().flatten() {
                self.reads(format_args!("the {} reads", node.label()), id, visible, around)?;
            }
            for (name, body) in node.op.bodies().iter().zip(&node.bodies) {
                self.body(node, name, body)?;
            }
            for &id in node.outputs.iter().flatten() {
                self.defines(format_args!("the {} makes", node.label()), id)?;
                visible.insert(id);
            }
        }
        Ok(())
    }

    fn body(&mut self, node: &Node, name: &str, body: &Body) -> Checked {
        let mut visible: HashSet<ValueId> = node.captured().collect();
        for &id in &body.inputs {
            self.defines(format_args!("{name:?} of the {} takes", node.label()), id)?;
            visible.insert(id);
        }
        self.nodes(&body.nodes, &mut visible, Some(node))?;
        for &id in &body.outputs {
            self.reads(format_args!("{name:?} of the {} gives", node.label()), id, &visible, Some(node))?;
        }
        Ok(())
    }

    fn defines(&mut self, what: std::fmt::Arguments, id: ValueId) -> Checked {
        if std::mem::replace(&mut self.defined[id.index()], true) {
            let name = &self.program.value(id).name;
            return Err(wrong(format_args!("{what} {name:?}, which is already defined")));
        }
        Ok(())
    }

    fn reads(
        &self,
        what: std::fmt::Arguments,
        id: ValueId,
        visible: &HashSet<ValueId>,
        around: Option<&Node>,
    ) -> Checked {
        let value = self.program.value(id);
        if visible.contains(&id) || value.constant.is_some() {
            return Ok(());
        }
        let name = &value.name;
        Err(match around {
            None => wrong(format_args!("{what} {name:?} before it is made")),
            Some(around) => wrong(format_args!(
                "{what} {name:?}, which is not made before it there, and which the {} does not read",
                around.label()
            )),
        })
    }
}

/// Both branches of an If give what its outputs are of.
pub(super) fn check_if(program: &Program, node: &Node) -> Checked {
    let wanted: Vec<Option<ValueId>> = node.outputs.clone();
    node.op
        .bodies()
        .iter()
        .zip(&node.bodies)
        .try_for_each(|(name, body)| gives(program, node, name, body, &wanted))
}

/// A Loop's state is of the same dtypes where it begins, in the body, and where it ends.
pub(super) fn check_loop(program: &Program, node: &Node) -> Checked {
    let (body, states) = (&node.bodies[0], node.bodies[0].inputs.len() - COUNTED);
    if body.outputs.len() < 1 + states {
        let given = body.outputs.len();
        return Err(bad(node, format_args!("its body gives {given} outputs, and carries {states} values")));
    }
    for (&id, dtype) in body.inputs.iter().zip([DType::I64, DType::Bool]) {
        let value = program.value(id);
        if value.dtype != dtype {
            let (found, name) = (value.dtype.name(), &value.name);
            return Err(bad(
                node,
                format_args!("its body's input {name:?} is of {found}, not {}", dtype.name()),
            ));
        }
    }
    let own = &body.inputs[COUNTED..];
    for (&first, &id) in node.inputs[COUNTED..].iter().zip(own) {
        alike(program, node, first, id)?;
    }
    for (&id, &after) in own.iter().zip(&body.outputs[1..]) {
        alike(program, node, Some(id), after)?;
    }
    let condition = program.value(body.outputs[0]);
    if condition.dtype != DType::Bool {
        return Err(bad(node, format_args!("its body's condition {:?} is not of bool", condition.name)));
    }
    let wanted: Vec<Option<ValueId>> = std::iter::once(None).chain(node.outputs.iter().copied()).collect();
    gives(program, node, "body", body, &wanted)
}

/// A body gives so many outputs, of the dtypes of these.
fn gives(program: &Program, node: &Node, name: &str, body: &Body, wanted: &[Option<ValueId>]) -> Checked {
    let (given, count) = (body.outputs.len(), wanted.len());
    if given != count {
        return Err(bad(node, format_args!("its {name:?} gives {given} outputs, not {count}")));
    }
    let outer = &node.inputs[node.own_inputs()..];
    if outer.contains(&None) {
        return Err(bad(node, "what its bodies read from outside has no name"));
    }
    let mut seen = HashSet::new();
    if let Some(id) = outer.iter().flatten().find(|id| !seen.insert(**id)) {
        let name = &program.value(*id).name;
        return Err(bad(node, format_args!("what its bodies read from outside lists {name:?} twice")));
    }
    for (&own, &output) in body.outputs.iter().zip(wanted) {
        let value = program.value(own);
        if value.dtype.is_packed() {
            let (own, dtype) = (&value.name, value.dtype.name());
            return Err(bad(node, format_args!("its {name:?} gives {own:?} of {dtype}, which is packed")));
        }
        if let Some(output) = output {
            alike(program, node, Some(own), output)?;
        }
    }
    Ok(())
}

fn alike(program: &Program, node: &Node, one: Option<ValueId>, other: ValueId) -> Checked {
    let (first, second) = (one.map(|id| program.value(id)), program.value(other));
    let found = first.map_or("nothing", |value| value.dtype.name());
    if found == second.dtype.name() {
        return Ok(());
    }
    let (name, other, dtype) = (first.map_or("", |value| &value.name), &second.name, second.dtype.name());
    Err(bad(node, format_args!("{name:?} is of {found}, and {other:?} of {dtype}: they must be alike")))
}
