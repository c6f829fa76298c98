"""Programs run piece by piece: the values of a whole run, with what was changed on the way."""

import numpy as np
import octavo
import pytest
from octavo.program import Node, Program, Value
from octavo.quantization import walk as room
from octavo.quantization.walk import Walk, affordable, part

F = np.float32
RESIZE = {
    "coordinate_transformation_mode": "asymmetric",
    "keep_aspect_ratio_policy": "stretch",
    "mode": "nearest",
    "nearest_mode": "floor",
    "extrapolation_value": np.float32(0),
}


@pytest.fixture
def program():
    """x -> a = x * m -> b = a + x -> c = a * b -> y = c + m, and d, which nothing needs."""
    names = ("x", "m", "a", "b", "c", "d", "y")
    nodes = [
        Node("Mul", "a", ("x", "m"), ("a",)),
        Node("Add", "b", ("a", "x"), ("b",)),
        Node("Neg", "d", ("a",), ("d",)),
        Node("Mul", "c", ("a", "b"), ("c",)),
        Node("Add", "y", ("c", "m"), ("y",)),
    ]
    values = {name: Value(name, "f32", ("N", 3)) for name in names} | {"m": Value("m", "f32", (3,))}
    return Program(["x"], ["y"], values, {"m": np.array([1, -2, 3], F)}, nodes)


@pytest.fixture
def feeds():
    return [{"x": np.arange(3 * n, dtype=F).reshape(n, 3) - n} for n in (1, 2, 4)]


@pytest.mark.parametrize(("held", "again"), [(1 << 24, 8), (0, 8), (0, 2), (36, 8)])
def test_values_are_those_of_a_whole_run(program, feeds, monkeypatch, held, again):
    """Held, made again from the inputs, or one and the other: a value of the first sample has 12 bytes."""
    monkeypatch.setattr(room, "_HELD", held)
    monkeypatch.setattr(room, "_AGAIN", again)
    for stops in ([3, 4], [1, 2, 3, 4], [4], [0, 3]):
        walk = Walk(program, feeds, 1)
        for place in stops:
            walk.run_before(place)
            for name in program.nodes[place].inputs:
                if name == "m":
                    continue
                expected = octavo.Session(part(program, program.nodes, [name]), 1)
                for value, sample in zip(walk.values(name), feeds, strict=True):
                    assert value.tobytes() == expected.run(None, sample)[0].tobytes()


def test_what_no_later_node_reads_is_let_go(program, feeds):
    walk = Walk(program, feeds, 1)
    walk.run_before(3)
    assert all(set(held) == {"a", "b"} for held in walk.held)
    walk.run_before(4)
    assert all(set(held) == {"c"} for held in walk.held)


def test_large_values_are_made_again_until_there_are_many_nodes(program, feeds, monkeypatch):
    monkeypatch.setattr(room, "_HELD", 71)  # a value of three samples has 72 bytes
    walk = Walk(program, [feeds[1]] * 3, 1)
    walk.run_before(1)
    assert (walk.place, set(walk.held[0])) == (0, {"x"})
    walk.change({"m": np.zeros(3, F)})
    assert all(value.any() for value in walk.values("a")), "as it was when the walk came there"
    walk.run_before(4)
    assert not any(value.any() for value in walk.values("c"))
    monkeypatch.setattr(room, "_AGAIN", 4)
    walk.run_before(4)
    assert (walk.place, set(walk.held[0])) == (4, {"c"})
    monkeypatch.setattr(room, "_HELD", 72)
    walk = Walk(program, [feeds[1]] * 3, 1)
    walk.run_before(4)
    assert walk.place == 4


def test_values_of_one_shape_lie_in_one_array(program, feeds):
    same, other = feeds[1], feeds[2]
    walk = Walk(program, [same, other, same, same], 1)
    walk.run_before(4)
    first, apart, *rest = walk.values("c")
    assert all(value.base is first.base for value in rest)
    assert first.base.shape == (4, 2, 3)
    assert apart.base is not first.base
    expected = octavo.Session(part(program, program.nodes, ["c"]), 1)
    for value, sample in zip(walk.values("c"), [same, other, same, same], strict=True):
        assert value.tobytes() == expected.run(None, sample)[0].tobytes()


def test_changed_constants_count_from_the_next_piece_on(program, feeds):
    walk = Walk(program, feeds, 1)
    walk.run_before(4)
    before = [value.copy() for value in walk.values("c")]
    walk.change({"m": np.zeros(3, F)})
    assert program.constants["m"].tolist() == [1, -2, 3]
    assert walk.program.constants["m"].tolist() == [0, 0, 0]
    walk.run_before(5)
    session = octavo.Session(walk.program, 1)
    for c, sample in zip(before, feeds, strict=True):
        assert (session.run(None, sample)[0] != c + program.constants["m"]).any()


def test_parts_hold_what_their_outputs_need(program):
    piece = part(program, program.nodes, ["b"])
    assert [node.name for node in piece.nodes] == ["a", "b"]
    assert (piece.inputs, piece.outputs, list(piece.constants)) == (["x"], ["b"], ["m"])
    assert set(piece.values) == {"x", "m", "a", "b"}
    later = part(program, program.nodes[3:], ["c", "y"])
    assert (later.inputs, [node.name for node in later.nodes]) == (["a", "b"], ["c", "y"])


def test_inputs_that_are_left_out_are_no_values():
    nodes = [
        Node("Clip", "low", ("x", "", "m"), ("a",)),
        Node("Resize", "wide", ("a", "", "twice"), ("b",), RESIZE),
        Node("Clip", "high", ("b", "m"), ("y",)),
    ]
    shapes = {"x": ("N", 2), "a": ("N", 2), "b": ("N", 4), "y": ("N", 4), "m": (), "twice": (2,)}
    values = {name: Value(name, "f32", shape) for name, shape in shapes.items()}
    constants = {"m": np.array(1, F), "twice": np.array([1, 2], F)}
    program = Program(["x"], ["y"], values, constants, nodes)
    piece = part(program, nodes, ["b"])
    assert set(piece.values) == {"x", "m", "a", "twice", "b"}
    assert (piece.inputs, [node.name for node in piece.nodes]) == (["x"], ["low", "wide"])
    walk = Walk(program, [{"x": np.array([[-2, 3]], F)}], 1)
    walk.run_before(1)
    walk.run_before(2)
    assert [value.tolist() for value in walk.values("b")] == [[[-2, -2, 1, 1]]]


def test_as_many_samples_as_there_is_memory_for(program, feeds, monkeypatch):
    # At most x, a, b and d are held at once: 4 times 12 bytes of a sample of one row.
    for memory, count in ((48 * 3, 3), (48 * 3 - 1, 2), (48 * 9, 9), (1, 2)):
        monkeypatch.setattr(room, "_MEMORY", memory)
        assert len(affordable(program, [feeds[0]] * 20, 1)) == count
    monkeypatch.setattr(room, "_MEMORY", 1 << 30)
    assert len(affordable(program, [feeds[0]] * 200, 1)) == room.MOST
    assert affordable(program, [], 1) == []
