"""What the calibration scripts share: a worker observes its part of the samples, the calibrators are merged.

What comes out is the artifact of one `octavo.quantize` call over the same samples, byte for byte: however
they are divided, whichever worker is done first, and if a worker is lost, whose part is observed anew.
"""

import argparse
from collections.abc import Iterable

import numpy as np
import octavo
from numpy.typing import NDArray


def observe(samples: Iterable[NDArray[np.float32]], model: str) -> list[octavo.Calibrator]:
    """What a worker does with its part. The model's file is where every worker can read it."""
    calibrator = octavo.prepare(model, threads=1)
    samples = list(samples)
    return [calibrator.observe(samples) if samples else calibrator]


def parser_of(description: str) -> argparse.ArgumentParser:
    """The arguments that every script takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", help="a .npy file, samples along the first axis")
    parser.add_argument("output")
    parser.add_argument("--partitions", type=int, default=8)
    return parser


def finish(calibrator: octavo.Calibrator, output: str) -> None:
    """Make the model of all samples, show its report and save it."""
    model = octavo.convert(calibrator)
    print(model.report)
    model.save(output)
