"""Quantized graphs drawn at random, pairs in any place: what octavo answers beside ONNX Runtime."""

import numpy as np
import octavo
import pytest
from given import Net, reals, runtime
from onnx import TensorProto

SEEDS = 150
KINDS = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}


class Drawn:
    """A graph of a few nodes whose values are rounded, or not, or handed on as integers."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.net = Net(("N", 4, 6, 6))
        self.outputs = []
        values = [self.rounded("x")]
        for _ in range(self.rng.integers(1, 7)):
            values.append(self.node(values))
        self.outputs.insert(0, (values[-1], TensorProto.FLOAT))

    def model(self):
        names, kinds = zip(*self.outputs, strict=True)
        return self.net.model(*names, kinds=kinds)

    def step(self, *shape):
        return self.rng.uniform(0.01, 0.1, shape).astype(np.float32)

    def rounded(self, x):
        """Behind a pair, mostly; as it is; or by integers that are moved, given out, or read otherwise."""
        dtype = str(self.rng.choice(list(KINDS)))
        zero, scale = int(self.rng.integers(256)) + np.iinfo(dtype).min, self.step()
        chance = self.rng.random()
        if chance < 0.75:
            return self.net.rounded(x, scale, zero, dtype)
        if chance < 0.85:
            return x
        q = self.net.quantized(x, scale, zero, dtype)
        if self.rng.random() < 0.3:
            self.outputs.append((q, KINDS[dtype]))
        if self.rng.random() < 0.5:
            q = self.net.op("Transpose", q, perm=[0, 1, 3, 2])
        return self.net.dequantized(q, scale if self.rng.random() < 0.7 else self.step(), zero, dtype)

    def node(self, values):
        net, rng = self.net, self.rng
        x, other = (values[rng.integers(len(values))] for _ in range(2))
        op = str(rng.choice(["Conv", "Conv", "Conv", "Add", "Mul", "unary", "Transpose", "MaxPool", "Clip"]))
        if op == "Conv":
            y = self.conv(x)
        elif op in ("Add", "Mul"):
            y = net.op(op, x, other)
        elif op == "unary":
            y = net.op(str(rng.choice(["Relu", "Sigmoid", "Abs", "Neg", "HardSwish"])), x)
        elif op == "Transpose":
            y = net.op(op, x, perm=[0, 1, 3, 2])
        elif op == "MaxPool":
            y = net.op(op, x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        else:
            y = net.op(op, x, np.float32(-1), np.float32(2))
        return self.rounded(y) if rng.random() < 0.85 else y

    def conv(self, x):
        rng, group = self.rng, int(self.rng.choice([1, 4]))
        shape = 4, 4 // group, 3, 3
        if rng.random() < 0.1:
            weights = reals(*shape) * np.float32(0.2)
        else:
            dtype = str(rng.choice(list(KINDS)))
            ends = np.iinfo(dtype)
            zero = int(rng.choice([0, 128])) if dtype == "uint8" else 0
            zero = int(rng.integers(ends.min, ends.max + 1)) if rng.random() < 0.2 else zero
            scale = self.step(4) if rng.random() < 0.5 else self.step()
            integers = rng.integers(ends.min, ends.max + 1, shape)
            weights = self.net.weights(integers, scale, zero, dtype, axis=0)
        bias = [rng.normal(0, 1, 4).astype(np.float32)] if rng.random() < 0.6 else []
        return self.net.op("Conv", x, weights, *bias, pads=[1, 1, 1, 1], group=group)


@pytest.mark.parametrize("first", range(0, SEEDS, 30))
def test_random_graphs(first):
    """Whatever differs is a step that a tie, or a float32 rounding, decides: few elements, or small ones."""
    for seed in range(first, first + 30):
        model = Drawn(seed).model()
        feeds = {"x": np.random.default_rng(seed).normal(0, 1.5, (2, 4, 6, 6)).astype(np.float32)}
        wanted = runtime(model).run(None, feeds)
        for given, expected in zip(octavo.Session(model).run(None, feeds), wanted, strict=True):
            assert (given.dtype, given.shape) == (expected.dtype, expected.shape), seed
            largest = np.abs(expected.astype(np.float64)).max() + 1e-30
            errors = np.abs(given.astype(np.float64) - expected) / largest
            assert np.mean(errors > 1e-4) < 0.05 or errors.max() < 0.02, seed
