"""Writes the network that the runtime's tests hold to one digest on every architecture.

    python tests/mixed.py rust/runtime/tests/data/mixed_int8.octavo

Made up from a seed: an image of three channels goes through an ordinary convolution, depthwise ones of
both sizes and strides, a residual block around a convolution of 3x3, a depthwise one of few channels,
pools of both kinds, and a last layer in float.
"""

import sys
from pathlib import Path

import numpy as np
import octavo
from onnx import TensorProto, helper, numpy_helper

SHAPE = (4, 3, 26, 30)


def pictures(shape=SHAPE) -> np.ndarray:
    """Numbers from 0 to 1 that float32 holds exactly."""
    return (np.arange(np.prod(shape)) * 40503 % 65536 / 65536).astype(np.float32).reshape(shape)


def network():
    random = np.random.default_rng(20_261_201)
    nodes, constants = [], []

    def weights(name, *shape):
        spread = 1.5 / np.sqrt(np.prod(shape[1:]))
        constants.append(numpy_helper.from_array(random.normal(0, spread, shape).astype(np.float32), name))
        return name

    def add(op, inputs, **attributes):
        name = f"{op.lower()}{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(x, channels, kernel, *, of, stride=1, group=1, relu=True):
        name = f"w{len(nodes)}"
        w = weights(name, channels, of // group, *kernel)
        b = weights(name + "b", channels)
        pads = [size // 2 for size in kernel] * 2
        y = add("Conv", [x, w, b], kernel_shape=kernel, pads=pads, strides=[stride] * 2, group=group)
        return add("Relu", [y]) if relu else y

    x = conv("image", 24, [3, 3], of=3)
    x = conv(x, 24, [3, 3], of=24, group=24)
    x = conv(x, 40, [1, 1], of=24, relu=False)
    inner = conv(x, 40, [3, 3], of=40)
    x = add("Add", [x, conv(inner, 40, [1, 1], of=40, relu=False)])
    x = conv(x, 72, [1, 1], of=40)
    x = conv(x, 72, [5, 5], of=72, stride=2, group=72)
    pooled = add("MaxPool", [x], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    mean = add("AveragePool", [x], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    x = conv(add("Concat", [pooled, mean], axis=1), 5, [1, 1], of=144)
    x = conv(x, 5, [5, 5], of=5, group=5)
    x = conv(x, 33, [3, 3], of=5, stride=2)
    x = add("Flatten", [add("GlobalAveragePool", [x])])
    add("Gemm", [x, weights("last", 33, 10), weights("lastb", 10)])
    nodes[-1].output[0] = "scores"
    graph = helper.make_graph(
        nodes,
        "mixed",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *SHAPE[1:]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def main() -> None:
    model = octavo.quantize(network(), pictures())
    Path(sys.argv[1]).write_bytes(model.to_bytes())


if __name__ == "__main__":
    main()
