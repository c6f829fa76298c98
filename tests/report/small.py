"""Small networks with random weights and data for them: what layers real networks have, in milliseconds."""

import numpy as np
import onnx
import onnx.parser


def model(text, **constants):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, "f4"), name))
    for node in proto.graph.node:
        node.name = f"the_{node.output[0]}"
    return proto


def weights(rng, *shape):
    """As training starts: the variance keeps the size of what passes through."""
    return rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))


def branches(rng):
    """Convolutions whole, by channel and 1x1, a residual, two branches joined, pools, a layer of classes."""
    text = """g (float[N,3,16,16] x) => (float[N,10] y) {
        s = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, ws, bs) a = Relu(s)
        d = Conv<kernel_shape=[3,3], pads=[1,1,1,1], group=16>(a, wd, bd) e = Relu(d)
        p = Conv(e, wp, bp) r = Add(p, a) m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
        l = Conv(m, wl, bl) k = Relu(l)
        h = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(m, wh, bh) i = Relu(h)
        j = Concat<axis=1>(k, i) f = Conv(j, wf, bf) n = Relu(f)
        q = GlobalAveragePool(n) t = Flatten(q) y = Gemm<transB=1>(t, wy, by) }"""
    shapes = {
        "ws": (16, 3, 3, 3), "wd": (16, 1, 3, 3), "wp": (16, 16, 1, 1), "wl": (16, 16, 1, 1),
        "wh": (16, 16, 3, 3), "wf": (32, 32, 1, 1), "wy": (10, 32),
    }  # fmt: skip
    constants = {name: weights(rng, *shape) for name, shape in shapes.items()}
    constants |= {f"b{name[1:]}": rng.normal(size=shape[0]) * 0.1 for name, shape in shapes.items()}
    return model(text, **constants)


def rows(rng):
    """Matrix products with activations between them."""
    text = """g (float[N,24] x) => (float[N,6] y) {
        a = Gemm<transB=1>(x, w1, b1) b = Relu(a) c = Gemm<transB=1>(b, w2, b2) d = Relu(c)
        e = Gemm<transB=1>(d, w3, b3) f = Tanh(e) y = Gemm<transB=1>(f, w4, b4) }"""
    shapes = {"w1": (32, 24), "w2": (32, 32), "w3": (32, 32), "w4": (6, 32)}
    constants = {name: weights(rng, *shape) for name, shape in shapes.items()}
    constants |= {f"b{name[1:]}": rng.normal(size=shape[0]) * 0.1 for name, shape in shapes.items()}
    return model(text, **constants)


def pictures(rng, count, size=16, channels=3):
    """Smooth pictures, float32 [count, channels, size, size]: neighbours have much in common."""
    coarse = rng.normal(size=(count, channels, size // 4, size // 4)) + 0.3 * rng.normal(
        size=(count, 1, 1, 1)
    )
    fine = coarse.repeat(4, 2).repeat(4, 3) + 0.1 * rng.normal(size=(count, channels, size, size))
    for axis in (2, 3):
        fine = (fine + np.roll(fine, 1, axis) + np.roll(fine, -1, axis)) / 3
    return fine.astype(np.float32)
