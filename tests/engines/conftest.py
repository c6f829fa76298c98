"""Programs of a few nodes, run on every engine: the reference, and every tier with one and two threads."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import octavo
import pytest
from octavo.program import Node, Program, Value
from tier_coverage import compared

NAMES = {"uint8": "u8", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "float32": "f32"}


@dataclass
class Build:
    """Collects the nodes of a Program."""

    values: dict[str, Value] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)

    def input(self, name: str, dtype: str, shape: tuple[int | str, ...]) -> str:
        self.values[name] = Value(name, dtype, shape)
        self.inputs.append(name)
        return name

    def constant(self, name: str, array: Any) -> str:
        array = np.ascontiguousarray(array)
        self.values[name] = Value(name, NAMES[array.dtype.name], array.shape)
        self.constants[name] = array
        return name

    def node(self, op: str, inputs: list[str], dtype: str = "u8", count: int = 1, **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        outputs = [f"{name}_{i}" for i in range(count)]
        for output in outputs:
            self.values[output] = Value(output, dtype, None)
        self.nodes.append(Node(op, name, tuple(inputs), tuple(outputs), attributes))
        return outputs[0]

    def program(self, *outputs: str) -> Program:
        return Program(self.inputs, list(outputs), self.values, self.constants, self.nodes)


@pytest.fixture
def build() -> Build:
    return Build()


@pytest.fixture(scope="session")
def same() -> Callable[..., list[Any]]:
    return assert_same


def assert_same(program: Program, feeds: dict[str, Any], batched: bool = True) -> list[Any]:
    """Every engine gives the reference's bytes, whole and, where the first axis is a batch, one by one."""
    expected = octavo.reference.run(program, feeds)
    samples = len(next(iter(feeds.values()))) if batched else 0
    for isa in octavo.tiers():
        for threads in (1, 2):
            session = octavo.Session(program, threads=threads, isa=isa)
            for _ in range(2):  # the second run finds the arena as the first left it
                check(expected, session.run(None, feeds), f"{isa}, {threads} threads")
            if samples > 1:
                parts = [
                    session.run(None, {k: v[i : i + 1] for k, v in feeds.items()}) for i in range(samples)
                ]
                joined = [np.concatenate(part) for part in zip(*parts, strict=True)]
                check(expected, joined, f"{isa}, {threads} threads, one sample at a time")
        compared.add(session.isa)
    return expected


def check(expected: list[Any], given: list[Any], engine: str) -> None:
    assert len(expected) == len(given)
    for e, g in zip(expected, given, strict=True):
        assert (e.dtype, e.shape) == (g.dtype, g.shape), engine
        if e.tobytes() != g.tobytes():
            away = np.flatnonzero(e.reshape(-1) != g.reshape(-1))
            first = int(away[0]) if len(away) else -1
            pytest.fail(
                f"{engine}: {len(away)} of {e.size} elements differ, the first at {first}: "
                f"{e.reshape(-1)[first]} expected, {g.reshape(-1)[first]} given"
            )
