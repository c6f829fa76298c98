//! A part of the model in one session: the plans that have been made of it, and of its sub-programs.

use std::collections::HashMap;
use std::sync::Arc;

use crate::plan::Plan;
use crate::program::Program;
use crate::session::kept::{Kept, Key};
use crate::session::part::Part;

/// A Program, the model's or of a body, and a session's plans of it.
pub struct Routine {
    pub part: Arc<Part>,
    pub plans: Kept,
    /// The bodies of nodes, by the nodes' indices.
    bodies: HashMap<usize, Vec<Routine>>,
}

impl Routine {
    /// One without a plan.
    pub fn new(part: &Arc<Part>) -> Routine {
        let of = |parts: &Vec<Arc<Part>>| parts.iter().map(Routine::new).collect();
        let bodies = part.bodies.iter().map(|(index, parts)| (*index, of(parts))).collect();
        Routine { part: Arc::clone(part), plans: Kept::default(), bodies }
    }

    /// The plan that is kept for these input shapes: found without an allocation.
    pub fn kept<S: AsRef<[usize]>>(&self, shapes: &[S], observed: bool) -> Option<Arc<Plan>> {
        self.plans.find(|key| match key {
            Key::Shapes { shapes: of, observed: is_observed } => {
                *is_observed == observed
                    && of.len() == shapes.len()
                    && of.iter().zip(shapes).all(|(of, shape)| of == shape.as_ref())
            }
            Key::Rest { .. } => false,
        })
    }

    /// The Program.
    pub fn program(&self) -> &Program {
        &self.part.program
    }

    /// The bodies of a node, in the order of its op.
    pub fn bodies(&self, index: usize) -> &[Routine] {
        self.bodies.get(&index).map_or(&[], Vec::as_slice)
    }
}
