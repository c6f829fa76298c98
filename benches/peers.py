"""Latency of each engine's int8 model, one sample a run: `python benches/peers.py --help`.

Each engine has a process of its own (turns.py), and they take turns, so that a change of the machine's
speed meets them all. A turn runs one engine for some milliseconds after a few calls that are not counted;
the figure of a turn is its median call, and the result is the median over the turns, with the turns'
quartiles as spread. The best turn is kept too: on a machine with other work it tells more than the
median.
"""

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable

import measurement
import octavo
from datasets import Case, cases
from engines import ENGINES, HELD, Engine, engines, model_of
from tables import write_tables
from turns import Player, turn

THREADS = (1, 2)
Calls = dict[tuple[str, int], Callable[[], object]]
Turns = dict[tuple[str, int], Callable[[], float]]


def open_all(case: Case, compared: list[Engine]) -> tuple[dict[tuple[str, int], Player], measurement.Row]:
    """A process for each engine and number of threads, and the errors of those that have none."""
    players: dict[tuple[str, int], Player] = {}
    row: measurement.Row = {}
    for engine in compared:
        try:
            model = model_of(engine, case, measurement.MODELS)
            for threads in THREADS:
                players[engine.name, threads] = Player(engine, case, model, threads)
        except Exception as error:
            row[engine.name] = {"error": measurement.cause(error)}
    return players, row


def measure(case: Case, compared: list[Engine], rounds: int) -> measurement.Row:
    """Microseconds of a run for each engine, on one thread and on two."""
    players, row = open_all(case, compared)
    row = take_turns({key: player.turn for key, player in players.items()}, rounds) | row
    for player in players.values():
        player.close()
    return {engine.name: row[engine.name] for engine in compared}


def turns_of(calls: Calls) -> Turns:
    """Turns of calls within this process."""
    return {key: functools.partial(turn, call) for key, call in calls.items()}


def take_turns(players: Turns, rounds: int) -> measurement.Row:
    """Microseconds of a call for each engine that has turns on all of THREADS."""
    turns: dict[tuple[str, int], list[float]] = {key: [] for key in players}
    keys = list(players)
    for number in range(rounds):
        # Each round begins with another engine: nobody always follows the same neighbour's spinning threads.
        for key in keys[number % len(keys) :] + keys[: number % len(keys)]:
            time.sleep(0.005)
            turns[key].append(1e6 * players[key]())
    names = [name for name, threads in players if threads == THREADS[-1]]
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
    all_engines = (*ENGINES, *HELD) if "avx512vnni" in octavo.tiers() else ENGINES
    compared, versions = measurement.installed(engines(arguments.engines, all_engines))
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
