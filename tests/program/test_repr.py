"""What a Program and its parts are called is one short line, whatever they hold."""

import numpy as np
import pytest
from octavo.program import Node, Program, Quant, Value

WIDE = Quant(np.full(5000, 0.5, np.float32), np.zeros(5000, np.int64), axis=0)


def test_parts():
    assert repr(Quant(np.array([0.5], np.float32), np.array([3]))) == "Quant(scale 0.5, zero point 3)"
    assert repr(Value("x", "f32", ("N", 3))) == "Value('x', f32[N, 3])"
    assert repr(Value("x", "f32", None)) == "Value('x', f32[?])"
    assert repr(Value("w", "i8", (5000, 2), WIDE)) == "Value('w', i8[5000, 2], Quant(5000 scales on axis 0))"
    blocks = Quant(np.ones(6, np.float32), np.zeros(6, np.int64), axis=0, block=32)
    assert repr(blocks) == "Quant(6 scales on axis 0, blocks of 32)"
    node = Node("Concat", "join", tuple("abcdef"), ("y",), {"axis": 1})
    assert repr(node) == "Node(Concat 'join': a, b, c and 3 more -> y; 1 attributes)"


@pytest.mark.parametrize("count", [1, 500])
def test_program_is_one_line(count):
    names = [f"x{index}" for index in range(count)]
    values = {name: Value(name, "f32", ("N", 4)) for name in names} | {"w": Value("w", "i8", (5000, 2), WIDE)}
    nodes = [Node("Relu", name, (name,), (name,)) for name in names]
    text = repr(Program(names, names, values, {"w": np.zeros((5000, 2), np.int8)}, nodes))
    assert text.startswith("Program(x0 f32[N, 4]")
    assert f"{count} nodes, 10,000 bytes of constants" in text
    assert len(text) < 250
    assert text.isprintable()


def test_names_do_not_break_the_line():
    value = Value("a\nb", "f32", (1,))
    program = Program(["a\nb"], ["a\nb"], {"a\nb": value}, {}, [Node("Relu", "\n", ("a\nb",), ("",))])
    for part in (program, value, *program.nodes):
        assert repr(part).isprintable()
