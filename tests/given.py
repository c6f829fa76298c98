"""Models that are quantized already, built a node at a time, and octavo beside ONNX Runtime on them."""

from collections import Counter

import numpy as np
import octavo
import onnxruntime
from octavo.session import load_program
from onnx import TensorProto, helper, numpy_helper


class Net:
    """A graph in QDQ form under construction; every method gives the name of a value."""

    def __init__(self, shape=("N", 3, 8, 8), opset=21):
        self.opset, self.nodes, self.constants = opset, [], {}
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def op(self, op, *inputs, outputs=1, **attributes):
        """A node; arrays among its inputs are constants."""
        names = [item if isinstance(item, str) else self.constant(item) for item in inputs]
        made = [f"v{len(self.nodes)}.{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(op, names, made, f"n{len(self.nodes)}", **attributes))
        return made[0] if outputs == 1 else made

    def quantized(self, x, scale, zero_point=0, dtype="uint8", **attributes):
        """The integers of a value."""
        zero = np.asarray(zero_point, dtype) if np.ndim(zero_point) == 0 else zero_point.astype(dtype)
        return self.op("QuantizeLinear", x, np.asarray(scale, np.float32), zero, **attributes)

    def dequantized(self, q, scale, zero_point=0, dtype="uint8", **attributes):
        zero = np.asarray(zero_point, dtype) if np.ndim(zero_point) == 0 else zero_point.astype(dtype)
        return self.op("DequantizeLinear", q, np.asarray(scale, np.float32), zero, **attributes)

    def rounded(self, x, scale, zero_point=0, dtype="uint8"):
        """A value behind a pair."""
        return self.dequantized(self.quantized(x, scale, zero_point, dtype), scale, zero_point, dtype)

    def weights(self, array, scale, zero_point=0, dtype="int8", **attributes):
        """Integers of weights, dequantized."""
        if np.ndim(scale):
            zero_point = np.full(np.shape(scale), zero_point)
        return self.dequantized(np.asarray(array, dtype), scale, zero_point, dtype, **attributes)

    def model(self, *outputs, kinds=None):
        kinds = kinds or [TensorProto.FLOAT] * len(outputs)
        values = [
            helper.make_tensor_value_info(name, kind, None) for name, kind in zip(outputs, kinds, strict=True)
        ]
        tensors = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, "g", self.inputs, values, tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)


def integers(*shape, low=-127, high=127, seed=0):
    return np.random.default_rng(seed).integers(low, high + 1, shape)


def reals(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def runtime(model):
    """ONNX Runtime's session of a model, as it stands."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    source = model if isinstance(model, str) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def ops(model):
    """How often each op stands in the Program that octavo runs."""
    return dict(Counter(node.op for node in load_program(model).nodes))


def assert_near(model, feeds, step=0.0, share=0.01):
    """octavo's answers are those of ONNX Runtime: but for `share` of them equal, the others a step off."""
    expected = runtime(model).run(None, feeds)
    given = octavo.Session(model).run(None, feeds)
    assert np.any(expected[0] != expected[0].reshape(-1)[0]), "the answers are all the same"
    for y, e in zip(given, expected, strict=True):
        assert (y.dtype, y.shape) == (e.dtype, e.shape)
        errors = np.abs(y.astype(np.float64) - e.astype(np.float64))
        bound = 1e-5 * np.abs(e).max() + 1e-6
        assert errors.max() <= step * 1.001 + bound, f"{errors.max()} is more than a step of {step}"
        assert np.mean(errors > bound) <= share
