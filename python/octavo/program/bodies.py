"""Sub-programs: which nodes have some, what these are given and give, and each as a Program of its own."""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from typing import NoReturn

from octavo.errors import ArtifactError
from octavo.program import PACKED, Body, Node, Program, all_nodes

BODIES = {"If": ("else_branch", "then_branch"), "Loop": ("body",)}
"""The sub-programs of the operators that have some, by ONNX's names for them, in their order."""

MAX_DEPTH = 16
"""How deep sub-programs can lie within one another."""

MAX_TRIPS = 1 << 26
"""Trips that the Loops of one run can make together: a condition may never come to an end."""

COUNTED = 2
"""What a Loop and its body have before the state that is carried: the trips, and the condition."""


def own_inputs(node: Node) -> int:
    """How many inputs of a node are its operator's own; what its bodies read from outside comes behind them.

    The node's bodies are those of its operator.
    """
    if node.op == "If":
        return 1
    if node.op == "Loop":
        return len(node.bodies["body"].inputs)
    return len(node.inputs)


def given_by(op: str, bodies: dict[str, Body]) -> int:
    """How many outputs a node of these bodies has."""
    (first, *_) = bodies.values()
    return len(first.outputs) - (op == "Loop")  # whose condition is its own


def captured(node: Node) -> tuple[str, ...]:
    """What the bodies of a node read from outside, constants apart."""
    return node.inputs[own_inputs(node) :]


def with_bodies(node: Node, bodies: dict[str, Body], constants: Container[str]) -> Node:
    """The node with these bodies, which reads all that they read from outside.

    node: its inputs are its operator's own, and what bodies that it had before read. constants: the names of
    the Program's.
    """
    outer = dict.fromkeys(name for body in bodies.values() for name in _read_outside(body))
    read = tuple(name for name in outer if name not in constants)
    own = own_inputs(replace(node, bodies=bodies))
    return replace(node, inputs=(*node.inputs[:own], *read), bodies=bodies)


def _read_outside(body: Body) -> Iterator[str]:
    """What a body reads that it neither takes nor makes; the inputs of inner nodes have what theirs read."""
    made = {*body.inputs, *(name for node in body.nodes for name in node.outputs)}
    for name in (*(name for node in body.nodes for name in node.inputs), *body.outputs):
        if name and name not in made:
            yield name


def outermost(program: Program) -> set[str]:
    """The values of a Program that are in none of its bodies."""
    made = (name for node in program.nodes for name in node.outputs if name)
    return {*program.inputs, *program.constants, *made}


def body_program(program: Program, node: Node, name: str) -> Program:
    """A body of a Program's node as a Program of its own: what it reads from outside is input, too."""
    body = node.bodies[name]
    outer = [outside for outside in captured(node) if outside not in program.constants]
    names = mentioned(body.nodes) | {*body.inputs, *body.outputs, *outer}
    return replace(
        program,
        inputs=[*body.inputs, *outer],
        outputs=list(body.outputs),
        values={known: value for known, value in program.values.items() if known in names},
        constants={known: array for known, array in program.constants.items() if known in names},
        nodes=list(body.nodes),
        preprocessing="",
    )


def renamed(node: Node, value: Callable[[str], str], own: Callable[[str], str]) -> Node:
    """The node, and those of its bodies, by other names of values and of nodes; no name stays none."""

    def of(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(value(name) if name else "" for name in names)

    bodies = {
        key: Body(
            of(body.inputs), of(body.outputs), tuple(renamed(inner, value, own) for inner in body.nodes)
        )
        for key, body in node.bodies.items()
    }
    return replace(node, name=own(node.name), inputs=of(node.inputs), outputs=of(node.outputs), bodies=bodies)


def mentioned(nodes: Iterable[Node]) -> set[str]:
    """The names of all values that nodes and their bodies read, make, take or give."""
    names: set[str] = set()
    for node in all_nodes(nodes):
        names.update(node.inputs, node.outputs)
        for body in node.bodies.values():
            names.update(body.inputs, body.outputs)
    return names


def check_if(program: Program, node: Node) -> None:
    """Both branches of an If give what its outputs are of; node: its bodies are there."""
    for name in BODIES["If"]:
        _check_given(program, node, name, list(node.outputs))


def check_loop(program: Program, node: Node) -> None:
    """A Loop's state is of the same dtypes where it begins, in the body, and where it ends."""
    body, states = node.bodies["body"], len(node.bodies["body"].inputs) - COUNTED
    if len(body.outputs) < 1 + states:
        _fail(node, f"its body gives {len(body.outputs)} outputs, and carries {states} values")
    for name, dtype in zip(body.inputs, ("i64", "bool"), strict=False):
        if program.values[name].dtype != dtype:
            _fail(node, f"its body's input {name!r} is of {program.values[name].dtype}, not {dtype}")
    initial = node.inputs[COUNTED : COUNTED + states]
    for name, own in zip(initial, body.inputs[COUNTED:], strict=True):
        _check_same(program, node, name, own)
    for own, name in zip(body.inputs[COUNTED:], body.outputs[1:], strict=False):
        _check_same(program, node, own, name)
    if program.values[body.outputs[0]].dtype != "bool":
        _fail(node, f"its body's condition {body.outputs[0]!r} is not of bool")
    _check_given(program, node, "body", ["", *node.outputs])


def _check_given(program: Program, node: Node, name: str, wanted: list[str]) -> None:
    given = node.bodies[name].outputs
    if len(given) != len(wanted):
        _fail(node, f"its {name!r} gives {len(given)} outputs, not {len(wanted)}")
    outer = captured(node)
    if "" in outer:
        _fail(node, "what its bodies read from outside has no name")
    if len({*outer}) < len(outer):
        twice = next(read for place, read in enumerate(outer) if read in outer[:place])
        _fail(node, f"what its bodies read from outside lists {twice!r} twice")
    for own, output in zip(given, wanted, strict=True):
        if program.values[own].dtype in PACKED:
            _fail(node, f"its {name!r} gives {own!r} of {program.values[own].dtype}, which is packed")
        if output:
            _check_same(program, node, own, output)


def _check_same(program: Program, node: Node, one: str, other: str) -> None:
    if not one or program.values[one].dtype != program.values[other].dtype:
        found = program.values[one].dtype if one else "nothing"
        _fail(
            node, f"{one!r} is of {found}, and {other!r} of {program.values[other].dtype}: they must be alike"
        )


def _fail(node: Node, what: str) -> NoReturn:
    raise ArtifactError(f"the program is not valid: the {node.op} node {node.name!r}: {what}")
