//! Who reads a Program's values.

use crate::program::{Program, ValueId};

/// The readers of every value, found once for all plans.
pub struct Uses {
    readers: Vec<Vec<usize>>,
    is_input: Vec<bool>,
    is_output: Vec<bool>,
}

impl Uses {
    /// The uses of a Program's values.
    pub fn of(program: &Program) -> Uses {
        let mut readers = vec![Vec::new(); program.values.len()];
        for (index, node) in program.nodes.iter().enumerate() {
            for value in node.inputs.iter().flatten() {
                readers[value.index()].push(index);
            }
        }
        let among = |listed: &[ValueId]| {
            let mut is_listed = vec![false; program.values.len()];
            listed.iter().for_each(|value| is_listed[value.index()] = true);
            is_listed
        };
        Uses { readers, is_input: among(&program.inputs), is_output: among(&program.outputs) }
    }

    /// The indices of the nodes that read a value, in their order; one that reads it twice is listed twice.
    pub fn readers(&self, value: ValueId) -> &[usize] {
        &self.readers[value.index()]
    }

    /// Whether the caller feeds a value.
    pub fn is_input(&self, value: ValueId) -> bool {
        self.is_input[value.index()]
    }

    /// Whether the caller is given a value.
    pub fn is_output(&self, value: ValueId) -> bool {
        self.is_output[value.index()]
    }
}
