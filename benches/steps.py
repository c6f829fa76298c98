"""What each step of the efforts is worth: `python benches/steps.py --help`.

Every model is quantized with more and more of the stages; SQNR and agreement are those of `accuracy.py`.
"""

import argparse
import sys

import measurement
import octavo
from accuracy import Score
from datasets import Array, Case, cases
from engines import FLOAT, Run
from octavo.calibration import rule_named
from octavo.quantization.recipes import recipe
from octavo.quantization.stages import run
from octavo.quantization.work import Work
from tables import write_steps

STEPS = {
    "nearest, min-max": ("default", ("see grids", "choose forms", "round weights")),
    "and exact inputs": ("default", ("choose forms", "round weights")),
    "and the choice of ranges": ("default", ("round weights",)),
    "and weights and biases (default)": ("default", ()),
    "and the choice of all pairs": ("best", ("fit weights", "search ranges")),
    "and fitted weights": ("best", ("search ranges",)),
    "and searched ranges (best)": ("best", ()),
}
"""The effort of each step, and the stages of it that are left out."""


def quantized(case: Case, effort: str, left_out: tuple[str, ...]) -> Run:
    """A function from the case's input to the output of its int8 model, made without these stages."""
    int8 = recipe("int8")
    work = Work(case.model, case.calibration(), int8, [rule_named(name) for name in int8.range_rules], effort)
    work.ran = list(left_out)
    run(work)
    session = octavo.Session(work.lowered.program, threads=1)
    outputs = [case.output or session.get_outputs()[0].name]

    def answer(x: Array) -> Array:
        return session.run(outputs, {case.input: x})[0]

    return answer


def measure(case: Case, limit: int | None) -> measurement.Row:
    """SQNR and agreement of each step's model."""
    reference = FLOAT.open(case, case.model, 1)
    runs = {step: quantized(case, *how) for step, how in STEPS.items()}
    scores = {step: Score(case) for step in STEPS}
    for x, labels in case.batches(limit):
        y = reference(x)
        for step, answer in runs.items():
            scores[step].add(y, answer(x), labels)
    return {step: score.result() for step, score in scores.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", help="names, separated by commas; all by default")
    parser.add_argument("--limit", type=int, help="score this many samples at most, and write no results")
    arguments = parser.parse_args()
    rows = {}
    for case in cases(arguments.models):
        rows[case.name] = measure(case, arguments.limit)
        for step, row in rows[case.name].items():
            print(f"{case.name:16}{step:34}{row}", flush=True)
    if not (arguments.limit or arguments.models):
        versions = {"octavo": octavo.__version__, "onnxruntime": FLOAT.version()}
        measurement.write("steps", versions, rows)
        print(f"written: {write_steps()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
