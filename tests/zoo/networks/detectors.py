"""Networks whose answers are images or boxes: detectors, segmentation, super-resolution."""

import numpy as np

from networks.net import Net, network


@network(27, opsets=(17, 11))
def yolo(opset):
    """SiLU or LeakyRelu, two scales joined through a nearest Resize; all boxes and scores joined."""
    net = Net(opset, 40)

    def block(x, *arguments, **options):
        x = net.conv_norm(x, *arguments, **options)
        if opset == 11:
            return net.op("LeakyRelu", x, alpha=0.1)
        return net.op("Mul", x, net.op("Sigmoid", x))

    x = net.input("images", ["batch", 3, 32, 32])
    x = block(block(x, (3, 16), 3, 2), (16, 24), 3, 2)
    left, right = block(x, (24, 12), 1), block(x, (24, 12), 1)
    right = net.op("Add", right, block(block(right, (12, 12), 1), (12, 12), 3))
    fine = block(net.op("Concat", left, right, axis=1), (24, 24), 1)
    coarse = block(fine, (24, 32), 3, 2)
    pools = [block(coarse, (32, 16), 1)]
    for _ in range(3):
        pools.append(net.max_pool(pools[-1], 5, 1, 2))
    coarse = block(net.op("Concat", *pools, axis=1), (64, 24), 1)
    fine = block(net.op("Concat", net.upsample(coarse), fine, axis=1), (48, 24), 1)
    found = []
    for x in (fine, coarse):
        boxes = net.op("Reshape", net.conv(x, (24, 4), 1), net.ints(0, 4, -1))
        scores = net.op("Reshape", net.conv(x, (24, 5), 1), net.ints(0, 5, -1))
        found.append((net.op("Mul", net.op("Exp", boxes), net.scalar(16.0)), net.op("Sigmoid", scores)))
    boxes, scores = (net.op("Concat", *parts, axis=2) for parts in zip(*found, strict=True))
    return net.model(net.op("Concat", boxes, scores, axis=1))


@network(40)
def yolov3_grid():
    """A head as torch writes it: view, permute, sigmoid, offsets by a grid of constants, sizes by anchors."""
    net = Net(13, 41)
    x = net.input("images", ["batch", 3, 32, 32])
    x = net.op("LeakyRelu", net.conv_norm(x, (3, 16), 3, 2), alpha=0.1)
    x = net.op("LeakyRelu", net.conv_norm(x, (16, 32), 3, 2), alpha=0.1)
    x = net.view(net.conv(x, (32, 2 * 7), 1), 2, 7, 8, 8)
    x = net.op("Sigmoid", net.op("Transpose", x, perm=[0, 1, 3, 4, 2]))
    xy, wh, rest = net.slice(x, 4, 0, 2), net.slice(x, 4, 2, 4), net.slice(x, 4, 4, 7)
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(1, 1, 8, 8, 2).astype(np.float32)
    xy = net.op("Mul", net.op("Add", net.op("Mul", xy, net.scalar(2)), net.weight(grid - 0.5)), net.scalar(4))
    anchors = net.weight(np.array([[10, 13], [16, 30]], np.float32).reshape(1, 2, 1, 1, 2))
    twice = net.op("Mul", wh, net.scalar(2))
    wh = net.op("Mul", net.op("Pow", twice, net.scalar(2)), anchors)
    x = net.view(net.op("Concat", xy, wh, rest, axis=4), -1, 7)
    return net.model(x, shape=["batch", 2 * 8 * 8, 7])


@network(36, opsets=(11, 18))
def ssd(opset):
    """Two heads a scale, transposed to NHWC and flattened, Softmax over classes: two outputs."""
    net = Net(opset, 42)
    x = net.input("image", [1, 3, 32, 32])
    x = net.op("Relu", net.conv_norm(x, (3, 16), 3, 2))
    boxes, scores = [], []
    for width, out in ((16, 24), (24, 32)):
        x = net.op("Relu", net.conv_norm(x, (width, out), 3, 2))
        for parts, numbers in ((boxes, 4), (scores, 3)):
            head = net.op("Transpose", net.conv(x, (out, 2 * numbers), 3), perm=[0, 2, 3, 1])
            parts.append(net.op("Reshape", head, net.ints(1, -1, numbers)))
    joined = net.op("Softmax", net.op("Concat", *scores, axis=1), axis=2)
    return net.model(joined, net.op("Concat", *boxes, axis=1))


@network(40, opsets=(11, 17))
def unet(opset):
    """Down and up with skips; sizes of the Resize are given (opset 11) or its scales."""
    net = Net(opset, 43)

    def double(x, channels):
        x = net.op("Relu", net.conv_norm(x, channels, 3))
        return net.op("Relu", net.conv_norm(x, (channels[1], channels[1]), 3))

    x = net.input("input", ["batch", 1, 32, 32])
    skips, width = [], 1
    for out in (8, 16):
        x = double(x, (width, out))
        skips.append(x)
        x, width = net.max_pool(x, 2, 2), out
    x = double(x, (16, 16))
    for size, skip, channels in ((16, skips[1], (32, 8)), (32, skips[0], (16, 8))):
        if opset == 11:
            sizes = net.op("Concat", net.slice(net.op("Shape", x), 0, 0, 2), net.ints(size, size), axis=0)
            x = net.op(
                "Resize",
                x,
                net.nothing(),
                net.nothing(),
                sizes,
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        else:
            x = net.upsample(x)
        x = double(net.op("Concat", x, skip, axis=1), channels)
    return net.model(net.op("Sigmoid", net.conv(x, (8, 1), 1)), shape=["batch", 1, 32, 32])


@network(37, opsets=(11, 13), stays=("PRelu",))
def super_resolution(opset):
    """Convolutions and DepthToSpace, in opset 11 as a Reshape to six axes and back; a global skip."""
    net = Net(opset, 45)
    x = net.input("input", ["batch", 1, 16, 16])
    y = net.op("Relu", net.conv(x, (1, 24), 5))
    y = net.op("PRelu", net.conv(y, (24, 16), 3), net.weight(np.full((16, 1, 1), 0.25, np.float32)))
    y = net.conv(y, (16, 4), 3)
    if opset == 11:
        y = net.view(y, 1, 2, 2, 16, 16)
        y = net.view(net.op("Transpose", y, perm=[0, 1, 4, 2, 5, 3]), 1, 32, 32)
    else:
        y = net.op("DepthToSpace", y, blocksize=2, mode="CRD")
    return net.model(net.op("Add", y, net.upsample(x)), shape=["batch", 1, 32, 32])


@network(30)
def face_detector():
    """Blocks padded in channels (Pad of axis 1), max-pooled skips, heads flattened in NHWC and joined."""
    net = Net(11, 46)
    x = net.input("input", [1, 3, 32, 32])
    x = net.op(
        "Relu", net.conv(net.op("Pad", x, net.ints(0, 0, 1, 1, 0, 0, 2, 2), net.scalar(0)), (3, 16), 5, 2, 0)
    )
    width = 16
    for out in (24, 32):
        padded = net.op("Pad", x, net.ints(0, 0, 0, 0, 0, 0, 2, 2), net.scalar(0))
        y = net.conv(padded, (width, width), 3, 2, 0, group=width)
        skip = net.op("Pad", net.max_pool(x, 2, 2), net.ints(0, 0, 0, 0, 0, out - width, 0, 0), net.scalar(0))
        x, width = net.op("Relu", net.op("Add", net.conv(y, (width, out), 1), skip)), out
    heads = []
    for numbers in (1, 16):
        head = net.op("Transpose", net.conv(x, (32, 2 * numbers), 1), perm=[0, 2, 3, 1])
        heads.append(net.op("Reshape", head, net.ints(1, -1, numbers)))
    return net.model(*heads)
