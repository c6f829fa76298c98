"""Latency of each engine's int8 model, one sample a run: `python benches/peers.py --help`.

All engines' sessions are open in one process and take turns, so that a change of the machine's speed meets
them all. A turn runs one engine for some milliseconds after a few calls that are not counted; the figure of a
turn is its median call, and the result is the median over the turns, with the turns' quartiles as spread. The
best turn is kept too: on a machine with other work it tells more than the median.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import measurement
from datasets import Case, cases
from engines import Engine, engines, model_of
from tables import write_tables

THREADS = (1, 2)
WARM_UP_SECONDS = 0.003
TURN_SECONDS = 0.02
Calls = dict[tuple[str, int], Callable[[], object]]


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


def open_all(case: Case, compared: list[Engine]) -> tuple[Calls, measurement.Row]:
    """A call for each engine and number of threads, and the errors of those that have none."""
    x, _ = next(case.batches())
    calls: Calls = {}
    row: measurement.Row = {}
    for engine in compared:
        try:
            model = model_of(engine, case, measurement.MODELS)
            for threads in THREADS:
                call = engine.open_timed(case, model, x[:1], threads)
                call()
                calls[engine.name, threads] = call
        except Exception as error:
            row[engine.name] = {"error": measurement.cause(error)}
    return calls, row


def measure(case: Case, compared: list[Engine], rounds: int) -> measurement.Row:
    """Microseconds of a run for each engine, on one thread and on two."""
    calls, row = open_all(case, compared)
    row = take_turns(calls, rounds) | row
    return {engine.name: row[engine.name] for engine in compared}


def take_turns(calls: Calls, rounds: int) -> measurement.Row:
    """Microseconds of a call for each engine that has one on all of THREADS."""
    turns: dict[tuple[str, int], list[float]] = {key: [] for key in calls}
    keys = list(calls)
    for number in range(rounds):
        # Each round begins with another engine: nobody always follows the same neighbour's spinning threads.
        for key in keys[number % len(keys) :] + keys[: number % len(keys)]:
            time.sleep(0.005)
            turns[key].append(1e6 * turn(calls[key]))
    names = [name for name, threads in calls if threads == THREADS[-1]]
    return {name: _summary({threads: turns[name, threads] for threads in THREADS}) for name in names}


def _summary(turns: dict[int, list[float]]) -> measurement.Row:
    result: measurement.Row = {}
    for threads, times in turns.items():
        low, middle, high = statistics.quantiles(times, n=4)
        result[f"us_{threads}"] = round(middle, 1)
        result[f"quartiles_{threads}"] = [round(low, 1), round(high, 1)]
        result[f"best_{threads}"] = round(min(times), 1)
    result["speedup"] = round(result["us_1"] / result["us_2"], 2)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", help="names, separated by commas; all by default")
    parser.add_argument("--engines", help="beginnings of names, separated by commas; all by default")
    parser.add_argument("--rounds", type=int, default=30, help="turns of each engine")
    arguments = parser.parse_args()
    compared, versions = measurement.installed(engines(arguments.engines))
    measurement.MODELS.mkdir(parents=True, exist_ok=True)
    rows = {}
    for case in cases(arguments.models):
        rows[case.name] = measure(case, compared, max(2, arguments.rounds))
        for name, row in rows[case.name].items():
            print(f"{case.name:16}{name:22}{row}", flush=True)
    if not (arguments.models or arguments.engines):
        measurement.write("latency", versions, rows, rounds=arguments.rounds)
        print(f"written: {write_tables()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
