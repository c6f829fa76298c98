//! The runtime's errors as the package's exceptions, and panics as errors.

use std::panic::{AssertUnwindSafe, catch_unwind};

use octavo_runtime::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

/// Calls the runtime. A panic there is a bug of ours; it becomes an exception that says so.
pub fn guarded<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic");
        Err(Error::run(format!("internal error, please report it with the model: {what}")))
    })
}

/// The exception of the package for an error.
pub fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let name = match error.kind() {
        ErrorKind::Artifact => "ArtifactError",
        ErrorKind::Model => "ModelError",
        ErrorKind::Data => "DataError",
        ErrorKind::Run => "RunError",
    };
    let operands = error.operands().iter().map(|of| (&of.name, of.dtype, PyTuple::new(py, &of.shape)));
    let operands = operands.map(|(name, dtype, shape)| Ok((name, dtype, shape?)));
    let raised = operands.collect::<PyResult<Vec<_>>>().and_then(|operands| {
        let class = py.import("octavo.errors")?.getattr(name)?;
        class.call1((error.to_string(), error.node(), operands))
    });
    match raised {
        Ok(raised) => PyErr::from_value(raised),
        Err(broken) => broken,
    }
}

/// What stands in messages for whatever a caller gave: a text as it is, anything else as Python writes it.
pub fn text(given: &Bound<'_, PyAny>) -> String {
    given.cast::<PyString>().map_or_else(|_| quoted(given), |text| text.to_string_lossy().into_owned())
}

/// Whatever a caller gave, as Python writes it.
pub fn quoted(given: &Bound<'_, PyAny>) -> String {
    given.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string_lossy().into_owned())
}
