"""Which nodes a name or a pattern excludes: those, whole names, and no others."""

import pytest
from octavo.errors import ModelError
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
    assert excluded_nodes(program, patterns) == frozenset(found)


@pytest.mark.parametrize("pattern", ["fc", "c1", "fc2", "Fc1", "fc1 ", "", "fc1.", "block", "conv"])
def test_what_matches_nothing_is_an_error(program, pattern):
    with pytest.raises(ModelError, match="exclude: no node of the model is called") as raised:
        excluded_nodes(program, ["fc1", pattern])
    assert repr(pattern) in str(raised.value)


def test_a_misspelt_name_is_told_what_is_near(program):
    with pytest.raises(
        ModelError, match=r"'block\.2/conv'; close to it are 'block\.1/conv', 'block\.0/conv'"
    ):
        excluded_nodes(program, ["block.2/conv"])
    with pytest.raises(ModelError, match=r"called 'zzzzzzzzzzzz'$"):
        excluded_nodes(program, ["zzzzzzzzzzzz"])


def test_three_at_most_are_near():
    many = Program([], [], {}, {}, [Node("Relu", f"conv{index}", (), ()) for index in range(9)])
    with pytest.raises(ModelError) as raised:
        excluded_nodes(many, ["conv"])
    assert str(raised.value).count("'conv") == 1 + 3
