"""Image classifiers as tf2onnx and Keras exporters write them: NHWC outside, BiasAdd apart, Pad nodes."""

import numpy as np

from networks.net import Net, network


class Keras(Net):
    """Layers in NHWC: each convolution between two Transposes, as a plain exporter leaves them."""

    def nchw(self, x):
        return self.op("Transpose", x, perm=[0, 3, 1, 2])

    def nhwc(self, x):
        return self.op("Transpose", x, perm=[0, 2, 3, 1])

    def pad(self, x, before, after):
        """ZeroPadding2D in NHWC."""
        return self.op("Pad", x, self.ints(0, before, before, 0, 0, after, after, 0), self.scalar(0.0))

    def conv2d(self, x, channels, *arguments, **options):
        y = self.nhwc(self.conv(self.nchw(x), channels, *arguments, bias=False, **options))
        return self.op("Add", y, self.weight(self.bias(channels[1])))

    def bias(self, channels):
        return (self.rng.standard_normal(channels) * 0.1).astype(np.float32)

    def norm2d(self, x, channels):
        return self.nhwc(self.norm(self.nchw(x), channels))

    def dense(self, x, features):
        y = self.op("MatMul", x, self.weight(self.he(features[1], features[0]).T))
        return self.op("Add", y, self.weight(self.bias(features[1])))


@network(40, opsets=(18, 11, 13))
def keras_resnet(opset):
    """conv1_pad and pool1_pad as Pad nodes, a mean over H and W, the answer from Softmax."""
    net = Keras(opset, 20)
    x = net.input("input_1", ["unk__100", 32, 32, 3])
    x = net.conv2d(net.pad(x, 3, 3), (3, 16), 7, 2, 0)
    x = net.pad(net.op("Relu", net.norm2d(x, 16)), 1, 1)
    x = net.nhwc(net.max_pool(net.nchw(x), 3, 2))
    width = 16
    for inner, stride in ((8, 1), (16, 2)):
        y = net.op("Relu", net.norm2d(net.conv2d(x, (width, inner), 1, stride, 0), inner))
        y = net.op("Relu", net.norm2d(net.conv2d(y, (inner, inner), 3, 1, "SAME_UPPER"), inner))
        y = net.norm2d(net.conv2d(y, (inner, 4 * inner), 1), 4 * inner)
        x = net.norm2d(net.conv2d(x, (width, 4 * inner), 1, stride, 0), 4 * inner)
        x, width = net.op("Relu", net.op("Add", x, y)), 4 * inner
    x = net.dense(net.mean(x, [1, 2], 0), (width, 10))
    return net.model(net.op("Softmax", x, axis=-1))


def relu6(net, x, how):
    if how == "Clip":
        return net.clip(x, 0.0, 6.0)
    if how == "MinMax":
        return net.op("Min", net.op("Max", x, net.scalar(0.0)), net.scalar(6.0))
    return net.op("Min", net.op("Relu", x), net.weight(np.full((1, 1, 1, 1), 6, np.float32)))


@network(40, opsets=(13, 11, 17))
def tf_mobilenetv2(opset):
    """As tf2onnx leaves it: one Transpose at the front, Pads before stride 2, Relu6 in several spellings."""
    net = Keras(opset, 21)
    how = {11: "Clip", 13: "MinMax", 17: "ReluMin"}[opset]
    x = net.nchw(net.input("input:0", ["unk__1", 32, 32, 3]))
    x = relu6(net, net.conv_norm(x, (3, 16), 3, 2, (0, 0, 1, 1)), how)
    width = 16
    for inner, out, stride in ((48, 16, 1), (48, 24, 2), (72, 24, 1), (72, 32, 2)):
        y = relu6(net, net.conv_norm(x, (width, inner), 1), how)
        if stride == 2:
            y = net.op("Pad", y, net.ints(0, 0, 0, 0, 0, 0, 1, 1))
        y = relu6(net, net.conv_norm(y, (inner, inner), 3, stride, 0 if stride == 2 else 1, group=inner), how)
        y = net.conv_norm(y, (inner, out), 1)
        x = net.op("Add", x, y) if (stride, width) == (1, out) else y
        width = out
    x = relu6(net, net.conv_norm(x, (width, 64), 1), how)
    x = net.squeeze(net.op("GlobalAveragePool", x), [2, 3])
    return net.model(net.op("Softmax", net.dense(x, (64, 10))))


@network(40)
def tf_mobilenetv1_conv_head():
    """The classifier is a 1x1 convolution, its answers squeezed and reshaped; depthwise with multiplier 2."""
    net = Keras(13, 22)
    x = net.input("input", [1, 32, 32, 3])
    x = net.op("Mul", net.op("Sub", x, net.scalar(0.5)), net.scalar(2.0))
    x = relu6(net, net.conv2d(x, (3, 8), 3, 2, "SAME_UPPER"), "Clip")
    for width, stride in ((8, 1), (16, 2)):
        x = relu6(net, net.conv2d(x, (width, 2 * width), 3, stride, "SAME_UPPER", group=width), "Clip")
        x = relu6(net, net.conv2d(x, (2 * width, 2 * width), 1), "Clip")
    x = net.nhwc(net.op("AveragePool", net.nchw(x), kernel_shape=[8, 8], strides=[1, 1]))
    x = net.squeeze(net.conv2d(x, (32, 11), 1), [1, 2])
    return net.model(net.op("Reshape", net.op("Softmax", x, axis=1), net.ints(-1, 11)))


@network(45, opsets=(11, 18))
def keras_mobilenetv3(opset):
    """hard_sigmoid as relu6(x + 3) / 6, squeeze-excite in NHWC, Rescaling at the front."""
    net = Keras(opset, 23)

    def hard_sigmoid(x):
        return net.op("Mul", relu6(net, net.op("Add", x, net.scalar(3.0)), "ReluMin"), net.scalar(1 / 6))

    def hard_swish(x):
        return net.op("Mul", x, hard_sigmoid(x))

    x = net.input("input_1", ["batch", 32, 32, 3])
    x = net.op("Add", net.op("Mul", x, net.scalar(2.0)), net.scalar(-1.0))
    x = hard_swish(net.norm2d(net.conv2d(x, (3, 16), 3, 2, "SAME_UPPER"), 16))
    for inner in (32, 48):
        y = hard_swish(net.norm2d(net.conv2d(x, (16, inner), 1), inner))
        y = hard_swish(net.norm2d(net.conv2d(y, (inner, inner), 3, 1, "SAME_UPPER", group=inner), inner))
        gate = net.op("Relu", net.conv2d(net.mean(y, [1, 2]), (inner, 8), 1))
        y = net.op("Mul", y, hard_sigmoid(net.conv2d(gate, (8, inner), 1)))
        x = net.op("Add", x, net.norm2d(net.conv2d(y, (inner, 16), 1), 16))
    x = hard_swish(net.conv2d(net.mean(x, [1, 2]), (16, 32), 1))
    x = net.op("Reshape", net.conv2d(x, (32, 10), 1), net.ints(-1, 10))
    return net.model(net.op("Softmax", x, axis=-1))


@network(45)
def keras_flatten():
    """Flatten in NHWC stands between a Transpose and a Dense: the order of features is NHWC's."""
    net = Keras(13, 24)
    x = net.input("conv2d_input", ["unk", 14, 14, 1])
    x = net.op("Relu", net.conv2d(x, (1, 8), 3, 1, 0))
    x = net.nhwc(net.max_pool(net.nchw(x), 2, 2))
    x = net.op("Relu", net.conv2d(x, (8, 16), 3, 1, 0))
    x = net.op("Reshape", x, net.ints(-1, 16 * 16))
    return net.model(net.op("Sigmoid", net.dense(net.op("Relu", net.dense(x, (256, 32))), (32, 10))))


@network(35)
def keras_separable():
    """Xception's SeparableConv2D with residual max pools, SAME padding that is uneven at stride 2."""
    net = Keras(13, 25)

    def separable(x, channels):
        depthwise = net.conv(
            net.nchw(x), (channels[0], channels[0]), 3, 1, "SAME_UPPER", group=channels[0], bias=False
        )
        return net.norm2d(net.nhwc(net.conv(depthwise, channels, 1, bias=False)), channels[1])

    x = net.input("input_1", ["batch", 32, 32, 3])
    x = net.op("Relu", net.norm2d(net.conv2d(x, (3, 16), 3, 2, "SAME_UPPER"), 16))
    for width in (16, 32):
        skip = net.norm2d(net.conv2d(x, (width, 2 * width), 1, 2, "SAME_UPPER"), 2 * width)
        y = separable(net.op("Relu", separable(x, (width, 2 * width))), (2 * width, 2 * width))
        pool = {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}
        x = net.op("Add", net.nhwc(net.op("MaxPool", net.nchw(y), **pool)), skip)
    return net.model(net.dense(net.mean(net.op("Relu", x), [1, 2], 0), (64, 10)))
