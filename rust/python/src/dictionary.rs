//! `octavo._core.dictionary_encode` and `octavo._core.dictionary_decode`.

use numpy::{PyArray1, PyReadonlyArray1};
use octavo_runtime::observe::dictionary::{Indices, decode, encode};
use pyo3::prelude::*;

use crate::errors::{exception, guarded};

/// Different values, and the indices of the elements' own among them.
type Encoded<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyAny>);

/// Indices of either type.
#[derive(FromPyObject)]
pub enum Given<'py> {
    U8(PyReadonlyArray1<'py, u8>),
    U16(PyReadonlyArray1<'py, u16>),
}

/// Elements of few different values as these values and an index an element.
#[pyfunction]
pub fn dictionary_encode<'py>(
    py: Python<'py>,
    elements: PyReadonlyArray1<'py, u32>,
) -> PyResult<Option<Encoded<'py>>> {
    let elements = elements.as_slice()?;
    let encoded = py.detach(|| guarded(|| Ok(encode(elements))));
    let encoded = encoded.map_err(|error| exception(py, &error))?;
    Ok(encoded.map(|encoded| {
        let indices = match encoded.indices {
            Indices::U8(indices) => PyArray1::from_vec(py, indices).into_any(),
            Indices::U16(indices) => PyArray1::from_vec(py, indices).into_any(),
        };
        (PyArray1::from_vec(py, encoded.values), indices)
    }))
}

/// The elements that values and indices stand for.
#[pyfunction]
pub fn dictionary_decode<'py>(
    py: Python<'py>,
    values: PyReadonlyArray1<'py, u32>,
    indices: Given<'py>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let values = values.as_slice()?;
    let decoded = match &indices {
        Given::U8(indices) => {
            let indices = indices.as_slice()?;
            py.detach(|| guarded(|| Ok(decode(values, indices))))
        }
        Given::U16(indices) => {
            let indices = indices.as_slice()?;
            py.detach(|| guarded(|| Ok(decode(values, indices))))
        }
    };
    Ok(PyArray1::from_vec(py, decoded.map_err(|error| exception(py, &error))?))
}
