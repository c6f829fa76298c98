//! numpy arrays as the runtime's bytes, without copies where they are contiguous, aligned and of the right type.

use std::hint::black_box;

use numpy::{
    BorrowError, Element, PyArrayDescr, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn,
    PyReadwriteArrayDyn, PyUntypedArray, PyUntypedArrayMethods,
};
use octavo_runtime::plan::TensorType;
use octavo_runtime::program::DType;
use octavo_runtime::{Arena, Error, bytes_of, bytes_of_mut};
use pyo3::prelude::*;

use crate::errors::exception;

/// An input array whose bytes can be read.
pub enum Input<'py> {
    U8(PyReadonlyArrayDyn<'py, u8>),
    I8(PyReadonlyArrayDyn<'py, i8>),
    I16(PyReadonlyArrayDyn<'py, i16>),
    I32(PyReadonlyArrayDyn<'py, i32>),
    I64(PyReadonlyArrayDyn<'py, i64>),
    F32(PyReadonlyArrayDyn<'py, f32>),
    F64(PyReadonlyArrayDyn<'py, f64>),
}

/// numpy's name of a type.
fn numpy_name(dtype: DType) -> &'static str {
    match dtype {
        DType::U8 => "uint8",
        DType::I8 => "int8",
        DType::I16 => "int16",
        DType::I32 => "int32",
        DType::I64 => "int64",
        DType::Bool => "bool",
        DType::F16 => "float16",
        DType::F32 => "float32",
        DType::F64 => "float64",
        DType::Packed(_) => "uint8",
    }
}

/// The type that stands in for one that rust-numpy does not share as numbers, and numpy's name of it.
fn stored_as(dtype: DType) -> Option<(DType, &'static str)> {
    match dtype {
        DType::Bool => Some((DType::U8, "uint8")),
        DType::F16 => Some((DType::I16, "int16")),
        _ => None,
    }
}

/// An array in one piece and aligned: the same, or a copy of a strided one.
fn whole<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyAny>> {
    if array.is_c_contiguous() && array.is_aligned() {
        return Ok(array.as_any().clone());
    }
    array.call_method1("copy", ("C",))
}

impl<'py> Input<'py> {
    /// The array fed to an input; another type is an error that names both, never a cast.
    pub fn new(py: Python<'py>, name: &str, dtype: DType, fed: &Bound<'py, PyAny>) -> PyResult<Input<'py>> {
        let Ok(array) = fed.cast::<PyUntypedArray>() else {
            let given = fed.get_type().name()?.to_string();
            return Err(wrong_type(py, name, dtype, &given));
        };
        let mut array = whole(array)?;
        let mut stored = dtype;
        if let Some((as_stored, name)) = stored_as(dtype)
            && array.cast::<PyUntypedArray>()?.dtype().is_equiv_to(&PyArrayDescr::new(py, numpy_name(dtype))?)
        {
            array = array.call_method1("view", (name,))?;
            stored = as_stored;
        }
        let read = match stored {
            DType::U8 => array.cast::<PyArrayDyn<u8>>().ok().map(|a| a.try_readonly().map(Input::U8)),
            DType::I8 => array.cast::<PyArrayDyn<i8>>().ok().map(|a| a.try_readonly().map(Input::I8)),
            DType::I16 => array.cast::<PyArrayDyn<i16>>().ok().map(|a| a.try_readonly().map(Input::I16)),
            DType::I32 => array.cast::<PyArrayDyn<i32>>().ok().map(|a| a.try_readonly().map(Input::I32)),
            DType::I64 => array.cast::<PyArrayDyn<i64>>().ok().map(|a| a.try_readonly().map(Input::I64)),
            DType::F32 => array.cast::<PyArrayDyn<f32>>().ok().map(|a| a.try_readonly().map(Input::F32)),
            DType::F64 => array.cast::<PyArrayDyn<f64>>().ok().map(|a| a.try_readonly().map(Input::F64)),
            DType::Bool | DType::F16 | DType::Packed(_) => None,
        };
        match read {
            Some(Ok(input)) => Ok(input),
            Some(Err(busy)) => {
                let what = format!("input '{name}' cannot be read: {busy}");
                Err(exception(py, &Error::run(what)))
            }
            None => {
                let given = array.getattr("dtype")?.to_string();
                Err(wrong_type(py, name, dtype, &given))
            }
        }
    }

    /// The array's shape.
    pub fn shape(&self) -> &[usize] {
        match self {
            Input::U8(a) => a.shape(),
            Input::I8(a) => a.shape(),
            Input::I16(a) => a.shape(),
            Input::I32(a) => a.shape(),
            Input::I64(a) => a.shape(),
            Input::F32(a) => a.shape(),
            Input::F64(a) => a.shape(),
        }
    }

    /// The array's bytes.
    pub fn bytes(&self) -> PyResult<&[u8]> {
        Ok(match self {
            Input::U8(a) => a.as_slice()?,
            Input::I8(a) => bytes_of(a.as_slice()?),
            Input::I16(a) => bytes_of(a.as_slice()?),
            Input::I32(a) => bytes_of(a.as_slice()?),
            Input::I64(a) => bytes_of(a.as_slice()?),
            Input::F32(a) => bytes_of(a.as_slice()?),
            Input::F64(a) => bytes_of(a.as_slice()?),
        })
    }
}

fn wrong_type(py: Python<'_>, name: &str, dtype: DType, given: &str) -> PyErr {
    let wanted = numpy_name(dtype);
    let what =
        format!("input '{name}' is {given}, it must be a numpy array of {wanted} in native byte order");
    exception(py, &Error::run(what))
}

/// From so many bytes on it is asked whether there is memory for an output: rust-numpy panics where there is none.
const LARGE: usize = 1 << 24;

/// An output array whose bytes can be written.
pub struct Output<'py> {
    dtype: DType,
    array: Array<'py>,
}

enum Array<'py> {
    U8(PyReadwriteArrayDyn<'py, u8>),
    I8(PyReadwriteArrayDyn<'py, i8>),
    I16(PyReadwriteArrayDyn<'py, i16>),
    I32(PyReadwriteArrayDyn<'py, i32>),
    I64(PyReadwriteArrayDyn<'py, i64>),
    F32(PyReadwriteArrayDyn<'py, f32>),
    F64(PyReadwriteArrayDyn<'py, f64>),
}

/// An array of that type, borrowed to write.
fn writable<'py, T: Element>(
    array: &Bound<'py, PyAny>,
) -> PyResult<Result<PyReadwriteArrayDyn<'py, T>, BorrowError>> {
    Ok(array.cast::<PyArrayDyn<T>>()?.try_readwrite())
}

impl<'py> Output<'py> {
    /// A zeroed array. An error where there is no memory for it.
    pub fn new(py: Python<'py>, of: &TensorType) -> PyResult<Output<'py>> {
        let shape = of.shape.as_slice();
        if of.bytes() > LARGE && black_box(Arena::new(of.bytes())).is_err() {
            let what = format!("no memory for an output of shape {shape:?}, {} bytes", of.bytes());
            return Err(exception(py, &Error::run(what)));
        }
        let array = match of.dtype {
            DType::U8 | DType::Bool | DType::Packed(_) => {
                Array::U8(PyArrayDyn::zeros(py, shape, false).try_readwrite()?)
            }
            DType::I8 => Array::I8(PyArrayDyn::zeros(py, shape, false).try_readwrite()?),
            DType::I16 | DType::F16 => Array::I16(PyArrayDyn::zeros(py, shape, false).try_readwrite()?),
            DType::I32 => Array::I32(PyArrayDyn::zeros(py, shape, false).try_readwrite()?),
            DType::I64 => Array::I64(PyArrayDyn::zeros(py, shape, false).try_readwrite()?),
            DType::F32 => Array::F32(PyArrayDyn::zeros(py, shape, false).try_readwrite()?),
            DType::F64 => Array::F64(PyArrayDyn::zeros(py, shape, false).try_readwrite()?),
        };
        Ok(Output { dtype: of.dtype, array })
    }

    /// The caller's array for an output. What it cannot take as it is is an error that says so: it is never converted.
    pub fn given(
        py: Python<'py>,
        name: &str,
        of: &TensorType,
        given: &Bound<'py, PyAny>,
    ) -> PyResult<Output<'py>> {
        let wrong =
            |what: String| exception(py, &Error::run(format!("the array for output '{name}' {what}")));
        let wanted = numpy_name(of.dtype);
        let Ok(array) = given.cast::<PyUntypedArray>() else {
            let kind = given.get_type().name()?;
            return Err(wrong(format!("is {kind}, it must be a numpy array of {wanted}")));
        };
        if !array.dtype().is_equiv_to(&PyArrayDescr::new(py, wanted)?) {
            let kind = array.dtype();
            return Err(wrong(format!("is of {kind}, it must be of {wanted} in native byte order")));
        }
        if array.shape() != of.shape {
            return Err(wrong(format!("has the shape {:?}, the output has {:?}", array.shape(), of.shape)));
        }
        if !array.is_c_contiguous() || !array.is_aligned() {
            let what = "is not contiguous and aligned: give one in C order, such as numpy.empty makes";
            return Err(wrong(what.to_owned()));
        }
        let stored = match stored_as(of.dtype) {
            Some((_, stored)) => array.call_method1("view", (stored,))?,
            None => array.as_any().clone(),
        };
        let taken = match of.dtype {
            DType::U8 | DType::Bool | DType::Packed(_) => writable::<u8>(&stored).map(|a| a.map(Array::U8)),
            DType::I8 => writable::<i8>(&stored).map(|a| a.map(Array::I8)),
            DType::I16 | DType::F16 => writable::<i16>(&stored).map(|a| a.map(Array::I16)),
            DType::I32 => writable::<i32>(&stored).map(|a| a.map(Array::I32)),
            DType::I64 => writable::<i64>(&stored).map(|a| a.map(Array::I64)),
            DType::F32 => writable::<f32>(&stored).map(|a| a.map(Array::F32)),
            DType::F64 => writable::<f64>(&stored).map(|a| a.map(Array::F64)),
        };
        match taken? {
            Ok(array) => Ok(Output { dtype: of.dtype, array }),
            Err(BorrowError::NotWriteable) => Err(wrong("is read-only".to_owned())),
            Err(_) => {
                let what = "is in use: it shares memory with an input, with another output, or with a run that is going on";
                Err(wrong(what.to_owned()))
            }
        }
    }

    /// The array's bytes, to write.
    pub fn bytes_mut(&mut self) -> PyResult<&mut [u8]> {
        Ok(match &mut self.array {
            Array::U8(a) => a.as_slice_mut()?,
            Array::I8(a) => bytes_of_mut(a.as_slice_mut()?),
            Array::I16(a) => bytes_of_mut(a.as_slice_mut()?),
            Array::I32(a) => bytes_of_mut(a.as_slice_mut()?),
            Array::I64(a) => bytes_of_mut(a.as_slice_mut()?),
            Array::F32(a) => bytes_of_mut(a.as_slice_mut()?),
            Array::F64(a) => bytes_of_mut(a.as_slice_mut()?),
        })
    }

    /// The array itself.
    pub fn array(&self) -> PyResult<Bound<'py, PyAny>> {
        let array = match &self.array {
            Array::U8(a) => a.as_any(),
            Array::I8(a) => a.as_any(),
            Array::I16(a) => a.as_any(),
            Array::I32(a) => a.as_any(),
            Array::I64(a) => a.as_any(),
            Array::F32(a) => a.as_any(),
            Array::F64(a) => a.as_any(),
        };
        match stored_as(self.dtype) {
            Some(_) => array.call_method1("view", (numpy_name(self.dtype),)),
            None => Ok(array.clone()),
        }
    }
}
