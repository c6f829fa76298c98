//! `octavo._core.Session`.

use std::sync::Arc;

use octavo_runtime::plan::{Plan, TensorType};
use octavo_runtime::program::{Bytes, Dim, Value};
use octavo_runtime::{Error, Options, Session as Runtime};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBool, PyDict, PyList, PyString};

use crate::arrays::{Input, Output};
use crate::errors::{exception, guarded, quoted, text};
use crate::statistics::Statistics;

/// A Program ready to run. Threads may share it.
#[pyclass(frozen, module = "octavo._core")]
pub struct Session {
    runtime: Runtime,
    /// The inputs' names, in order, as a dict finds them quickest.
    names: Vec<Py<PyString>>,
    /// The outputs' names, likewise.
    output_names: Vec<Py<PyString>>,
}

/// Name, shape (None where unknown), dtype as a Program names it, and (scales, zero points) where integers stand for reals.
type Description<'py> = (String, Option<Bound<'py, PyList>>, &'static str, Option<(Vec<f32>, Vec<f64>)>);
/// Name, op, kernel, tier, multiply-accumulates, seconds.
type ProfileRow = (String, &'static str, &'static str, &'static str, u64, f64);

#[pymethods]
impl Session {
    /// A session over an artifact's bytes, which it keeps rather than copy what constants they hold.
    #[new]
    #[pyo3(signature = (artifact, threads = None, isa = None))]
    fn new(
        py: Python<'_>,
        artifact: PyBackedBytes,
        threads: Option<&Bound<'_, PyAny>>,
        isa: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Session> {
        let threads = threads.map(|threads| count(py, threads)).transpose()?;
        let isa = isa.map(text);
        let options = Options { threads, isa };
        let made = py.detach(|| guarded(|| Runtime::new(Bytes::of(artifact), &options)));
        let runtime = made.map_err(|error| exception(py, &error))?;
        let interned = |value: &Value| PyString::intern(py, &value.name).unbind();
        let names = runtime.inputs().map(interned).collect();
        let output_names = runtime.outputs().map(interned).collect();
        Ok(Session { runtime, names, output_names })
    }

    /// The threads of one run.
    #[getter]
    fn threads(&self) -> usize {
        self.runtime.threads()
    }

    /// The tier's name.
    #[getter]
    fn isa(&self) -> &'static str {
        self.runtime.isa().name()
    }

    /// The inputs: name, shape, dtype, quantization.
    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Vec<Description<'py>>> {
        self.runtime.inputs().map(|value| describe(py, value)).collect()
    }

    /// The outputs: name, shape, dtype, quantization.
    #[getter]
    fn outputs<'py>(&self, py: Python<'py>) -> PyResult<Vec<Description<'py>>> {
        self.runtime.outputs().map(|value| describe(py, value)).collect()
    }

    /// Runs; gives the outputs of those names, or all in order.
    #[pyo3(signature = (names, feeds))]
    fn run<'py>(
        &self,
        py: Python<'py>,
        names: Option<Vec<Bound<'py, PyString>>>,
        feeds: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyList>> {
        let picked = self.picked(py, names)?;
        let inputs = self.arrays(py, feeds)?;
        let plan = self.plan(py, &inputs)?;
        let read = inputs.iter().map(Input::bytes).collect::<PyResult<Vec<_>>>()?;
        let outputs = match plan.ends_early() {
            false => self.run_whole(py, &plan, &read)?,
            true => self.run_stages(py, &plan, &read)?,
        };
        let arrays: Vec<_> = match picked {
            None => outputs.iter().map(Output::array).collect::<PyResult<_>>()?,
            Some(picked) => picked.into_iter().map(|at| outputs[at].array()).collect::<PyResult<_>>()?,
        };
        PyList::new(py, arrays)
    }

    /// Runs; writes every output to the array that is given for it: a dict by name, or a list in order.
    fn run_into<'py>(
        &self,
        py: Python<'py>,
        feeds: &Bound<'py, PyDict>,
        outputs: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let arrays = self.output_arrays(py, outputs)?;
        let inputs = self.arrays(py, feeds)?;
        let plan = self.plan(py, &inputs)?;
        let read = inputs.iter().map(Input::bytes).collect::<PyResult<Vec<_>>>()?;
        if !plan.ends_early() {
            let mut outputs = self.taken(py, plan.outputs(), &arrays)?;
            return self.write_whole(py, &plan, &read, &mut outputs);
        }
        // The outputs' shapes are known at the end.
        let ran = py.detach(|| guarded(|| self.runtime.run_stages(&plan, &read)));
        let (types, made): (Vec<_>, Vec<_>) = ran.map_err(|error| exception(py, &error))?.into_iter().unzip();
        let mut outputs = self.taken(py, &types, &arrays)?;
        for (output, made) in outputs.iter_mut().zip(&made) {
            output.bytes_mut()?.copy_from_slice(made.bytes());
        }
        Ok(())
    }

    /// Runs once; adds what the values held that the statistics are of, as one sample.
    fn observe<'py>(
        &self,
        py: Python<'py>,
        feeds: &Bound<'py, PyDict>,
        statistics: &Bound<'py, Statistics>,
    ) -> PyResult<()> {
        let inputs = self.arrays(py, feeds)?;
        let shapes: Vec<&[usize]> = inputs.iter().map(Input::shape).collect();
        let read = inputs.iter().map(Input::bytes).collect::<PyResult<Vec<_>>>()?;
        let statistics = statistics.get();
        let like = statistics.with(py, |kept| Ok(kept.like()))?;
        let observe = || {
            let plan = self.runtime.observed_plan(&shapes)?;
            self.runtime.observe(&plan, &read, &like)
        };
        let sample = py.detach(|| guarded(observe)).map_err(|error| exception(py, &error))?;
        statistics.with(py, |kept| kept.merge(&sample))
    }

    /// Runs once; a row a step: name, op, kernel, tier, macs, seconds.
    fn profile<'py>(&self, py: Python<'py>, feeds: &Bound<'py, PyDict>) -> PyResult<Vec<ProfileRow>> {
        let inputs = self.arrays(py, feeds)?;
        let plan = self.plan(py, &inputs)?;
        let read = inputs.iter().map(Input::bytes).collect::<PyResult<Vec<_>>>()?;
        let rows = py.detach(|| guarded(|| self.runtime.profile(&plan, &read)));
        let rows = rows.map_err(|error| exception(py, &error))?;
        Ok(rows.into_iter().map(|r| (r.name, r.op, r.kernel, r.tier, r.macs, r.seconds)).collect())
    }

    /// The bytes of the arena for feeds of these shapes.
    fn arena_bytes<'py>(&self, py: Python<'py>, feeds: &Bound<'py, PyDict>) -> PyResult<usize> {
        let inputs = self.arrays(py, feeds)?;
        Ok(self.plan(py, &inputs)?.arena_bytes())
    }
}

impl Session {
    /// The arrays of the inputs, in order; nothing may be missing or left over.
    fn arrays<'py>(&self, py: Python<'py>, feeds: &Bound<'py, PyDict>) -> PyResult<Vec<Input<'py>>> {
        let mut arrays = Vec::with_capacity(self.names.len());
        for (value, name) in self.runtime.inputs().zip(&self.names) {
            match feeds.get_item(name.bind(py))? {
                Some(fed) => arrays.push(Input::new(py, &value.name, value.dtype, &fed)?),
                None => {
                    let given = text(feeds.keys().as_any());
                    let what = format!("input '{}' is missing; the feeds are {given}", value.name);
                    return Err(exception(py, &Error::run(what)));
                }
            }
        }
        if feeds.len() > arrays.len() {
            let known: Vec<&str> = self.runtime.inputs().map(|v| v.name.as_str()).collect();
            let keys = feeds.keys();
            let strange = keys.iter().find(|key| {
                key.cast::<PyString>().is_ok_and(|key| !known.iter().any(|&k| key == k))
                    || !key.is_instance_of::<PyString>()
            });
            let strange = strange.map(|key| quoted(&key)).unwrap_or_default();
            let what = format!("{strange} is no input of the model; its inputs are: {}", known.join(", "));
            return Err(exception(py, &Error::run(what)));
        }
        Ok(arrays)
    }

    /// Runs a plan of all nodes, straight into the caller's arrays.
    fn run_whole<'py>(&self, py: Python<'py>, plan: &Plan, read: &[&[u8]]) -> PyResult<Vec<Output<'py>>> {
        let mut outputs = Vec::with_capacity(plan.outputs().len());
        for of in plan.outputs() {
            outputs.push(Output::new(py, of)?);
        }
        self.write_whole(py, plan, read, &mut outputs)?;
        Ok(outputs)
    }

    fn write_whole(
        &self,
        py: Python<'_>,
        plan: &Plan,
        read: &[&[u8]],
        outputs: &mut [Output<'_>],
    ) -> PyResult<()> {
        let mut written = outputs.iter_mut().map(Output::bytes_mut).collect::<PyResult<Vec<_>>>()?;
        let ran = py.detach(|| guarded(|| self.runtime.run(plan, read, &mut written)));
        ran.map_err(|error| exception(py, &error))
    }

    /// What is given for the outputs, in order; nothing may be missing or left over.
    fn output_arrays<'py>(
        &self,
        py: Python<'py>,
        given: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let names = || {
            let names: Vec<&str> = self.runtime.outputs().map(|value| value.name.as_str()).collect();
            names.join(", ")
        };
        let wrong = |what: String| exception(py, &Error::run(what));
        let Ok(by_name) = given.cast::<PyDict>() else {
            let Ok(list) = given.extract::<Vec<Bound<'py, PyAny>>>() else {
                let kind = given.get_type().name()?;
                return Err(wrong(format!(
                    "outputs is {kind}: give a list of arrays, or a dict of them by name"
                )));
            };
            if list.len() != self.output_names.len() {
                return Err(wrong(format!("{} arrays are given for the outputs: {}", list.len(), names())));
            }
            return Ok(list);
        };
        let mut arrays = Vec::with_capacity(self.output_names.len());
        for name in &self.output_names {
            let Some(array) = by_name.get_item(name.bind(py))? else {
                let (name, given) = (text(name.bind(py)), text(by_name.keys().as_any()));
                return Err(wrong(format!("there is no array for output '{name}'; there are: {given}")));
            };
            arrays.push(array);
        }
        if by_name.len() > arrays.len() {
            let given = text(by_name.keys().as_any());
            return Err(wrong(format!("arrays are given for {given}; the model's outputs are: {}", names())));
        }
        Ok(arrays)
    }

    /// The caller's arrays for outputs of these types.
    fn taken<'py>(
        &self,
        py: Python<'py>,
        types: &[TensorType],
        arrays: &[Bound<'py, PyAny>],
    ) -> PyResult<Vec<Output<'py>>> {
        let named = self.runtime.outputs().zip(types).zip(arrays);
        named.map(|((value, of), array)| Output::given(py, &value.name, of, array)).collect()
    }

    /// Runs stage after stage: what the arrays' shapes are is known at the end.
    fn run_stages<'py>(
        &self,
        py: Python<'py>,
        plan: &Arc<Plan>,
        read: &[&[u8]],
    ) -> PyResult<Vec<Output<'py>>> {
        let ran = py.detach(|| guarded(|| self.runtime.run_stages(plan, read)));
        let mut outputs = Vec::new();
        for (of, bytes) in ran.map_err(|error| exception(py, &error))? {
            let mut output = Output::new(py, &of)?;
            output.bytes_mut()?.copy_from_slice(bytes.bytes());
            outputs.push(output);
        }
        Ok(outputs)
    }

    fn plan(&self, py: Python<'_>, inputs: &[Input<'_>]) -> PyResult<Arc<Plan>> {
        let shapes: Vec<&[usize]> = inputs.iter().map(Input::shape).collect();
        // Only to make a plan is worth letting the interpreter go.
        if let Some(plan) = self.runtime.kept_plan(&shapes) {
            return Ok(plan);
        }
        let plan = py.detach(|| guarded(|| self.runtime.plan(&shapes)));
        plan.map_err(|error| exception(py, &error))
    }

    /// The places of the outputs of those names.
    fn picked(
        &self,
        py: Python<'_>,
        names: Option<Vec<Bound<'_, PyString>>>,
    ) -> PyResult<Option<Vec<usize>>> {
        let Some(names) = names else { return Ok(None) };
        let known: Vec<&str> = self.runtime.outputs().map(|v| v.name.as_str()).collect();
        let mut picked = Vec::with_capacity(names.len());
        for name in names {
            let at = known.iter().position(|&k| name == k).ok_or_else(|| {
                let (name, known) = (text(&name), known.join(", "));
                let what = format!("'{name}' is no output of the model; its outputs are: {known}");
                exception(py, &Error::run(what))
            })?;
            picked.push(at);
        }
        Ok(Some(picked))
    }
}

/// The number of threads that a Python integer of any size asks for.
pub fn count(py: Python<'_>, threads: &Bound<'_, PyAny>) -> PyResult<usize> {
    let number = match threads.extract::<i64>() {
        Ok(number) if !threads.is_instance_of::<PyBool>() => usize::try_from(number).ok(),
        Ok(_) => None,
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => None,
        Err(error) if error.is_instance_of::<PyTypeError>(py) => None,
        Err(error) => return Err(error),
    };
    number.ok_or_else(|| {
        let kind = threads.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
        let asked = format!("threads is '{}' ({kind}): it must be a number from 1 to 1024", text(threads));
        exception(py, &Error::run(asked))
    })
}

fn describe<'py>(py: Python<'py>, value: &Value) -> PyResult<Description<'py>> {
    let shape = match &value.shape {
        None => None,
        Some(dims) => {
            let list = PyList::empty(py);
            for dim in dims {
                match dim {
                    Dim::Fixed(n) => list.append(n)?,
                    Dim::Symbol(symbol) => list.append(symbol)?,
                }
            }
            Some(list)
        }
    };
    let quant = value.quant.as_ref().map(|q| (q.scale.clone(), q.zero_point.clone()));
    Ok((value.name.clone(), shape, value.dtype.name(), quant))
}
