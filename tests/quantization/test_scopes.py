"""Which nodes a name or a pattern excludes: those, whole names, and no others."""

from collections import Counter

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.errors import ModelError
from octavo.lowering import EXCLUDED
from octavo.program import Node, Program
from octavo.quantization.scopes import excluded_nodes

NAMES = ["fc1", "fc10", "my_fc1", "fc1/relu", "FC1", "block.0/conv", "block.1/conv", "odd[1]", "odd1"]


@pytest.fixture
def program():
    return Program([], [], {}, {}, [Node("Relu", name, (), ()) for name in NAMES])


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ([], []),
        (["fc1"], ["fc1"]),
        ("fc1", ["fc1"]),
        (["fc10"], ["fc10"]),
        (["FC1"], ["FC1"]),
        (["fc1*"], ["fc1", "fc10", "fc1/relu"]),
        (["*fc1"], ["fc1", "my_fc1"]),
        (["fc1?"], ["fc10"]),
        (["block.[1]/*"], ["block.1/conv"]),
        (["odd[1]"], ["odd[1]", "odd1"]),
        (["block.*", "fc10"], ["block.0/conv", "block.1/conv", "fc10"]),
        ((name for name in ("fc1", "FC1")), ["fc1", "FC1"]),
        (["*"], NAMES),
    ],
)
def test_what_a_name_or_pattern_excludes(program, patterns, found):
    assert excluded_nodes(program, patterns, {}) == frozenset(found)


@pytest.mark.parametrize("pattern", ["fc", "c1", "fc2", "Fc1", "fc1 ", "", "fc1.", "block", "conv"])
def test_what_matches_nothing_is_an_error(program, pattern):
    with pytest.raises(ModelError, match="exclude: no node of the model is called") as raised:
        excluded_nodes(program, ["fc1", pattern], {})
    assert repr(pattern) in str(raised.value)


def test_a_misspelt_name_is_told_what_is_near(program):
    with pytest.raises(
        ModelError, match=r"'block\.2/conv'; close to it are 'block\.1/conv', 'block\.0/conv'"
    ):
        excluded_nodes(program, ["block.2/conv"], {})
    with pytest.raises(ModelError, match=r"called 'zzzzzzzzzzzz'$"):
        excluded_nodes(program, ["zzzzzzzzzzzz"], {})


def test_three_at_most_are_near():
    many = Program([], [], {}, {}, [Node("Relu", f"conv{index}", (), ()) for index in range(9)])
    with pytest.raises(ModelError) as raised:
        excluded_nodes(many, ["conv"], {})
    assert str(raised.value).count("'conv") == 1 + 3


def test_names_of_the_file_mean_what_they_became_part_of(program):
    names = {"bn": ("block.0/conv",), "mul": ("block.0/conv", "fc1"), "fc10": ("fc1",)}
    assert excluded_nodes(program, ["bn"], names) == {"block.0/conv"}
    assert excluded_nodes(program, ["mul"], names) == {"block.0/conv", "fc1"}
    assert excluded_nodes(program, ["[bm]*"], names) == {"block.0/conv", "block.1/conv", "my_fc1", "fc1"}
    # A node's own name comes first.
    assert excluded_nodes(program, ["fc10"], names) == {"fc10"}
    with pytest.raises(ModelError, match="close to it are 'mul'"):
        excluded_nodes(program, ["mull"], names)


TEXT = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,3,8,8] x) => (float[N,2,4,4] y) {
    [conv] t = Conv(x, w) [bn] u = BatchNormalization(t, one, two, one, two)
    [sigmoid] s = Sigmoid(u) [swish] z = Mul(u, s) [drop] d = Dropout(z)
    [half] h = Mul(v, half) [last] y = Conv(d, h) }"""


@pytest.mark.parametrize(
    ("name", "floats"),
    [
        ("conv", {"Conv": 1}),
        ("bn", {"Conv": 1}),
        ("u", {"Conv": 1}),
        ("sigmoid", {"Swish": 1}),
        ("s", {"Swish": 1}),
        ("drop", {"Swish": 1}),
        ("h*", {"Conv": 1}),
        ("y", {"Conv": 1}),
        ("*", {"Conv": 2, "Swish": 1}),
    ],
)
def test_any_name_of_the_file_can_be_excluded(name, floats, tmp_path):
    rng = np.random.default_rng(4)
    proto = onnx.parser.parse_model(TEXT)
    arrays = {"w": (4, 3, 3, 3), "v": (2, 4, 3, 3), "one": (4,), "two": (4,), "half": ()}
    for constant, shape in arrays.items():
        array = rng.uniform(0.5, 1.0, shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, constant))
    data = rng.normal(size=(40, 3, 8, 8)).astype(np.float32)
    report = octavo.quantize(proto, data, exclude=[name], effort="fast").report
    asked = Counter(stay.op for stay in report.stays if stay.reason == EXCLUDED)
    assert asked == floats
    octavo.prepare(proto).observe(data).save(tmp_path / "c")
    again = octavo.convert(octavo.Calibrator.load(tmp_path / "c"), exclude=[name], effort="fast").report
    assert again.stays == report.stays


def test_nodes_that_compute_the_same_are_one():
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[N,4] x) => (float[N,4] y) {
        [a] p = Gelu(x) [b] q = Gelu(x) [c] r = Exp(p) [d] s = Exp(q) [e] y = Add(r, s) }"""
    )
    data = np.random.default_rng(4).normal(size=(40, 4)).astype(np.float32)
    for name, ops in (("a", {"Gelu"}), ("b", {"Gelu"}), ("c", {"Exp"}), ("d", {"Exp"})):
        report = octavo.quantize(proto, data, exclude=[name], effort="fast").report
        assert {stay.op for stay in report.stays if stay.reason == EXCLUDED} == ops, name
