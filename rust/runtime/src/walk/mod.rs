//! The walk over a Program's nodes: nodes in, a plan out.

mod dispatch;
mod known;

use crate::error::Error;
use crate::plan::Plan;
use crate::plan::builder::{Builder, Planned};

/// Plans every node of the builder's, up to one that depends on what is not known yet.
pub fn plan(mut b: Builder<'_>) -> Result<Plan, Error> {
    for index in b.nodes() {
        if b.is_planned(index) {
            continue;
        }
        b.begin(index);
        if known::evaluate(&mut b, index)? {
            continue;
        }
        if let Planned::Waits(value) = dispatch::plan(&mut b, index)? {
            return b.finish_early(value);
        }
    }
    b.finish()
}
