"""One node in ONNX Runtime and in onnx.reference."""

from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime
from octavo.program import OPSET


def one_node(op: str, inputs: list[Any], attributes: dict[str, Any], outputs: int = 1) -> Any:
    """A model of one node, and its feeds; None is an input left out."""
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in attributes.items()}
    names = ["" if array is None else f"x{i}" for i, array in enumerate(inputs)]
    feeds = {name: array for name, array in zip(names, inputs, strict=True) if name}
    info = onnx.helper.make_tensor_value_info
    types = {name: onnx.helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in feeds.items()}
    made = [f"y{i}" for i in range(outputs)]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, names, made, **plain)],
        "one node",
        [info(name, types[name], feeds[name].shape) for name in feeds],
        [onnx.helper.make_empty_tensor_value_info(name) for name in made],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model), feeds


def onnx_runtime(op: str, inputs: list[Any], outputs: int = 1, **attributes: Any) -> list[Any]:
    """The outputs in ONNX Runtime."""
    model, feeds = one_node(op, inputs, attributes, outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def onnx_reference(op: str, inputs: list[Any], outputs: int = 1, **attributes: Any) -> list[Any]:
    """The outputs in onnx.reference."""
    model, feeds = one_node(op, inputs, attributes, outputs)
    with np.errstate(all="ignore"):
        return list(onnx.reference.ReferenceEvaluator(model).run(None, feeds))
