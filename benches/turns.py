"""Processes that take turns: `python turns.py ENGINE MODEL_NAME FILE THREADS` is one of them.

Each engine, on each number of threads, has a process of its own, so that no thread that spins on in one
takes a core from another, and each can be held to an instruction set. A process opens its model, runs it
once, says so, and then runs a turn whenever it is asked for one.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from datasets import Case, cases
from engines import ENGINES, HELD, Engine

WARM_UP_SECONDS = 0.003
TURN_SECONDS = 0.02
READY = "ready"


def turn(call: Callable[[], object]) -> float:
    """The median seconds of a call, over a turn."""
    end = time.perf_counter() + WARM_UP_SECONDS
    call()
    while time.perf_counter() < end:
        call()
    times: list[float] = []
    end = time.perf_counter() + TURN_SECONDS
    while len(times) < 3 or time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


class Player:
    """The process of an engine with a case's model on so many threads; what it says beside turns is dropped.

    Raises RuntimeError with the process's last line where it does not get ready.
    """

    def __init__(self, engine: Engine, case: Case, model: Path, threads: int) -> None:
        command = [sys.executable, __file__, engine.name, case.name, str(model), str(threads)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=os.environ | engine.environment
        )
        if self._answer() != READY:
            error = self._process.communicate()[1].strip().splitlines()
            raise RuntimeError(error[-1] if error else "it ended without a word")

    def turn(self) -> float:
        """The median seconds of a call, over a turn."""
        assert self._process.stdin is not None
        self._process.stdin.write("turn\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def main() -> None:
    name, model_name, file, threads = sys.argv[1:]
    engine = next(engine for engine in (*ENGINES, *HELD) if engine.name == name)
    # What libraries print goes to stderr: the pipe is for answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    (case,) = cases(model_name)
    x, _ = next(case.batches())
    call = engine.open_timed(case, Path(file), x[:1], int(threads))
    call()
    print(READY, file=answers)
    for _ in sys.stdin:
        print(turn(call), file=answers)


if __name__ == "__main__":
    main()
