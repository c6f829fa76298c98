"""Accuracy of each engine's int8 model against the float one: `python benches/accuracy.py --help`.

Per model and engine: SQNR = 10 log10(sum y^2 / sum (y - y8)^2) in dB over all outputs and samples, where y is
ONNX Runtime's float answer; agreement: how often both have the same largest class; top-1 where there are
labels.
"""

import argparse
import sys
from dataclasses import dataclass

import measurement
import numpy as np
from datasets import Array, Case, cases
from engines import FLOAT, Engine, Run, engines, model_of
from tables import write_tables


@dataclass
class Score:
    """Sums over the samples seen."""

    case: Case
    signal: float = 0.0
    noise: float = 0.0
    rows: int = 0
    agreed: int = 0
    labelled: int = 0
    right: int = 0

    def add(self, y: Array, y8: Array, labels: Array | None) -> None:
        """Counts a batch of float answers `y` and int8 answers `y8` of the same shape."""
        if y8.shape != y.shape:
            raise ValueError(f"the output is {y8.shape}, not {y.shape}")
        wide = y.astype(np.float64)
        self.signal += float((wide**2).sum())
        self.noise += float(((wide - y8) ** 2).sum())
        if self.case.classes:
            top, top8 = y.argmax(-1), y8.argmax(-1)
            self.rows += top.size
            self.agreed += int((top == top8).sum())
            if labels is not None:
                self.labelled += len(labels)
                self.right += int((top8 == labels).sum())

    def result(self) -> measurement.Row:
        """The numbers for people: dB and per cent."""
        row: measurement.Row = {"sqnr_db": measurement.sqnr(self.signal, self.noise)}
        if self.rows:
            row["agreement"] = round(100 * self.agreed / self.rows, 3)
        if self.labelled:
            row["top1"] = round(100 * self.right / self.labelled, 3)
        return row


def measure(case: Case, compared: list[Engine], limit: int | None) -> measurement.Row:
    """Runs the case's samples through the float model and every engine's int8 model."""
    reference = FLOAT.open(case, case.model, 1)
    row: measurement.Row = {}
    runs: dict[str, Run] = {}
    for engine in compared:
        try:
            runs[engine.name] = engine.open(case, model_of(engine, case, measurement.MODELS), 1)
        except Exception as error:
            row[engine.name] = {"error": measurement.cause(error)}
    scores = {name: Score(case) for name in runs}
    for x, labels in case.batches(limit):
        y = reference(x)
        for name in list(runs):
            try:
                scores[name].add(y, runs[name](x), labels)
            except Exception as error:
                row[name] = {"error": measurement.cause(error)}
                del runs[name]
    row |= {name: scores[name].result() for name in runs}
    return {engine.name: row[engine.name] for engine in compared}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", help="names, separated by commas; all by default")
    parser.add_argument("--engines", help="beginnings of names, separated by commas; all by default")
    parser.add_argument("--limit", type=int, help="score this many samples at most, and write no results")
    arguments = parser.parse_args()
    compared, versions = measurement.installed(engines(arguments.engines))
    measurement.MODELS.mkdir(parents=True, exist_ok=True)
    rows = {}
    for case in cases(arguments.models):
        rows[case.name] = measure(case, compared, arguments.limit)
        for name, row in rows[case.name].items():
            print(f"{case.name:16}{name:22}{row}", flush=True)
    if not (arguments.limit or arguments.models or arguments.engines):
        measurement.write("accuracy", versions, rows)
        print(f"written: {write_tables()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
