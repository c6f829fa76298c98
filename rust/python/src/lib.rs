//! `octavo._core`: the runtime's sessions in Python. Converts, releases the GIL, maps errors; no logic.

mod arrays;
mod errors;
mod session;

use octavo_runtime::isa;
use pyo3::prelude::*;

/// The runtime's sessions.
#[pymodule(gil_used = true)]
mod _core {
    use super::*;

    #[pymodule_export]
    use super::session::Session;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name that Python has for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// The names of the tiers that this build and this CPU can run, poorest first.
    #[pyfunction]
    fn tiers() -> Vec<&'static str> {
        isa::available().into_iter().map(isa::Isa::name).collect()
    }
}
