//! Places every buffer of a plan in one arena: buffers whose lives do not meet share bytes.

use octavo_exec::{Arena, Place, Slot};

use crate::error::Error;
use crate::plan::builder::{Buffer, Home};

/// Every buffer starts on a cache line.
const ALIGNMENT: usize = 64;
/// Bytes behind every buffer that kernels may read: they take whole groups of four.
pub const SLACK: usize = 64;

/// The first and last step at which a buffer holds something.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// The step that writes it first.
    pub first: usize,
    /// The step that reads it last.
    pub last: usize,
}

/// An arena of that many bytes, or an error where the machine has not got them.
pub fn allocate(bytes: usize) -> Result<Arena, Error> {
    Arena::new(bytes)
        .map_err(|_| Error::Run(format!("no memory for the {bytes} bytes that these input shapes need")))
}

/// Gives every buffer its slot; returns the slots and the bytes of the arena.
///
/// Greedy by size (largest first, each at the lowest offset that is free during its life), which comes within a
/// few per cent of the lower bound on convolutional networks.
pub fn place(buffers: &[Buffer], lives: &[Option<Life>]) -> (Vec<Slot>, usize) {
    let mut slots: Vec<Slot> = buffers
        .iter()
        .map(|buffer| {
            let place = match buffer.home {
                Home::Arena => Place::Arena,
                Home::Input(i) => Place::Input(i),
                Home::Output(i) => Place::Output(i),
                Home::Constant(i) => Place::Constant(i),
            };
            Slot { place, offset: 0, len: buffer.bytes }
        })
        .collect();
    let mut order: Vec<usize> =
        (0..buffers.len()).filter(|&i| buffers[i].home == Home::Arena && lives[i].is_some()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(buffers[i].bytes), i));

    let mut placed: Vec<(usize, usize, Life)> = Vec::new(); // offset, end, life; sorted by offset
    let mut total = 0;
    for i in order {
        let Some(life) = lives[i] else { continue };
        let need = (buffers[i].bytes + SLACK).next_multiple_of(ALIGNMENT);
        let mut offset = 0;
        for &(start, end, other) in &placed {
            let meets = life.first <= other.last && other.first <= life.last;
            if !meets {
                continue;
            }
            if start >= offset + need {
                break;
            }
            offset = offset.max(end);
        }
        let at = placed.partition_point(|&(start, ..)| start <= offset);
        placed.insert(at, (offset, offset + need, life));
        slots[i].offset = offset;
        total = total.max(offset + need);
    }
    (slots, total)
}
