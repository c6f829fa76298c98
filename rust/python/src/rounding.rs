//! `octavo._core.round_weights`.

use numpy::{PyArray3, PyArrayMethods, PyReadonlyArray2, PyReadonlyArray3, PyUntypedArrayMethods};
use octavo_runtime::Pool;
use octavo_runtime::rounding::Problem;
use pyo3::prelude::*;

use crate::errors::{exception, guarded};

/// The integers of weights that meet columns of these covariances.
#[pyfunction]
pub fn round_weights<'py>(
    py: Python<'py>,
    weights: PyReadonlyArray3<'py, f64>,
    scales: PyReadonlyArray2<'py, f64>,
    covariances: PyReadonlyArray3<'py, f64>,
    bounds: [i32; 2],
    threads: usize,
) -> PyResult<Bound<'py, PyArray3<i8>>> {
    let shape: [usize; 3] = weights.shape().try_into().expect("three axes");
    let problem = Problem {
        weights: weights.as_slice()?,
        scales: scales.as_slice()?,
        covariances: covariances.as_slice()?,
        shape,
        bounds,
    };
    let solved = py.detach(|| guarded(|| problem.solve(&Pool::new(threads))));
    let integers = solved.map_err(|error| exception(py, &error))?;
    let array = PyArray3::zeros(py, shape, false);
    array.try_readwrite()?.as_slice_mut()?.copy_from_slice(&integers);
    Ok(array)
}
