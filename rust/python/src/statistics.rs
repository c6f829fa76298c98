//! `octavo._core.Statistics`.

use std::sync::{Mutex, PoisonError};

use octavo_runtime::Error;
use octavo_runtime::observe::{Reading, Statistics as Runtime};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::errors::{exception, guarded, text};

/// Statistics of values, which sessions fill. Threads may share them.
#[pyclass(frozen, module = "octavo._core")]
pub struct Statistics(Mutex<Runtime>);

#[pymethods]
impl Statistics {
    /// The statistics of those names, of values of those names; of no samples yet.
    #[new]
    #[pyo3(signature = (values, statistics))]
    fn new(
        py: Python<'_>,
        values: Vec<Bound<'_, PyString>>,
        statistics: Vec<Bound<'_, PyString>>,
    ) -> PyResult<Statistics> {
        let texts = |of: Vec<Bound<'_, PyString>>| of.iter().map(|name| text(name)).collect::<Vec<_>>();
        let (values, statistics) = (texts(values), texts(statistics));
        let statistics: Vec<&str> = statistics.iter().map(String::as_str).collect();
        let made = Runtime::new(values, &statistics).map_err(|error| exception(py, &error))?;
        Ok(Statistics(Mutex::new(made)))
    }

    /// The statistics of bytes that `to_bytes` gave.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Statistics> {
        let read = py.detach(|| guarded(|| Runtime::from_bytes(data)));
        read.map(|read| Statistics(Mutex::new(read))).map_err(|error| exception(py, &error))
    }

    /// The names of the values, in order.
    #[getter]
    fn values(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.with(py, |kept| Ok(kept.names().to_vec()))
    }

    /// The names of the statistics, in order.
    #[getter]
    fn statistics(&self, py: Python<'_>) -> PyResult<Vec<&'static str>> {
        self.with(py, |kept| Ok(kept.statistics().collect()))
    }

    /// Adds the samples of statistics of the same names, which stay as they are.
    fn merge(&self, py: Python<'_>, other: &Bound<'_, Statistics>) -> PyResult<()> {
        // One lock at a time: each may be the other's other, or itself.
        let other = other.get().with(py, |kept| Ok(kept.clone()))?;
        self.with(py, |kept| kept.merge(&other))
    }

    /// The whole state: equal states have equal bytes.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.with(py, |kept| Ok(kept.to_bytes()))?))
    }

    /// What a statistic tells of a value, by name; empty where no element was seen that it is about.
    fn read<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyString>,
        statistic: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (value, statistic) = (text(value), text(statistic));
        let told = PyDict::new(py);
        for (name, reading) in self.with(py, |kept| kept.read(&value, &statistic))? {
            match reading {
                Reading::Count(count) => told.set_item(name, count)?,
                Reading::Real(real) => told.set_item(name, real)?,
                Reading::Counts(counts) => told.set_item(name, counts)?,
                Reading::Reals(reals) => told.set_item(name, reals)?,
            }
        }
        Ok(told)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |kept| {
            let kinds: Vec<&str> = kept.statistics().collect();
            Ok(format!("Statistics({} of {} values)", kinds.join(", "), kept.names().len()))
        })
    }
}

impl Statistics {
    /// Works with what is kept. The interpreter is let go, so that nobody waits for the lock while others wait for it.
    pub fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Runtime) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        let locked = || work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        py.detach(|| guarded(locked)).map_err(|error| exception(py, &error))
    }
}
