"""What each op asks of its attributes and constants is asked, and errors name the node.

The nodes are data that the runtime's tests read too: one list, both sides of every bound.
"""

import json
import struct
from pathlib import Path

import numpy as np
import octavo
import pytest
from octavo.program import DTYPES, PACKED, artifact
from octavo.program.checks import _CHECKS
from octavo.program.integers import pack
from octavo.program.ops import signatures
from octavo.program.validate import validate

NODES = json.loads(
    (Path(__file__).resolve().parents[2] / "rust/runtime/tests/data/nodes.json").read_text(encoding="utf-8")
)
"""By name: a valid node, as `op`, `inputs`, `outputs` and `attributes`, and changes of it.

Of bodies, by their names, it is said what they take, dtypes of values that are called after the body and a
number, and the names of what they give; they have no nodes.

An input is a dtype where it is fed, null where it is left out, or a constant:
`{dtype: shape, "fill": element}`, with other elements in the places of `at`. Floats are hexadecimal, as in an
artifact. A change gives attributes by name (null: left out), inputs and outputs as `in0`, `out0` or whole.
With `invalid` comes what the error says.
"""


def number(json_value, dtype):
    if isinstance(json_value, str):
        return np.frombuffer(bytes.fromhex(json_value), ">f4")[0]
    return DTYPES[dtype].type(json_value)


def slot(json_value):
    """What `one_node` takes."""
    if not isinstance(json_value, dict):
        return json_value
    dtype, shape = next(iter(json_value.items()))
    if dtype in PACKED:
        array = np.full(shape, json_value["fill"], np.int64)
        for place, element in json_value.get("at", {}).items():
            array.reshape(-1)[int(place)] = element
        return dtype, tuple(shape), pack(array, dtype)
    array = np.full(shape, number(json_value["fill"], dtype), DTYPES[dtype])
    for place, element in json_value.get("at", {}).items():
        array.reshape(-1)[int(place)] = number(element, dtype)
    return array


def attribute(json_value):
    match json_value:
        case {"f32": str(digits)}:
            return np.float32(struct.unpack(">f", bytes.fromhex(digits))[0])
        case {"f32": list(items)}:
            return [attribute({"f32": item}) for item in items]
        case {"f64": digits}:
            return np.float64(struct.unpack(">d", bytes.fromhex(digits))[0])
    return json_value


def node(name, change):
    """The arguments of `one_node` for the node of that name, changed."""
    case = NODES[name]
    inputs, outputs = list(change.get("inputs", case["inputs"])), list(change.get("outputs", case["outputs"]))
    attributes = dict(case["attributes"])
    for key, json_value in change.items():
        if key[:-1] in ("in", "out"):
            (inputs if key[:-1] == "in" else outputs)[int(key[-1])] = json_value
        elif key not in ("inputs", "outputs", "bodies"):
            attributes[key] = json_value
    attributes = {key: attribute(value) for key, value in attributes.items() if value is not None}
    bodies = change.get("bodies", case.get("bodies", {}))
    return case["op"], [slot(item) for item in inputs], [slot(item) for item in outputs], attributes, bodies


VALID = {
    f"{name}, {json.dumps(change)}": (name, change)
    for name, case in NODES.items()
    for change in case["valid"]
}
INVALID = {
    f"{name}, {json.dumps(change)}": (name, change, says)
    for name, case in NODES.items()
    for change, says in case["invalid"]
}


def test_every_op_that_is_checked_is_among_the_nodes():
    by_table = {
        op
        for op, forms in signatures().items()
        for form in forms
        if any(slot.choices or slot.limits for slot in form.attributes.values())
    }
    assert _CHECKS.keys() | by_table <= {case["op"] for case in NODES.values()} <= signatures().keys()


@pytest.mark.parametrize("case", VALID)
def test_valid(one_node, case):
    data = artifact.to_bytes(one_node(*node(*VALID[case])))
    assert artifact.to_bytes(artifact.from_bytes(data)) == data


@pytest.mark.parametrize("case", INVALID)
def test_invalid_is_an_error_that_names_it(one_node, case):
    name, change, says = INVALID[case]
    program = one_node(*node(name, change))
    with pytest.raises(octavo.ArtifactError) as caught:
        validate(program)
    found = str(caught.value)
    assert says in found
    assert f"{NODES[name]['op']} node 'node'" in found
    with pytest.raises(octavo.ArtifactError):
        artifact.to_bytes(program)


@pytest.mark.parametrize("name", NODES)
def test_the_runtime_reads_what_is_valid(one_node, name):
    for change in NODES[name]["valid"]:
        program = one_node(*node(name, change))
        session = octavo.Session(artifact.to_bytes(program), threads=1)
        assert [value.name for value in session.get_inputs()] == program.inputs
