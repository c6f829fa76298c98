"""Writes networks node by node, as exporters do: seeded weights of realistic scale."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8}


class Net:
    """A graph being written. Layers take and give names of values."""

    def __init__(self, opset: int, seed: int = 0) -> None:
        self.opset = opset
        self.rng = np.random.default_rng(seed)
        self.inputs: list[Any] = []
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def input(self, name: str, shape: Sequence[int | str], dtype: str = "float32") -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TYPES[dtype], list(shape)))
        return name

    def weight(self, array: Any, name: str = "") -> str:
        """An initializer."""
        name = name or f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def ints(self, *values: int) -> str:
        return self.weight(np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        return self.weight(np.array(value, np.float32))

    def constant(self, array: Any) -> str:
        """A Constant node, as torch writes numbers of the code."""
        return self.op("Constant", value=numpy_helper.from_array(np.asarray(array)))

    def op(
        self, op: str, *inputs: str, count: int = 1, output: str = "", name: str | None = None, **attributes
    ):
        """Adds a node; the name of its output, or the list of their names."""
        index = len(self.nodes)
        outputs = [output or f"v{index}_{i}" if count > 1 else output or f"v{index}" for i in range(count)]
        name = f"/{op}_{index}" if name is None else name
        self.nodes.append(helper.make_node(op, list(inputs), outputs, name=name, **attributes))
        return outputs[0] if count == 1 else outputs

    def model(
        self, *outputs: str, shape: Sequence[int | str] | None = None, ir_version: int | None = None
    ) -> onnx.ModelProto:
        """The model with these outputs, whose shapes ONNX infers unless they are given, and checked by it."""
        unknown = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, unknown, self.initializers)
        versions = {11: 6, 13: 7, 17: 8, 18: 8}
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self.opset)],
            ir_version=ir_version or versions[self.opset],
        )
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        model.graph.output.clear()
        model.graph.output.extend(inferred.graph.output)
        onnx.checker.check_model(model, full_check=True)
        return model

    # Layers, in torch's terms.

    def he(self, *shape: int) -> Any:
        """Normal weights of variance 2 / fan_in, float32."""
        fan_in = int(np.prod(shape[1:]))
        return (self.rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)

    def conv(
        self,
        x: str,
        channels: tuple[int, int],
        kernel: int | tuple[int, ...] = 1,
        stride: int = 1,
        pads: int | Sequence[int] | str | None = None,
        *,
        group: int = 1,
        bias: bool = True,
        dilation: int = 1,
    ) -> str:
        """A convolution from channels[0] to channels[1]; pads default to the same size at stride 1."""
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        inputs = [x, self.weight(self.he(channels[1], channels[0] // group, *kernel))]
        if bias:
            inputs.append(self.weight((self.rng.standard_normal(channels[1]) * 0.1).astype(np.float32)))
        attributes: dict[str, Any] = {"kernel_shape": kernel, "group": group}
        attributes |= {"strides": [stride] * len(kernel), "dilations": [dilation] * len(kernel)}
        if isinstance(pads, str):
            attributes["auto_pad"] = pads
        elif pads is None or isinstance(pads, int):
            half = [dilation * (k - 1) // 2 for k in kernel] if pads is None else [pads] * len(kernel)
            attributes["pads"] = [*half, *half]
        else:
            attributes["pads"] = list(pads)
        return self.op("Conv", *inputs, **attributes)

    def statistics(self, channels: int) -> list[str]:
        """Scale, bias, mean and variance near identity."""
        normal, uniform = self.rng.standard_normal, self.rng.uniform
        arrays = (
            uniform(0.8, 1.2, channels),
            normal(channels) * 0.1,
            normal(channels) * 0.1,
            uniform(0.8, 1.2, channels),
        )
        return [self.weight(array.astype(np.float32)) for array in arrays]

    def norm(self, x: str, channels: int) -> str:
        return self.op("BatchNormalization", x, *self.statistics(channels), epsilon=1e-5, momentum=0.9)

    def conv_norm(self, x: str, channels: tuple[int, int], *arguments: Any, **options: Any) -> str:
        return self.norm(self.conv(x, channels, *arguments, bias=False, **options), channels[1])

    def linear(self, x: str, features: tuple[int, int]) -> str:
        weight = self.weight(self.he(features[1], features[0]))
        bias = self.weight((self.rng.standard_normal(features[1]) * 0.1).astype(np.float32))
        return self.op("Gemm", x, weight, bias, alpha=1.0, beta=1.0, transB=1)

    def max_pool(self, x: str, kernel: int, stride: int, pad: int = 0, ceil: int = 0) -> str:
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        return self.op("MaxPool", x, ceil_mode=ceil, **attributes)

    # Where opsets differ.

    def clip(self, x: str, low: float, high: float) -> str:
        return self.op("Clip", x, self.scalar(low), self.scalar(high))

    def mean(self, x: str, axes: list[int], keepdims: int = 1) -> str:
        if self.opset < 18:
            return self.op("ReduceMean", x, axes=axes, keepdims=keepdims)
        return self.op("ReduceMean", x, self.ints(*axes), keepdims=keepdims)

    def squeeze(self, x: str, axes: list[int], op: str = "Squeeze") -> str:
        return self.op(op, x, axes=axes) if self.opset < 13 else self.op(op, x, self.ints(*axes))

    def unsqueeze(self, x: str, axes: list[int]) -> str:
        return self.squeeze(x, axes, "Unsqueeze")

    def split(self, x: str, sizes: list[int], axis: int) -> list[str]:
        if self.opset < 13:
            return self.op("Split", x, count=len(sizes), axis=axis, split=sizes)
        return self.op("Split", x, self.ints(*sizes), count=len(sizes), axis=axis)

    def slice(self, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
        return self.op("Slice", x, *(self.ints(value) for value in (start, end, axis, step)))

    def upsample(self, x: str, factor: int = 2, **attributes: Any) -> str:
        """Nearest, as torch writes it."""
        given = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        scales = self.weight(np.array([1, 1, factor, factor], np.float32))
        return self.op("Resize", x, self.nothing(), scales, **(given | attributes))

    def nothing(self) -> str:
        """An input of Resize that is left out: an empty tensor before opset 13."""
        return "" if self.opset >= 13 else self.weight(np.zeros(0, np.float32))

    def batch_of(self, x: str) -> str:
        """The first size as a vector of one, through Shape, Gather and Unsqueeze."""
        return self.unsqueeze(self.op("Gather", self.op("Shape", x), self.constant(np.int64(0)), axis=0), [0])

    def view(self, x: str, *sizes: int) -> str:
        """x.view(x.size(0), *sizes) with a dynamic batch."""
        rest = [self.constant(np.array([size], np.int64)) for size in sizes]
        return self.op("Reshape", x, self.op("Concat", self.batch_of(x), *rest, axis=0))


@dataclass(frozen=True)
class Network:
    """A network of the zoo, and what is asked of its int8 form.

    build: makes the model. bar: the SQNR in dB against float that it must reach. low, high: its inputs are
    uniform between them. stays: the ops that stay float for want of an integer form. long: whether it is
    left to the long tests.
    """

    name: str
    build: Callable[[], onnx.ModelProto]
    bar: float
    low: float = 0.0
    high: float = 1.0
    stays: tuple[str, ...] = ()
    long: bool = False

    def feeds(self, model: onnx.ModelProto, seed: int, count: int) -> dict[str, Any]:
        """Uniform samples, as many as `count` where the batch is free, else one."""
        rng = np.random.default_rng(seed)
        held = {tensor.name for tensor in model.graph.initializer}
        feeds = {}
        for value in model.graph.input:
            if value.name in held:
                continue
            shape = [size.dim_value or 1 for size in value.type.tensor_type.shape.dim]
            shape[0] = shape[0] if value.type.tensor_type.shape.dim[0].dim_value else count
            if value.type.tensor_type.elem_type == TensorProto.UINT8:
                feeds[value.name] = rng.integers(0, 256, shape, dtype=np.uint8)
            else:
                feeds[value.name] = rng.uniform(self.low, self.high, shape).astype(np.float32)
        return feeds


NETWORKS: list[Network] = []


def network(bar: float, *, opsets: Sequence[int] = (), **options: Any):
    """Enters a function that makes a model. With `opsets`, which it takes then, once for each; all but the
    first are left to the long tests.
    """

    def enter(build):
        if not opsets:
            NETWORKS.append(Network(build.__name__, build, bar, **options))
        for opset in opsets:
            model_of = functools.partial(build, opset)
            name = f"{build.__name__}-{opset}"
            NETWORKS.append(Network(name, model_of, bar, long=opset != opsets[0], **options))
        return build

    return enter
