"""What weights of few bits cost where all else is float: `python benches/weights.py --help`.

SQNR and agreement are those of `accuracy.py`; bytes are those of the artifact, as a share of the ONNX file's.
"""

import argparse
import sys

import measurement
import octavo
from accuracy import Score
from datasets import Array, Case, cases
from engines import FLOAT
from octavo.program import artifact
from tables import write_weights

RECIPES = {
    "float16": ("float16", False, "default"),
    "8 bits, nearest": (octavo.Recipe("weight-only"), False, "default"),
    "8 bits": (octavo.Recipe("weight-only"), True, "default"),
    "8 bits, best": (octavo.Recipe("weight-only"), True, "best"),
    "4 bits in groups of 32, nearest": (octavo.Recipe("weight-only", 4, 32), False, "default"),
    "4 bits in groups of 32": (octavo.Recipe("weight-only", 4, 32), True, "default"),
    "3 bits in groups of 32": (octavo.Recipe("weight-only", 3, 32), True, "default"),
    "2 bits in groups of 32": (octavo.Recipe("weight-only", 2, 32), True, "default"),
}
"""A recipe each, whether it is given the calibration samples, and the effort."""


def measure(case: Case, limit: int | None) -> measurement.Row:
    """SQNR, agreement and share of the bytes of each recipe's model."""
    reference, calibration, row = FLOAT.open(case, case.model, 1), case.calibration(), {}
    batches = list(case.batches(limit))
    answers = [reference(x) for x, _ in batches]
    for name, (recipe, has_data, effort) in RECIPES.items():
        model = octavo.quantize(case.model, calibration if has_data else None, recipe, effort=effort)
        session, score = octavo.Session(model), Score(case)
        outputs = [case.output or session.get_outputs()[0].name]
        for (x, labels), y in zip(batches, answers, strict=True):
            found: Array = session.run(outputs, {case.input: x})[0]
            score.add(y, found, labels)
        size = len(artifact.to_bytes(model.program)) / case.model.stat().st_size
        row[name] = score.result() | {"bytes": round(size, 4)}
        print(f"{case.name:16}{name:34}{row[name]}", flush=True)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", default="resnet20-cifar,mobilenetv2", help="names, separated by commas")
    parser.add_argument("--limit", type=int, help="score this many samples at most, and write no results")
    arguments = parser.parse_args()
    rows = {case.name: measure(case, arguments.limit) for case in cases(arguments.models)}
    if not arguments.limit:
        versions = {"octavo": octavo.__version__, "onnxruntime": FLOAT.version()}
        measurement.write("weights", versions, rows)
        print(f"written: {write_weights()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
