//! The tensors that are known before a run, beside the Program's constants.

use std::collections::HashMap;
use std::sync::Arc;

use crate::program::{Tensor, ValueId};

/// Most bytes of all tensors that are computed while planning: each node could ask for more otherwise.
pub const MOST_KNOWN_BYTES: usize = 1 << 28;

/// Tensors by value. What one stage's plan knows is handed to the next without a copy: it is kept in layers, of which a
/// later one is smaller than half of the one before, so there are few.
#[derive(Clone, Default)]
pub struct Known {
    layers: Vec<Arc<HashMap<ValueId, Tensor>>>,
    own: HashMap<ValueId, Tensor>,
    bytes: usize,
}

impl Known {
    /// What a value holds, where it is known.
    pub fn get(&self, value: ValueId) -> Option<&Tensor> {
        self.own.get(&value).or_else(|| self.layers.iter().rev().find_map(|layer| layer.get(&value)))
    }

    /// Whether this many bytes more may be known.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.bytes.saturating_add(bytes) <= MOST_KNOWN_BYTES
    }

    /// States what a value holds.
    pub fn insert(&mut self, value: ValueId, tensor: Tensor) {
        self.bytes = self.bytes.saturating_add(tensor.bytes().len());
        self.own.insert(value, tensor);
    }

    /// The same, to be shared with other stages.
    pub fn shared(mut self) -> Known {
        let mut top = std::mem::take(&mut self.own);
        while let Some(below) = self.layers.pop_if(|below| below.len() < 2 * top.len()) {
            top.extend(below.iter().map(|(value, tensor)| (*value, tensor.clone())));
        }
        if !top.is_empty() {
            self.layers.push(Arc::new(top));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_know_what_stages_before_knew_in_few_layers() {
        let tensor = |n: u32| Tensor::from_i64s(&[1], &[i64::from(n)]).unwrap();
        let mut known = Known::default();
        for stage in 0..1000 {
            known.insert(ValueId(stage), tensor(stage));
            assert_eq!(known.get(ValueId(stage)), Some(&tensor(stage)));
            known = known.shared();
            assert!(known.layers.len() <= 10, "{} layers at stage {stage}", known.layers.len());
        }
        for stage in 0..1000 {
            assert_eq!(known.get(ValueId(stage)), Some(&tensor(stage)));
        }
        assert_eq!(known.get(ValueId(1000)), None);
        assert_eq!(known.bytes, 8000);
    }

    #[test]
    fn a_stage_of_its_own_changes_no_other() {
        let tensor = |n: i64| Tensor::from_i64s(&[1], &[n]).unwrap();
        let mut first = Known::default();
        first.insert(ValueId(0), tensor(0));
        let first = first.shared();
        let (mut left, mut right) = (first.clone(), first.clone());
        left.insert(ValueId(1), tensor(1));
        right.insert(ValueId(1), tensor(2));
        let (left, right) = (left.shared(), right.shared());
        assert_eq!(first.get(ValueId(1)), None);
        assert_eq!((left.get(ValueId(1)), right.get(ValueId(1))), (Some(&tensor(1)), Some(&tensor(2))));
        assert_eq!((left.get(ValueId(0)), right.get(ValueId(0))), (Some(&tensor(0)), Some(&tensor(0))));
    }

    #[test]
    fn what_is_known_is_bounded_over_all_stages() {
        let half =
            Tensor::new(crate::program::DType::U8, vec![MOST_KNOWN_BYTES / 2], vec![0; MOST_KNOWN_BYTES / 2]);
        let half = half.unwrap();
        let mut known = Known::default();
        known.insert(ValueId(0), half.clone());
        let mut known = known.shared();
        assert!(known.has_room(MOST_KNOWN_BYTES / 2) && !known.has_room(MOST_KNOWN_BYTES / 2 + 1));
        known.insert(ValueId(1), half);
        assert!(known.has_room(0) && !known.has_room(1));
    }
}
