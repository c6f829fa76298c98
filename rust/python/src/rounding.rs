//! `octavo._core.round_weights`, `octavo._core.round_in_blocks`, `octavo._core.round_in_multiples`,
//! `octavo._core.round_to_halves`, `octavo._core.round_to_levels`, `octavo._core.fit_weights`, `octavo._core.shifts_behind` and
//! `octavo._core.windows`.

use numpy::{
    PyArray1, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3,
    PyReadonlyArrayDyn, PyUntypedArrayMethods,
};
use octavo_runtime::Pool;
use octavo_runtime::rounding::{Fit, Geometry, Halves, Moments, Problem, Regression, shifts};
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
    let problem =
        Problem::of(weights.as_slice()?, scales.as_slice()?, covariances.as_slice()?, shape, bounds);
    Ok(solved(py, &problem, threads)?.0)
}

/// Integers, and the scales that were fitted to them.
type Rounded<'py> = (Bound<'py, PyArray3<i8>>, Bound<'py, PyArray3<f64>>);

fn solved<'py>(py: Python<'py>, problem: &Problem<'_>, threads: usize) -> PyResult<Rounded<'py>> {
    let solved = py.detach(|| guarded(|| problem.solve(&Pool::new(threads))));
    let solved = solved.map_err(|error| exception(py, &error))?;
    let [groups, rows, columns] = problem.shape;
    let of_scales = [groups, rows, columns.div_ceil(problem.block)];
    let integers = PyArray1::from_vec(py, solved.integers).reshape(problem.shape)?;
    Ok((integers, PyArray1::from_vec(py, solved.scales).reshape(of_scales)?))
}

/// The same where a row has a scale, and a zero point, for each block of its columns, and the scales are fitted.
#[pyfunction]
pub fn round_in_blocks<'py>(
    py: Python<'py>,
    weights: PyReadonlyArray3<'py, f64>,
    scales: PyReadonlyArray3<'py, f64>,
    zeros: PyReadonlyArray3<'py, f64>,
    covariances: PyReadonlyArray3<'py, f64>,
    block: usize,
    bounds: [i32; 2],
    in_half: bool,
    threads: usize,
) -> PyResult<Rounded<'py>> {
    let shape: [usize; 3] = weights.shape().try_into().expect("three axes");
    let problem = Problem {
        zeros: Some(zeros.as_slice()?),
        block,
        fit: Some(if in_half { Fit::Half } else { Fit::Single }),
        ..Problem::of(weights.as_slice()?, scales.as_slice()?, covariances.as_slice()?, shape, bounds)
    };
    solved(py, &problem, threads)
}

/// The same without zero points, where a scale is a whole multiple, `most` at most, of its row's step.
#[pyfunction]
pub fn round_in_multiples<'py>(
    py: Python<'py>,
    weights: PyReadonlyArray3<'py, f64>,
    steps: PyReadonlyArray2<'py, f64>,
    scales: PyReadonlyArray3<'py, f64>,
    covariances: PyReadonlyArray3<'py, f64>,
    block: usize,
    bounds: [i32; 2],
    most: f64,
    threads: usize,
) -> PyResult<Rounded<'py>> {
    let shape: [usize; 3] = weights.shape().try_into().expect("three axes");
    let problem = Problem {
        block,
        fit: Some(Fit::Multiples { of: steps.as_slice()?, most }),
        ..Problem::of(weights.as_slice()?, scales.as_slice()?, covariances.as_slice()?, shape, bounds)
    };
    solved(py, &problem, threads)
}

/// The same where weights become a row's scale times a level of a codebook, or 0 where they are not kept: places of levels.
#[pyfunction]
pub fn round_to_levels<'py>(
    py: Python<'py>,
    weights: PyReadonlyArray3<'py, f64>,
    scales: PyReadonlyArray3<'py, f64>,
    covariances: PyReadonlyArray3<'py, f64>,
    levels: PyReadonlyArray1<'py, f64>,
    kept: PyReadonlyArray3<'py, bool>,
    in_half: bool,
    threads: usize,
) -> PyResult<Rounded<'py>> {
    let shape: [usize; 3] = weights.shape().try_into().expect("three axes");
    let kept = kept.as_slice()?;
    let problem = Problem {
        levels: levels.as_slice()?,
        kept: (!kept.iter().all(|&kept| kept)).then_some(kept),
        fit: Some(if in_half { Fit::Half } else { Fit::Single }),
        ..Problem::of(weights.as_slice()?, scales.as_slice()?, covariances.as_slice()?, shape, [0, 0])
    };
    solved(py, &problem, threads)
}

/// The numbers of float16 of weights that meet columns of these covariances.
#[pyfunction]
pub fn round_to_halves<'py>(
    py: Python<'py>,
    weights: PyReadonlyArray3<'py, f64>,
    covariances: PyReadonlyArray3<'py, f64>,
    threads: usize,
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let shape: [usize; 3] = weights.shape().try_into().expect("three axes");
    let halves = Halves { weights: weights.as_slice()?, covariances: covariances.as_slice()?, shape };
    let solved = py.detach(|| guarded(|| halves.solve(&Pool::new(threads))));
    PyArray1::from_vec(py, solved.map_err(|error| exception(py, &error))?).reshape(shape)
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

/// How far biases are to move so that the means behind an activation do as wanted.
#[pyfunction]
pub fn shifts_behind<'py>(
    py: Python<'py>,
    bounds: [f64; 2],
    missing: PyReadonlyArray1<'py, f64>,
    results: PyReadonlyArray2<'py, f32>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (missing, results) = (missing.as_slice()?, results.as_slice()?);
    let found = py.detach(|| guarded(|| Ok(shifts(results, missing, bounds))));
    Ok(PyArray1::from_vec(py, found.map_err(|error| exception(py, &error))?))
}

/// Kernel, strides, dilations, begins of the padding, numbers of windows: an entry an axis of space.
type Space = [Vec<usize>; 5];

/// Some of a convolution's windows.
#[pyfunction]
pub fn windows<'py>(
    py: Python<'py>,
    x: PyReadonlyArrayDyn<'py, u8>,
    space: Space,
    padding: PyReadonlyArray1<'py, u8>,
    groups: usize,
    places: Vec<usize>,
) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let [kernel, strides, dilations, begins, counts] = &space;
    let geometry = Geometry { sizes: &x.shape()[2..], kernel, strides, dilations, begins, counts };
    let (x, padding) = (x.as_slice()?, padding.as_slice()?);
    let found = py.detach(|| guarded(|| Ok(geometry.windows(x, padding, groups, &places))));
    let length = padding.len() / groups * kernel.iter().product::<usize>();
    let found = PyArray1::from_vec(py, found.map_err(|error| exception(py, &error))?);
    found.reshape([groups, places.len(), length])
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
