//! `octavo._core.round_weights` and `octavo._core.fit_weights`.

use numpy::{PyArray3, PyArrayMethods, PyReadonlyArray2, PyReadonlyArray3, PyUntypedArrayMethods};
use octavo_runtime::Pool;
use octavo_runtime::rounding::{Moments, Problem, Regression};
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

/// What is known of half of a product's columns: their number, their means and covariances, the means and variances of what
/// is wanted of them, and its covariances with them.
type Half<'py> = (
    usize,
    PyReadonlyArray2<'py, f64>,
    PyReadonlyArray3<'py, f64>,
    PyReadonlyArray2<'py, f64>,
    PyReadonlyArray2<'py, f64>,
    PyReadonlyArray3<'py, f64>,
);

/// What rows of weights are to be changed by, so that their products come nearer to what is wanted.
#[pyfunction]
pub fn fit_weights<'py>(
    py: Python<'py>,
    halves: [Half<'py>; 2],
    threads: usize,
) -> PyResult<Bound<'py, PyArray3<f64>>> {
    let shape: [usize; 3] = halves[0].5.shape().try_into().expect("three axes");
    let regression = Regression { halves: [moments(&halves[0])?, moments(&halves[1])?], shape };
    let solved = py.detach(|| guarded(|| regression.solve(&Pool::new(threads))));
    let changes = solved.map_err(|error| exception(py, &error))?;
    let array = PyArray3::zeros(py, shape, false);
    array.try_readwrite()?.as_slice_mut()?.copy_from_slice(&changes);
    Ok(array)
}

fn moments<'a>(half: &'a Half<'_>) -> PyResult<Moments<'a>> {
    let (count, means, covariances, wanted_means, wanted_variances, cross_covariances) = half;
    Ok(Moments {
        count: *count,
        means: means.as_slice()?,
        covariances: covariances.as_slice()?,
        wanted_means: wanted_means.as_slice()?,
        wanted_variances: wanted_variances.as_slice()?,
        cross_covariances: cross_covariances.as_slice()?,
    })
}
