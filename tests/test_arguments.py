"""Any argument to a public function: an answer, an error of ours, or a TypeError that says what is wanted."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import octavo
import octavo.reference
import pytest
from octavo.calibration import Statistics
from octavo.program import Node, Program, Quant, Value, artifact
from onnx import TensorProto, helper, numpy_helper

PROGRAM = Program(
    ["x"], ["y"], {"x": Value("x", "f32", ("N", 2)), "y": Value("y", "f32", None)}, {},
    [Node("Relu", "node", ("x",), ("y",))],
)  # fmt: skip
X = np.ones((3, 2), np.float32)
MODEL = helper.make_model(
    helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")],
    ),
    opset_imports=[helper.make_opsetid("", 25)],
    ir_version=11,
)
QUANTIZED = octavo.quantize(MODEL, recipe="weight-only")
ANYTHING = [
    None, True, 0, -1, 10**30, 1.5, "", "text", "a\0b", "\udcff", "line\nbreak", b"", b"bytes",
    bytearray(b"b"), [], {}, (), [1], [None], {"x": 1}, {1: 2}, {"x": None}, {"\udcff": X},
    {"x": X.astype(object)}, [[X], [X]],
    {"x": [[1.0, "a"]]}, {"x": [[1], [1, 2]]}, X, X[0], X[:0], X * np.nan, np.array(["a"]), np.array(3),
    object(), object, int, lambda x: x, iter([]), range(3), io.BytesIO(b"data"), np, 3j, ...,
    Path("/"), np.ma.masked_array(X), np.zeros(2, [("a", "f4")]),
]  # fmt: skip


def holds(call, *given):
    """Whether the call ended in an answer or an error as it should be; the file system may object as well."""
    text = "an answer"
    try:
        call(*given)
    except (octavo.Error, TypeError, OSError) as error:
        text = str(error)
    assert text
    assert "internal" not in text
    assert "\n" not in text


@pytest.mark.parametrize("given", ANYTHING, ids=range(len(ANYTHING)))
def test_any_argument(given):
    session, kept = octavo.Session(PROGRAM, threads=1), Statistics(["x"], ["counts"])
    holds(octavo.Session, given)
    holds(lambda: session.run(given, {"x": X}))
    holds(lambda: session.run(None, given))
    holds(lambda: session.run(None, {"x": given}))
    holds(lambda: session.profile(given))
    holds(lambda: session.observe({"x": X}, given))
    holds(lambda: session.observe(given, kept))
    holds(Statistics, given, [])
    holds(Statistics, ["x"], given)
    holds(Statistics.from_bytes, given)
    holds(kept.merge, given)
    holds(kept.read, given, "counts")
    holds(kept.read, "x", given)
    holds(octavo.reference.run, given, {"x": X})
    holds(octavo.reference.run, PROGRAM, given)
    holds(octavo.reference.run, PROGRAM, {"x": given})
    holds(octavo.reference.run, PROGRAM, {"x": X}, given)
    holds(artifact.from_bytes, given)
    holds(artifact.load, given)
    assert np.array_equal(session.run(None, {"x": X})[0], X)


@pytest.mark.parametrize("given", ANYTHING, ids=range(len(ANYTHING)))
def test_any_part_of_a_program(given):
    value, node = PROGRAM.values["x"], PROGRAM.nodes[0]
    for part in ("inputs", "outputs", "values", "constants", "nodes", "opset", "producer"):
        holds(artifact.to_bytes, replace(PROGRAM, **{part: given}))
        holds(octavo.Session, replace(PROGRAM, **{part: given}))
    for part in ("op", "name", "inputs", "outputs", "attributes"):
        holds(artifact.to_bytes, replace(PROGRAM, nodes=[replace(node, **{part: given})]))
    for part in ("name", "dtype", "shape", "quant"):
        holds(
            artifact.to_bytes,
            replace(PROGRAM, values=PROGRAM.values | {"x": replace(value, **{part: given})}),
        )
    for part in ("scale", "zero_point", "axis", "block"):
        quant = Quant(np.ones(1, np.float32), np.zeros(1, np.int64))
        wrong = Value("x", "u8", (2,), replace(quant, **{part: given}))
        holds(artifact.to_bytes, replace(PROGRAM, values=PROGRAM.values | {"x": wrong}))
    holds(artifact.to_bytes, replace(PROGRAM, nodes=[replace(node, attributes={"alpha": given})]))
    holds(artifact.to_bytes, replace(PROGRAM, nodes=[given]))


@pytest.mark.parametrize("given", ANYTHING, ids=range(len(ANYTHING)))
def test_any_argument_of_quantize(given):
    model, data = MODEL, X
    holds(octavo.quantize, given, data)
    holds(octavo.quantize, model, given)
    holds(octavo.quantize, model, [given])
    holds(octavo.quantize, model, data, given)
    for option in ("exclude", "range_rule", "per_channel", "strict", "progress", "threads"):
        holds(lambda: octavo.quantize(model, data, **{option: given}))  # noqa: B023


@pytest.mark.parametrize("given", ANYTHING, ids=range(len(ANYTHING)))
def test_any_argument_of_compare(given):
    holds(octavo.compare, given, PROGRAM, X)
    holds(octavo.compare, PROGRAM, given, X)
    holds(octavo.compare, PROGRAM, PROGRAM, given)
    holds(octavo.compare, PROGRAM, PROGRAM, X, given)
    for option in ("progress", "threads"):
        holds(lambda: octavo.compare(PROGRAM, PROGRAM, X, **{option: given}))  # noqa: B023
    holds(QUANTIZED.tensor, given)


@pytest.mark.parametrize(
    ("option", "wrong", "says"),
    [
        ("strict", X, "strict is of type ndarray: it must be True or False"),
        ("per_channel", 1, "per_channel is of type int: it must be True or False"),
        ("progress", 1, "progress is of type int: give a function"),
        ("exclude", 3, "exclude is of type int: give a list of names or patterns"),
        ("exclude", [b"conv"], "exclude holds an object of type bytes: give names or patterns"),
        ("range_rule", [], "no range rule is called []; there are minmax, twice, mean"),
        ("recipe", {}, "no recipe is called {}; there are int8"),
        ("threads", "2", "threads is '2' (str): it must be a number from 1 to 1024"),
    ],
)
def test_what_an_error_says(option, wrong, says):
    with pytest.raises((octavo.Error, TypeError), match=f"^{re.escape(says)}"):
        octavo.quantize(MODEL, X, **{option: wrong})
