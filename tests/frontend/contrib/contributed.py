"""One node of an operator of ONNX Runtime's own, run by octavo and by ONNX Runtime."""

import numpy as np
import octavo
import onnxruntime
from onnx import helper, numpy_helper

NUMBER = {"float32": 1e-5, "float16": 5e-3}


def floats(*shape, dtype="float32", seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def model_of(
    op,
    inputs,
    outputs=("y",),
    constants=(),
    domain="com.microsoft",
    opset=17,
    free=False,
    own=None,
    **attributes,
):
    """The model of a node named n and its feeds; None is an input left out.

    outputs: names, '' one that is left out; a dtype may follow each behind a colon. constants: places of
    inputs. own: attributes of names that stand for something else here.
    """
    kind = helper.np_dtype_to_tensor_dtype
    names = ["" if array is None else f"in{place}" for place, array in enumerate(inputs)]
    arrays = {name: array for name, array in zip(names, inputs, strict=True) if name}
    stored = [f"in{place}" for place in constants]
    made = [output.split(":") for output in outputs]
    first = next(iter(arrays.values())).dtype.name
    feeds = {name: array for name, array in arrays.items() if name not in stored}

    def info(name, array):
        shape = [f"{name}_{axis}" for axis in range(array.ndim)] if free else array.shape
        return helper.make_tensor_value_info(name, kind(array.dtype), shape)

    graph = helper.make_graph(
        [
            helper.make_node(
                op, names, [name for name, *_ in made], name="n", domain=domain, **(own or {}), **attributes
            )
        ],
        "one node",
        [info(name, array) for name, array in feeds.items()],
        [
            helper.make_tensor_value_info(name, kind(np.dtype(dtype[0] if dtype else first)), None)
            for name, *dtype in made
            if name
        ],
        [numpy_helper.from_array(arrays[name], name) for name in stored],
    )
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8), feeds


def answers_of(model, feeds):
    """ONNX Runtime's, of the model as it stands."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def agree(op, inputs, tolerance=None, **more):
    """Asserts that octavo and ONNX Runtime give the same dtypes, shapes and numbers."""
    model, feeds = model_of(op, inputs, **more)
    given, expected = octavo.Session(model).run(None, feeds), answers_of(model, feeds)
    for ours, theirs in zip(given, expected, strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        within = NUMBER.get(theirs.dtype.name, 0) if tolerance is None else tolerance
        np.testing.assert_allclose(
            ours.astype(np.float64), theirs.astype(np.float64), rtol=within, atol=within
        )
    return given


def refusal(op, inputs, **more):
    """What octavo says of the node."""
    model, _ = model_of(op, inputs, **more)
    try:
        octavo.Session(model)
    except octavo.ModelError as error:
        return str(error)
    raise AssertionError("the model is not refused")
