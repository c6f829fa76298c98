"""Whether the first axis is of samples: by trial, in models of which it is and of which it is not."""

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.calibration import samples
from octavo.calibration.batches import Batches
from octavo.errors import RunError

F = np.float32


def sizes(text, items, **constants):
    """The lengths of the first axes of the samples that these items become."""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    session = octavo.Session(proto, threads=1)
    found = samples(items, session.get_inputs(), lambda feeds: session.run(None, feeds))
    return [len(next(iter(feeds.values()))) for feeds in found]


RNG = np.random.default_rng(1)
FRAMES = RNG.normal(size=(7, 4)).astype(F)
WEIGHT = RNG.normal(size=(4, 3)).astype(F)


@pytest.mark.parametrize(
    "text",
    [
        "g (float[N,4] x) => (float[N,3] y) { y = MatMul(x, w) }",
        "g (float[N,4] x) => (float[N,3] y, float[N] z) { y = MatMul(x, w) z = ReduceSum<keepdims=0>(x, k) }",
    ],
)
def test_samples_are_cut(text):
    constants = {"w": WEIGHT} | ({"k": np.array([1])} if "k)" in text else {})
    assert sizes(text, [FRAMES, FRAMES[:2], FRAMES[:1]], **constants) == [1] * 10
    assert sizes(text, FRAMES, **constants) == [1] * 7


@pytest.mark.parametrize(
    "text",
    [
        "g (float[T,4] x) => (float[T,4] y) { y = CumSum(x, zero) }",
        "g (float[T,4] x) => (float[T,4] y) { y = Softmax<axis=0>(x) }",
        "g (float[T,4] x) => (float[4,T] y) { y = Transpose<perm=[1,0]>(x) }",
        "g (float[T,4] x) => (float[T,4] y, float z) { y = Relu(x) z = ReduceMax<keepdims=0>(x) }",
        "g (float[T,4] x) => (float[T,4] y, float[4] z) { y = Relu(x) z = ReduceSum<keepdims=0>(x, axis) }",
        # Six numbers at least.
        "g (float[T,4] x) => (float y) { u = Unsqueeze(x, axis) y = AveragePool<kernel_shape=[6]>(u) }",
    ],
)
def test_what_a_model_looks_over_stays_whole(text):
    constants = {"zero": np.array(0), "axis": np.array([0])}
    constants = {name: array for name, array in constants.items() if name in text}
    if "AveragePool" in text:
        text = text.replace("T,4", "T,9")
        items = [RNG.normal(size=(length, 9)).astype(F) for length in (7, 5)]
    else:
        items = [FRAMES, FRAMES[:5]]
    assert sizes(text, items, **constants) == [7, 5]


def test_a_model_that_takes_one_at_a_time_gets_one_at_a_time():
    """Whatever its shapes say: an export that fixed a size inside."""
    text = "g (float[N,4] x) => (float[1,4] y) { y = Reshape(x, shape) }"
    assert sizes(text, [FRAMES], shape=np.array([1, 4])) == [1] * 7


def test_answers_that_are_not_numbers_are_the_same_if_both_are_none():
    text = "g (float[N,4] x) => (float[N,4] y) { y = Log(x) }"
    assert (FRAMES[[0, -1]] < 0).any()
    assert sizes(text, [FRAMES]) == [1] * 7


def test_it_is_tried_once():
    tried = []

    def run(feeds):
        tried.append(len(feeds["x"]))
        return [feeds["x"]]

    batches = Batches(run)
    assert batches.are_cut({"x": FRAMES})
    assert batches.are_cut({"x": FRAMES[:3]})
    assert tried == [2, 1, 1]


def test_where_nothing_runs_nothing_is_cut():
    def run(feeds):
        raise RunError("no")

    assert not Batches(run).are_cut({"x": FRAMES})
