//! What sessions of the same Program have in common in a process: the Program itself and its packed weights.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use octavo_kernels::isa::Isa;

use crate::plan::packing::Blocks;
use crate::program::Program;
use crate::session::part::Part;

/// A Program and what has been made of it that depends on no shape and no number of threads.
pub struct Model {
    pub whole: Arc<Part>,
    /// Packed weights: each tier has its own form.
    blocks: Mutex<Vec<(Isa, Arc<Blocks>)>>,
    /// The child of a fork shares nothing new with its parent, whose other threads may have held these locks.
    process: u32,
}

/// The models of the sessions that there are.
static LIVE: Mutex<Vec<Weak<Model>>> = Mutex::new(Vec::new());

impl Model {
    /// The model of a Program: that of another session, where one has a Program that is equal bit by bit.
    pub fn of(program: Program) -> Arc<Model> {
        let process = std::process::id();
        let find = |models: &[Arc<Model>], program: &Program| {
            models.iter().find(|other| other.process == process && other.whole.program == *program).cloned()
        };
        let mut seen: Vec<Arc<Model>> = lock(&LIVE).iter().filter_map(Weak::upgrade).collect();
        // Without the lock: to compare large constants takes a while, in which others may come.
        if let Some(found) = find(&seen, &program) {
            return found;
        }
        let model =
            Arc::new(Model { whole: Arc::new(Part::whole(program)), blocks: Mutex::default(), process });
        loop {
            let unseen = live_but(&seen, &model);
            match find(&unseen, &model.whole.program) {
                Some(found) => return found,
                None if unseen.is_empty() => return model,
                None => seen.extend(unseen),
            }
        }
    }

    /// The weights packed for a tier.
    pub fn blocks(&self, isa: Isa) -> Arc<Blocks> {
        let mut blocks = lock(&self.blocks);
        if let Some((_, found)) = blocks.iter().find(|(of, _)| *of == isa) {
            return Arc::clone(found);
        }
        let made = Arc::<Blocks>::default();
        blocks.push((isa, Arc::clone(&made)));
        made
    }
}

/// The models that there are, but for those that have been seen; where there are none, `model` becomes one of them.
fn live_but(seen: &[Arc<Model>], model: &Arc<Model>) -> Vec<Arc<Model>> {
    let mut live = lock(&LIVE);
    live.retain(|model| model.strong_count() > 0);
    let is_new = |model: &Arc<Model>| !seen.iter().any(|seen| Arc::ptr_eq(seen, model));
    let unseen: Vec<_> = live.iter().filter_map(Weak::upgrade).filter(is_new).collect();
    if unseen.is_empty() {
        live.push(Arc::downgrade(model));
    }
    unseen
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Attribute, Attributes};
    use crate::{Options, Session, isa};

    const NETWORK: &[u8] = include_bytes!("../../tests/data/small_network.octavo");

    fn session(threads: usize, isa: Isa) -> Session {
        let options = Options { threads: Some(threads), isa: Some(isa.name().to_owned()) };
        Session::new(NETWORK, &options).unwrap()
    }

    #[test]
    fn sessions_of_one_artifact_share_its_constants_and_packed_weights() {
        for tier in isa::available() {
            let (one, other) = (session(1, tier), session(2, tier));
            assert!(Arc::ptr_eq(&one.model, &other.model));
            assert!(Arc::ptr_eq(&one.planner.blocks, &other.planner.blocks));
            let shape = [[1, 3, 8, 8]];
            one.plan(&shape).unwrap();
            let packed = one.planner.blocks.bytes();
            assert!(packed > 0);
            // Nothing is packed that was packed already.
            other.plan(&shape).unwrap();
            assert_eq!(other.planner.blocks.bytes(), packed);
        }
    }

    #[test]
    fn tiers_have_packed_weights_of_their_own() {
        for tier in isa::available() {
            for other in isa::available() {
                let (one, two) = (session(1, tier), session(1, other));
                assert!(Arc::ptr_eq(&one.model, &two.model));
                assert_eq!(Arc::ptr_eq(&one.planner.blocks, &two.planner.blocks), tier == other);
            }
        }
    }

    #[test]
    fn programs_that_differ_in_a_bit_share_nothing() {
        let program = || Program::from_bytes(NETWORK).unwrap();
        let model = Model::of(program());
        assert!(Arc::ptr_eq(&model, &Model::of(program())));
        let with = |attribute: f32| {
            let mut program = program();
            let node = &mut program.nodes[0];
            let attributes = [("more".to_owned(), Attribute::F32(attribute))];
            node.attributes = Attributes::new(node.op, &node.name, attributes);
            Model::of(program)
        };
        let (plus, minus) = (with(0.0), with(-0.0));
        assert!(!Arc::ptr_eq(&model, &plus) && !Arc::ptr_eq(&plus, &minus));
        assert!(Arc::ptr_eq(&plus, &with(0.0)));
    }

    #[test]
    fn threads_that_come_together_share_as_well() {
        let mut program = Program::from_bytes(NETWORK).unwrap();
        for round in 0..200 {
            program.producer = format!("round {round}");
            let start = std::sync::Barrier::new(2);
            let of = || {
                start.wait();
                Model::of(program.clone())
            };
            let [one, other] = std::thread::scope(|scope| {
                [scope.spawn(of), scope.spawn(of)].map(|thread| thread.join().unwrap())
            });
            assert!(Arc::ptr_eq(&one, &other), "round {round}");
        }
    }

    #[test]
    fn what_no_session_has_is_dropped() {
        let mut program = Program::from_bytes(NETWORK).unwrap();
        "only here".clone_into(&mut program.producer);
        let model = Arc::downgrade(&Model::of(program.clone()));
        assert!(model.upgrade().is_none());
        let (one, other) = (Model::of(program.clone()), Model::of(program));
        assert!(Arc::ptr_eq(&one, &other));
    }
}
