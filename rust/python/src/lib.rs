//! `octavo._core`: the runtime's sessions and statistics in Python. Converts, releases the GIL, maps errors; no logic.

mod arrays;
mod errors;
mod rounding;
mod session;
mod statistics;

use octavo_runtime::{isa, observe};
use pyo3::prelude::*;

/// The runtime's sessions and statistics.
#[pymodule(gil_used = true)]
mod _core {
    use super::*;

    #[pymodule_export]
    use super::rounding::round_weights;

    #[pymodule_export]
    use super::session::Session;

    #[pymodule_export]
    use super::statistics::Statistics;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name that Python has for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// The names of the tiers that this build and this CPU can run, poorest first.
    #[pyfunction]
    fn tiers() -> Vec<&'static str> {
        isa::available().into_iter().map(isa::Isa::name).collect()
    }

    /// The names of the statistics that can be kept of values.
    #[pyfunction]
    fn statistics() -> Vec<&'static str> {
        observe::names().collect()
    }
}
