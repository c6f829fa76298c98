"""Graphs that are legal and strange: shared weights, several inputs, dead channels, odd names, zeros."""

import numpy as np
from onnx import TensorProto, helper

from networks.net import Net, network


@network(40)
def siamese():
    """The same weights over two inputs, the distance of both as the answer."""
    net = Net(13, 80)
    filters, second = net.weight(net.he(12, 3, 3, 3)), net.weight(net.he(16, 12, 3, 3))
    weight, bias = net.weight(net.he(8, 16)), net.weight(np.zeros(8, np.float32))
    features = []
    for name in ("left", "right"):
        x = net.input(name, ["batch", 3, 16, 16])
        x = net.op("Relu", net.op("Conv", x, filters, strides=[2, 2], pads=[1] * 4))
        x = net.op("Relu", net.op("Conv", x, second, strides=[2, 2], pads=[1] * 4))
        x = net.op("Flatten", net.op("GlobalAveragePool", x))
        features.append(net.op("Gemm", x, weight, bias, transB=1))
    difference = net.op("Abs", net.op("Sub", *features))
    return net.model(net.op("Sigmoid", net.linear(difference, (8, 2))))


@network(34)
def two_inputs_two_outputs():
    """An image and a vector meet; one output is an intermediate that others read, one is a Relu's input."""
    net = Net(17, 81)
    image, vector = net.input("image", ["batch", 3, 16, 16]), net.input("vector", ["batch", 6])
    x = net.op("Relu", net.conv(image, (3, 12), 3, 2, 1), output="features")
    y = net.op("Relu", net.linear(vector, (6, 12)))
    gate = net.unsqueeze(net.op("Sigmoid", y), [2, 3])
    x = net.op("Mul", x, gate)
    before = net.conv(x, (12, 12), 3)
    x = net.op("GlobalAveragePool", net.op("Relu", before))
    joined = net.op("Concat", net.op("Flatten", x), y, axis=1)
    return net.model(net.linear(joined, (24, 5)), "features", before)


@network(43)
def dead_and_huge():
    """Channels of zero weights, of huge and tiny scale, biases far beyond the sums; a layer of zeros only."""
    net = Net(13, 82)
    x = net.input("x", ["batch", 4, 12, 12])
    weights, biases = net.he(8, 4, 3, 3), np.zeros(8, np.float32)
    weights[1], biases[1] = 0, 3.0
    weights[2], biases[2] = 0, 0
    weights[3] *= 1e-6
    weights[4], biases[4] = weights[4] * 1e-12, 5.0
    weights[5] *= 20
    biases[6] = -100.0
    y = net.op("Relu", net.op("Conv", x, net.weight(weights), net.weight(biases), pads=[1] * 4))
    zero = net.op("Conv", y, net.weight(np.zeros((8, 8, 1, 1), np.float32)))
    y = net.op("Add", y, net.op("Relu", zero))
    y = net.op("Relu", net.conv(y, (8, 8), 3, group=2))
    return net.model(net.linear(net.op("Flatten", net.op("GlobalAveragePool", y)), (8, 3)))


@network(46)
def all_zero():
    """Every activation is 0: a bias of -5 before each Relu."""
    net = Net(13, 83)
    x = net.input("x", ["batch", 3, 8, 8])
    bias = net.weight(np.full(8, -50, np.float32))
    x = net.op("Relu", net.op("Conv", x, net.weight(net.he(8, 3, 3, 3)), bias))
    x = net.op("Add", x, net.op("Relu", net.op("Conv", x, net.weight(net.he(8, 8, 1, 1)), bias)))
    x = net.op("Concat", x, net.op("Sigmoid", x), axis=1)
    x = net.op("Flatten", net.op("GlobalAveragePool", net.op("MaxPool", x, kernel_shape=[2, 2])))
    return net.model(net.op("Gemm", x, net.weight(net.he(16, 4))))


@network(35, low=-1e-6, high=1e-6)
def tiny_ranges():
    """Activations of a millionth throughout."""
    net = Net(13, 84)
    x = net.input("x", ["batch", 3, 12, 12])
    for width, out in ((3, 8), (8, 8)):
        x = net.op("Relu", net.conv(x, (width, out), 3, bias=False))
    return net.model(
        net.op("Gemm", net.op("Flatten", net.op("GlobalAveragePool", x)), net.weight(net.he(8, 4)))
    )


@network(45, low=-1e5, high=1e5)
def huge_ranges():
    """Activations of a hundred thousand and more, squashed at the end."""
    net = Net(13, 85)
    x = net.input("x", ["batch", 3, 12, 12])
    for width, out in ((3, 8), (8, 8)):
        x = net.op("Relu", net.conv(x, (width, out), 3))
    x = net.op("Mul", net.op("Flatten", net.op("GlobalAveragePool", x)), net.scalar(1e-5))
    return net.model(net.op("Tanh", net.linear(x, (8, 4))))


@network(35)
def odd_names():
    """Unnamed nodes, names that values have too, names with spaces, colons and letters of any alphabet."""
    net = Net(13, 86)
    x = net.input("input:0 \u00fc/\u5165\u529b", ["N", 3, 12, 12])
    names = ["", "", "a", "v0", "w0", "x_quantized", "/a b/\u540d"]
    for index, name in enumerate(names):
        output = f"{x}_quantized" if index == 2 else f"v {index}\n" if index == 4 else ""
        weight = net.weight(net.he(8, 8 if index else 3, 3, 3), "v0_quantized" if index == 5 else "")
        x = net.op("Conv", x, weight, pads=[1] * 4, name=name, output=output)
        x = net.op("Relu", x, name="")
    x = net.op("Flatten", net.op("GlobalAveragePool", x, name=""), name="")
    return net.model(net.op("Gemm", x, net.weight(net.he(8, 5)), name="", output="y_dequantized"))


@network(36)
def ir3():
    """IR 3: every initializer is an input as well; a Dropout and an Identity in between."""
    net = Net(11, 87)
    x = net.input("data", [1, 3, 16, 16])
    x = net.op("Relu", net.conv_norm(x, (3, 8), 3, 2))
    x = net.op("Identity", net.op("Dropout", x, ratio=0.3))
    x = net.op("Reshape", net.op("GlobalAveragePool", x), net.ints(1, 8))
    x = net.linear(x, (8, 4))
    for tensor in net.initializers:
        shape = list(tensor.dims)
        net.inputs.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, shape))
    return net.model(x, ir_version=3)


@network(36, stays=("PRelu",))
def scalar_and_vector_arithmetic():
    """Constants a channel or a pixel in Add, Sub, Mul and Div, on either side; a channel's slope in PRelu."""
    net = Net(17, 88)
    shape = (1, 8, 1, 1)
    vector = lambda low, high: net.weight(net.rng.uniform(low, high, shape).astype(np.float32))  # noqa: E731
    x = net.op(
        "Sub", net.input("x", ["batch", 3, 16, 16]), net.weight(np.full((1, 3, 1, 1), 0.4, np.float32))
    )
    x = net.op("Div", x, net.weight(np.full((3, 1, 1), 0.25, np.float32)))
    x = net.op("Relu", net.conv(x, (3, 8), 3, 2, 1))
    x = net.op("Mul", vector(0.5, 1.5), net.op("Add", x, vector(-0.2, 0.2)))
    x = net.op(
        "PRelu", net.conv(x, (8, 8), 3), net.weight(net.rng.uniform(0, 0.3, (8, 1, 1)).astype(np.float32))
    )
    x = net.op("Add", x, net.weight(net.rng.uniform(-0.5, 0.5, (1, 8, 8, 8)).astype(np.float32)))
    x = net.op("Sub", net.scalar(1.0), net.op("Div", net.conv(x, (8, 8), 3), vector(1, 2)))
    x = net.op("Max", net.conv(x, (8, 8), 1), net.op("Relu", x))
    return net.model(net.linear(net.op("Flatten", net.op("GlobalAveragePool", x)), (8, 5)))


@network(38)
def output_in_the_middle():
    """A pooled feature, a value of the input alone, and a Concat's result are outputs too."""
    net = Net(13, 89)
    x = net.input("x", ["batch", 3, 16, 16])
    small = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    y = net.op("Relu", net.conv(small, (3, 8), 3))
    pooled = net.max_pool(y, 2, 2)
    joined = net.op("Concat", pooled, net.op("Sigmoid", net.conv(pooled, (8, 8), 1)), axis=1)
    z = net.conv(joined, (16, 8), 3)
    return net.model(net.op("Relu", z), pooled, joined, small, z)


@network(40)
def uint8_input():
    """Pixels in uint8, cast and scaled in the graph."""
    net = Net(13, 90)
    x = net.op("Cast", net.input("pixels", ["batch", 16, 16, 3], "uint8"), to=TensorProto.FLOAT)
    x = net.op("Div", net.op("Transpose", x, perm=[0, 3, 1, 2]), net.scalar(255.0))
    x = net.op("Relu", net.conv_norm(x, (3, 8), 3, 2))
    return net.model(net.linear(net.op("Flatten", net.op("GlobalAveragePool", x)), (8, 4)))
