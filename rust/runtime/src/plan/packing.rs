//! Weights in the form that kernels read, packed once a session and shared by its plans.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use octavo_exec::Arena;

use crate::error::Error;
use crate::plan::arena;

/// What a packed block is made for: the node's weight value and how a family reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The weight's value.
    pub weight: u32,
    /// The family's form, with the numbers that it depends on.
    pub form: &'static str,
    /// Which block of the weight, where it is packed in several.
    pub part: usize,
    /// How many blocks it is packed in: convolutions of different groups may share a weight.
    pub parts: usize,
}

/// The packed blocks of a session.
#[derive(Default)]
pub struct Packing {
    blocks: Mutex<HashMap<Key, Arc<Arena>>>,
}

impl Packing {
    /// The block of that key; made by `pack`, which fills `bytes` zeroed bytes, where it is not there yet.
    pub fn get(&self, key: Key, bytes: usize, pack: impl FnOnce(&mut [u8])) -> Result<Arc<Arena>, Error> {
        let mut blocks = self.blocks.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(block) = blocks.get(&key) {
            return Ok(Arc::clone(block));
        }
        let mut block = arena::allocate(bytes)?;
        pack(block.bytes_mut());
        let block = Arc::new(block);
        blocks.insert(key, Arc::clone(&block));
        Ok(block)
    }
}
