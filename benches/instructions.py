"""Counts the instructions of ARM kernels' inner loops, for time says nothing under emulation.

    python benches/instructions.py LIBRARY [--objdump OBJDUMP] [--write PAGE]

LIBRARY is the library of octavo-kernels for 64-bit ARM, with its symbols (`make count-arm` builds
it). Of each kernel below, the loop of its tile is taken: a stretch of code that ends in a jump back
to its start, with no such stretch inside. What a multiply instruction multiplies is known by its
name; the rest of the loop is what it costs.
"""

import argparse
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Multiply-accumulates of an instruction, by its name and the shape of its result.
MULTIPLIES = {
    ("sdot", "4s"): 16,
    ("usdot", "4s"): 16,
    ("usmmla", "4s"): 32,
    ("smull", "8h"): 8,
    ("smull2", "8h"): 8,
    ("smlal", "8h"): 8,
    ("smlal2", "8h"): 8,
    ("smull", "4s"): 4,
    ("smull2", "4s"): 4,
    ("smlal", "4s"): 4,
    ("smlal2", "4s"): 4,
    ("fmla", "4s"): 4,
}
# Kernels: the module of their code, what the table says of them, and the multiply-accumulates of their loop.
KERNELS = [
    ("gemm::arm::neon::", "int8 product, `neon`", "4x16 or 2x32, 4 k", 1024),
    ("gemm::arm::dotprod::", "int8 product, `dotprod`", "5x16, 4 k", 1280),
    ("gemm::arm::i8mm::", "int8 product, `i8mm`", "6x16, 8 k", 768),
    ("gemm::arm::winograd::", "int8 3x3 by Winograd, `neon`", "4x16, 2 k of 16 bits", 256),
    ("float::gemm::neon::tile_1", "float32 product", "6x16, 1 k", 96),
    ("depthwise::arm::neon::bytes_3x3s1", "int8 depthwise 3x3, `neon`", "2x2 outputs of 8 channels", 128),
    ("depthwise::arm::neon::bytes_5x5s1", "int8 depthwise 5x5, `neon`", "2x2 outputs of 8 channels", 192),
    (
        "depthwise::arm::dotprod::bytes_5x5s1",
        "int8 depthwise 5x5, `dotprod`",
        "2x2 outputs of 8 channels",
        256,
    ),
    ("depthwise::arm::i8mm::bytes_5x5s1", "int8 depthwise 5x5, `i8mm`", "2x2 outputs of 8 channels", 256),
]
JUMPS = ("b.", "cbz", "cbnz", "tbz", "tbnz")
BEGIN, END = "<!-- instructions: begin -->", "<!-- instructions: end -->"


@dataclass
class Loop:
    """An inner loop."""

    instructions: int
    multiplies: int
    macs: int
    loads: int

    @property
    def each(self) -> float:
        """Instructions for a multiply-accumulate."""
        return self.instructions / self.macs

    def row(self, kernel: str, tile: str) -> str:
        return (
            f"| {kernel} | {tile} | {self.instructions} | {self.loads} | {self.macs} | {self.each:.3f} | "
            f"{self.multiplies / self.instructions:.0%} |"
        )


def disassembly(library: Path, objdump: str) -> str:
    command = [objdump, "--disassemble", "--demangle", "--no-show-raw-insn", str(library)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def functions(text: str):
    """(name, lines) of each function of a disassembly: (address, instruction, operands) each."""
    parts = re.split(r"^[0-9a-f]+ <(.+)>:$", text, flags=re.MULTILINE)
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        lines = re.findall(r"^ *([0-9a-f]+):\t(\S+)(?:\t(.*))?$", body, flags=re.MULTILINE)
        yield name, [(int(address, 16), op, operands) for address, op, operands in lines]


def loops(lines):
    """The inner loops of a function."""
    addresses = [address for address, _, _ in lines]
    back = []
    for at, (address, op, operands) in enumerate(lines):
        target = re.search(r"\b([0-9a-f]+) <", operands) if op.startswith(JUMPS) else None
        if target and (start := int(target[1], 16)) <= address and start in addresses:
            back.append((addresses.index(start), at))
    for start, end in back:
        if not any(start <= a and b <= end and (a, b) != (start, end) for a, b in back):
            yield lines[start : end + 1]


def counted(lines) -> Loop:
    macs = multiplies = loads = 0
    for _, op, operands in lines:
        shape = re.match(r"v\d+\.(\w+)", operands)
        each = MULTIPLIES.get((op, shape[1]) if shape else ("", ""), 0)
        macs, multiplies = macs + each, multiplies + (each > 0)
        loads += op.startswith(("ld", "ldr", "ldp"))
    return Loop(len(lines), multiplies, macs, loads)


def table(text: str) -> list[str]:
    found: dict[str, Loop] = {}
    for name, lines in functions(text):
        for module, _, _, macs in KERNELS:
            if f"octavo_kernels::{module}" in name:
                for loop in map(counted, loops(lines)):
                    is_better = module not in found or loop.instructions < found[module].instructions
                    if loop.macs == macs and is_better:
                        found[module] = loop
    missing = [module for module, *_ in KERNELS if module not in found]
    if missing:
        raise SystemExit(f"no inner loop that multiplies in: {', '.join(missing)}")
    names = [
        "kernel",
        "tile",
        "instructions",
        "loads",
        "multiply-accumulates",
        "instructions each",
        "that multiply",
    ]
    head = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    return head + [found[module].row(kernel, tile) for module, kernel, tile, _ in KERNELS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("--objdump", default="aarch64-linux-gnu-objdump")
    parser.add_argument("--write", type=Path, help="the page whose table is written anew")
    arguments = parser.parse_args()
    lines = table(disassembly(arguments.library, arguments.objdump))
    print("\n".join(lines))
    if arguments.write:
        before, rest = arguments.write.read_text().split(BEGIN)
        _, after = rest.split(END)
        arguments.write.write_text("\n".join([before + BEGIN, *lines, END + after]))


if __name__ == "__main__":
    main()
