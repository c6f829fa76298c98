"""A tier's kernels hold the tier's instruction: looked for in the extension's disassembly."""

import re
import shutil
import subprocess

import pytest
from octavo import _core

INSTRUCTION = {
    "avx2": "vpmaddwd",
    "avxvnni": "{vex} vpdpbusd",
    "avx512vl": "vpdpbusd",
    "avx512vnni": "vpdpbusd",
}


@pytest.fixture(scope="module")
def disassembly():
    objdump = shutil.which("objdump")
    assert objdump, "objdump (binutils) is not there; Rust's linker comes with it"
    command = [objdump, "--disassemble", "--demangle", "--no-show-raw-insn", _core.__file__]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def functions(disassembly):
    """(name, text) of each function."""
    parts = re.split(r"^[0-9a-f]+ <(.+)>:$", disassembly, flags=re.MULTILINE)
    return zip(parts[1::2], parts[2::2], strict=True)


@pytest.mark.parametrize("tier", INSTRUCTION)
@pytest.mark.parametrize("family", ["gemm", "depthwise"])
def test_the_instruction_is_there(disassembly, tier, family):
    """Of every tier that the build has, whether this CPU could run it or not."""
    names = re.compile(rf"octavo_kernels::{family}::(vnni256::)?{tier}\b")
    own = [text for name, text in functions(disassembly) if names.search(name)]
    assert own, f"no function of {family}::{tier} in the extension"
    assert any(INSTRUCTION[tier] in text for text in own)


def test_nothing_saturates(disassembly):
    """vpdpbusds and vpmaddubsw on full-range data lose sums; no kernel has them."""
    kernels = [(name, text) for name, text in functions(disassembly) if "octavo_kernels" in name]
    assert kernels, "no function of octavo_kernels in the extension"
    for name, text in kernels:
        assert not re.search("vpdpbusds|vpmaddubsw", text), name
