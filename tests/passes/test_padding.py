"""Pad goes into what is behind it, where that is exact."""

import math

import numpy as np
from octavo.passes.duplicates import remove_unused
from octavo.passes.padding import fold_padding

F = np.float32
X = "float[N,2,6,6] x"
P = np.array([0, 0, 1, 2, 0, 0, 0, 1], np.int64)


def test_into_conv_and_pools(graphs, rng):
    w = rng.standard_normal((3, 2, 3, 3)).astype(F)
    pool = "<kernel_shape=[3,3], strides=[2,2]>"
    graphs.run(
        [fold_padding, remove_unused],
        [
            ("Conv", X, "a = Pad(x, p) y = Conv<pads=[1,0,0,1]>(a, w)", {"p": P, "w": w}, "Conv"),
            ("Conv, VALID", X, 'a = Pad(x, p) y = Conv<auto_pad="VALID">(a, w)', {"p": P, "w": w}, "Conv"),
            (
                "Conv, axes",
                X,
                "a = Pad(x, p, , i) y = Conv(a, w)",
                {"p": np.array([1, 1], np.int64), "i": np.array([-1], np.int64), "w": w},
                "Conv",
            ),
            ("AveragePool", X, f"a = Pad(x, p) y = AveragePool{pool}(a)", {"p": P}, "AveragePool"),
            (
                "MaxPool, -inf",
                X,
                f"a = Pad(x, p, c) y = MaxPool{pool}(a)",
                {"p": P, "c": F(-math.inf)},
                "MaxPool",
            ),
            (
                "MaxPool after Relu",
                X,
                f"r = Relu(x) a = Pad(r, p) y = MaxPool{pool}(a)",
                {"p": P},
                "Relu MaxPool",
            ),
        ],
    )


def test_left_alone(graphs, rng):
    w = rng.standard_normal((3, 2, 3, 3)).astype(F)
    deep = rng.standard_normal((3, 4, 3, 3)).astype(F)
    pool = "<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>"
    graphs.run(
        [fold_padding, remove_unused],
        [
            (
                "AveragePool whose own padding does not count",
                X,
                "a = Pad(x, p) y = AveragePool<kernel_shape=[3,3], pads=[1,0,0,0]>(a)",
                {"p": P},
                "Pad AveragePool",
            ),
            ("another value", X, "a = Pad(x, p, c) y = Conv(a, w)", {"p": P, "c": F(1), "w": w}, "Pad Conv"),
            ("reflected", X, 'a = Pad<mode="reflect">(x, p) y = Conv(a, w)', {"p": P, "w": w}, "Pad Conv"),
            (
                "channels",
                X,
                "a = Pad(x, p) y = Conv(a, w)",
                {"p": np.array([0, 1, 0, 0, 0, 1, 0, 0], np.int64), "w": deep},
                "Pad Conv",
            ),
            (
                "negative",
                X,
                "a = Pad(x, p) y = Conv(a, w)",
                {"p": np.array([0, 0, -1, 0, 0, 0, 0, 0], np.int64), "w": w},
                "Pad Conv",
            ),
            (
                "MaxPool of any sign",
                X,
                "a = Pad(x, p) y = MaxPool<kernel_shape=[3,3]>(a)",
                {"p": P},
                "Pad MaxPool",
            ),
            (
                "counted otherwise",
                X,
                "a = Pad(x, p) y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(a)",
                {"p": P},
                "Pad AveragePool",
            ),
            ("ceil_mode", X, f"a = Pad(x, p) y = AveragePool{pool}(a)", {"p": P}, "Pad AveragePool"),
            (
                "wider than the window",
                X,
                "r = Relu(x) a = Pad(r, p) y = MaxPool<kernel_shape=[2,2]>(a)",
                {"p": P},
                "Relu Pad MaxPool",
            ),
            ("SAME", X, 'a = Pad(x, p) y = Conv<auto_pad="SAME_UPPER">(a, w)', {"p": P, "w": w}, "Pad Conv"),
            (
                "read twice",
                X,
                "a = Pad(x, p) b = Conv(a, w) c = ReduceMax<keepdims=0>(a) y = Add(b, c)",
                {"p": P, "w": w},
                "Pad Conv ReduceMax Add",
            ),
        ],
    )
