//! What a step finds wrong with what it reads. A plan has settled all that shapes decide, so steps cannot fail; but
//! elements may be wrong as well, such as an index outside its axis. The run then ends with an error.

use std::sync::OnceLock;

/// The first fault of a run.
#[derive(Debug, Default)]
pub struct Faults(OnceLock<String>);

impl Faults {
    /// States what is wrong: the run ends after this step, with an error that names its node. A step looks for faults
    /// in order before it forks, so that the same one is told however many threads there are.
    pub fn report(&self, what: String) {
        // A second fault of the same step is of no interest.
        let _ = self.0.set(what);
    }

    /// The fault, where there was one.
    pub fn first(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}
