"""What each recipe costs in accuracy and bytes: `python benches/recipes.py --help`.

SQNR and agreement are those of `accuracy.py`; bytes are those of the artifact, as a share of the ONNX file's.
"""

import argparse
import sys
from dataclasses import dataclass

import measurement
import numpy as np
import octavo
from accuracy import Score
from datasets import Array, Case, cases
from engines import FLOAT
from tables import write_recipes


@dataclass(frozen=True)
class Way:
    """recipe, effort and io are `quantize`'s; has_data: whether it has the samples; compress: `save`'s."""

    recipe: str | octavo.Recipe
    has_data: bool = True
    effort: str = "default"
    io: str = "float32"
    compress: bool = False


WAYS = {
    "int8": Way("int8"),
    "int8, compressed": Way("int8", compress=True),
    "int8, best": Way("int8", effort="best"),
    "int8, symmetric": Way(octavo.Recipe("int8", symmetric=True)),
    "int8, weights of 4 bits in groups of 32": Way(octavo.Recipe("int8", 4, 32)),
    "int8-strict, uint8 in and out": Way("int8-strict", io="uint8"),
    "int16x8": Way("int16x8"),
    "dynamic, no data": Way("dynamic", has_data=False),
    "dynamic": Way("dynamic"),
    "float16, no data": Way("float16", has_data=False),
    "float16": Way("float16"),
    "weight-only, 8 bits, nearest": Way("weight-only", has_data=False),
    "weight-only, 8 bits": Way("weight-only"),
    "weight-only, 8 bits, best": Way("weight-only", effort="best"),
    "4 bits in groups of 32, nearest": Way(octavo.Recipe("weight-only", 4, 32), has_data=False),
    "4 bits in groups of 32": Way(octavo.Recipe("weight-only", 4, 32)),
    "3 bits in groups of 32": Way(octavo.Recipe("weight-only", 3, 32)),
    "2 bits in groups of 32": Way(octavo.Recipe("weight-only", 2, 32)),
    "4 bits, shared, compressed": Way(octavo.Recipe("weight-only", 4, shared=True), compress=True),
    "4 bits, shared, a fifth pruned, compressed": Way(
        octavo.Recipe("weight-only", 4, shared=True, pruned=0.2), compress=True
    ),
}


def measure(case: Case, limit: int | None) -> measurement.Row:
    """SQNR, agreement and share of the bytes of each recipe's model."""
    reference, calibration, row = FLOAT.open(case, case.model, 1), case.calibration(), {}
    batches = list(case.batches(limit))
    answers = [reference(x) for x, _ in batches]
    for name, way in WAYS.items():
        data = calibration if way.has_data else None
        model = octavo.quantize(case.model, data, way.recipe, effort=way.effort, io=way.io)
        session, score = octavo.Session(model), Score(case)
        for (x, labels), y in zip(batches, answers, strict=True):
            score.add(y, answer(session, case, x), labels)
        size = len(model.to_bytes(compress=way.compress)) / case.model.stat().st_size
        row[name] = score.result() | {"bytes": round(size, 4)}
        print(f"{case.name:16}{name:34}{row[name]}", flush=True)
    return row


def answer(session: octavo.Session, case: Case, x: Array) -> Array:
    """The output that is scored, as floats; what the session takes in integers is quantized first."""
    (taken,) = session.get_inputs()
    if taken.scale is not None and taken.zero_point is not None:
        places = np.rint(x / np.float32(taken.scale)) + np.float32(taken.zero_point)
        x = np.clip(places, 0, 255).astype(np.uint8)
    given = next(info for info in session.get_outputs() if case.output in (None, info.name))
    found: Array = session.run([given.name], {case.input: x})[0]
    if given.scale is None or given.zero_point is None:
        return found
    return (found.astype(np.float32) - np.float32(given.zero_point)) * np.float32(given.scale)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", default="resnet20-cifar,mobilenetv2", help="names, separated by commas")
    parser.add_argument("--limit", type=int, help="score this many samples at most, and write no results")
    arguments = parser.parse_args()
    rows = {case.name: measure(case, arguments.limit) for case in cases(arguments.models)}
    if not arguments.limit:
        versions = {"octavo": octavo.__version__, "onnxruntime": FLOAT.version()}
        measurement.write("recipes", versions, rows)
        print(f"written: {write_recipes()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
