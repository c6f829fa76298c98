//! Weights in the form that kernels read: those that are constants, or follow from constants, packed once for all plans of
//! a Program, whichever session they are of, others' once a plan.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use octavo_exec::{Arena, Pool};

use crate::error::Error;
use crate::plan::arena;
use crate::plan::uses::Uses;
use crate::program::ValueId;

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

/// A block that plans share.
pub struct PackedBlock(pub Arc<Arena>);

impl AsRef<[u8]> for PackedBlock {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Packed blocks by what they are made for.
#[derive(Default)]
pub struct Blocks(Mutex<HashMap<Key, Arc<Arena>>>);

impl Blocks {
    /// How many bytes have been packed.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let blocks = self.0.lock().unwrap_or_else(|e| e.into_inner());
        blocks.values().map(|block| block.len()).sum()
    }

    fn get(&self, key: Key, bytes: usize, pack: impl FnOnce(&mut [u8])) -> Result<Arc<Arena>, Error> {
        let mut blocks = self.0.lock().unwrap_or_else(|e| e.into_inner());
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

/// The packed blocks that one plan is made with.
pub struct Packing<'p> {
    uses: &'p Uses,
    /// By the number of a value, that of the same value in the Program whose blocks the session's are; none where it is that
    /// Program that is planned.
    origins: &'p [u32],
    pool: &'p Pool,
    session: &'p Blocks,
    /// Of values that other plans know as other tensors: they follow from the inputs' shapes or elements.
    own: Blocks,
}

impl<'p> Packing<'p> {
    /// The session's blocks, and none yet of the plan's own. Large ones are packed by the threads of the pool.
    pub fn new(uses: &'p Uses, pool: &'p Pool, session: &'p Blocks) -> Packing<'p> {
        Packing { uses, origins: &[], pool, session, own: Blocks::default() }
    }

    /// The same for a part of the Program whose values have these numbers in the whole.
    pub fn of_part(self, origins: &'p [u32]) -> Packing<'p> {
        Packing { origins, ..self }
    }

    /// The threads that pack.
    pub fn pool(&self) -> &'p Pool {
        self.pool
    }

    /// The block of that key; made by `pack`, which fills `bytes` zeroed bytes, where it is not there yet.
    pub fn get(&self, key: Key, bytes: usize, pack: impl FnOnce(&mut [u8])) -> Result<Arc<Arena>, Error> {
        let is_constant = self.uses.is_constant(ValueId(key.weight));
        let weight = self.origins.get(key.weight as usize).copied().unwrap_or(key.weight);
        let key = Key { weight, ..key };
        if is_constant { self.session } else { &self.own }.get(key, bytes, pack)
    }

    /// As [`Packing::get`] of a block that is packed piece by piece, each of so many bytes but for the last, which may be
    /// shorter: `pack` is given its number.
    pub fn get_by_pieces(
        &self,
        key: Key,
        bytes: usize,
        piece: usize,
        pack: impl Fn(usize, &mut [u8]) + Sync,
    ) -> Result<Arc<Arena>, Error> {
        self.get(key, bytes, |out| self.pool.slices(out, piece.max(1), pack))
    }
}
