//! Places every buffer of a plan in one arena: buffers whose lives do not meet share bytes.

use std::collections::BTreeMap;
use std::ops::Bound;

use octavo_exec::{Arena, Place, Slot};

use crate::error::Error;
use crate::plan::buffers::{Buffer, Home, SLACK};

/// Every buffer starts on a cache line.
const ALIGNMENT: usize = 64;

/// Buffers that another is compared with for a gap between them; where it meets more, it lies behind all of them.
const MOST_MET: usize = 1024;

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
        .map_err(|_| Error::run(format!("no memory for the {bytes} bytes that these input shapes need")))
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

    let mut placed = Timeline::new(lives.iter().flatten().map(|life| life.last + 1).max().unwrap_or(0));
    let mut total = 0;
    for i in order {
        let Some(life) = lives[i] else { continue };
        let need = (buffers[i].bytes + SLACK).next_multiple_of(ALIGNMENT);
        let offset = match placed.meeting(life) {
            Some(taken) => lowest_gap(taken, need),
            None => placed.top(life),
        };
        placed.insert(life, (offset, offset + need));
        slots[i].offset = offset;
        total = total.max(offset + need);
    }
    (slots, total)
}

/// The lowest offset where that many bytes are free between those that are taken.
fn lowest_gap(mut taken: Vec<(usize, usize)>, need: usize) -> usize {
    taken.sort_unstable();
    let mut offset = 0;
    for (start, end) in taken {
        if start >= offset + need {
            break;
        }
        offset = offset.max(end);
    }
    offset
}

/// The bytes that placed buffers take, found by their lives in logarithmic time. Two binary trees over the steps, their
/// leaves last.
struct Timeline {
    /// Each life lies in the few nodes that make it up: those who live at a step are on its way to the root.
    lives: Vec<Vec<(usize, usize)>>,
    /// The ends of those in `lives`: the greatest of each node.
    ends: Vec<usize>,
    /// Those whose lives begin at a step.
    births: BTreeMap<usize, Vec<(usize, usize)>>,
    /// The greatest end of those whose lives begin at the steps below each node.
    ends_by_birth: Vec<usize>,
}

impl Timeline {
    fn new(steps: usize) -> Timeline {
        let nodes = 2 * steps.next_power_of_two();
        let (lives, births) = (vec![Vec::new(); nodes], BTreeMap::new());
        Timeline { lives, ends: vec![0; nodes], births, ends_by_birth: vec![0; nodes] }
    }

    fn insert(&mut self, life: Life, bytes: (usize, usize)) {
        self.births.entry(life.first).or_default().push(bytes);
        for node in self.upwards(life.first) {
            self.ends_by_birth[node] = self.ends_by_birth[node].max(bytes.1);
        }
        for node in self.parts(life.first, life.last + 1) {
            self.lives[node].push(bytes);
            self.ends[node] = self.ends[node].max(bytes.1);
        }
    }

    /// The bytes of those that live at some step of a life: at its first one, or born later in it. `None` where they
    /// are more than can be looked at.
    fn meeting(&self, life: Life) -> Option<Vec<(usize, usize)>> {
        let living = self.upwards(life.first).flat_map(|node| &self.lives[node]);
        let later = (Bound::Excluded(life.first), Bound::Included(life.last));
        let born = (life.first < life.last).then(|| self.births.range(later).flat_map(|(_, born)| born));
        let found: Vec<_> = living.chain(born.into_iter().flatten()).take(MOST_MET + 1).copied().collect();
        (found.len() <= MOST_MET).then_some(found)
    }

    /// The end of all that live at some step of a life.
    fn top(&self, life: Life) -> usize {
        let living = self.upwards(life.first).map(|node| self.ends[node]);
        let born = self.parts(life.first, life.last + 1).map(|node| self.ends_by_birth[node]);
        living.chain(born).max().unwrap_or(0)
    }

    /// The nodes from a step to the root.
    fn upwards(&self, step: usize) -> impl Iterator<Item = usize> + use<> {
        let leaf = self.lives.len() / 2 + step;
        std::iter::successors(Some(leaf), |&node| (node > 1).then_some(node / 2))
    }

    /// The nodes below which lie the steps `from..to` and no others.
    fn parts(&self, from: usize, to: usize) -> impl Iterator<Item = usize> + use<> {
        let leaves = self.lives.len() / 2;
        let mut ends = (leaves + from, leaves + to);
        std::iter::from_fn(move || {
            (ends.0 < ends.1).then(|| {
                let (from, to) = ends;
                ends = (from.div_ceil(2), to / 2);
                [(from % 2 == 1).then_some(from), (to % 2 == 1).then(|| to - 1)]
            })
        })
        .flatten()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes, and the first step of a life with the steps that follow it.
    type Given = (usize, Option<(usize, usize)>);

    fn buffers() -> impl Strategy<Value = Vec<Given>> {
        let bytes = || prop_oneof![Just(0), Just(1), Just(64), 0..2000usize, 0..20usize];
        (1..13usize).prop_flat_map(move |steps| {
            let life = prop::option::weighted(0.9, (0..steps, 0..5usize));
            prop::collection::vec((bytes(), life), 0..40)
        })
    }

    /// More short lives than a buffer is compared with, many of which begin at once, and small buffers that outlive
    /// many of them or end with that step: some meet too many, some do not.
    fn crowds() -> impl Strategy<Value = Vec<Given>> {
        const PEAK: usize = 400;
        let first = prop_oneof![9 => 0..PEAK, 1 => Just(PEAK)];
        let short = (1000..2000usize, (first, 0..4usize));
        let last = prop_oneof![Just(PEAK), PEAK / 2..2 * PEAK];
        let long = (0..1000usize, (0..PEAK / 2, last).prop_map(|(first, last)| (first, last - first)));
        let crowd = prop::collection::vec(short, MOST_MET + 1..MOST_MET + 400);
        (crowd, prop::collection::vec(long, 1..80)).prop_map(|(crowd, long)| {
            crowd.into_iter().chain(long).map(|(bytes, life)| (bytes, Some(life))).collect()
        })
    }

    /// Buffers that live at the same time share no byte, slack included; each starts on a cache line inside the arena.
    fn check(given: &[Given]) -> Result<(), TestCaseError> {
        let buffer = |&(bytes, _): &Given| Buffer::new(bytes, Home::Arena);
        let all: Vec<Buffer> = given.iter().map(buffer).collect();
        let life = |&(_, life): &Given| life.map(|(first, length)| Life { first, last: first + length });
        let lives: Vec<Option<Life>> = given.iter().map(life).collect();
        let (slots, total) = place(&all, &lives);
        let mut end = 0;
        for (i, slot) in slots.iter().enumerate() {
            prop_assert_eq!((slot.place, slot.len), (Place::Arena, given[i].0));
            let Some(life) = lives[i] else { continue };
            prop_assert!(slot.offset % ALIGNMENT == 0);
            end = end.max(slot.offset + (slot.len + SLACK).next_multiple_of(ALIGNMENT));
            for (other, other_life) in slots[..i].iter().zip(&lives) {
                let meets = other_life.is_some_and(|o| life.first <= o.last && o.first <= life.last);
                let (from, to) = (slot.offset.max(other.offset), slot.offset + slot.len + SLACK);
                let shares = from < to.min(other.offset + other.len + SLACK);
                prop_assert!(!(meets && shares), "{:?} and {:?}", slot, other);
            }
        }
        prop_assert_eq!(total, end);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_lives_together_shares_no_byte(given in buffers()) {
            check(&given)?;
        }
    }

    proptest! {
        // Of so many buffers, to find a few that fail would take minutes.
        #![proptest_config(ProptestConfig {
            cases: 48,
            max_shrink_iters: 0,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn nor_do_those_that_meet_too_many_to_compare(given in crowds()) {
            check(&given)?;
        }
    }

    #[test]
    fn bytes_are_used_again_and_the_caller_s_take_none() {
        let life = |first, last| Some(Life { first, last });
        let arena = |bytes| Buffer::new(bytes, Home::Arena);
        let all = [arena(1000), arena(1000), Buffer::new(5000, Home::Input(1)), arena(1000)];
        let (slots, total) = place(&all, &[life(0, 1), life(2, 3), life(0, 9), life(1, 2)]);
        assert_eq!((slots[0].offset, slots[1].offset, total), (0, 0, 2 * 1088));
        assert_eq!((slots[2].place, slots[2].offset, slots[3].offset), (Place::Input(1), 0, 1088));
    }
}
