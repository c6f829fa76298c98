"""Puts small faults into a copy of the sources, one at a time, and counts those that a room's tests catch.

Faults come from two places: `faults.toml`, written by hand (a wrong bound, a swapped argument, a coefficient
one ulp off), and cargo-mutants, which makes them for the Rust crates. A fault is caught where the tests of
its own room fail or never end; one that does not compile does not count. `make mutants` runs a sample.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / ".mutants"
TREE = WORK / "tree"
"""The copy that faults are put into."""
EXTENSION = "python/octavo/_core.abi3.so"
CRATES = ("kernels", "exec", "runtime")


@dataclass(frozen=True)
class Fault:
    """A text of a file, at this offset, that is replaced by another."""

    file: str
    at: int
    before: str
    after: str

    def __str__(self) -> str:
        line = (ROOT / self.file).read_text()[: self.at].count("\n") + 1
        before, after = (" ".join(text.split())[:60] for text in (self.before, self.after))
        return f"{self.file}:{line}: {before} -> {after or 'nothing'}"

    def put_into(self, text: str) -> str:
        """The file's text with the fault."""
        return text[: self.at] + self.after + text[self.at + len(self.before) :]


@dataclass(frozen=True)
class Suite:
    """The commands that test a room, run in TREE one after the other until one fails."""

    build: tuple[str, ...]
    tests: tuple[str, ...]


def suites(file: str) -> list[Suite]:
    """What tests a source file's room. The runtime's operators are tested from Python, on every engine."""
    parts = Path(file).parts
    if parts[0] == "python":
        room = parts[2].removesuffix(".py")
        tests = {"errors": "test_errors.py", "__init__": "session", "__main__": "cli"}.get(room, room)
        return [Suite((), pytest(f"tests/{tests}"))]
    if parts[1] == "python":
        return [Suite(extension(), pytest("tests/session"))]
    crate = ("cargo", "test", "--locked", "--quiet", "--package", f"octavo-{parts[1]}")
    own = Suite((*crate, "--no-run"), crate)
    return [own, Suite(extension(), pytest("tests/engines"))] if parts[1] == "runtime" else [own]


def pytest(folder: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", folder)


def extension() -> tuple[str, ...]:
    built = WORK / "target/debug/lib_core.so"
    options = "--locked --quiet --profile test --package octavo-python --features pyo3/extension-module"
    return ("sh", "-c", f"cargo build {options} && cp {built} {EXTENSION}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=12, help="faults of each kind; 0 takes all")
    parser.add_argument("--seed", type=int, help="which sample; by default another one each time")
    parser.add_argument(
        "--kind", choices=("python", "rust", "generated"), action="append", help="faults to try"
    )
    parser.add_argument(
        "--list", type=Path, default=Path(__file__).with_name("faults.toml"), help="a file of faults"
    )
    options = parser.parse_args()
    seed = random.randrange(10**6) if options.seed is None else options.seed
    copy_tree()
    kinds = options.kind or ("python", "rust", "generated")
    chosen = [
        fault for kind in kinds for fault in sample(faults_of(kind, options.list), options.sample, seed)
    ]
    print(f"{len(chosen)} faults, seed {seed}", flush=True)
    bench = Bench()
    verdicts = [(fault, bench.verdict(fault)) for fault in chosen]
    return summarize(verdicts)


def copy_tree() -> None:
    """The files that git knows, as they are now, with the extension as it was built last."""
    shutil.rmtree(TREE, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in [*listed.stdout.split("\0")[:-1], EXTENSION]:
        if (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, TREE / name)  # as changed now, so that cargo builds it anew


def faults_of(kind: str, path: Path) -> list[Fault]:
    if kind == "generated":
        return list(generated())
    return [fault for fault in written(path) if fault.file.startswith(kind)]


def written(path: Path) -> Iterator[Fault]:
    """The faults of a list; each names a text that its file has exactly once."""
    for row in tomllib.loads(path.read_text())["fault"]:
        source = (ROOT / row["file"]).read_text()
        found = source.count(row["before"])
        if found != 1:
            sys.exit(f"{path.name}: {row['before']!r} stands {found} times in {row['file']}, not once")
        yield Fault(row["file"], source.index(row["before"]), row["before"], row["after"])


def generated() -> Iterator[Fault]:
    """The faults that cargo-mutants makes for the crates, but for code that this machine cannot run."""
    packages = [word for crate in CRATES for word in ("--package", f"octavo-{crate}")]
    cargo_mutants = WORK / "bin/cargo-mutants"
    command = [cargo_mutants, "mutants", "--list", "--json", *packages]
    made = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    flags = Path("/proc/cpuinfo").read_text()
    for row in made:
        needs = {"avx512": "avx512_vnni", "avxvnni": "avx_vnni", "vnni256": "avx512_vnni"}
        if any(name in row["file"] and flag not in flags for name, flag in needs.items()):
            continue
        text = (ROOT / row["file"]).read_text()
        start, end = (offset(text, row["span"][end]) for end in ("start", "end"))
        yield Fault(row["file"], start, text[start:end], row["replacement"])


def offset(text: str, place: dict[str, int]) -> int:
    """Where a line and a column, both counted from 1, lie in a text."""
    lines = text.splitlines(keepends=True)
    return sum(map(len, lines[: place["line"] - 1])) + place["column"] - 1


def sample(faults: list[Fault], count: int, seed: int) -> list[Fault]:
    """`count` faults, as evenly over the files as it goes; the same for the same seed."""
    order = random.Random(seed)
    shuffled = order.sample(faults, len(faults))
    turns: dict[str, int] = {}
    rounds = []
    for fault in shuffled:
        turns[fault.file] = turns.get(fault.file, 0) + 1
        rounds.append(turns[fault.file])
    even = [fault for _, fault in sorted(zip(rounds, shuffled, strict=True), key=lambda pair: pair[0])]
    return even[: count or len(even)]


class Bench:
    """Runs suites in the tree. A suite that fails without any fault is an error; its time bounds others."""

    def __init__(self) -> None:
        self._seconds: dict[Suite, float] = {}

    def verdict(self, fault: Fault) -> str:
        path = TREE / fault.file
        clean, extension = path.read_text(), (TREE / EXTENSION).read_bytes()
        for suite in suites(fault.file):
            self._measure(suite)
        started = time.monotonic()
        path.write_text(fault.put_into(clean))
        try:
            verdict = next(filter(None, (self._caught(suite) for suite in suites(fault.file))), "survived")
        finally:
            path.write_text(clean)
            (TREE / EXTENSION).write_bytes(extension)
        print(f"{verdict:9} {time.monotonic() - started:5.0f} s  {fault}", flush=True)
        return verdict

    def _caught(self, suite: Suite) -> str:
        if suite.build and run(suite.build, None).returncode:
            return "unviable"
        try:
            return "caught" if run(suite.tests, 5 * self._seconds[suite] + 60).returncode else ""
        except subprocess.TimeoutExpired:
            return "caught"

    def _measure(self, suite: Suite) -> None:
        if suite in self._seconds:
            return
        if suite.build:
            run(suite.build, None)
        started = time.monotonic()
        clean = run(suite.tests, None)
        if clean.returncode:
            sys.exit(f"{' '.join(suite.tests)} fails without any fault:\n{clean.stdout[-4000:]}")
        self._seconds[suite] = time.monotonic() - started


def run(command: tuple[str, ...], limit: float | None) -> subprocess.CompletedProcess[str]:
    """A command in the tree, with the tree's package first; all that it started ends with it."""
    data = os.environ.get("OCTAVO_TEST_DATA") or str(ROOT.parent / "shared" / "data")
    environment = {
        **os.environ,
        "PYTHONPATH": str(TREE / "python"),
        "CARGO_TARGET_DIR": str(WORK / "target"),
        "CARGO_PROFILE_TEST_OPT_LEVEL": "1",  # most of the time is the compiler's
        "OCTAVO_TEST_DATA": data,
    }
    process = subprocess.Popen(
        command, cwd=TREE, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=limit)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()
    return subprocess.CompletedProcess(command, process.returncode, output)


def summarize(verdicts: list[tuple[Fault, str]]) -> int:
    counted = [(fault, verdict) for fault, verdict in verdicts if verdict != "unviable"]
    survivors = [fault for fault, verdict in counted if verdict == "survived"]
    caught = len(counted) - len(survivors)
    print(f"\ncaught {caught} of {len(counted)} ({100 * caught / max(1, len(counted)):.1f} %)")
    for fault in survivors:
        print(f"\nsurvived: {fault}\n- {fault.before}\n+ {fault.after}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
