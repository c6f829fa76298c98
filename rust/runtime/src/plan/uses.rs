//! Who makes and who reads a Program's values.

use std::collections::HashMap;

use crate::program::{Program, Tensor, ValueId};

/// The maker and the readers of every value, found once for all plans.
pub struct Uses {
    makers: Vec<Option<usize>>,
    readers: Vec<Vec<usize>>,
    inputs: HashMap<ValueId, usize>,
    is_output: Vec<bool>,
    is_constant: Vec<bool>,
    /// Elements of all constants together.
    pub constant_elements: usize,
}

impl Uses {
    /// The uses of a Program's values.
    pub fn of(program: &Program) -> Uses {
        let mut readers = vec![Vec::new(); program.values.len()];
        let mut makers = vec![None; program.values.len()];
        let mut is_constant: Vec<bool> =
            program.values.iter().map(|value| value.constant.is_some()).collect();
        for (index, node) in program.nodes.iter().enumerate() {
            let mut inputs = node.inputs.iter().flatten().peekable();
            let follows = inputs.peek().is_some() && inputs.all(|value| is_constant[value.index()]);
            node.outputs.iter().flatten().for_each(|value| is_constant[value.index()] = follows);
            node.outputs.iter().flatten().for_each(|value| makers[value.index()] = Some(index));
            for value in node.inputs.iter().flatten() {
                readers[value.index()].push(index);
            }
        }
        let mut is_output = vec![false; program.values.len()];
        program.outputs.iter().for_each(|value| is_output[value.index()] = true);
        let inputs = program.inputs.iter().enumerate().map(|(at, &value)| (value, at)).collect();
        let constants = program.values.iter().filter_map(|value| value.constant.as_ref());
        let constant_elements = constants.map(Tensor::len).fold(0, usize::saturating_add);
        Uses { makers, readers, inputs, is_output, is_constant, constant_elements }
    }

    /// The index of the node that makes a value; none of a constant, or where the caller feeds it.
    pub fn maker(&self, value: ValueId) -> Option<usize> {
        self.makers[value.index()]
    }

    /// The indices of the nodes that read a value, in their order; one that reads it twice is listed twice.
    pub fn readers(&self, value: ValueId) -> &[usize] {
        &self.readers[value.index()]
    }

    /// The place of a value among the Program's inputs, where the caller feeds it.
    pub fn input(&self, value: ValueId) -> Option<usize> {
        self.inputs.get(&value).copied()
    }

    /// Whether the caller is given a value.
    pub fn is_output(&self, value: ValueId) -> bool {
        self.is_output[value.index()]
    }

    /// Whether a value is a constant, or follows from constants alone: the same tensor for every plan.
    pub fn is_constant(&self, value: ValueId) -> bool {
        self.is_constant[value.index()]
    }
}
