"""Which instruction sets this machine has, by the kernel's word, and which a test run has compared."""

import platform
from collections.abc import Iterable
from pathlib import Path

CPU_FLAGS = {
    "scalar": set(),
    "avx2": {"avx2", "fma"},
    "avxvnni": {"avx2", "fma", "avx_vnni"},
    "avx512vl": {"avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"},
    "avx512vnni": {"avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"},
    "neon": {"asimd"},
    "dotprod": {"asimd", "asimddp"},
    "i8mm": {"asimd", "asimddp", "i8mm"},
}
"""What each tier needs, as Linux names it in /proc/cpuinfo; every tier that octavo knows is here."""

compared: set[str] = set()
"""The tiers whose answers were held against the reference in this run."""

CODE = {"avxvnni": "avx2", "avx512vl": "avx2", "dotprod": "neon", "i8mm": "neon"}
"""The tier whose code another one runs where it has none of its own."""


def machine_tiers() -> list[str]:
    """The tiers that this machine can run, poorest first, found without octavo's own detection."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    name = {"x86_64": "flags", "aarch64": "Features"}.get(platform.machine())
    flags = {flag for line in lines if name and line.startswith(name) for flag in line.split()}
    return [tier for tier, needed in CPU_FLAGS.items() if needed <= flags]


def summary(tiers: Iterable[str]) -> tuple[str, list[str]]:
    """A line about the tiers compared, and the tiers of `tiers` (this machine's) that should have been.

    A run that compares no engine at all, as one of a single room does, owes none.
    """
    here = list(tiers)
    missed = [tier for tier in here if tier not in compared] if compared else []
    lacking = [tier for tier in CPU_FLAGS if tier not in here]
    line = f"instruction sets covered: {', '.join(tier for tier in CPU_FLAGS if tier in compared) or 'none'}"
    if lacking:
        line += f"; not covered, this machine lacks them: {', '.join(lacking)}"
    if missed:
        line += f"; this machine has them and no engine test ran them: {', '.join(missed)}"
    return line, missed
