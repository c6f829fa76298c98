"""The count of instructions in the inner loops of ARM's kernels, on a disassembly that is made up."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))
import instructions

FUNCTION = """
0000000000001000 <octavo_kernels::{module}f>:
    1000:\tmov\tx0, #0x0
    1004:\tldp\tq0, q1, [x1], #32
    1008:\tsdot\tv2.4s, v0.16b, v4.4b[0]
    100c:\tsdot\tv3.4s, v1.16b, v4.4b[0]
    1010:\tadd\tx2, x2, #0x1
    1014:\tb.ne\t1004 <octavo_kernels::{module}f+0x4>
    1018:\tfmla\tv5.4s, v0.4s, v1.4s
    101c:\tcbnz\tx0, 1000 <octavo_kernels::{module}f>
    1020:\tret
"""


def test_the_inner_loop_is_counted():
    ((name, lines),) = instructions.functions(FUNCTION.format(module="m::"))
    (loop,) = map(instructions.counted, instructions.loops(lines))
    assert name == "octavo_kernels::m::f"
    # The load, two dot products of 16 each, the addition and the jump; the loop around it is no inner one.
    assert (loop.instructions, loop.loads, loop.multiplies, loop.macs) == (5, 1, 2, 32)
    assert loop.row("k", "t") == "| k | t | 5 | 1 | 32 | 0.156 | 40% |"


def test_a_table_has_each_kernel_and_a_missing_one_is_named(monkeypatch):
    kernels = [(module, kernel, tile, 32) for module, kernel, tile, _ in instructions.KERNELS]
    monkeypatch.setattr(instructions, "KERNELS", kernels)
    modules = [module for module, *_ in kernels]
    text = "".join(FUNCTION.format(module=module) for module in modules)
    assert len(instructions.table(text)) == 2 + len(modules)
    with pytest.raises(SystemExit, match=modules[0]):
        instructions.table(text.replace(f"octavo_kernels::{modules[0]}", "octavo_kernels::other::"))
