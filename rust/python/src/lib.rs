//! `octavo._core`: the runtime's sessions and statistics in Python. Converts, releases the GIL, maps errors; no logic.

mod arrays;
mod dictionary;
mod errors;
mod rounding;
mod session;
mod statistics;

use octavo_runtime::{isa, observe, program, threads_of};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{exception, guarded};
use crate::session::count;

/// The runtime's sessions and statistics.
#[pymodule(gil_used = true)]
mod _core {
    use super::*;

    #[pymodule_export]
    use super::dictionary::{dictionary_decode, dictionary_encode};

    #[pymodule_export]
    use super::rounding::{
        fit_weights, round_in_blocks, round_in_multiples, round_to_halves, round_to_levels, round_weights,
        shifts_behind, windows,
    };

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

    /// The threads of a session that is asked for so many.
    #[pyfunction]
    #[pyo3(signature = (asked = None))]
    fn threads(py: Python<'_>, asked: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
        let asked = asked.map(|asked| count(py, asked)).transpose()?;
        threads_of(asked).map_err(|error| exception(py, &error))
    }

    /// An artifact compressed.
    #[pyfunction]
    fn compress<'py>(py: Python<'py>, artifact: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let made = py.detach(|| guarded(|| program::compress(artifact)));
        made.map(|data| PyBytes::new(py, &data)).map_err(|error| exception(py, &error))
    }

    /// The artifact that a compressed one holds; another as it is.
    #[pyfunction]
    fn expand<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let made = py.detach(|| guarded(|| program::expand(data)));
        made.map(|artifact| PyBytes::new(py, &artifact)).map_err(|error| exception(py, &error))
    }

    /// The names of the statistics that can be kept of values.
    #[pyfunction]
    fn statistics() -> Vec<&'static str> {
        observe::names().collect()
    }
}
