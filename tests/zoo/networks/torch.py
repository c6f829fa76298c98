"""Image classifiers as PyTorch exports them: NCHW, BatchNormalization unfused, views with a dynamic batch."""

import numpy as np

from networks.net import Net, network


@network(32, opsets=(17, 11, 13, 18))
def resnet50(opset):
    """Bottlenecks with a projection, and Flatten or a view before the classifier."""
    net = Net(opset, 1)
    x = net.input("input", ["batch", 3, 32, 32])
    x = net.op("Relu", net.conv_norm(x, (3, 16), 7, 2, 3))
    x = net.max_pool(x, 3, 2, 1)
    width = 16
    for inner, stride in ((8, 1), (8, 1), (16, 2), (16, 1)):
        y = net.op("Relu", net.conv_norm(x, (width, inner), 1))
        y = net.op("Relu", net.conv_norm(y, (inner, inner), 3, stride))
        y = net.conv_norm(y, (inner, 4 * inner), 1)
        if stride > 1 or width != 4 * inner:
            x = net.conv_norm(x, (width, 4 * inner), 1, stride, 0)
        x, width = net.op("Relu", net.op("Add", y, x)), 4 * inner
    x = net.op("GlobalAveragePool", x)
    x = net.op("Flatten", x, axis=1) if opset > 11 else net.view(x, -1)
    return net.model(net.linear(x, (width, 10)), shape=["batch", 10])


def hard_swish(net, x, how):
    """The same function in the spellings that exporters use."""
    if how == "HardSwish":
        return net.op("HardSwish", x)
    if how == "HardSigmoid":
        return net.op("Mul", x, net.op("HardSigmoid", x, alpha=1 / 6, beta=0.5))
    six = net.clip(net.op("Add", x, net.constant(np.float32(3))), 0.0, 6.0)
    if how == "divide":
        return net.op("Div", net.op("Mul", x, six), net.constant(np.float32(6)))
    return net.op("Mul", x, net.op("Mul", six, net.scalar(1 / 6)))


def squeeze_excite(net, x, channels, gate, pool="GlobalAveragePool"):
    """Two 1x1 convolutions of the mean gate the channels."""
    inner = max(4, channels // 4)
    y = net.op(pool, x) if pool == "GlobalAveragePool" else net.mean(x, [2, 3])
    y = net.op("Relu", net.conv(y, (channels, inner), 1))
    return net.op("Mul", gate(net.conv(y, (inner, channels), 1)), x)


@network(28, opsets=(18, 11, 13, 17))
def mobilenetv3(opset):
    net = Net(opset, 2)
    swishes = ["divide", "multiply", "HardSigmoid"] + ["HardSwish"] * (opset >= 14)
    x = net.input("input", ["batch", 3, 32, 32])
    x = hard_swish(net, net.conv_norm(x, (3, 16), 3, 2), swishes[0])
    width = 16
    blocks = ((3, 16, 16, 2, True), (3, 48, 24, 2, False), (5, 64, 24, 1, True), (5, 96, 40, 2, True))
    for index, (kernel, inner, out, stride, excite) in enumerate(blocks):
        swish = swishes[index % len(swishes)]
        y = hard_swish(net, net.conv_norm(x, (width, inner), 1), swish)
        y = hard_swish(net, net.conv_norm(y, (inner, inner), kernel, stride, group=inner), swish)
        if excite:
            pool = "GlobalAveragePool" if index % 2 else "ReduceMean"
            y = squeeze_excite(net, y, inner, lambda v: net.op("HardSigmoid", v, alpha=1 / 6), pool)
        y = net.conv_norm(y, (inner, out), 1)
        x = net.op("Add", x, y) if (stride, width) == (1, out) else y
        width = out
    x = hard_swish(net, net.conv_norm(x, (width, 64), 1), swishes[1])
    x = net.op("Flatten", net.op("GlobalAveragePool", x), axis=1)
    x = hard_swish(net, net.linear(x, (64, 48)), swishes[2])
    return net.model(net.linear(x, (48, 10)))


@network(31, opsets=(11, 17))
def efficientnet(opset):
    """SiLU as x * sigmoid(x), inverted residuals with squeeze-excite."""
    net = Net(opset, 3)

    def silu(x):
        return net.op("Mul", x, net.op("Sigmoid", x))

    x = net.input("input", ["batch", 3, 32, 32])
    x = silu(net.conv_norm(x, (3, 16), 3, 2))
    width = 16
    for kernel, inner, out, stride in ((3, 32, 16, 1), (3, 48, 24, 2), (5, 64, 24, 1), (5, 64, 32, 2)):
        y = silu(net.conv_norm(x, (width, inner), 1))
        y = silu(net.conv_norm(y, (inner, inner), kernel, stride, group=inner))
        pooled = silu(net.conv(net.mean(y, [2, 3]), (inner, 8), 1))
        y = net.op("Mul", net.op("Sigmoid", net.conv(pooled, (8, inner), 1)), y)
        y = net.conv_norm(y, (inner, out), 1)
        x = net.op("Add", y, x) if (stride, width) == (1, out) else y
        width = out
    x = silu(net.conv_norm(x, (width, 64), 1))
    x = net.op("Flatten", net.op("GlobalAveragePool", x), axis=1)
    return net.model(net.linear(x, (64, 10)))


@network(33, opsets=(13, 18))
def densenet(opset):
    """BatchNormalization and Relu before each convolution, over all that came before, concatenated."""
    net = Net(opset, 4)
    x = net.input("input", ["batch", 3, 32, 32])
    x = net.max_pool(net.op("Relu", net.conv_norm(x, (3, 16), 7, 2, 3)), 3, 2, 1)
    width = 16
    for block in range(2):
        features = [x]
        for _ in range(3):
            joined = net.op("Concat", *features, axis=1)
            y = net.conv(net.op("Relu", net.norm(joined, width)), (width, 32), 1, bias=False)
            features.append(net.conv(net.op("Relu", net.norm(y, 32)), (32, 8), 3, bias=False))
            width += 8
        x = net.op("Concat", *features, axis=1)
        x = net.op("Relu", net.norm(x, width))
        if block == 0:
            x = net.conv(x, (width, width // 2), 1, bias=False)
            x = net.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
            width //= 2
    x = net.op("Flatten", net.op("GlobalAveragePool", x), axis=1)
    return net.model(net.linear(x, (width, 10)))


@network(35, opsets=(18, 11, 13))
def shufflenetv2(opset):
    """Half of the channels pass by; the shuffle is Reshape, Transpose, Reshape with sizes from Shape."""
    net = Net(opset, 5)

    def shuffle(x, channels, size):
        x = net.view(x, 2, channels // 2, size, size)
        return net.view(net.op("Transpose", x, perm=[0, 2, 1, 3, 4]), -1, size, size)

    x = net.input("input", ["batch", 3, 32, 32])
    x = net.max_pool(net.op("Relu", net.conv_norm(x, (3, 16), 3, 2)), 3, 2, 1)
    left = net.conv_norm(net.conv_norm(x, (16, 16), 3, 2, group=16), (16, 16), 1)
    right = net.op("Relu", net.conv_norm(x, (16, 16), 1))
    right = net.conv_norm(net.conv_norm(right, (16, 16), 3, 2, group=16), (16, 16), 1)
    x = shuffle(net.op("Concat", net.op("Relu", left), net.op("Relu", right), axis=1), 32, 4)
    for _ in range(2):
        if opset == 13:
            left, right = net.slice(x, 1, 0, 16), net.slice(x, 1, 16, 2**63 - 1)
        else:
            left, right = net.split(x, [16, 16], 1)
        right = net.op("Relu", net.conv_norm(right, (16, 16), 1))
        right = net.conv_norm(right, (16, 16), 3, group=16)
        right = net.op("Relu", net.conv_norm(right, (16, 16), 1))
        x = shuffle(net.op("Concat", left, right, axis=1), 32, 4)
    x = net.op("Relu", net.conv_norm(x, (32, 48), 1))
    return net.model(net.linear(net.mean(x, [2, 3], 0), (48, 10)), shape=["batch", 10])


@network(35, opsets=(17, 11))
def inception(opset):
    """Branches of 1x1, 5x5, 1x7 with 7x1, and an average pool that counts its padding."""
    net = Net(opset, 6)

    def block(x, *arguments, **options):
        return net.op("Relu", net.conv_norm(x, *arguments, **options))

    x = net.input("input", ["batch", 3, 33, 33])
    x = net.max_pool(block(block(x, (3, 16), 3, 2, 0), (16, 24), 3, 1, 1), 3, 2)
    width = 24
    for size in (5, 7):
        one = block(x, (width, 8), 1)
        five = block(block(x, (width, 8), 1), (8, 12), 5)
        seven = block(block(block(x, (width, 8), 1), (8, 8), (1, size)), (8, 12), (size, 1))
        pool = net.op(
            "AveragePool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, count_include_pad=1
        )
        pool = block(pool, (width, 8), 1)
        x, width = net.op("Concat", one, five, seven, pool, axis=1), 40
    reduced = [block(x, (width, 16), 3, 2, 0), net.max_pool(x, 3, 2)]
    x = net.op("Concat", *reduced, axis=1)
    x = net.op("AveragePool", x, kernel_shape=[3, 3], strides=[1, 1])
    x = net.op("Dropout", x) if opset < 12 else net.op("Dropout", x, net.scalar(0.5))
    return net.model(net.linear(net.op("Flatten", x, axis=1), (56, 10)))


@network(39, opsets=(11, 13))
def squeezenet(opset):
    """Fire modules, ceil_mode pools, a convolution as the classifier, Softmax at the end."""
    net = Net(opset, 7)
    x = net.input("data_0", [1, 3, 33, 33])
    x = net.max_pool(net.op("Relu", net.conv(x, (3, 24), 3, 2, 0)), 3, 2, ceil=1)
    width = 24
    for inner, out in ((8, 16), (12, 24)):
        y = net.op("Relu", net.conv(x, (width, inner), 1))
        parts = [net.op("Relu", net.conv(y, (inner, out), size)) for size in (1, 3)]
        x, width = net.op("Concat", *parts, axis=1), 2 * out
    x = net.op("Dropout", x, count=2)[0]
    x = net.op("GlobalAveragePool", net.op("Relu", net.conv(x, (width, 10), 1)))
    return net.model(net.op("Softmax", net.op("Reshape", x, net.ints(0, -1)), axis=1))


@network(33, opsets=(11, 17))
def vgg(opset):
    """Plain convolutions, then three wide layers with Dropout between, after Reshape to [-1, n]."""
    net = Net(opset, 8)
    x = net.input("input", ["N", 3, 16, 16])
    width = 3
    for out in (16, 32):
        x = net.op("Relu", net.conv_norm(x, (width, out), 3))
        x, width = net.max_pool(net.op("Relu", net.conv(x, (out, out), 3)), 2, 2), out
    x = net.op("Reshape", x, net.ints(-1, 32 * 16))
    for features in ((512, 64), (64, 64)):
        x = net.op("Relu", net.linear(x, features))
        x = net.op("Dropout", x) if opset < 12 else net.op("Dropout", x, net.scalar(0.5))
    return net.model(net.linear(x, (64, 10)))


@network(31)
def repvgg_with_groups():
    """Parallel branches summed, grouped convolutions, a residual of three."""
    net = Net(17, 9)
    x = net.input("input", ["batch", 3, 24, 24])
    x = net.op("Relu", net.op("Add", net.conv_norm(x, (3, 16), 3, 2), net.conv_norm(x, (3, 16), 1, 2)))
    for _ in range(2):
        branches = [net.conv_norm(x, (16, 16), 3, group=4), net.conv_norm(x, (16, 16), 1, group=4)]
        x = net.op("Relu", net.op("Add", net.op("Add", *branches), net.norm(x, 16)))
    x = net.op("Flatten", net.op("GlobalMaxPool", x), axis=1)
    return net.model(net.linear(x, (16, 10)))
