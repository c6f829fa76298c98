"""How long a MatMul takes by weights of 4 or 8 bits, beside float: `python benches/stored.py --help`.

The product of one row, and of four, by one square matrix, which is larger than the caches of a core. All take
turns in one process; a time is the least of the rounds, in milliseconds: a busy machine only adds.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import measurement
import numpy as np
import octavo
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 4096
ROWS = (1, 4)
WAYS = {
    "float32": None,
    "8 bits": octavo.Recipe("weight-only", 8),
    "4 bits in groups of 32": octavo.Recipe("weight-only", 4, 32),
}


def product(path: Path) -> Path:
    """A model of one MatMul by random weights."""
    weights = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32) / 64
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", SIDE]) for name in "xy")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "product", [x], [y], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def measure(model: Path, isa: str, threads: int, rounds: int) -> measurement.Row:
    """The time of each way's product, on a tier."""
    made = {
        name: octavo.Session(
            str(model) if recipe is None else octavo.quantize(str(model), None, recipe),
            threads=threads,
            isa=isa,
        )
        for name, recipe in WAYS.items()
    }
    row: measurement.Row = {}
    for rows in ROWS:
        x = np.random.default_rng(1).standard_normal((rows, SIDE)).astype(np.float32)
        times: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(rounds):
            for name, session in made.items():
                start = time.perf_counter()
                session.run(None, {"x": x})
                times[name].append(time.perf_counter() - start)
        least = {name: min(taken) for name, taken in times.items()}
        row[f"{rows} rows"] = {
            name: {"ms": round(1000 * taken, 3), "over float": round(least["float32"] / taken, 2)}
            for name, taken in least.items()
        }
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="100 by default")
    parser.add_argument("--look", action="store_true", help="write no results")
    arguments = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        model = product(Path(folder) / "product.onnx")
        for isa in [tier for tier in octavo.tiers() if tier != "scalar"]:
            for threads in (1, 2):
                name = f"{isa}, {threads} threads"
                rows[name] = measure(model, isa, threads, arguments.rounds)
                print(f"{name:24}{rows[name]}", flush=True)
    if not arguments.look:
        written = measurement.write("stored", {"octavo": octavo.__version__}, rows, side=SIDE)
        print(f"written: {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
