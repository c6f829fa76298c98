"""What is slower in integers stays in float, where that was asked for."""

import numpy as np
import octavo
import onnx.parser
import pytest
from octavo.quantization import latency

NETWORK = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,4] x) => (float[N,6] y) {
    [one] a = MatMul(x, w) [act] b = Tanh(a) [two] c = MatMul(b, w) [three] y = MatMul(c, w) }"""


@pytest.fixture
def network():
    model = onnx.parser.parse_model(NETWORK.replace("[N,4]", "[N,6]"))
    array = np.random.default_rng(3).normal(size=(6, 6)).astype("f4")
    model.graph.initializer.append(onnx.numpy_helper.from_array(array, "w"))
    return model


@pytest.fixture
def data():
    return np.random.default_rng(4).normal(size=(40, 6)).astype("f4")


@pytest.fixture
def timed(monkeypatch):
    """Steps take what their op and name say, and nothing else."""

    def set_times(seconds):
        class Times:
            def __init__(self, program, feeds, threads):
                self.steps = {node.name: seconds(node) for node in program.nodes}
                self.whole = sum(self.steps.values())

        monkeypatch.setattr(latency, "_Times", Times)

    return set_times


def left(model):
    return {stay.name for stay in model.report.stays if stay.reason.startswith("slower in integers")}


def test_a_slow_op_is_left_where_its_conversions_do_not_cost_more(network, data, timed):
    for cost, expected in ((0.5, {"two"}), (3.0, set())):
        slow = {"QGemm": 1.0, "MatMul": 2.0, "Quantize": cost, "Dequantize": cost}
        timed(
            lambda node, slow=slow: (
                5.0 if node.name == "two" and node.op == "QGemm" else slow.get(node.op, 0.1)
            )
        )
        model = octavo.quantize(network, data, optimize_for="latency")
        assert left(model) == expected
        assert octavo.quantize(network, data).report.float_ops == {}


def test_all_in_float_where_integers_are_slower_throughout(network, data, timed):
    timed(lambda node: 3.0 if node.op.startswith("Q") else 1.0)
    model = octavo.quantize(network, data, optimize_for="latency")
    assert model.report.integer_ops == {}
    timed(lambda node: 1.0 if node.op.startswith(("Q", "Lookup")) else 3.0)
    assert left(octavo.quantize(network, data, optimize_for="latency")) == set()


def test_real_times_make_nothing_slower(network, data):
    """A run of it: the network that comes out is one of those that were measured."""
    plain = octavo.quantize(network, data)
    fast = octavo.quantize(network, data, optimize_for="latency")
    assert left(fast) <= {"one", "act", "two", "three"}
    assert plain.report.samples == fast.report.samples
    x = {"x": data[:3]}
    near = octavo.Session(fast).run(None, x)[0] - octavo.Session(network).run(None, x)[0]
    assert np.abs(near).max() < 1


def test_what_is_not_there(network, data):
    with pytest.raises(octavo.ModelError, match="optimize_for is 'size'; there is 'latency', and None"):
        octavo.quantize(network, data, optimize_for="size")
    with pytest.raises(octavo.ModelError, match="recipe 'float16' cannot; int8, int16x8 can"):
        octavo.quantize(network, recipe="float16", optimize_for="latency")
