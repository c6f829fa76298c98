"""Errors are one line that can be read, whatever the names from files and callers in them hold."""

import pickle
import zlib
from dataclasses import replace

import numpy as np
import octavo
import onnx
import pytest
from octavo.calibration import Statistics
from octavo.errors import printable
from octavo.program import Node, Program, Value, artifact
from onnx import TensorProto, helper

ERRORS = (octavo.Error, octavo.ModelError, octavo.DataError, octavo.ArtifactError, octavo.RunError)
LONG = "n" * 1_000_000
NAMES = ("long", "strange")
STRANGE = "a\nb\r\x1b[31m\x00\u202e\u2028\udcffc"
SHOWN = r"a\nb\r\x1b[31m\x00\u202e\u2028\udcffc"


@pytest.mark.parametrize(
    "text", ["", "a  b", "the node 'größe': [1, 2]", r"a\n", "w" * 200, "a b " * 500, "日本"]
)
def test_plain_texts_stay_as_they_are(text):
    assert printable(text) == text


@pytest.mark.parametrize("kind", ERRORS)
def test_a_message_is_one_line_of_bounded_length(kind):
    assert str(kind(f"node '{STRANGE}' is wrong: mend it")) == f"node '{SHOWN}' is wrong: mend it"
    message = str(kind(f"input '{LONG}' is missing: feed it"))
    assert message == f"input '{'n' * 99}…{'n' * 98}' is missing: feed it"
    words = str(kind(f"'{'a b ' * 250_000}' is no output"))
    assert len(words) == 2000
    assert words.startswith("'a b a b ")
    assert words.endswith("a b ' is no output")
    error = kind(f"tensor '{LONG}'\n")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(kind()) == ""


def program_of(name, node="node", op="Relu"):
    values = {name: Value(name, "f32", ("N",)), "y": Value("y", "f32", None)}
    return Program([name], ["y"], values, {}, [Node(op, node, (name,), ("y",))])


def readable(raised, *starts):
    """The message: one line that shows the beginning of each name."""
    message = str(raised.value)
    assert message.isprintable()
    assert len(message) <= 2000
    for start in starts:
        assert start in message
    return message


@pytest.mark.parametrize(("name", "start"), [(LONG, "n" * 90), ("a\nb\x1b[31m", "a\\nb\\")], ids=NAMES)
def test_names_in_errors_of_runs(name, start):
    session = octavo.Session(program_of(name), threads=1)
    x, kept = np.zeros(3, np.float32), Statistics([name], ["counts"])
    for feeds in ({}, {name: x[:, None]}, {name: x.astype(np.float64)}, {name: x, name + "2": x}):
        for call in (lambda f: session.run(None, f), session.profile, lambda f: session.observe(f, kept)):
            with pytest.raises(octavo.RunError) as raised:
                call(feeds)
            readable(raised, start)
        with pytest.raises(octavo.RunError) as raised:
            octavo.reference.run(program_of(name), feeds)
        readable(raised)
    with pytest.raises(octavo.RunError) as raised:
        session.observe({name: x}, Statistics([f"{name}2"], ["counts"]))
    assert readable(raised, start).endswith("that could be observed")
    with pytest.raises(octavo.DataError) as raised:
        kept.merge(Statistics([f"{name}2"], ["counts"]))
    readable(raised, start)
    with pytest.raises(octavo.RunError) as raised:
        session.run([name], {name: x})
    assert readable(raised, start).endswith("is no output of the model; its outputs are: y")
    with pytest.raises(octavo.RunError) as raised:
        octavo.Session(program_of("x", name, "GlobalMaxPool"), threads=1).run(None, {"x": x})
    readable(raised, "GlobalMaxPool node", "has no channels")


@pytest.mark.parametrize("name", [LONG, "a\nb\x1b[31m"], ids=NAMES)
def test_names_in_errors_of_artifacts(name):
    program = program_of("x", name)
    unknown = replace(program, nodes=[replace(program.nodes[0], op=name)])
    unmade = replace(program, values=program.values | {name: Value(name, "f32", None)})
    for wrong in (unknown, unmade, replace(program, inputs=[name])):
        with pytest.raises(octavo.ArtifactError) as raised:
            artifact.to_bytes(wrong)
        readable(raised)
    damaged = artifact.to_bytes(program)
    damaged = (
        damaged.replace(b'"Relu', b'"Rely') if b'"Relu' in damaged else damaged.replace(b"Relu", b"Rely")
    )
    for read in (artifact.from_bytes, octavo.Session):
        with pytest.raises(octavo.ArtifactError) as raised:
            read(damaged)
        readable(raised)


def proto_of(name, op="Relu", x="x", width=4):
    nodes = [
        helper.make_node("MatMul", [x, "w"], ["a"], name="first"),
        helper.make_node(op, ["a"], ["y"], name=name),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.eye(width, 4, dtype=np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("name", [LONG, "a\nb\x1b[31m"], ids=NAMES)
def test_names_in_errors_of_models(name):
    for wrong in (proto_of(name, "Nothing"), proto_of("node", name), proto_of("node", x=name, width=5)):
        with pytest.raises(octavo.ModelError) as raised:
            octavo.Session(wrong)
        readable(raised)
    with pytest.raises(octavo.ModelError) as raised:
        octavo.quantize(proto_of("node"), np.ones((2, 4), np.float32), exclude=[name])
    readable(raised)


@pytest.mark.parametrize(("name", "start"), [(LONG, "n" * 90), ("a\nb\x1b[31m", r"a\nb\x1b[31m")], ids=NAMES)
def test_names_in_reports(name, start):
    model = octavo.quantize(proto_of(name, "Sin"), np.random.default_rng(0).random((3, 4), np.float32))
    lines = str(model.report).split("\n")
    assert any(start in line for line in lines)
    assert all(line.isprintable() and len(line) < 500 for line in lines)
    assert [stay.name for stay in model.report.stays if stay.op == "Sin"] == [name]


def reshape(shape):
    """A Program whose Reshape learns its shape from a run."""
    values = {
        "x": Value("x", "f32", ("N", 4)),
        "s": Value("s", "i64", (1,)),
        "y": Value("y", "f32", None),
    }
    node = Node("Reshape", "odd name\n", ("x", "s"), ("y",), {"allowzero": 0})
    constants = {} if shape is None else {"s": np.array(shape, np.int64)}
    inputs = ["x", "s"] if shape is None else ["x"]
    return Program(inputs, ["y"], values, constants, [node])


def test_an_error_of_a_run_has_the_node_and_what_it_was_given():
    x = np.ones((2, 4), np.float32)
    given = (("x", "f32", (2, 4)), ("s", "i64", (1,)))
    for program, feeds in (
        (reshape([3]), {"x": x}),
        (reshape(None), {"x": x, "s": np.array([3], np.int64)}),
    ):
        for run in (
            lambda program=program, feeds=feeds: octavo.Session(program).run(None, feeds),
            lambda program=program, feeds=feeds: octavo.reference.run(program, feeds),
        ):
            with pytest.raises(octavo.RunError) as caught:
                run()
            assert (caught.value.node, caught.value.operands) == ("odd name\n", given)
            again = pickle.loads(pickle.dumps(caught.value))
            assert (again.node, again.operands, str(again)) == ("odd name\n", given, str(caught.value))


def test_what_an_input_left_out_is_given():
    values = {"x": Value("x", "f32", (3,)), "h": Value("h", "f32", (2,)), "y": Value("y", "f32", None)}
    node = Node("Clip", "clip", ("x", "", "h"), ("y",))
    program = Program(["x", "h"], ["y"], values, {}, [node])
    with pytest.raises(octavo.RunError) as caught:
        octavo.Session(program).run(None, {"x": np.ones(3, np.float32), "h": np.ones(2, np.float32)})
    assert caught.value.operands == (("x", "f32", (3,)), ("", "", ()), ("h", "f32", (2,)))


def test_a_fault_that_only_a_run_can_see_has_its_node():
    values = {"x": Value("x", "f32", (3,)), "i": Value("i", "i64", (1,)), "y": Value("y", "f32", None)}
    program = Program(
        ["x", "i"], ["y"], values, {}, [Node("Gather", "pick", ("x", "i"), ("y",), {"axis": 0})]
    )
    with pytest.raises(octavo.RunError) as caught:
        octavo.Session(program).run(None, {"x": np.ones(3, np.float32), "i": np.array([3])})
    assert caught.value.node == "pick"


def test_what_is_wrong_with_a_program_has_its_node():
    program = reshape([4])
    program.nodes[0].attributes["allowzero"] = 2
    with pytest.raises(octavo.ArtifactError) as caught:
        artifact.to_bytes(program)
    assert caught.value.node == "odd name\n"
    good = artifact.to_bytes(reshape([4]))
    old = rb"allowzero\":0"
    assert good.count(old) == 1
    with pytest.raises(octavo.ArtifactError) as caught:
        octavo.Session(resealed(good, old, old[:-1] + b"2"))
    assert (caught.value.node, caught.value.operands) == ("odd name\n", ())


def test_other_errors_have_no_node():
    for kind in ERRORS:
        assert (kind("what").node, kind("what").operands) == (None, ())
    with pytest.raises(octavo.RunError) as caught:
        octavo.Session(reshape([4]), threads=0)
    assert caught.value.node is None


def resealed(data, old, new):
    """An artifact with another text, and the checksum that it then gives."""
    data = data.replace(old, new)
    at = data.index(rb"crc32\":\"") + 10
    data = data[:at] + b"00000000" + data[at + 8 :]
    return data[:at] + f"{zlib.crc32(data):08x}".encode() + data[at + 8 :]
