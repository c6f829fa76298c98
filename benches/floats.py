"""Float models beside ONNX Runtime: time, bits, memory: `python benches/floats.py --help`.

Time is taken as by peers.py, on one thread and on two. The outputs' bytes must be the same on every
instruction set, on one thread and on two, and for the samples in one batch or one by one; a difference is an
error. Memory is that of a ResNet-50, each figure from a process of its own.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import measurement
import minilm
import numpy as np
import onnx_ir as ir
import resnet
from datasets import Array, Case, cases, root
from engines import FLOAT, OctavoFloat
from peers import THREADS, Calls, take_turns, turns_of
from tables import write_tables

Feeds = dict[str, Array]
OWN = OctavoFloat()
BATCHES = (1, 8)  # of the runs whose memory is taken
LENGTH = 128  # tokens of a sentence
VOCABULARY = 30522
DIGITS = 12  # of a digest


@dataclass(frozen=True)
class Network:
    """A float model and samples for it, along the first axis; `splits` says whether that axis is free."""

    name: str
    model: Callable[[], Path]
    feeds: Callable[[int], Feeds]  # of so many samples
    samples: int = 4
    splits: bool = True
    memory: bool = False


def _of_case(case: Case) -> Network:
    large = case.name in ("squeezenet", "mobilenetv2")
    return Network(
        case.name,
        lambda: case.model,
        lambda count: {case.input: next(case.batches(count))[0][:count]},
        samples=1 if case.batch == 1 else 2 if large else 4,
        splits=case.batch > 1,
    )


def _made(name: str, build: Callable[[], ir.Model]) -> Callable[[], Path]:
    def path() -> Path:
        measurement.MODELS.mkdir(parents=True, exist_ok=True)
        written = measurement.MODELS / f"{name}.onnx"
        ir.save(build(), written)
        return written

    return path


def _images(name: str, *shape: int) -> Callable[[int], Feeds]:
    return lambda count: {name: np.random.default_rng(1).random((count, *shape), np.float32)}


def _sentences(count: int) -> Feeds:
    """Random words; every sentence is some words shorter than the one before it, and then padded."""
    ids = np.random.default_rng(1).integers(0, VOCABULARY, (count, LENGTH))
    mask = (np.arange(LENGTH) < LENGTH - 9 * np.arange(count)[:, None]).astype(np.int64)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


NETWORKS = (
    *map(_of_case, cases()),
    Network(
        "superres", lambda: root() / "models" / "superres.onnx", _images("input", 1, 224, 224), samples=2
    ),
    Network(
        "resnet50, random weights",
        _made("resnet50", resnet.resnet),
        _images("input", 3, 224, 224),
        samples=2,
        memory=True,
    ),
    Network(
        f"MiniLM-L6, {LENGTH} tokens",
        _made("minilm", lambda: minilm.build(minilm.weights_of_package())),
        _sentences,
        samples=2,
    ),
)


def digest(network: Network, model: Path) -> str:
    """The SHA-256 of the outputs' bytes on `samples` samples, which every way to run them must give.

    Raises:
        ArithmeticError: two ways give other bytes.
    """
    import octavo
    from octavo.session import load_program

    feeds = network.feeds(network.samples)
    program = load_program(model)
    found: dict[str, str] = {}
    for isa in octavo.tiers():
        for threads in THREADS:
            session = octavo.Session(program, threads=threads, isa=isa)
            where = f"{isa}, {threads} threads"
            found[where] = _sha256(session.run(None, feeds))
            if network.splits:
                parts = [
                    session.run(None, {name: array[i : i + 1] for name, array in feeds.items()})
                    for i in range(network.samples)
                ]
                found[f"{where}, one by one"] = _sha256(map(np.concatenate, zip(*parts, strict=True)))
    if len(set(found.values())) > 1:
        raise ArithmeticError(f"{network.name}: the bits differ: {found}")
    return next(iter(found.values()))[:DIGITS]


def _sha256(outputs: Iterable[Array]) -> str:
    return hashlib.sha256(b"".join(output.tobytes() for output in outputs)).hexdigest()


def open_all(network: Network, model: Path) -> Calls:
    """A call with one sample for each of the two, on each number of threads."""
    import octavo
    import onnxruntime

    feeds = network.feeds(1)
    calls: Calls = {}
    for threads in THREADS:
        ours = octavo.Session(model, threads=threads)
        calls[OWN.name, threads] = lambda run=ours.run: run(None, feeds)
        theirs = onnxruntime.InferenceSession(model, FLOAT.options(threads))
        calls[FLOAT.name, threads] = lambda run=theirs.run: run(None, feeds)
    for call in calls.values():
        call()
    return calls


def memory(engine: str, model: Path, batch: int) -> dict[str, int]:
    """Bytes of a ResNet's run on one thread, taken in a fresh process: see `_measure_memory`."""
    command = [sys.executable, __file__, "--memory-of", engine, str(model), str(batch)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _measure_memory(engine: str, model: str, batch: int) -> dict[str, int]:
    """Peak growth of this process by loading and running, by running alone once loaded; octavo's arena."""
    feeds = _images("input", 3, 224, 224)(batch)
    if engine == OWN.name:
        import octavo
        from octavo import _core, frontend, lowering, passes  # noqa: F401  # what loads is not what is measured

        def open_() -> "octavo.Session":
            return octavo.Session(model, threads=1)
    else:
        import onnxruntime

        def open_() -> "onnxruntime.InferenceSession":
            return onnxruntime.InferenceSession(model, FLOAT.options(1))

    before = _status("VmRSS")
    session = open_()
    loaded = _status("VmHWM")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    for _ in range(3):
        session.run(None, feeds)
    ran = _status("VmHWM")
    arena = {"arena": session._core.arena_bytes(feeds)} if engine == OWN.name else {}
    return arena | {"load": max(loaded, ran) - before, "run": ran - before}


def _status(field: str) -> int:
    """Bytes of a field of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return 1024 * int(kilobytes)


def measure(network: Network, rounds: int) -> measurement.Row:
    """The rows of both engines for a network; an error in the place of what could not be had."""
    try:
        model = network.model()
        row = take_turns(turns_of(open_all(network, model)), rounds)
        row[OWN.name]["digest"] = digest(network, model)
        if network.memory:
            for engine in (OWN.name, FLOAT.name):
                row[engine]["memory"] = {str(n): memory(engine, model, n) for n in BATCHES}
    except Exception as error:
        return {OWN.name: {"error": measurement.cause(error)}}
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", default="", help="the beginning of a name; write nothing")
    parser.add_argument("--rounds", type=int, default=30, help="turns of each engine")
    parser.add_argument("--memory-of", nargs=3, metavar=("ENGINE", "MODEL", "BATCH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        engine, model, batch = arguments.memory_of
        print(json.dumps(_measure_memory(engine, model, int(batch))))
        return 0
    _, versions = measurement.installed([OWN, FLOAT])
    rows = {}
    for network in NETWORKS:
        if network.name.startswith(arguments.models):
            rows[network.name] = measure(network, max(2, arguments.rounds))
            for name, row in rows[network.name].items():
                print(f"{network.name:28}{name:20}{row}", flush=True)
    if not arguments.models:
        measurement.write("floats", versions, rows, rounds=arguments.rounds)
        print(f"written: {write_tables()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
