"""Where each int8 model's time goes, layer by layer on every tier: `python benches/layers.py --help`.

A row is a step of a plan: its shape, its kernel, how many multiply-accumulates it does a second, and what
share that is of the most that a core does from registers to registers (`cargo bench --bench ports`), which is
also measured here. The least time of each step over the runs, one sample, one thread.
"""

import argparse
import math
import subprocess
import sys
from pathlib import Path

import measurement
import numpy as np
import octavo
from datasets import Case, cases
from engines import Octavo, model_of
from octavo.program import Program, artifact
from tables import write_layers

RUNS = 60


def ports() -> dict[str, float]:
    """Multiply-accumulates of bytes, in billions a second, that a tier's instruction does at most."""
    command = ["cargo", "bench", "--quiet", "--locked", "-p", "octavo-kernels", "--bench", "ports"]
    done = subprocess.run(command, cwd=measurement.ROOT, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {tier: float(rate) for tier, rate, _ in lines}


def shapes(program: Program) -> dict[str, str]:
    """A word on the shape of each product: output x input channels, kernel, size of the output."""
    found = {}
    for node in program.nodes:
        if node.op not in ("QConv", "QConvTranspose", "QGemm", "Conv", "Gemm") or node.inputs[1] is None:
            continue
        weight = program.values[node.inputs[1]].shape
        output = [size for size in program.values[node.outputs[0]].shape[2:]]
        words = [" x ".join(map(str, weight[:2]))]
        if len(weight) > 2:
            group = node.attributes.get("group", 1)
            words += ["x".join(map(str, weight[2:])), "to " + "x".join(map(str, output))]
            words += [f"{group} groups"] if group not in (1, None) else []
        found[node.name] = ", ".join(words)
    return found


def profile(case: Case, model: Path, tier: str) -> list[measurement.Row]:
    """The steps of a run on a tier."""
    session = octavo.Session(model, threads=1, isa=tier)
    feeds = {case.input: case.calibration()[:1]}
    runs = [session.profile(feeds) for _ in range(RUNS)]
    of = shapes(artifact.load(model))
    return [
        {
            "name": row.name,
            "op": row.op,
            "shape": next((of[part] for part in row.name.split(" + ") if part in of), ""),
            "kernel": row.kernel,
            "macs": row.macs,
            "us": round(1e6 * min(run[step].seconds for run in runs), 2),
        }
        for step, row in enumerate(runs[0])
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", help="names, separated by commas; all by default")
    arguments = parser.parse_args()
    measurement.MODELS.mkdir(parents=True, exist_ok=True)
    limits = ports()
    rows: dict[str, measurement.Row] = {}
    for case in cases(arguments.models):
        model = model_of(Octavo(), case, measurement.MODELS)
        rows[case.name] = {tier: profile(case, model, tier) for tier in octavo.tiers() if tier in limits}
        for tier, steps in rows[case.name].items():
            total = math.fsum(step["us"] for step in steps)
            macs = sum(step["macs"] for step in steps)
            rate = macs / total / 1e3
            share = rate / limits[tier]
            print(f"{case.name:16}{tier:12}{total:9.1f} us {rate:7.1f} GMAC/s {share:.2f} of the limit")
            for step in sorted(steps, key=lambda step: -step["us"]) if arguments.models else ():
                rate = step["macs"] / max(step["us"], 1e-3) / 1e3
                what = f"{step['kernel']:38} {step['shape']:36} {step['name'][:40]}"
                print(f"  {step['us']:8.1f} {rate:7.1f} {what}")
    if not arguments.models:
        versions = {"octavo": octavo.__version__, "numpy": np.__version__}
        measurement.write("layers", versions, rows, limits=limits)
        print(f"written: {write_layers()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
