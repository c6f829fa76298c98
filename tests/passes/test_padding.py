"""Pad goes into what is behind it, where that is exact."""

import math

import numpy as np
import pytest
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


@pytest.mark.parametrize(
    ("before", "constants", "folds"),
    [
        ("r = Relu(x)", {}, True),
        ("r = Sigmoid(x)", {}, True),
        ("r = Tanh(x)", {}, False),
        ("r = Neg(x)", {}, False),
        ("r = Clip(x, low)", {"low": F(0)}, True),
        ("r = Clip(x, low)", {"low": F(0.5)}, True),
        ("r = Clip(x, low)", {"low": F(-0.5)}, False),
        ("r = Clip(x, , high)", {"high": F(6)}, False),
        ("r = Clip(x, low, high)", {"low": F(0), "high": F(6)}, True),
        ("r = Clip(x, low, high)", {"low": F(-6), "high": F(-1)}, False),
    ],
)
@pytest.mark.parametrize("value", [None, 0.0, -math.inf, -1.0, 2.0])
def test_the_largest_of_a_padded_window(graphs, before, constants, folds, value):
    """A padding of 0 is none where nothing is below 0, one of -inf never is another."""
    given = {} if value is None else {"c": F(value)}
    body = f"{before} a = Pad(r, p{', c' if given else ''}) y = MaxPool<kernel_shape=[3,3]>(a)"
    model = graphs.build(X, body, p=P, **given, **constants)
    after = model.clone()
    fold_padding(after)
    remove_unused(after)
    assert ("Pad" not in graphs.ops(after)) == ((folds and not value) or value == -math.inf)
    feeds = {"x": -np.abs(graphs.feeds_of(model)["x"])}
    (want,), (got,) = graphs.answers(model, feeds), graphs.answers(after, feeds)
    assert np.array_equal(want, got)


@pytest.mark.parametrize("axes", [None, [0, 1, 2, 3], [2, 3], [3, 2], [-1, -2], [3], [-2]])
@pytest.mark.parametrize("own", ["", "pads=[2,0,1,1]", "strides=[2,1], dilations=[1,2], pads=[0,1,2,0]"])
def test_pads_of_any_axes_in_any_order(graphs, rng, axes, own):
    spatial = {2: (1, 3), 3: (2, 0)}
    amounts = [spatial.get(axis % 4, (0, 0)) for axis in axes or range(4)]
    pads = np.array([begin for begin, _ in amounts] + [end for _, end in amounts], np.int64)
    constants = {"p": pads, "w": rng.standard_normal((3, 2, 2, 3)).astype(F)}
    if axes is not None:
        constants["i"] = np.array(axes, np.int64)
    body = f"a = Pad(x, p{'' if axes is None else ', , i'}) y = Conv<{own}>(a, w)".replace("<>", "")
    graphs.run([fold_padding, remove_unused], [("", X, body, constants, "Conv")])
