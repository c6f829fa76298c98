"""Sound, sequences and tables of numbers."""

import itertools

import numpy as np

from networks.net import Net, network


@network(38, opsets=(18, 11), low=-1)
def audio_cnn(opset):
    """Conv1D with strides and dilations, MaxPool 1-D, a mean over time."""
    net = Net(opset, 60)
    x = net.input("audio", ["batch", 1, 400])
    x = net.op("Relu", net.conv_norm(x, (1, 16), (11,), 4, 5))
    x = net.op("MaxPool", x, kernel_shape=[4], strides=[4])
    for rate in (1, 2, 4):
        y = net.op("Relu", net.conv_norm(x, (16, 16), (3,), dilation=rate))
        x = net.op("Add", x, net.conv_norm(y, (16, 16), (1,)))
    x = net.op("Relu", net.conv_norm(x, (16, 32), (3,), 2, 1))
    return net.model(net.op("LogSoftmax", net.linear(net.mean(x, [2], 0), (32, 10)), axis=1))


@network(25, low=-1)
def wavenet():
    """Causal padding as Pad, tanh times sigmoid gates, skips summed."""
    net = Net(13, 61)
    x = net.input("audio", ["batch", 1, 64])
    x = net.conv(x, (1, 16), (1,))
    skips = []
    for rate in (1, 2, 4):
        padded = net.op("Pad", x, net.ints(0, 0, rate, 0, 0, 0), net.scalar(0))
        both = net.conv(padded, (16, 32), (2,), 1, 0, dilation=rate)
        left, right = net.split(both, [16, 16], 1)
        gated = net.op("Mul", net.op("Tanh", left), net.op("Sigmoid", right))
        skips.append(net.conv(gated, (16, 16), (1,)))
        x = net.op("Add", x, net.conv(gated, (16, 16), (1,)))
    x = net.op("Relu", net.op("Sum", *skips))
    return net.model(net.conv(net.op("Relu", net.conv(x, (16, 16), (1,))), (16, 8), (1,)))


@network(43, low=-1)
def keyword_spotter():
    """A depthwise-separable CNN over [time, frequency], made 4-D by Unsqueeze; no recurrent layer."""
    net = Net(13, 62)
    x = net.unsqueeze(net.input("mfcc", ["batch", 49, 10]), [1])
    x = net.op("Relu", net.conv_norm(x, (1, 32), (10, 4), 2, (4, 1, 5, 1)))
    for _ in range(3):
        x = net.op("Relu", net.conv_norm(x, (32, 32), 3, group=32))
        x = net.op("Relu", net.conv_norm(x, (32, 32), 1))
    x = net.op("AveragePool", x, kernel_shape=[25, 5])
    x = net.op("Reshape", x, net.ints(-1, 32))
    return net.model(net.op("Softmax", net.linear(x, (32, 12)), axis=-1))


@network(26, low=-1)
def mlp():
    """A Gemm each, BatchNormalization of two axes, Dropout, and every common activation between."""
    net = Net(13, 63)
    x, width = net.input("features", ["batch", 40]), 40
    half, one = net.scalar(0.5), net.scalar(1.0)
    activations = [
        lambda v: net.op("PRelu", v, net.weight(np.array([0.25], np.float32))),
        lambda v: net.op("Elu", v, alpha=1.0),
        lambda v: net.op(
            "Mul",
            net.op("Mul", v, half),
            net.op("Add", net.op("Erf", net.op("Div", v, net.scalar(2**0.5))), one),
        ),
        lambda v: net.op("Tanh", v),
        lambda v: net.op("Sigmoid", v),
        lambda v: net.op("Selu", v),
        lambda v: net.op("Mul", v, net.op("Tanh", net.op("Softplus", v))),
        lambda v: net.op("Dropout", net.op("Relu", v), half),
    ]
    for activation in activations:
        x = activation(net.norm(net.linear(x, (width, 48)), 48))
        width = 48
    return net.model(net.linear(x, (48, 4)))


@network(26, low=-1)
def autoencoder():
    """Dense layers with MatMul and Add; the norm is between the Relus and the products."""
    net = Net(11, 64)
    x, sizes = net.input("input_1", ["N", 64]), (64, 32, 8, 32, 64)
    for index, features in enumerate(itertools.pairwise(sizes)):
        x = net.op("MatMul", x, net.weight(net.he(features[1], features[0]).T))
        x = net.op("Add", x, net.weight((net.rng.standard_normal(features[1]) * 0.1).astype(np.float32)))
        if index < 3:
            x = net.op("Relu", net.norm(x, features[1]))
    return net.model(x)
